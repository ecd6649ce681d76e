import { Table } from '../../common/state/table.ts'

/** Endpoints that have all that the filters name. */
export interface EndpointGroupRow {
  readonly id: string
  readonly name: string
  readonly description: string | null
  readonly filters: EndpointFilters
}

export interface EndpointFilters {
  readonly service_id?: string
  readonly region_id?: string
  readonly interface?: string
}

/** An endpoint that the catalog of a project shows. */
export interface ProjectEndpointRow {
  readonly projectId: string
  readonly endpointId: string
}

/** A group whose endpoints the catalog of a project shows. */
export interface ProjectEndpointGroupRow {
  readonly projectId: string
  readonly groupId: string
}

export const endpointGroups = new Table<EndpointGroupRow>({
  name: 'endpoint-groups',
  keyOf: ({ id }) => [id],
  indexes: {},
})

export const projectEndpoints = new Table<ProjectEndpointRow, 'endpoint'>({
  name: 'project-endpoints',
  keyOf: ({ projectId, endpointId }) => [projectId, endpointId],
  indexes: { endpoint: { of: ({ endpointId }) => [[endpointId]] } },
})

export const projectEndpointGroups = new Table<ProjectEndpointGroupRow, 'group'>({
  name: 'project-endpoint-groups',
  keyOf: ({ projectId, groupId }) => [projectId, groupId],
  indexes: { group: { of: ({ groupId }) => [[groupId]] } },
})
