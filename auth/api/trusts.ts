import { type Answer, created, NO_CONTENT, ok } from '../../common/http/route.ts'
import type { PolicyFacts } from '../../common/policy/policy.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { effectiveRoleIds, groupIdsOf } from '../assignments/effective-roles.ts'
import { conflict, forbidden, forbiddenAction, invalid, notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import type { PolicyAction } from '../policy/rules.ts'
import { deleteTrust } from '../removal/delegation-removal.ts'
import type { RoleRow } from '../tables/rows.ts'
import { roles } from '../tables/tables.ts'
import { type TrustRow, trusts } from '../tables/trusts.ts'
import { trustChain } from '../tokens/delegation.ts'
import { isOver, parseExpiry } from '../tokens/expiry.ts'
import { roleId } from './application-credentials.ts'
import { bodyOf, extraOf, ID, nameSchema, TEXT_OR_NULL, type Values } from './bodies.ts'
import { refuseApplicationCredential } from './delegated-callers.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { type LongList, longListAnswer } from './long-lists.ts'
import { requireProject } from './project-view.ts'
import { requireRole, showRoleRow } from './roles.ts'
import { requireUser } from './user-view.ts'
import { apiUrl, itemAnswer, linked } from './views.ts'

const PATH = '/v3/OS-TRUST/trusts'
const COLLECTION = 'OS-TRUST/trusts'

export const trustRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: PATH, handle: createTrust },
  { method: 'GET', path: PATH, handle: listTrusts },
  { method: 'GET', path: `${PATH}/:id`, handle: showTrust },
  { method: 'DELETE', path: `${PATH}/:id`, handle: removeTrust },
  { method: 'GET', path: `${PATH}/:id/roles`, handle: listRoles },
  { method: 'GET', path: `${PATH}/:id/roles/:roleId`, handle: showRole },
]

const COUNT_MAX = 2 ** 31 - 1
const PROPERTIES = {
  trustor_user_id: ID,
  trustee_user_id: ID,
  impersonation: { type: 'boolean' },
  project_id: { type: ['string', 'null'], maxLength: 64 },
  remaining_uses: { type: ['integer', 'null'], minimum: 1, maximum: COUNT_MAX },
  expires_at: TEXT_OR_NULL,
  allow_redelegation: { type: ['boolean', 'null'] },
  redelegation_count: { type: ['integer', 'null'], minimum: 0, maximum: COUNT_MAX },
  redelegated_trust_id: TEXT_OR_NULL,
  roles: {
    type: 'array',
    maxItems: 128,
    items: {
      type: 'object',
      properties: { id: ID, name: nameSchema(255) },
      anyOf: [{ required: ['id'] }, { required: ['name'] }],
    },
  },
}
const OWN = ['id', 'links', 'deleted_at', 'roles_links', ...Object.keys(PROPERTIES)]
const CREATE = {
  properties: PROPERTIES,
  required: ['trustee_user_id', 'trustor_user_id', 'impersonation'],
}

async function createTrust(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const caller = callerOrRefuse(call)
  const values = bodyOf(call, 'trust', CREATE)
  enforce(call, 'create_trust', {
    target: { trust: { trustor_user_id: values.trustor_user_id } },
  })
  refuseApplicationCredential(caller, 'trusts')
  const { delegation } = caller.subject
  if (delegation !== undefined && delegation.kind !== 'trust') {
    throw forbiddenAction('Redelegation allowed for delegated by trust only')
  }
  const id = randomId(parts.random)
  const row = await parts.state.transaction(async (tx) => {
    const chain = delegation === undefined ? [] : await trustChain(tx, delegation.trust.id)
    const fresh = await newTrust(tx, call, { id, values, chain })
    await refuseDuplicate(tx, fresh)
    await trusts.put(tx, fresh)
    return fresh
  })
  const shown = await showWithRoles(call, row)
  return created({ trust: linked(call, COLLECTION, shown) })
}

