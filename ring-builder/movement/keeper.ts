/**
 * Moves partitions until the rings are as they are to be: the only one who makes new ring sets. It tells every node of
 * each set before it goes on, and ends a move only when the nodes that it concerns know of it and everything has arrived
 * (docs/decisions/0010). What it remembers is in the set and in the targets: it may be stopped at any point.
 */
import type { Clock } from '../../common/clock.ts'
import type { ClusterMember } from '../../common/cluster-member.ts'
import { MOVES_MAX } from '../../common/cluster-member.ts'
import { ServiceError } from '../../common/errors.ts'
import { type Log, silentLog } from '../../common/log.ts'
import { deviceLabel } from '../../common/ring/placement.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import { encodeRingSet, type RingSetData } from '../../common/ring/ring-set-file.ts'
import { type Move, movesOf, planNext, type RingTarget } from './move-plan.ts'

export interface KeeperTargets {
  /** Empty: the rings stay as they are. */
  readonly rings: readonly RingTarget[]
  /** Labels of devices that are given up. */
  readonly lost: ReadonlySet<string>
}

export interface KeeperOptions {
  /** The set that all others follow; durable when `take` resolves. */
  readonly store: { data(): RingSetData; take(set: Uint8Array): Promise<void> }
  readonly targets: () => Promise<KeeperTargets>
  readonly memberOf: (device: RingDevice) => ClusterMember
  readonly clock: Clock
  readonly log?: Log | undefined
  /** Told after each pass in which something was new. */
  readonly onStatus?: (status: MovementStatus) => void
  /** Partitions under way at once. */
  readonly movesMax?: number
  readonly busyMs?: number
  readonly idleMs?: number
  /** How long a node may take with one call. */
  readonly callMs?: number
}

/** How far the movement is. */
export interface MovementStatus {
  /** `waiting`: nothing can go on until somebody is reached. */
  readonly state: 'idle' | 'moving' | 'waiting' | 'failed'
  readonly epoch: number
  /** Replicas of partitions that are to move, those under way not counted. */
  readonly left: number
  readonly underWay: number
  /** Replicas moved since this movement began. */
  readonly moved: number
  /** Sent by all nodes since then. */
  readonly bytesSent: number
  readonly bytesPerSecond: number
  /** Null where nobody can say yet. */
  readonly secondsLeft: number | null
  readonly startedAtMs: number | null
  readonly changedAtMs: number
  /** Nodes that cannot be reached, and why; or why the movement failed. */
  readonly troubles: readonly string[]
  readonly lost: readonly string[]
}

const DEFAULTS = { movesMax: 2048, busyMs: 200, idleMs: 2_000, callMs: 15_000 }
/** Longest pause between two steps of a movement. */
const BUSY_MS_MAX = 5_000
/** The rate is that of about so long. */
const RATE_MS = 10_000

interface Progress {
  readonly startedAtMs: number
  readonly bytesAtStart: number
  moved: number
  /** Of a moment ago: for the rate. */
  mark: { readonly atMs: number; readonly moved: number; readonly bytes: number }
  bytesPerSecond: number
  movesPerSecond: number
}

