/**
 * Objects of policies with `consistency: swift`: what Swift's object servers and proxies promise, and no more. Every write
 * goes to as many devices as there are replicas, handoffs standing in for primaries that are away, and counts with
 * them; a read takes the first good answer. The newest ballot wins, whoever learns of it when.
 *
 *   plain      one accept at N devices, Swift's quorum of them is enough; nobody is asked before or recovers after
 *   dependent  the newest record that answers is judged or merged, and the result sent as a plain write is
 *
 * So after a failure a read may show an older record than one that was acknowledged, two conditional creations may both
 * succeed, and an update made on one side of a partition may be outdone by one of the other side. The replicator
 * brings home what stands on handoffs.
 */
import { acceptOf } from '../../common/accept.ts'
import type { ItemKey } from '../../common/item.ts'
import { inAnyEpoch } from '../../common/ring/ring-set.ts'
import { compareStamps, maxStamp, type Stamp, type StampClock } from '../../common/stamp.ts'
import type { ItemInfo, ItemRead, ItemWrite, WriteOutcome } from '../../common/storage-node.ts'
import type { BackendOutcome } from './backend.ts'
import { devicesFull, noQuorum } from './backend-errors.ts'
import type { BackendCounters } from './counters.ts'
import type { Send } from './proposals.ts'
import type { Reply } from './quorum.ts'
import { evaluateChange, type RegisterChange } from './register-change.ts'
import type { RegisterReadOptions } from './register-reads.ts'
import type { Changed, PlainSend, Sent } from './register-writes.ts'
import { copyBody, releaseBody } from './repair.ts'
import { askOne, type CallTiming } from './replica-calls.ts'
import type { Replica, ReplicaMap } from './replica-map.ts'

export interface SloppyRegistersOptions {
  readonly replicas: ReplicaMap
  readonly stamps: StampClock
  readonly timing: CallTiming
  readonly counters: BackendCounters
}

/** A record and where it was found. */
interface Found {
  readonly info: ItemInfo | null
  readonly source: Replica | null
}

/** Fresh stamps that one dependent write may draw when newer records were there before it. */
const RESTAMPS_MAX = 4

/** Swift's quorum: half of the devices, rounded up. */
export function sloppyQuorumOf(replicaCount: number): number {
  return (replicaCount + 1) >>> 1
}

export class SloppyRegisters {
  readonly #options: SloppyRegistersOptions

  constructor(options: SloppyRegistersOptions) {
    this.#options = options
  }

  /**
   * The first record found, at the primaries and then at as many handoffs; a tombstone on the way hides older ones. With
   * `newest` all primaries are asked, and a handoff for each that is away. 503 if nobody answers.
   */
  async read(named: ItemKey, options: RegisterReadOptions = {}): Promise<ItemRead | null> {
    // Nothing is promised that other rings could break: whoever has the item may be asked.
    const item = inAnyEpoch(named)
    if (options.newest === true) return this.#readNewest(item, options.head ?? false)
    const candidates = this.#candidates(item)
    let tombstone: ItemRead | null = null
    let answers = 0
    let error: unknown
    for (const replica of candidates) {
      const reply = await this.#readAt(replica, item, options.head ?? false)
      if ('failure' in reply) {
        error = reply.error
        continue
      }
      answers++
      const read = reply.outcome
      if (read === null) continue
      const isOutdone =
        tombstone !== null && compareStamps(tombstone.info.ballot, read.info.ballot) > 0
      if (!read.info.deleted && !isOutdone) return read
      await releaseBody(read.body)
      if (!isOutdone) tombstone = read
    }
    if (answers === 0) throw noQuorum('no device answered the read', error)
    return tombstone
  }

