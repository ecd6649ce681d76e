/**
 * The bodies that are too long for the log, one immutable file each. Any thread may write and read them; only the
 * record that refers to a blob, committed by the shard's owner, makes it part of the store. A blob without a record is
 * an orphan: thrown away when its writer gives up, quarantined by the scrubber when a crash left it.
 */
import assert from 'node:assert'
import type { Disk, DiskFile } from '../../common/disk.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import type { BodyReader } from '../../common/storage-node.ts'
import {
  BLOB_CHUNK_BYTES,
  BLOB_FOOTER_BYTES,
  blobSeed,
  blobTailBytes,
  chunkChecksum,
  chunkCount,
  decodeBlobFooter,
  decodeBlobTable,
  encodeBlobTail,
} from './blob-format.ts'
import { deviceError } from './device-error.ts'

/** Written and read in pieces of this size. */
const PIECE_BYTES = 1024 * 1024
/** Synced on the way at this distance, so that the last sync is short and dirty memory bounded. */
const SYNC_EVERY_BYTES = 64 * 1024 * 1024
const FOLDER_COUNT = 256
/** Buffers kept for the next pieces to be read. */
const PIECES_KEPT_MAX = 32
/** Bodies up to this size are read together with their tail. */
const READ_WITH_TAIL_BYTES_MAX = 256 * 1024
/** Footers hold some hundred bytes of metadata, seldom more. */
const USUAL_META_BYTES = 4096

export interface BlobStoreOptions {
  readonly disk: Disk
  readonly random: Random
  /** The device's folder; blobs lie below `blob/`. */
  readonly directory: string
}

export class BlobStore {
  readonly #disk: Disk
  readonly #random: Random
  readonly #directory: string
  readonly #syncs = new Map<string, { running: Promise<void>; next: Promise<void> | null }>()
  readonly #pieces = new PiecePool()
  #folder = 0

  constructor(options: BlobStoreOptions) {
    this.#disk = options.disk
    this.#random = options.random
    this.#directory = options.directory
  }

  /** Makes the folders; once for a device. */
  static async format(disk: Disk, directory: string): Promise<void> {
    for (let i = 0; i < FOLDER_COUNT; i++) await disk.makeDirectory(`${directory}/blob/${hex2(i)}`)
    await disk.syncDirectory(`${directory}/blob`)
  }

  pathOf(blobId: string): string {
    return `${this.#directory}/blob/${blobId.slice(0, 2)}/${blobId}`
  }

  /** Ids of the blobs in one of the 256 folders, with no regard to whether a record owns them. */
  async list(folder: number): Promise<readonly string[]> {
    const names = await this.#disk.list(`${this.#directory}/blob/${hex2(folder)}`)
    return names.filter((name) => /^[0-9a-f]{16}$/.test(name))
  }

