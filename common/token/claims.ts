/** What has a name besides its id. */
export interface Named {
  readonly id: string
  readonly name: string
}

/** A name that is one only within its domain. */
export interface InDomain extends Named {
  readonly domain: Named
}

/** What a token is good for. */
export type TokenScope =
  | { readonly kind: 'unscoped' }
  | ({ readonly kind: 'project' } & InDomain)
  | ({ readonly kind: 'domain' } & Named)
  | { readonly kind: 'system' }

/** A call that a token of a restricted application credential may make. */
export interface AccessRule {
  /** The service's type: `object-store`. */
  readonly service: string
  /** As Keystone writes them: `/v1/AUTH_x/**`, with `*`, `**` and `{name}`. */
  readonly path: string
  readonly method: string
}

/** All that a token says: whoever has the public key knows the holder without asking the identity service. */
export interface TokenClaims {
  readonly user: InDomain
  /** How the holder signed in: `password`, `token`, `application_credential`, … */
  readonly methods: readonly string[]
  /** This token's id, and that of the first of its chain if it was got by a token. */
  readonly auditIds: readonly string[]
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  readonly scope: TokenScope
  /** Effective roles in the scope, implied ones too. */
  readonly roles: readonly Named[]
  readonly trust?: {
    readonly id: string
    readonly trustorId: string
    readonly trusteeId: string
    readonly impersonation: boolean
  }
  readonly applicationCredential?: {
    readonly id: string
    readonly restricted: boolean
    readonly accessRules?: readonly AccessRule[]
  }
  readonly oauth1?: { readonly consumerId: string; readonly accessTokenId: string }
}

/**
 * Claims as they stand in the JWT, named by one letter so that tokens stay short; the order within a list is fixed.
 *
 *   iat, exp  seconds since 1970, with a fraction of three digits
 *   u         user: [id, name, domain id, domain name]
 *   m         methods
 *   a         audit ids: [this token's, the first one's of its chain if it is another]
 *   s         scope: ['p', id, name, domain id, domain name], ['d', id, name] or ['s']; none if unscoped
 *   r         roles: [[id, name], …]; none if there are none
 *   t         trust: [id, trustor, trustee, impersonation 0 or 1]
 *   c         application credential: [id, restricted 0 or 1, [[service, path, method], …] if it has access rules]
 *   o         OAuth 1: [consumer, access token]
 */
export function encodeClaims(claims: TokenClaims): Readonly<Record<string, unknown>> {
  const { user, methods, auditIds, roles, trust, applicationCredential, oauth1 } = claims
  const scope = encodeScope(claims.scope)
  return {
    // Cut, not rounded: rounded up, a token would seem to be from after an event that voids it.
    iat: Math.floor(claims.issuedAtMs) / 1000,
    exp: Math.floor(claims.expiresAtMs) / 1000,
    u: [user.id, user.name, user.domain.id, user.domain.name],
    m: methods,
    a: auditIds,
    ...(scope !== undefined && { s: scope }),
    ...(roles.length > 0 && { r: roles.map(({ id, name }) => [id, name]) }),
    ...(trust !== undefined && {
      t: [trust.id, trust.trustorId, trust.trusteeId, trust.impersonation ? 1 : 0],
    }),
    ...(applicationCredential !== undefined && { c: encodeCredential(applicationCredential) }),
    ...(oauth1 !== undefined && { o: [oauth1.consumerId, oauth1.accessTokenId] }),
  }
}

