/**
 * Domains that stand for a part of the path: `container.account.storage.example.com/object`, and domains of customers that
 * are a CNAME of such a one. https://docs.openstack.org/swift/latest/middleware.html#domain-remap
 */
import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { systemErrorCode } from '../../common/errors.ts'
import { badRequest, type Exchange } from '../exchange.ts'
import { pathText, splitSwiftPath } from '../swift/path.ts'
import { fromWire } from '../wire-text.ts'

export interface DomainRemapOptions {
  /** Such as `storage.example.com`. */
  readonly storageDomains: readonly string[]
  /** The API's version in the paths that are meant. */
  readonly pathRoot?: string
  /** Prefixes of accounts, with their right case; without any, accounts are taken as they come. */
  readonly resellerPrefixes?: readonly string[]
  /** Put before an account that has none of them. */
  readonly defaultResellerPrefix?: string
  /** Takes a leading path root away, for clients that think they need one. */
  readonly mangleClientPaths?: boolean
}

export interface CnameLookupOptions {
  readonly storageDomains: readonly string[]
  /** How many CNAMEs may follow each other. */
  readonly lookupDepth?: number
  /** `10.0.0.1` or `10.0.0.1:5353`; the machine's own if there is none. */
  readonly nameservers?: readonly string[]
}

type RemapSettings = DomainRemapOptions &
  Required<Pick<DomainRemapOptions, 'pathRoot' | 'resellerPrefixes' | 'mangleClientPaths'>>

const DEFAULTS = {
  pathRoot: 'v1',
  resellerPrefixes: ['AUTH'],
  mangleClientPaths: false,
} satisfies Partial<DomainRemapOptions>

/** What requests for other hosts are really for. */
export class Domains {
  readonly #remap: RemapSettings | null
  readonly #cnames: Cnames | null

  constructor(options: {
    readonly remap?: DomainRemapOptions
    readonly cname?: CnameLookupOptions
  }) {
    const { remap, cname } = options
    this.#remap = remap === undefined ? null : { ...DEFAULTS, ...remap }
    this.#cnames = cname === undefined ? null : new Cnames(cname)
  }

