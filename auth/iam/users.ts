import type { IamResult } from '../../common/iam.ts'
import { type IamEntityRow, type IamTag, iamEntities, iamKeys } from '../tables/iam.ts'
import { rootArn, storageAccount } from './arns.ts'
import {
  changeEntity,
  createEntity,
  deleteEntity,
  entityNamed,
  KINDS,
  listEntities,
  markerName,
  namedEntity,
  pageOf,
  renameEntity,
  showBoundary,
  showEntity,
  showTags,
  tagList,
} from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import { limitExceeded, noSuchEntity, validationError } from './iam-error.ts'
import { list, optional, optionalNumber, required, tagsOf } from './iam-params.ts'

const GROUPS_MAX = 10
const TAGS_MAX = 50

export const USER_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async CreateUser(call) {
    return { User: await showWhole(call, await createEntity(call, 'user')) }
  },
  async GetUser(call) {
    const row = await userAsked(call)
    return { User: row === null ? rootUser(call) : await showWhole(call, row) }
  },
  ListUsers: (call) => listEntities(call, 'user', (row) => showEntity(call, row), 'Users'),
  async UpdateUser(call) {
    await renameEntity(call, 'user')
    return {}
  },
  async DeleteUser(call) {
    await deleteEntity(call, 'user', async (tx, user) => {
      const keys = await iamKeys.by(tx, 'user', user.id)
      return keys.length > 0 ? 'must delete access keys first' : null
    })
    return {}
  },
  async ListUserTags(call) {
    return { Tags: tagList(await namedEntity(call, 'user')), IsTruncated: false }
  },
  TagUser: (call) => addTags(call, 'user'),
  UntagUser: (call) => removeTags(call, 'user'),
}

export const GROUP_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async CreateGroup(call) {
    return { Group: showEntity(call, await createEntity(call, 'group')) }
  },
  async GetGroup(call) {
    const group = await namedEntity(call, 'group')
    const members = await iamEntities.by(call.parts.state, 'member', group.id)
    const sorted = [...members].sort((a, b) => (a.nameKey < b.nameKey ? -1 : 1))
    const after = markerName(call.params.Marker)
    const names = after === undefined ? sorted : sorted.filter(({ nameKey }) => nameKey > after)
    const count = optionalNumber(call.params, 'MaxItems', { min: 1, max: 1000 }) ?? 100
    const page = pageOf(names, {
      count,
      element: 'Users',
      show: (row) => showEntity(call, row),
      keyOf: ({ nameKey }) => nameKey,
    })
    return { Group: showEntity(call, group), ...page }
  },
  ListGroups: (call) => listEntities(call, 'group', (row) => showEntity(call, row), 'Groups'),
  async UpdateGroup(call) {
    await renameEntity(call, 'group')
    return {}
  },
  async DeleteGroup(call) {
    await deleteEntity(call, 'group', async (tx, group) => {
      const members = await iamEntities.by(tx, 'member', group.id)
      return members.length > 0 ? 'must remove users from group first' : null
    })
    return {}
  },
  AddUserToGroup: (call) =>
    changeGroups(call, (groups, id) => {
      const next = [...new Set([...groups, id])]
      if (next.length > GROUPS_MAX) throw limitExceeded(`groups of a user: ${GROUPS_MAX}`)
      return next
    }),
  RemoveUserFromGroup: (call) =>
    changeGroups(call, (groups, id) => {
      if (!groups.includes(id)) throw noSuchEntity('The user in the group')
      return groups.filter((group) => group !== id)
    }),
  async ListGroupsForUser(call) {
    const user = await namedEntity(call, 'user')
    const { state } = call.parts
    const rows = await Promise.all(user.groups.map((id) => iamEntities.one(state, 'id', id)))
    const groups = rows.filter((row) => row !== undefined)
    return { Groups: groups.map((row) => showEntity(call, row)), IsTruncated: false }
  },
}

/** The user that the call names; the caller itself if it names none, which is null for an account's root. */
export async function userAsked(call: IamCall): Promise<IamEntityRow | null> {
  const name = optional(call.params, 'UserName', KINDS.user.form)
  if (name !== undefined) return namedEntity(call, 'user')
  const { principal } = call.caller
  if (principal.kind === 'account') return null
  if (principal.userName === undefined) {
    throw validationError('Must specify userName when calling with non-User credentials')
  }
  return entityNamed(call, { kind: 'user', name: principal.userName })
}

async function showWhole(call: IamCall, row: IamEntityRow): Promise<IamResult> {
  return { ...showEntity(call, row), ...(await showBoundary(call, row)), ...showTags(row) }
}

/** An account's root, as GetUser shows it. */
function rootUser({ parts, caller }: IamCall) {
  const account = storageAccount(parts, caller.projectId)
  return {
    Path: '/',
    UserName: account,
    UserId: account,
    Arn: rootArn(parts, caller.projectId),
    CreateDate: new Date(0).toISOString(),
  }
}

async function changeGroups(
  call: IamCall,
  changed: (groups: readonly string[], id: string) => readonly string[],
): Promise<Record<string, never>> {
  await call.parts.state.transaction(async (tx) => {
    const group = await namedEntity(call, 'group', tx)
    const name = required(call.params, 'UserName', KINDS.user.form)
    // Whether the group may be changed was asked; users are not asked for, as in AWS.
    const { projectId } = call.caller
    const user = await iamEntities.get(tx, projectId, 'user', name.toLowerCase())
    if (user === undefined) throw noSuchEntity(`The user with name ${name}`)
    await iamEntities.put(tx, { ...user, groups: changed(user.groups, group.id) })
  })
  return {}
}

export async function addTags(
  call: IamCall,
  kind: 'user' | 'role',
): Promise<Record<string, never>> {
  const added = tagsOf(call.params)
  await changeEntity(call, kind, (row) => ({ ...row, tags: withTags(row.tags, added) }))
  return {}
}

/** Those that are there, with further ones in the place of those with the same keys. Throws LimitExceeded. */
export function withTags(before: readonly IamTag[], added: readonly IamTag[]): readonly IamTag[] {
  const kept = before.filter(({ key }) => !added.some((tag) => tag.key === key))
  const tags = [...kept, ...added]
  if (tags.length > TAGS_MAX) throw limitExceeded(`tags: ${TAGS_MAX}`)
  return tags
}

export async function removeTags(
  call: IamCall,
  kind: 'user' | 'role',
): Promise<Record<string, never>> {
  const keys = list(call.params, 'TagKeys')
  await changeEntity(call, kind, (row) => ({
    ...row,
    tags: row.tags.filter(({ key }) => !keys.includes(key)),
  }))
  return {}
}
