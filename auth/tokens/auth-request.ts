import { checkSchema, type Schema } from '../../common/http/schema.ts'
import { expecting, invalid } from '../errors.ts'

const TEXT = { type: 'string' }
const REFERENCE = {
  type: 'object',
  properties: { id: TEXT, name: TEXT },
  anyOf: [{ required: ['id'] }, { required: ['name'] }],
}
const USER = {
  ...REFERENCE,
  properties: { id: TEXT, name: TEXT, password: TEXT, passcode: TEXT, domain: REFERENCE },
}

const AUTH_SCHEMA: Schema = {
  type: 'object',
  required: ['identity'],
  properties: {
    identity: {
      type: 'object',
      required: ['methods'],
      properties: {
        methods: { type: 'array', items: TEXT, maxItems: 8 },
        password: { type: 'object', properties: { user: USER } },
        totp: { type: 'object', properties: { user: USER } },
        oauth1: { type: 'object' },
        token: { type: 'object', required: ['id'], properties: { id: TEXT } },
        application_credential: {
          type: 'object',
          required: ['secret'],
          properties: { id: TEXT, name: TEXT, secret: TEXT, user: USER },
        },
      },
    },
    scope: {
      type: ['object', 'string'],
      properties: {
        project: { ...REFERENCE, properties: { id: TEXT, name: TEXT, domain: REFERENCE } },
        domain: REFERENCE,
        'OS-TRUST:trust': { type: 'object', properties: { id: TEXT } },
        system: { type: 'object', properties: { all: { type: 'boolean' } } },
      },
    },
  },
}

/** Something named by id, or by name and, where names are not unique, domain. */
export interface Reference {
  readonly id?: string
  readonly name?: string
  readonly domain?: Reference
}

/** What a token is wanted for. */
export type WantedScope =
  | { readonly kind: 'none' }
  | { readonly kind: 'unscoped' }
  | { readonly kind: 'project'; readonly project: Reference }
  | { readonly kind: 'domain'; readonly domain: Reference }
  | { readonly kind: 'system' }
  | { readonly kind: 'trust'; readonly trustId: string }

/** A request for a token, read. */
export interface AuthRequest {
  /** In the order given, each once. */
  readonly methods: readonly string[]
  /** What each method is given. */
  readonly payloads: Readonly<Record<string, unknown>>
  readonly scope: WantedScope
}

/** Reads the `auth` of `POST /v3/auth/tokens`. Throws 400 for one that cannot be meant. */
export function parseAuthRequest(auth: unknown): AuthRequest {
  if (auth === undefined || auth === null) throw expecting('auth', 'request body')
  checkSchema(AUTH_SCHEMA, auth)
  const { identity, scope } = auth as {
    readonly identity: Readonly<Record<string, unknown>> & { readonly methods: readonly string[] }
    readonly scope?: unknown
  }
  const methods = [...new Set(identity.methods)]
  for (const method of methods) {
    if (!Object.hasOwn(identity, method)) throw expecting(method, 'identity')
  }
  return { methods, payloads: identity, scope: parseScope(scope) }
}

function parseScope(scope: unknown): WantedScope {
  if (scope === undefined || scope === null) return { kind: 'none' }
  if (scope === 'unscoped') return { kind: 'unscoped' }
  if (typeof scope === 'string') throw invalid(`"${scope}" is not a scope`)
  const entries = Object.entries(scope as Readonly<Record<string, unknown>>)
  const known = entries.filter(([name]) => Object.hasOwn(SCOPES, name))
  if (known.length > 1)
    throw invalid('A token has one scope: project, domain, OS-TRUST:trust or system.')
  const [found] = known
  if (found === undefined) throw expecting('project, domain, OS-TRUST:trust or system', 'scope')
  return SCOPES[found[0]]!(found[1])
}

const SCOPES: Readonly<Record<string, (value: unknown) => WantedScope>> = {
  unscoped: () => ({ kind: 'unscoped' }),
  project: (value) => ({ kind: 'project', project: value as Reference }),
  domain: (value) => ({ kind: 'domain', domain: value as Reference }),
  system: (value) => {
    if ((value as { readonly all?: boolean }).all !== true) throw expecting('all', 'system')
    return { kind: 'system' }
  },
  'OS-TRUST:trust': (value) => {
    const { id } = value as { readonly id?: string }
    if (id === undefined) throw expecting('id', 'OS-TRUST:trust')
    return { kind: 'trust', trustId: id }
  },
}
