import { type Answer, created, NO_CONTENT, ok } from '../../common/http/route.ts'
import type { PolicyFacts } from '../../common/policy/policy.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { conflict, expecting, forbidden, notFound } from '../errors.ts'
import { checkModel, LIMIT_MODELS } from '../limits/limit-model.ts'
import { type LimitRow, limits, registeredLimits, resourceKey } from '../tables/limits.ts'
import { projects } from '../tables/tables.ts'
import {
  bodyOf,
  changed,
  ID,
  nameSchema,
  refuseOtherId,
  TEXT_OR_NULL,
  type Values,
} from './bodies.ts'
import { showDomainRow } from './domains.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { showProjectRow } from './project-view.ts'
import { AMOUNT, itemsOf, REGION, requireResource, resourceOf } from './registered-limits.ts'
import { itemAnswer, linked, listAnswer } from './views.ts'

export const limitRoutes: readonly IdentityRoute[] = [
  { method: 'GET', path: '/v3/limits/model', handle: showModel },
  { method: 'POST', path: '/v3/limits', handle: createLimits },
  { method: 'GET', path: '/v3/limits', handle: listLimits },
  { method: 'GET', path: '/v3/limits/:id', handle: showLimit },
  { method: 'PATCH', path: '/v3/limits/:id', handle: updateLimit },
  { method: 'DELETE', path: '/v3/limits/:id', handle: deleteLimit },
]

const ITEM = {
  type: 'object',
  additionalProperties: false,
  properties: {
    project_id: ID,
    domain_id: ID,
    service_id: ID,
    region_id: REGION,
    resource_name: nameSchema(255),
    resource_limit: AMOUNT,
    description: TEXT_OR_NULL,
  },
  required: ['service_id', 'resource_name', 'resource_limit'],
  oneOf: [{ required: ['project_id'] }, { required: ['domain_id'] }],
}
const UPDATE = {
  additionalProperties: false,
  properties: {
    id: { type: 'string' },
    resource_limit: AMOUNT,
    description: TEXT_OR_NULL,
  },
  minProperties: 1,
}
/** They see the limits of all projects. */
const SEE_ALL = ['admin', 'service']

function showModel(call: IdentityCall): Answer {
  enforce(call, 'get_limit_model')
  const { limitModel: name } = call.context.parts.settings
  return ok({ model: { name, description: LIMIT_MODELS[name] } })
}

async function createLimits(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_limits')
  const { parts } = call.context
  const items = itemsOf(call, 'limits', ITEM)
  const ids = items.map(() => randomId(parts.random))
  const rows = await parts.state.transaction(async (tx) => {
    const fresh = await Promise.all(items.map((values, index) => newLimit(tx, values, ids[index]!)))
    await checkModel(tx, fresh, parts.settings.limitModel)
    for (const row of fresh) {
      await refuseDuplicate(tx, row)
      await limits.put(tx, row)
    }
    return fresh
  })
  return created({ limits: rows.map((row) => linked(call, 'limits', showLimitRow(row))) })
}

async function newLimit(tx: StateTransaction, values: Values, id: string): Promise<LimitRow> {
  const resource = resourceOf(values)
  await requireResource(tx, resource, 'limit')
  const place = await placeOf(tx, values)
  if ((await registeredLimits.one(tx, 'resource', ...resourceKey(resource))) === undefined) {
    throw forbidden('Unable to create a limit that has no corresponding registered limit.')
  }
  return {
    id,
    ...place,
    ...resource,
    resourceLimit: values.resource_limit as number,
    description: (values.description as string | null | undefined) ?? null,
  }
}

/** Whom it limits; a domain that is named as a project is one. */
async function placeOf(
  reader: StateReader,
  values: Values,
): Promise<Pick<LimitRow, 'projectId' | 'domainId'>> {
  const name = values.project_id === undefined ? 'domain_id' : 'project_id'
  const row = await projects.get(reader, values[name] as string)
  if (row === undefined || (name === 'domain_id' && !row.isDomain)) throw expecting(name, 'limit')
  return row.isDomain
    ? { projectId: null, domainId: row.id }
    : { projectId: row.id, domainId: null }
}

async function refuseDuplicate(tx: StateTransaction, row: LimitRow): Promise<void> {
  const key = [...resourceKey(row), row.projectId ?? '', row.domainId ?? '']
  if ((await limits.one(tx, 'resource', ...key)) !== undefined) {
    throw conflict('limit', 'Duplicate entry')
  }
}

async function listLimits(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_limits')
  const rows = await visibleLimits(call)
  return listAnswer(call, rows.map(showLimitRow), {
    name: 'limits',
    filters: ['service_id', 'region_id', 'resource_name', 'project_id', 'domain_id'],
  })
}

/** Of all for who looks after the deployment, else of the domain or project that the token is for. */
async function visibleLimits(call: IdentityCall): Promise<readonly LimitRow[]> {
  const { state } = call.context.parts
  const { credentials, subject } = callerOrRefuse(call)
  const { scope } = subject
  if (scope.kind === 'system' || credentials.roles.some((role) => SEE_ALL.includes(role))) {
    return limits.list(state)
  }
  if (scope.kind === 'project') return limits.by(state, 'project', scope.project.id)
  if (scope.kind !== 'domain') return []
  const own = await limits.by(state, 'domain', scope.domain.id)
  const inside = await projects.by(state, 'domain', scope.domain.id)
  const below = await Promise.all(inside.map(({ id }) => limits.by(state, 'project', id)))
  return [...own, ...below.flat()]
}

async function showLimit(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'get_limit', await limitTarget(state, id))
  return itemAnswer(call, showLimitRow(await requireLimit(state, id)), { name: 'limit' })
}

async function updateLimit(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_limit')
  const { parts } = call.context
  const { id = '' } = call.params
  const values = bodyOf(call, 'limit', UPDATE)
  refuseOtherId(values, id)
  const row = await parts.state.transaction(async (tx) => {
    const before = await requireLimit(tx, id)
    const after: LimitRow = {
      ...before,
      resourceLimit: changed(values, 'resource_limit', before.resourceLimit),
      description: changed(values, 'description', before.description),
    }
    await checkModel(tx, [after], parts.settings.limitModel)
    await limits.put(tx, after)
    return after
  })
  return itemAnswer(call, showLimitRow(row), { name: 'limit' })
}

async function deleteLimit(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_limit')
  await call.context.parts.state.transaction(async (tx) => {
    const { id } = await requireLimit(tx, call.params.id ?? '')
    await limits.delete(tx, id)
  })
  return NO_CONTENT
}

async function limitTarget(reader: StateReader, id: string): Promise<PolicyFacts> {
  const row = await limits.get(reader, id)
  if (row === undefined) return {}
  const place = await projects.get(reader, row.projectId ?? row.domainId ?? '')
  return {
    target: {
      limit: {
        ...showLimitRow(row),
        ...(place !== undefined &&
          (place.isDomain ? { domain: showDomainRow(place) } : { project: showProjectRow(place) })),
      },
    },
  }
}

async function requireLimit(reader: StateReader, id: string): Promise<LimitRow> {
  const row = await limits.get(reader, id)
  if (row === undefined) throw notFound('limit for', id)
  return row
}

function showLimitRow(row: LimitRow) {
  const { id, projectId, domainId, serviceId, regionId, resourceName, resourceLimit } = row
  return {
    id,
    project_id: projectId,
    domain_id: domainId,
    service_id: serviceId,
    region_id: regionId,
    resource_name: resourceName,
    resource_limit: resourceLimit,
    description: row.description,
  }
}
