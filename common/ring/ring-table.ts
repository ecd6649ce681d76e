import assert from 'node:assert'
import { endianness } from 'node:os'
import { ServiceError } from '../errors.ts'

/** Widths that a device id can have in a file. */
export const DEVICE_ID_BYTES = [2, 4] as const
export type DeviceIdBytes = (typeof DEVICE_ID_BYTES)[number]
export type ByteOrder = 'little' | 'big'

export interface TableLayout {
  readonly deviceIdBytes: DeviceIdBytes
  readonly byteOrder: ByteOrder
}

const HOST_ORDER: ByteOrder = endianness() === 'LE' ? 'little' : 'big'

/** The narrowest width for that many devices; the highest 2-byte id is left free, Swift uses it as its `none`. */
export function deviceIdBytesFor(deviceCount: number): DeviceIdBytes {
  return deviceCount <= 0xffff ? 2 : 4
}

/** One row's device ids as bytes. */
export function encodeRow(row: Uint32Array, layout: TableLayout): Uint8Array {
  const ids = layout.deviceIdBytes === 2 ? Uint16Array.from(row) : row.slice()
  const bytes = Buffer.from(ids.buffer)
  if (layout.byteOrder !== HOST_ORDER) swap(bytes, layout.deviceIdBytes)
  return bytes
}

/**
 * The rows of a table that follow each other, each of `partitionCount` ids and the last perhaps shorter. Throws
 * ServiceError RingDamaged if the bytes hold no whole number of ids.
 */
export function decodeRows(
  bytes: Uint8Array,
  options: TableLayout & { readonly partitionCount: number },
): Uint32Array[] {
  const { deviceIdBytes, partitionCount } = options
  assert(partitionCount >= 1, 'a ring has a partition')
  if (bytes.length % deviceIdBytes !== 0) {
    throw new ServiceError('RingDamaged', `the table of ${bytes.length} bytes ends within an id`)
  }
  const rowBytes = partitionCount * deviceIdBytes
  const rows: Uint32Array[] = []
  for (let at = 0; at < bytes.length; at += rowBytes) {
    rows.push(decodeRow(bytes.subarray(at, Math.min(at + rowBytes, bytes.length)), options))
  }
  return rows
}

function decodeRow(bytes: Uint8Array, layout: TableLayout): Uint32Array {
  // A copy of its own buffer: typed arrays need alignment, and a slice of the file has none.
  const copy = Buffer.alloc(bytes.length)
  copy.set(bytes)
  if (layout.byteOrder !== HOST_ORDER) swap(copy, layout.deviceIdBytes)
  const { buffer, byteOffset } = copy
  return layout.deviceIdBytes === 2
    ? Uint32Array.from(new Uint16Array(buffer, byteOffset, bytes.length / 2))
    : new Uint32Array(buffer, byteOffset, bytes.length / 4)
}

function swap(bytes: Buffer, width: DeviceIdBytes): void {
  if (width === 2) bytes.swap16()
  else bytes.swap32()
}
