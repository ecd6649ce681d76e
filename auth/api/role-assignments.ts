import { setImmediate as turn } from 'node:timers/promises'
import { type Answer, ok } from '../../common/http/route.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { impliedClosure, placesOf } from '../assignments/effective-roles.ts'
import { assignmentsOfUser } from '../assignments/reachable.ts'
import { invalid } from '../errors.ts'
import type { AssignmentRow, ProjectRow } from '../tables/rows.ts'
import { assignments, groups, memberships, projects, roles, users } from '../tables/tables.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { isTrueText } from './list-filters.ts'
import { projectTarget } from './project-view.ts'
import { apiUrl, listedMax, listLinks } from './views.ts'

export const roleAssignmentRoutes: readonly IdentityRoute[] = [
  { method: 'GET', path: '/v3/role_assignments', handle: listAssignments },
]

/** An assignment as it is listed: stored, or derived from stored ones. */
interface ListedAssignment extends AssignmentRow {
  /** The group by whose membership a user has it. */
  readonly viaGroupId?: string
  /** Where an inherited one stands. */
  readonly inheritedFrom?: Pick<AssignmentRow, 'targetKind' | 'targetId'>
  /** The role that implies it. */
  readonly impliedBy?: string
}

interface Filters {
  readonly userId: string | null
  readonly groupId: string | null
  readonly roleId: string | null
  readonly projectId: string | null
  readonly domainId: string | null
  readonly system: boolean
  readonly inherited: boolean
  readonly effective: boolean
  readonly subtree: boolean
  readonly names: boolean
}

async function listAssignments(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const filters = parseFilters(call.query)
  if (filters.subtree) {
    enforce(call, 'list_role_assignments_for_tree', await projectTarget(state, filters.projectId!))
  } else {
    const domainId = call.context.caller?.credentials.domain_id ?? null
    enforce(call, 'list_role_assignments', { target: { domain_id: domainId } })
  }
  const wanted = await filterFor(state, filters)
  const domainId = domainOfReader(call)
  const enough = listedMax(call, LIST_NAME) + 1
  const shown: unknown[] = []
  const known = new Set<string>()
  let looked = 0
  for await (const row of listed(state, filters)) {
    if (++looked % LOOKS_A_TURN === 0) await turn()
    if (!wanted(row) || known.has(identityOf(row))) continue
    if (domainId !== null && !(await isInDomain(state, row, domainId))) continue
    known.add(identityOf(row))
    shown.push(await showAssignment(call, row, filters))
    if (shown.length === enough) break
  }
  // They have no ids that a next page could begin behind: whoever wants the rest asks by user, group, role or place.
  const isCut = shown.length === enough
  return ok({
    [LIST_NAME]: isCut ? shown.slice(0, -1) : shown,
    links: listLinks(call),
    ...(isCut && { truncated: true }),
  })
}

const LIST_NAME = 'role_assignments'
/** Assignments looked at before it is everybody else's turn. */
const LOOKS_A_TURN = 100

/** The same role may come to somebody in several ways: by one group it is listed once. */
function identityOf(row: ListedAssignment): string {
  const { actorKind, actorId, targetKind, targetId, roleId, inherited, viaGroupId = '' } = row
  return [actorKind, actorId, targetKind, targetId, roleId, inherited, viaGroupId].join(' ')
}

/** Those stored, or what they come to, one after the other. */
async function* listed(
  reader: StateReader,
  filters: Filters,
): AsyncGenerator<ListedAssignment, void, undefined> {
  for await (const rows of candidates(reader, filters)) {
    for (const row of rows) {
      if (filters.effective) yield* effective(reader, row)
      else yield row
    }
  }
}

/** Set if the caller sees one domain only. */
function domainOfReader(call: IdentityCall): string | null {
  const { caller } = call.context
  const all = caller?.credentials.roles.some((role) => role.toLowerCase() === 'admin') ?? false
  return all || caller?.scope !== 'domain' ? null : String(caller.credentials.domain_id)
}

async function isInDomain(
  reader: StateReader,
  row: ListedAssignment,
  domainId: string,
): Promise<boolean> {
  if (row.targetKind === 'system') return false
  if (row.targetKind === 'domain') return row.targetId === domainId
  return (await projects.get(reader, row.targetId))?.domainId === domainId
}

