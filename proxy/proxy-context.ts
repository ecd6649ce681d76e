import type { Clock } from '../common/clock.ts'
import type { Identity } from '../common/identity.ts'
import type { Log } from '../common/log.ts'
import { Md5Queue } from '../common/md5/md5-queue.ts'
import type { Random } from '../common/random.ts'
import { AccessLines } from './access-log/access-lines.ts'
import type { Backend } from './backend/backend.ts'
import { NameTurns } from './backend/name-turns.ts'
import { BufferPool } from './buffer-pool.ts'
import { openingBackend } from './encryption/sse-backend.ts'
import type { Exchange } from './exchange.ts'
import type { Layers } from './layers/layer.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'
import { Policies } from './policies.ts'
import { PROXY_DEFAULTS, type ProxyOptions } from './proxy-options.ts'
import type { Reply } from './reply.ts'
import { RequestMetrics } from './request-metrics.ts'
import { type EventDesk, openEventDesk } from './s3/notifications/event-desk.ts'
import { Statsd } from './statsd.ts'
import { classBackend } from './storage-class/class-backend.ts'
import { classBook } from './storage-class/orphan-bytes.ts'
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
  /** Null: nobody wants to be told. */
  readonly statsd: Statsd | null
  /** Null: the access log's lines are JSON. */
  readonly accessLines: AccessLines | null
  readonly transIds: TransIds
  readonly buffers: BufferPool
  readonly md5: Md5Queue
  readonly accountAcls: AccountAclCache
  /** Writers of one name in a container that keeps versions: they would only be in each other's way. */
  readonly versionTurns: NameTurns
  readonly layers: Layers
  /** What buckets want to tell of. */
  readonly events: EventDesk
  /** Answers a request that was made within another one; refusals and failures are replies, too. */
  readonly answerInner: (exchange: Exchange) => Promise<Reply>
  /** True once close() was called: answers then end their connection. */
  closing: boolean
}

/** What the context is given by those who know the handlers. */
export type ProxyParts = Pick<ProxyContext, 'layers' | 'answerInner'>

export function createProxyContext(options: ProxyOptions, parts: ProxyParts): ProxyContext {
  const settings = { ...PROXY_DEFAULTS, ...options, ...(options.layers?.api || {}) }
  const { identity, clock, random, log } = options
  const policies = new Policies(options.policies)
  const book = classBook({ backend: options.backend, clock, policies })
  const classed = classBackend({
    ...{ backend: options.backend, clock, random },
    classes: options.s3?.storageClasses ?? [],
    noteContainer: (account, container) => book.note(account, container),
  })
  const backend = openingBackend(classed, options.s3?.keys)
  return {
    settings,
    backend,
    identity,
    clock,
    random,
    log,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    policies,
    events: openEventDesk(options, { backend, policy: policies.default.index }),
    requestMetrics: new RequestMetrics(options.metrics),
    statsd: options.layers?.statsd ? new Statsd(options.layers.statsd, random) : null,
    accessLines: options.layers?.accessLog ? new AccessLines(options.layers.accessLog) : null,
    transIds: new TransIds({ clock, random }),
    buffers: new BufferPool(),
    md5: new Md5Queue(setImmediate),
    accountAcls: new AccountAclCache({ backend, clock }),
    versionTurns: new NameTurns(),
    ...parts,
    closing: false,
  }
}
