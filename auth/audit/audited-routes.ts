import { ServiceError } from '../../common/errors.ts'
import type { Answer } from '../../common/http/route.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { verifyToken } from '../../common/token/signed-token.ts'
import type { IdentityCall, IdentityRoute } from '../api/identity-call.ts'
import { applicationCredentials } from '../tables/application-credentials.ts'
import type { UserRow } from '../tables/rows.ts'
import { users } from '../tables/tables.ts'
import type { Reference } from '../tokens/auth-request.ts'
import { findUser } from '../tokens/references.ts'
import type { AuditTrail } from './audit-trail.ts'
import {
  type AuditedCall,
  type AuditedGrant,
  type AuditKind,
  auditKindOf,
  typeUriOf,
} from './audited-calls.ts'
import { ACCOUNT_USER, type AuditFact, type AuditInitiator, UNKNOWN } from './cadf.ts'

/** Characters of what a client has sent, in one value of an event. */
const TEXT_MAX = 512

/** How a call has ended: with an answer, or with an error, which is thrown on. */
type Ending = { readonly answer: Answer } | { readonly error: unknown }

/** The calls, each of those that change something with an event for what came of it. */
export function auditedRoutes(
  routes: readonly IdentityRoute[],
  trail: AuditTrail,
): readonly IdentityRoute[] {
  return routes.map((route) => {
    const kind = auditKindOf(route)
    if (kind === null) return route
    return { ...route, handle: (call) => handleAudited(call, { route, kind, trail }) }
  })
}

async function handleAudited(
  call: IdentityCall,
  audited: {
    readonly route: IdentityRoute
    readonly kind: AuditKind
    readonly trail: AuditTrail
  },
): Promise<Answer> {
  const { route, kind, trail } = audited
  try {
    const answer = await route.handle(call)
    for (const fact of await factsOf(call, kind, { answer })) await trail.note(fact)
    return answer
  } catch (error) {
    for (const fact of await factsOf(call, kind, { error })) await trail.note(fact)
    throw error
  }
}

async function factsOf(
  call: IdentityCall,
  kind: AuditKind,
  ending: Ending,
): Promise<readonly AuditFact[]> {
  switch (kind.kind) {
    case 'authenticate':
      return [await signInFact(call, ending)]
    case 'role-assignment':
      return [assignmentFact(call, kind, ending)]
    case 'resource':
      return resourceFacts(call, kind.call, ending)
  }
}

/** One event for each thing that was made: limits are made several at once. */
async function resourceFacts(
  call: IdentityCall,
  audited: AuditedCall,
  ending: Ending,
): Promise<readonly AuditFact[]> {
  const { operation, resource, more = {} } = audited
  const named = Object.entries(more).map(([name, param]) => [name, call.params[param]])
  const ids = await targetIds(call, audited, ending)
  return ids.map((id) => ({
    eventType: `${resource}.${operation}`,
    action: `${operation}.${resource}`,
    ...outcomeOf(ending),
    initiator: callerOf(call),
    target: { typeUri: typeUriOf(resource), id },
    more: { resource_info: id, ...Object.fromEntries(named) },
  }))
}

async function targetIds(
  call: IdentityCall,
  { idParam, idField, ofToken }: AuditedCall,
  ending: Ending,
): Promise<readonly string[]> {
  if (idParam !== undefined) return [textOf(call.params[idParam])]
  if (idField !== undefined) return [textOf(call.body[idField])]
  if (ofToken) return [await auditIdOf(call)]
  return 'answer' in ending ? idsOfAnswer(ending.answer) : [UNKNOWN]
}

/** The audit id of the token that a call is about: its text is a secret. */
async function auditIdOf(call: IdentityCall): Promise<string> {
  const text = call.header('x-subject-token')
  const claims = await verifyToken(text, call.context.parts.keys().verifying)
  return claims?.auditIds[0] ?? UNKNOWN
}

function assignmentFact(call: IdentityCall, grant: AuditedGrant, ending: Ending): AuditFact {
  const { operation, actor, target, inherited } = grant
  const { actorId = UNKNOWN, targetId = 'all', roleId } = call.params
  return {
    eventType: `role_assignment.${operation}`,
    action: `${operation}.role_assignment`,
    ...outcomeOf(ending),
    initiator: callerOf(call),
    target: { typeUri: ACCOUNT_USER, id: actorId },
    more: {
      role: roleId,
      [actor]: actorId,
      [target]: targetId,
      inherited_to_projects: inherited,
    },
  }
}

