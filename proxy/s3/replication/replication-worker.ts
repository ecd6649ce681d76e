/**
 * Brings what is marked to where it is replicated to. Runs in every proxy; a bucket is one proxy's at a time, which has taken its
 * lease. What fails is tried again, later and later, until its time is over: then it is FAILED, and forgotten.
 */
import { Counter, type Registry } from 'prom-client'
import { forEachParallel } from '../../../common/bounded-parallel.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { PeriodicPass } from '../../backend/periodic-pass.ts'
import { NULL_VERSION } from '../../swift/found-object.ts'
import { objectPath } from '../../swift/object-access.ts'
import { versionsOfName } from '../../swift/versions/name-versions.ts'
import { formatVersionId } from '../../swift/versions/version-names.ts'
import { type OwnCalls, ownCall } from '../lifecycle/own-call.ts'
import { lookForVersion } from '../object/find-for-s3.ts'
import { keepStatus, type PushContext, pushVersion } from './push-version.ts'
import { type MarkedBucket, ReplicationMarks, type StoredMark } from './replication-marks.ts'
import { replicationOf } from './replication-rule.ts'
import { finalStatus } from './replication-status.ts'
import { replicationPlace } from './replication-target.ts'
import { scanBucket } from './scan-bucket.ts'
import { TargetClient } from './target-client.ts'

const LEASE_MS = 60_000
const PAGE_MAX = 64
const PARALLEL_MAX = 8
/** In a row: what ails is not the one object. */
const FAILURES_MAX = 8
/** Who makes a change says so within this time, or has died. */
const SETTLE_AFTER_MS = 30_000
/** A change that takes longer is not waited for. */
const SETTLE_UNTIL_MS = 24 * 3_600_000
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 300_000
/** Marks that were tried in vain, as far as they are remembered. */
const TRIED_MAX = 10_000

const OUTCOMES = ['done', 'stays', 'retried', 'failed'] as const
type Outcome = (typeof OUTCOMES)[number]

/** A bucket being brought elsewhere. */
interface Work extends Omit<PushContext, 'call' | 'place'> {
  readonly of: MarkedBucket
  readonly info: ItemInfo
  /** Names whose older changes have not come through: the newer ones wait. */
  readonly blocked: Set<string>
  failures: number
}

export class ReplicationWorker {
  readonly #calls: OwnCalls
  readonly #marks: ReplicationMarks
  readonly #pass: PeriodicPass
  readonly #outcomes = new Map<Outcome, number>()
  readonly #tried = new Map<string, { readonly count: number; readonly nextMs: number }>()
  readonly #end = new AbortController()