  /** The highest ballot that is known where anybody answers; null if nobody does. */
  async newestBallot(item: ItemKey): Promise<Stamp | null> {
    try {
      return (await this.#newest(item)).info?.ballot ?? { ticks: 0, proposer: 0 }
    } catch {
      return null
    }
  }

  /** A put or delete to N devices. `superseded` if newer records keep it out; 503, 507 without Swift's quorum. */
  async sendPlain(write: ItemWrite, { send }: PlainSend): Promise<Sent> {
    const sent = await this.#send({ ...write, item: inAnyEpoch(write.item) }, send)
    if (sent.status === 'superseded') return { ...sent, isMajority: true }
    return { status: 'written', outcome: sent.outcome, ballot: write.ballot }
  }

  /** A write that depends on the old value: on the newest one that answers. Without `send`, bodies are copied. */
  async change(change: RegisterChange, send?: Send): Promise<Changed> {
    const { stamps, timing, counters } = this.#options
    const item = inAnyEpoch(change.item)
    for (let round = 0; round <= RESTAMPS_MAX; round++) {
      const { info, source } = await this.#newest(item)
      if (info !== null) stamps.observe(info.ballot)
      const ballot = stamps.next()
      const at = { ballot, nowMs: timing.clock.nowMs() }
      const evaluation = evaluateChange(change, info, at)
      if ('refused' in evaluation) return { outcome: evaluation.refused, record: null }
      const { record, existed } = evaluation
      const sent = await this.#send(acceptOf(item, record, ballot), send ?? copying(source))
      if (sent.status === 'superseded') {
        stamps.observe(sent.ballot)
        counters.restamps++
        continue
      }
      if (sent.outcome.status !== 'done') return { outcome: sent.outcome, record: null }
      return { outcome: { ...sent.outcome, existed }, record: sent.outcome.info }
    }
    throw noQuorum('newer writes are in the way')
  }

  /**
   * Calls N devices, each absent primary replaced by the next handoff that takes the call. What they answered, in the
   * order of the replicas; null where nobody did.
   */
  async eachSlot<T>(
    item: ItemKey,
    call: (replica: Replica) => Promise<T>,
  ): Promise<readonly Slot<T>[]> {
    const { replicas } = this.#options
    const primaries = replicas.primaries(item)
    const spare = take(replicas.handoffs(item), 2 * primaries.length)
    return Promise.all(primaries.map((primary) => this.#fillSlot(primary, spare, call)))
  }

  async #fillSlot<T>(
    primary: Replica,
    spare: Iterator<Replica, void>,
    call: (replica: Replica) => Promise<T>,
  ): Promise<Slot<T>> {
    let isFull = false
    let error: unknown
    for (let replica: Replica | undefined = primary; replica !== undefined; ) {
      const target: Replica = replica
      const isWorthATry = target.health.available()
      const reply: Reply<T> | null = isWorthATry
        ? await askOne(target, () => call(target), this.#options.timing)
        : null
      if (reply !== null && 'outcome' in reply) {
        return { replica: target, isHandoff: target !== primary, outcome: reply.outcome }
      }
      if (reply !== null) {
        isFull ||= reply.failure === 'full'
        error = reply.error
      }
      replica = spare.next().value ?? undefined
    }
    return { replica: null, isFull, error }
  }

  async #send(
    write: ItemWrite,
    send: Send,
  ): Promise<
    | { readonly status: 'superseded'; readonly ballot: Stamp }
    | { readonly status: 'written'; readonly outcome: BackendOutcome }
  > {
    const isDelete = write.action === 'delete' || write.record?.deleted === true
    const slots = await this.eachSlot(write.item, async (replica) => {
      const outcome = await send(replica, write)
      if (outcome.status === 'body-missing') throw noQuorum('the device lacks the body')
      return outcome
    })
    const accepted = slots.filter((slot) => isAccepted(slot, isDelete))
    if (accepted.length >= sloppyQuorumOf(slots.length)) {
      if (accepted.some((slot) => slot.replica !== null && slot.isHandoff)) {
        this.#options.counters.sloppyWrites++
      }
      return { status: 'written', outcome: bestOutcome(accepted) }
    }
    let newest: Stamp | null = null
    for (const slot of slots) {
      if (slot.replica === null || slot.outcome.status !== 'superseded') continue
      newest = newest === null ? slot.outcome.ballot : maxStamp(newest, slot.outcome.ballot)
    }
    if (newest !== null) return { status: 'superseded', ballot: newest }
    const failed = slots.filter((slot) => slot.replica === null)
    const error = failed[0]?.error
    throw failed.some((slot) => slot.isFull)
      ? devicesFull(error)
      : noQuorum('too few devices took the write', error)
  }

  async #readNewest(item: ItemKey, head: boolean): Promise<ItemRead | null> {
    const { info, source } = await this.#newest(item)
    if (info === null || source === null) return null
    if (head || info.deleted) return { info, body: null }
    const reply = await this.#readAt(source, item, false)
    if ('outcome' in reply) return reply.outcome
    return this.read(item)
  }

  /** Of those who answer. 503 if nobody does. */
  async #newest(named: ItemKey): Promise<Found> {
    const item = inAnyEpoch(named)
    const slots = await this.eachSlot(item, (replica) =>
      replica.node.read(replica.device, item, { head: true }),
    )
    const answers = slots.filter((slot) => slot.replica !== null)
    if (answers.length === 0) {
      const [first] = slots
      throw noQuorum('no device answered', first?.replica === null ? first.error : undefined)
    }
    let found: Found = { info: null, source: null }
    for (const { replica, outcome } of answers) {
      if (outcome === null) continue
      const isNewer =
        found.info === null || compareStamps(outcome.info.ballot, found.info.ballot) > 0
      if (isNewer) found = { info: outcome.info, source: replica }
    }
    return found
  }

