/** A column of a row group, value by value: its pages are read, unpacked and left behind as they come. */
import { gunzipSync } from 'node:zlib'
import { type ColumnMetaData, type Encoding, type SchemaElement, snappyUncompress } from 'hyparquet'
import { Encodings, PageTypes } from 'hyparquet/src/constants.js'
import { SelectError } from '../select-error.ts'
import type { Value } from '../sql/value.ts'
import type { MemoryBudget } from './memory-budget.ts'
import { type Dictionary, type NextValue, readDictionary, valuesOf } from './page-values.ts'
import { notParquet, type ReadBytes } from './parquet-footer.ts'
import type { ValueType } from './parquet-types.ts'
import { RleRuns } from './rle-runs.ts'
import { ThriftError, ThriftWalk } from './thrift-walk.ts'

/** Of a page, packed or not. */
const PAGE_BYTES_MAX = 32 * 1024 * 1024
/** Of what stands before a page. */
const HEAD_BYTES_MAX = 1024 * 1024
const HEAD_BYTES_USUAL = 8 * 1024
const HEAD_STRUCTS_MAX = 64

/** What is counted of what a column holds. */
const HELD_PARTS = ['page', 'dictionary', 'rest'] as const
type HeldPart = (typeof HELD_PARTS)[number]

export interface ChunkPlace {
  readonly meta: ColumnMetaData
  readonly element: SchemaElement
  readonly type: ValueType
  readonly start: number
  readonly end: number
}

interface PageHead {
  readonly kind: (typeof PageTypes)[number] | undefined
  readonly bytes: number
  readonly packedBytes: number
  field(path: string): number
  flag(path: string, otherwise: boolean): boolean
}

export class ColumnChunk {
  readonly #place: ChunkPlace
  readonly #read: ReadBytes
  readonly #budget: MemoryBudget
  /** Read at once, and nothing beside it unless a page is longer. */
  readonly #window: number
  /** What was read and not used yet; `#at` is behind it. */
  #rest: Buffer = Buffer.alloc(0)
  #at: number
  #dictionary: Dictionary | null = null
  #next: NextValue | null = null
  #left = 0
  #held: Readonly<Record<HeldPart, number>> = { page: 0, dictionary: 0, rest: 0 }

  constructor(
    place: ChunkPlace,
    options: {
      readonly read: ReadBytes
      readonly budget: MemoryBudget
      readonly windowBytes: number
    },
  ) {
    this.#place = place
    this.#read = options.read
    this.#budget = options.budget
    this.#window = options.windowBytes
    this.#at = place.start
    const { codec } = place.meta
    if (codec !== 'UNCOMPRESSED' && codec !== 'SNAPPY' && codec !== 'GZIP') {
      throw new SelectError('ParquetUnsupportedCompressionCodec', codec)
    }
  }

  /** RangeError where the column ends. */
  next(): Value {
    while (this.#left === 0) this.#page()
    this.#left--
    return this.#next!()
  }

  /** Nothing is kept of it any more. */
  close(): void {
    for (const part of HELD_PARTS) this.#hold(part, 0)
  }

  /** Goes on to the next page, whatever it is. */
  #page(): void {
    const head = this.#head()
    const packed = this.#take(head.packedBytes)
    switch (head.kind) {
      case 'DICTIONARY_PAGE': {
        const count = head.field('7.1')
        // With where each of its values begins.
        this.#hold('dictionary', head.bytes * 2)
        this.#dictionary = readDictionary(this.#unpack(packed, head.bytes), this.#place.type, count)
        return
      }
      case 'DATA_PAGE':
        this.#hold('page', head.bytes)
        this.#begin(head.field('5.1'), this.#firstKind(this.#unpack(packed, head.bytes), head))
        return
      case 'DATA_PAGE_V2':
        this.#hold('page', head.bytes)
        this.#begin(head.field('8.1'), this.#secondKind(packed, head))
        return
      default:
        // Indexes are no values.
        return
    }
  }

