import { type Answer, created, NO_CONTENT } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import { deleteConsumer } from '../removal/oauth1-removal.ts'
import { sealSecret } from '../secrets/sealed-rows.ts'
import { type ConsumerRow, consumers } from '../tables/oauth1.ts'
import { bodyOf, changed, extraOf, refuseOtherId, TEXT_OR_NULL } from './bodies.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { itemAnswer, linked, listAnswer } from './views.ts'

const PATH = '/v3/OS-OAUTH1/consumers'
const COLLECTION = 'OS-OAUTH1/consumers'

export const consumerRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: PATH, handle: createConsumer },
  { method: 'GET', path: PATH, handle: listConsumers },
  { method: 'GET', path: `${PATH}/:id`, handle: showConsumer },
  { method: 'PATCH', path: `${PATH}/:id`, handle: updateConsumer },
  { method: 'DELETE', path: `${PATH}/:id`, handle: removeConsumer },
]

const PROPERTIES = { description: TEXT_OR_NULL }
const OWN = ['id', 'links', 'secret', 'description']
/** The secret is made here, and does not change. */
const UPDATE = { properties: PROPERTIES, minProperties: 1, not: { required: ['secret'] } }

/** The consumer; 404 if there is none. */
export async function requireConsumer(reader: StateReader, id: string): Promise<ConsumerRow> {
  const row = await consumers.get(reader, id)
  if (row === undefined) throw notFound('consumer', id)
  return row
}

async function createConsumer(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_consumer')
  const { parts } = call.context
  const values = bodyOf(call, 'consumer', { properties: PROPERTIES })
  const id = randomId(parts.random)
  const secret = randomId(parts.random)
  const row: ConsumerRow = {
    id,
    sealedSecret: sealSecret(parts, { table: consumers, id }, secret),
    description: (values.description as string | null | undefined) ?? null,
    extra: extraOf(values, OWN),
  }
  await parts.state.transaction((tx) => consumers.put(tx, row))
  return created({ consumer: linked(call, COLLECTION, { ...showConsumerRow(row), secret }) })
}

async function listConsumers(call: IdentityCall): Promise<Answer> {
  enforce(call, 'list_consumers')
  const rows = await consumers.list(call.context.parts.state)
  return listAnswer(call, rows.map(showConsumerRow), { name: 'consumers', collection: COLLECTION })
}

async function showConsumer(call: IdentityCall): Promise<Answer> {
  enforce(call, 'get_consumer')
  const row = await requireConsumer(call.context.parts.state, call.params.id ?? '')
  return itemAnswer(call, showConsumerRow(row), { name: 'consumer', collection: COLLECTION })
}

async function updateConsumer(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_consumer')
  const { id = '' } = call.params
  const values = bodyOf(call, 'consumer', UPDATE)
  refuseOtherId(values, id)
  const row = await call.context.parts.state.transaction(async (tx) => {
    const before = await requireConsumer(tx, id)
    const after: ConsumerRow = {
      ...before,
      description: changed(values, 'description', before.description),
      extra: { ...before.extra, ...extraOf(values, OWN) },
    }
    await consumers.put(tx, after)
    return after
  })
  return itemAnswer(call, showConsumerRow(row), { name: 'consumer', collection: COLLECTION })
}

async function removeConsumer(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_consumer')
  const { id = '' } = call.params
  await change(call.context.parts, async (changing) => {
    await requireConsumer(changing.tx, id)
    await deleteConsumer(changing, id)
  })
  return NO_CONTENT
}

/** Without the secret, which is shown once. */
function showConsumerRow({ id, description, extra }: ConsumerRow) {
  return { ...extra, id, description }
}
