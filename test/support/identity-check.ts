/** Whether the state of the identity service is whole: what a change that was written by half would leave. */
import { accessRules, applicationCredentials } from '../../auth/tables/application-credentials.ts'
import { credentials, usedCodes } from '../../auth/tables/credentials.ts'
import {
  endpointGroups,
  projectEndpointGroups,
  projectEndpoints,
} from '../../auth/tables/endpoint-filters.ts'
import { limits, registeredLimits } from '../../auth/tables/limits.ts'
import {
  assignments,
  endpoints,
  groups,
  impliedRoles,
  memberships,
  projects,
  regions,
  roles,
  services,
  users,
} from '../../auth/tables/tables.ts'
import { trusts } from '../../auth/tables/trusts.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import type { Table } from '../../common/state/table.ts'

/** Tables with the indexes they have: each entry of one leads to a row. */
const INDEXES: readonly (readonly [string, readonly string[]])[] = [
  ['projects', ['name', 'domain', 'parent', 'kind']],
  ['users', ['name', 'domain', 'defaultProject']],
  ['groups', ['name', 'domain']],
  ['memberships', ['user']],
  ['roles', ['name']],
  ['implied-roles', ['implied']],
  ['assignments', ['actor', 'role']],
  ['endpoints', ['service', 'region']],
  ['application-credentials', ['name', 'project', 'rule']],
  ['trusts', ['trustor', 'trustee', 'project', 'source']],
  ['credentials', ['user', 'project', 'access', 'key']],
  ['limits', ['resource', 'project', 'domain']],
]

/** What refers to something that is not there, in words; nothing if the state is whole. */
export async function danglingReferences(state: StateReader): Promise<readonly string[]> {
  const wrong: string[] = []
  const idsOf = async (table: Table<{ readonly id: string }, never>) =>
    new Set((await table.list(state)).map(({ id }) => id))
  // biome-ignore lint/suspicious/noExplicitAny: tables differ in their indexes, which is no matter here.
  const ids = (table: any): Promise<ReadonlySet<string>> => idsOf(table)
  const known = {
    project: await ids(projects),
    user: await ids(users),
    group: await ids(groups),
    role: await ids(roles),
    region: await ids(regions),
    service: await ids(services),
    endpoint: await ids(endpoints),
    endpointGroup: await ids(endpointGroups),
    rule: await ids(accessRules),
    credential: await ids(credentials),
  }
  const need = (kind: keyof typeof known, id: string | null, by: string) => {
    if (id !== null && !known[kind].has(id)) wrong.push(`${by} refers to ${kind} ${id}`)
  }
  for (const row of await projects.list(state)) {
    need('project', row.domainId, `project ${row.id}`)
    need('project', row.parentId, `project ${row.id}`)
  }
  for (const row of await users.list(state)) need('project', row.domainId, `user ${row.id}`)
  for (const row of await groups.list(state)) need('project', row.domainId, `group ${row.id}`)
  for (const row of await roles.list(state)) need('project', row.domainId, `role ${row.id}`)
  for (const row of await memberships.list(state)) {
    need('group', row.groupId, 'a membership')
    need('user', row.userId, 'a membership')
  }
  for (const row of await impliedRoles.list(state)) {
    need('role', row.priorId, 'an implication')
    need('role', row.impliedId, 'an implication')
  }
  for (const row of await assignments.list(state)) {
    need(row.actorKind, row.actorId, 'an assignment')
    need('role', row.roleId, 'an assignment')
    if (row.targetKind !== 'system') need('project', row.targetId, 'an assignment')
  }
  for (const row of await endpoints.list(state)) {
    need('service', row.serviceId, `endpoint ${row.id}`)
    need('region', row.regionId, `endpoint ${row.id}`)
  }
  for (const row of await applicationCredentials.list(state)) {
    need('user', row.userId, `application credential ${row.id}`)
    need('project', row.projectId, `application credential ${row.id}`)
    for (const id of row.accessRuleIds ?? []) need('rule', id, `application credential ${row.id}`)
  }
  for (const row of await trusts.list(state)) {
    need('user', row.trustorId, `trust ${row.id}`)
    need('user', row.trusteeId, `trust ${row.id}`)
    need('project', row.projectId, `trust ${row.id}`)
  }
  for (const row of await credentials.list(state)) need('user', row.userId, `credential ${row.id}`)
  for (const row of await usedCodes.list(state)) need('credential', row.credentialId, 'a used code')
  for (const row of await projectEndpoints.list(state)) {
    need('project', row.projectId, 'an endpoint of a project')
    need('endpoint', row.endpointId, 'an endpoint of a project')
  }
  for (const row of await projectEndpointGroups.list(state)) {
    need('project', row.projectId, 'an endpoint group of a project')
    need('endpointGroup', row.groupId, 'an endpoint group of a project')
  }
  for (const row of [...(await limits.list(state)), ...(await registeredLimits.list(state))]) {
    need('service', row.serviceId, `limit ${row.id}`)
    need('region', row.regionId, `limit ${row.id}`)
  }
  return [...wrong, ...(await brokenIndexes(state))]
}

async function brokenIndexes(state: StateReader): Promise<readonly string[]> {
  const wrong: string[] = []
  for (const [table, names] of INDEXES) {
    const keys = new Set((await state.scan(table)).map(({ key }) => key))
    for (const name of names) {
      for (const { key, value } of await state.scan(`${table}.${name}`)) {
        if (!keys.has(String(value))) wrong.push(`${table}.${name} has ${key}, which is not there`)
      }
    }
  }
  return wrong
}