  #candidates(item: ItemKey): readonly Replica[] {
    const { replicas } = this.#options
    const primaries = replicas.primaries(item)
    const handoffs = [...take(replicas.handoffs(item), primaries.length)]
    const all = [...primaries, ...handoffs]
    const available = all.filter((replica) => replica.health.available())
    return available.length > 0 ? available : all
  }

  async #readAt(replica: Replica, item: ItemKey, head: boolean): Promise<Reply<ItemRead | null>> {
    let isLate = false
    const call = async () => {
      const read = await replica.node.read(replica.device, item, { head })
      if (isLate && read !== null) await releaseBody(read.body)
      return read
    }
    const reply = await askOne(replica, call, this.#options.timing)
    isLate = true
    return reply
  }
}

/** Who took a replica's part in a call. */
export type Slot<T> =
  | { readonly replica: Replica; readonly isHandoff: boolean; readonly outcome: T }
  | { readonly replica: null; readonly isFull: boolean; readonly error: unknown }

/** Sends an accept without a body; who lacks the body gets it from the source. */
function copying(source: Replica | null): Send {
  return async (replica, write) => {
    const outcome = await replica.node.write(replica.device, write, null)
    if (outcome.status !== 'body-missing' || source === null) return outcome
    return (await copyBody(write, source, replica)) ?? outcome
  }
}

function isAccepted(slot: Slot<WriteOutcome>, isDelete: boolean): boolean {
  if (slot.replica === null) return false
  const { status } = slot.outcome
  return status === 'done' || (isDelete && status === 'not-found')
}

/** Of those who took the write: one who had something there before, if there is one. */
function bestOutcome(accepted: readonly Slot<WriteOutcome>[]): BackendOutcome {
  const outcomes = accepted.flatMap((slot) => (slot.replica === null ? [] : [slot.outcome]))
  const done = outcomes.filter((outcome) => outcome.status === 'done')
  return done.find((outcome) => outcome.existed) ?? done[0] ?? { status: 'not-found' }
}

function* take<T>(values: Iterable<T>, count: number): Generator<T, void, undefined> {
  let left = count
  if (left === 0) return
  for (const value of values) {
    yield value
    if (--left === 0) return
  }
}
