import { ServiceError } from '../../common/errors.ts'
import { type Answer, NO_CONTENT, ok } from '../../common/http/route.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import type { PolicyAction } from '../policy/rules.ts'
import { type PolicyAssociationRow, policyAssociations } from '../tables/policies.ts'
import type { EndpointRow } from '../tables/rows.ts'
import { endpoints, regions } from '../tables/tables.ts'
import {
  requireEndpoint,
  requireRegion,
  requireService,
  showEndpointRow,
} from './catalog-resources.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { requirePolicy, showPolicyRow } from './policies.ts'
import { listAnswer } from './views.ts'

const BASE = '/v3/policies/:policyId/OS-ENDPOINT-POLICY'

/** What a policy may be for, and what its calls are judged as. */
interface AssociationKind {
  readonly path: string
  readonly action: 'endpoint' | 'service' | 'region_and_service'
}

const KINDS: readonly AssociationKind[] = [
  { path: `${BASE}/endpoints/:endpointId`, action: 'endpoint' },
  { path: `${BASE}/services/:serviceId`, action: 'service' },
  { path: `${BASE}/services/:serviceId/regions/:regionId`, action: 'region_and_service' },
]

export const endpointPolicyRoutes: readonly IdentityRoute[] = [
  ...KINDS.flatMap(({ path, action }): readonly IdentityRoute[] => {
    const named = (verb: 'create' | 'check' | 'delete'): PolicyAction =>
      `${verb}_policy_association_for_${action}`
    return [
      { method: 'PUT', path, handle: (call) => associate(call, named('create')) },
      { method: 'GET', path, handle: (call) => checkAssociation(call, named('check')) },
      { method: 'DELETE', path, handle: (call) => dissociate(call, named('delete')) },
    ]
  }),
  { method: 'GET', path: `${BASE}/endpoints`, handle: listEndpoints },
  {
    method: 'GET',
    path: '/v3/endpoints/:endpointId/OS-ENDPOINT-POLICY/policy',
    handle: showPolicyOfEndpoint,
  },
]

/** Puts the policy in the place of the one there was. */
async function associate(call: IdentityCall, action: PolicyAction): Promise<Answer> {
  enforce(call, action)
  await call.context.parts.state.transaction(async (tx) => {
    await policyAssociations.put(tx, await associationOf(call, tx))
  })
  return NO_CONTENT
}

async function checkAssociation(call: IdentityCall, action: PolicyAction): Promise<Answer> {
  enforce(call, action)
  const { state } = call.context.parts
  const wanted = await associationOf(call, state)
  const found = await policyAssociations.get(state, ...policyAssociations.keyOf(wanted))
  if (found?.policyId !== wanted.policyId) {
    throw new ServiceError('NotFound', 'Could not find policy association.', { status: 404 })
  }
  return NO_CONTENT
}

async function dissociate(call: IdentityCall, action: PolicyAction): Promise<Answer> {
  enforce(call, action)
  await call.context.parts.state.transaction(async (tx) => {
    const wanted = await associationOf(call, tx)
    const key = policyAssociations.keyOf(wanted)
    const found = await policyAssociations.get(tx, ...key)
    if (found?.policyId === wanted.policyId) await policyAssociations.delete(tx, ...key)
  })
  return NO_CONTENT
}

/** What the path names; 404 unless all of it is there. */
async function associationOf(
  call: IdentityCall,
  reader: StateReader,
): Promise<PolicyAssociationRow> {
  const { policyId = '', endpointId = '', serviceId = '', regionId = '' } = call.params
  await requirePolicy(reader, policyId)
  if (endpointId !== '') await requireEndpoint(reader, endpointId)
  if (serviceId !== '') await requireService(reader, serviceId)
  if (regionId !== '') await requireRegion(reader, regionId)
  return { policyId, endpointId, serviceId, regionId }
}

async function listEndpoints(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_endpoints_for_policy')
  const { state } = call.context.parts
  const { id } = await requirePolicy(state, call.params.policyId ?? '')
  const all = await endpoints.list(state)
  const found = new Set<EndpointRow>()
  for (const row of await policyAssociations.by(state, 'policy', id)) {
    const inRegions = row.regionId === '' ? null : await regionTree(state, row.regionId)
    for (const endpoint of all) if (isMeant(endpoint, row, inRegions)) found.add(endpoint)
  }
  return listAnswer(call, [...found].map(showEndpointRow), { name: 'endpoints' })
}

function isMeant(
  endpoint: EndpointRow,
  { endpointId, serviceId }: PolicyAssociationRow,
  inRegions: ReadonlySet<string> | null,
): boolean {
  if (endpointId !== '') return endpoint.id === endpointId
  if (endpoint.serviceId !== serviceId) return false
  return inRegions === null || (endpoint.regionId !== null && inRegions.has(endpoint.regionId))
}

/** The region and all below it. */
async function regionTree(reader: StateReader, id: string): Promise<ReadonlySet<string>> {
  const ids = new Set([id])
  for (const next of ids) {
    for (const child of await regions.by(reader, 'parent', next)) ids.add(child.id)
  }
  return ids
}

/** The nearest: that of the endpoint, of its service in its region or one above, of its service. */
async function showPolicyOfEndpoint(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_policy_for_endpoint')
  const { state } = call.context.parts
  const endpoint = await requireEndpoint(state, call.params.endpointId ?? '')
  const { id, serviceId } = endpoint
  const places: [string, string, string][] = [[id, '', '']]
  for (let region = endpoint.regionId; region !== null; ) {
    places.push(['', serviceId, region])
    region = (await regions.get(state, region))?.parentId ?? null
  }
  places.push(['', serviceId, ''])
  for (const place of places) {
    const found = await policyAssociations.get(state, ...place)
    if (found === undefined) continue
    return ok({ policy: showPolicyRow(call, await requirePolicy(state, found.policyId)) })
  }
  throw new ServiceError('NotFound', `No policy is associated with endpoint ${id}.`, {
    status: 404,
  })
}
