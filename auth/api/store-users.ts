import { type Answer, created, NO_CONTENT, ok } from '../../common/http/route.ts'
import { DEFAULT_DOMAIN_ID } from '../settings.ts'
import {
  addStoreUser,
  listStoreUsers,
  removeStoreUser,
  setStoreUserKey,
} from '../store-users/store-users.ts'
import { bodyOf, TEXT } from './bodies.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'

/** Not of Keystone: what `swiftlet user` asks for, by `project:user`. Administrators only. */
export const storeUserRoutes: readonly IdentityRoute[] = [
  { method: 'GET', path: '/v3/OS-SWIFTLET/store-users', handle: listAll },
  { method: 'POST', path: '/v3/OS-SWIFTLET/store-users', handle: add },
  { method: 'DELETE', path: '/v3/OS-SWIFTLET/store-users/:name', handle: remove },
  { method: 'PUT', path: '/v3/OS-SWIFTLET/store-users/:name/key', handle: setKey },
]

const NEW_USER = {
  properties: {
    name: TEXT,
    key: TEXT,
    roles: { type: 'array', items: { type: 'string', minLength: 1, maxLength: 255 }, minItems: 1 },
    account: TEXT,
  },
  required: ['name', 'key', 'roles'],
  additionalProperties: false,
}
const NEW_KEY = { properties: { key: TEXT }, required: ['key'], additionalProperties: false }

/** Any role can be given here: only who may make roles may do so. */
function requireAdmin(call: IdentityCall): void {
  callerOrRefuse(call)
  enforce(call, 'create_role', { target: { role: { domain_id: null } } })
  enforce(call, 'create_user', { target: { user: { domain_id: DEFAULT_DOMAIN_ID } } })
}

async function listAll(call: IdentityCall): Promise<Answer> {
  requireAdmin(call)
  return ok({ store_users: await listStoreUsers(call.context.parts.state) })
}

async function add(call: IdentityCall): Promise<Answer> {
  requireAdmin(call)
  const { name, key, roles, account } = bodyOf(call, 'store_user', NEW_USER)
  const user = await addStoreUser(call.context.parts, {
    name: name as string,
    key: key as string,
    roles: roles as readonly string[],
    account: account as string | undefined,
  })
  return created({ store_user: user })
}

async function remove(call: IdentityCall): Promise<Answer> {
  requireAdmin(call)
  await removeStoreUser(call.context.parts, call.params.name ?? '')
  return NO_CONTENT
}

async function setKey(call: IdentityCall): Promise<Answer> {
  requireAdmin(call)
  const { key } = bodyOf(call, 'store_user', NEW_KEY)
  await setStoreUserKey(call.context.parts, { name: call.params.name ?? '', key: key as string })
  return NO_CONTENT
}
