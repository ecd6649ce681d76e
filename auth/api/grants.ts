import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import type { PolicyFacts } from '../../common/policy/policy.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { impliedClosure } from '../assignments/effective-roles.ts'
import { invalid, notFound } from '../errors.ts'
import { change, type Voids } from '../identity-parts.ts'
import type { PolicyAction } from '../policy/rules.ts'
import { deleteCredentialsBy } from '../removal/delegation-removal.ts'
import { type ActorKind, type AssignmentRow, SYSTEM_ID, type TargetKind } from '../tables/rows.ts'
import { assignments, groups, projects, roles, users } from '../tables/tables.ts'
import { requireDomain, showDomainRow } from './domains.ts'
import { requireGroup, showGroupRow } from './group-view.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { requireProject, showProjectRow } from './project-view.ts'
import { requireRole, showRoleRow } from './roles.ts'
import { requireUser, showUserRow } from './user-view.ts'
import { listAnswer } from './views.ts'

/** One place where roles are granted, and what its calls are judged as. */
interface GrantPlace {
  readonly path: string
  readonly targetKind: TargetKind
  readonly actorKind: ActorKind
  readonly inherited: boolean
  readonly actions: GrantActions
}

interface GrantActions {
  readonly list: PolicyAction
  readonly check: PolicyAction
  readonly create: PolicyAction
  readonly revoke: PolicyAction
}

const GRANT_ACTIONS: GrantActions = {
  list: 'list_grants',
  check: 'check_grant',
  create: 'create_grant',
  revoke: 'revoke_grant',
}
const SYSTEM_ACTIONS: Readonly<Record<ActorKind, GrantActions>> = {
  user: {
    list: 'list_system_grants_for_user',
    check: 'check_system_grant_for_user',
    create: 'create_system_grant_for_user',
    revoke: 'revoke_system_grant_for_user',
  },
  group: {
    list: 'list_system_grants_for_group',
    check: 'check_system_grant_for_group',
    create: 'create_system_grant_for_group',
    revoke: 'revoke_system_grant_for_group',
  },
}

export const grantRoutes: readonly IdentityRoute[] = places().flatMap((place) => routesOf(place))

/** Projects, domains and the system, for users and groups; the first two inherited, too. */
function places(): readonly GrantPlace[] {
  const actors = ['user', 'group'] as const
  return actors.flatMap((actorKind) => [
    {
      path: `/v3/system/${actorKind}s/:actorId/roles`,
      targetKind: 'system',
      actorKind,
      inherited: false,
      actions: SYSTEM_ACTIONS[actorKind],
    } as const,
    ...(['project', 'domain'] as const).flatMap((targetKind) => {
      const path = `/${targetKind}s/:targetId/${actorKind}s/:actorId/roles`
      const common = { targetKind, actorKind, actions: GRANT_ACTIONS }
      return [
        { ...common, path: `/v3${path}`, inherited: false },
        { ...common, path: `/v3/OS-INHERIT${path}`, inherited: true },
      ]
    }),
  ])
}

/** Inherited ones end with `/inherited_to_projects`. */
function routesOf(place: GrantPlace): readonly IdentityRoute[] {
  const end = place.inherited ? '/inherited_to_projects' : ''
  const one = `${place.path}/:roleId${end}`
  return [
    { method: 'GET', path: `${place.path}${end}`, handle: (call) => listGrants(call, place) },
    { method: 'PUT', path: one, handle: (call) => createGrant(call, place) },
    { method: 'GET', path: one, handle: (call) => checkGrant(call, place) },
    { method: 'DELETE', path: one, handle: (call) => revokeGrant(call, place) },
  ]
}

async function listGrants(call: IdentityCall, place: GrantPlace): Promise<Answer> {
  const { state } = call.context.parts
  enforce(call, place.actions.list, await grantTarget(call, place))
  await requireEnds(call, place, state)
  const found = await assignments.list(state, { prefix: endsOf(call, place) })
  const rows = await Promise.all(
    found
      .filter(({ inherited }) => inherited === place.inherited)
      .map(({ roleId }) => requireRole(state, roleId)),
  )
  return listAnswer(call, rows.map(showRoleRow), { name: 'roles' })
}

async function createGrant(call: IdentityCall, place: GrantPlace): Promise<Answer> {
  const { parts } = call.context
  enforce(call, place.actions.create, await grantTarget(call, place))
  await parts.state.transaction(async (tx) => {
    await requireEnds(call, place, tx)
    const role = await requireRole(tx, call.params.roleId ?? '')
    if (role.domainId !== null)
      await refuseForeignRole(call, place, { reader: tx, domainId: role.domainId })
    await assignments.put(tx, assignmentOf(call, place))
  })
  return NO_CONTENT
}

