import { type Answer, ok } from '../../common/http/route.ts'
import { checkSchema } from '../../common/http/schema.ts'
import { type Random, randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { effectiveRoleIds, groupIdsOf } from '../assignments/effective-roles.ts'
import { equalTexts } from '../ec2/aws-signature.ts'
import { expecting, forbidden, notFound, unauthorized } from '../errors.ts'
import type { OAuthRequest } from '../oauth1/oauth-signature.ts'
import { checkSigned } from '../oauth1/signed-request.ts'
import { sealSecret } from '../secrets/sealed-rows.ts'
import {
  type AccessTokenRow,
  accessTokens,
  type RequestTokenRow,
  requestTokens,
} from '../tables/oauth1.ts'
import type { RoleRow } from '../tables/rows.ts'
import { isOver } from '../tokens/expiry.ts'
import { roleId } from './application-credentials.ts'
import { ID, nameSchema } from './bodies.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { oauthRequestOf } from './oauth-request.ts'
import { requireConsumer } from './oauth1-consumers.ts'
import { requireProject } from './project-view.ts'
import { formatTime } from './times.ts'

/** A consumer asks, a user agrees, the consumer gets. */
export const oauthHandshakeRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/OS-OAUTH1/request_token', handle: createRequestToken },
  { method: 'PUT', path: '/v3/OS-OAUTH1/authorize/:id', handle: authorize },
  { method: 'POST', path: '/v3/OS-OAUTH1/access_token', handle: createAccessToken },
]

const ROLES = {
  type: 'array',
  minItems: 1,
  maxItems: 128,
  items: {
    type: 'object',
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    properties: { id: ID, name: nameSchema(255) },
  },
}
/** Request tokens of a consumer that wait. */
const PENDING_MAX = 1000
const VERIFIER_CHARS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const VERIFIER_LENGTH = 8

async function createRequestToken(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const request = signedBy(call)
  const consumerId = parameterOf(request, 'oauth_consumer_key')
  const projectId = call.header('requested-project-id')
  if (projectId === '') throw expecting('Requested-Project-Id', 'request')
  await checkSigned(parts, request, { consumerId })
  const id = randomId(parts.random)
  const secret = randomId(parts.random)
  const nowMs = parts.clock.nowMs()
  const row: RequestTokenRow = {
    id,
    sealedSecret: sealSecret(parts, { table: requestTokens, id }, secret),
    consumerId,
    projectId,
    expiresAt: formatTime(nowMs + parts.settings.oauthRequestSeconds * 1000),
    authorized: null,
  }
  await parts.state.transaction(async (tx) => {
    await requireConsumer(tx, consumerId)
    await requireProject(tx, projectId)
    await makeRoom(tx, consumerId, nowMs)
    await requestTokens.put(tx, row)
  })
  return tokenAnswer({ id, secret, expiresAt: row.expiresAt })
}

/** Forgets what is over. Throws 403 if too many wait still. */
async function makeRoom(tx: StateTransaction, consumerId: string, nowMs: number): Promise<void> {
  const rows = await requestTokens.by(tx, 'consumer', consumerId)
  const old = rows.filter(({ expiresAt }) => isOver(expiresAt, nowMs))
  for (const { id } of old) await requestTokens.delete(tx, id)
  if (rows.length - old.length >= PENDING_MAX) {
    throw forbidden('Too many request tokens of the consumer wait.')
  }
}

/** The user lets the consumer have roles of the user's on the project. */
async function authorize(call: IdentityCall): Promise<Answer> {
  enforce(call, 'authorize_request_token')
  const { subject } = callerOrRefuse(call)
  if (subject.delegation !== undefined) {
    throw forbidden('Cannot authorize a request token with a token issued via delegation.')
  }
  const { parts } = call.context
  if (call.body.roles === undefined) throw expecting('roles', 'request body')
  checkSchema(ROLES, call.body.roles)
  const wanted = call.body.roles as readonly Partial<RoleRow>[]
  const verifier = newVerifier(parts.random)
  await parts.state.transaction(async (tx) => {
    const row = await requireRequestToken(tx, call.params.id ?? '', parts.clock.nowMs())
    const roleIds = await Promise.all(wanted.map((role) => roleId(tx, role)))
    const userId = subject.user.id
    await requireRoles(tx, { userId, projectId: row.projectId, roleIds })
    await requestTokens.put(tx, { ...row, authorized: { userId, roleIds, verifier } })
  })
  return ok({ token: { oauth_verifier: verifier } })
}

