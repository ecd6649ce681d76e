/**
 * Keeps the devices of a node in step with their replicas: compares digests of partitions, sends what the others lack,
 * gives away what belongs elsewhere, and fetches what is damaged here. It only sends: a device that was away is brought
 * up to date by those that were not, and sends what only it has.
 *
 * A pass that found nothing is followed by ever longer pauses; one that sent something, or could not reach a device, by
 * a short one. Sending is throttled, and stops between two pages when it is to stop.
 */
import type { Clock } from '../../common/clock.ts'
import { type Log, silentLog } from '../../common/log.ts'
import { deviceLabel, type Placement } from '../../common/ring/placement.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import type { ReplicationStatus, StorageNode } from '../../common/storage-node.ts'
import type { LocalNode } from '../local-node.ts'
import { Throttle } from '../throttle.ts'
import { Arrivals } from './arrivals.ts'
import { repairDamage } from './damage-repair.ts'
import { DeviceAddresses } from './device-addresses.ts'
import { learn } from './learner.ts'
import { type OwnDevice, type SyncContext, SyncCounters } from './partition-sync.ts'
import { PeerSync } from './peer-sync.ts'
import { isAlone, placesRegister, queryOf } from './placed-registers.ts'
import { Reclaimer } from './reclaimer.ts'
import { planReplication, type ReplicationPlan } from './replication-plan.ts'
import { giveAwayStrays } from './stray-rows.ts'

export interface ReplicatorOptions {
  readonly node: LocalNode
  /** The rings as they are now; empty as long as none are known. */
  readonly placements: () => readonly Placement[]
  /** The name here of a device of the rings; null if it is another node's. */
  readonly ownName: (device: RingDevice) => string | null
  /** How rings would name a device of this node that is in none of them; absent or null: nobody knows. */
  readonly labelOf?: (name: string) => string | null
  /** The storage node of a device of the rings. */
  readonly nodeOf: (device: RingDevice) => StorageNode
  readonly clock: Clock
  readonly log?: Log | undefined
  /** Of all devices together. */
  readonly bytesPerSecond?: number
  /** Pause after a pass that had something to do. */
  readonly busyMs?: number
  /** Longest pause while there is nothing to do. */
  readonly idleMs?: number
  /** Records younger than this are left to the proxy that is writing them. */
  readonly graceMs?: number
  /** How long deleted names are remembered. */
  readonly reclaimAgeMs?: number
  /** What all replicas know is forgotten so long after that was seen: others have to have seen it, too. */
  readonly reclaimWaitMs?: number
}

const DEFAULTS = {
  bytesPerSecond: 50 * 1024 * 1024,
  busyMs: 1_000,
  idleMs: 20_000,
  graceMs: 3_000,
  reclaimAgeMs: 7 * 24 * 3600 * 1000,
  reclaimWaitMs: 600_000,
  labelOf: (_name: string): string | null => null,
}

const NO_PASS: ReplicationStatus = {
  compared: 0,
  differing: 0,
  unreachable: 0,
  handoffs: 0,
  damaged: 0,
  passedAtMs: 0,
  passMs: 0,
  inStepAtMs: 0,
}

