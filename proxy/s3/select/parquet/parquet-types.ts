/** What the bytes of a column's values are. Pure. https://parquet.apache.org/docs/file-format/types/ */
import { isUtf8 } from 'node:buffer'
import type { SchemaElement } from 'hyparquet'
import { SelectError } from '../select-error.ts'
import { Timestamp } from '../sql/timestamp.ts'
import { Decimal, parseNumber, type Value } from '../sql/value.ts'

/** How one value lies among others in the encoding PLAIN, and what it is. */
export interface ValueType {
  /** In bytes; null: its length stands before it, in four bytes. */
  readonly width: number | null
  /** RangeError if the bytes are not there. */
  readonly read: (bytes: Buffer, at: number, length: number) => Value
}

const DAY_MS = 86_400_000
/** Of 1970, as days are counted in the oldest kind of time stamps. */
const JULIAN_EPOCH = 2_440_588
const SCALE_MAX = 38
/** Of more than 38 digits nothing is kept exactly. */
const DECIMAL_BYTES_MAX = 16

/** Null for a type that is not read: of intervals, of half floats, of what is no type. */
export function valueType(element: SchemaElement): ValueType | null {
  const { type, logical_type: logical } = element
  if (isDecimal(element)) return decimalType(element)
  switch (type) {
    case 'BOOLEAN':
      // Packed in bits where it is not packed in runs.
      return { width: 0, read: () => null }
    case 'INT32':
      return { width: 4, read: wholeReader(element) }
    case 'INT64':
      return { width: 8, read: longReader(element) }
    case 'INT96':
      return { width: 12, read: oldTime }
    case 'FLOAT':
      return { width: 4, read: (bytes, at) => bytes.readFloatLE(at) }
    case 'DOUBLE':
      return { width: 8, read: (bytes, at) => bytes.readDoubleLE(at) }
    case 'BYTE_ARRAY':
      return { width: null, read: text }
    case 'FIXED_LEN_BYTE_ARRAY':
      return logical?.type === 'UUID' ? { width: 16, read: uuid } : null
    default:
      return null
  }
}

function isDecimal({ converted_type: converted, logical_type: logical }: SchemaElement): boolean {
  return converted === 'DECIMAL' || logical?.type === 'DECIMAL'
}

function decimalType({ type, type_length, scale, logical_type }: SchemaElement): ValueType | null {
  const digits = (logical_type?.type === 'DECIMAL' ? logical_type.scale : scale) ?? 0
  if (!(digits >= 0 && digits <= SCALE_MAX)) return null
  const unit = new Decimal(10).pow(-digits)
  const of = (value: bigint | number) => new Decimal(value.toString()).times(unit)
  switch (type) {
    case 'INT32':
      return { width: 4, read: (bytes, at) => of(bytes.readInt32LE(at)) }
    case 'INT64':
      return { width: 8, read: (bytes, at) => of(bytes.readBigInt64LE(at)) }
    case 'BYTE_ARRAY':
      return { width: null, read: (bytes, at, length) => of(bigEndian(bytes, at, length)) }
    case 'FIXED_LEN_BYTE_ARRAY':
      return type_length === undefined || !(type_length >= 1 && type_length <= DECIMAL_BYTES_MAX)
        ? null
        : { width: type_length, read: (bytes, at) => of(bigEndian(bytes, at, type_length)) }
    default:
      return null
  }
}

function bigEndian(bytes: Buffer, at: number, length: number): bigint {
  if (length > DECIMAL_BYTES_MAX) throw new RangeError('a decimal of too many digits')
  const hex = slice(bytes, at, length).toString('hex')
  return hex === '' ? 0n : BigInt.asIntN(length * 8, BigInt(`0x${hex}`))
}

function wholeReader(element: SchemaElement): ValueType['read'] {
  const { converted_type: converted, logical_type: logical } = element
  if (converted === 'DATE' || logical?.type === 'DATE') {
    return (bytes, at) => time({ ms: bytes.readInt32LE(at) * DAY_MS, precision: 'day' })
  }
  if (isUnsigned(element)) return (bytes, at) => BigInt(bytes.readUInt32LE(at))
  return (bytes, at) => BigInt(bytes.readInt32LE(at))
}

function longReader(element: SchemaElement): ValueType['read'] {
  const unit = timeUnit(element)
  if (unit !== null) return (bytes, at) => timeOf(bytes.readBigInt64LE(at), unit)
  if (isUnsigned(element)) return (bytes, at) => parseNumber(String(bytes.readBigUInt64LE(at)))
  return (bytes, at) => bytes.readBigInt64LE(at)
}

function isUnsigned({ converted_type: converted, logical_type: logical }: SchemaElement): boolean {
  if (converted?.startsWith('UINT_')) return true
  return logical?.type === 'INTEGER' && !logical.isSigned
}

/** Of a second. */
const UNITS = { MILLIS: 1_000n, MICROS: 1_000_000n, NANOS: 1_000_000_000n } as const

function timeUnit({ converted_type: converted, logical_type: logical }: SchemaElement) {
  if (logical?.type === 'TIMESTAMP') return UNITS[logical.unit]
  if (converted === 'TIMESTAMP_MILLIS') return UNITS.MILLIS
  return converted === 'TIMESTAMP_MICROS' ? UNITS.MICROS : null
}

function timeOf(count: bigint, perSecond: bigint): Value {
  const perMs = perSecond / 1000n
  const rest = ((count % perMs) + perMs) % perMs
  const ms = Number((count - rest) / perMs)
  const nanos = Number(rest * (1_000_000n / perMs))
  return time({ ms, nanos, digits: String(perSecond).length - 1 })
}

function oldTime(bytes: Buffer, at: number): Value {
  const day = bytes.readUInt32LE(at + 8) - JULIAN_EPOCH
  return timeOf(BigInt(day) * 86_400n * UNITS.NANOS + bytes.readBigInt64LE(at), UNITS.NANOS)
}

function time(of: {
  readonly ms: number
  readonly nanos?: number
  readonly digits?: number
  readonly precision?: 'day'
}): Timestamp {
  const { ms, nanos = 0, digits = 0, precision = 'second' } = of
  const year = new Date(ms).getUTCFullYear()
  if (!(year >= 1 && year <= 9999)) throw new RangeError(`a time ${ms} ms from 1970`)
  return new Timestamp({ epochMs: ms, nanos, digits, precision })
}

function text(bytes: Buffer, at: number, length: number): string {
  const found = slice(bytes, at, length)
  if (!isUtf8(found)) throw new SelectError('InvalidTextEncoding')
  return found.toString()
}

function uuid(bytes: Buffer, at: number): string {
  const hex = slice(bytes, at, 16).toString('hex')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function slice(bytes: Buffer, at: number, length: number): Buffer {
  if (at + length > bytes.length) throw new RangeError('a value without its end')
  return bytes.subarray(at, at + length)
}
