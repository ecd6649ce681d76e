import { ServiceError } from '../../common/errors.ts'
import { type Answer, NO_CONTENT, ok } from '../../common/http/route.ts'
import { REVOCATIONS_PATH } from '../../common/token/revocation.ts'
import { TOKEN_KEYS_PATH } from '../../common/token/token-keys.ts'
import { effectiveRoles, groupIdsOf } from '../assignments/effective-roles.ts'
import { domainsOfUser, projectsOfUser } from '../assignments/reachable.ts'
import { forbidden, invalid, notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import { parseAuthRequest } from '../tokens/auth-request.ts'
import { type IssuedToken, issueToken } from '../tokens/issuing.ts'
import { MoreProofsNeeded } from '../tokens/receipt.ts'
import type { TokenSubject } from '../tokens/token-subject.ts'
import { validateToken } from '../tokens/validation.ts'
import { showDomainRow } from './domains.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { oauthRequestOf } from './oauth-request.ts'
import { showProjectRow } from './project-view.ts'
import { formatTime } from './times.ts'
import { catalogFor, showToken } from './token-view.ts'
import { apiUrl, listAnswer } from './views.ts'

export const authRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/auth/tokens', handle: signIn },
  { method: 'GET', path: '/v3/auth/tokens', handle: showSubject },
  { method: 'DELETE', path: '/v3/auth/tokens', handle: revokeSubject },
  { method: 'GET', path: '/v3/auth/catalog', handle: showCatalog },
  { method: 'GET', path: '/v3/auth/projects', handle: listReachableProjects },
  { method: 'GET', path: '/v3/auth/domains', handle: listReachableDomains },
  { method: 'GET', path: '/v3/auth/system', handle: listReachableSystem },
  { method: 'GET', path: REVOCATIONS_PATH, handle: listRevocations },
  { method: 'GET', path: TOKEN_KEYS_PATH, handle: listKeys },
]

const RECEIPT_HEADER = 'Openstack-Auth-Receipt'

async function signIn(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const request = parseAuthRequest(call.body.auth)
  let issued: IssuedToken
  try {
    issued = await issueToken(parts, request, {
      receiptText: call.header(RECEIPT_HEADER),
      oauth: oauthRequestOf(call),
    })
  } catch (error) {
    if (error instanceof MoreProofsNeeded) return showReceipt(error)
    throw error
  }
  const { token, subject } = issued
  parts.log.info('signed in', {
    requestId: call.requestId,
    user: subject.user.id,
    methods: subject.claims.methods,
    scope: subject.scope.kind,
  })
  return {
    status: 201,
    headers: { 'X-Subject-Token': token },
    body: { token: await showToken(call, subject, { catalog: wantsCatalog(call) }) },
  }
}

/** 401 that says what was proven and what is wanted besides. */
function showReceipt({
  text,
  receipt,
  user,
  userDomain,
  requiredMethods,
}: MoreProofsNeeded): Answer {
  const { methods, expiresAtMs, issuedAtMs } = receipt
  const domain = { id: userDomain.id, name: userDomain.name }
  return {
    status: 401,
    headers: { [RECEIPT_HEADER]: text },
    body: {
      receipt: {
        methods,
        user: { id: user.id, name: user.name, domain },
        expires_at: formatTime(expiresAtMs),
        issued_at: formatTime(issuedAtMs),
      },
      required_auth_methods: requiredMethods,
    },
  }
}

function wantsCatalog(call: IdentityCall): boolean {
  return !call.query.has('nocatalog')
}

async function showSubject(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  callerOrRefuse(call)
  const action = call.method === 'HEAD' ? 'check_token' : 'validate_token'
  const isExpiredGood = /^(1|true|yes|on|t|y|)$/i.test(call.query.get('allow_expired') ?? 'no')
  const expiredMs = isExpiredGood ? parts.settings.allowExpiredSeconds * 1000 : 0
  const subject = await subjectOf(call, expiredMs)
  enforce(call, action, { target: { token: { user_id: subject.user.id } } })
  if (!knowsAccessRules(call, subject)) throw noSuchToken()
  return {
    status: 200,
    headers: { 'X-Subject-Token': call.header('x-subject-token') },
    body: { token: await showToken(call, subject, { catalog: wantsCatalog(call) }) },
  }
}