export class Replicator {
  readonly counters = new SyncCounters()
  /** What leaves the node. */
  readonly arrivals: Arrivals
  readonly #options: Required<Omit<ReplicatorOptions, 'log'>> & { readonly log: Log }
  readonly #throttle: Throttle
  readonly #abort = new AbortController()
  readonly #addresses: DeviceAddresses
  readonly #reclaimer: Reclaimer
  readonly #peers: PeerSync
  readonly #status = new Map<string, ReplicationStatus>()
  readonly #plans = new Map<
    string,
    {
      readonly placement: Placement
      readonly held: readonly number[]
      readonly plan: ReplicationPlan
    }
  >()
  #pauseMs: number
  #cancel: (() => void) | null = null
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: ReplicatorOptions) {
    this.#options = { ...DEFAULTS, ...options, log: options.log ?? silentLog }
    this.#throttle = new Throttle(options.clock, {
      bytesPerSecond: this.#options.bytesPerSecond,
    })
    this.#pauseMs = this.#options.busyMs
    const { clock, log, placements } = this.#options
    const { signal } = this.#abort
    this.#addresses = new DeviceAddresses(this.#options)
    this.#reclaimer = new Reclaimer({ ...this.#options, counters: this.counters, signal })
    this.#peers = new PeerSync({
      addresses: this.#addresses,
      placements,
      reclaimer: this.#reclaimer,
      contextOf: (own) => this.#context(own),
      signal,
      log,
    })
    const bring: PeerSync['bring'] = (device, move) => this.#peers.bring(device, move)
    this.arrivals = new Arrivals({ clock, log, bring })
  }

  /** Runs passes until `stop`; the first at once where a device has to learn before it is of use. */
  start(): void {
    const devices = [...this.#options.node.devices.values()]
    const isLearning = devices.some(({ learningReason }) => learningReason !== '')
    this.#schedule(isLearning ? 0 : this.#options.busyMs)
  }

  /** A pass soon, whatever the pause: the rings have changed, or damage was found. */
  wake(): void {
    if (this.#cancel === null || this.#abort.signal.aborted) return
    this.#cancel()
    this.#pauseMs = this.#options.busyMs
    this.#schedule(0)
  }

  /** Ends what is under way at its next step; idempotent. */
  async stop(): Promise<void> {
    this.#abort.abort()
    this.#cancel?.()
    await this.arrivals.stop()
    await this.#running
  }

  /** Of a device as of its last pass; all zero before the first. */
  status(device: string): ReplicationStatus {
    return this.#status.get(device) ?? NO_PASS
  }

  /** One pass over all devices, now; true if there was anything to do, or somebody could not be reached. */
  async pass(): Promise<boolean> {
    let isBusy = false
    for (const name of this.#options.node.devices.keys()) {
      if (this.#abort.signal.aborted) break
      try {
        if (await this.#passDevice(name)) isBusy = true
      } catch (error) {
        isBusy = true
        this.#options.log.warn('replication-failed', { device: name, error: String(error) })
      }
    }
    return isBusy
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#cancel = null
      this.#running = this.pass().then((isBusy) => {
        const { busyMs, idleMs } = this.#options
        this.#pauseMs = isBusy ? busyMs : Math.min(idleMs, this.#pauseMs * 2)
        if (!this.#abort.signal.aborted) this.#schedule(this.#pauseMs)
      })
    })
  }

  async #passDevice(name: string): Promise<boolean> {
    const { clock, placements, node } = this.#options
    const own = this.#addresses.own(name)
    const device = node.devices.get(name)
    if (own === null || device === undefined) return false
    const startMs = clock.monotonicMs()
    const isLearning = await learn(own, {
      placements: placements(),
      addressOf: (device) => this.#addresses.of(device),
      signal: this.#abort.signal,
      sync: this.#context(own),
    })
    const count = { compared: 0, differing: 0, unreachable: 0, handoffs: 0 }
    for (const placement of placements()) {
      if (this.#abort.signal.aborted) break
      // There is nobody to be in step with.
      if (isAlone(placement, own.address.label)) continue
      const plan = await this.#plan(own, placement)
      for (const peerPlan of plan.byPeer.values()) {
        count.compared += peerPlan.partitions.length
        try {
          count.differing += await this.#peers.sync(own, placement, peerPlan)
        } catch (error) {
          count.unreachable += peerPlan.partitions.length
          const { peer } = peerPlan
          this.#options.log.info('peer-behind', { peer: deviceLabel(peer), error: String(error) })
        }
      }
      count.handoffs += await this.#peers.handOver(own, placement, plan.handoffs)
    }
    const addresses = this.#addresses
    const strays = { placements, addresses, sync: this.#context(own), log: this.#options.log }
    count.handoffs += await giveAwayStrays(own, strays)
    const damaged = await repairDamage(own, { placements, addresses, sync: this.#context(own) })
    await this.#reclaimer.reclaim(own)
    const passMs = clock.monotonicMs() - startMs
    const isBusy = isLearning || count.differing + count.unreachable + count.handoffs + damaged > 0
    const passedAtMs = clock.nowMs()
    const inStepAtMs = isBusy ? this.status(name).inStepAtMs : passedAtMs
    this.#status.set(name, { ...count, damaged, passedAtMs, passMs, inStepAtMs })
    return isBusy
  }

  /** What belongs where changes less often than passes are made. */
  async #plan({ address }: OwnDevice, placement: Placement): Promise<ReplicationPlan> {
    const held = await this.#options.node.heldPartitions(address.device, queryOf(placement))
    const key = `${address.label} ${placement.kind} ${placement.policy}`
    const known = this.#plans.get(key)
    if (known?.placement === placement && known.held === held) return known.plan
    const plan = planReplication(placement, address.label, held)
    this.#plans.set(key, { placement, held, plan })
    return plan
  }

  #context(own: OwnDevice): SyncContext {
    const { clock, graceMs, placements } = this.#options
    return {
      take: (bytes) => this.#throttle.take(bytes),
      graceMs,
      nowMs: () => clock.nowMs(),
      signal: this.#abort.signal,
      counters: this.counters,
      reclaim: this.#reclaimer.contextOf(own),
      isPlacedHere: (id) => placesRegister(placements(), id, own.address.label),
      onDamage: (id) => own.device.noteDamagedItem(id),
    }
  }
}
