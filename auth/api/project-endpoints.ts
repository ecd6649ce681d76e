import { ServiceError } from '../../common/errors.ts'
import { type Answer, NO_CONTENT, ok } from '../../common/http/route.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { endpointFilterOf } from '../catalog/project-filter.ts'
import { conflict } from '../errors.ts'
import {
  endpointGroups,
  type ProjectEndpointGroupRow,
  type ProjectEndpointRow,
  projectEndpointGroups,
  projectEndpoints,
} from '../tables/endpoint-filters.ts'
import { endpoints, projects } from '../tables/tables.ts'
import { requireEndpoint, showEndpointRow } from './catalog-resources.ts'
import { ENDPOINT_GROUPS, requireEndpointGroup, showGroupRow } from './endpoint-groups.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { requireProject, showProjectRow } from './project-view.ts'
import { apiUrl, listAnswer } from './views.ts'

const BASE = '/v3/OS-EP-FILTER'
const ENDPOINT = `${BASE}/projects/:projectId/endpoints/:endpointId`
const GROUP = `${BASE}/endpoint_groups/:groupId/projects/:projectId`

/** Which endpoints, and which groups of them, a project has. */
export const projectEndpointRoutes: readonly IdentityRoute[] = [
  { method: 'PUT', path: ENDPOINT, handle: addEndpoint },
  { method: 'GET', path: ENDPOINT, handle: checkEndpoint },
  { method: 'DELETE', path: ENDPOINT, handle: removeEndpoint },
  { method: 'GET', path: `${BASE}/projects/:projectId/endpoints`, handle: listEndpoints },
  { method: 'GET', path: `${BASE}/endpoints/:endpointId/projects`, handle: listProjects },
  { method: 'PUT', path: GROUP, handle: addGroup },
  { method: 'GET', path: GROUP, handle: showGroup },
  { method: 'DELETE', path: GROUP, handle: removeGroup },
  { method: 'GET', path: `${BASE}/projects/:projectId/endpoint_groups`, handle: listGroups },
]

async function addEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'add_endpoint_to_project')
  await call.context.parts.state.transaction(async (tx) => {
    const row = await pairOf(call, tx)
    if ((await projectEndpoints.get(tx, row.projectId, row.endpointId)) !== undefined) {
      throw conflict('project_endpoint', 'Duplicate entry')
    }
    await projectEndpoints.put(tx, row)
  })
  return NO_CONTENT
}

async function checkEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'check_endpoint_in_project')
  await requirePair(call, call.context.parts.state)
  return NO_CONTENT
}

async function removeEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'remove_endpoint_from_project')
  await call.context.parts.state.transaction(async (tx) => {
    const { projectId, endpointId } = await requirePair(call, tx)
    await projectEndpoints.delete(tx, projectId, endpointId)
  })
  return NO_CONTENT
}

async function listEndpoints(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_endpoints_for_project')
  const { state } = call.context.parts
  const { id } = await requireProject(state, call.params.projectId ?? '')
  const isSeen = await endpointFilterOf(state, id)
  const found = isSeen === null ? [] : (await endpoints.list(state)).filter(isSeen)
  return listAnswer(call, found.map(showEndpointRow), { name: 'endpoints' })
}

async function listProjects(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_projects_for_endpoint')
  const { state } = call.context.parts
  const { id } = await requireEndpoint(state, call.params.endpointId ?? '')
  const found = await projectEndpoints.by(state, 'endpoint', id)
  const rows = await Promise.all(found.map(({ projectId }) => projects.get(state, projectId)))
  const shown = rows.filter((row) => row !== undefined).map(showProjectRow)
  return listAnswer(call, shown, { name: 'projects' })
}

async function addGroup(call: IdentityCall): Promise<Answer> {
  enforce(call, 'add_endpoint_group_to_project')
  await call.context.parts.state.transaction(async (tx) => {
    const row = await groupPairOf(call, tx)
    if ((await projectEndpointGroups.get(tx, row.projectId, row.groupId)) !== undefined) {
      throw conflict('project_endpoint_group', 'Duplicate entry')
    }
    await projectEndpointGroups.put(tx, row)
  })
  return NO_CONTENT
}

async function showGroup(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_endpoint_group_in_project')
  const { groupId, projectId } = await requireGroupPair(call, call.context.parts.state)
  const self = `${apiUrl(call)}/${ENDPOINT_GROUPS}/${groupId}/projects/${projectId}`
  return ok({
    project_endpoint_group: {
      endpoint_group_id: groupId,
      project_id: projectId,
      links: { self },
    },
  })
}

async function removeGroup(call: IdentityCall): Promise<Answer> {
  enforce(call, 'remove_endpoint_group_from_project')
  await call.context.parts.state.transaction(async (tx) => {
    const { projectId, groupId } = await requireGroupPair(call, tx)
    await projectEndpointGroups.delete(tx, projectId, groupId)
  })
  return NO_CONTENT
}

async function listGroups(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_endpoint_groups_for_project')
  const { state } = call.context.parts
  const { id } = await requireProject(state, call.params.projectId ?? '')
  const found = await projectEndpointGroups.list(state, { prefix: [id] })
  const rows = await Promise.all(found.map(({ groupId }) => endpointGroups.get(state, groupId)))
  const shown = rows.filter((row) => row !== undefined).map(showGroupRow)
  return listAnswer(call, shown, { name: 'endpoint_groups', collection: ENDPOINT_GROUPS })
}

/** The project and the endpoint of the path; 404 unless both are there. */
async function pairOf(call: IdentityCall, reader: StateReader): Promise<ProjectEndpointRow> {
  const { projectId = '', endpointId = '' } = call.params
  await requireEndpoint(reader, endpointId)
  await requireProject(reader, projectId)
  return { projectId, endpointId }
}

async function requirePair(call: IdentityCall, reader: StateReader): Promise<ProjectEndpointRow> {
  const { projectId, endpointId } = await pairOf(call, reader)
  const row = await projectEndpoints.get(reader, projectId, endpointId)
  if (row === undefined) throw noAssociation('Endpoint is not in the project')
  return row
}

async function groupPairOf(
  call: IdentityCall,
  reader: StateReader,
): Promise<ProjectEndpointGroupRow> {
  const { projectId = '', groupId = '' } = call.params
  await requireProject(reader, projectId)
  await requireEndpointGroup(reader, groupId)
  return { projectId, groupId }
}

async function requireGroupPair(
  call: IdentityCall,
  reader: StateReader,
): Promise<ProjectEndpointGroupRow> {
  const { projectId, groupId } = await groupPairOf(call, reader)
  const row = await projectEndpointGroups.get(reader, projectId, groupId)
  if (row === undefined) throw noAssociation('Endpoint Group Project Association not found')
  return row
}

function noAssociation(message: string): ServiceError {
  return new ServiceError('NotFound', message, { status: 404 })
}
