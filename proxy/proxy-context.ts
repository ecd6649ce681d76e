import type { Clock } from '../common/clock.ts'
import type { Identity } from '../common/identity.ts'
import type { Log } from '../common/log.ts'
import type { Random } from '../common/random.ts'
import type { Backend } from './backend/backend.ts'
import { BufferPool } from './buffer-pool.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'
import { Policies } from './policies.ts'
import { PROXY_DEFAULTS, type ProxyOptions } from './proxy-options.ts'
import { RequestMetrics } from './request-metrics.ts'
import { AccountAclCache } from './swift/account-acl-cache.ts'
import { TransIds } from './trans-id.ts'

/** Options that always have a value. */
export type ProxySettings = Required<
  Pick<ProxyOptions, keyof typeof PROXY_DEFAULTS & keyof ProxyOptions>
> &
  ProxyOptions

/** What every request needs: made once by createProxyServer. */
export interface ProxyContext {
  readonly settings: ProxySettings
  readonly backend: Backend
  readonly identity: Identity
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly limits: Limits
  readonly policies: Policies
  readonly requestMetrics: RequestMetrics
  readonly transIds: TransIds
  readonly buffers: BufferPool
  readonly accountAcls: AccountAclCache
  /** True once close() was called: answers then end their connection. */
  closing: boolean
}

export function createProxyContext(options: ProxyOptions): ProxyContext {
  const settings = { ...PROXY_DEFAULTS, ...options }
  const { backend, identity, clock, random, log } = options
  return {
    settings,
    backend,
    identity,
    clock,
    random,
    log,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    policies: new Policies(options.policies),
    requestMetrics: new RequestMetrics(options.metrics),
    transIds: new TransIds({ clock, random }),
    buffers: new BufferPool(),
    accountAcls: new AccountAclCache({ backend, clock }),
    closing: false,
  }
}
