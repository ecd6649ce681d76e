import { type Answer, created, NO_CONTENT, ok } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { conflict, forbidden, invalid, notFound } from '../errors.ts'
import { deleteEndpointRow, deleteServiceRow } from '../removal/catalog-removal.ts'
import { registeredLimits } from '../tables/limits.ts'
import { type EndpointRow, INTERFACES, type RegionRow, type ServiceRow } from '../tables/rows.ts'
import { endpoints, regions, services } from '../tables/tables.ts'
import {
  bodyOf,
  changed,
  extraOf,
  FLAG,
  ID,
  ID_OR_NULL,
  refuseOtherId,
  TEXT_OR_NULL,
} from './bodies.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { createdAnswer, itemAnswer, linked, listAnswer } from './views.ts'

const REGION_ID = { type: ['string', 'null'], maxLength: 255 }
const REGION_PROPERTIES = {
  id: REGION_ID,
  description: TEXT_OR_NULL,
  parent_region_id: REGION_ID,
}
const REGION_OWN = ['links', ...Object.keys(REGION_PROPERTIES)]

const SERVICE_PROPERTIES = {
  type: { type: 'string', minLength: 1, maxLength: 255 },
  name: TEXT_OR_NULL,
  enabled: FLAG,
  description: TEXT_OR_NULL,
}
const SERVICE_OWN = ['id', 'links', ...Object.keys(SERVICE_PROPERTIES)]

const ENDPOINT_PROPERTIES = {
  interface: { enum: INTERFACES },
  region: TEXT_OR_NULL,
  region_id: ID_OR_NULL,
  service_id: ID,
  url: { type: 'string', minLength: 1, maxLength: 2048 },
  enabled: FLAG,
}
const ENDPOINT_OWN = ['id', 'links', ...Object.keys(ENDPOINT_PROPERTIES)]

export const catalogRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/regions', handle: createRegion },
  { method: 'PUT', path: '/v3/regions/:id', handle: putRegion },
  { method: 'GET', path: '/v3/regions', handle: listRegions },
  { method: 'GET', path: '/v3/regions/:id', handle: showRegion },
  { method: 'PATCH', path: '/v3/regions/:id', handle: updateRegion },
  { method: 'DELETE', path: '/v3/regions/:id', handle: deleteRegion },
  { method: 'POST', path: '/v3/services', handle: createService },
  { method: 'GET', path: '/v3/services', handle: listServices },
  { method: 'GET', path: '/v3/services/:id', handle: showService },
  { method: 'PATCH', path: '/v3/services/:id', handle: updateService },
  { method: 'DELETE', path: '/v3/services/:id', handle: deleteService },
  { method: 'POST', path: '/v3/endpoints', handle: createEndpoint },
  { method: 'GET', path: '/v3/endpoints', handle: listEndpoints },
  { method: 'GET', path: '/v3/endpoints/:id', handle: showEndpoint },
  { method: 'PATCH', path: '/v3/endpoints/:id', handle: updateEndpoint },
  { method: 'DELETE', path: '/v3/endpoints/:id', handle: deleteEndpoint },
]

export function showRegionRow({ id, parentId, description, extra }: RegionRow) {
  return { ...extra, id, description, parent_region_id: parentId }
}

export function showServiceRow({ id, type, name, enabled, description, extra }: ServiceRow) {
  return {
    ...extra,
    id,
    type,
    enabled,
    ...(name !== null && { name }),
    ...(description !== null && { description }),
  }
}

export function showEndpointRow(row: EndpointRow) {
  const { id, serviceId, regionId, interface: kind, url, enabled, extra } = row
  return {
    ...extra,
    id,
    interface: kind,
    region_id: regionId,
    region: regionId,
    service_id: serviceId,
    url,
    enabled,
  }
}

/** The service; 404 if there is none. */
export async function requireService(reader: StateReader, id: string): Promise<ServiceRow> {
  return (await services.get(reader, id)) ?? refuse('service', id)
}

/** The endpoint; 404 if there is none. */
export async function requireEndpoint(reader: StateReader, id: string): Promise<EndpointRow> {
  return (await endpoints.get(reader, id)) ?? refuse('endpoint', id)
}

/** The region; 404 if there is none. */
export async function requireRegion(reader: StateReader, id: string): Promise<RegionRow> {
  return (await regions.get(reader, id)) ?? refuse('region', id)
}

function refuse(kind: string, id: string): never {
  throw notFound(kind, id)
}

async function createRegion(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_region')
  return makeRegion(call)
}

/** As POST, under the id of the path. */
async function putRegion(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_region')
  const { id = '' } = call.params
  const values = bodyOf(call, 'region', { properties: REGION_PROPERTIES })
  if (values.id != null && values.id !== id) {
    throw invalid('Conflicting region IDs specified: URL and body differ.')
  }
  return makeRegion(call, id)
}

