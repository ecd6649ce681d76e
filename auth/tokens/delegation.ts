import type { StateReader } from '../../common/state/state-store.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import {
  effectiveRoleIds,
  effectiveRoles,
  globalRoles,
  groupIdsOf,
  impliedClosure,
  type RoleHolder,
  type RoleTarget,
} from '../assignments/effective-roles.ts'
import { forbidden, unauthorized } from '../errors.ts'
import {
  type ApplicationCredentialRow,
  accessRules,
  applicationCredentials,
} from '../tables/application-credentials.ts'
import { type AccessTokenRow, accessTokens } from '../tables/oauth1.ts'
import type { RoleRow } from '../tables/rows.ts'
import { projects, users } from '../tables/tables.ts'
import { type TrustRow, trusts } from '../tables/trusts.ts'
import { isOver } from './expiry.ts'

/** What a token was got by that is good for less than its holder; judged anew with each use of the token. */
export type Delegation =
  | { readonly kind: 'application-credential'; readonly credential: ApplicationCredentialRow }
  | { readonly kind: 'trust'; readonly trust: TrustRow; readonly chain: readonly TrustRow[] }
  | { readonly kind: 'access-token'; readonly token: AccessTokenRow }

/** What the claims of a token name; 401 if it is gone or over, or one of those who trusted is. */
export async function delegationOfClaims(
  reader: StateReader,
  claims: TokenClaims,
  nowMs: number,
): Promise<Delegation | undefined> {
  if (claims.applicationCredential !== undefined) {
    const { id } = claims.applicationCredential
    return applicationCredentialDelegation(await applicationCredentials.get(reader, id), nowMs)
  }
  if (claims.trust !== undefined) return trustDelegation(reader, claims.trust.id, nowMs)
  if (claims.oauth1 !== undefined) {
    return accessTokenDelegation(await accessTokens.get(reader, claims.oauth1.accessTokenId), nowMs)
  }
  return undefined
}

/** 401 if there is none or it is over. */
export function accessTokenDelegation(
  token: AccessTokenRow | undefined,
  nowMs: number,
): Delegation {
  if (token === undefined) throw unauthorized('no such access token')
  if (isOver(token.expiresAt, nowMs)) throw unauthorized('the access token is over')
  return { kind: 'access-token', token }
}

/** 401 if there is none or it is over. */
export function applicationCredentialDelegation(
  credential: ApplicationCredentialRow | undefined,
  nowMs: number,
): Delegation {
  if (credential === undefined) throw unauthorized('no such application credential')
  if (isOver(credential.expiresAt, nowMs)) throw unauthorized('the application credential is over')
  return { kind: 'application-credential', credential }
}

/** The trust with those that it was given on from; 401 if one of them is gone or over, or a trustor or trustee is. */
export async function trustDelegation(
  reader: StateReader,
  id: string,
  nowMs: number,
): Promise<Delegation> {
  const chain = await trustChain(reader, id)
  const [trust] = chain
  if (trust === undefined || chain.at(-1)!.redelegatedTrustId !== null) {
    throw unauthorized('no such trust')
  }
  for (const one of chain) {
    if (isOver(one.expiresAt, nowMs)) throw unauthorized('the trust is over')
    await requireEnabled(reader, one.trustorId)
    await requireEnabled(reader, one.trusteeId)
  }
  return { kind: 'trust', trust, chain }
}

/** A trust, the one that it was given on from, and so on to the first. */
export async function trustChain(reader: StateReader, id: string): Promise<readonly TrustRow[]> {
  const chain: TrustRow[] = []
  let next: string | null = id
  while (next !== null) {
    const row: TrustRow | undefined = await trusts.get(reader, next)
    if (row === undefined) break
    chain.push(row)
    next = row.redelegatedTrustId
  }
  return chain
}

async function requireEnabled(reader: StateReader, userId: string): Promise<void> {
  const user = await users.get(reader, userId)
  const domain = user === undefined ? undefined : await projects.get(reader, user.domainId)
  if (!user?.enabled || !domain?.enabled) throw unauthorized('a trustor or trustee is disabled')
}

/** The roles that it gives on a target; 403 if the first trustor has not all of them any more. */
export async function delegatedRoles(
  reader: StateReader,
  delegation: Delegation,
  { userId, target }: { readonly userId: string; readonly target: RoleTarget },
): Promise<readonly RoleRow[]> {
  switch (delegation.kind) {
    case 'application-credential': {
      const holder = await holderOf(reader, userId)
      const roles = await effectiveRoles(reader, holder, target)
      return roles.filter(({ id }) => delegation.credential.roleIds.includes(id))
    }
    case 'access-token': {
      const given = await impliedClosure(reader, new Set(delegation.token.roleIds))
      const roles = await effectiveRoles(reader, await holderOf(reader, userId), target)
      return roles.filter(({ id }) => given.has(id))
    }
    case 'trust': {
      const holder = await holderOf(reader, delegation.chain.at(-1)!.trustorId)
      const held = await effectiveRoleIds(reader, holder, target)
      const given = await impliedClosure(reader, new Set(delegation.trust.roleIds))
      if ([...given].some((id) => !held.has(id))) throw forbidden('Trustee has no delegated roles.')
      return globalRoles(reader, given)
    }
  }
}

async function holderOf(reader: StateReader, userId: string): Promise<RoleHolder> {
  return { userId, groupIds: await groupIdsOf(reader, userId) }
}

/** What tokens got by it say of it. */
export async function claimsOf(
  reader: StateReader,
  delegation: Delegation | undefined,
): Promise<Pick<TokenClaims, 'applicationCredential' | 'trust' | 'oauth1'>> {
  switch (delegation?.kind) {
    case undefined:
      return {}
    case 'application-credential': {
      const { id, unrestricted, accessRuleIds } = delegation.credential
      const head = { id, restricted: !unrestricted }
      if (accessRuleIds === null) return { applicationCredential: head }
      const rules = await Promise.all(accessRuleIds.map((rule) => accessRules.get(reader, rule)))
      const allowed = rules
        .filter((rule) => rule !== undefined)
        .map(({ service, path, method }) => ({ service, path, method }))
      return { applicationCredential: { ...head, accessRules: allowed } }
    }
    case 'access-token': {
      const { id, consumerId } = delegation.token
      return { oauth1: { consumerId, accessTokenId: id } }
    }
    case 'trust': {
      const { id, trustorId, trusteeId, impersonation } = delegation.trust
      return { trust: { id, trustorId, trusteeId, impersonation } }
    }
  }
}

/** When it ends; null if it does not by itself. */
export function expiryMsOf(delegation: Delegation | undefined): number | null {
  const ends = delegation === undefined ? [] : rowsOf(delegation).map(({ expiresAt }) => expiresAt)
  const times = ends.filter((end) => end !== null).map((end) => Date.parse(end))
  return times.length === 0 ? null : Math.min(...times)
}

function rowsOf(delegation: Delegation): readonly { readonly expiresAt: string | null }[] {
  switch (delegation.kind) {
    case 'application-credential':
      return [delegation.credential]
    case 'trust':
      return delegation.chain
    case 'access-token':
      return [delegation.token]
  }
}

/** The project that its tokens are for; null if they have no scope. */
export function projectIdOf(delegation: Delegation): string | null {
  switch (delegation.kind) {
    case 'application-credential':
      return delegation.credential.projectId
    case 'trust':
      return delegation.trust.projectId
    case 'access-token':
      return delegation.token.projectId
  }
}
