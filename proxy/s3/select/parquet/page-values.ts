/** The values of one page, one after the other: what is in memory is the page's bytes, and the dictionary's. */
import type { Encoding, SchemaElement } from 'hyparquet'
import { SelectError } from '../select-error.ts'
import type { Value } from '../sql/value.ts'
import type { ValueType } from './parquet-types.ts'
import { RleRuns } from './rle-runs.ts'

/** Takes the next value. RangeError where the bytes end. */
export type NextValue = () => Value

/** Values that pages name by their numbers. */
export interface Dictionary {
  at(index: number): Value
}

export function readDictionary(bytes: Buffer, type: ValueType, count: number): Dictionary {
  const { width, read } = type
  if (width !== null) {
    if (count * width > bytes.length) throw new RangeError('a dictionary without its end')
    return { at: (index) => read(bytes, within(index, count) * width, width) }
  }
  if (count * 4 > bytes.length) throw new RangeError('a dictionary without its end')
  const starts = new Uint32Array(count)
  let at = 0
  for (let i = 0; i < count; i++) {
    starts[i] = at + 4
    at += 4 + bytes.readUInt32LE(at)
  }
  return {
    at(index) {
      const start = starts[within(index, count)]!
      return read(bytes, start, bytes.readUInt32LE(start - 4))
    },
  }
}

function within(index: number, count: number): number {
  if (index >= count) throw new RangeError(`value ${index} of a dictionary of ${count}`)
  return index
}

/** What the values of a page are in, behind the levels. */
export function valuesOf(
  bytes: Buffer,
  encoding: Encoding,
  of: {
    readonly element: SchemaElement
    readonly type: ValueType
    readonly dictionary: Dictionary | null
  },
): NextValue {
  const { element, type, dictionary } = of
  const isFlag = element.type === 'BOOLEAN'
  switch (encoding) {
    case 'PLAIN':
      return isFlag ? flags(bytes) : plain(bytes, type)
    case 'RLE': {
      if (!isFlag) break
      const runs = new RleRuns(bytes, 4, 1)
      return () => runs.next() === 1
    }
    case 'PLAIN_DICTIONARY':
    case 'RLE_DICTIONARY': {
      if (dictionary === null) throw new RangeError('no dictionary')
      // Of nothing but nulls there are no runs, either.
      const runs = new RleRuns(bytes, 1, bytes[0] ?? 0)
      return () => dictionary.at(runs.next())
    }
    case 'BYTE_STREAM_SPLIT':
      if (type.width !== null && type.width > 0) return streams(bytes, type, type.width)
  }
  throw new SelectError('ParquetParsingError', `The encoding ${encoding} is not read.`)
}

function plain(bytes: Buffer, { width, read }: ValueType): NextValue {
  let at = 0
  if (width !== null) {
    return () => {
      const start = at
      at += width
      return read(bytes, start, width)
    }
  }
  return () => {
    const start = at + 4
    const length = bytes.readUInt32LE(at)
    at = start + length
    return read(bytes, start, length)
  }
}

function flags(bytes: Buffer): NextValue {
  let bit = 0
  return () => {
    const is = (bytes.readUInt8(bit >>> 3) >>> (bit & 7)) & 1
    bit++
    return is === 1
  }
}

/** All first bytes, then all second ones, and so on. */
function streams(bytes: Buffer, { read }: ValueType, width: number): NextValue {
  const count = Math.floor(bytes.length / width)
  const one = Buffer.alloc(width)
  let index = 0
  return () => {
    if (index >= count) throw new RangeError('the values end')
    for (let i = 0; i < width; i++) one[i] = bytes[i * count + index]!
    index++
    return read(one, 0, width)
  }
}
