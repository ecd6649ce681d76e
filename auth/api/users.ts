import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { projectsOfUser } from '../assignments/reachable.ts'
import { conflict, expecting, forbidden, invalid, unauthorized } from '../errors.ts'
import { change } from '../identity-parts.ts'
import { checkMinimumAge, withPassword } from '../passwords/password-rules.ts'
import { deleteCredentialsOf } from '../removal/delegation-removal.ts'
import { deleteUserRow } from '../removal/user-removal.ts'
import type { UserRow } from '../tables/rows.ts'
import { groups, memberships, users } from '../tables/tables.ts'
import { checkPassword } from '../tokens/auth-methods.ts'
import {
  bodyOf,
  changed,
  extraOf,
  FLAG,
  ID,
  ID_OR_NULL,
  nameSchema,
  refuseOtherId,
  TEXT_OR_NULL,
  type Values,
} from './bodies.ts'
import { requireDomain } from './domains.ts'
import { showGroupRow } from './group-view.ts'
import {
  callerOrRefuse,
  domainOfCaller,
  enforce,
  type IdentityCall,
  type IdentityRoute,
  mayDo,
} from './identity-call.ts'
import { type LongList, longListAnswer } from './long-lists.ts'
import { showProjectRow } from './project-view.ts'
import { withOptions } from './resource-options.ts'
import { requireUser, showUserRow, userTarget } from './user-view.ts'
import { createdAnswer, itemAnswer, listAnswer } from './views.ts'

const PROPERTIES = {
  name: nameSchema(255),
  domain_id: ID,
  default_project_id: ID_OR_NULL,
  password: TEXT_OR_NULL,
  enabled: FLAG,
  description: TEXT_OR_NULL,
  email: TEXT_OR_NULL,
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      ignore_change_password_upon_first_use: { type: ['boolean', 'null'] },
      ignore_password_expiry: { type: ['boolean', 'null'] },
      ignore_lockout_failure_attempts: { type: ['boolean', 'null'] },
      ignore_user_inactivity: { type: ['boolean', 'null'] },
      lock_password: { type: ['boolean', 'null'] },
      multi_factor_auth_enabled: { type: ['boolean', 'null'] },
      multi_factor_auth_rules: {
        type: ['array', 'null'],
        items: { type: 'array', items: { type: 'string' }, uniqueItems: true, minItems: 1 },
        uniqueItems: true,
      },
    },
  },
}
const OWN = [
  'id',
  'links',
  'password_expires_at',
  'name',
  'domain_id',
  'default_project_id',
  'password',
  'enabled',
  'options',
]
const CREATE = { properties: PROPERTIES, required: ['name'] }
const UPDATE = { properties: PROPERTIES, minProperties: 1 }
const PASSWORD_CHANGE = {
  properties: { original_password: { type: 'string' }, password: { type: 'string' } },
  required: ['original_password', 'password'],
}

export const userRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/users', handle: createUser },
  { method: 'GET', path: '/v3/users', handle: listUsers },
  { method: 'GET', path: '/v3/users/:id', handle: showUser },
  { method: 'PATCH', path: '/v3/users/:id', handle: updateUser },
  { method: 'DELETE', path: '/v3/users/:id', handle: deleteUser },
  { method: 'POST', path: '/v3/users/:id/password', handle: changePassword },
  { method: 'GET', path: '/v3/users/:id/groups', handle: listGroupsOfUser },
  { method: 'GET', path: '/v3/users/:id/projects', handle: listProjectsOfUser },
]

async function createUser(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  callerOrRefuse(call)
  const values = bodyOf(call, 'user', CREATE)
  const domainId = (values.domain_id as string | undefined) ?? domainOfCaller(call)
  enforce(call, 'create_user', { target: { user: { domain_id: domainId } } })
  const nowMs = parts.clock.nowMs()
  const options = withOptions({}, values.options)
  const row: UserRow = {
    id: randomId(parts.random),
    domainId,
    name: values.name as string,
    enabled: (values.enabled as boolean | undefined) ?? true,
    defaultProjectId: (values.default_project_id as string | null | undefined) ?? null,
    passwords: await newPasswords(call, { passwords: [], options }, values),
    options,
    extra: extraOf(values, OWN),
    createdAtMs: nowMs,
    lastActiveAtMs: null,
  }
  await parts.state.transaction(async (tx) => {
    await requireDomain(tx, domainId)
    await refuseDuplicate(tx, row)
    await users.put(tx, row)
  })
  return createdAnswer(call, showUserRow(row), { name: 'user' })
}

