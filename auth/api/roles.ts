import { type Answer, NO_CONTENT, ok } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { impliedClosure } from '../assignments/effective-roles.ts'
import { conflict, forbidden, invalid, notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import type { PolicyAction } from '../policy/rules.ts'
import { deleteRoleRow } from '../removal/role-removal.ts'
import type { RoleRow } from '../tables/rows.ts'
import { impliedRoles, roles } from '../tables/tables.ts'
import {
  bodyOf,
  changed,
  extraOf,
  ID_OR_NULL,
  nameSchema,
  refuseOtherId,
  TEXT_OR_NULL,
} from './bodies.ts'
import { requireDomain } from './domains.ts'
import {
  callerOrRefuse,
  enforce,
  type IdentityCall,
  type IdentityRoute,
  mayDo,
} from './identity-call.ts'
import {
  IMMUTABLE_OPTIONS,
  refuseImmutableChange,
  refuseImmutableRemoval,
  withOptions,
} from './resource-options.ts'
import { apiUrl, createdAnswer, itemAnswer, linked, listAnswer, listLinks } from './views.ts'

const PROPERTIES = {
  name: nameSchema(255),
  description: TEXT_OR_NULL,
  domain_id: ID_OR_NULL,
  options: IMMUTABLE_OPTIONS,
}
const OWN = ['id', 'links', ...Object.keys(PROPERTIES)]
const CREATE = { properties: PROPERTIES, required: ['name'] }
const UPDATE = { properties: PROPERTIES, minProperties: 1 }

export const roleRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/roles', handle: createRole },
  { method: 'GET', path: '/v3/roles', handle: listRoles },
  { method: 'GET', path: '/v3/roles/:id', handle: showRole },
  { method: 'PATCH', path: '/v3/roles/:id', handle: updateRole },
  { method: 'DELETE', path: '/v3/roles/:id', handle: deleteRole },
  { method: 'GET', path: '/v3/roles/:id/implies', handle: listImplied },
  { method: 'PUT', path: '/v3/roles/:id/implies/:impliedId', handle: addImplied },
  { method: 'GET', path: '/v3/roles/:id/implies/:impliedId', handle: showImplied },
  { method: 'DELETE', path: '/v3/roles/:id/implies/:impliedId', handle: removeImplied },
  { method: 'GET', path: '/v3/role_inferences', handle: listInferences },
]

/** A role as the API shows it. */
export function showRoleRow(row: RoleRow) {
  const { id, name, domainId, description, options, extra } = row
  return { ...extra, id, name, domain_id: domainId, description, options }
}

/** The role; 404 if there is none. */
export async function requireRole(reader: StateReader, id: string): Promise<RoleRow> {
  const row = await roles.get(reader, id)
  if (row === undefined) throw notFound('role', id)
  return row
}

async function createRole(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  callerOrRefuse(call)
  const values = bodyOf(call, 'role', CREATE)
  const domainId = (values.domain_id as string | null | undefined) ?? null
  const row: RoleRow = {
    id: randomId(parts.random),
    name: values.name as string,
    domainId,
    description: (values.description as string | null | undefined) ?? null,
    options: withOptions({}, values.options),
    extra: extraOf(values, OWN),
  }
  enforce(call, domainId === null ? 'create_role' : 'create_domain_role')
  await parts.state.transaction(async (tx) => {
    if (domainId !== null) await requireDomain(tx, domainId)
    await refuseDuplicate(tx, row)
    await roles.put(tx, row)
  })
  return createdAnswer(call, showRoleRow(row), { name: 'role' })
}

/** Roles of all domains stand in a list only if their domain is asked for. */
async function listRoles(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const domainId = call.query.get('domain_id') || null
  const action = domainId === null ? 'list_roles' : 'list_domain_roles'
  enforce(call, action)
  const rows = await roles.by(state, 'name', domainId ?? '')
  const seen = rows.filter((row) => {
    const full = domainId !== null || callerSeesAllRoles(call)
    return full || mayDo(call, 'get_role', { target: { role: showRoleRow(row) } })
  })
  return listAnswer(call, seen.map(showRoleRow), { name: 'roles', filters: ['id', 'name'] })
}

function callerSeesAllRoles(call: IdentityCall): boolean {
  return mayDo(call, 'get_role', {})
}

async function showRole(call: IdentityCall): Promise<Answer> {
  const row = await enforcedRole(call, 'get_role', 'get_domain_role')
  return itemAnswer(call, showRoleRow(row), { name: 'role' })
}

async function updateRole(call: IdentityCall): Promise<Answer> {
  const { id } = await enforcedRole(call, 'update_role', 'update_domain_role')
  const values = bodyOf(call, 'role', UPDATE)
  refuseOtherId(values, id)
  const row = await change(call.context.parts, async ({ tx, revoke }) => {
    const before = await requireRole(tx, id)
    refuseImmutableChange(before, 'role', values)
    if (Object.hasOwn(values, 'domain_id') && values.domain_id !== before.domainId) {
      throw invalid('Update of `domain_id` is not allowed.')
    }
    const after: RoleRow = {
      ...before,
      name: changed(values, 'name', before.name),
      description: changed(values, 'description', before.description),
      options: withOptions(before.options, values.options),
      extra: { ...before.extra, ...extraOf(values, OWN) },
    }
    if (after.name !== before.name) {
      await refuseDuplicate(tx, after)
      // Other services go by the names in tokens.
      await revoke({ roleId: id })
    }
    await roles.put(tx, after)
    return after
  })
  return itemAnswer(call, showRoleRow(row), { name: 'role' })
}