async function makeRegion(call: IdentityCall, pathId?: string): Promise<Answer> {
  const { parts } = call.context
  const values = bodyOf(call, 'region', { properties: REGION_PROPERTIES })
  const row: RegionRow = {
    id: pathId ?? ((values.id as string | null | undefined) || randomId(parts.random)),
    parentId: (values.parent_region_id as string | null | undefined) ?? null,
    description: (values.description as string | null | undefined) ?? '',
    extra: extraOf(values, REGION_OWN),
  }
  await parts.state.transaction(async (tx) => {
    if ((await regions.get(tx, row.id)) !== undefined) {
      throw conflict('region', `Duplicate ID, ${row.id}`)
    }
    if (row.parentId !== null) await requireRegion(tx, row.parentId)
    await regions.put(tx, row)
  })
  return createdAnswer(call, showRegionRow(row), { name: 'region' })
}

async function listRegions(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_regions')
  const rows = await regions.list(call.context.parts.state)
  return listAnswer(call, rows.map(showRegionRow), {
    name: 'regions',
    filters: ['id', 'parent_region_id'],
  })
}

async function showRegion(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_region')
  const row = await requireRegion(call.context.parts.state, call.params.id ?? '')
  return itemAnswer(call, showRegionRow(row), { name: 'region' })
}

async function updateRegion(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_region')
  const { id = '' } = call.params
  const values = bodyOf(call, 'region', { properties: REGION_PROPERTIES })
  refuseOtherId(values, id)
  const row = await call.context.parts.state.transaction(async (tx) => {
    const before = await requireRegion(tx, id)
    const after: RegionRow = {
      ...before,
      parentId: changed(values, 'parent_region_id', before.parentId),
      description: changed<string | null>(values, 'description', before.description) ?? '',
      extra: { ...before.extra, ...extraOf(values, REGION_OWN) },
    }
    await refuseCircle(tx, after)
    await regions.put(tx, after)
    return after
  })
  return itemAnswer(call, showRegionRow(row), { name: 'region' })
}

async function refuseCircle(tx: StateTransaction, { id, parentId }: RegionRow): Promise<void> {
  for (let above = parentId; above !== null; ) {
    if (above === id) {
      throw invalid(
        `The specified parent region ${parentId} would create a circular region hierarchy.`,
      )
    }
    above = (await requireRegion(tx, above)).parentId
  }
}

/** A region goes with those below it, unless one of them has endpoints. */
async function deleteRegion(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_region')
  const { id = '' } = call.params
  await call.context.parts.state.transaction(async (tx) => {
    await requireRegion(tx, id)
    const ids = new Set([id])
    for (const next of ids) {
      for (const child of await regions.by(tx, 'parent', next)) ids.add(child.id)
    }
    for (const next of ids) {
      if ((await endpoints.by(tx, 'region', next)).length > 0) {
        throw forbidden(
          `Unable to delete region ${id} because it or its child regions have associated endpoints.`,
        )
      }
      if ((await registeredLimits.by(tx, 'region', next)).length > 0) {
        throw forbidden(
          `Unable to delete region ${id} because it or its child regions have associated limits.`,
        )
      }
    }
    for (const next of ids) await regions.delete(tx, next)
  })
  return NO_CONTENT
}

async function createService(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_service')
  const { parts } = call.context
  const values = bodyOf(call, 'service', { properties: SERVICE_PROPERTIES, required: ['type'] })
  const row: ServiceRow = {
    id: randomId(parts.random),
    type: values.type as string,
    name: (values.name as string | null | undefined) ?? null,
    enabled: (values.enabled as boolean | undefined) ?? true,
    description: (values.description as string | null | undefined) ?? null,
    extra: extraOf(values, SERVICE_OWN),
  }
  await parts.state.transaction((tx) => services.put(tx, row))
  return createdAnswer(call, showServiceRow(row), { name: 'service' })
}

async function listServices(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_services')
  const rows = await services.list(call.context.parts.state)
  return listAnswer(call, rows.map(showServiceRow), {
    name: 'services',
    filters: ['id', 'type', 'name'],
  })
}

async function showService(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_service')
  const row = await requireService(call.context.parts.state, call.params.id ?? '')
  return itemAnswer(call, showServiceRow(row), { name: 'service' })
}

async function updateService(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_service')
  const { id = '' } = call.params
  const values = bodyOf(call, 'service', { properties: SERVICE_PROPERTIES, minProperties: 1 })
  refuseOtherId(values, id)
  const row = await call.context.parts.state.transaction(async (tx) => {
    const before = await requireService(tx, id)
    const after: ServiceRow = {
      ...before,
      type: changed(values, 'type', before.type),
      name: changed(values, 'name', before.name),
      enabled: changed(values, 'enabled', before.enabled),
      description: changed(values, 'description', before.description),
      extra: { ...before.extra, ...extraOf(values, SERVICE_OWN) },
    }
    await services.put(tx, after)
    return after
  })
  return itemAnswer(call, showServiceRow(row), { name: 'service' })
}

