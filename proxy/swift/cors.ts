import type { ItemInfo } from '../../common/storage-node.ts'
import type { Exchange } from '../exchange.ts'
import { addVary, type Reply, replyHeader, statusReply } from '../reply.ts'

/** What scripts of another origin may do with a container, from its X-Container-Meta-Access-Control-… headers. */
export interface CorsRules {
  /** Origins, or `*`. */
  readonly origins: readonly string[]
  readonly exposeHeaders: readonly string[]
  readonly maxAge: string | undefined
}

const PREFIX = 'x-container-meta-access-control-'
const ALWAYS_EXPOSED = [
  'cache-control',
  'content-language',
  'content-type',
  'etag',
  'expires',
  'last-modified',
  'pragma',
  'x-openstack-request-id',
  'x-timestamp',
  'x-trans-id',
]

export function corsRulesOf(container: ItemInfo | null): CorsRules {
  const headers = container?.meta.headers ?? {}
  return {
    origins: words(headers[`${PREFIX}allow-origin`]),
    exposeHeaders: words(headers[`${PREFIX}expose-headers`]).map((name) => name.toLowerCase()),
    maxAge: headers[`${PREFIX}max-age`],
  }
}

/** Adds what a browser needs to hand the answer to a script, if the container (or the cluster) allows its origin. */
export async function addCorsHeaders(exchange: Exchange, reply: Reply): Promise<void> {
  const origin = exchange.header('origin')
  const { path, proxy } = exchange
  if (origin === undefined || path?.container === undefined || exchange.method === 'OPTIONS') return
  const rules = corsRulesOf(await containerForCors(exchange))
  if (proxy.settings.strictCors && !originAllowed(exchange, rules, origin)) return
  if (replyHeader(reply, 'Access-Control-Expose-Headers') === undefined) {
    reply.headers.push('Access-Control-Expose-Headers', exposed(exchange, reply, rules).join(', '))
  }
  allowOrigin(reply, rules, origin)
}

/** The answer to a preflight, or to a plain OPTIONS, which only lists what is allowed. */
export async function optionsReply(exchange: Exchange, methods: readonly string[]): Promise<Reply> {
  const reply = statusReply(200, ['Allow', methods.join(', ')])
  const origin = exchange.header('origin')
  if (origin === undefined || exchange.path?.container === undefined) return reply
  const rules = corsRulesOf(await containerForCors(exchange))
  const wanted = exchange.header('access-control-request-method')
  if (!originAllowed(exchange, rules, origin) || !methods.includes(wanted ?? '')) {
    return statusReply(401, reply.headers.slice(2))
  }
  allowOrigin(reply, rules, origin)
  if (rules.maxAge !== undefined) reply.headers.push('Access-Control-Max-Age', rules.maxAge)
  reply.headers.push('Access-Control-Allow-Methods', methods.join(', '))
  const wantedHeaders = list(exchange.header('access-control-request-headers'))
  if (wantedHeaders.length > 0) {
    reply.headers.push('Access-Control-Allow-Headers', wantedHeaders.join(', '))
    addVary(reply, 'Access-Control-Request-Headers')
  }
  return reply
}

async function containerForCors(exchange: Exchange): Promise<ItemInfo | null> {
  const { account, container } = exchange.path!
  try {
    return await exchange.proxy.backend.cachedContainer(account, container!)
  } catch {
    // The answer itself says what is wrong; without the container no origin is allowed.
    return null
  }
}

function originAllowed(exchange: Exchange, rules: CorsRules, origin: string): boolean {
  const everywhere = exchange.proxy.settings.corsAllowOrigins
  return [...rules.origins, ...everywhere].some((allowed) => allowed === '*' || allowed === origin)
}

function allowOrigin(reply: Reply, rules: CorsRules, origin: string): void {
  if (replyHeader(reply, 'Access-Control-Allow-Origin') !== undefined) return
  const anyone = rules.origins.length === 1 && rules.origins[0] === '*'
  reply.headers.push('Access-Control-Allow-Origin', anyone ? '*' : origin)
  if (!anyone) addVary(reply, 'Origin')
}

function exposed(exchange: Exchange, reply: Reply, rules: CorsRules): string[] {
  const names = new Set([...ALWAYS_EXPOSED, ...exchange.proxy.settings.corsExposeHeaders])
  for (let i = 0; i < reply.headers.length; i += 2) {
    const name = reply.headers[i]!.toLowerCase()
    if (name.startsWith('x-container-meta') || name.startsWith('x-object-meta')) names.add(name)
  }
  for (const name of rules.exposeHeaders) names.add(name)
  return [...names]
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(' ').filter((word) => word !== '')
}

function list(text: string | undefined): string[] {
  const items = (text ?? '').split(',').map((item) => item.trim())
  return [...new Set(items.filter((item) => item !== ''))]
}
