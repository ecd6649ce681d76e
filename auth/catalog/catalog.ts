import type { StateReader } from '../../common/state/state-store.ts'
import type { EndpointRow, ServiceRow } from '../tables/rows.ts'
import { endpoints, services } from '../tables/tables.ts'
import { endpointFilterOf } from './project-filter.ts'

/** A service with its endpoints, as tokens carry it. */
export interface CatalogEntry {
  readonly id: string
  readonly type: string
  readonly name: string
  readonly endpoints: readonly CatalogEndpoint[]
}

export interface CatalogEndpoint {
  readonly id: string
  readonly interface: string
  readonly region_id: string | null
  readonly region: string | null
  readonly url: string
}

/** Whose catalog it is: what URLs may name. */
export interface CatalogOwner {
  readonly userId: string
  readonly projectId?: string
  /** How the client has reached the service: `cloud.example.org`. */
  readonly requestHost?: string
}

/**
 * The enabled services with their enabled endpoints, URLs filled in; those that cannot be filled in are left out, and
 * those that the project does not see if it has a filter.
 */
export async function catalogOf(
  reader: StateReader,
  owner: CatalogOwner,
): Promise<readonly CatalogEntry[]> {
  const [allServices, everyEndpoint, isSeen] = await Promise.all([
    services.list(reader),
    endpoints.list(reader),
    owner.projectId === undefined ? null : endpointFilterOf(reader, owner.projectId),
  ])
  const allEndpoints = isSeen === null ? everyEndpoint : everyEndpoint.filter(isSeen)
  return allServices
    .filter(({ enabled }) => enabled)
    .map((service) => entryOf(service, allEndpoints, owner))
    .sort((a, b) => (a.type < b.type ? -1 : 1))
}

function entryOf(
  service: ServiceRow,
  all: readonly EndpointRow[],
  owner: CatalogOwner,
): CatalogEntry {
  const own = all.filter(({ serviceId, enabled }) => enabled && serviceId === service.id)
  return {
    id: service.id,
    type: service.type,
    name: service.name ?? '',
    endpoints: own.flatMap((endpoint) => {
      const url = fillUrl(endpoint.url, owner)
      if (url === null) return []
      const { id, interface: kind, regionId } = endpoint
      return [{ id, interface: kind, region_id: regionId, region: regionId, url }]
    }),
  }
}

/** As Keystone's format_url: `$(project_id)s` and `%(project_id)s`, and beyond it `$(request_host)s`; null if the owner has no such value. */
export function fillUrl(
  url: string,
  { userId, projectId, requestHost }: CatalogOwner,
): string | null {
  const values: Readonly<Record<string, string | undefined>> = {
    project_id: projectId,
    tenant_id: projectId,
    user_id: userId,
    request_host: requestHost,
  }
  let complete = true
  const filled = url.replace(/[$%]\(([a-z_]+)\)s/g, (_whole, name: string) => {
    const value = values[name]
    if (value === undefined) complete = false
    return value ?? ''
  })
  return complete ? filled : null
}
