import { ServiceError } from '../errors.ts'
import type { TokenClaims } from './claims.ts'

/** Where the identity service lists its events, for services. */
export const REVOCATIONS_PATH = '/v3/OS-REVOKE/events'

/** What an event may name, each the text that a token must have at that place. */
export const REVOCATION_FIELDS = [
  'auditId',
  'auditChainId',
  'trustId',
  'applicationCredentialId',
  'accessTokenId',
  'consumerId',
  'userId',
  'projectId',
  'domainScopeId',
  'domainId',
  'roleId',
] as const
export type RevocationField = (typeof REVOCATION_FIELDS)[number]

/**
 * Voids tokens, as Keystone's revoke model does: every token that was not issued after `issuedBeforeMs` and has all that
 * the event names. Several fields are all meant at once: user and project are the user's tokens for the project.
 *
 *   userId         the holder, or the trustor or trustee of its trust
 *   domainId       the holder's domain, or that of the scope
 *   domainScopeId  the domain that the token is for
 *   projectId      the project that the token is for
 *   roleId         one of the roles
 *   auditId        the token itself
 *   auditChainId   the token, and all that were got by it
 */
export type RevocationEvent = { readonly [Field in RevocationField]?: string } & {
  readonly issuedBeforeMs: number
  readonly revokedAtMs: number
}

/** Whether the event voids the token. */
export function voids(event: RevocationEvent, claims: TokenClaims): boolean {
  if (claims.issuedAtMs > event.issuedBeforeMs) return false
  return REVOCATION_FIELDS.every((field) => {
    const wanted = event[field]
    return wanted === undefined || VALUES[field](claims).includes(wanted)
  })
}

/** A list of events, so arranged that a token is not compared with each. */
export class Revocations {
  /** By the first field that an event names, and its text. */
  readonly #byField = new Map<RevocationField, Map<string, RevocationEvent[]>>()
  readonly #forAll: RevocationEvent[] = []

  constructor(events: readonly RevocationEvent[]) {
    for (const event of events) this.add(event)
  }

  /** One more. */
  add(event: RevocationEvent): void {
    this.#listOf(event).push(event)
  }

  /** Whether one of the events voids the token. */
  voids(claims: TokenClaims): boolean {
    if (this.#forAll.some((event) => voids(event, claims))) return true
    for (const [field, byText] of this.#byField) {
      for (const text of VALUES[field](claims)) {
        if (byText.get(text)?.some((event) => voids(event, claims))) return true
      }
    }
    return false
  }

  #listOf(event: RevocationEvent): RevocationEvent[] {
    const field = REVOCATION_FIELDS.find((name) => event[name] !== undefined)
    if (field === undefined) return this.#forAll
    const byText = this.#byField.get(field) ?? new Map<string, RevocationEvent[]>()
    this.#byField.set(field, byText)
    const list = byText.get(event[field]!) ?? []
    byText.set(event[field]!, list)
    return list
  }
}

/** The event as `GET /v3/OS-REVOKE/events` lists it. */
export function encodeRevocation(event: RevocationEvent): Readonly<Record<string, string>> {
  const encoded: Record<string, string> = {}
  for (const field of REVOCATION_FIELDS) {
    const text = event[field]
    if (text !== undefined) encoded[WIRE_NAMES[field]] = text
  }
  encoded.issued_before = new Date(event.issuedBeforeMs).toISOString()
  encoded.revoked_at = new Date(event.revokedAtMs).toISOString()
  return encoded
}

/** Reads one event of the list. Throws 500 `BadRevocation` for what is none: to skip it could let a void token in. */
export function decodeRevocation(value: unknown): RevocationEvent {
  if (typeof value !== 'object' || value === null) throw badEvent('not an object')
  const {
    issued_before: issuedBefore,
    revoked_at: revokedAt,
    ...named
  } = value as Readonly<Record<string, unknown>>
  const fields: { [Field in RevocationField]?: string } = {}
  for (const [name, text] of Object.entries(named)) {
    const field = REVOCATION_FIELDS.find((candidate) => WIRE_NAMES[candidate] === name)
    // Without a field that it does not know, the event would void more than it should.
    if (field === undefined) throw badEvent(`unknown field ${name}`)
    if (typeof text !== 'string') throw badEvent(`${name} is not a text`)
    fields[field] = text
  }
  return { ...fields, issuedBeforeMs: parseTime(issuedBefore), revokedAtMs: parseTime(revokedAt) }
}

const WIRE_NAMES: Readonly<Record<RevocationField, string>> = {
  auditId: 'audit_id',
  auditChainId: 'audit_chain_id',
  trustId: 'OS-TRUST:trust_id',
  applicationCredentialId: 'application_credential_id',
  accessTokenId: 'OS-OAUTH1:access_token_id',
  consumerId: 'OS-OAUTH1:consumer_id',
  userId: 'user_id',
  projectId: 'project_id',
  domainScopeId: 'domain_scope_id',
  domainId: 'domain_id',
  roleId: 'role_id',
}

/** What a token has at each place; an event fits if one of them is what it names. */
const VALUES: Readonly<Record<RevocationField, (claims: TokenClaims) => readonly string[]>> = {
  auditId: ({ auditIds }) => auditIds.slice(0, 1),
  auditChainId: ({ auditIds }) => auditIds.slice(-1),
  trustId: ({ trust }) => (trust === undefined ? [] : [trust.id]),
  applicationCredentialId: ({ applicationCredential }) =>
    applicationCredential === undefined ? [] : [applicationCredential.id],
  accessTokenId: ({ oauth1 }) => (oauth1 === undefined ? [] : [oauth1.accessTokenId]),
  consumerId: ({ oauth1 }) => (oauth1 === undefined ? [] : [oauth1.consumerId]),
  userId: ({ user, trust }) =>
    trust === undefined ? [user.id] : [user.id, trust.trustorId, trust.trusteeId],
  projectId: ({ scope }) => (scope.kind === 'project' ? [scope.id] : []),
  domainScopeId: ({ scope }) => (scope.kind === 'domain' ? [scope.id] : []),
  domainId: ({ user, scope }) => {
    if (scope.kind === 'project') return [user.domain.id, scope.domain.id]
    return scope.kind === 'domain' ? [user.domain.id, scope.id] : [user.domain.id]
  },
  roleId: ({ roles }) => roles.map(({ id }) => id),
}

function parseTime(value: unknown): number {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  if (Number.isNaN(ms)) throw badEvent(`"${String(value)}" is not a time`)
  return ms
}

function badEvent(reason: string): ServiceError {
  return new ServiceError('BadRevocation', `revocation event: ${reason}`)
}
