import { ServiceError } from '../../common/errors.ts'
import type { Call, Route } from '../../common/http/route.ts'
import type { RawCall } from '../../common/http/service-app.ts'
import type { PolicyFacts } from '../../common/policy/policy.ts'
import { allowsCall } from '../../common/token/access-rules.ts'
import { unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { PolicyCaller } from '../policy/identity-policy.ts'
import type { PolicyAction } from '../policy/rules.ts'
import type { TokenSubject } from '../tokens/token-subject.ts'
import { validateToken } from '../tokens/validation.ts'

/** Who makes a call. */
export interface IdentityCaller extends PolicyCaller {
  readonly subject: TokenSubject
}

export interface IdentityContext {
  readonly parts: IdentityParts
  /** Null without a token, or with one that is not good. */
  readonly caller: IdentityCaller | null
}

/** A call of the identity API. */
export type IdentityCall = Call<IdentityContext>
export type IdentityRoute = Route<IdentityContext>

/** Finds out who asks. */
export async function identityContext(
  parts: IdentityParts,
  call: RawCall,
): Promise<IdentityContext> {
  const token = call.header('x-auth-token')
  if (token === '') return { parts, caller: null }
  try {
    const subject = await validateToken(parts, token)
    return { parts, caller: isAllowed(subject, call) ? callerOf(subject) : null }
  } catch (error) {
    if (error instanceof ServiceError && error.status === 401) return { parts, caller: null }
    throw error
  }
}

/** What access rules of application credentials call this service. */
const SERVICE_TYPE = 'identity'

/** Whether the token's access rules, if it has any, let it make the call. */
function isAllowed({ claims }: TokenSubject, { method, path }: RawCall): boolean {
  const rules = claims.applicationCredential?.accessRules
  if (rules === undefined) return true
  // A token may always be looked at.
  if (method === 'GET' && path === '/v3/auth/tokens') return true
  const own = rules.filter(({ service }) => service === SERVICE_TYPE)
  return allowsCall(own, { method, path })
}

/** The holder of a token as the policy sees it; names as in Keystone's rules. */
export function callerOf(subject: TokenSubject): IdentityCaller {
  const { scope, user, roles, claims } = subject
  const project = scope.kind === 'project' ? scope.project : null
  const domain = scope.kind === 'domain' ? scope.domain : null
  return {
    subject,
    scope: scope.kind,
    credentials: {
      roles: roles.map(({ name }) => name),
      user_id: user.id,
      user_domain_id: user.domainId,
      project_id: project?.id ?? null,
      domain_id: domain?.id ?? null,
      system_scope: scope.kind === 'system' ? 'all' : null,
      trust_id: claims.trust?.id ?? null,
      token: {
        ...(domain !== null && { domain: { id: domain.id } }),
        ...(project !== null && { project: { id: project.id, domain: { id: project.domainId } } }),
      },
    },
  }
}

/** Throws 401 or 403 unless the caller may do it to the target. */
export function enforce(call: IdentityCall, action: PolicyAction, target: PolicyFacts = {}): void {
  const { parts, caller } = call.context
  parts.policy.enforce(action, caller, target)
}

/** Whether the caller may do it to the target; for lists, whose items are judged one by one. */
export function mayDo(call: IdentityCall, action: PolicyAction, target: PolicyFacts): boolean {
  const { parts, caller } = call.context
  return caller !== null && parts.policy.allows(action, caller, target)
}

/** Who asks; 401 if nobody has signed in. */
export function callerOrRefuse(call: IdentityCall): IdentityCaller {
  const { caller } = call.context
  if (caller === null) throw unauthorized()
  return caller
}

/** The domain that a body which names none is for: that of the token, or the default one. */
export function domainOfCaller(call: IdentityCall): string {
  const { parts, caller } = call.context
  const scope = caller?.subject.scope
  if (scope?.kind === 'domain') return scope.domain.id
  if (scope?.kind === 'project') return scope.domain.id
  return parts.settings.defaultDomainId
}
