/**
 * Looks through a structure of Thrift's compact protocol, which a Parquet file's footer and the heads of its pages are, without keeping
 * anything of it: what is handed to a parser afterwards has an end, no depth, and no more parts than there is memory for.
 * https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 */
import { SelectError } from '../select-error.ts'

const DEPTH_MAX = 16
const VARINT_BYTES_MAX = 10

const TYPE = {
  stop: 0,
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  set: 10,
  struct: 12,
} as const

/** Told of numbers and booleans in structures: `8.1` is the first field of what is in the eighth. */
export type OnThriftField = (path: string, value: number) => void

/** What is not of the protocol, or has no end. */
export class ThriftError extends Error {}

export class ThriftWalk {
  readonly #bytes: Buffer
  readonly #structsMax: number
  readonly #onField: OnThriftField | undefined
  #at = 0
  #structs = 0

  constructor(
    bytes: Buffer,
    options: { readonly structsMax: number; readonly onField?: OnThriftField },
  ) {
    this.#bytes = bytes
    this.#structsMax = options.structsMax
    this.#onField = options.onField
  }

  /** Where the structure ends that the bytes begin with. ThriftError, also for one whose end has not come; OverMaxParquetBlockSize. */
  end(): number {
    this.#struct('', 0)
    return this.#at
  }

  #struct(path: string, depth: number): void {
    if (depth > DEPTH_MAX) throw new ThriftError('too deep')
    if (++this.#structs > this.#structsMax) throw new SelectError('OverMaxParquetBlockSize')
    let id = 0
    for (;;) {
      const head = this.#byte()
      const type = head & 0x0f
      if (type === TYPE.stop) return
      const step = head >> 4
      id = step === 0 ? zigzag(this.#varint()) : id + step
      this.#value(type, path === '' ? String(id) : `${path}.${id}`, depth)
    }
  }

  #value(type: number, path: string, depth: number): void {
    switch (type) {
      case TYPE.true:
      case TYPE.false:
        this.#onField?.(path, type === TYPE.true ? 1 : 0)
        return
      case TYPE.byte:
        this.#skip(1)
        return
      case TYPE.i16:
      case TYPE.i32:
      case TYPE.i64: {
        const value = this.#varint()
        this.#onField?.(path, zigzag(value))
        return
      }
      case TYPE.double:
        this.#skip(8)
        return
      case TYPE.binary:
        this.#skip(this.#varint())
        return
      case TYPE.list:
      case TYPE.set:
        this.#list(path, depth)
        return
      case TYPE.struct:
        this.#struct(path, depth + 1)
        return
      default:
        throw new ThriftError(`type ${type}`)
    }
  }

  /** Each of its values has a byte at least. */
  #list(path: string, depth: number): void {
    if (depth > DEPTH_MAX) throw new ThriftError('too deep')
    const head = this.#byte()
    const type = head & 0x0f
    const short = head >> 4
    const count = short === 15 ? this.#varint() : short
    if (count > this.#bytes.length - this.#at) throw new ThriftError('a list without an end')
    const isFlag = type === TYPE.true || type === TYPE.false
    for (let i = 0; i < count; i++) this.#value(isFlag ? TYPE.byte : type, path, depth + 1)
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new ThriftError('the end is missing')
    return byte
  }

  #varint(): number {
    let value = 0
    let weight = 1
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.#byte()
      value += (byte & 0x7f) * weight
      if (byte < 0x80) return value
      weight *= 128
    }
    throw new ThriftError('a number without an end')
  }

  #skip(bytes: number): void {
    if (bytes > this.#bytes.length - this.#at) throw new ThriftError('the end is missing')
    this.#at += bytes
  }
}

/** Exact up to 52 bits, which all counts and lengths have to be. */
function zigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}