export class Keeper {
  readonly #options: Required<Omit<KeeperOptions, 'log' | 'onStatus'>> & {
    readonly log: Log
    readonly onStatus: (status: MovementStatus) => void
  }
  /** The newest epoch that a node said that it knows, by its address. */
  readonly #known = new Map<string, number>()
  /** Nodes of the sets before, by address, as long as they do not know the newest. */
  readonly #former = new Map<string, RingDevice>()
  readonly #troubles = new Map<string, string>()
  readonly #bytesSent = new Map<string, number>()
  #progress: Progress | null = null
  #status: MovementStatus | null = null
  #cancel: (() => void) | null = null
  #running: Promise<unknown> = Promise.resolve()
  #stopped = false

  constructor(options: KeeperOptions) {
    this.#options = {
      ...DEFAULTS,
      ...options,
      log: options.log ?? silentLog,
      onStatus: options.onStatus ?? (() => {}),
    }
  }

  start(): void {
    this.#schedule(0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#running
  }

  /** Null before the first pass. */
  status(): MovementStatus | null {
    return this.#status
  }

  /** One step, now; true if there is more to do. */
  async pass(): Promise<boolean> {
    const { store, targets } = this.#options
    const { rings, lost } = await targets()
    const isLost = (device: RingDevice) => lost.has(deviceLabel(device))
    const set = store.data()
    if (set.placements.length === 0) return false
    const newer = await this.#tellAll(set, this.#withFormer(nodesOf(set, rings, isLost), isLost))
    if (newer !== null) {
      await store.take(newer)
      return true
    }
    const moves = movesOf(set)
    const arrived = await this.#arrived(moves, isLost)
    const { next, left, underWay } = planNext(set, {
      targets: rings,
      arrived,
      movesMax: this.#options.movesMax,
      isReady: (device) => this.#isReady(device, set.epoch),
      isLost,
    })
    if (next !== null) await store.take(encodeRingSet(next))
    this.#note({ left, underWay, lost, ended: arrived.size, isStill: next === null })
    // What follows the last step is told, too, before it is quiet.
    return left + underWay > 0 || next !== null
  }

  #schedule(delayMs: number): void {
    const { clock, log, busyMs, idleMs } = this.#options
    this.#cancel = clock.after(delayMs, () => {
      this.#cancel = null
      const startedMs = clock.monotonicMs()
      this.#running = this.pass().then(
        (isBusy) => {
          // Planning for very many partitions takes its time: no more than half of it.
          const tookMs = clock.monotonicMs() - startedMs
          if (!this.#stopped)
            this.#schedule(isBusy ? Math.max(busyMs, Math.min(tookMs, BUSY_MS_MAX)) : idleMs)
        },
        (error: unknown) => {
          // Until somebody mends it, it fails in the same way again and again.
          if (this.#status?.troubles[0] !== String(error)) {
            log.error('movement-failed', { error: String(error) })
          }
          this.#fail(String(error))
          if (!this.#stopped) this.#schedule(idleMs)
        },
      )
    })
  }

  /**
   * Nodes that no ring needs any more are told so once: until they know, they keep what they hold, as if they were still to
   * have it.
   */
  #withFormer(
    nodes: ReadonlyMap<string, RingDevice>,
    isLost: (device: RingDevice) => boolean,
  ): ReadonlyMap<string, RingDevice> {
    const { epoch } = this.#options.store.data()
    for (const [address, device] of this.#former) {
      if (isLost(device) || (this.#known.get(address) ?? -1) >= epoch) this.#former.delete(address)
    }
    const all = new Map([...this.#former, ...nodes])
    for (const [address, device] of nodes) this.#former.set(address, device)
    return all
  }

  /** Tells the nodes that do not know the set yet; gives a newer one, if one of them has that. */
  async #tellAll(
    set: RingSetData,
    nodes: ReadonlyMap<string, RingDevice>,
  ): Promise<Uint8Array | null> {
    for (const address of this.#troubles.keys()) {
      if (!nodes.has(address)) this.#troubles.delete(address)
    }
    const due = [...nodes].filter(
      ([address]) => this.#troubles.has(address) || (this.#known.get(address) ?? -1) < set.epoch,
    )
    if (due.length === 0) return null
    const bytes = encodeRingSet(set)
    const newer = await Promise.all(
      due.map(async ([address, device]) => {
        const epoch = await this.#call(address, device, (member) => member.learnRings(bytes))
        if (epoch !== null) this.#known.set(address, epoch)
        if ((epoch ?? 0) <= set.epoch) return null
        return this.#call(address, device, (member) => member.rings(set.epoch))
      }),
    )
    return newer.find((bytesOf) => bytesOf !== null) ?? null
  }

  /** The moves of which everybody concerned knows and everybody who is left says that all has arrived. */
  async #arrived(
    moves: readonly Move[],
    isLost: (device: RingDevice) => boolean,
  ): Promise<ReadonlySet<Move>> {
    const ready = moves.filter(({ before, after, since }) =>
      [...before, ...after].every(
        (device) => isLost(device) || (this.#known.get(addressOf(device)) ?? -1) >= since,
      ),
    )
    const byDevice = new Map<string, { readonly device: RingDevice; readonly moves: Move[] }>()
    for (const move of ready) {
      for (const device of move.before.filter((one) => !isLost(one))) {
        const label = deviceLabel(device)
        const of = byDevice.get(label) ?? { device, moves: [] }
        if (of.moves.length < MOVES_MAX) of.moves.push(move)
        byDevice.set(label, of)
      }
    }
    const waiting = new Map(
      ready.map((move) => [move, move.before.filter((device) => !isLost(device)).length]),
    )
    await Promise.all(
      [...byDevice.values()].map(async ({ device, moves: asked }) => {
        const query = asked.map(({ kind, policy, partition, since, after }) => {
          const without = after.filter(isLost).map(deviceLabel)
          return { kind, policy, partition, since, ...(without.length > 0 && { without }) }
        })
        const report = await this.#call(addressOf(device), device, (member) =>
          member.arrivals(device.device, query),
        )
        if (report === null) return
        this.#bytesSent.set(addressOf(device), report.bytesSent)
        for (const [index, move] of asked.entries()) {
          if (report.arrived[index] === true) waiting.set(move, waiting.get(move)! - 1)
        }
      }),
    )
    return new Set(ready.filter((move) => waiting.get(move) === 0))
  }

  /** Null if the node did not answer; it is named among the troubles until it does. */
  async #call<T>(
    address: string,
    device: RingDevice,
    call: (member: ClusterMember) => Promise<T>,
  ): Promise<T | null> {
    const { memberOf, clock, callMs } = this.#options
    let cancel: () => void = () => {}
    const late = new Promise<never>((_, reject) => {
      cancel = clock.after(callMs, () => reject(new ServiceError('NoAnswer', 'it took too long')))
    })
    try {
      const answer = await Promise.race([call(memberOf(device)), late])
      this.#troubles.delete(address)
      return answer
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#troubles.set(address, text)
      return null
    } finally {
      cancel()
    }
  }

  #isReady(device: RingDevice, epoch: number): boolean {
    const address = addressOf(device)
    return !this.#troubles.has(address) && (this.#known.get(address) ?? -1) >= epoch
  }

  #note(pass: {
    readonly left: number
    readonly underWay: number
    readonly lost: ReadonlySet<string>
    readonly ended: number
    readonly isStill: boolean
  }): void {
    const { clock, store, onStatus } = this.#options
    const { left, underWay, ended } = pass
    const isMoving = left + underWay > 0
    const progress = isMoving ? this.#advance(ended) : null
    this.#progress = progress
    const bytesNow = this.#bytesTotal()
    const isStuck = pass.isStill && this.#troubles.size > 0
    const rate = progress?.movesPerSecond ?? 0
    const status: MovementStatus = {
      state: isMoving ? (isStuck ? 'waiting' : 'moving') : 'idle',
      epoch: store.data().epoch,
      left,
      underWay,
      moved: progress?.moved ?? 0,
      bytesSent: progress === null ? 0 : bytesNow - progress.bytesAtStart,
      bytesPerSecond: Math.round(progress?.bytesPerSecond ?? 0),
      secondsLeft: isMoving ? (rate > 0 ? Math.ceil((left + underWay) / rate) : null) : 0,
      startedAtMs: progress?.startedAtMs ?? null,
      changedAtMs: clock.nowMs(),
      troubles: [...this.#troubles].map(([address, text]) => `${address}: ${text}`),
      lost: [...pass.lost],
    }
    const isNew = isMoving || !isSameStatus(status, this.#status)
    this.#status = status
    if (isNew) onStatus(status)
  }

  /** Counts what has ended, and how fast it goes. */
  #advance(ended: number): Progress {
    const atMs = this.#options.clock.monotonicMs()
    const bytes = this.#bytesTotal()
    const progress = this.#progress ?? {
      startedAtMs: this.#options.clock.nowMs(),
      bytesAtStart: bytes,
      moved: 0,
      mark: { atMs, moved: 0, bytes },
      bytesPerSecond: 0,
      movesPerSecond: 0,
    }
    progress.moved += ended
    const { mark } = progress
    const sinceMs = atMs - mark.atMs
    if (sinceMs > 0) {
      progress.bytesPerSecond = ((bytes - mark.bytes) / sinceMs) * 1000
      progress.movesPerSecond = ((progress.moved - mark.moved) / sinceMs) * 1000
    }
    if (sinceMs >= RATE_MS) progress.mark = { atMs, moved: progress.moved, bytes }
    return progress
  }

  #bytesTotal(): number {
    return [...this.#bytesSent.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  #fail(why: string): void {
    const { clock, store, onStatus } = this.#options
    const before = this.#status
    this.#status = {
      state: 'failed',
      epoch: store.data().epoch,
      left: before?.left ?? 0,
      underWay: before?.underWay ?? 0,
      moved: before?.moved ?? 0,
      bytesSent: before?.bytesSent ?? 0,
      bytesPerSecond: 0,
      secondsLeft: null,
      startedAtMs: before?.startedAtMs ?? null,
      changedAtMs: clock.nowMs(),
      troubles: [why],
      lost: before?.lost ?? [],
    }
    onStatus(this.#status)
  }
}

function isSameStatus(a: MovementStatus, b: MovementStatus | null): boolean {
  return JSON.stringify({ ...a, changedAtMs: 0 }) === JSON.stringify({ ...b, changedAtMs: 0 })
}

function addressOf({ ip, port }: RingDevice): string {
  return `${ip}:${port}`
}

/** A device of each node that is to know the set: those with devices in it that are not given up, and those to come. */
function nodesOf(
  set: RingSetData,
  targets: readonly RingTarget[],
  isLost: (device: RingDevice) => boolean,
): ReadonlyMap<string, RingDevice> {
  const nodes = new Map<string, RingDevice>()
  const rings = [
    ...set.placements.flatMap(({ ring, previous }) => [
      ring,
      ...(previous === null ? [] : [previous]),
    ]),
    ...targets.map(({ ring }) => ring),
  ]
  for (const { devices } of rings) {
    for (const device of devices) {
      if (device !== null && !isLost(device)) nodes.set(addressOf(device), device)
    }
  }
  return nodes
}