function parseFilters(query: URLSearchParams): Filters {
  const flag = (name: string) => query.has(name) && isTrueText(query.get(name) || 'true')
  const filters = {
    userId: query.get('user.id'),
    groupId: query.get('group.id'),
    roleId: query.get('role.id'),
    projectId: query.get('scope.project.id'),
    domainId: query.get('scope.domain.id'),
    system: flag('scope.system'),
    inherited: query.get('scope.OS-INHERIT:inherited_to') === 'projects',
    effective: flag('effective'),
    subtree: flag('include_subtree'),
    names: flag('include_names'),
  }
  const { groupId, projectId, domainId, inherited } = filters
  if (projectId !== null && domainId !== null)
    throw invalid('Specify a domain or project, not both')
  if (filters.userId !== null && groupId !== null)
    throw invalid('Specify a user or group, not both')
  if (filters.effective && groupId !== null) {
    throw invalid('Combining effective and group filter will always result in an empty list.')
  }
  if (filters.effective && inherited && domainId !== null) {
    throw invalid(
      'Combining effective, domain and inherited filters will always result in an empty list.',
    )
  }
  if (filters.subtree && projectId === null) {
    throw invalid('scope.project.id must be specified if include_subtree is also specified')
  }
  return filters
}

/** What the wanted ones can come from: found by an index where a filter allows it. */
async function* candidates(
  reader: StateReader,
  filters: Filters,
): AsyncGenerator<readonly AssignmentRow[], void, undefined> {
  const { userId, groupId, roleId, projectId, domainId, system, subtree } = filters
  if (userId !== null) {
    yield await (filters.effective
      ? assignmentsOfUser(reader, userId)
      : assignments.by(reader, 'actor', 'user', userId))
  } else if (groupId !== null) yield await assignments.by(reader, 'actor', 'group', groupId)
  else if (projectId !== null && !subtree) {
    for (const prefix of await placesFor(reader, filters)) {
      yield* assignments.pages(reader, { prefix })
    }
  } else if (domainId !== null) yield* assignments.pages(reader, { prefix: ['domain', domainId] })
  else if (system) yield* assignments.pages(reader, { prefix: ['system'] })
  else if (roleId !== null && !filters.effective) {
    yield* assignments.pagesBy(reader, 'role', { values: [roleId] })
  } else yield* assignments.pages(reader)
}

/** Where assignments stand that can count on the project: on itself; inherited ones above it too. */
async function placesFor(
  reader: StateReader,
  filters: Filters,
): Promise<readonly (readonly string[])[]> {
  const own = ['project', filters.projectId!]
  const project = filters.effective ? await projects.get(reader, filters.projectId!) : undefined
  if (project === undefined || project.isDomain) return [own]
  const places = await placesOf(reader, { kind: 'project', project })
  return places.map(({ kind, id }) => [kind, id])
}

async function filterFor(
  reader: StateReader,
  filters: Filters,
): Promise<(row: ListedAssignment) => boolean> {
  const { userId, groupId, roleId, projectId, domainId, system, inherited } = filters
  const tree = filters.subtree ? await subtreeIds(reader, projectId!) : null
  const is = (wanted: string | null, value: string) => wanted === null || wanted === value
  return (row) =>
    (userId === null || (row.actorKind === 'user' && row.actorId === userId)) &&
    (groupId === null || (row.actorKind === 'group' && row.actorId === groupId)) &&
    is(roleId, row.roleId) &&
    (tree === null
      ? projectId === null || (row.targetKind === 'project' && row.targetId === projectId)
      : row.targetKind === 'project' && tree.has(row.targetId)) &&
    (domainId === null || (row.targetKind === 'domain' && row.targetId === domainId)) &&
    (!system || row.targetKind === 'system') &&
    (!inherited || row.inherited || row.inheritedFrom !== undefined)
}

async function subtreeIds(reader: StateReader, id: string): Promise<ReadonlySet<string>> {
  const ids = new Set([id])
  for (const next of ids) {
    for (const child of await projects.by(reader, 'parent', next)) ids.add(child.id)
  }
  return ids
}

/** What assignments come to: for users on what they can be used on, with all implied roles. */
async function* effective(
  reader: StateReader,
  row: AssignmentRow,
): AsyncGenerator<ListedAssignment, void, undefined> {
  for await (const placed of countingPlaces(reader, row)) {
    for await (const held of heldBy(reader, placed)) {
      for (const one of await withImplied(reader, held)) yield one
    }
  }
}

/** An inherited assignment counts on every project below; others where they stand. */
async function* countingPlaces(
  reader: StateReader,
  row: AssignmentRow,
): AsyncGenerator<ListedAssignment, void, undefined> {
  if (!row.inherited) return yield row
  const { targetKind, targetId } = row
  const on = (id: string): ListedAssignment => ({
    ...row,
    targetKind: 'project',
    targetId: id,
    inherited: false,
    inheritedFrom: { targetKind, targetId },
  })
  if (targetKind === 'domain') {
    for await (const below of projects.pagesBy(reader, 'domain', { values: [targetId] })) {
      for (const { id } of below) yield on(id)
    }
    return
  }
  for (const id of await subtreeIds(reader, targetId)) if (id !== targetId) yield on(id)
}

