import type { StateReader } from '../../common/state/state-store.ts'
import {
  type EndpointGroupRow,
  endpointGroups,
  projectEndpointGroups,
  projectEndpoints,
} from '../tables/endpoint-filters.ts'
import type { EndpointRow } from '../tables/rows.ts'

/** Which endpoints a project sees; null if it has no filter, and sees all. */
export async function endpointFilterOf(
  reader: StateReader,
  projectId: string,
): Promise<((endpoint: EndpointRow) => boolean) | null> {
  const [single, grouped] = await Promise.all([
    projectEndpoints.list(reader, { prefix: [projectId] }),
    projectEndpointGroups.list(reader, { prefix: [projectId] }),
  ])
  if (single.length === 0 && grouped.length === 0) return null
  const ids = new Set(single.map(({ endpointId }) => endpointId))
  const rows = await Promise.all(grouped.map(({ groupId }) => endpointGroups.get(reader, groupId)))
  const groups = rows.filter((row) => row !== undefined)
  return (endpoint) => ids.has(endpoint.id) || groups.some((group) => isIn(endpoint, group))
}

/** Whether an endpoint has all that the group's filters name. */
export function isIn(endpoint: EndpointRow, { filters }: EndpointGroupRow): boolean {
  const has = (wanted: string | undefined, value: string | null) =>
    wanted === undefined || wanted === value
  return (
    has(filters.service_id, endpoint.serviceId) &&
    has(filters.region_id, endpoint.regionId) &&
    has(filters.interface, endpoint.interface)
  )
}