/** A role of one domain is good on targets of that domain alone. */
async function refuseForeignRole(
  call: IdentityCall,
  place: GrantPlace,
  { reader, domainId }: { readonly reader: StateReader; readonly domainId: string },
): Promise<void> {
  const target = await projects.get(reader, call.params.targetId ?? '')
  const inDomain = target !== undefined && (target.domainId ?? target.id) === domainId
  if (place.targetKind === 'system' || !inDomain) {
    throw invalid(
      `Role ${call.params.roleId} is one of domain ${domainId} and cannot be granted elsewhere.`,
    )
  }
}

async function checkGrant(call: IdentityCall, place: GrantPlace): Promise<Answer> {
  const { state } = call.context.parts
  enforce(call, place.actions.check, await grantTarget(call, place))
  await requireGrant(call, place, state)
  return NO_CONTENT
}

async function revokeGrant(call: IdentityCall, place: GrantPlace): Promise<Answer> {
  enforce(call, place.actions.revoke, await grantTarget(call, place))
  await change(call.context.parts, async (changing) => {
    const { tx, revoke } = changing
    await requireGrant(call, place, tx)
    const row = assignmentOf(call, place)
    await deleteCredentialsBy(changing, row)
    await assignments.delete(tx, ...assignments.keyOf(row))
    for (const roleId of await impliedClosure(tx, new Set([row.roleId]))) {
      await revoke(tokensWith(row, roleId))
    }
  })
  return NO_CONTENT
}

/** Which tokens may have a role by an assignment. What is inherited, or a group's, is looked at no closer. */
function tokensWith(row: AssignmentRow, roleId: string): Voids {
  return {
    roleId,
    ...(row.actorKind === 'user' && { userId: row.actorId }),
    ...(row.targetKind === 'project' && !row.inherited && { projectId: row.targetId }),
    ...(row.targetKind === 'domain' && !row.inherited && { domainScopeId: row.targetId }),
  }
}

async function requireGrant(
  call: IdentityCall,
  place: GrantPlace,
  reader: StateReader,
): Promise<void> {
  await requireEnds(call, place, reader)
  const { roleId = '' } = call.params
  await requireRole(reader, roleId)
  const row = await assignments.get(reader, ...assignments.keyOf(assignmentOf(call, place)))
  if (row === undefined) throw notFound('role assignment with role', roleId)
}

/** Throws 404 unless who gets it and what it is on are there. */
async function requireEnds(
  call: IdentityCall,
  { actorKind, targetKind }: GrantPlace,
  reader: StateReader,
): Promise<void> {
  const { actorId = '', targetId = '' } = call.params
  await (actorKind === 'user' ? requireUser(reader, actorId) : requireGroup(reader, actorId))
  if (targetKind === 'project') await requireProject(reader, targetId)
  if (targetKind === 'domain') await requireDomain(reader, targetId)
}

function assignmentOf(call: IdentityCall, place: GrantPlace): AssignmentRow {
  const { actorKind, targetKind, inherited } = place
  const { actorId = '', targetId = SYSTEM_ID, roleId = '' } = call.params
  return { actorKind, actorId, targetKind, targetId, roleId, inherited }
}

/** The first parts of the keys of all assignments between the two ends. */
function endsOf(call: IdentityCall, { targetKind, actorKind }: GrantPlace): readonly string[] {
  const { actorId = '', targetId = SYSTEM_ID } = call.params
  return [targetKind, targetId, actorKind, actorId]
}

/** Both ends and the role as rules see them. */
async function grantTarget(
  call: IdentityCall,
  { actorKind, targetKind }: GrantPlace,
): Promise<PolicyFacts> {
  const { state } = call.context.parts
  const { actorId = '', targetId = '', roleId } = call.params
  const role = roleId === undefined ? undefined : await roles.get(state, roleId)
  const user = actorKind === 'user' ? await users.get(state, actorId) : undefined
  const group = actorKind === 'group' ? await groups.get(state, actorId) : undefined
  const place = targetKind === 'system' ? undefined : await projects.get(state, targetId)
  return {
    target: {
      ...(role !== undefined && { role: showRoleRow(role) }),
      ...(user !== undefined && { user: showUserRow(user) }),
      ...(group !== undefined && { group: showGroupRow(group) }),
      ...(place !== undefined && targetKind === 'project' && { project: showProjectRow(place) }),
      ...(place !== undefined && targetKind === 'domain' && { domain: showDomainRow(place) }),
    },
  }
}
