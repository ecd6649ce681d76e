import { ServiceError } from '../../common/errors.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import { signToken } from '../../common/token/signed-token.ts'
import { expecting, invalid, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { UserRow } from '../tables/rows.ts'
import { projects } from '../tables/tables.ts'
import { AUTH_METHODS, type AuthProof } from './auth-methods.ts'
import type { AuthRequest, WantedScope } from './auth-request.ts'
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

/** Signs somebody in: all methods have to prove the same user. Throws 400, 401. */
export async function issueToken(parts: IdentityParts, request: AuthRequest): Promise<IssuedToken> {
  const proof = await proveAll(parts, request)
  const { user, userDomain } = await enabledUser(parts.state, proof.userId)
  const scope = await scopeOf(parts, request.scope, { user, proof })
  const roles = await rolesInScope(parts.state, user.id, scope)
  const nowMs = Math.floor(parts.clock.nowMs())
  const auditId = Buffer.from(parts.random.bytes(16)).toString('base64url')
  const lifeEndMs = nowMs + parts.settings.tokenLifeSeconds * 1000
  const claims: TokenClaims = {
    user: { id: user.id, name: user.name, domain: { id: userDomain.id, name: userDomain.name } },
    methods: proof.methods,
    auditIds: proof.auditChainId === undefined ? [auditId] : [auditId, proof.auditChainId],
    issuedAtMs: nowMs,
    expiresAtMs: Math.min(lifeEndMs, proof.expiresAtMs ?? lifeEndMs),
    scope: claimsScope(scope),
    roles: roles.map(({ id, name }) => ({ id, name })),
    ...(proof.applicationCredential !== undefined && {
      applicationCredential: proof.applicationCredential,
    }),
  }
  const token = await signToken(claims, parts.keys().signing)
  return { token, subject: { claims, user, userDomain, scope, roles } }
}

/** What all methods together prove. */
async function proveAll(
  parts: IdentityParts,
  request: AuthRequest,
): Promise<AuthProof & { readonly methods: readonly string[] }> {
  if (request.methods.length === 0) throw expecting('methods', 'identity')
  const proofs: AuthProof[] = []
  for (const name of request.methods) {
    const method = Object.hasOwn(AUTH_METHODS, name) ? AUTH_METHODS[name] : undefined
    if (method === undefined) throw unknownMethod()
    proofs.push(await method(parts, request.payloads[name]))
  }
  if (new Set(proofs.map(({ userId }) => userId)).size > 1) {
    throw unauthorized('the methods prove different users')
  }
  const earlier = proofs.flatMap(({ methods = [] }) => methods)
  const methods = [...new Set([...request.methods, ...earlier])]
  return Object.assign({}, ...proofs, { methods }) as AuthProof & { methods: readonly string[] }
}

async function scopeOf(
  parts: IdentityParts,
  wanted: WantedScope,
  { user, proof }: { readonly user: UserRow; readonly proof: AuthProof },
): Promise<SubjectScope> {
  const { state } = parts
  if (proof.projectId !== undefined) {
    // An application credential is for its project and nothing else.
    if (wanted.kind !== 'none') throw unauthorized('the scope is given by the credential')
    return projectScope(state, await projects.get(state, proof.projectId))
  }
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
    case 'trust':
      throw invalid('trusts are not built yet')
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