/** A service goes with its endpoints. */
async function deleteService(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_service')
  const { id = '' } = call.params
  await call.context.parts.state.transaction(async (tx) => {
    await requireService(tx, id)
    await deleteServiceRow(tx, id)
  })
  return NO_CONTENT
}

async function createEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_endpoint')
  const { parts } = call.context
  const values = bodyOf(call, 'endpoint', {
    properties: ENDPOINT_PROPERTIES,
    required: ['interface', 'service_id', 'url'],
  })
  const row: EndpointRow = {
    id: randomId(parts.random),
    serviceId: values.service_id as string,
    regionId: regionOf(values) ?? null,
    interface: values.interface as EndpointRow['interface'],
    url: checkUrl(values.url as string),
    enabled: (values.enabled as boolean | undefined) ?? true,
    extra: extraOf(values, ENDPOINT_OWN),
  }
  await parts.state.transaction(async (tx) => {
    await checkEnds(tx, row)
    // The older attribute `region` makes the region that it names.
    if (row.regionId !== null && values.region_id == null) await makeMissingRegion(tx, row.regionId)
    await requireEndpointRegion(tx, row.regionId)
    await endpoints.put(tx, row)
  })
  return created({ endpoint: linked(call, 'endpoints', showEndpointRow(row)) })
}

function regionOf(values: Readonly<Record<string, unknown>>): string | null | undefined {
  return (values.region_id ?? values.region) as string | null | undefined
}

async function checkEnds(tx: StateTransaction, row: EndpointRow): Promise<void> {
  if ((await services.get(tx, row.serviceId)) === undefined) {
    throw invalid(`Could not find service: ${row.serviceId}.`)
  }
}

async function requireEndpointRegion(tx: StateTransaction, id: string | null): Promise<void> {
  if (id === null || (await regions.get(tx, id)) !== undefined) return
  throw invalid(`Could not find region: ${id}.`)
}

async function makeMissingRegion(tx: StateTransaction, id: string): Promise<void> {
  if ((await regions.get(tx, id)) !== undefined) return
  await regions.put(tx, { id, parentId: null, description: '', extra: {} })
}

/** Throws 400 unless it is a URL once its places are filled in. */
function checkUrl(url: string): string {
  const sample = url.replace(/[$%]\((?:project_id|tenant_id|user_id|request_host)\)s/g, 'x')
  if (!/[$%]\(/.test(sample) && URL.canParse(sample)) return url
  throw invalid(`Cannot create an endpoint with an invalid URL: ${url}.`)
}

async function listEndpoints(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_endpoints')
  const rows = await endpoints.list(call.context.parts.state)
  return listAnswer(call, rows.map(showEndpointRow), {
    name: 'endpoints',
    filters: ['id', 'interface', 'service_id', 'region_id'],
  })
}

async function showEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_endpoint')
  const row = await requireEndpoint(call.context.parts.state, call.params.id ?? '')
  return ok({ endpoint: linked(call, 'endpoints', showEndpointRow(row)) })
}

async function updateEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_endpoint')
  const { id = '' } = call.params
  const values = bodyOf(call, 'endpoint', { properties: ENDPOINT_PROPERTIES, minProperties: 1 })
  refuseOtherId(values, id)
  const row = await call.context.parts.state.transaction(async (tx) => {
    const before = await requireEndpoint(tx, id)
    const region = regionOf(values)
    const after: EndpointRow = {
      ...before,
      serviceId: changed(values, 'service_id', before.serviceId),
      regionId: region === undefined ? before.regionId : region,
      interface: changed(values, 'interface', before.interface),
      url: checkUrl(changed(values, 'url', before.url)),
      enabled: changed(values, 'enabled', before.enabled),
      extra: { ...before.extra, ...extraOf(values, ENDPOINT_OWN) },
    }
    await checkEnds(tx, after)
    if (after.regionId !== null && values.region_id == null && values.region != null) {
      await makeMissingRegion(tx, after.regionId)
    }
    await requireEndpointRegion(tx, after.regionId)
    await endpoints.put(tx, after)
    return after
  })
  return itemAnswer(call, showEndpointRow(row), { name: 'endpoint' })
}

async function deleteEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_endpoint')
  const { id = '' } = call.params
  await call.context.parts.state.transaction(async (tx) => {
    await requireEndpoint(tx, id)
    await deleteEndpointRow(tx, id)
  })
  return NO_CONTENT
}
