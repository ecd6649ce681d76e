import type { ItemName } from '../../common/ring/located.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { jsonReply, type Reply } from '../reply.ts'
import type { ItemReport } from '../status/item-report.ts'
import { authenticate } from '../swift/authenticate.ts'
import { type PipelineMiddleware, serveGet } from './state.ts'

export type Inspect = (name: ItemName, handoffsMax: number) => Promise<ItemReport>

const HANDOFFS_MAX = 100

/**
 * `/swiftlet/replicas?account=&container=&object=&handoffs=`: what each device holds of it, for reseller admins. Swift's
 * operators read the files of each node.
 */
export function replicas(inspect: Inspect): PipelineMiddleware {
  return (ctx) => serveGet(ctx, () => replicasReply(ctx.state.exchange, inspect))
}

async function replicasReply(exchange: Exchange, inspect: Inspect): Promise<Reply> {
  await authenticate(exchange)
  if (exchange.caller === null) throw refusal(401)
  const { groups } = exchange.caller
  if (!groups.includes('.reseller_admin') && !groups.includes('.reseller_reader'))
    throw refusal(403)
  const name = await nameOf(exchange)
  const handoffs = exchange.query.get('handoffs') ?? '0'
  if (!/^\d{1,3}$/.test(handoffs) || Number(handoffs) > HANDOFFS_MAX) {
    throw badRequest(`handoffs must be 0 to ${HANDOFFS_MAX}`)
  }
  return jsonReply(200, await inspect(name, Number(handoffs)))
}

async function nameOf({ query, proxy }: Exchange): Promise<ItemName> {
  const account = query.get('account') ?? ''
  const container = query.get('container') ?? ''
  const object = query.get('object') ?? ''
  if (account === '') throw badRequest('account is missing')
  if (container === '') return { account }
  if (object === '') return { account, container }
  const asked = query.get('policy')
  if (asked !== undefined) {
    return { account, container, object, policy: proxy.policies.requested(asked).index }
  }
  const info = await proxy.backend.readContainer(account, container)
  if (info === null) throw refusal(404)
  return { account, container, object, policy: info.policy }
}
