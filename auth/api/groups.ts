import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import type { PolicyFacts } from '../../common/policy/policy.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { conflict, invalid, notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import { deleteGroupRow } from '../removal/user-removal.ts'
import type { GroupRow, UserRow } from '../tables/rows.ts'
import { groups, memberships, users } from '../tables/tables.ts'
import { bodyOf, changed, extraOf, ID, nameSchema, refuseOtherId, TEXT_OR_NULL } from './bodies.ts'
import { requireDomain } from './domains.ts'
import { groupTarget, requireGroup, showGroupRow } from './group-view.ts'
import {
  callerOrRefuse,
  domainOfCaller,
  enforce,
  type IdentityCall,
  type IdentityRoute,
  mayDo,
} from './identity-call.ts'
import { type LongList, longListAnswer } from './long-lists.ts'
import { requireUser, showUserRow } from './user-view.ts'
import { createdAnswer, itemAnswer } from './views.ts'

const PROPERTIES = { name: nameSchema(64), domain_id: ID, description: TEXT_OR_NULL }
const OWN = ['id', 'links', ...Object.keys(PROPERTIES)]
const CREATE = { properties: PROPERTIES, required: ['name'] }
const UPDATE = { properties: PROPERTIES, minProperties: 1 }

export const groupRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/groups', handle: createGroup },
  { method: 'GET', path: '/v3/groups', handle: listGroups },
  { method: 'GET', path: '/v3/groups/:id', handle: showGroup },
  { method: 'PATCH', path: '/v3/groups/:id', handle: updateGroup },
  { method: 'DELETE', path: '/v3/groups/:id', handle: deleteGroup },
  { method: 'GET', path: '/v3/groups/:id/users', handle: listMembers },
  { method: 'PUT', path: '/v3/groups/:id/users/:userId', handle: addMember },
  { method: 'GET', path: '/v3/groups/:id/users/:userId', handle: checkMember },
  { method: 'DELETE', path: '/v3/groups/:id/users/:userId', handle: removeMember },
]

async function createGroup(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  callerOrRefuse(call)
  const values = bodyOf(call, 'group', CREATE)
  const row: GroupRow = {
    id: randomId(parts.random),
    domainId: (values.domain_id as string | undefined) ?? domainOfCaller(call),
    name: values.name as string,
    description: (values.description as string | null | undefined) ?? '',
    extra: extraOf(values, OWN),
  }
  enforce(call, 'create_group', { target: { group: showGroupRow(row) } })
  await parts.state.transaction(async (tx) => {
    await requireDomain(tx, row.domainId)
    await refuseDuplicate(tx, row)
    await groups.put(tx, row)
  })
  return createdAnswer(call, showGroupRow(row), { name: 'group' })
}

async function listGroups(call: IdentityCall): Promise<Answer> {
  const { parts, caller } = call.context
  const domainId = call.query.get('domain_id')
  enforce(call, 'list_groups', {
    target: { group: { domain_id: domainId ?? caller?.credentials.domain_id ?? null } },
  })
  const { state } = parts
  const list: LongList<GroupRow> = {
    pages: (after) => {
      const from = after === undefined ? {} : { after }
      if (domainId === null) return groups.pages(state, from)
      return groups.pagesBy(state, 'domain', { values: [domainId], ...from })
    },
    get: (id) => groups.get(state, id),
    isWanted: (row) => mayDo(call, 'list_groups', { target: { group: showGroupRow(row) } }),
    show: showGroupRow,
  }
  return longListAnswer(call, list, { name: 'groups', filters: ['id', 'name', 'domain_id'] })
}

async function showGroup(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'get_group', await groupTarget(state, id))
  return itemAnswer(call, showGroupRow(await requireGroup(state, id)), { name: 'group' })
}

