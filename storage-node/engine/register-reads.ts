import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { compareStamps } from '../../common/stamp.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { Admission } from './admission.ts'
import { NO_BLOB } from './entry.ts'
import { type RegisterId, registerKey } from './memtable.ts'
import { isHeld } from './partition-digests.ts'
import { type CachedRead, ReadCache } from './read-cache.ts'
import { isSamePlace, RECORD_TYPES } from './record.ts'
import type { ReadRecord, RecordReader } from './record-reader.ts'
import { blobIdOf, infoOfRecord, registerIdOf } from './register.ts'
import type { ShardIndex } from './shard-index.ts'
import type { ReportProblem } from './shard-problem.ts'
import { toListStats } from './totals.ts'

export interface RegisterReadsOptions {
  readonly index: ShardIndex
  readonly reader: RecordReader
  readonly admission: Admission
  readonly report: ReportProblem
}

/** What a shard read: the record's info, its body if inline, or the blob that holds it. */
export interface ShardRead {
  readonly info: ItemInfo
  /** The inline body, or null if there is none or it was not wanted. */
  readonly data: Buffer | null
  /** The blob with the body; NO_BLOB if it is inline. */
  readonly blobId: string
}

const READ_ATTEMPTS = 3
/** Of each shard. */
const READ_CACHE_BYTES = 32 * 1024 * 1024

/** Reads registers: only what is durable. */
export class RegisterReads {
  readonly #options: RegisterReadsOptions
  readonly #index: ShardIndex
  readonly #cache = new ReadCache({ bytesMax: READ_CACHE_BYTES })

  constructor(options: RegisterReadsOptions) {
    this.#options = options
    this.#index = options.index
  }

  /** The current record, tombstones included; null if nothing is known. */
  async read(item: ItemKey, options: { readonly body: boolean }): Promise<ShardRead | null> {
    const cached = this.cached(item)
    if (cached !== undefined) {
      return { info: cached.info, data: options.body ? cached.data : null, blobId: NO_BLOB }
    }
    const record = await this.readPlace(item, options)
    if (record === null) return null
    const info = infoOfRecord(record.head, record.meta)
    if (item.name !== '' && info.name !== item.name) throw collision(item, info)
    const isBlob = record.head.type === RECORD_TYPES.putBlob
    const data = options.body && !isBlob && !info.deleted ? record.data : null
    if (data !== null && item.kind === 'object') this.#keep(item, info, data)
    return {
      // Not by a spread: each info would have a shape of its own, and everything that looks at buckets would miss.
      info: item.kind === 'object' ? info : Object.assign({}, info, { stats: this.stats(item) }),
      data,
      blobId: isBlob ? blobIdOf(record.meta) : NO_BLOB,
    }
  }

  /** The object, if it is small and was read lately. */
  cached(item: ItemKey): CachedRead | undefined {
    if (this.#options.admission.learning !== null) return undefined
    const cached = this.#cache.get(registerKey(item))
    return cached?.info.name === item.name ? cached : undefined
  }

  /** Unless it was replaced while it was being read. */
  #keep(item: ItemKey, info: ItemInfo, data: Buffer): void {
    const entry = this.#index.entry(registerIdOf(item))
    if (!isHeld(entry) || compareStamps(entry.ballot, info.ballot) !== 0) return
    this.#cache.set(registerKey(item), { info, data })
  }

  /** The register with this key (registerKey) has changed. */
  forget(key: string): void {
    this.#cache.delete(key)
  }

  stats(item: ItemKey): NonNullable<ItemInfo['stats']> {
    return toListStats(this.#index.totals(item.hash))
  }

  /** Reads where the index points; once more if compaction moved the record meanwhile. */
  async readPlace(item: ItemKey, options: { readonly body: boolean }): Promise<ReadRecord | null> {
    const id = registerIdOf(item)
    for (let attempt = 1; ; attempt++) {
      const entry = this.#index.entry(id)
      if (!isHeld(entry)) return null
      try {
        const read = this.#options.reader.read(entry.place, options)
        const record = read instanceof Promise ? await read : read
        if (record.head.hash === item.hash) return record
        throw new ServiceError('CorruptData', `the index leads ${item.name} astray`)
      } catch (error) {
        const now = this.#index.entry(id)?.place
        const isThere = now !== undefined && isSamePlace(now, entry.place)
        if (isThere) throw this.noteDamage(error, id)
        if (attempt === READ_ATTEMPTS) throw error
      }
    }
  }

  /** Reports what could not be read; returns the error. */
  noteDamage(error: unknown, item?: RegisterId): unknown {
    const message = error instanceof Error ? error.message : String(error)
    this.#options.report({ kind: 'damage', message, cause: error, item })
    return error
  }
}

function collision(item: ItemKey, info: ItemInfo): ServiceError {
  const message = `hash collision: ${item.name} and ${info.name}`
  return new ServiceError('NameCollision', message, { status: 500 })
}
