import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { isIn } from '../catalog/project-filter.ts'
import { invalid, notFound } from '../errors.ts'
import {
  type EndpointFilters,
  type EndpointGroupRow,
  endpointGroups,
  projectEndpointGroups,
} from '../tables/endpoint-filters.ts'
import { endpoints, projects } from '../tables/tables.ts'
import { bodyOf, changed, nameSchema, refuseOtherId, TEXT_OR_NULL } from './bodies.ts'
import { showEndpointRow } from './catalog-resources.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { showProjectRow } from './project-view.ts'
import { createdAnswer, itemAnswer, listAnswer } from './views.ts'

const PATH = '/v3/OS-EP-FILTER/endpoint_groups'
export const ENDPOINT_GROUPS = 'OS-EP-FILTER/endpoint_groups'

export const endpointGroupRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: PATH, handle: createGroup },
  { method: 'GET', path: PATH, handle: listGroups },
  { method: 'GET', path: `${PATH}/:id`, handle: showGroup },
  { method: 'PATCH', path: `${PATH}/:id`, handle: updateGroup },
  { method: 'DELETE', path: `${PATH}/:id`, handle: deleteGroup },
  { method: 'GET', path: `${PATH}/:id/endpoints`, handle: listEndpoints },
  { method: 'GET', path: `${PATH}/:id/projects`, handle: listProjects },
]

const FILTER = { type: 'string', minLength: 1, maxLength: 255 }
const PROPERTIES = {
  id: { type: 'string' },
  name: nameSchema(255),
  description: TEXT_OR_NULL,
  filters: {
    type: 'object',
    additionalProperties: false,
    properties: { service_id: FILTER, region_id: FILTER, interface: FILTER },
  },
}

/** The endpoint group; 404 if there is none. */
export async function requireEndpointGroup(
  reader: StateReader,
  id: string,
): Promise<EndpointGroupRow> {
  const row = await endpointGroups.get(reader, id)
  if (row === undefined) throw notFound('Endpoint Group', id)
  return row
}

async function createGroup(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_endpoint_group')
  const { parts } = call.context
  const values = bodyOf(call, 'endpoint_group', { properties: PROPERTIES, required: ['name'] })
  const row: EndpointGroupRow = {
    id: randomId(parts.random),
    name: values.name as string,
    description: (values.description as string | null | undefined) ?? null,
    filters: filtersOf(values.filters),
  }
  await parts.state.transaction((tx) => endpointGroups.put(tx, row))
  return createdAnswer(call, showGroupRow(row), {
    name: 'endpoint_group',
    collection: ENDPOINT_GROUPS,
  })
}

function filtersOf(filters: unknown): EndpointFilters {
  if (filters !== undefined && Object.keys(filters as object).length > 0) {
    return filters as EndpointFilters
  }
  throw invalid('filters field is required and cannot be empty')
}

async function listGroups(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_endpoint_groups')
  const rows = await endpointGroups.list(call.context.parts.state)
  return listAnswer(call, rows.map(showGroupRow), {
    name: 'endpoint_groups',
    collection: ENDPOINT_GROUPS,
    filters: ['name'],
  })
}

async function showGroup(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_endpoint_group')
  const row = await requireEndpointGroup(call.context.parts.state, call.params.id ?? '')
  return itemAnswer(call, showGroupRow(row), {
    name: 'endpoint_group',
    collection: ENDPOINT_GROUPS,
  })
}

async function updateGroup(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_endpoint_group')
  const { id = '' } = call.params
  const values = bodyOf(call, 'endpoint_group', { properties: PROPERTIES, minProperties: 1 })
  refuseOtherId(values, id)
  const row = await call.context.parts.state.transaction(async (tx) => {
    const before = await requireEndpointGroup(tx, id)
    const after: EndpointGroupRow = {
      ...before,
      name: changed(values, 'name', before.name),
      description: changed(values, 'description', before.description),
      filters: filtersOf(changed(values, 'filters', before.filters)),
    }
    await endpointGroups.put(tx, after)
    return after
  })
  return itemAnswer(call, showGroupRow(row), {
    name: 'endpoint_group',
    collection: ENDPOINT_GROUPS,
  })
}

async function deleteGroup(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_endpoint_group')
  await call.context.parts.state.transaction(async (tx) => {
    const { id } = await requireEndpointGroup(tx, call.params.id ?? '')
    for (const { projectId } of await projectEndpointGroups.by(tx, 'group', id)) {
      await projectEndpointGroups.delete(tx, projectId, id)
    }
    await endpointGroups.delete(tx, id)
  })
  return NO_CONTENT
}

async function listEndpoints(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_endpoints_associated_with_endpoint_group')
  const { state } = call.context.parts
  const group = await requireEndpointGroup(state, call.params.id ?? '')
  const found = (await endpoints.list(state)).filter((endpoint) => isIn(endpoint, group))
  return listAnswer(call, found.map(showEndpointRow), { name: 'endpoints' })
}

async function listProjects(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_projects_associated_with_endpoint_group')
  const { state } = call.context.parts
  const { id } = await requireEndpointGroup(state, call.params.id ?? '')
  const found = await projectEndpointGroups.by(state, 'group', id)
  const rows = await Promise.all(found.map(({ projectId }) => projects.get(state, projectId)))
  const shown = rows.filter((row) => row !== undefined).map(showProjectRow)
  return listAnswer(call, shown, { name: 'projects' })
}

/** An endpoint group as the API shows it. */
export function showGroupRow({ id, name, description, filters }: EndpointGroupRow) {
  return { id, name, description, filters }
}
