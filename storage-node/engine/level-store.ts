import { rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Level } from 'level'
import { ServiceError, systemErrorCode } from '../../common/errors.ts'
import type {
  KeyRange,
  KeyValue,
  KeyValueIterator,
  KeyValueOperation,
} from '../../common/key-value.ts'

/** Opens and removes the key-value stores that indexes live in. */
export interface KeyValueOpener {
  /** Throws DeviceInUse if another process has it, anything else if it is damaged. */
  open(path: string): Promise<KeyValue>
  /** Removes it from the disk. */
  destroy(path: string): Promise<void>
}

/** What one call of an iterator may hold in memory; a page of 1,000 rows is about 170 KB. */
const ITERATOR_BYTES_MAX = 512 * 1024

const WRITE_BUFFER_BYTES_MIN = 256 * 1024
const WRITE_BUFFER_BYTES_MAX = 8 * 1024 * 1024

type Database = Level<Uint8Array, Uint8Array>

/**
 * LevelDB, one database shared by all threads of the process. The thread that opens it first has to close it last:
 * classic-level 3.0.0 keeps the cache of blocks with the first handle and frees it with that, whoever still reads
 * (binding.cc, Database::CloseDatabase). Hence the supervisor of the threads opens it before them.
 */
export const levelOpener: KeyValueOpener = {
  async open(path) {
    // The options of classic-level go through; `level` types only the common ones.
    const options = {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      multithreading: true,
      compression: false,
      cacheSize: 64 * 1024 * 1024,
      writeBufferSize: await writeBufferBytes(dirname(path)),
    }
    const db: Database = new Level<Uint8Array, Uint8Array>(path, options as object)
    try {
      await db.open()
    } catch (error) {
      throw isLocked(error)
        ? new ServiceError('DeviceInUse', 'the index is locked by another process', {
            cause: error,
          })
        : error
    }
    return new LevelStore(db)
  },
  destroy: (path) => rm(path, { recursive: true, force: true }),
}

/** LevelDB's log and its newest tables take several of these: on a small disk they have to be small. */
async function writeBufferBytes(folder: string): Promise<number> {
  const { bsize, blocks } = await statfs(folder)
  const share = Math.floor((bsize * blocks) / 256)
  return Math.min(WRITE_BUFFER_BYTES_MAX, Math.max(WRITE_BUFFER_BYTES_MIN, share))
}

function isLocked(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return systemErrorCode(error) === 'LEVEL_LOCKED' || systemErrorCode(cause) === 'LEVEL_LOCKED'
}

/**
 * The batch of classic-level below abstract-level's, which copies and checks every operation: an eighth of the engine's
 * CPU. Keys and values are buffers already, and the handle is open as long as the device is.
 */
interface RawBatch {
  _batch(
    operations: readonly KeyValueOperation[],
    options: { readonly sync: boolean },
  ): Promise<void>
}

class LevelStore implements KeyValue {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    return this.#db.getSync(key)
  }

  async batch(
    operations: readonly KeyValueOperation[],
    options: { readonly sync: boolean },
  ): Promise<void> {
    await (this.#db as unknown as RawBatch)._batch(operations, options)
  }

  iterate(range: KeyRange): KeyValueIterator {
    // By default an iterator gives no more than 16 KiB at once: a tenth of a page of a listing.
    const options = { ...range, highWaterMarkBytes: ITERATOR_BYTES_MAX }
    return new LevelIterator(this.#db.iterator(options))
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}

class LevelIterator implements KeyValueIterator {
  readonly #iterator: ReturnType<Database['iterator']>

  constructor(iterator: ReturnType<Database['iterator']>) {
    this.#iterator = iterator
  }

  next(count: number): Promise<[Uint8Array, Uint8Array][]> {
    return this.#iterator.nextv(count) as Promise<[Uint8Array, Uint8Array][]>
  }

  seek(key: Uint8Array): void {
    this.#iterator.seek(key)
  }

  close(): Promise<void> {
    return this.#iterator.close()
  }
}