/** The claims of a JWT's payload; null for anything but what encodeClaims makes. */
export function decodeClaims(payload: unknown): TokenClaims | null {
  if (typeof payload !== 'object' || payload === null) return null
  const { iat, exp, u, m, a, s, r, t, c, o } = payload as Readonly<Record<string, unknown>>
  const [userId, userName, domainId, domainName] = texts(u, 4)
  const scope = decodeScope(s)
  const roles = decodePairs(r ?? [])
  const trust = t === undefined ? undefined : decodeTrust(t)
  const applicationCredential = c === undefined ? undefined : decodeCredential(c)
  const [consumerId, accessTokenId] = texts(o ?? ['', ''], 2)
  if (userId === undefined || scope === null || roles === null || trust === null) return null
  if (applicationCredential === null || consumerId === undefined) return null
  if (!isTime(iat) || !isTime(exp) || !isTextList(m) || !isTextList(a) || a.length === 0)
    return null
  return {
    user: { id: userId, name: userName!, domain: { id: domainId!, name: domainName! } },
    methods: m,
    auditIds: a,
    issuedAtMs: Math.round(iat * 1000),
    expiresAtMs: Math.round(exp * 1000),
    scope,
    roles,
    ...(trust !== undefined && { trust }),
    ...(applicationCredential !== undefined && { applicationCredential }),
    ...(o !== undefined && { oauth1: { consumerId, accessTokenId: accessTokenId! } }),
  }
}

function encodeScope(scope: TokenScope): readonly string[] | undefined {
  switch (scope.kind) {
    case 'unscoped':
      return undefined
    case 'project':
      return ['p', scope.id, scope.name, scope.domain.id, scope.domain.name]
    case 'domain':
      return ['d', scope.id, scope.name]
    case 'system':
      return ['s']
  }
}

function decodeScope(value: unknown): TokenScope | null {
  if (value === undefined) return { kind: 'unscoped' }
  if (!isTextList(value)) return null
  const [letter, id, name, domainId, domainName] = value
  if (letter === 'p' && value.length === 5) {
    return { kind: 'project', id: id!, name: name!, domain: { id: domainId!, name: domainName! } }
  }
  if (letter === 'd' && value.length === 3) return { kind: 'domain', id: id!, name: name! }
  return letter === 's' && value.length === 1 ? { kind: 'system' } : null
}

function decodeTrust(value: unknown): TokenClaims['trust'] | null {
  if (!Array.isArray(value) || value.length !== 4) return null
  const [id, trustorId, trusteeId] = texts(value.slice(0, 3), 3)
  const impersonation = decodeFlag(value[3])
  if (id === undefined || impersonation === null) return null
  return { id, trustorId: trustorId!, trusteeId: trusteeId!, impersonation }
}

type Credential = NonNullable<TokenClaims['applicationCredential']>

function encodeCredential({ id, restricted, accessRules }: Credential): readonly unknown[] {
  const head = [id, restricted ? 1 : 0]
  if (accessRules === undefined) return head
  return [...head, accessRules.map(({ service, path, method }) => [service, path, method])]
}

function decodeCredential(value: unknown): Credential | null {
  if (!Array.isArray(value) || value.length < 2 || value.length > 3) return null
  const [id, flag, rules] = value as readonly unknown[]
  const restricted = decodeFlag(flag)
  if (typeof id !== 'string' || restricted === null) return null
  if (rules === undefined) return { id, restricted }
  if (!Array.isArray(rules)) return null
  const accessRules: AccessRule[] = []
  for (const rule of rules) {
    const [service, path, method] = texts(rule, 3)
    if (service === undefined) return null
    accessRules.push({ service, path: path!, method: method! })
  }
  return { id, restricted, accessRules }
}

function decodePairs(value: unknown): readonly Named[] | null {
  if (!Array.isArray(value)) return null
  const pairs: Named[] = []
  for (const pair of value) {
    const [id, name] = texts(pair, 2)
    if (id === undefined) return null
    pairs.push({ id, name: name! })
  }
  return pairs
}

function decodeFlag(value: unknown): boolean | null {
  return value === 1 ? true : value === 0 ? false : null
}

/** A list of exactly `count` texts; an empty one for anything else. */
function texts(value: unknown, count: number): readonly string[] {
  return isTextList(value) && value.length === count ? value : []
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value < 1e11
}