  constructor(calls: OwnCalls, { metrics }: { readonly metrics: Registry }) {
    const { proxy, settings } = calls
    const { backend, clock, random, policies, log } = proxy
    this.#calls = { ...calls, by: 'replication' }
    this.#marks = new ReplicationMarks({ backend, clock, random, policy: policies.default.index })
    const pauseMs = settings.replicationIntervalMs
    const run = () => this.pass()
    const pauses = { busyMs: pauseMs, idleMs: pauseMs }
    this.#pass = new PeriodicPass({ name: 's3-replication', clock, log, run, ...pauses })
    showOutcomes(metrics, this.#outcomes)
  }

  /** Proxies begin at different times. */
  start(): void {
    const { proxy, settings } = this.#calls
    this.#pass.start(proxy.random.below(settings.replicationIntervalMs))
  }

  /** Ends what is under way: it is marked. */
  async stop(): Promise<void> {
    this.#end.abort()
    await this.#pass.stop()
  }

  /** Everything that is marked now and due; true if there was anything. */
  async pass(): Promise<boolean> {
    let found = false
    for await (const of of this.#marks.buckets()) {
      if (this.#end.signal.aborted) break
      const [first] = await this.#marks.names(of, '', 1)
      if (first === undefined && (await this.#marks.scan(of)) === null) continue
      found = true
      try {
        await this.#inLease(of, () => this.#replicate(of))
      } catch (error) {
        this.#calls.proxy.log.warn('bucket not replicated', { ...of, error })
      }
    }
    return found
  }

  /** Does it while nobody else does. */
  async #inLease(of: MarkedBucket, work: () => Promise<void>): Promise<void> {
    const { clock } = this.#calls.proxy
    let lease = await this.#marks.take(of, clock.nowMs() + LEASE_MS)
    if (lease === null) return
    let cancel = () => {}
    let keeping: Promise<void> = Promise.resolve()
    const keepLater = () => {
      cancel = clock.after(LEASE_MS / 3, () => {
        keeping = this.#marks
          .keep(of, lease, clock.nowMs() + LEASE_MS)
          .then((kept) => {
            lease = kept ?? lease
            keepLater()
          })
          .catch(keepLater)
      })
    }
    keepLater()
    try {
      await work()
    } finally {
      cancel()
      await keeping
      cancel()
      await this.#marks.keep(of, lease, 0)
    }
  }

  async #replicate(of: MarkedBucket): Promise<void> {
    const { proxy, settings } = this.#calls
    const info = await proxy.backend.readContainer(of.account, of.bucket)
    const replication = info === null ? null : replicationOf(info)
    if (info === null || replication === null) return this.#forget(of)
    const { destination } = replication
    const place = replicationPlace(destination, of.account, settings.replicationTargets)
    // Its operator has taken the target away, and may bring it back.
    if (place === null) throw new Error(`${destination} leads nowhere`)
    const client = new TargetClient(place, proxy.clock)
    const { signal } = this.#end
    const blocked = new Set<string>()
    try {
      await this.#all({ of, info, replication, client, signal, blocked, failures: 0 })
      await scanBucket(ownCall(this.#calls, of), { ...of, marks: this.#marks, replication })
    } finally {
      await client.close()
    }
  }

  /** The bucket is not replicated any more. */
  async #forget(of: MarkedBucket): Promise<void> {
    for (const name of await this.#marks.names(of, '', PAGE_MAX)) {
      await this.#marks.remove(of, { name })
    }
    const scan = await this.#marks.scan(of)
    if (scan !== null) await this.#marks.keepScan(of, scan.writeId, null)
  }

  async #all(work: Work): Promise<void> {
    let after = ''
    for (;;) {
      const names = await this.#marks.names(work.of, after, PAGE_MAX)
      const byKey = new Map<string, StoredMark[]>()
      for (const name of names) {
        const mark = await this.#marks.read(work.of, name)
        if (mark === null) continue
        byKey.set(mark.key, [...(byKey.get(mark.key) ?? []), mark])
      }
      await forEachParallel([...byKey.values()], PARALLEL_MAX, async (marks) => {
        for (const mark of marks) await this.#one(work, mark)
      })
      after = names.at(-1) ?? after
      const isOver = this.#end.signal.aborted || work.failures >= FAILURES_MAX
      if (names.length < PAGE_MAX || isOver) return
    }
  }

  async #one(work: Work, mark: StoredMark): Promise<void> {
    const { of, blocked, client } = work
    const { nowMs } = this.#now()
    if (this.#end.signal.aborted || work.failures >= FAILURES_MAX) return
    const isEarly = (this.#tried.get(mark.name)?.nextMs ?? 0) > nowMs
    const isOpen = !mark.isReady && nowMs - mark.atMs < SETTLE_AFTER_MS
    if (isEarly || isOpen || blocked.has(mark.key)) {
      // Versions that have their ids there come in any order.
      if (!client.keepsIds) blocked.add(mark.key)
      return
    }
    try {
      const isDone = await this.#push(work, mark)
      work.failures = 0
      if (isDone) await this.#marks.remove(of, mark)
      if (isDone) this.#tried.delete(mark.name)
      else this.#later(mark)
    } catch (error) {
      if (this.#end.signal.aborted) return
      work.failures++
      if (!client.keepsIds) blocked.add(mark.key)
      await this.#failed(work, mark, error)
    }
  }

  /** False: it is to be looked at again. */
  async #push(work: Work, mark: StoredMark): Promise<boolean> {
    const context = this.#contextOf(work, mark.key)
    const isSettled = mark.isReady || this.#now().nowMs - mark.atMs > SETTLE_UNTIL_MS
    const versions = await versionsOf(context, mark)
    for (const version of versions) {
      this.#count(await pushVersion(context, version, mark.kind))
    }
    return isSettled
  }

  async #failed(work: Work, mark: StoredMark, error: unknown): Promise<void> {
    const { of } = work
    const { key, version, atMs } = mark
    const { nowMs } = this.#now()
    const { proxy, settings } = this.#calls
    const isOver = nowMs - atMs > settings.replicationGiveUpMs
    proxy.log.warn(isOver ? 'replication given up' : 'replication failed', {
      ...of,
      key,
      version,
      error,
    })
    this.#count(isOver ? 'failed' : 'retried')
    if (!isOver) {
      this.#later(mark)
      return
    }
    try {
      const context = this.#contextOf(work, key)
      for (const one of await versionsOf(context, mark)) await this.#giveUp(context, one)
      await this.#marks.remove(of, mark)
    } catch (failure) {
      proxy.log.warn('replication not given up', { ...of, key, version, error: failure })
    }
  }

  async #giveUp(context: PushContext, version: string): Promise<void> {
    const { call, place } = context
    const found = await lookForVersion(call, place, { version, head: true })
    if (found !== null && finalStatus(found.read.info) === undefined) {
      await keepStatus(context, version, 'FAILED')
    }
  }

  #later({ name }: StoredMark): void {
    const count = (this.#tried.get(name)?.count ?? 0) + 1
    const pauseMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (count - 1))
    const [oldest] = this.#tried.keys()
    if (this.#tried.size >= TRIED_MAX) this.#tried.delete(oldest!)
    this.#tried.set(name, { count, nextMs: this.#now().nowMs + pauseMs })
  }

  #contextOf({ of, info, replication, client, signal }: Work, key: string): PushContext {
    const call = ownCall(this.#calls, { ...of, key })
    const place = objectPath({ account: of.account, container: of.bucket, object: key }, info)
    return { call, place, replication, client, signal }
  }

  #now() {
    return { nowMs: this.#calls.proxy.clock.nowMs() }
  }

  #count(outcome: Outcome): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1)
  }
}

