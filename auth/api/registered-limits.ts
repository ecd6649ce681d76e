import { type Answer, created, NO_CONTENT } from '../../common/http/route.ts'
import { checkSchema } from '../../common/http/schema.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { conflict, expecting, forbidden, notFound } from '../errors.ts'
import {
  type LimitedResource,
  limits,
  type RegisteredLimitRow,
  registeredLimits,
  resourceKey,
} from '../tables/limits.ts'
import { regions, services } from '../tables/tables.ts'
import {
  bodyOf,
  changed,
  ID,
  nameSchema,
  refuseOtherId,
  TEXT_OR_NULL,
  type Values,
} from './bodies.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { itemAnswer, linked, listAnswer } from './views.ts'

const PATH = '/v3/registered_limits'

export const registeredLimitRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: PATH, handle: createRegistered },
  { method: 'GET', path: PATH, handle: listRegistered },
  { method: 'GET', path: `${PATH}/:id`, handle: showRegistered },
  { method: 'PATCH', path: `${PATH}/:id`, handle: updateRegistered },
  { method: 'DELETE', path: `${PATH}/:id`, handle: deleteRegistered },
]

/** -1 is any amount. */
export const AMOUNT = { type: 'integer', minimum: -1, maximum: 2 ** 31 - 1 }
export const REGION = { type: ['string', 'null'], maxLength: 255 }
const PROPERTIES = {
  service_id: ID,
  region_id: REGION,
  resource_name: nameSchema(255),
  default_limit: AMOUNT,
  description: TEXT_OR_NULL,
}
const ITEM = {
  type: 'object',
  additionalProperties: false,
  properties: PROPERTIES,
  required: ['service_id', 'resource_name', 'default_limit'],
}
const UPDATE = {
  additionalProperties: false,
  properties: { id: { type: 'string' }, links: { type: 'object' }, ...PROPERTIES },
  minProperties: 1,
}

/** The items of `{name: [{…}, …]}`, as many as a body holds. Throws 400. */
export function itemsOf(call: IdentityCall, name: string, item: unknown): readonly Values[] {
  const value = call.body[name]
  if (value === undefined) throw expecting(name, 'request body')
  checkSchema(LISTS.get(item) ?? listSchema(item), value)
  return value as readonly Values[]
}

const LISTS = new Map<unknown, Readonly<Record<string, unknown>>>()

function listSchema(item: unknown) {
  const schema = { type: 'array', items: item, minItems: 1, maxItems: 1000 }
  LISTS.set(item, schema)
  return schema
}

async function createRegistered(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_registered_limits')
  const { parts } = call.context
  const rows = itemsOf(call, 'registered_limits', ITEM).map(
    (values): RegisteredLimitRow => ({
      id: randomId(parts.random),
      ...resourceOf(values),
      defaultLimit: values.default_limit as number,
      description: (values.description as string | null | undefined) ?? null,
    }),
  )
  await parts.state.transaction(async (tx) => {
    for (const row of rows) {
      await requireResource(tx, row, 'registered_limit')
      await refuseDuplicate(tx, row)
      await registeredLimits.put(tx, row)
    }
  })
  const shown = rows.map((row) => linked(call, 'registered_limits', showRegisteredRow(row)))
  return created({ registered_limits: shown })
}

/** What a body's values are a limit of. */
export function resourceOf(values: Values): LimitedResource {
  return {
    serviceId: values.service_id as string,
    regionId: (values.region_id as string | null | undefined) ?? null,
    resourceName: values.resource_name as string,
  }
}

/** Throws 400 unless the service and the region are there. */
export async function requireResource(
  reader: StateReader,
  { serviceId, regionId }: LimitedResource,
  target: string,
): Promise<void> {
  if ((await services.get(reader, serviceId)) === undefined) throw expecting('service_id', target)
  if (regionId !== null && (await regions.get(reader, regionId)) === undefined) {
    throw expecting('region_id', target)
  }
}

async function refuseDuplicate(tx: StateTransaction, row: RegisteredLimitRow): Promise<void> {
  const other = await registeredLimits.one(tx, 'resource', ...resourceKey(row))
  if (other !== undefined && other.id !== row.id) {
    throw conflict('registered_limit', 'Duplicate entry')
  }
}

async function listRegistered(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_registered_limits')
  const rows = await registeredLimits.list(call.context.parts.state)
  return listAnswer(call, rows.map(showRegisteredRow), {
    name: 'registered_limits',
    filters: ['service_id', 'region_id', 'resource_name'],
  })
}

async function showRegistered(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_registered_limit')
  const row = await requireRegistered(call.context.parts.state, call.params.id ?? '')
  return itemAnswer(call, showRegisteredRow(row), { name: 'registered_limit' })
}

async function updateRegistered(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_registered_limit')
  const { id = '' } = call.params
  const values = bodyOf(call, 'registered_limit', UPDATE)
  refuseOtherId(values, id)
  const row = await call.context.parts.state.transaction(async (tx) => {
    const before = await requireRegistered(tx, id)
    await refuseInUse(tx, before)
    const after: RegisteredLimitRow = {
      ...before,
      serviceId: changed(values, 'service_id', before.serviceId),
      regionId: changed(values, 'region_id', before.regionId),
      resourceName: changed(values, 'resource_name', before.resourceName),
      defaultLimit: changed(values, 'default_limit', before.defaultLimit),
      description: changed(values, 'description', before.description),
    }
    await requireResource(tx, after, 'registered_limit')
    await refuseDuplicate(tx, after)
    await registeredLimits.put(tx, after)
    return after
  })
  return itemAnswer(call, showRegisteredRow(row), { name: 'registered_limit' })
}

async function deleteRegistered(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_registered_limit')
  await call.context.parts.state.transaction(async (tx) => {
    const row = await requireRegistered(tx, call.params.id ?? '')
    await refuseInUse(tx, row)
    await registeredLimits.delete(tx, row.id)
  })
  return NO_CONTENT
}

async function refuseInUse(tx: StateTransaction, row: RegisteredLimitRow): Promise<void> {
  if ((await limits.by(tx, 'resource', ...resourceKey(row))).length === 0) return
  throw forbidden(
    `Unable to update or delete registered limit ${row.id} because there are project limits associated with it.`,
  )
}

async function requireRegistered(reader: StateReader, id: string): Promise<RegisteredLimitRow> {
  const row = await registeredLimits.get(reader, id)
  if (row === undefined) throw notFound('registered limit for', id)
  return row
}

function showRegisteredRow(row: RegisteredLimitRow) {
  const { id, serviceId, regionId, resourceName, defaultLimit, description } = row
  return {
    id,
    service_id: serviceId,
    region_id: regionId,
    resource_name: resourceName,
    default_limit: defaultLimit,
    description,
  }
}
