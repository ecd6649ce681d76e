import { ServiceError } from '../../common/errors.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import { signToken } from '../../common/token/signed-token.ts'
import { expecting, forbidden, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { OAuthRequest } from '../oauth1/oauth-signature.ts'
import type { UserRow } from '../tables/rows.ts'
import { projects } from '../tables/tables.ts'
import { type TrustRow, trusts } from '../tables/trusts.ts'
import { noteActivity, refuseInactive } from './activity.ts'
import { AUTH_METHODS, type AuthProof } from './auth-methods.ts'
import type { AuthRequest, WantedScope } from './auth-request.ts'
import {
  claimsOf,
  type Delegation,
  expiryMsOf,
  projectIdOf,
  trustDelegation,
} from './delegation.ts'
import { areEnough, factorRulesOf, requiredSets } from './factors.ts'
import { MoreProofsNeeded, readReceipt, signReceipt } from './receipt.ts'
import { findDomain, findProject } from './references.ts'
import {
  claimsScope,
  enabledDomain,
  enabledUser,
  projectScope,
  rolesInScope,
  type SubjectScope,
  type TokenSubject,
} from './token-subject.ts'

/** A new token and what it says. */
export interface IssuedToken {
  readonly token: string
  readonly subject: TokenSubject
}

/** What a token is made of. */
export interface TokenGrant {
  readonly userId: string
  readonly methods: readonly string[]
  readonly scope: SubjectScope
  readonly delegation?: Delegation
  /** The token lives no longer. */
  readonly expiresAtMs?: number
  /** Audit id of the first token of the chain. */
  readonly auditChainId?: string
}

type Proven = AuthProof & { readonly methods: readonly string[] }

/** What came with a request for a token besides its body. */
export interface SignInOptions {
  readonly receiptText?: string
  /** Set if a consumer of OAuth has signed it. */
  readonly oauth?: OAuthRequest | null
}

/**
 * Signs somebody in: all methods have to prove the same user. `receiptText` is what was got for those proven before.
 * Throws 400, 401 (`MoreProofsNeeded` if the user has to prove more), 403.
 */
export async function issueToken(
  parts: IdentityParts,
  request: AuthRequest,
  { receiptText = '', oauth = null }: SignInOptions = {},
): Promise<IssuedToken> {
  const proof = await proveAll(parts, request, oauth)
  await parts.directories.keepFresh(proof.userId)
  const { user, userDomain } = await enabledUser(parts.state, proof.userId)
  await refuseInactive(parts, user)
  const { expiresAtMs, auditChainId } = proof
  const earlier = receiptText === '' ? [] : await methodsOfReceipt(parts, receiptText, user)
  const methods = [...new Set([...proof.methods, ...earlier])]
  await checkFactors(parts, { user, userDomain, methods })
  const common = {
    methods,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(auditChainId !== undefined && { auditChainId }),
  }
  await noteActivity(parts, user)
  if (request.scope.kind === 'trust') {
    return grantTrusted(parts, { ...common, trustId: request.scope.trustId, trusteeId: user.id })
  }
  const { delegation } = proof
  return grantToken(parts, {
    ...common,
    userId: user.id,
    scope:
      delegation === undefined
        ? await scopeOf(parts, request.scope, user)
        : await scopeOfDelegation(parts, delegation),
    ...(delegation !== undefined && { delegation }),
  })
}

async function methodsOfReceipt(
  parts: IdentityParts,
  text: string,
  user: UserRow,
): Promise<readonly string[]> {
  const { userId, methods } = await readReceipt(parts, text)
  if (userId !== user.id) throw unauthorized('the receipt is of another user')
  return methods
}

/** Throws 401 with a receipt if the user has to prove more. */
async function checkFactors(
  parts: IdentityParts,
  proven: Pick<TokenSubject, 'user' | 'userDomain'> & { readonly methods: readonly string[] },
): Promise<void> {
  const { user, userDomain, methods } = proven
  const rules = factorRulesOf(user, Object.keys(AUTH_METHODS))
  if (areEnough(rules, methods)) return
  const issuedAtMs = Math.floor(parts.clock.nowMs())
  const expiresAtMs = issuedAtMs + parts.settings.receiptSeconds * 1000
  const receipt = { userId: user.id, methods, issuedAtMs, expiresAtMs }
  const text = await signReceipt(parts, receipt)
  const requiredMethods = requiredSets(rules, methods)
  throw new MoreProofsNeeded({ text, receipt, user, userDomain, requiredMethods })
}

/** Signs a token. Throws 401 if its holder or scope is not there, disabled or without roles. */
export async function grantToken(parts: IdentityParts, grant: TokenGrant): Promise<IssuedToken> {
  const { scope, delegation, auditChainId, methods } = grant
  const { user, userDomain } = await enabledUser(parts.state, grant.userId)
  const roles = await rolesInScope(parts.state, user.id, scope, delegation)
  const nowMs = Math.floor(parts.clock.nowMs())
  const auditId = Buffer.from(parts.random.bytes(16)).toString('base64url')
  const ends = [
    nowMs + parts.settings.tokenLifeSeconds * 1000,
    grant.expiresAtMs ?? Number.POSITIVE_INFINITY,
    expiryMsOf(delegation) ?? Number.POSITIVE_INFINITY,
  ]
  const claims: TokenClaims = {
    user: { id: user.id, name: user.name, domain: { id: userDomain.id, name: userDomain.name } },
    methods,
    auditIds: auditChainId === undefined ? [auditId] : [auditId, auditChainId],
    issuedAtMs: nowMs,
    expiresAtMs: Math.min(...ends),
    scope: claimsScope(scope),
    roles: roles.map(({ id, name }) => ({ id, name })),
    ...(await claimsOf(parts.state, delegation)),
  }
  const token = await signToken(claims, parts.keys().signing)
  const subject = { claims, user, userDomain, scope, roles }
  return { token, subject: { ...subject, ...(delegation !== undefined && { delegation }) } }
}

/** A token of a trust, of whose uses it takes one. */
export async function grantTrusted(
  parts: IdentityParts,
  {
    trustId,
    trusteeId,
    ...common
  }: Omit<TokenGrant, 'userId' | 'scope' | 'delegation'> & {
    readonly trustId: string
    readonly trusteeId: string
  },
): Promise<IssuedToken> {
  const { state, clock } = parts
  const row = await trusts.get(state, trustId)
  if (row === undefined || row.remainingUses === 0) throw unauthorized('no such trust')
  await parts.directories.keepFresh(row.trustorId)
  const delegation = await trustDelegation(state, trustId, clock.nowMs())
  if (row.trusteeId !== trusteeId) throw forbidden('User is not a trustee.')
  const issued = await grantToken(parts, {
    ...common,
    userId: row.impersonation ? row.trustorId : row.trusteeId,
    scope: await scopeOfDelegation(parts, delegation),
    delegation,
  })
  if (row.remainingUses !== null) await takeUse(parts, row)
  return issued
}

/** Two that come at once do not get the last use both. */
async function takeUse({ state }: IdentityParts, { id }: TrustRow): Promise<void> {
  await state.transaction(async (tx) => {
    const now = await trusts.get(tx, id)
    if (now === undefined || now.remainingUses === 0) throw unauthorized('no use of the trust left')
    if (now.remainingUses === null) return
    await trusts.put(tx, { ...now, remainingUses: now.remainingUses - 1 })
  })
}

/** What all methods together prove. */
async function proveAll(
  parts: IdentityParts,
  request: AuthRequest,
  oauth: OAuthRequest | null,
): Promise<Proven> {
  if (request.methods.length === 0) throw expecting('methods', 'identity')
  const proofs: AuthProof[] = []
  for (const name of request.methods) {
    const method = Object.hasOwn(AUTH_METHODS, name) ? AUTH_METHODS[name] : undefined
    if (method === undefined) throw unknownMethod()
    proofs.push(await method(parts, request.payloads[name], { wanted: request.scope, oauth }))
  }
  if (new Set(proofs.map(({ userId }) => userId)).size > 1) {
    throw unauthorized('the methods prove different users')
  }
  const earlier = proofs.flatMap(({ methods = [] }) => methods)
  const methods = [...new Set([...request.methods, ...earlier])]
  return Object.assign({}, ...proofs, { methods }) as Proven
}

async function scopeOfDelegation(
  { state }: IdentityParts,
  delegation: Delegation,
): Promise<SubjectScope> {
  const projectId = projectIdOf(delegation)
  if (projectId === null) return { kind: 'unscoped' }
  return projectScope(state, await projects.get(state, projectId))
}

async function scopeOf(
  parts: IdentityParts,
  wanted: Exclude<WantedScope, { readonly kind: 'trust' }>,
  user: UserRow,
): Promise<SubjectScope> {
  const { state } = parts
  switch (wanted.kind) {
    case 'unscoped':
      return { kind: 'unscoped' }
    case 'none':
      return defaultScope(parts, user)
    case 'system':
      return { kind: 'system' }
    case 'domain':
      return {
        kind: 'domain',
        domain: await enabledDomain(state, (await findDomain(state, wanted.domain)).id),
      }
    case 'project':
      return projectScope(state, await findProject(state, wanted.project))
  }
}

/** The default project where the user has one that is good; else no scope, as Keystone does. */
async function defaultScope({ state }: IdentityParts, user: UserRow): Promise<SubjectScope> {
  if (user.defaultProjectId === null) return { kind: 'unscoped' }
  try {
    const scope = await projectScope(state, await projects.get(state, user.defaultProjectId))
    await rolesInScope(state, user.id, scope)
    return scope
  } catch (error) {
    if (error instanceof ServiceError && error.status === 401) return { kind: 'unscoped' }
    throw error
  }
}

function unknownMethod(): ServiceError {
  return new ServiceError('Unauthorized', 'Attempted to authenticate with an unsupported method.', {
    status: 401,
  })
}
