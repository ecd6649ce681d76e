import type { ItemInfo } from '../../common/storage-node.ts'

/** A small object as it was last read from the log. Nobody changes its bytes. */
export interface CachedRead {
  readonly info: ItemInfo
  readonly data: Buffer
}

/** What an entry costs beside its body: metadata, map, objects. */
const ENTRY_OVERHEAD_BYTES = 1024

/** The small objects read last, whole: a hit spares the index, the disk and two checksums. Bounded by bytes. */
export class ReadCache {
  readonly #bytesMax: number
  /** In the order of use, the longest unused first. */
  readonly #reads = new Map<string, CachedRead>()
  #bytes = 0

  constructor(options: { readonly bytesMax: number }) {
    this.#bytesMax = options.bytesMax
  }

  get(key: string): CachedRead | undefined {
    const read = this.#reads.get(key)
    if (read === undefined) return undefined
    this.#reads.delete(key)
    this.#reads.set(key, read)
    return read
  }

  set(key: string, read: CachedRead): void {
    this.delete(key)
    this.#reads.set(key, read)
    this.#bytes += read.data.length + ENTRY_OVERHEAD_BYTES
    for (const oldest of this.#reads.keys()) {
      if (this.#bytes <= this.#bytesMax) return
      this.delete(oldest)
    }
  }

  /** The register has changed. */
  delete(key: string): void {
    const read = this.#reads.get(key)
    if (read === undefined) return
    this.#reads.delete(key)
    this.#bytes -= read.data.length + ENTRY_OVERHEAD_BYTES
  }
}
