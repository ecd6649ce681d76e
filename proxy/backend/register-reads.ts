import type { ItemKey } from '../../common/item.ts'
import { isStaleRings } from '../../common/ring/ring-set.ts'
import { maxStamp, type Stamp, ZERO_STAMP } from '../../common/stamp.ts'
import type { ItemInfo, ItemRead } from '../../common/storage-node.ts'
import { noQuorum } from './backend-errors.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { Proposals, RepairResult } from './proposals.ts'
import { judgeRead, type ReadVerdict } from './quorum.ts'
import { releaseBody } from './repair.ts'
import { askOne, type CallTiming } from './replica-calls.ts'
import { itemOf, type Replica, type ReplicaGroup, type ReplicaMap } from './replica-map.ts'
import type { SloppyRegisters } from './sloppy-registers.ts'

export interface RegisterReadsOptions {
  readonly replicas: ReplicaMap
  readonly timing: CallTiming
  readonly jobs: BackgroundJobs
  readonly proposals: Proposals
  readonly sloppy: SloppyRegisters
}

export interface RegisterReadOptions {
  readonly head?: boolean
  /** Ask every primary, not only a majority. */
  readonly newest?: boolean
}

/** What one replica said; undefined if it did not. */
type Answer = { readonly read: ItemRead | null; readonly full: boolean } | undefined

type Sides = Exclude<ReadVerdict, { readonly verdict: 'no-quorum' }>

/**
 * Strict reads of a register: R = W replicas are asked, the newest ballot wins, and it is shown only when W replicas
 * are known to hold it; otherwise those that lag are brought up to date first, so that no later read goes back.
 */
export class RegisterReads {
  readonly #replicas: ReplicaMap
  readonly #timing: CallTiming
  readonly #jobs: BackgroundJobs
  readonly #proposals: Proposals
  readonly #sloppy: SloppyRegisters

  constructor(options: RegisterReadsOptions) {
    this.#replicas = options.replicas
    this.#timing = options.timing
    this.#jobs = options.jobs
    this.#proposals = options.proposals
    this.#sloppy = options.sloppy
  }

  /** The current record, tombstones included; null if there never was one. 503 without a quorum. */
  read(item: ItemKey, options?: RegisterReadOptions): Promise<ItemRead | null> {
    if (this.#replicas.isSloppy(item)) return this.#sloppy.read(item, options)
    return this.#replicas.fresh(() => {
      const group = this.#replicas.group(item)
      const [first, second] = group.replicas
      if (second !== undefined) return this.#readQuorum(itemOf(group, item), group, options)
      return first!.node.read(first!.device, itemOf(group, item), options)
    })
  }

  /**
   * Has the newest record accepted once more, under a newer ballot: for a replica that has promised, or given away, a
   * newer one than anybody holds, and refuses what the others have as too old.
   */
  async renew(item: ItemKey): Promise<void> {
    if (this.#replicas.isSloppy(item)) return
    await this.#replicas.fresh(() => this.#proposals.complete(item, { over: true }))
  }

  /** The record without a wait, where one replica is all and has it in memory. */
  readNow(item: ItemKey, options?: RegisterReadOptions): ItemRead | undefined {
    const group = this.#replicas.group(item)
    if (group.replicas.length > 1 || this.#replicas.isSloppy(item)) return undefined
    const { node, device } = group.replicas[0]!
    return node.readNow?.(device, itemOf(group, item), options)
  }

  /** What a HEAD knows of the current record. */
  async info(item: ItemKey): Promise<ItemInfo | null> {
    const read = await this.read(item, { head: true })
    return read === null ? null : read.info
  }

  /**
   * The highest ballot that a majority has accepted: a stamp above it is above every write that has completed by now.
   * Null without a majority.
   */
  async newestBallot(item: ItemKey): Promise<Stamp | null> {
    if (this.#replicas.isSloppy(item)) return this.#sloppy.newestBallot(item)
    const group = this.#replicas.group(item)
    const round = new ReadRound(itemOf(group, item), group, this.#timing, true)
    await round.ask(group.quorum)
    return round.highest()
  }

  async #readQuorum(
    item: ItemKey,
    group: ReplicaGroup,
    options: RegisterReadOptions = {},
  ): Promise<ItemRead | null> {
    const reading = this.#proposals.attempts('the newest record keeps changing while it is read')
    for await (const _ of reading) {
      const round = new ReadRound(item, group, this.#timing, options.head ?? false)
      try {
        await round.ask(options.newest ? group.replicas.length : group.quorum)
        let sides = round.judge()
        if (sides.lagging.length > 0 || sides.verdict === 'incomplete') {
          await round.askRest()
          sides = round.judge()
          if (!(await this.#complete(round, sides))) continue
        }
        const taken = await round.take(sides)
        if (taken !== undefined) return taken
      } finally {
        await round.release()
      }
    }
    return null
  }

  /**
   * Makes W replicas hold the newest record; more than W are seen to in the background. The lagging ones are first sent
   * the accept that they missed; where they have promised a newer ballot, what is newest is proposed under one newer
   * still, and the read has to begin again: false.
   */
  async #complete(round: ReadRound, sides: Sides): Promise<boolean> {
    const repairs = sides.lagging.map((index) => () => this.#repair(round, sides, index))
    if (sides.verdict === 'agreed') {
      for (const repair of repairs) {
        this.#jobs.add('read repair', async () => {
          // Who has promised to somebody who is gone takes the record only under a newer ballot.
          const isRefused = (await repair()) === 'refused'
          if (isRefused) await this.#proposals.complete(round.item, { over: true })
        })
      }
      return true
    }
    const repaired = await Promise.all(repairs.map((repair) => repair()))
    const holders = sides.holders.length + repaired.filter((result) => result === 'done').length
    if (holders >= round.quorum) return true
    await this.#proposals.complete(round.item)
    return false
  }

  #repair(round: ReadRound, sides: Sides, index: number): Promise<RepairResult> {
    const holder = sides.holders[0]!
    return this.#proposals.repair({
      item: round.item,
      record: round.infoOf(holder)!,
      source: round.primaries[holder]!,
      target: round.primaries[index]!,
      stale: round.infoOf(index),
    })
  }
}