/** The passwords after a body that may set one (or take it away). */
async function newPasswords(
  call: IdentityCall,
  before: Pick<UserRow, 'passwords' | 'options'>,
  values: Values,
): Promise<UserRow['passwords']> {
  const { parts } = call.context
  if (!Object.hasOwn(values, 'password')) return before.passwords
  if (values.password === null) return []
  return withPassword(
    before,
    { password: values.password as string, selfService: false, nowMs: parts.clock.nowMs() },
    { rules: parts.settings.security, random: parts.random },
  )
}

async function listUsers(call: IdentityCall): Promise<Answer> {
  const { parts, caller } = call.context
  const { query } = call
  const domainId = query.get('domain_id')
  enforce(call, 'list_users', {
    target: { domain_id: domainId ?? caller?.credentials.domain_id ?? null },
  })
  const expired = expiryFilter(query.get('password_expires_at'))
  const list: LongList<UserRow> = {
    pages: (after) => pagesFor(parts.state, query, after),
    get: (id) => users.get(parts.state, id),
    isWanted: (row) =>
      mayDo(call, 'list_users', { target: { domain_id: row.domainId } }) && expired(row),
    show: showUserRow,
  }
  return longListAnswer(call, list, {
    name: 'users',
    filters: ['id', 'name', 'domain_id', 'enabled'],
  })
}

/** By an index where the query names a value that has one. */
async function* pagesFor(
  reader: StateReader,
  query: URLSearchParams,
  after: UserRow | undefined,
): AsyncGenerator<readonly UserRow[], void, undefined> {
  const [name, domainId] = [query.get('name'), query.get('domain_id')]
  const from = after === undefined ? {} : { after }
  if (name !== null && domainId !== null) {
    const row = await users.one(reader, 'name', domainId, name)
    if (row !== undefined && row.id !== after?.id) yield [row]
  } else if (domainId === null) yield* users.pages(reader, from)
  else yield* users.pagesBy(reader, 'domain', { values: [domainId], ...from })
}

const OPERATORS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  lt: (a, b) => a < b,
  lte: (a, b) => a <= b,
  gt: (a, b) => a > b,
  gte: (a, b) => a >= b,
  eq: (a, b) => a === b,
  neq: (a, b) => a !== b,
}

/** `password_expires_at=lt:2026-01-01T00:00:00Z`. Throws 400 for what is not of this form. */
function expiryFilter(wanted: string | null): (row: UserRow) => boolean {
  if (wanted === null) return () => true
  const [, operator = 'eq', time = ''] = /^(?:([a-z]+):)?(\d{4}-.+)$/.exec(wanted) ?? []
  const compare = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator]! : null
  const wantedMs = Date.parse(time)
  if (compare === null || Number.isNaN(wantedMs)) throw invalid(`"${wanted}" is not OPERATOR:TIME.`)
  return ({ passwords }) => {
    const expiresAtMs = passwords[0]?.expiresAtMs ?? null
    return expiresAtMs !== null && compare(expiresAtMs, wantedMs)
  }
}

async function showUser(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'get_user', await userTarget(state, id))
  return itemAnswer(call, showUserRow(await requireUser(state, id)), { name: 'user' })
}