  #begin(count: number, next: NextValue): void {
    this.#left = count
    this.#next = next
  }

  #firstKind(page: Buffer, head: PageHead): NextValue {
    const encoding = Encodings[head.field('5.2')]
    if (!this.#isOptional) return this.#values(page, encoding)
    if (Encodings[head.field('5.3')] !== 'RLE') throw notParquet()
    const length = page.readUInt32LE(0)
    const levels = cut(page, 4, 4 + length)
    return whereSet(levels, this.#values(page.subarray(4 + length), encoding))
  }

  #secondKind(packed: Buffer, head: PageHead): NextValue {
    const encoding = Encodings[head.field('8.4')]
    const [levelBytes, outer] = [head.field('8.5'), head.field('8.6')]
    const levels = cut(packed, outer, outer + levelBytes)
    const rest = packed.subarray(outer + levelBytes)
    const isPacked = head.flag('8.7', true)
    const bytes = head.bytes - outer - levelBytes
    const values = this.#values(isPacked ? this.#unpack(rest, bytes) : rest, encoding)
    return this.#isOptional ? whereSet(levels, values) : values
  }

  get #isOptional(): boolean {
    return this.#place.element.repetition_type !== 'REQUIRED'
  }

  #values(bytes: Buffer, encoding: Encoding | undefined): NextValue {
    if (encoding === undefined) throw notParquet()
    return valuesOf(bytes, encoding, { ...this.#place, dictionary: this.#dictionary })
  }

  #unpack(packed: Buffer, bytes: number): Buffer {
    if (bytes < 0) throw notParquet()
    const { codec } = this.#place.meta
    const unpacked = codec === 'UNCOMPRESSED' ? packed : unpack(codec, packed, bytes)
    if (unpacked.length !== bytes) throw notParquet()
    return unpacked
  }

  #head(): PageHead {
    let wanted = HEAD_BYTES_USUAL
    for (;;) {
      this.#fill(wanted)
      const head = readHead(this.#rest.subarray(0, wanted))
      if (head !== null) {
        this.#rest = this.#rest.subarray(head.length)
        return head
      }
      if (wanted >= HEAD_BYTES_MAX || this.#rest.length < wanted) throw notParquet()
      wanted = HEAD_BYTES_MAX
    }
  }

  #take(bytes: number): Buffer {
    this.#fill(bytes)
    const taken = cut(this.#rest, 0, bytes)
    this.#rest = this.#rest.subarray(bytes)
    return taken
  }

  /** Reads until there is as much, or the end. */
  #fill(bytes: number): void {
    const missing = bytes - this.#rest.length
    if (missing <= 0 || this.#at >= this.#place.end) return
    const end = Math.min(this.#place.end, this.#at + Math.max(missing, this.#window))
    this.#hold('rest', this.#rest.length + end - this.#at)
    const more = this.#read(this.#at, end)
    if (more.length < end - this.#at) throw notParquet()
    this.#rest = Buffer.concat([this.#rest, more])
    this.#at = end
  }

  #hold(part: HeldPart, bytes: number): void {
    this.#budget.change(bytes - this.#held[part])
    this.#held = { ...this.#held, [part]: bytes }
  }
}

/** Null: its end has not come. */
function readHead(bytes: Buffer): (PageHead & { readonly length: number }) | null {
  const fields = new Map<string, number>()
  const onField = (path: string, value: number) => void fields.set(path, value)
  let length: number
  try {
    length = new ThriftWalk(bytes, { structsMax: HEAD_STRUCTS_MAX, onField }).end()
  } catch (error) {
    if (error instanceof ThriftError) return null
    throw error
  }
  const field = (path: string): number => {
    const value = fields.get(path)
    if (value === undefined || !(value >= 0)) throw notParquet()
    return value
  }
  const [bytesOfPage, packedBytes] = [field('2'), field('3')]
  if (bytesOfPage > PAGE_BYTES_MAX || packedBytes > PAGE_BYTES_MAX) {
    throw new SelectError('OverMaxParquetBlockSize', 'A page of it is too long.')
  }
  return {
    length,
    kind: PageTypes[field('1')],
    bytes: bytesOfPage,
    packedBytes,
    field,
    flag: (path, otherwise) => (fields.get(path) ?? Number(otherwise)) === 1,
  }
}

/** So many bytes and no more. */
function unpack(codec: string, packed: Buffer, bytes: number): Buffer {
  if (bytes === 0) return Buffer.alloc(0)
  if (codec === 'GZIP') return gunzipSync(packed, { maxOutputLength: bytes })
  const unpacked = Buffer.alloc(bytes)
  snappyUncompress(packed, unpacked)
  return unpacked
}

/** Levels say which of the values are there. */
function whereSet(levels: Buffer, next: NextValue): NextValue {
  const runs = new RleRuns(levels, 0, 1)
  return () => (runs.next() === 0 ? null : next())
}

function cut(bytes: Buffer, start: number, end: number): Buffer {
  if (end > bytes.length) throw notParquet()
  return bytes.subarray(start, end)
}
