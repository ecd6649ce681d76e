/**
 * Reads a segment from front to back, verifies every record and finds its way past damage: a damaged head hides its
 * length, so the scan goes on in steps of 8 bytes to the next valid head. It only reports; what damage means - a torn
 * tail or rot - is decided by recovery.ts.
 */
import type { Disk } from '../../common/disk.ts'
import { systemErrorCode } from '../../common/errors.ts'
import {
  decodeData,
  decodeHead,
  decodeMeta,
  hasMagic,
  inlineBytes,
  lengthsAgree,
  RECORD_HEAD_BYTES,
  type RecordHead,
} from './record.ts'
import { SEGMENT_HEADER_BYTES } from './segment-header.ts'

export type ScanItem =
  | {
      readonly kind: 'record'
      readonly offset: number
      readonly head: RecordHead
      /** JSON text. */
      readonly meta: string
    }
  /** Bytes [from, to) hold no valid record. `record` is set if only an inline body is damaged. */
  | {
      readonly kind: 'damage'
      readonly from: number
      readonly to: number
      readonly record?: { readonly head: RecordHead; readonly meta: string }
      /** The disk could not read some of it (EIO): certainly no write that a crash tore. */
      readonly isUnreadable?: boolean
    }

export interface ScanOptions {
  readonly disk: Disk
  readonly path: string
  readonly seed: bigint
  /** Where to begin; the first record by default. */
  readonly from?: number
  /** Where to stop, if the segment is known to end before its file. */
  readonly to?: number
}

const WINDOW_BYTES = 4 * 1024 * 1024
/** What a disk cannot read is found out in pieces of this size. */
const BLOCK_BYTES = 4096
/** More unreadable blocks than this in one segment are not a bad spot but a failed disk. */
const UNREADABLE_BLOCKS_MAX = 256

/**
 * The records and damaged stretches of a segment in order. A tail of zero bytes (a file that was extended but not
 * written) is damage like any other, and so are blocks that the disk cannot read.
 */
export async function* scanSegment(options: ScanOptions): AsyncGenerator<ScanItem> {
  const file = await options.disk.open(options.path, 'read')
  try {
    const size = (await options.disk.sizeOf(options.path)) ?? 0
    const end = Math.min(options.to ?? size, size)
    const window = new Window(file, end)
    yield* scanWindow(window, options.from ?? SEGMENT_HEADER_BYTES, options.seed)
  } finally {
    await file.close()
  }
}

async function* scanWindow(window: Window, from: number, seed: bigint): AsyncGenerator<ScanItem> {
  let offset = from
  let damagedFrom = -1
  while (offset < window.end) {
    const found = await readRecord(window, offset, seed)
    if (found === null) {
      if (damagedFrom < 0) damagedFrom = offset
      offset = await nextMagic(window, offset + 8)
      continue
    }
    if (damagedFrom >= 0) yield damageOf(window, damagedFrom, offset)
    damagedFrom = -1
    yield found
    offset += found.kind === 'record' ? found.head.recordBytes : found.to - found.from
  }
  if (damagedFrom >= 0) yield damageOf(window, damagedFrom, window.end)
}

function damageOf(
  window: Window,
  from: number,
  to: number,
): ScanItem & { readonly kind: 'damage' } {
  const isUnreadable = window.isUnreadable(from, to)
  return { kind: 'damage', from, to, ...(isUnreadable && { isUnreadable }) }
}

/** The record at the offset; damage with a head if only its body is bad; null if there is no record at all. */
async function readRecord(window: Window, offset: number, seed: bigint): Promise<ScanItem | null> {
  const placeSeed = seed | BigInt(offset)
  const headBytes = await window.bytes(offset, RECORD_HEAD_BYTES)
  if (headBytes === null || !hasMagic(headBytes, 0)) return null
  const head = decodeHead(headBytes, placeSeed)
  if (head === null || !lengthsAgree(head)) return null
  const bytes = await window.bytes(offset, head.recordBytes)
  if (bytes === null) return null
  const meta = decodeMeta(bytes, head, placeSeed)
  if (meta === null) return null
  if (inlineBytes(head) > 0 && decodeData(bytes, head, placeSeed) === null) {
    return { ...damageOf(window, offset, offset + head.recordBytes), record: { head, meta } }
  }
  return { kind: 'record', offset, head, meta }
}

/** The next offset, in steps of 8, at which a magic number stands; the end if there is none. */
async function nextMagic(window: Window, from: number): Promise<number> {
  let offset = from
  while (offset + RECORD_HEAD_BYTES <= window.end) {
    const length = Math.min(WINDOW_BYTES / 2, window.end - offset)
    const bytes = await window.bytes(offset, length)
    if (bytes === null) break
    for (let at = 0; at + 4 <= bytes.length; at += 8) {
      if (hasMagic(bytes, at)) return offset + at
    }
    offset += bytes.length & ~7
    if (bytes.length < 8) break
  }
  return window.end
}

/** A sliding window over the file, so that a segment is read in few large pieces. */
class Window {
  readonly end: number
  readonly #file: { read(target: Uint8Array, position: number): Promise<number> }
  #buffer: Buffer = Buffer.alloc(0)
  #at = 0
  /** Offsets of blocks that the disk could not read; they show as zeros. */
  readonly #unreadable = new Set<number>()

  constructor(file: { read(target: Uint8Array, position: number): Promise<number> }, end: number) {
    this.#file = file
    this.end = end
  }

  /** A view of `count` bytes at the offset, good until the next call; null beyond the end. */
  async bytes(offset: number, count: number): Promise<Buffer | null> {
    if (offset + count > this.end || count > WINDOW_BYTES) return null
    if (offset < this.#at || offset + count > this.#at + this.#buffer.length) {
      await this.#fill(offset)
    }
    const start = offset - this.#at
    return start + count <= this.#buffer.length ? this.#buffer.subarray(start, start + count) : null
  }

  async #fill(offset: number): Promise<void> {
    const length = Math.min(WINDOW_BYTES, this.end - offset)
    // Fresh memory each time: a record's view may still be in use while the next window is read.
    const buffer = Buffer.allocUnsafeSlow(length)
    const count = await this.#file.read(buffer, offset).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'EIO') throw error
      return this.#fillByBlocks(buffer, offset)
    })
    this.#buffer = buffer.subarray(0, count)
    this.#at = offset
  }

  /** One sector that cannot be read must not hide the rest of the segment. */
  async #fillByBlocks(buffer: Buffer, offset: number): Promise<number> {
    for (let at = 0; at < buffer.length; at += BLOCK_BYTES) {
      const block = buffer.subarray(at, at + BLOCK_BYTES)
      try {
        block.fill(0, await this.#file.read(block, offset + at))
      } catch (error) {
        this.#unreadable.add(offset + at)
        if (systemErrorCode(error) !== 'EIO' || this.#unreadable.size > UNREADABLE_BLOCKS_MAX) {
          throw error
        }
        block.fill(0)
      }
    }
    return buffer.length
  }

  isUnreadable(from: number, to: number): boolean {
    for (const at of this.#unreadable) if (at < to && at + BLOCK_BYTES > from) return true
    return false
  }
}
