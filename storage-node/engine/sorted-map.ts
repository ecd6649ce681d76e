/**
 * A map whose keys can be walked in order: byte texts (keys.ts) in chunks of a few hundred, so that an insert moves
 * little. Keys are never removed: a memtable is dropped as a whole.
 */
const CHUNK_KEYS_MAX = 512

export class SortedMap<V> {
  readonly #values = new Map<string, V>()
  /** Each chunk sorted and not empty; the chunks in order. */
  readonly #chunks: string[][] = []

  get size(): number {
    return this.#values.size
  }

  get(key: string): V | undefined {
    return this.#values.get(key)
  }

  /** Adds a key that is not there yet. */
  add(key: string, value: V): void {
    this.#values.set(key, value)
    this.#insert(key)
  }

  /** In no particular order. */
  entries(): IterableIterator<[string, V]> {
    return this.#values.entries()
  }

  /** The first key at or after `key` (after it if exclusive), or undefined. */
  ceiling(key: string, exclusive: boolean): string | undefined {
    const at = this.#chunkOf(key)
    const chunk = this.#chunks[at]
    if (chunk === undefined) return undefined
    const index = lowerBound(chunk, key)
    const found = chunk[index]
    if (found === undefined) return this.#chunks[at + 1]?.[0]
    if (exclusive && found === key) return chunk[index + 1] ?? this.#chunks[at + 1]?.[0]
    return found
  }

  /** The last key at or before `key` (before it if exclusive), or undefined. */
  floor(key: string, exclusive: boolean): string | undefined {
    const at = Math.min(this.#chunkOf(key), this.#chunks.length - 1)
    const chunk = this.#chunks[at]
    if (chunk === undefined) return undefined
    const index = lowerBound(chunk, key)
    if (!exclusive && chunk[index] === key) return key
    return index > 0 ? chunk[index - 1] : this.#chunks[at - 1]?.at(-1)
  }

  /** The last key of all, or undefined. */
  last(): string | undefined {
    return this.#chunks.at(-1)?.at(-1)
  }

  #insert(key: string): void {
    const at = Math.min(this.#chunkOf(key), this.#chunks.length - 1)
    const chunk = this.#chunks[at]
    if (chunk === undefined) {
      this.#chunks.push([key])
      return
    }
    chunk.splice(lowerBound(chunk, key), 0, key)
    if (chunk.length > CHUNK_KEYS_MAX) {
      this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_KEYS_MAX >> 1))
    }
  }

  /** The first chunk whose last key is at or after `key`; the number of chunks if none is. */
  #chunkOf(key: string): number {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const chunk = this.#chunks[middle]!
      if (chunk[chunk.length - 1]! < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The first index whose key is at or after `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}
