import type { Registry } from 'prom-client'
import type { Clock } from '../common/clock.ts'
import type { Identity } from '../common/identity.ts'
import type { ItemHashing } from '../common/item.ts'
import type { Log } from '../common/log.ts'
import type { Random } from '../common/random.ts'
import type { ItemName, LocatedItem } from '../common/ring/located.ts'
import type { RingSet } from '../common/ring/ring-set.ts'
import type { Backend } from './backend/backend.ts'
import type { BackendActivity } from './backend/cluster-backend.ts'
import type { LayerOptions } from './layers/layer-options.ts'
import type { Limits } from './limits.ts'
import { RESELLER_PREFIXES, type ResellerPrefix } from './reseller-prefix.ts'
import type { S3Options } from './s3/s3-options.ts'
import type { ClusterStatus } from './status/cluster-status.ts'
import type { ItemReport } from './status/item-report.ts'

/**
 * What a policy promises of its objects: `strict` is read-after-write by majorities of the primaries; `swift` is Swift's, in
 * which handoffs count and a read takes the first good answer.
 */
export const CONSISTENCIES = ['strict', 'swift'] as const
export type Consistency = (typeof CONSISTENCIES)[number]

/** A storage policy as clients see it; containers choose one for life by X-Storage-Policy. */
export interface StoragePolicy {
  readonly index: number
  readonly name: string
  readonly aliases?: readonly string[]
  /** Exactly one policy is the default. */
  readonly default: boolean
  /** Existing containers go on, new ones are refused. */
  readonly deprecated?: boolean
  /** `strict` if absent. */
  readonly consistency?: Consistency
}

/** Where reports about the inside come from. */
export interface ReconSources {
  readonly rings: () => RingSet
  readonly activity: () => BackendActivity
  readonly hashing: ItemHashing
}

export interface ProxyOptions {
  readonly backend: Backend
  readonly identity: Identity
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Takes the proxy's metrics; served as /metrics with everything else that is in it. */
  readonly metrics: Registry
  readonly policies: readonly StoragePolicy[]
  /** What /status shows; absent: there is no such page. */
  readonly readStatus?: () => Promise<ClusterStatus>
  /** What /recon tells operators besides that. */
  readonly recon?: ReconSources
  readonly limits?: Partial<Limits>
  /** PEM texts; with them the listener speaks HTTPS only. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer }
  /** `https://storage.example.com`, put before `/v1/…` in X-Storage-Url; without it the request's Host header is. */
  readonly storageUrlBase?: string
  readonly clusterName?: string
  /** What /info says of this software. */
  readonly version?: string
  /** Lets reseller admins PUT and DELETE accounts. */
  readonly allowAccountManagement?: boolean
  /** Creates an account at its first container. */
  readonly accountAutocreate?: boolean
  /** Containers of an account; 0 is no limit. */
  readonly containersPerAccountMax?: number
  readonly containersPerAccountWhitelist?: readonly string[]
  /** Honours X-Open-Expired. */
  readonly allowOpenExpired?: boolean
  /** Withholds CORS headers from origins that a container does not allow. */
  readonly strictCors?: boolean
  /** Origins allowed everywhere. */
  readonly corsAllowOrigins?: readonly string[]
  /** Headers that scripts may read besides the usual ones. */
  readonly corsExposeHeaders?: readonly string[]
  readonly resellerPrefixes?: readonly ResellerPrefix[]
  /** Where things are kept, for /endpoints; absent: there is no such page. */
  readonly locate?: (name: ItemName) => Pick<LocatedItem, 'partition' | 'devices'>
  /** What each device holds of a name, for operators; absent: there is no such page. */
  readonly inspect?: (name: ItemName, handoffsMax: number) => Promise<ItemReport>
  /** What stands around the handlers: Swift's middleware. */
  readonly layers?: LayerOptions
  /** Memory of the Turns of all threads that serve together: rates are counted there. */
  readonly turnsMemory?: SharedArrayBuffer
  /** The S3 API on the same objects, which is there if the identity has access keys. */
  readonly s3?: S3Options
  /** While this file exists, /healthcheck answers 503, so that a load balancer turns away. */
  readonly healthcheckDisableFile?: string
  /** Answers what switches versioning on, or says who may do what, only when every proxy of the cluster knows it: some seconds. */
  readonly versionsSettle?: boolean
  /** No byte to or from a client for this long ends its request: 408, or a closed connection. */
  readonly clientTimeoutMs?: number
  /** How long an idle connection is kept. */
  readonly keepAliveTimeoutMs?: number
  /** Requests in flight at once; more are answered 503 with Retry-After. */
  readonly requestsMax?: number
  /** Connections at once; more are closed as they come. 0 is no limit. */
  readonly connectionsMax?: number
}

/** What createProxyServer fills in. */
export const PROXY_DEFAULTS = {
  clusterName: 'swiftlet',
  version: '0.1.0',
  allowAccountManagement: false,
  accountAutocreate: true,
  containersPerAccountMax: 0,
  containersPerAccountWhitelist: [],
  allowOpenExpired: false,
  strictCors: true,
  corsAllowOrigins: [],
  corsExposeHeaders: [],
  resellerPrefixes: RESELLER_PREFIXES,
  versionsSettle: true,
  clientTimeoutMs: 60_000,
  keepAliveTimeoutMs: 75_000,
  connectionsMax: 0,
  // With 64 KiB of body each a gigabyte.
  requestsMax: 16_384,
} satisfies Partial<ProxyOptions>
