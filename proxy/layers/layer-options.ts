import type { AccessLogOptions } from '../access-log/access-lines.ts'
import type { ProxyProtocolOptions } from '../front/header-gate.ts'
import type { CrossdomainOptions } from '../middleware/crossdomain.ts'
import type { StatsdOptions } from '../statsd.ts'
import type { BulkOptions } from './bulk/bulk.ts'
import type { DenyHostsOptions } from './deny-hosts.ts'
import type { CnameLookupOptions, DomainRemapOptions } from './domains.ts'
import type { EtagQuoterOptions } from './etag-quoter.ts'
import type { FormPostOptions } from './form-post.ts'
import type { NameCheckOptions } from './name-check.ts'
import type { RateLimitOptions } from './rate-limit.ts'
import type { ReadOnlyOptions } from './read-only.ts'
import type { StaticWebOptions } from './static-web.ts'
import type { ContainerSyncOptions } from './sync/sync-realms.ts'
import type { TempUrlOptions } from './temp-url.ts'

/** What a Swift operator sets for the proxy's app itself. */
export interface ApiOptions {
  /** Lets reseller admins PUT and DELETE accounts. */
  readonly allowAccountManagement?: boolean
  /** Honours X-Open-Expired. */
  readonly allowOpenExpired?: boolean
  /** Waits, where versioning is switched on or S3's rules of access change, until all proxies know it; needless where there is one. */
  readonly versionsSettle?: boolean
  /** Makes an account at its first container. */
  readonly accountAutocreate?: boolean
  /** Of an account; 0 is no limit. */
  readonly containersPerAccountMax?: number
  /** Accounts that may have more. */
  readonly containersPerAccountWhitelist?: readonly string[]
  /** Put before `/v1/…` in X-Storage-Url: where clients reach the store, behind what ends their connections. */
  readonly storageUrlBase?: string
  /** While it exists, /healthcheck answers 503. */
  readonly healthcheckDisableFile?: string
  readonly strictCors?: boolean
  /** Origins allowed everywhere. */
  readonly corsAllowOrigins?: readonly string[]
  readonly corsExposeHeaders?: readonly string[]
}

/** What `/info` tells whom. */
export interface InfoOptions {
  /** Nothing to anybody if false. */
  readonly expose?: boolean
  /** Signs requests for the administrator's sections, too. */
  readonly adminKey?: string
  /** `section` or `section.key`: told to administrators only. */
  readonly disallowedSections?: readonly string[]
}

/**
 * Which features stand around the handlers, and how they are set: what a Swift operator writes as filters of the pipeline.
 * Of the first ones, false switches off what is on by default; the others are off until they are set.
 */
export interface LayerOptions {
  readonly bulk?: BulkOptions | false
  readonly tempurl?: TempUrlOptions | false
  readonly formpost?: FormPostOptions | false
  readonly staticweb?: StaticWebOptions | false

  readonly containerSync?: ContainerSyncOptions | false
  readonly cnameLookup?: CnameLookupOptions | false
  readonly domainRemap?: DomainRemapOptions | false
  readonly ratelimit?: RateLimitOptions | false
  readonly nameCheck?: NameCheckOptions | false
  readonly readOnly?: ReadOnlyOptions | false
  readonly etagQuoter?: EtagQuoterOptions | false
  readonly crossdomain?: CrossdomainOptions | false
  readonly listEndpoints?: Readonly<Record<never, never>> | false
  readonly denyHosts?: DenyHostsOptions | false

  /** What every connection must begin with. */
  readonly proxyProtocol?: ProxyProtocolOptions | false
  /** What the handlers themselves allow. */
  readonly api?: ApiOptions | false
  /** What /info tells whom. */
  readonly info?: InfoOptions | false
  /** Lines of the access log as Swift writes them; JSON if absent. */
  readonly accessLog?: AccessLogOptions | false
  /** Where a StatsD server listens. */
  readonly statsd?: StatsdOptions | false
}
