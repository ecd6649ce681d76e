import type { EntrySlot, RegisterId } from './memtable.ts'

/** Registers of one kind and policy whose placements are in [from, to). */
export interface PlacementRange {
  readonly kind: number
  readonly policy: number
  readonly from: number
  readonly to: number
}

/** Placements are 32 bits; a bucket has so many of them. */
const BUCKET_PLACEMENTS = 2 ** 20
const BUCKETS = 2 ** 32 / BUCKET_PLACEMENTS

/**
 * Registers of a memtable by where they are placed, so that a walk through one partition looks at about that partition.
 * Writers do nothing for it: whoever asks takes in what has been added since somebody asked last.
 */
export class PlacedIds {
  readonly #entries: ReadonlyMap<string, EntrySlot>
  /** Stands behind the last one that was taken in: nothing is ever removed from a memtable. */
  readonly #unread: Iterator<EntrySlot>
  #readCount = 0
  readonly #buckets = new Map<number, RegisterId[]>()

  constructor(entries: ReadonlyMap<string, EntrySlot>) {
    this.#entries = entries
    this.#unread = entries.values()
  }

  /** Those in the range, in no order. */
  *in({ kind, policy, from, to }: PlacementRange): Generator<RegisterId, void, undefined> {
    this.#takeIn()
    const last = Math.ceil(to / BUCKET_PLACEMENTS)
    for (let bucket = Math.floor(from / BUCKET_PLACEMENTS); bucket < last; bucket++) {
      for (const id of this.#buckets.get(keyOf(kind, policy, bucket)) ?? []) {
        if (id.placement >= from && id.placement < to) yield id
      }
    }
  }

  #takeIn(): void {
    // Never asked for more than there is: an iterator that has ended stays so.
    for (; this.#readCount < this.#entries.size; this.#readCount++) {
      const { id } = this.#unread.next().value as EntrySlot
      const key = keyOf(id.kind, id.policy, Math.floor(id.placement / BUCKET_PLACEMENTS))
      const bucket = this.#buckets.get(key)
      if (bucket === undefined) this.#buckets.set(key, [id])
      else bucket.push(id)
    }
  }
}

function keyOf(kind: number, policy: number, bucket: number): number {
  return (kind * 0x10000 + policy) * BUCKETS + bucket
}