async function deleteRole(call: IdentityCall): Promise<Answer> {
  const { id } = await enforcedRole(call, 'delete_role', 'delete_domain_role')
  await change(call.context.parts, async (changing) => {
    refuseImmutableRemoval(await requireRole(changing.tx, id), 'role')
    await deleteRoleRow(changing, id)
  })
  return NO_CONTENT
}

async function listImplied(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_implied_roles')
  const { state } = call.context.parts
  const prior = await requireRole(state, call.params.id ?? '')
  const rules = await impliedRoles.list(state, { prefix: [prior.id] })
  const implied = await Promise.all(rules.map(({ impliedId }) => requireRole(state, impliedId)))
  return ok({
    role_inference: {
      prior_role: briefRole(call, prior),
      implies: implied.map((row) => briefRole(call, row)),
    },
    links: { self: `${apiUrl(call)}/roles/${prior.id}/implies` },
  })
}

async function addImplied(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_implied_role')
  const { id = '', impliedId = '' } = call.params
  const answer = await call.context.parts.state.transaction(async (tx) => {
    const [prior, implied] = [await requireRole(tx, id), await requireRole(tx, impliedId)]
    if (implied.name === 'admin') {
      throw forbidden(`${implied.id} cannot be an implied roles`)
    }
    if (prior.domainId === null && implied.domainId !== null) {
      throw forbidden('A global role cannot imply a role of one domain.')
    }
    if ((await impliedClosure(tx, new Set([impliedId]))).has(id)) {
      throw invalid(`Role ${impliedId} implies ${id} already: they would imply each other.`)
    }
    await impliedRoles.put(tx, { priorId: id, impliedId })
    return inference(call, prior, implied)
  })
  return { status: 201, body: answer }
}

async function showImplied(call: IdentityCall): Promise<Answer> {
  enforce(call, call.method === 'HEAD' ? 'check_implied_role' : 'get_implied_role')
  const { state } = call.context.parts
  const { id = '', impliedId = '' } = call.params
  const [prior, implied] = [await requireRole(state, id), await requireRole(state, impliedId)]
  await requireImplied(state, id, impliedId)
  return call.method === 'HEAD' ? NO_CONTENT : ok(inference(call, prior, implied))
}

async function removeImplied(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_implied_role')
  const { id = '', impliedId = '' } = call.params
  await change(call.context.parts, async ({ tx, revoke }) => {
    await requireRole(tx, id)
    await requireRole(tx, impliedId)
    await requireImplied(tx, id, impliedId)
    await impliedRoles.delete(tx, id, impliedId)
    for (const roleId of await impliedClosure(tx, new Set([impliedId]))) await revoke({ roleId })
  })
  return NO_CONTENT
}

async function listInferences(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_role_inference_rules')
  const { state } = call.context.parts
  const byPrior = new Map<string, string[]>()
  for (const { priorId, impliedId } of await impliedRoles.list(state)) {
    byPrior.set(priorId, [...(byPrior.get(priorId) ?? []), impliedId])
  }
  const inferences = [...byPrior].map(async ([priorId, impliedIds]) => {
    const prior = await requireRole(state, priorId)
    const implied = await Promise.all(impliedIds.map((id) => requireRole(state, id)))
    return {
      prior_role: briefRole(call, prior),
      implies: implied.map((row) => briefRole(call, row)),
    }
  })
  return ok({ role_inferences: await Promise.all(inferences), links: listLinks(call) })
}

function inference(call: IdentityCall, prior: RoleRow, implied: RoleRow) {
  return {
    role_inference: { prior_role: briefRole(call, prior), implies: briefRole(call, implied) },
    links: { self: `${apiUrl(call)}/roles/${prior.id}/implies/${implied.id}` },
  }
}

function briefRole(call: IdentityCall, { id, name }: RoleRow) {
  return linked(call, 'roles', { id, name })
}

async function requireImplied(
  reader: StateReader,
  priorId: string,
  impliedId: string,
): Promise<void> {
  if ((await impliedRoles.get(reader, priorId, impliedId)) !== undefined) return
  throw notFound('implied role', `${priorId} implies ${impliedId}`)
}

/** The role, if the caller may do it; the rule depends on whether the role is one of a domain. */
async function enforcedRole(
  call: IdentityCall,
  action: PolicyAction,
  domainAction: PolicyAction,
): Promise<RoleRow> {
  const { id = '' } = call.params
  const row = await roles.get(call.context.parts.state, id)
  const target = { target: { role: row === undefined ? { id } : showRoleRow(row) } }
  enforce(call, row === undefined || row.domainId === null ? action : domainAction, target)
  return requireRole(call.context.parts.state, id)
}

async function refuseDuplicate(reader: StateReader, row: RoleRow): Promise<void> {
  const other = await roles.one(reader, 'name', row.domainId ?? '', row.name)
  if (other === undefined || other.id === row.id) return
  throw conflict('role', `Duplicate entry found with name ${row.name}`)
}