/** Ids of what the mark is about: where nobody has said it, of all that the name has become since then, the oldest first. */
async function versionsOf(
  { call, place }: PushContext,
  { version, atMs }: StoredMark,
): Promise<readonly string[]> {
  if (version !== undefined) return [version]
  const sinceTicks = Math.floor((atMs / 1000) * TICKS_PER_SECOND)
  const versions: string[] = []
  for await (const { id } of versionsOfName(call.exchange, place)) {
    if (id.ticks < sinceTicks) break
    versions.unshift(formatVersionId(id))
  }
  const current = await lookForVersion(call, place, { version: NULL_VERSION, head: true })
  const isPlain = current?.version === NULL_VERSION
  if (isPlain && current.read.info.stamp.ticks >= sinceTicks) versions.push(NULL_VERSION)
  return versions
}

function showOutcomes(metrics: Registry, outcomes: ReadonlyMap<Outcome, number>): void {
  new Counter({
    name: 'swiftlet_s3_replication_total',
    help: 'Marked versions by what became of them; retried: an attempt failed',
    labelNames: ['outcome'],
    registers: [metrics],
    collect() {
      this.reset()
      for (const outcome of OUTCOMES) this.inc({ outcome }, outcomes.get(outcome) ?? 0)
    },
  })
}
