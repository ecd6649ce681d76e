/**
 * What a shard is in that has lost part of its memory: a stretch of its log that was acknowledged has rotted and no
 * index knows what stood there, or the whole disk was replaced. "I never had it" would be no answer but a guess, and a
 * majority that counts on it can miss what another majority has acknowledged; what it had promised is gone, too. So the
 * shard does not vote: it refuses to read, to promise and to write, and only takes copies from replicas, until
 *
 *   - of each partition, so many other replicas were found to hold nothing that it lacks that no majority it was part of
 *     is missed: N - W + 1 of them, W being the majority of N,
 *   - and nothing that counted on a lost promise can still be on its way.
 *
 * A file beside the FORMAT says so, written before anybody is served and removed at the end: a restart goes on learning.
 */
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { ServiceError } from '../common/errors.ts'
import { writeDurably } from './durable-file.ts'
import type { RegisterId } from './engine/memtable.ts'
import { LEAVES } from './engine/partition-digests.ts'

/** Longer than any operation of a proxy may take. */
const OPERATION_MS_MAX = 90_000

/** Registers of one ring. */
export interface LearnedRing {
  /** Index into ITEM_KINDS. */
  readonly kind: number
  readonly policy: number
  readonly partPower: number
}

/** Why a shard learns; plain data of its file. */
interface LearningNote {
  readonly reason: string
  /** The disk was formatted: nothing at all was there. */
  readonly isEmpty: boolean
}

/** The other replicas of a partition in one of the rings that place it here, by their labels. */
export interface ReplicaGroup {
  readonly others: readonly string[]
  /** So many of them that every majority has one of them, or this device. */
  readonly needed: number
}

/** Whether so many of each group are among these replicas that no majority of any ring is missed. */
export function areEnough(groups: readonly ReplicaGroup[], replicas: ReadonlySet<string>): boolean {
  return groups.every(({ others, needed }) => {
    const count = others.filter((label) => replicas.has(label)).length
    return count >= Math.min(needed, others.length)
  })
}

const NOBODY: ReadonlySet<string> = new Set()

interface RingState {
  readonly partPower: number
  /** Labels of the replicas that hold nothing of the leaf that is lacking here, by partition x 16 + leaf. */
  readonly heard: Map<number, Set<string>>
  readonly learned: Set<number>
}

export class Learning {
  readonly reason: string
  /** The disk was empty, and so was every replica that was asked: as in a new cluster. */
  isNew: boolean
  readonly #clock: Clock
  readonly #fromMs: number
  readonly #rings = new Map<string, RingState>()
  readonly #forget: () => Promise<void>

  private constructor(
    note: LearningNote,
    options: {
      readonly clock: Clock
      readonly operationMsMax: number
      readonly forget: () => Promise<void>
    },
  ) {
    this.reason = note.reason
    this.isNew = note.isEmpty
    this.#clock = options.clock
    this.#fromMs = options.clock.monotonicMs() + options.operationMsMax
    this.#forget = options.forget
  }

  /** What an earlier start left unfinished, or what is found now; null if the shard remembers everything. */
  static async begin(
    place: { readonly disk: Disk; readonly directory: string; readonly shard: number },
    options: {
      readonly clock: Clock
      readonly found: string | null
      readonly operationMsMax?: number | undefined
    },
  ): Promise<Learning | null> {
    const { disk, directory } = place
    const name = nameOf(place.shard)
    const bytes = await disk.readWhole(`${directory}/${name}`)
    const found = options.found === null ? null : { reason: options.found, isEmpty: false }
    const note = bytes === null ? found : parseNote(bytes)
    if (note === null) return null
    if (bytes === null) await noteLearning(place, note)
    return new Learning(note, {
      clock: options.clock,
      operationMsMax: options.operationMsMax ?? OPERATION_MS_MAX,
      forget: async () => {
        await disk.remove(`${directory}/${name}`)
        await disk.syncDirectory(directory)
      },
    })
  }

  /** Whether answers about the register count. */
  knows({ kind, policy, placement }: Pick<RegisterId, 'kind' | 'policy' | 'placement'>): boolean {
    if (!this.isQuiet) return false
    const ring = this.#rings.get(`${kind}/${policy}`)
    return ring?.learned.has(Math.floor(placement / 2 ** (32 - ring.partPower))) ?? false
  }

  /** The refusal of whoever asks what is not known yet. */
  refusal(): ServiceError {
    const message = `the device learns from its replicas: ${this.reason}`
    return new ServiceError('Learning', message, { status: 503, retryAfterSeconds: 30 })
  }

  /** Nothing that counted on a promise from before can still be on its way. */
  get isQuiet(): boolean {
    return this.#clock.monotonicMs() >= this.#fromMs
  }

  /** A replica holds nothing of the leaf of a partition that is lacking here. */
  hear(ring: LearnedRing, partition: number, leaf: number, replica: string): void {
    const { heard } = this.#ring(ring)
    const key = partition * LEAVES + leaf
    const known = heard.get(key)
    if (known === undefined) heard.set(key, new Set([replica]))
    else known.add(replica)
  }

  /** Whether enough of each group of a partition's other replicas were heard: of every leaf. */
  isLearned(ring: LearnedRing, partition: number, groups: readonly ReplicaGroup[]): boolean {
    const { heard, learned } = this.#ring(ring)
    if (learned.has(partition)) return true
    for (let leaf = 0; leaf < LEAVES; leaf++) {
      if (!areEnough(groups, heard.get(partition * LEAVES + leaf) ?? NOBODY)) return false
    }
    learned.add(partition)
    for (let leaf = 0; leaf < LEAVES; leaf++) heard.delete(partition * LEAVES + leaf)
    return true
  }

  /** Everything is learned: true if it has ended, false if it has to wait still. */
  async end({ areAllHeard }: { readonly areAllHeard: boolean }): Promise<boolean> {
    const isNew = this.isNew && areAllHeard
    if (!isNew && !this.isQuiet) return false
    await this.#forget()
    return true
  }

  #ring({ kind, policy, partPower }: LearnedRing): RingState {
    const key = `${kind}/${policy}`
    const known = this.#rings.get(key)
    if (known?.partPower === partPower) return known
    const state = { partPower, heard: new Map(), learned: new Set<number>() }
    this.#rings.set(key, state)
    return state
  }
}

/** Has the shard learn from the next start on. */
export async function noteLearning(
  place: { readonly disk: Disk; readonly directory: string; readonly shard: number },
  note: LearningNote,
): Promise<void> {
  await writeDurably(place.disk, place.directory, nameOf(place.shard), `${JSON.stringify(note)}\n`)
}

function nameOf(shard: number): string {
  return `LEARNING-${shard.toString(16).padStart(2, '0')}`
}

/** A damaged note is one nevertheless. */
function parseNote(bytes: Uint8Array): LearningNote {
  try {
    const { reason, isEmpty } = JSON.parse(Buffer.from(bytes).toString()) as Partial<LearningNote>
    return { reason: String(reason), isEmpty: isEmpty === true }
  } catch {
    return { reason: 'its note on what it has lost is damaged', isEmpty: false }
  }
}