  async create(): Promise<BlobWriter> {
    // One folder serves for a while, so that blobs written together share the sync of their folder.
    this.#folder = (this.#folder + (this.#random.below(64) === 0 ? 1 : 0)) % FOLDER_COUNT
    const tail = Buffer.from(this.#random.bytes(7)).toString('hex')
    const blobId = `${hex2(this.#folder)}${tail}`
    try {
      const file = await this.#disk.open(this.pathOf(blobId), 'create')
      return new BlobWriter(this, blobId, file)
    } catch (cause) {
      throw deviceError(cause)
    }
  }

  /** Opens a blob for reading and verifies its tail. */
  async open(blobId: string, dataBytes: number): Promise<BodyReader> {
    const path = this.pathOf(blobId)
    let file: DiskFile
    try {
      file = await this.#disk.open(path, 'read')
    } catch (cause) {
      throw corrupt(`blob ${path} cannot be opened`, cause)
    }
    try {
      const seed = blobSeed(blobId)
      const { checksums, data } = await readTable(file, { disk: this.#disk, seed, dataBytes })
      return new BlobReader({ file, dataBytes, checksums, data, seed, pieces: this.#pieces })
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** The footer's metadata (JSON text) and length of a blob, whatever record owns it. Throws CorruptData. */
  async inspect(blobId: string): Promise<{ readonly dataBytes: number; readonly meta: string }> {
    const path = this.pathOf(blobId)
    const file = await this.#disk.open(path, 'read').catch((cause: unknown) => {
      throw corrupt(`blob ${path} cannot be opened`, cause)
    })
    try {
      return await readTail(file, this.#disk, blobSeed(blobId))
    } finally {
      await file.close()
    }
  }

  /** Removes a blob that no record refers to any more; its readers are not disturbed. */
  async remove(blobId: string): Promise<void> {
    await this.#disk.remove(this.pathOf(blobId))
  }

  /** Moves a blob aside, to be looked at. */
  async quarantine(blobId: string): Promise<void> {
    await this.#disk.makeDirectory(`${this.#directory}/quarantine`)
    await this.#disk.rename(this.pathOf(blobId), `${this.#directory}/quarantine/${blobId}.blob`)
  }

  /** Makes the names in the blob's folder durable; calls that come together share one sync. */
  syncFolder(blobId: string): Promise<void> {
    const folder = `${this.#directory}/blob/${blobId.slice(0, 2)}`
    const state = this.#syncs.get(folder)
    if (state === undefined) return this.#startSync(folder)
    // The one that runs may have begun before our file was there: wait for the one after it.
    state.next ??= state.running.catch(() => {}).then(() => this.#startSync(folder))
    return state.next
  }

  #startSync(folder: string): Promise<void> {
    const running = this.#disk.syncDirectory(folder).finally(() => {
      // Whoever waits for the next one starts it, and until then it is the one to wait for.
      if (this.#syncs.get(folder)?.next === null) this.#syncs.delete(folder)
    })
    this.#syncs.set(folder, { running, next: null })
    return running
  }
}

/** A body on its way to disk. */
export class BlobWriter {
  readonly blobId: string
  readonly #store: BlobStore
  readonly #file: DiskFile
  readonly #checksums: bigint[] = []
  readonly #seed: bigint
  #buffer: Buffer | null = null
  #filled = 0
  #written = 0
  #synced = 0
  #isOver = false
  /** After it nothing is known of what reached the disk: nothing is tried again. */
  #failure: ServiceError | null = null

  constructor(store: BlobStore, blobId: string, file: DiskFile) {
    this.#store = store
    this.blobId = blobId
    this.#file = file
    this.#seed = blobSeed(blobId)
  }

  get bytes(): number {
    return this.#written + this.#filled
  }

  /** The piece may be reused when this resolves. */
  async write(piece: Uint8Array): Promise<void> {
    assert(!this.#isOver, 'the blob is still open')
    if (this.#failure !== null) throw this.#failure
    // Whole chunks go to disk from where they are; only what is left over is copied.
    let from = this.#filled === 0 ? piece.length - (piece.length % BLOB_CHUNK_BYTES) : 0
    if (from > 0) await this.#writeOut(piece.subarray(0, from))
    while (from < piece.length) {
      const count = Math.min(PIECE_BYTES - this.#filled, piece.length - from)
      this.#buffer ??= Buffer.allocUnsafeSlow(PIECE_BYTES)
      this.#buffer.set(piece.subarray(from, from + count), this.#filled)
      this.#filled += count
      from += count
      if (this.#filled === PIECE_BYTES) await this.#writeBuffer()
    }
  }

  /** Makes the body and its name durable; `meta` is JSON text for the footer. */
  async finish(meta: string): Promise<void> {
    this.#isOver = true
    try {
      if (this.#failure !== null) throw this.#failure
      await this.#writeBuffer()
      const [checksums, dataBytes, seed] = [this.#checksums, this.#written, this.#seed]
      const tail = encodeBlobTail({ checksums, meta, dataBytes, seed })
      await this.#file.write([tail], this.#written)
      await Promise.all([this.#file.sync(), this.#store.syncFolder(this.blobId)])
      await this.#file.close()
    } catch (cause) {
      await this.#discard()
      throw deviceError(cause)
    }
  }

  /** Throws the body away; nothing after `finish`. */
  async abort(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    await this.#discard()
  }

  async #writeBuffer(): Promise<void> {
    if (this.#filled === 0 || this.#buffer === null) return
    const piece = this.#buffer.subarray(0, this.#filled)
    this.#filled = 0
    await this.#writeOut(piece)
  }

  async #writeOut(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; at += BLOB_CHUNK_BYTES) {
      const chunk = piece.subarray(at, at + BLOB_CHUNK_BYTES)
      this.#checksums.push(chunkChecksum(chunk, this.#checksums.length, this.#seed))
    }
    try {
      await this.#file.write([piece], this.#written)
      this.#written += piece.length
      if (this.#written - this.#synced >= SYNC_EVERY_BYTES) {
        await this.#file.sync()
        this.#synced = this.#written
      }
    } catch (cause) {
      this.#failure = deviceError(cause)
      throw this.#failure
    }
  }

  async #discard(): Promise<void> {
    await this.#file.close().catch(() => {})
    // What stays behind is an orphan, found by the scrubber.
    await this.#store.remove(this.blobId).catch(() => {})
  }
}

/** Buffers of PIECE_BYTES that wait to be filled again; more than a few are not kept. */
class PiecePool {
  readonly #free: Buffer[] = []

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES)
  }

  give(piece: Uint8Array): void {
    if (piece.buffer.byteLength !== PIECE_BYTES || this.#free.length >= PIECES_KEPT_MAX) return
    this.#free.push(Buffer.from(piece.buffer as ArrayBuffer))
  }
}

interface BlobReaderOptions {
  readonly file: DiskFile
  readonly dataBytes: number
  readonly checksums: readonly bigint[]
  /** The whole body, not verified yet, if it came with the tail. */
  readonly data: Buffer | null
  readonly seed: bigint
  readonly pieces: PiecePool
}

class BlobReader implements BodyReader {
  readonly bytes: number
  readonly #file: DiskFile
  readonly #checksums: readonly bigint[]
  readonly #seed: bigint
  readonly #pieces: PiecePool
  #data: Buffer | null
  #users = 0
  #isClosed = false

  constructor(options: BlobReaderOptions) {
    this.bytes = options.dataBytes
    this.#file = options.file
    this.#checksums = options.checksums
    this.#data = options.data
    this.#seed = options.seed
    this.#pieces = options.pieces
  }

  async *stream(start: number, end: number): AsyncGenerator<Uint8Array> {
    assert(start >= 0 && end <= this.bytes, 'the range lies within the body')
    this.#users++
    try {
      let at = start
      while (at < end) {
        const from = at - (at % BLOB_CHUNK_BYTES)
        const wanted = Math.ceil(end / BLOB_CHUNK_BYTES) * BLOB_CHUNK_BYTES
        const to = Math.min(from + PIECE_BYTES, wanted, this.bytes)
        const piece = this.#takeData(from, to) ?? (await this.#readPiece(from, to))
        const last = Math.min(end - from, piece.length)
        yield piece.subarray(at - from, last)
        at = from + last
      }
    } finally {
      this.#users--
      if (this.#isClosed && this.#users === 0) await this.#file.close()
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#users === 0) await this.#file.close()
  }

  recycle(piece: Uint8Array): void {
    this.#pieces.give(piece)
  }

  /** Whole chunks of what came with the tail; once, for each piece belongs to who got it. */
  #takeData(from: number, to: number): Buffer | null {
    const data = this.#data
    this.#data = null
    return data === null ? null : this.#verified(data.subarray(from, to), from)
  }

  /** Whole chunks, verified. */
  async #readPiece(from: number, to: number): Promise<Buffer> {
    const piece = this.#pieces.take().subarray(0, to - from)
    const count = await this.#file.read(piece, from).catch((cause: unknown) => {
      throw corrupt(`blob ${this.#file.path} cannot be read at ${from}`, cause)
    })
    if (count !== piece.length) throw corrupt(`blob ${this.#file.path} is too short`)
    return this.#verified(piece, from)
  }

  #verified(piece: Buffer, from: number): Buffer {
    for (let at = 0; at < piece.length; at += BLOB_CHUNK_BYTES) {
      const index = (from + at) / BLOB_CHUNK_BYTES
      const chunk = piece.subarray(at, at + BLOB_CHUNK_BYTES)
      if (chunkChecksum(chunk, index, this.#seed) !== this.#checksums[index]) {
        throw corrupt(`blob ${this.#file.path} is damaged at ${from + at}`)
      }
    }
    return piece
  }
}

interface BlobTail {
  readonly dataBytes: number
  readonly checksums: bigint[]
  readonly meta: string
}

interface BlobTable {
  readonly checksums: readonly bigint[]
  readonly data: Buffer | null
}

/**
 * The checksums behind a body of known length, in one read; a short body comes along. Metadata that is longer than
 * what is usual costs two more.
 */
async function readTable(
  file: DiskFile,
  options: { readonly disk: Disk; readonly seed: bigint; readonly dataBytes: number },
): Promise<BlobTable> {
  const { disk, seed, dataBytes } = options
  const withData = dataBytes <= READ_WITH_TAIL_BYTES_MAX
  const from = withData ? 0 : dataBytes
  const room = dataBytes - from + chunkCount(dataBytes) * 8 + BLOB_FOOTER_BYTES + USUAL_META_BYTES
  const bytes = Buffer.allocUnsafeSlow(room)
  const count = await file.read(bytes, from)
  const data = withData ? bytes.subarray(0, dataBytes) : null
  const footer =
    count < room ? decodeBlobFooter(bytes.subarray(count - BLOB_FOOTER_BYTES, count), seed) : null
  if (footer?.dataBytes !== dataBytes) {
    const tail = await readTail(file, disk, seed)
    if (tail.dataBytes !== dataBytes) throw corrupt(`blob ${file.path} has another length`)
    return { checksums: tail.checksums, data: null }
  }
  const checksums = decodeBlobTable(bytes.subarray(dataBytes - from, count), footer, seed)
  if (checksums === null) throw corrupt(`blob ${file.path} has a damaged checksum table`)
  return { checksums, data }
}

async function readTail(file: DiskFile, disk: Disk, seed: bigint): Promise<BlobTail> {
  const size = (await disk.sizeOf(file.path)) ?? 0
  const footerBytes = Buffer.alloc(BLOB_FOOTER_BYTES)
  await file.read(footerBytes, Math.max(0, size - BLOB_FOOTER_BYTES))
  const footer = decodeBlobFooter(footerBytes, seed)
  if (footer === null) throw corrupt(`blob ${file.path} has no valid footer`)
  const { dataBytes, metaBytes } = footer
  const tail = Buffer.alloc(blobTailBytes(footer))
  await file.read(tail, size - tail.length)
  const checksums = size === dataBytes + tail.length ? decodeBlobTable(tail, footer, seed) : null
  if (checksums === null) throw corrupt(`blob ${file.path} has a damaged checksum table`)
  const metaFrom = checksums.length * 8
  return { dataBytes, checksums, meta: tail.toString('utf8', metaFrom, metaFrom + metaBytes) }
}

function corrupt(message: string, cause?: unknown): ServiceError {
  return new ServiceError('CorruptData', message, { status: 500, cause })
}

function hex2(value: number): string {
  return value.toString(16).padStart(2, '0')
}
