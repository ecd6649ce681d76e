import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { ServiceError } from '../common/errors.ts'
import type { Log } from '../common/log.ts'
import { nodeDisk } from '../common/node-disk.ts'
import type { Random } from '../common/random.ts'
import type { DeviceStatus } from '../common/storage-node.ts'
import { Device, type IndexFailure, type LearnsOptions } from './device.ts'
import { type KeyValueOpener, levelOpener } from './engine/level-store.ts'
import { Maintenance } from './maintenance.ts'
import type { RingGuard } from './ring-guard.ts'
import type { Peers } from './threads/peers.ts'

export interface LocalDevicesOptions {
  readonly devices: readonly { readonly name: string; readonly path: string }[]
  readonly clock: Clock
  readonly random: Random
  readonly log?: Log
  readonly segmentBytes?: number
  /** Log shards of devices that are formatted now. */
  readonly shards?: number
  /** The other threads that share the devices; absent: this thread owns all shards. */
  readonly peers?: Peers
  /** Refuses what comes by rings that are too old; absent: nothing. */
  readonly guard?: RingGuard
  /** With peers: told that a device needs a fresh start of its index, by all threads. */
  readonly onIndexFailure?: (device: string, failure: IndexFailure) => void
  readonly disk?: Disk
  readonly opener?: KeyValueOpener
  /** Compaction and scrubbing in the background; on by default. */
  readonly maintenance?: boolean
  /** Its devices have replicas that a replicator compares them with: they learn from them what they have lost. */
  readonly learns?: LearnsOptions
  /** How long deleted names are remembered. */
  readonly reclaimAgeMs?: number
  /** Whether a device forgets them by itself; by default, unless it has replicas. */
  readonly reclaimsAlone?: boolean
}

/** The devices of a node that this thread has opened: each can be served, gets a new index, or could not be given one. */
export class LocalDevices {
  readonly #options: LocalDevicesOptions
  readonly #open = new Map<string, Device>()
  /** Devices that are being given a new index. */
  readonly #rebuilding = new Map<string, Promise<void>>()
  /** Devices that could not be given one, and why. */
  readonly #failed = new Map<string, string>()
  readonly #maintenance = new Map<string, Maintenance>()
  #closing: Promise<void> | null = null

  constructor(options: LocalDevicesOptions) {
    this.#options = options
  }

  /** Recovers the device; nothing of it is served before. */
  async open(name: string, options: { readonly rebuild?: boolean } = {}): Promise<void> {
    const { disk, opener, clock, random, log, segmentBytes, shards } = this.#options
    const { peers, guard } = this.#options
    const path = this.#options.devices.find((device) => device.name === name)?.path
    if (path === undefined) throw unknownDevice(name)
    const device = await Device.open({
      name,
      directory: path,
      disk: disk ?? nodeDisk,
      opener: opener ?? levelOpener,
      clock,
      random,
      log,
      segmentBytesMax: segmentBytes,
      shards,
      peers,
      learns: this.#learns(options.rebuild !== undefined),
      guard,
      rebuild: options.rebuild,
      onIndexFailure: (failure) => this.#reopen(name, failure),
    })
    this.#open.set(name, device)
    if (this.#options.maintenance !== false) this.#maintain(device)
  }

  /** Who opens a device anew while it runs has operations under way that count on what it promised. */
  #learns(isReopened: boolean): LearnsOptions | undefined {
    const { learns } = this.#options
    if (learns === undefined || !isReopened) return learns
    return { newDisks: learns.newDisks }
  }

  #maintain(device: Device): void {
    const maintenance = new Maintenance(device, {
      reclaimsAlone: this.#options.learns === undefined,
      ...this.#options,
      disk: this.#options.disk ?? nodeDisk,
    })
    this.#maintenance.set(device.name, maintenance)
    maintenance.start()
  }

  /** The device goes offline, gets a new index from its logs if the old one is damaged, and comes back. */
  #reopen(name: string, failure: IndexFailure): void {
    if (this.#options.peers !== undefined) {
      this.#options.onIndexFailure?.(name, failure)
      return
    }
    const device = this.#open.get(name)
    if (device === undefined || this.#rebuilding.has(name)) return
    this.#options.log?.warn('index-reopen', { device: name, failure })
    this.#open.delete(name)
    const rebuilt = this.#replace(name, device, failure)
      .catch((cause: unknown) => {
        this.#failed.set(name, String(cause))
        this.#options.log?.error('index-rebuild-failed', { device: name, cause: String(cause) })
      })
      .finally(() => this.#rebuilding.delete(name))
    this.#rebuilding.set(name, rebuilt)
  }

  async #replace(name: string, old: Device, failure: IndexFailure): Promise<void> {
    await this.#maintenance.get(name)?.stop()
    await old.close({ withoutFlush: true })
    if (this.#closing === null) await this.open(name, { rebuild: failure === 'damaged' })
  }

  /** Those that are served. */
  get all(): ReadonlyMap<string, Device> {
    return this.#open
  }

  /** The device if it is served, without a word on why not. */
  find(name: string): Device | undefined {
    return this.#closing === null ? this.#open.get(name) : undefined
  }

  /** The device; throws a ServiceError that says why it cannot be served. */
  get(name: string): Device {
    if (this.#closing !== null) {
      throw new ServiceError('DeviceOffline', 'the node is shutting down', { status: 503 })
    }
    const device = this.#open.get(name)
    if (device !== undefined) return device
    if (this.#rebuilding.has(name)) {
      const options = { status: 503, retryAfterSeconds: 5 }
      throw new ServiceError('DeviceOffline', `device ${name} gets a new index`, options)
    }
    const failure = this.#failed.get(name)
    if (failure === undefined) throw unknownDevice(name)
    throw new ServiceError('DeviceOffline', `device ${name}: ${failure}`, { status: 503 })
  }

  /** What runs in the background on a device. */
  maintenanceOf(name: string): Maintenance | undefined {
    return this.#maintenance.get(name)
  }

  /** Of those that are not served. */
  offlineStatuses(): readonly DeviceStatus[] {
    const none = { bytesTotal: 0, bytesFree: 0, segments: 0, damage: [] }
    return [...this.#rebuilding.keys(), ...this.#failed.keys()].map((device) => {
      const reason = this.#failed.get(device) ?? 'gets a new index'
      return { device, state: 'offline', reason, ...none }
    })
  }

  /** Resolves when none is being given a new index. */
  rebuilt(): Promise<unknown> {
    return Promise.all(this.#rebuilding.values())
  }

  /** Idempotent; waits. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    await Promise.all(this.#rebuilding.values())
    for (const maintenance of this.#maintenance.values()) await maintenance.stop()
    for (const device of this.#open.values()) await device.close()
  }
}

function unknownDevice(name: string): ServiceError {
  return new ServiceError('UnknownDevice', `no device ${name} here`, { status: 404 })
}