/** A group's assignment is held by each member. */
async function* heldBy(
  reader: StateReader,
  row: ListedAssignment,
): AsyncGenerator<ListedAssignment, void, undefined> {
  if (row.actorKind === 'user') return yield row
  for await (const members of memberships.pages(reader, { prefix: [row.actorId] })) {
    for (const { userId } of members) {
      yield { ...row, actorKind: 'user', actorId: userId, viaGroupId: row.actorId }
    }
  }
}

/** Roles of one domain count only by what they imply. */
async function withImplied(
  reader: StateReader,
  row: ListedAssignment,
): Promise<readonly ListedAssignment[]> {
  const ids = [...(await impliedClosure(reader, new Set([row.roleId])))]
  const rows = await Promise.all(ids.map((id) => roles.get(reader, id)))
  return rows
    .filter((role) => role !== undefined && role.domainId === null)
    .map((role) => {
      if (role!.id === row.roleId) return row
      return { ...row, roleId: role!.id, impliedBy: row.roleId }
    })
}

async function showAssignment(
  call: IdentityCall,
  row: ListedAssignment,
  { names }: Filters,
): Promise<unknown> {
  const { state } = call.context.parts
  const role = names ? await namedRole(state, row.roleId) : { id: row.roleId }
  const actor = names ? await namedActor(state, row) : { id: row.actorId }
  return {
    role,
    [row.actorKind]: actor,
    scope: await showScope(state, row, names),
    links: assignmentLinks(call, row),
  }
}

async function showScope(
  reader: StateReader,
  row: ListedAssignment,
  names: boolean,
): Promise<unknown> {
  const { targetKind, targetId, inherited, inheritedFrom } = row
  if (targetKind === 'system') return { system: { all: true } }
  const target = names ? await namedPlace(reader, targetId) : { id: targetId }
  return {
    [targetKind]: target,
    ...((inherited || inheritedFrom !== undefined) && { 'OS-INHERIT:inherited_to': 'projects' }),
  }
}

/** Where the stored assignment is, and how it comes to count here. */
function assignmentLinks(
  call: IdentityCall,
  row: ListedAssignment,
): Readonly<Record<string, string>> {
  const base = apiUrl(call)
  const { viaGroupId, inheritedFrom, impliedBy } = row
  const { targetKind, targetId } = inheritedFrom ?? row
  const inherited = row.inherited || inheritedFrom !== undefined
  const actor =
    viaGroupId === undefined ? `${row.actorKind}s/${row.actorId}` : `groups/${viaGroupId}`
  const place = targetKind === 'system' ? 'system' : `${targetKind}s/${targetId}`
  const path = `${place}/${actor}/roles/${impliedBy ?? row.roleId}`
  const assignment = inherited
    ? `${base}/OS-INHERIT/${path}/inherited_to_projects`
    : `${base}/${path}`
  return {
    assignment,
    ...(viaGroupId !== undefined && {
      membership: `${base}/groups/${viaGroupId}/users/${row.actorId}`,
    }),
    ...(impliedBy !== undefined && { prior_role: `${base}/roles/${impliedBy}` }),
  }
}

async function namedRole(reader: StateReader, id: string): Promise<unknown> {
  const role = await roles.get(reader, id)
  if (role === undefined) return { id }
  const { name, domainId } = role
  return { id, name, ...(domainId !== null && { domain: await domainName(reader, domainId) }) }
}

async function namedActor(reader: StateReader, row: ListedAssignment): Promise<unknown> {
  const { actorKind, actorId: id } = row
  const actor = await (actorKind === 'user' ? users.get(reader, id) : groups.get(reader, id))
  // Somebody of a directory may have gone from there.
  if (actor === undefined) return { id, name: '', domain: { id: '', name: '' } }
  return { id, name: actor.name, domain: await domainName(reader, actor.domainId) }
}

async function namedPlace(reader: StateReader, id: string): Promise<unknown> {
  const place: ProjectRow | undefined = await projects.get(reader, id)
  if (place === undefined) return { id }
  const { name, domainId } = place
  return { id, name, ...(domainId !== null && { domain: await domainName(reader, domainId) }) }
}

async function domainName(reader: StateReader, id: string): Promise<unknown> {
  return { id, name: (await projects.get(reader, id))?.name ?? '' }
}
