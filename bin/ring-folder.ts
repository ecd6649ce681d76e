/**
 * The rings of a process, in a folder: `rings.set` with their epoch once they have changed, until then the `.ring` files
 * of which they were made. Newer ones are taken in while the process runs, from wherever they come: sent by the keeper,
 * asked of a node, or copied into the folder by a person.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../common/clock.ts'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import type { Log } from '../common/log.ts'
import { decodeRing } from '../common/ring/ring-file.ts'
import type { RingSet, RingSource } from '../common/ring/ring-set.ts'
import {
  decodeRingSet,
  encodeRingSet,
  type PlacementData,
  type RingSetData,
  ringSetOf,
} from '../common/ring/ring-set-file.ts'
import { replaceFile } from '../common/whole-file.ts'
import { makeFolder } from './folders.ts'

export interface RingFolderContext {
  readonly clock: Clock
  readonly log: Log
}

export interface RingFolderOptions {
  /** Another thread writes the folder: newer sets are used, and it sees to it that they are durable. */
  readonly isReader?: boolean
}

/** Asks up to so many nodes for newer rings than are known; null: they have none. */
export type AskForRings = (
  known: number,
  options: { readonly nodesMax: number },
) => Promise<Uint8Array | null>

/** The file's name in the folder. */
export const RING_SET_FILE = 'rings.set'
const WATCH_MS = 1_000
const NO_RINGS: RingSetData = { epoch: 0, placements: [] }

export class RingFolder implements RingSource {
  readonly #folder: string
  readonly #context: RingFolderContext
  readonly #isReader: boolean
  readonly #listeners: ((set: RingSet) => void)[] = []
  #data: RingSetData
  #bytes: Uint8Array
  #set: RingSet
  #fileStamp = ''
  #cancelWatch: (() => void) | null = null
  #ask: AskForRings | null = null
  #taking: Promise<void> = Promise.resolve()
  #isClosed = false

  /** A folder that is not there, or has no rings, holds none as yet. Throws a 500 `BadRing`. */
  constructor(folder: string, context: RingFolderContext, options: RingFolderOptions = {}) {
    this.#folder = folder
    this.#context = context
    this.#isReader = options.isReader === true
    this.#data = readRingSet(folder)
    this.#bytes = encodeRingSet(this.#data)
    this.#set = ringSetOf(this.#data)
    this.#fileStamp = this.#stampOfFile()
  }

  get epoch(): number {
    return this.#set.epoch
  }

  get hasRings(): boolean {
    return this.#set.placements.length > 0
  }

  current(): RingSet {
    return this.#set
  }

  data(): RingSetData {
    return this.#data
  }

  bytes(): Uint8Array {
    return this.#bytes
  }

  /** Called with each set that comes into use, the present one included. */
  onChange(listener: (set: RingSet) => void): void {
    this.#listeners.push(listener)
    listener(this.#set)
  }

  /** From now on looks for newer rings by itself: in the folder, and with `ask`. */
  watch(ask: AskForRings | null = null): void {
    this.#ask = ask
    this.#watchLater()
  }

  refresh(): Promise<void> {
    return this.#look({ nodesMax: Number.POSITIVE_INFINITY })
  }

  async #look(options: { readonly nodesMax: number }): Promise<void> {
    await this.#readFile()
    const newer = await this.#ask?.(this.epoch, options)
    if (newer != null) await this.take(newer)
  }

  /** Makes a set durable and uses it, if it is newer. One after the other. Throws a `RingDamaged`. */
  take(bytes: Uint8Array): Promise<void> {
    const taken = this.#taking.then(() => this.#take(bytes))
    this.#taking = taken.catch(() => {})
    return taken
  }

  close(): void {
    this.#isClosed = true
    this.#cancelWatch?.()
  }

  async #take(bytes: Uint8Array): Promise<void> {
    const data = decodeRingSet(bytes)
    if (!this.#isNewer(data)) return
    if (!this.#isReader) {
      makeFolder(this.#folder)
      await replaceFile(join(this.#folder, RING_SET_FILE), bytes)
      this.#fileStamp = this.#stampOfFile()
    }
    this.#use(data, bytes)
  }

  #isNewer({ epoch, placements }: RingSetData): boolean {
    return epoch > this.epoch || (!this.hasRings && placements.length > 0)
  }

  #use(data: RingSetData, bytes: Uint8Array): void {
    const set = ringSetOf(data)
    this.#data = data
    this.#bytes = bytes
    this.#set = set
    this.#context.log.info('rings', { epoch: set.epoch })
    for (const listener of this.#listeners) listener(set)
  }

  #watchLater(): void {
    if (this.#isClosed) return
    this.#cancelWatch = this.#context.clock.after(WATCH_MS, () => {
      this.#look({ nodesMax: 1 })
        .catch((error: unknown) => {
          this.#context.log.warn('rings-unread', { folder: this.#folder, error: String(error) })
        })
        .finally(() => this.#watchLater())
    })
  }

  /** What somebody else wrote is durable already, or will be when it is written by us. */
  async #readFile(): Promise<void> {
    const stamp = this.#stampOfFile()
    if (stamp === this.#fileStamp) return
    this.#fileStamp = stamp
    const bytes = readIfThere(join(this.#folder, RING_SET_FILE))
    if (bytes !== null) await this.take(bytes)
  }

  #stampOfFile(): string {
    const stat = statSync(join(this.#folder, RING_SET_FILE), { throwIfNoEntry: false })
    return stat === undefined ? '' : `${stat.ino} ${stat.mtimeMs} ${stat.size}`
  }
}

/** The set of a folder with the single rings that are not in it; without a set, all of them as epoch 0. Throws a 500 `BadRing` that names the file. */
export function readRingSet(folder: string): RingSetData {
  const path = join(folder, RING_SET_FILE)
  const bytes = readIfThere(path)
  const set = bytes === null ? NO_RINGS : explained(path, () => decodeRingSet(bytes))
  if (!existsSync(folder)) return set
  const isKnown = ({ kind, policy }: Pick<PlacementData, 'kind' | 'policy'>) =>
    set.placements.some((known) => known.kind === kind && known.policy === policy)
  const placements = readdirSync(folder).flatMap((name): PlacementData[] => {
    const place = ringPlace(name)
    if (place === null || isKnown(place)) return []
    const file = join(folder, name)
    const ring = explained(file, () => decodeRing(readFileSync(file)))
    return [{ ...place, ring, previous: null }]
  })
  if (placements.length === 0) return set
  // The rings of policies that came later; everybody is told of them as of a change.
  const epoch = set.placements.length === 0 ? 0 : set.epoch + 1
  return { epoch, placements: [...set.placements, ...placements] }
}

/** What a ring file places, by its name: `account.ring`, `object-1.ring`; null for other files. */
function ringPlace(name: string): Pick<PlacementData, 'kind' | 'policy'> | null {
  const match = /^(account|container|object)(?:-(\d+))?\.ring$/.exec(name)
  if (match === null) return null
  return { kind: match[1] as PlacementData['kind'], policy: Number(match[2] ?? 0) }
}

function explained<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new ServiceError('BadRing', `${path}: ${(error as Error).message}`, { cause: error })
  }
}

function readIfThere(path: string): Uint8Array | null {
  try {
    return readFileSync(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null
    throw error
  }
}