async function updateGroup(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'update_group', await groupTarget(state, id))
  const values = bodyOf(call, 'group', UPDATE)
  refuseOtherId(values, id)
  const row = await state.transaction(async (tx) => {
    const before = await requireGroup(tx, id)
    if (Object.hasOwn(values, 'domain_id') && values.domain_id !== before.domainId) {
      throw invalid('Cannot change the domain_id of a group.')
    }
    const after: GroupRow = {
      ...before,
      name: changed(values, 'name', before.name),
      description: changed<string | null>(values, 'description', before.description) ?? '',
      extra: { ...before.extra, ...extraOf(values, OWN) },
    }
    if (after.name !== before.name) await refuseDuplicate(tx, after)
    await groups.put(tx, after)
    return after
  })
  return itemAnswer(call, showGroupRow(row), { name: 'group' })
}

async function deleteGroup(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { id = '' } = call.params
  enforce(call, 'delete_group', await groupTarget(parts.state, id))
  await change(parts, async (changing) => {
    await requireGroup(changing.tx, id)
    await deleteGroupRow(changing, id)
  })
  return NO_CONTENT
}

async function listMembers(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'list_users_in_group', await groupTarget(state, id))
  await requireGroup(state, id)
  const list: LongList<UserRow> = {
    pages: (after) => membersOf(state, id, after),
    async get(userId) {
      const joined = await memberships.get(state, id, userId)
      return joined === undefined ? undefined : users.get(state, userId)
    },
    show: showUserRow,
  }
  return longListAnswer(call, list, { name: 'users', filters: ['name', 'enabled', 'domain_id'] })
}

async function* membersOf(
  reader: StateReader,
  groupId: string,
  after: UserRow | undefined,
): AsyncGenerator<readonly UserRow[], void, undefined> {
  const from = after === undefined ? {} : { after: { groupId, userId: after.id } }
  for await (const joined of memberships.pages(reader, { prefix: [groupId], ...from })) {
    const rows = await Promise.all(joined.map(({ userId }) => users.get(reader, userId)))
    yield rows.filter((row) => row !== undefined)
  }
}

async function addMember(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  enforce(call, 'add_user_to_group', await memberTarget(call))
  const { id = '', userId = '' } = call.params
  await state.transaction(async (tx) => {
    await requireGroup(tx, id)
    await requireUser(tx, userId)
    await memberships.put(tx, { groupId: id, userId })
  })
  return NO_CONTENT
}

async function checkMember(call: IdentityCall): Promise<Answer> {
  enforce(call, 'check_user_in_group', await memberTarget(call))
  await requireMember(call, call.context.parts.state)
  return NO_CONTENT
}

async function removeMember(call: IdentityCall): Promise<Answer> {
  enforce(call, 'remove_user_from_group', await memberTarget(call))
  const { id = '', userId = '' } = call.params
  await change(call.context.parts, async ({ tx, revoke }) => {
    await requireMember(call, tx)
    await memberships.delete(tx, id, userId)
    await revoke({ userId })
  })
  return NO_CONTENT
}

async function memberTarget(call: IdentityCall): Promise<PolicyFacts> {
  const { state } = call.context.parts
  const { id = '', userId = '' } = call.params
  const [group, user] = await Promise.all([groups.get(state, id), users.get(state, userId)])
  return {
    target: {
      group: group === undefined ? { id } : showGroupRow(group),
      user: user === undefined ? { id: userId } : showUserRow(user),
    },
  }
}

async function requireMember(call: IdentityCall, reader: StateReader): Promise<void> {
  const { id = '', userId = '' } = call.params
  await requireGroup(reader, id)
  await requireUser(reader, userId)
  if ((await memberships.get(reader, id, userId)) === undefined) {
    throw notFound('user in group', userId)
  }
}

async function refuseDuplicate(reader: StateReader, row: GroupRow): Promise<void> {
  const other = await groups.one(reader, 'name', row.domainId, row.name)
  if (other === undefined || other.id === row.id) return
  throw conflict(
    'group',
    `Duplicate entry found with name ${row.name} at domain ID ${row.domainId}`,
  )
}