  get info(): Readonly<Record<string, unknown>> {
    const remap = { default_reseller_prefix: this.#remap?.defaultResellerPrefix ?? null }
    return {
      ...(this.#remap !== null && { domain_remap: remap }),
      ...(this.#cnames !== null && { cname_lookup: { lookup_depth: this.#cnames.depth } }),
    }
  }

  /** Whether every path of this host is one of the store's, whatever it looks like. */
  takes(request: Pick<Exchange, 'headers'>): boolean {
    const host = hostOf(request)
    return this.#remap !== null && domainOf(host, this.#remap.storageDomains) !== null
  }

  /** Whether the host may stand for an account or a container: it is one of these, or a CNAME of one that has to be looked up. */
  mayMean(request: Pick<Exchange, 'headers'>): boolean {
    return this.takes(request) || this.#cnames?.isForeign(hostOf(request)) === true
  }

  /** Gives the exchange the path that its host and URL mean together. */
  map(exchange: Exchange): void | Promise<void> {
    const host = hostOf(exchange)
    const looking = this.#cnames?.lookUp(host, exchange)
    if (looking === undefined) return this.#mapHost(exchange, host)
    return looking.then((found) => this.#mapHost(exchange, found))
  }

  #mapHost(exchange: Exchange, host: string): void {
    const remap = this.#remap
    const domain = remap === null ? null : domainOf(host, remap.storageDomains)
    if (remap === null || domain === null) return
    const parts = host
      .slice(0, -domain.length)
      .replace(/^\.+|\.+$/g, '')
      .split('.')
    if (parts.length > 2 || parts[0] === '') throw badRequest('Bad domain in host header')
    const account = this.#accountOf(parts.at(-1)!, remap)
    if (account === null) return
    const container = parts.length === 2 ? `${parts[0]}/` : ''
    const root = remap.pathRoot.replace(/^\/+|\/+$/g, '')
    let path = pathText(exchange).slice(1)
    if (remap.mangleClientPaths && `${path}/`.startsWith(`${root}/`)) {
      path = path.slice(root.length + 1)
    }
    exchange.mappedPath = `/${root}/${account}/${container}${path}`
    exchange.path = splitSwiftPath(exchange.mappedPath)
  }

  /** Domains know no upper case and no underscore: `auth-test` is `AUTH_test`. Null: no account of the store's. */
  #accountOf(name: string, remap: RemapSettings): string | null {
    const { resellerPrefixes, defaultResellerPrefix } = remap
    if (resellerPrefixes.length === 0) return name
    const account = name.includes('_') ? name : name.replace('-', '_')
    const own = account.split('_')[0]!.toLowerCase()
    const prefix = resellerPrefixes.find((one) => one.toLowerCase() === own)
    if (prefix !== undefined) return prefix + account.slice(prefix.length)
    return defaultResellerPrefix === undefined ? null : `${defaultResellerPrefix}_${account}`
  }
}

function hostOf({ headers }: Pick<Exchange, 'headers'>): string {
  const host = (headers.host ?? '').replace(/:\d+$/, '')
  // Names of containers may be any text, and some clients send it as it is.
  return fromWire(host) ?? host
}

/** The storage domain that the host lies in, with its dot; null if it lies in none. */
function domainOf(host: string, domains: readonly string[]): string | null {
  for (const domain of domains) {
    const suffix = domain.startsWith('.') ? domain : `.${domain}`
    if (host.endsWith(suffix) || host === suffix.slice(1)) return suffix
  }
  return null
}

interface CachedName {
  /** Null: there is no such name. */
  readonly name: string | null
  readonly untilMs: number
}

const CACHE_MS = 60_000
const CACHED_MAX = 10_000
const LOOKUP = { timeout: 2_000, tries: 2 }

/** Asks the DNS what a host is called by the store; remembers at most 10,000 answers for a minute each. */
class Cnames {
  readonly depth: number
  readonly #domains: readonly string[]
  readonly #resolver = new Resolver(LOOKUP)
  readonly #cache = new Map<string, CachedName>()

  constructor({ storageDomains, lookupDepth = 1, nameservers = [] }: CnameLookupOptions) {
    this.depth = lookupDepth
    this.#domains = storageDomains
    if (nameservers.length > 0) this.#resolver.setServers([...nameservers])
  }

  /** The host itself if it is one of the store's or an address, at once; else what it is a CNAME of, or a 400. */
  lookUp(host: string, exchange: Exchange): undefined | Promise<string> {
    return this.isForeign(host) ? this.#follow(host, exchange) : undefined
  }

  isForeign(host: string): boolean {
    const isOwn = isIP(host.replace(/^\[|\]$/g, '')) !== 0 || host === 'localhost' || host === ''
    return !isOwn && domainOf(host, this.#domains) === null
  }

  async #follow(host: string, exchange: Exchange): Promise<string> {
    let name = host
    for (let i = 0; i < this.depth; i++) {
      const found = await this.#cname(name, exchange.proxy.clock.monotonicMs())
      if (found === null || found === name) {
        throw badRequest('CNAME lookup failed to resolve to a valid domain')
      }
      if (domainOf(found, this.#domains) !== null) return found
      name = found
    }
    throw badRequest(`CNAME lookup failed after ${this.depth} tries`)
  }

  async #cname(name: string, nowMs: number): Promise<string | null> {
    const known = this.#cache.get(name)
    if (known !== undefined && known.untilMs > nowMs) return known.name
    const found = await this.#ask(name)
    if (found === undefined) return null
    if (this.#cache.size >= CACHED_MAX) {
      const [oldest] = this.#cache.keys()
      this.#cache.delete(oldest!)
    }
    this.#cache.set(name, { name: found, untilMs: nowMs + CACHE_MS })
    return found
  }

  /** Undefined if nobody could say: it is not remembered. */
  async #ask(name: string): Promise<string | null | undefined> {
    try {
      const [first] = await this.#resolver.resolveCname(name)
      return first ?? null
    } catch (error) {
      const code = systemErrorCode(error)
      return code === 'ENOTFOUND' || code === 'ENODATA' ? null : undefined
    }
  }
}