async function updateUser(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { id = '' } = call.params
  enforce(call, 'update_user', await userTarget(parts.state, id))
  const values = bodyOf(call, 'user', UPDATE)
  refuseOtherId(values, id)
  // Hashing takes long: before the transaction, which others wait for.
  const passwords = await newPasswords(call, await requireUser(parts.state, id), values)
  const row = await change(parts, async (changing) => {
    const { tx, revoke } = changing
    const before = await requireUser(tx, id)
    if (Object.hasOwn(values, 'domain_id') && values.domain_id !== before.domainId) {
      throw invalid('Cannot change the domain_id of a user.')
    }
    const after: UserRow = {
      ...before,
      name: changed(values, 'name', before.name),
      enabled: changed(values, 'enabled', before.enabled),
      defaultProjectId: changed(values, 'default_project_id', before.defaultProjectId),
      passwords: Object.hasOwn(values, 'password') ? passwords : before.passwords,
      options: withOptions(before.options, values.options),
      extra: { ...before.extra, ...extraOf(values, OWN) },
      // Switched on again, a user has as long as anybody to sign in.
      lastActiveAtMs:
        values.enabled === true && !before.enabled && before.lastActiveAtMs !== null
          ? parts.clock.nowMs()
          : before.lastActiveAtMs,
    }
    if (after.name !== before.name) await refuseDuplicate(tx, after)
    await users.put(tx, after)
    const disabled = before.enabled && !after.enabled
    if (disabled || Object.hasOwn(values, 'password')) await revoke({ userId: id })
    if (disabled) await deleteCredentialsOf(changing, id)
    return after
  })
  return itemAnswer(call, showUserRow(row), { name: 'user' })
}

async function deleteUser(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { id = '' } = call.params
  enforce(call, 'delete_user', await userTarget(parts.state, id))
  await change(parts, async (changing) => {
    await requireUser(changing.tx, id)
    await deleteUserRow(changing, id)
  })
  return NO_CONTENT
}

/** A user changes the own password; needs no token, since it may have expired. */
async function changePassword(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { id = '' } = call.params
  const values = bodyOf(call, 'user', PASSWORD_CHANGE)
  const { original_password: original, password } = values as Readonly<Record<string, string>>
  if (original === undefined || password === undefined) throw expecting('password', 'user')
  if (call.context.caller?.subject.delegation !== undefined) {
    throw forbidden('Cannot change a password with a token issued via delegation.')
  }
  const user = await users.get(parts.state, id)
  await checkPassword(parts, user, original, { expiredIsGood: true })
  if (user!.options.lock_password === true) {
    throw invalid(
      'You cannot change your password at this time due to password policy disallowing password changes. Please ' +
        'contact your administrator to reset your password.',
    )
  }
  if (!user!.enabled) throw unauthorized('the user is disabled')
  const nowMs = parts.clock.nowMs()
  checkMinimumAge(user!, nowMs, parts.settings.security)
  const passwords = await withPassword(
    user!,
    { password, selfService: true, nowMs },
    { rules: parts.settings.security, random: parts.random },
  )
  await change(parts, async ({ tx, revoke }) => {
    const before = await requireUser(tx, id)
    if (before.passwords[0]?.hash !== user!.passwords[0]?.hash) throw unauthorized('it was changed')
    await users.put(tx, { ...before, passwords })
    await revoke({ userId: id })
  })
  return NO_CONTENT
}

async function listGroupsOfUser(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'list_groups_for_user', await userTarget(state, id))
  await requireUser(state, id)
  const joined = await memberships.by(state, 'user', id)
  const rows = await Promise.all(joined.map(({ groupId }) => groups.get(state, groupId)))
  const shown = rows.filter((row) => row !== undefined).map(showGroupRow)
  return listAnswer(call, shown, { name: 'groups', filters: ['name'] })
}

async function listProjectsOfUser(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'list_user_projects', await userTarget(state, id))
  await requireUser(state, id)
  const rows = await projectsOfUser(state, id)
  return listAnswer(call, rows.map(showProjectRow), {
    name: 'projects',
    filters: ['name', 'enabled', 'domain_id', 'parent_id'],
  })
}

async function refuseDuplicate(reader: StateReader, row: UserRow): Promise<void> {
  const other = await users.one(reader, 'name', row.domainId, row.name)
  if (other === undefined || other.id === row.id) return
  throw conflict('user', `Duplicate entry found with name ${row.name} at domain ID ${row.domainId}`)
}