async function requireRoles(
  reader: StateReader,
  wanted: {
    readonly userId: string
    readonly projectId: string
    readonly roleIds: readonly string[]
  },
): Promise<void> {
  const { userId, projectId, roleIds } = wanted
  const project = await requireProject(reader, projectId)
  if (project.isDomain) throw notFound('project', projectId)
  const holder = { userId, groupIds: await groupIdsOf(reader, userId) }
  const held = await effectiveRoleIds(reader, holder, { kind: 'project', project })
  if (roleIds.every((id) => held.has(id))) return
  throw unauthorized('the authorizing user does not have the role')
}

function newVerifier(random: Random): string {
  const characters = Array.from({ length: VERIFIER_LENGTH }, () =>
    VERIFIER_CHARS.charAt(random.below(VERIFIER_CHARS.length)),
  )
  return characters.join('')
}

/** What was agreed to, for the consumer that knows the verifier: once. */
async function createAccessToken(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const request = signedBy(call)
  const consumerId = parameterOf(request, 'oauth_consumer_key')
  const requestId = parameterOf(request, 'oauth_token')
  const verifier = parameterOf(request, 'oauth_verifier')
  const nowMs = parts.clock.nowMs()
  const asked = await requireRequestToken(parts.state, requestId, nowMs)
  if (asked.consumerId !== consumerId) throw unauthorized('a request token of another consumer')
  await checkSigned(parts, request, { consumerId, token: asked, kind: 'request' })
  const id = randomId(parts.random)
  const secret = randomId(parts.random)
  const sealedSecret = sealSecret(parts, { table: accessTokens, id }, secret)
  const row = await parts.state.transaction(async (tx) => {
    const { authorized, projectId } = await requireRequestToken(tx, requestId, nowMs)
    if (authorized === null) throw unauthorized('nobody has agreed')
    if (!equalTexts(authorized.verifier, verifier)) throw unauthorized('wrong verifier')
    const { userId, roleIds } = authorized
    const expiresAt = formatTime(nowMs + parts.settings.oauthAccessSeconds * 1000)
    const made: AccessTokenRow = {
      id,
      sealedSecret,
      consumerId,
      projectId,
      userId,
      roleIds,
      expiresAt,
    }
    await accessTokens.put(tx, made)
    await requestTokens.delete(tx, requestId)
    return made
  })
  return tokenAnswer({ id, secret, expiresAt: row.expiresAt! })
}

/** The request token; 404 if there is none, 401 if it is over. */
async function requireRequestToken(
  reader: StateReader,
  id: string,
  nowMs: number,
): Promise<RequestTokenRow> {
  const row = await requestTokens.get(reader, id)
  if (row === undefined) throw notFound('request token', id)
  if (isOver(row.expiresAt, nowMs)) throw unauthorized('the request token is over')
  return row
}

function signedBy(call: IdentityCall): OAuthRequest {
  const request = oauthRequestOf(call)
  if (request === null) throw expecting('an Authorization header of OAuth', 'request')
  return request
}

function parameterOf({ parameters }: OAuthRequest, name: string): string {
  const value = parameters.get(name)
  if (value === undefined || value === '') throw expecting(name, 'request')
  return value
}

/** 201 as a form, which is what clients of OAuth read. */
function tokenAnswer(token: {
  readonly id: string
  readonly secret: string
  readonly expiresAt: string
}): Answer {
  const form = new URLSearchParams({
    oauth_token: token.id,
    oauth_token_secret: token.secret,
    oauth_expires_at: token.expiresAt,
  })
  return {
    status: 201,
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
  }
}