/** A trust of what a body asks for; `chain` is the one that it is given on from, with those before. */
async function newTrust(
  tx: StateTransaction,
  call: IdentityCall,
  {
    id,
    values,
    chain,
  }: { readonly id: string; readonly values: Values; readonly chain: readonly TrustRow[] },
): Promise<TrustRow> {
  const { settings, clock } = call.context.parts
  const projectId = (values.project_id as string | null | undefined) || null
  const wanted = (values.roles as readonly Partial<RoleRow>[] | undefined) ?? []
  if (projectId !== null && wanted.length === 0) {
    throw forbiddenAction('At least one role should be specified')
  }
  await requireUser(tx, values.trustee_user_id as string)
  const roleIds = await Promise.all(wanted.map((role) => roleId(tx, role)))
  const trustorId = values.trustor_user_id as string
  await requireHeld(tx, { userId: chain.at(-1)?.trustorId ?? trustorId, projectId, roleIds })
  const [source] = chain
  const expiry = values.expires_at as string | null | undefined
  const row: TrustRow = {
    id,
    trustorId,
    trusteeId: values.trustee_user_id as string,
    projectId,
    impersonation: values.impersonation as boolean,
    roleIds: [...new Set(roleIds)],
    expiresAt: expiry == null ? (source?.expiresAt ?? null) : parseExpiry(expiry, clock.nowMs()),
    remainingUses: (values.remaining_uses as number | null | undefined) ?? null,
    redelegatedTrustId: source?.id ?? null,
    redelegationCount: redelegations(values, { source, max: settings.trustRedelegationsMax }),
    extra: extraOf(values, OWN),
  }
  for (const one of chain) checkRedelegation(one, row, settings.trustRedelegationsMax)
  return row
}

/** How often the new trust may be given on. */
function redelegations(
  values: Values,
  { source, max }: { readonly source: TrustRow | undefined; readonly max: number },
): number {
  const wanted = (values.redelegation_count as number | null | undefined) ?? null
  if (values.allow_redelegation !== true || wanted === 0) return 0
  if (wanted !== null && wanted > max) {
    throw forbidden(`Requested redelegation depth of ${wanted} is greater than allowed ${max}`)
  }
  if (values.remaining_uses != null) {
    throw invalid('remaining_uses must not be set if redelegation is allowed')
  }
  if (source === undefined) return wanted ?? max
  const rest = source.redelegationCount - 1
  if (wanted !== null && wanted !== rest) {
    throw forbidden(
      'Modifying "redelegation_count" upon redelegation is forbidden. Omitting this parameter is advised.',
    )
  }
  return rest
}

/** Throws 403 unless one trust may be given on as another. */
function checkRedelegation(source: TrustRow, row: TrustRow, max: number): void {
  const depth = source.redelegationCount
  if (depth < 1 || depth > max) {
    throw forbidden(`Remaining redelegation depth of ${depth} out of allowed range of [0..${max}]`)
  }
  if (row.remainingUses !== null) {
    throw forbidden(
      `Field "remaining_uses" is set to ${row.remainingUses} while it must not be set in order to redelegate a trust`,
    )
  }
  if (source.expiresAt !== null && (row.expiresAt === null || row.expiresAt > source.expiresAt)) {
    throw forbidden('Requested expiration time is more than redelegated trust can provide')
  }
  if (row.projectId !== source.projectId) {
    throw forbidden('The project is not that of the redelegated trust')
  }
  if (!row.roleIds.every((id) => source.roleIds.includes(id))) {
    throw forbidden('Some of requested roles are not in redelegated trust')
  }
  if (row.impersonation && !source.impersonation) {
    throw forbidden(
      `Impersonation is not allowed because redelegated trust does not specify impersonation. Redelegated trust id: ${source.id}`,
    )
  }
}

/** Throws 404 unless the project is there and the user has the roles on it. */
async function requireHeld(
  reader: StateReader,
  wanted: {
    readonly userId: string
    readonly projectId: string | null
    readonly roleIds: readonly string[]
  },
): Promise<void> {
  const { userId, projectId, roleIds } = wanted
  const held = projectId === null ? new Set<string>() : await heldRoles(reader, userId, projectId)
  const missing = roleIds.find((id) => !held.has(id))
  if (missing !== undefined) throw notFound('role', missing)
}

async function heldRoles(
  reader: StateReader,
  userId: string,
  projectId: string,
): Promise<ReadonlySet<string>> {
  const project = await requireProject(reader, projectId)
  if (project.isDomain) throw notFound('project', projectId)
  const holder = { userId, groupIds: await groupIdsOf(reader, userId) }
  return effectiveRoleIds(reader, holder, { kind: 'project', project })
}

