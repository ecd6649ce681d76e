import { deletedAtOf } from '../backend/account-status.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { jsonReply, type Reply } from '../reply.ts'
import { authenticate } from '../swift/authenticate.ts'
import { type PipelineMiddleware, serveGet } from './state.ts'

const LIMIT_DEFAULT = 100
const LIMIT_MAX = 1_000

/**
 * `/swiftlet/accounts?limit=&marker=&prefix=`: all accounts of the cluster, for reseller admins: `{accounts, next}`, where
 * `next` is the marker of the next page. Swift has no such thing; its operators walk the disks.
 */
export function accounts(): PipelineMiddleware {
  return (ctx) => serveGet(ctx, () => accountsReply(ctx.state.exchange))
}

async function accountsReply(exchange: Exchange): Promise<Reply> {
  await authenticate(exchange)
  if (exchange.caller === null) throw refusal(401)
  const groups = exchange.caller.groups
  if (!groups.includes('.reseller_admin') && !groups.includes('.reseller_reader'))
    throw refusal(403)
  const marker = exchange.query.get('marker') ?? ''
  const prefix = exchange.query.get('prefix') ?? ''
  const page = await exchange.proxy.backend.listAccounts({
    limit: limitOf(exchange),
    ...(marker !== '' && { marker }),
    ...(prefix !== '' && { prefix }),
  })
  const accounts = page.accounts.map(({ name, info }) => {
    const deletedAt = deletedAtOf(info)
    return {
      name,
      containers: info.stats?.rows ?? 0,
      objects: info.stats?.objects ?? 0,
      bytes: info.stats?.bytes ?? 0,
      ...(deletedAt === null ? {} : { deletedAt: new Date(deletedAt * 1000).toISOString() }),
    }
  })
  return jsonReply(200, { accounts, next: page.next })
}

function limitOf(exchange: Exchange): number {
  const text = exchange.query.get('limit')
  if (text === undefined) return LIMIT_DEFAULT
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > LIMIT_MAX) throw badRequest(`limit must be 1 to ${LIMIT_MAX}`)
  return limit
}
