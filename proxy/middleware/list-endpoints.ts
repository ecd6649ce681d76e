import type { ItemName, LocatedItem } from '../../common/ring/located.ts'
import { type Exchange, refusal } from '../exchange.ts'
import { jsonReply, type Reply, statusReply } from '../reply.ts'
import { pathOfUrl } from '../swift/path.ts'
import { escapePath, unescapeUrl } from '../wire-text.ts'
import type { PipelineMiddleware } from './state.ts'

const PREFIX = '/endpoints/'

type Located = Pick<LocatedItem, 'partition' | 'devices'>

/**
 * `/endpoints/[v1/|v2/]account[/container[/object]]`: the devices that hold it, for readers that run beside them. Everybody
 * may ask: to be switched on inside a cluster only.
 */
export function listEndpoints(locate: (name: ItemName) => Located): PipelineMiddleware {
  return async (ctx) => {
    const { exchange } = ctx.state
    ctx.state.reply =
      exchange.method === 'GET'
        ? await endpointsReply(exchange, locate)
        : statusReply(405, ['Allow', 'GET'])
  }
}

async function endpointsReply(
  exchange: Exchange,
  locate: (name: ItemName) => Located,
): Promise<Reply> {
  const { version, name } = nameOf(exchange)
  const policy = await policyOf(exchange, name)
  const { partition, devices } = locate(policy === undefined ? name : { ...name, policy })
  const { account, container, object } = name
  const parts = [account, container, object].filter((part) => part !== undefined)
  const path = parts.map(escapePath).join('/')
  const endpoints = devices.map(({ ip, port, device }) => {
    const host = ip.includes(':') ? `[${ip}]` : ip
    return `http://${host}:${port}/${device}/${partition}/${path}`
  })
  if (version === 1) return jsonReply(200, endpoints)
  const headers = policy === undefined ? {} : { 'X-Backend-Storage-Policy-Index': String(policy) }
  return jsonReply(200, { endpoints, headers })
}

function nameOf(exchange: Exchange): { readonly version: number; readonly name: ItemName } {
  const raw = pathOfUrl(exchange.url).slice(PREFIX.length)
  const match = /^v([^/_]*)(?:\/(.*))?$/s.exec(raw)
  const version = match === null ? 1 : Number(match[1] || Number.NaN)
  if (version !== 1 && version !== 2)
    throw refusal(400, `Unsupported version '${raw.split('/')[0]}'`)
  const path = unescapeUrl(match === null ? raw : (match[2] ?? ''))
  if (path === null || path.includes('\0')) throw refusal(412, 'Invalid UTF8 or contains NULL')
  const [account = '', container, ...rest] = path.split('/')
  if (account === '') throw refusal(400, 'No account specified')
  const object = rest.join('/')
  return {
    version,
    name: { account, ...(container && { container }), ...(container && object && { object }) },
  }
}

/** An object's ring is that of its container's policy. */
async function policyOf(exchange: Exchange, name: ItemName): Promise<number | undefined> {
  if (name.container === undefined || name.object === undefined) return undefined
  const { backend, policies } = exchange.proxy
  const info = await backend.cachedContainer(name.account, name.container)
  return info?.policy ?? policies.default.index
}
