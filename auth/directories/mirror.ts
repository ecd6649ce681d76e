import type { StateReader } from '../../common/state/state-store.ts'
import type { DirectoryGroup, DirectoryUser } from '../drivers/identity-driver.ts'
import { publicId } from '../drivers/public-id.ts'
import type { Change } from '../identity-parts.ts'
import type { Extra, GroupRow, UserRow } from '../tables/rows.ts'
import { groups, memberships, users } from '../tables/tables.ts'
import { directoryEntries, isDirectoryId } from './directory-tables.ts'

/**
 * Users and groups of directories are kept as rows like all others, so that assignments, tokens and lists need not know where
 * they come from. The rows are what the directory said last; here they are brought into step with it.
 */

/** What API and tables can hold of a directory's entry: others are left out. */
const NAME_CHARS_MAX = 255

/** Whether an entry can be shown and kept. */
export function isKeepable({ localId, name }: DirectoryUser | DirectoryGroup): boolean {
  const good = (text: string) =>
    text !== '' && text.length <= NAME_CHARS_MAX && !text.includes('\0')
  return good(localId) && good(name)
}

export function userRowOf(
  domainId: string,
  user: DirectoryUser,
  before: UserRow | undefined,
  nowMs: number,
): UserRow {
  const { localId, name, enabled, description, email, defaultProjectId } = user
  const texts = Object.entries({ description, email }).flatMap(([attribute, text]) =>
    text === undefined || text.includes('\0') ? [] : [[attribute, text]],
  )
  return {
    id: publicId(domainId, 'user', localId),
    domainId,
    name,
    enabled,
    defaultProjectId: defaultProjectId ?? null,
    passwords: [],
    options: before?.options ?? {},
    extra: Object.fromEntries(texts) as Extra,
    createdAtMs: before?.createdAtMs ?? nowMs,
    lastActiveAtMs: before?.lastActiveAtMs ?? null,
  }
}

export function groupRowOf(domainId: string, group: DirectoryGroup): GroupRow {
  const { localId, name, description = '' } = group
  return {
    id: publicId(domainId, 'group', localId),
    domainId,
    name,
    description: description.replaceAll('\0', ''),
    extra: {},
  }
}

/** Writes a user's row; nothing if it is there already. The name has to be free. */
export async function putUser(changing: Change, row: UserRow, localId: string): Promise<void> {
  const { tx, revoke } = changing
  const before = await users.get(tx, row.id)
  if (isSame(before, row)) return
  await directoryEntries.put(tx, { id: row.id, domainId: row.domainId, kind: 'user', localId })
  await users.put(tx, row)
  if (before?.enabled === true && !row.enabled) await revoke({ userId: row.id })
}

/** Writes a group's row; nothing if it is there already. The name has to be free. */
export async function putGroup({ tx }: Change, row: GroupRow, localId: string): Promise<void> {
  if (isSame(await groups.get(tx, row.id), row)) return
  await directoryEntries.put(tx, { id: row.id, domainId: row.domainId, kind: 'group', localId })
  await groups.put(tx, row)
}

/** Takes the name from a row that is about to get another one; until then it has its id for a name. */
export async function parkUser({ tx }: Change, id: string): Promise<void> {
  const row = await users.get(tx, id)
  if (row !== undefined) await users.put(tx, { ...row, name: id })
}

/** As for users. */
export async function parkGroup({ tx }: Change, id: string): Promise<void> {
  const row = await groups.get(tx, id)
  if (row !== undefined) await groups.put(tx, { ...row, name: id })
}

/** Takes away what the directory no longer has. Assignments stay: they count again if it comes back. */
export async function dropUser({ tx, revoke }: Change, id: string): Promise<void> {
  if ((await users.get(tx, id)) === undefined) return
  for (const { groupId } of await memberships.by(tx, 'user', id)) {
    await memberships.delete(tx, groupId, id)
  }
  await users.delete(tx, id)
  await revoke({ userId: id })
}

/** As for users; the tokens of its members are void, as those may have had roles by it. */
export async function dropGroup({ tx, revoke }: Change, id: string): Promise<void> {
  if ((await groups.get(tx, id)) === undefined) return
  for (const { userId } of await memberships.list(tx, { prefix: [id] })) {
    await memberships.delete(tx, id, userId)
    await revoke({ userId })
  }
  await groups.delete(tx, id)
}

/** Brings the groups that a user is in, those of the directory, into step. */
export async function setGroupsOfUser(
  { tx, revoke }: Change,
  userId: string,
  groupIds: ReadonlySet<string>,
): Promise<void> {
  const before = (await memberships.by(tx, 'user', userId)).map(({ groupId }) => groupId)
  const left = before.filter((id) => isDirectoryId(id) && !groupIds.has(id))
  for (const groupId of left) await memberships.delete(tx, groupId, userId)
  for (const groupId of groupIds) {
    if (!before.includes(groupId)) await memberships.put(tx, { groupId, userId })
  }
  if (left.length > 0) await revoke({ userId })
}

/** Brings the users that are in a group of the directory into step. */
export async function setUsersOfGroup(
  { tx, revoke }: Change,
  groupId: string,
  userIds: ReadonlySet<string>,
): Promise<void> {
  const before = (await memberships.list(tx, { prefix: [groupId] })).map(({ userId }) => userId)
  for (const userId of before.filter((id) => !userIds.has(id))) {
    await memberships.delete(tx, groupId, userId)
    await revoke({ userId })
  }
  for (const userId of userIds) {
    if (!before.includes(userId)) await memberships.put(tx, { groupId, userId })
  }
}

/** The id that has the name now, if it is not this one. */
export async function otherHolder(
  reader: StateReader,
  kind: 'user' | 'group',
  row: Pick<UserRow, 'id' | 'domainId' | 'name'>,
): Promise<string | null> {
  const table = kind === 'user' ? users : groups
  const holder = await table.one(reader, 'name', row.domainId, row.name)
  return holder === undefined || holder.id === row.id ? null : holder.id
}

/** Rows hold JSON alone. */
export function isSame(before: UserRow | GroupRow | undefined, after: UserRow | GroupRow): boolean {
  return before !== undefined && sortedJson(before) === sortedJson(after)
}

function sortedJson(row: object): string {
  return JSON.stringify(row, (_name, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
