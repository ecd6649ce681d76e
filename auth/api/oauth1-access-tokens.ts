import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { forbidden, notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import type { PolicyAction } from '../policy/rules.ts'
import { deleteAccessToken } from '../removal/oauth1-removal.ts'
import { type AccessTokenRow, accessTokens } from '../tables/oauth1.ts'
import { roles } from '../tables/tables.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { requireRole, showRoleRow } from './roles.ts'
import { apiUrl, itemAnswer, listAnswer } from './views.ts'

const PATH = '/v3/users/:userId/OS-OAUTH1/access_tokens'

export const accessTokenRoutes: readonly IdentityRoute[] = [
  { method: 'GET', path: PATH, handle: listTokens },
  { method: 'GET', path: `${PATH}/:id`, handle: showToken },
  { method: 'DELETE', path: `${PATH}/:id`, handle: removeToken },
  { method: 'GET', path: `${PATH}/:id/roles`, handle: listRoles },
  { method: 'GET', path: `${PATH}/:id/roles/:roleId`, handle: showRole },
]

async function listTokens(call: IdentityCall): Promise<Answer> {
  enforceUndelegated(call, 'list_access_tokens')
  const { userId = '' } = call.params
  const rows = await accessTokens.by(call.context.parts.state, 'user', userId)
  return listAnswer(
    call,
    rows.map((row) => showRow(call, row)),
    { name: 'access_tokens', collection: collectionOf(userId) },
  )
}

async function showToken(call: IdentityCall): Promise<Answer> {
  enforceUndelegated(call, 'get_access_token')
  const row = await requireToken(call, call.context.parts.state)
  const shown = showRow(call, row)
  const answer = itemAnswer(call, shown, {
    name: 'access_token',
    collection: collectionOf(row.userId),
  })
  return answer
}

async function removeToken(call: IdentityCall): Promise<Answer> {
  enforceUndelegated(call, 'delete_access_token')
  await change(call.context.parts, async (changing) => {
    const { id } = await requireToken(call, changing.tx)
    await deleteAccessToken(changing, id)
  })
  return NO_CONTENT
}

async function listRoles(call: IdentityCall): Promise<Answer> {
  enforceUndelegated(call, 'list_access_token_roles')
  const { state } = call.context.parts
  const { roleIds } = await requireToken(call, state)
  const rows = await Promise.all(roleIds.map((id) => roles.get(state, id)))
  const shown = rows.filter((row) => row !== undefined).map(showRoleRow)
  return listAnswer(call, shown, { name: 'roles' })
}

async function showRole(call: IdentityCall): Promise<Answer> {
  enforceUndelegated(call, 'get_access_token_role')
  const { state } = call.context.parts
  const { roleIds } = await requireToken(call, state)
  const { roleId = '' } = call.params
  if (!roleIds.includes(roleId)) throw notFound('role', roleId)
  return itemAnswer(call, showRoleRow(await requireRole(state, roleId)), { name: 'role' })
}

function enforceUndelegated(call: IdentityCall, action: PolicyAction): void {
  enforce(call, action)
  if (callerOrRefuse(call).subject.delegation !== undefined) {
    throw forbidden('Cannot manage OAuth access tokens with a token issued via delegation.')
  }
}

/** The access token, if it is one of the user of the path. */
async function requireToken(call: IdentityCall, reader: StateReader): Promise<AccessTokenRow> {
  const { userId = '', id = '' } = call.params
  const row = await accessTokens.get(reader, id)
  if (row === undefined || row.userId !== userId) throw notFound('access token', id)
  return row
}

function showRow(call: IdentityCall, row: AccessTokenRow) {
  const { id, consumerId, projectId, userId, expiresAt } = row
  return {
    id,
    consumer_id: consumerId,
    project_id: projectId,
    authorizing_user_id: userId,
    expires_at: expiresAt,
    roles_links: { self: `${apiUrl(call)}/${collectionOf(userId)}/${id}/roles` },
  }
}

function collectionOf(userId: string): string {
  return `users/${encodeURIComponent(userId)}/OS-OAUTH1/access_tokens`
}
