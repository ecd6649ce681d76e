import type { StateReader } from '../../common/state/state-store.ts'
import type { AssignmentRow, ProjectRow } from '../tables/rows.ts'
import { assignments, projects } from '../tables/tables.ts'
import { groupIdsOf } from './effective-roles.ts'

/** All assignments of a user and its groups. */
export async function assignmentsOfUser(
  reader: StateReader,
  userId: string,
): Promise<readonly AssignmentRow[]> {
  const groupIds = await groupIdsOf(reader, userId)
  const lists = await Promise.all([
    assignments.by(reader, 'actor', 'user', userId),
    ...groupIds.map((id) => assignments.by(reader, 'actor', 'group', id)),
  ])
  return lists.flat()
}

/** The projects that a user has a role on, inherited ones too, by name. */
export async function projectsOfUser(
  reader: StateReader,
  userId: string,
): Promise<readonly ProjectRow[]> {
  const found = new Map<string, ProjectRow>()
  const add = (row: ProjectRow | undefined) => {
    if (row !== undefined && !row.isDomain) found.set(row.id, row)
  }
  for (const { targetKind, targetId, inherited } of await assignmentsOfUser(reader, userId)) {
    if (targetKind === 'project' && !inherited) add(await projects.get(reader, targetId))
    if (targetKind === 'project' && inherited) await addBelow(reader, targetId, add)
    if (targetKind === 'domain' && inherited) {
      for (const row of await projects.by(reader, 'domain', targetId)) add(row)
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The domains that a user has a role on, by name. */
export async function domainsOfUser(
  reader: StateReader,
  userId: string,
): Promise<readonly ProjectRow[]> {
  const rows = await assignmentsOfUser(reader, userId)
  const ids = new Set(
    rows.flatMap((row) => (row.targetKind === 'domain' && !row.inherited ? [row.targetId] : [])),
  )
  const domains = await Promise.all([...ids].map((id) => projects.get(reader, id)))
  return domains.filter((row) => row !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function addBelow(
  reader: StateReader,
  id: string,
  add: (row: ProjectRow) => void,
): Promise<void> {
  for (const row of await projects.by(reader, 'parent', id)) {
    add(row)
    await addBelow(reader, row.id, add)
  }
}