/** A service that does not know of access rules must not take a token that has some for one without. */
function knowsAccessRules(call: IdentityCall, { claims }: TokenSubject): boolean {
  const version = Number(call.header('openstack-identity-access-rules') || '0')
  return claims.applicationCredential?.accessRules === undefined || version >= 1
}

/** Voids the token itself; those that were got by it stay. */
async function revokeSubject(call: IdentityCall): Promise<Answer> {
  callerOrRefuse(call)
  const subject = await subjectOf(call)
  enforce(call, 'revoke_token', { target: { token: { user_id: subject.user.id } } })
  await change(call.context.parts, ({ revoke }) => revoke({ auditId: subject.claims.auditIds[0]! }))
  return NO_CONTENT
}

/** The holder of `X-Subject-Token`; 404 to everybody if it is no token that is good. */
async function subjectOf(call: IdentityCall, expiredMs = 0): Promise<TokenSubject> {
  const token = call.header('x-subject-token')
  if (token === '') throw new ServiceError('NotFound', 'Could not find token.', { status: 404 })
  try {
    return await validateToken(call.context.parts, token, { expiredMs })
  } catch (error) {
    if (error instanceof ServiceError && error.status === 401) throw noSuchToken()
    throw error
  }
}

/** Without the token's text, which would be logged. */
function noSuchToken(): ServiceError {
  return notFound('token', 'the one in X-Subject-Token')
}

async function showCatalog(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_auth_catalog')
  const { subject } = callerOrRefuse(call)
  if (subject.scope.kind !== 'project') {
    throw forbidden('A project-scoped token is required to produce a service catalog.')
  }
  const owner = { userId: subject.user.id, projectId: subject.scope.project.id }
  const catalog = await catalogFor(call, owner)
  return ok({ catalog, links: { self: `${apiUrl(call)}/auth/catalog` } })
}

async function listReachableProjects(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_auth_projects')
  const { user } = callerOrRefuse(call).subject
  const rows = await projectsOfUser(call.context.parts.state, user.id)
  const shown = rows.filter(({ enabled }) => enabled).map(showProjectRow)
  return listAnswer(call, shown, { name: 'projects' })
}

async function listReachableDomains(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_auth_domains')
  const { user } = callerOrRefuse(call).subject
  const rows = await domainsOfUser(call.context.parts.state, user.id)
  const shown = rows.filter(({ enabled }) => enabled).map(showDomainRow)
  return listAnswer(call, shown, { name: 'domains' })
}

async function listReachableSystem(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_auth_system')
  const { state } = call.context.parts
  const { user } = callerOrRefuse(call).subject
  const holder = { userId: user.id, groupIds: await groupIdsOf(state, user.id) }
  const roles = await effectiveRoles(state, holder, { kind: 'system' })
  return ok({
    system: roles.length > 0 ? [{ all: true }] : [],
    links: { self: `${apiUrl(call)}/auth/system` },
  })
}

async function listRevocations(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_revoke_events')
  const since = call.query.get('since')
  const sinceMs = since === null ? Number.NEGATIVE_INFINITY : Date.parse(since)
  if (Number.isNaN(sinceMs)) throw invalid(`invalid date format ${since}`)
  const { etag, events } = call.context.parts.revocations.published
  // Every service asks every other second: as long as nothing is new there is nothing to send, to encode and to read.
  if (call.header('if-none-match') === etag) return { status: 304, headers: { ETag: etag } }
  return {
    status: 200,
    headers: { ETag: etag },
    body: {
      events: events.filter(({ revokedAtMs }) => revokedAtMs >= sinceMs).map(({ shown }) => shown),
      links: { next: null, self: `${apiUrl(call)}/OS-REVOKE/events`, previous: null },
    },
  }
}

/** The public keys that tokens are verified with; for everybody, as they are public. */
async function listKeys(call: IdentityCall): Promise<Answer> {
  return ok(call.context.parts.keys().published)
}
