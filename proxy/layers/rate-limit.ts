/**
 * Rates of writes of an account's containers, of a container's objects, and of a container's listings, that fall as the
 * container grows. Who is faster waits; who would wait too long is told so: 498. The threads of a proxy count together,
 * proxies each for itself.
 */
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { containerOf } from '../swift/object-access.ts'
import { keptSetting } from './kept-settings.ts'
import type { Layer } from './layer.ts'
import { Turns } from './turns.ts'

/** From so many objects on, so many requests a second; between two of them the rate changes evenly. */
export interface SizeRate {
  readonly objects: number
  readonly perSecond: number
}

export interface RateLimitOptions {
  /** PUTs and DELETEs of containers of one account, a second; 0: any number. */
  readonly accountPerSecond?: number
  readonly containerRates?: readonly SizeRate[]
  readonly listingRates?: readonly SizeRate[]
  /** Who would have to wait longer gets a 498. */
  readonly waitSecondsMax?: number
  /** How long a pause is made up for by faster requests. */
  readonly bufferSeconds?: number
  readonly accountWhitelist?: readonly string[]
  readonly accountBlacklist?: readonly string[]
}

/** Swift's own. */
export const RATE_LIMIT_DEFAULTS = {
  accountPerSecond: 0,
  containerRates: [],
  listingRates: [],
  waitSecondsMax: 60,
  bufferSeconds: 5,
  accountWhitelist: [],
  accountBlacklist: [],
} satisfies Required<RateLimitOptions>

type Settings = Required<RateLimitOptions>

const NAME = 'global-write-ratelimit'
/** Blacklisted clients are not to come back at once. */
const BLACKLIST_WAIT_MS = 1000

/** `memory`: of the Turns of all threads. */
export function rateLimitLayer(options: RateLimitOptions, memory?: SharedArrayBuffer): Layer {
  const settings = { ...RATE_LIMIT_DEFAULTS, ...options }
  const turns = new Turns(settings, memory)
  return {
    name: 'ratelimit',
    concerns: ({ method }) => method !== 'HEAD' && method !== 'OPTIONS',
    async answer(exchange, next) {
      await waitForTurn(exchange, { settings, turns })
      return next()
    },
    settings: [{ kind: 'account', name: NAME, by: 'reseller', clean: cleanRate }],
    info: {
      ratelimit: {
        account_ratelimit: settings.accountPerSecond,
        max_sleep_time_seconds: settings.waitSecondsMax,
        container_ratelimits: settings.containerRates.map(pairOf),
        container_listing_ratelimits: settings.listingRates.map(pairOf),
      },
    },
  }
}

function cleanRate(value: string): string {
  if (/^(WHITELIST|BLACKLIST|\d{1,9}(\.\d{1,9})?)$/.test(value)) return value
  throw badRequest('The rate is a number, WHITELIST or BLACKLIST')
}

function pairOf({ objects, perSecond }: SizeRate): readonly [number, number] {
  return [objects, perSecond]
}

async function waitForTurn(
  exchange: Exchange,
  limit: { readonly settings: Settings; readonly turns: Turns },
): Promise<void> {
  const { settings, turns } = limit
  const { account } = exchange.path!
  const { clock, accountAcls } = exchange.proxy
  const own = keptSetting(await accountAcls.settings(account), 'account', NAME)
  if (settings.accountWhitelist.includes(account) || own === 'WHITELIST') return
  if (settings.accountBlacklist.includes(account) || own === 'BLACKLIST') {
    await waited(exchange, BLACKLIST_WAIT_MS)
    throw refusal(497, 'Your account has been blacklisted')
  }
  for (const { key, perSecond } of await ratesFor(exchange, { settings, own })) {
    const waitMs = turns.take(key, perSecond, clock.nowMs())
    if (waitMs === null) throw refusal(498, 'Slow down')
    if (waitMs > 0) await waited(exchange, waitMs)
  }
}

/** Ends early when the client goes away. */
function waited(exchange: Exchange, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const { res, proxy } = exchange
    const gone = () => {
      cancel()
      reject(refusal(499))
    }
    const cancel = proxy.clock.after(ms, () => {
      res.off('close', gone)
      resolve()
    })
    res.once('close', gone)
  })
}

interface Rate {
  readonly key: string
  readonly perSecond: number
}

/** The rates that a request is held to. */
async function ratesFor(
  exchange: Exchange,
  known: { readonly settings: Settings; readonly own: string },
): Promise<readonly Rate[]> {
  const { settings, own } = known
  const { account, container, object } = exchange.path!
  const isWrite = exchange.method !== 'GET'
  const rates: Rate[] = []
  const add = (key: string, perSecond: number | null) => {
    if (perSecond !== null && perSecond > 0) rates.push({ key, perSecond })
  }
  const makes = exchange.method === 'PUT' || exchange.method === 'DELETE'
  if (container !== undefined && object === undefined && makes) {
    add(account, settings.accountPerSecond)
  }
  if (container !== undefined && (object !== undefined) === isWrite) {
    const sizes = isWrite ? settings.containerRates : settings.listingRates
    if (sizes.length > 0) {
      const info = await containerOf(exchange, exchange.path!)
      const key = `${isWrite ? 'objects' : 'listing'}/${account}/${container}`
      add(key, rateForSize(sizes, info?.stats?.objects ?? 0))
    }
  }
  if (isWrite && own !== '') add(`writes/${account}`, Number(own))
  return rates
}

/** Requests a second for a container of that size; null: any number. */
export function rateForSize(rates: readonly SizeRate[], objects: number): number | null {
  const sorted = [...rates].sort((a, b) => a.objects - b.objects)
  const at = sorted.findLastIndex((rate) => objects >= rate.objects)
  if (objects === 0 || at < 0) return null
  const from = sorted[at]!
  const to = sorted[at + 1]
  if (to === undefined) return from.perSecond
  const slope = (to.perSecond - from.perSecond) / (to.objects - from.objects)
  return from.perSecond + (objects - from.objects) * slope
}
