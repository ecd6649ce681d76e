import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { notFound } from '../errors.ts'
import { type PolicyRow, policies, policyAssociations } from '../tables/policies.ts'
import { bodyOf, changed, extraOf, refuseOtherId, TEXT } from './bodies.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { itemAnswer, linked, listAnswer } from './views.ts'

export const policyRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/policies', handle: createPolicy },
  { method: 'GET', path: '/v3/policies', handle: listPolicies },
  { method: 'GET', path: '/v3/policies/:id', handle: showPolicy },
  { method: 'PATCH', path: '/v3/policies/:id', handle: updatePolicy },
  { method: 'DELETE', path: '/v3/policies/:id', handle: deletePolicy },
]

const PROPERTIES = { blob: TEXT, type: { type: 'string', minLength: 1, maxLength: 255 } }
const OWN = ['id', 'links', ...Object.keys(PROPERTIES)]
const COLLECTION = 'policies'

/** The policy; 404 if there is none. */
export async function requirePolicy(reader: StateReader, id: string): Promise<PolicyRow> {
  const row = await policies.get(reader, id)
  if (row === undefined) throw notFound('policy', id)
  return row
}

/** A policy as the API shows it. */
export function showPolicyRow(call: IdentityCall, { id, type, blob, extra }: PolicyRow) {
  return linked(call, COLLECTION, { ...extra, id, type, blob })
}

async function createPolicy(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_policy')
  const { parts } = call.context
  const values = bodyOf(call, 'policy', { properties: PROPERTIES, required: ['blob', 'type'] })
  const row: PolicyRow = {
    id: randomId(parts.random),
    type: values.type as string,
    blob: values.blob as string,
    extra: extraOf(values, OWN),
  }
  await parts.state.transaction((tx) => policies.put(tx, row))
  return { status: 201, body: { policy: showPolicyRow(call, row) } }
}

async function listPolicies(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_policies')
  const rows = await policies.list(call.context.parts.state)
  return listAnswer(
    call,
    rows.map((row) => showPolicyRow(call, row)),
    { name: COLLECTION, filters: ['type'] },
  )
}

async function showPolicy(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_policy')
  const row = await requirePolicy(call.context.parts.state, call.params.id ?? '')
  return itemAnswer(call, showPolicyRow(call, row), { name: 'policy', collection: COLLECTION })
}

async function updatePolicy(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_policy')
  const { id = '' } = call.params
  const values = bodyOf(call, 'policy', { properties: PROPERTIES, minProperties: 1 })
  refuseOtherId(values, id)
  const row = await call.context.parts.state.transaction(async (tx) => {
    const before = await requirePolicy(tx, id)
    const after: PolicyRow = {
      ...before,
      type: changed(values, 'type', before.type),
      blob: changed(values, 'blob', before.blob),
      extra: { ...before.extra, ...extraOf(values, OWN) },
    }
    await policies.put(tx, after)
    return after
  })
  return itemAnswer(call, showPolicyRow(call, row), { name: 'policy', collection: COLLECTION })
}

async function deletePolicy(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_policy')
  await call.context.parts.state.transaction(async (tx) => {
    const { id } = await requirePolicy(tx, call.params.id ?? '')
    for (const row of await policyAssociations.by(tx, 'policy', id)) {
      await policyAssociations.delete(tx, ...policyAssociations.keyOf(row))
    }
    await policies.delete(tx, id)
  })
  return NO_CONTENT
}
