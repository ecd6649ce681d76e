/**
 * The rings of a simulated cluster: what each machine knows of them (a file that is durable at once), and the keeper that
 * changes them, production's own, over the simulated network.
 */
import type { ClusterMember } from '../../../common/cluster-member.ts'
import type { RingData, RingDevice } from '../../../common/ring/ring.ts'
import type { RingSet, RingSource } from '../../../common/ring/ring-set.ts'
import {
  decodeRingSet,
  encodeRingSet,
  type RingSetData,
  ringSetOf,
} from '../../../common/ring/ring-set-file.ts'
import { Keeper, type MovementStatus } from '../../../ring-builder/movement/keeper.ts'
import type { RingStore } from '../../../storage-node/node-member.ts'
import { type RingOptions, ringDataOver } from '../../support/ring-over.ts'
import { SimProcess, type SimTime, type WallClock } from './sim-time.ts'

export const RING_KINDS = ['account', 'container', 'object'] as const

/** The rings as one machine knows them. */
export class SimRings implements RingStore, RingSource {
  #data: RingSetData
  #set: RingSet
  #bytes: Uint8Array
  /** Told of each set that is taken in. */
  onTake: (set: RingSet) => void = () => {}
  /** Asks somebody for newer ones. */
  ask: () => Promise<Uint8Array | null> = async () => null
  #asking: Promise<void> | null = null

  constructor(data: RingSetData) {
    this.#data = data
    this.#set = ringSetOf(data)
    this.#bytes = encodeRingSet(data)
  }

  get epoch(): number {
    return this.#data.epoch
  }

  bytes(): Uint8Array {
    return this.#bytes
  }

  data(): RingSetData {
    return this.#data
  }

  current(): RingSet {
    return this.#set
  }

  async take(bytes: Uint8Array): Promise<void> {
    const data = decodeRingSet(bytes)
    if (data.epoch <= this.#data.epoch) return
    this.#data = data
    this.#set = ringSetOf(data)
    this.#bytes = bytes
    this.onTake(this.#set)
  }

  refresh(): Promise<void> {
    this.#asking ??= this.ask()
      .then((bytes) => (bytes === null ? undefined : this.take(bytes)))
      .catch(() => {})
      .finally(() => {
        this.#asking = null
      })
    return this.#asking
  }
}

/** Pause between two questions for newer rings; who is refused asks at once. */
const RINGS_MS = 30_000

/** Asks now and then, as long as the process lives. */
export function pollRings(process: SimProcess, rings: SimRings): void {
  process.after(RINGS_MS, () => {
    void rings.refresh()
    pollRings(process, rings)
  })
}

/** The rings of one set of hosts; a device is known by its address, which says whose it is. */
export function ringDataOf(hosts: readonly number[], options: RingOptions): RingData {
  const nodes = hosts.map((index) => ({ ip: `10.0.0.${index + 1}`, port: 6200 }))
  return ringDataOver(nodes, options)
}

export function hostIndexOf({ ip }: Pick<RingDevice, 'ip'>): number {
  return Number(ip.slice(ip.lastIndexOf('.') + 1)) - 1
}

export function ringSetDataOf(ring: RingData): RingSetData {
  const placements = RING_KINDS.map((kind) => ({ kind, policy: 0, ring, previous: null }))
  return { epoch: 0, placements }
}

export interface SimKeeperOptions {
  readonly time: SimTime
  readonly rings: SimRings
  readonly memberOf: (process: SimProcess, device: RingDevice) => ClusterMember
}

/** The machine of the keeper: it dies, comes back, and goes on from its file. */
export class SimKeeper {
  readonly machine = 'keeper'
  readonly wall: WallClock = { offsetMs: 0, stepMs: 0 }
  readonly #options: SimKeeperOptions
  #process: SimProcess | null = null
  #keeper: Keeper | null = null
  #target: RingData | null = null
  #lost: ReadonlySet<string> = new Set()
  #starts = 0

  constructor(options: SimKeeperOptions) {
    this.#options = options
  }

  /** How the rings are to be, and which devices are given up. */
  aim(target: RingData, lost: ReadonlySet<string>): void {
    this.#target = target
    this.#lost = lost
    if (this.#process === null) this.start()
  }

  get isMoving(): boolean {
    if (this.#target === null) return false
    const status: MovementStatus | null = this.#keeper?.status() ?? null
    return status === null || status.state !== 'idle'
  }

  get statusText(): string {
    return JSON.stringify(this.#keeper?.status() ?? null)
  }

  start(): void {
    if (this.#target === null || this.#process !== null) return
    const { time, rings, memberOf } = this.#options
    const process = new SimProcess(`${this.machine}.${++this.#starts}`, time, this.wall)
    this.#process = process
    this.#keeper = new Keeper({
      store: rings,
      targets: async () => ({
        rings: RING_KINDS.map((kind) => ({ kind, policy: 0, ring: this.#target! })),
        lost: this.#lost,
      }),
      memberOf: (device) => memberOf(process, device),
      clock: process,
      busyMs: 1_000,
      idleMs: 20_000,
    })
    this.#keeper.start()
  }

  crash(): void {
    this.#process?.die()
    this.#process = null
    this.#keeper = null
  }
}
