import type { StateReader } from '../../common/state/state-store.ts'
import type { AssignmentRow, ProjectRow, RoleRow, TargetKind } from '../tables/rows.ts'
import { SYSTEM_ID } from '../tables/rows.ts'
import { assignments, impliedRoles, memberships, projects, roles } from '../tables/tables.ts'

/** What roles are looked up for. */
export type RoleTarget =
  | { readonly kind: 'project'; readonly project: ProjectRow }
  | { readonly kind: 'domain'; readonly domain: ProjectRow }
  | { readonly kind: 'system' }

/** Somebody who may have roles: directly and by groups. */
export interface RoleHolder {
  readonly userId: string
  readonly groupIds: readonly string[]
}

/** Ids of the groups that a user is in. */
export async function groupIdsOf(reader: StateReader, userId: string): Promise<readonly string[]> {
  return (await memberships.by(reader, 'user', userId)).map(({ groupId }) => groupId)
}

/**
 * The roles that somebody has on a target: assigned directly or to a group, inherited from the domain or from projects
 * above, and all that these imply. Roles of one domain count only by what they imply.
 */
export async function effectiveRoles(
  reader: StateReader,
  holder: RoleHolder,
  target: RoleTarget,
): Promise<readonly RoleRow[]> {
  return globalRoles(reader, await effectiveRoleIds(reader, holder, target))
}

/** Ids of the roles of `effectiveRoles` and of those of one domain that they come from. */
export async function effectiveRoleIds(
  reader: StateReader,
  holder: RoleHolder,
  target: RoleTarget,
): Promise<ReadonlySet<string>> {
  const places = await placesOf(reader, target)
  const actors = [
    ['user', holder.userId] as const,
    ...holder.groupIds.map((id) => ['group', id] as const),
  ]
  const found = await Promise.all(
    actors.map(([kind, id]) => assignments.by(reader, 'actor', kind, id)),
  )
  const direct = found.flat().filter((row) => places.some((place) => counts(row, place)))
  return impliedClosure(reader, new Set(direct.map(({ roleId }) => roleId)))
}

/** Where an assignment has to stand to count for a target. */
export interface RolePlace {
  readonly kind: TargetKind
  readonly id: string
  readonly inherited: boolean
}

export async function placesOf(
  reader: StateReader,
  target: RoleTarget,
): Promise<readonly RolePlace[]> {
  if (target.kind === 'system') return [{ kind: 'system', id: SYSTEM_ID, inherited: false }]
  if (target.kind === 'domain') return [{ kind: 'domain', id: target.domain.id, inherited: false }]
  const { project } = target
  const above = await ancestors(reader, project)
  return [
    { kind: 'project', id: project.id, inherited: false },
    ...above.map(({ id }) => ({ kind: 'project', id, inherited: true }) as const),
    { kind: 'domain', id: project.domainId!, inherited: true },
  ]
}

/** The projects above one, the nearest first, without the domain. */
export async function ancestors(
  reader: StateReader,
  project: ProjectRow,
): Promise<readonly ProjectRow[]> {
  const above: ProjectRow[] = []
  let id = project.parentId
  while (id !== null) {
    const parent = await projects.get(reader, id)
    if (parent === undefined || parent.isDomain) break
    above.push(parent)
    id = parent.parentId
  }
  return above
}

/** The roles in the order of their names; without those of one domain. */
export async function globalRoles(
  reader: StateReader,
  ids: Iterable<string>,
): Promise<readonly RoleRow[]> {
  const rows = await Promise.all([...ids].map((id) => roles.get(reader, id)))
  return rows
    .filter((row) => row !== undefined)
    .filter(({ domainId }) => domainId === null)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The roles and all that they imply, however far. */
export async function impliedClosure(
  reader: StateReader,
  roleIds: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const ids = new Set(roleIds)
  for (const id of ids) {
    // The loop reaches what is added meanwhile.
    const implied = await impliedRoles.list(reader, { prefix: [id] })
    for (const { impliedId } of implied) ids.add(impliedId)
  }
  return ids
}

function counts(row: AssignmentRow, place: RolePlace): boolean {
  return (
    row.targetKind === place.kind && row.targetId === place.id && row.inherited === place.inherited
  )
}
