/** The keeper of a folder of rings: one process of a cluster has it, and the builders. */
import { join } from 'node:path'
import type { ClusterMember } from '../common/cluster-member.ts'
import { deviceLabel } from '../common/ring/placement.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import { encodeRing } from '../common/ring/ring-file.ts'
import { readTextFile, replaceFile } from '../common/whole-file.ts'
import { Keeper, type MovementStatus } from '../ring-builder/movement/keeper.ts'
import { acquireLock } from './process-lock.ts'
import type { RingFolder, RingFolderContext } from './ring-folder.ts'
import { ringTargets, tidyLost } from './ring-targets.ts'
import { objectRingName } from './rings.ts'

export interface RingKeeperOptions {
  readonly folder: string
  readonly rings: RingFolder
  readonly memberOf: (device: RingDevice) => ClusterMember
}

export interface RingKeeper {
  /** Null before the first pass. */
  status(): MovementStatus | null
  close(): Promise<void>
}

/** Where the state of the movement stands, for other processes; may be a second old. */
export function movementPath(folder: string): string {
  return join(folder, 'movement.json')
}

/** What another process's keeper wrote last; null if there never was one. */
export async function readMovement(folder: string): Promise<MovementStatus | null> {
  const text = await readTextFile(movementPath(folder))
  return text === null ? null : (JSON.parse(text) as MovementStatus)
}

const WRITE_MS = 1_000

/** Keeps the rings until `close`. Throws a 409 `Locked` if another process does. */
export function startKeeper(options: RingKeeperOptions, context: RingFolderContext): RingKeeper {
  const { folder, rings, memberOf } = options
  const { clock, log } = context
  const lock = acquireLock(join(folder, 'keeper.lock'), folder)
  const file = new StatusFile(folder, context, rings)
  const keeper = new Keeper({
    store: rings,
    targets: ringTargets(folder),
    memberOf,
    clock,
    log,
    onStatus: (status) => file.write(status),
  })
  keeper.start()
  return {
    status: () => keeper.status(),
    async close() {
      await keeper.stop()
      await file.close()
      lock.release()
    },
  }
}

/** Writes the state now and then, and the single ring files when a movement has ended. */
class StatusFile {
  readonly #folder: string
  readonly #context: RingFolderContext
  readonly #rings: RingFolder
  #latest: MovementStatus | null = null
  #writing: Promise<void> | null = null
  #wroteAtMs = Number.NEGATIVE_INFINITY
  #cancel: (() => void) | null = null
  #ringsEpoch = 0

  constructor(folder: string, context: RingFolderContext, rings: RingFolder) {
    this.#folder = folder
    this.#context = context
    this.#rings = rings
    this.#ringsEpoch = 0
  }

  write(status: MovementStatus): void {
    this.#latest = status
    if (this.#writing !== null || this.#cancel !== null) return
    const waitMs = this.#wroteAtMs + WRITE_MS - this.#context.clock.monotonicMs()
    if (waitMs <= 0) this.#start()
    else {
      this.#cancel = this.#context.clock.after(waitMs, () => {
        this.#cancel = null
        this.#start()
      })
    }
  }

  async close(): Promise<void> {
    this.#cancel?.()
    await this.#writing
    await this.#save().catch(() => {})
  }

  #start(): void {
    this.#wroteAtMs = this.#context.clock.monotonicMs()
    this.#writing = this.#save()
      .catch((error: unknown) => {
        this.#context.log.warn('movement-unwritten', { error: String(error) })
      })
      .finally(() => {
        this.#writing = null
      })
  }

  async #save(): Promise<void> {
    const status = this.#latest
    if (status === null) return
    this.#latest = null
    await replaceFile(movementPath(this.#folder), `${JSON.stringify(status, null, 2)}\n`)
    if (status.state !== 'idle' || this.#ringsEpoch === status.epoch) return
    await this.#saveRings()
    this.#ringsEpoch = status.epoch
  }

  async #saveRings(): Promise<void> {
    const { placements } = this.#rings.data()
    const present = new Set<string>()
    for (const { kind, policy, ring } of placements) {
      const name = kind === 'object' ? objectRingName({ index: policy }) : kind
      await replaceFile(join(this.#folder, `${name}.ring`), encodeRing(ring))
      for (const device of ring.devices) if (device !== null) present.add(deviceLabel(device))
    }
    await tidyLost(this.#folder, present)
  }
}