/** One read of one register: whom it asked and what they said, by the primaries' order. */
class ReadRound {
  readonly item: ItemKey
  readonly primaries: readonly Replica[]
  readonly quorum: number
  readonly #timing: CallTiming
  readonly #head: boolean
  readonly #answers: Answer[]
  readonly #unasked: number[]
  readonly #errors: unknown[] = []
  #taken: ItemRead | null = null

  constructor(item: ItemKey, group: ReplicaGroup, timing: CallTiming, head: boolean) {
    const primaries = group.replicas
    this.item = item
    this.primaries = primaries
    this.quorum = group.quorum
    this.#timing = timing
    this.#head = head
    this.#answers = primaries.map(() => undefined)
    // Ring order among the healthy; those left alone for their errors are asked last.
    const indexes = [...primaries.keys()]
    this.#unasked = [
      ...indexes.filter((index) => primaries[index]!.health.available()),
      ...indexes.filter((index) => !primaries[index]!.health.available()),
    ]
  }

  /** Asks until `count` replicas have answered or none is left: one for the body, the others for their heads. */
  async ask(count: number): Promise<void> {
    while (this.#answered() < count && this.#unasked.length > 0) {
      const batch = this.#unasked.splice(0, count - this.#answered())
      const needsBody = !this.#head && !this.#answers.some((answer) => answer?.full)
      await Promise.all(
        batch.map((index, position) => this.#askReplica(index, needsBody && position === 0)),
      )
    }
  }

  /** Asks everybody who was not asked yet. */
  async askRest(): Promise<void> {
    const rest = this.#unasked.splice(0)
    await Promise.all(rest.map((index) => this.#askReplica(index, false)))
  }

  judge(): Sides {
    const verdict = judgeRead(
      this.#answers.map((answer) => answer && (answer.read?.info.ballot ?? ZERO_STAMP)),
      this.quorum,
    )
    if (verdict.verdict !== 'no-quorum') return verdict
    throw noQuorum('too few replicas answered the read', this.#cause(this.#errors))
  }

  /** The highest ballot of those who answered; null if they are no majority. */
  highest(): Stamp | null {
    if (this.#answered() < this.quorum) return null
    const ballots = this.#answers.map((answer) => answer?.read?.info.ballot ?? ZERO_STAMP)
    return ballots.reduce(maxStamp, ZERO_STAMP)
  }

  infoOf(index: number): ItemInfo | null {
    return this.#answers[index]?.read?.info ?? null
  }

  /** The newest record, with its body unless only the head was wanted; undefined if it was replaced meanwhile. */
  async take(sides: Sides): Promise<ItemRead | null | undefined> {
    const full = sides.holders.find((index) => this.#answers[index]!.full)
    const head = this.infoOf(sides.holders[0]!)
    if (head === null) return null
    if (this.#head || head.deleted) return { info: this.#withAgreedTotals(head), body: null }
    if (full !== undefined) {
      this.#taken = this.#answers[full]!.read
      return this.#taken
    }
    return this.#fetch(sides)
  }

  /** Totals say what rows they are of only if a majority of the replicas holds just these (list-totals.ts). */
  #withAgreedTotals(head: ItemInfo): ItemInfo {
    if (head.stats === undefined) return head
    const { digest, ...stats } = head.stats
    const same = this.#answers.filter((answer) => answer?.read?.info.stats?.digest === digest)
    return same.length >= this.quorum ? head : { ...head, stats }
  }

  /** Closes the bodies that nobody took. */
  async release(): Promise<void> {
    for (const answer of this.#answers) {
      if (answer?.read && answer.read !== this.#taken) await releaseBody(answer.read.body)
    }
  }

  async #fetch(sides: Sides): Promise<ItemRead | undefined> {
    const { writeId } = this.infoOf(sides.holders[0]!)!
    const failedBefore = this.#errors.length
    for (const index of sides.holders) {
      await this.#askReplica(index, true)
      const read = this.#answers[index]?.read
      // What replaced it meanwhile is newer, and its own writer sees to its quorum: not ours to show.
      if (read?.info.writeId === writeId && this.#answers[index]!.full) {
        this.#taken = read
        return read
      }
    }
    const errors = this.#errors.slice(failedBefore)
    if (errors.length < sides.holders.length) return undefined
    throw noQuorum('no replica that has the newest record can read it', this.#cause(errors))
  }

  #cause(errors: readonly unknown[]): unknown {
    return errors.find(isStaleRings) ?? errors[0]
  }

  #answered(): number {
    return this.#answers.filter((answer) => answer !== undefined).length
  }

  async #askReplica(index: number, full: boolean): Promise<void> {
    const replica = this.primaries[index]!
    const options = full ? undefined : { head: true }
    let late = false
    const call = async () => {
      const read = await replica.node.read(replica.device, this.item, options)
      if (late && read !== null) await releaseBody(read.body)
      return read
    }
    const reply = await askOne(replica, call, this.#timing)
    late = true
    if ('outcome' in reply) this.#answers[index] = { read: reply.outcome, full }
    else this.#errors.push(reply.error)
  }
}