async function refuseDuplicate(tx: StateTransaction, row: TrustRow): Promise<void> {
  if (row.expiresAt === null) return
  const same = (await trusts.by(tx, 'trustor', row.trustorId)).some(
    (other) =>
      other.trusteeId === row.trusteeId &&
      other.projectId === row.projectId &&
      other.impersonation === row.impersonation &&
      other.expiresAt === row.expiresAt,
  )
  if (same) throw conflict('trust', 'Duplicate entry')
}

async function listTrusts(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const trustorId = call.query.get('trustor_user_id')
  const trusteeId = call.query.get('trustee_user_id')
  if (trustorId !== null) {
    enforce(call, 'list_trusts_for_trustor', { target: { trust: { trustor_user_id: trustorId } } })
  } else if (trusteeId !== null) {
    enforce(call, 'list_trusts_for_trustee', { target: { trust: { trustee_user_id: trusteeId } } })
  } else enforce(call, 'list_trusts')
  refuseApplicationCredential(callerOrRefuse(call), 'trusts')
  const list: LongList<TrustRow> = {
    pages: (after) => {
      const from = after === undefined ? {} : { after }
      if (trustorId !== null) {
        return trusts.pagesBy(state, 'trustor', { values: [trustorId], ...from })
      }
      if (trusteeId === null) return trusts.pages(state, from)
      return trusts.pagesBy(state, 'trustee', { values: [trusteeId], ...from })
    },
    get: (id) => trusts.get(state, id),
    show: showTrustRow,
  }
  return longListAnswer(call, list, {
    name: 'trusts',
    collection: COLLECTION,
    filters: ['trustor_user_id', 'trustee_user_id'],
  })
}

async function showTrust(call: IdentityCall): Promise<Answer> {
  const row = await enforcedTrust(call, 'get_trust')
  return itemAnswer(call, await showWithRoles(call, row), { name: 'trust', collection: COLLECTION })
}

async function removeTrust(call: IdentityCall): Promise<Answer> {
  const { id } = await enforcedTrust(call, 'delete_trust')
  await change(call.context.parts, (changing) => deleteTrust(changing, id))
  return NO_CONTENT
}

async function listRoles(call: IdentityCall): Promise<Answer> {
  const row = await enforcedTrust(call, 'list_roles_for_trust')
  const { roles: shown, roles_links: links } = await showWithRoles(call, row)
  return ok({ roles: shown, links })
}

async function showRole(call: IdentityCall): Promise<Answer> {
  const row = await enforcedTrust(call, 'get_role_for_trust')
  const { roleId: id = '' } = call.params
  if (!row.roleIds.includes(id)) throw notFound('role', id)
  const role = await requireRole(call.context.parts.state, id)
  return itemAnswer(call, showRoleRow(role), { name: 'role' })
}

/** The trust, if the caller may do it; one that is over or used up is not there. */
async function enforcedTrust(call: IdentityCall, action: PolicyAction): Promise<TrustRow> {
  const caller = callerOrRefuse(call)
  const { state, clock } = call.context.parts
  const { id = '' } = call.params
  const row = await trusts.get(state, id)
  if (row === undefined || row.remainingUses === 0 || isOver(row.expiresAt, clock.nowMs())) {
    throw notFound('trust', id)
  }
  const target: PolicyFacts = { target: { trust: showTrustRow(row) } }
  enforce(call, action, target)
  refuseApplicationCredential(caller, 'trusts')
  return row
}

function showTrustRow(row: TrustRow) {
  return {
    ...row.extra,
    id: row.id,
    trustor_user_id: row.trustorId,
    trustee_user_id: row.trusteeId,
    project_id: row.projectId,
    impersonation: row.impersonation,
    expires_at: row.expiresAt,
    remaining_uses: row.remainingUses,
    deleted_at: null,
    redelegated_trust_id: row.redelegatedTrustId,
    redelegation_count: row.redelegationCount,
  }
}

async function showWithRoles(call: IdentityCall, row: TrustRow) {
  const { state } = call.context.parts
  const found = await Promise.all(row.roleIds.map((id) => roles.get(state, id)))
  return {
    ...showTrustRow(row),
    roles: found
      .filter((role) => role !== undefined)
      .map((role) => linked(call, 'roles', showRoleRow(role))),
    roles_links: {
      self: `${apiUrl(call)}/${COLLECTION}/${row.id}/roles`,
      next: null,
      previous: null,
    },
  }
}