async function signInFact(call: IdentityCall, ending: Ending): Promise<AuditFact> {
  const holder: Holder =
    'answer' in ending ? holderOf(ending.answer) : await claimedUser(call).catch(() => ({}))
  return {
    eventType: 'authenticate',
    action: 'authenticate',
    ...outcomeOf(ending),
    initiator: { ...originOf(call), ...holder },
    target: { typeUri: ACCOUNT_USER, id: holder.userId ?? UNKNOWN },
  }
}

type Holder = Pick<AuditInitiator, 'userId' | 'userName' | 'projectId' | 'domainId'>

interface ShownHolder {
  readonly user: { readonly id: string; readonly name: string }
  readonly project?: { readonly id: string }
  readonly domain?: { readonly id: string }
}

/** Who has signed in, as the answer says: a token, or a receipt for a part of the proofs. */
function holderOf({ body }: Answer): Holder {
  const { token, receipt } = body as {
    readonly token?: ShownHolder
    readonly receipt?: ShownHolder
  }
  const { user, project, domain } = (token ?? receipt)!
  return {
    userId: user.id,
    userName: user.name,
    ...(project !== undefined && { projectId: project.id }),
    ...(domain !== undefined && { domainId: domain.id }),
  }
}

/** Whom somebody said to be who was not let in; nobody if there is no such user: the name might be a mistyped password. */
async function claimedUser(call: IdentityCall): Promise<Holder> {
  const { state } = call.context.parts
  const { auth } = call.body as { readonly auth?: { readonly identity?: Claim } }
  const { password, totp, application_credential: credential } = auth?.identity ?? {}
  const reference = password?.user ?? totp?.user ?? credential?.user
  const user =
    reference !== undefined
      ? await findUser(state, reference)
      : await userOfCredential(state, credential?.id)
  return user === undefined ? {} : { userId: user.id, userName: user.name }
}

/** What a body may say of who signs in; it may be anything, then the search fails. */
interface Claim {
  readonly password?: { readonly user?: Reference }
  readonly totp?: { readonly user?: Reference }
  readonly application_credential?: { readonly id?: string; readonly user?: Reference }
}

async function userOfCredential(
  state: StateReader,
  id: string | undefined,
): Promise<UserRow | undefined> {
  const row = id === undefined ? undefined : await applicationCredentials.get(state, id)
  return row === undefined ? undefined : users.get(state, row.userId)
}

/** Who makes a call, by its token. */
function callerOf(call: IdentityCall): AuditInitiator {
  const origin = originOf(call)
  const { caller } = call.context
  if (caller === null) return origin
  const { user, scope } = caller.subject
  return {
    ...origin,
    userId: user.id,
    userName: user.name,
    ...(scope.kind === 'project' && { projectId: scope.project.id }),
    ...(scope.kind === 'domain' && { domainId: scope.domain.id }),
  }
}

function originOf(call: IdentityCall): AuditInitiator {
  const { requestId, remoteAddress: address } = call
  return { requestId, address, agent: call.header('user-agent').slice(0, TEXT_MAX) }
}

function outcomeOf(ending: Ending): Pick<AuditFact, 'outcome' | 'reason'> {
  if ('answer' in ending) return { outcome: ending.answer.status < 400 ? 'success' : 'pending' }
  const { error } = ending
  if (!(error instanceof ServiceError)) {
    return { outcome: 'failure', reason: { code: 500, type: 'an unexpected error' } }
  }
  // A 401 does not tell the client why; those who read the audit log may know.
  const type = error.status === 401 && typeof error.cause === 'string' ? error.cause : error.message
  return { outcome: 'failure', reason: { code: error.status, type: type.slice(0, TEXT_MAX) } }
}

/** The ids of what an answer shows: `{user: {id}}`, `{limits: [{id}]}`, or a form of OAuth. */
function idsOfAnswer({ body }: Answer): readonly string[] {
  if (body instanceof Uint8Array) {
    return [new URLSearchParams(Buffer.from(body).toString()).get('oauth_token') ?? UNKNOWN]
  }
  const shown = Object.values((body ?? {}) as Readonly<Record<string, unknown>>)[0]
  const items = Array.isArray(shown) ? shown : [shown]
  return items.map((item) => {
    const { id, access, name } = (item ?? {}) as Readonly<Record<string, unknown>>
    return textOf(id ?? access ?? name)
  })
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, TEXT_MAX) : UNKNOWN
}
