import { createHash } from 'node:crypto'
import { constants, crc32, deflateRawSync, gunzipSync, gzipSync } from 'node:zlib'
import { ServiceError } from '../errors.ts'
import type { RingData, RingDevice } from './ring.ts'
import {
  damagedJson,
  devicesFromJson,
  deviceToJson,
  type JsonObject,
  numberOf,
  objectOf,
  optionalWholeOf,
  partPowerOf,
  SWIFT_DEVICE_KEYS,
  textOf,
  wholeOf,
} from './ring-json.ts'
import {
  DEVICE_ID_BYTES,
  type DeviceIdBytes,
  decodeRows,
  deviceIdBytesFor,
  encodeRow,
} from './ring-table.ts'

/**
 * Swift's own `.ring.gz`, versions 1 and 2, read and written: doc/source/overview_ring_format.rst of openstack/swift.
 * Version 1 is a gzip stream of: `R1NG`, u16 version, u32 length, JSON, then the rows in the byte order that the JSON
 * names. Version 2 is a series of sections with an index at the end; its offsets count compressed bytes, so the stream
 * is put together from pieces that end at byte boundaries.
 */

/** Decompressed bytes of the largest ring file that is read: 2^26 partitions with 3 replicas and 4-byte ids. */
const RING_BYTES_MAX = 2 ** 30

const MAGIC = 'R1NG'

/** True if the bytes are a gzip stream, which all of Swift's rings are. */
export function looksLikeSwiftRing(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

/** Version 1 or 2 of the format and what it holds. Throws ServiceError RingFormatUnknown or RingDamaged. */
export function decodeSwiftRing(bytes: Uint8Array): {
  readonly formatVersion: 1 | 2
  readonly data: RingData
} {
  const raw = gunzipRing(bytes)
  if (raw.length < 6 || raw.toString('latin1', 0, 4) !== MAGIC) {
    throw new ServiceError('RingFormatUnknown', 'this gzip file holds no ring of Swift')
  }
  const version = raw.readUInt16BE(4)
  if (version === 1) return { formatVersion: 1, data: decodeVersion1(raw) }
  if (version === 2) return { formatVersion: 2, data: decodeVersion2(raw) }
  throw new ServiceError('RingFormatUnknown', `Swift ring format version ${version} is unknown`)
}

/**
 * Swift's version 1. Throws ServiceError RingNotForSwift for a ring that Swift would misread: one placed by another
 * hash than md5, or with more devices than 2-byte ids can name (write version 2 then).
 */
export function encodeSwiftRing(data: RingData): Uint8Array {
  refuseOtherPlacement(data)
  if (deviceIdBytesFor(data.devices.length) !== 2) {
    throw notForSwift(`${data.devices.length} devices need format version 2`)
  }
  const json = asciiJson({
    byteorder: 'little',
    devs: data.devices.map((device) => deviceToJson(device, SWIFT_DEVICE_KEYS)),
    ...(data.nextPartPower === undefined ? {} : { next_part_power: data.nextPartPower }),
    part_shift: 32 - data.partPower,
    replica_count: data.replicaToPartToDevice.length,
    version: data.version,
  })
  const prefix = Buffer.alloc(10)
  prefix.write(MAGIC, 0, 'latin1')
  prefix.writeUInt16BE(1, 4)
  prefix.writeUInt32BE(json.length, 6)
  const rows = data.replicaToPartToDevice.map((row) =>
    encodeRow(row, { deviceIdBytes: 2, byteOrder: 'little' }),
  )
  return gzipSync(Buffer.concat([prefix, json, ...rows]), { level: 9 })
}

/** Swift's version 2 (Swift 2.36 and later). Throws ServiceError RingNotForSwift for another placement than md5. */
export function encodeSwiftRingVersion2(
  data: RingData,
  options: { readonly deviceIdBytes?: DeviceIdBytes } = {},
): Uint8Array {
  refuseOtherPlacement(data)
  const deviceIdBytes = options.deviceIdBytes ?? deviceIdBytesFor(data.devices.length)
  if (deviceIdBytes < deviceIdBytesFor(data.devices.length)) {
    throw notForSwift(`${data.devices.length} devices need ids of 4 bytes`)
  }
  const stream = new SectionStream()
  stream.writeSection(
    'swift/ring/metadata',
    asciiJson({
      dev_id_bytes: deviceIdBytes,
      ...(data.nextPartPower === undefined ? {} : { next_part_power: data.nextPartPower }),
      part_shift: 32 - data.partPower,
      replica_count: replicaCountOf(data.replicaToPartToDevice),
      version: data.version,
    }),
  )
  stream.writeSection(
    'swift/ring/devices',
    asciiJson(data.devices.map((device) => deviceToJson(device, SWIFT_DEVICE_KEYS))),
  )
  const rows = data.replicaToPartToDevice.map((row) =>
    encodeRow(row, { deviceIdBytes, byteOrder: 'big' }),
  )
  stream.writeSection('swift/ring/assignments', Buffer.concat(rows))
  return stream.finish()
}

/** Replicas as the rows say: whole rows, and the share of the last one. 0 for no rows. */
export function replicaCountOf(rows: readonly Uint32Array[]): number {
  const last = rows.at(-1)
  return last === undefined ? 0 : rows.length - 1 + last.length / rows[0]!.length
}

function gunzipRing(bytes: Uint8Array): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: RING_BYTES_MAX })
  } catch (cause) {
    throw new ServiceError('RingDamaged', `the ring file does not decompress: ${String(cause)}`, {
      cause,
    })
  }
}

function decodeVersion1(raw: Buffer): RingData {
  if (raw.length < 10) throw damagedJson(`it ends after ${raw.length} bytes`)
  const jsonEnd = 10 + raw.readUInt32BE(6)
  if (jsonEnd > raw.length) throw damagedJson(`it ends after ${raw.length} bytes`)
  const json = parseObject(raw.subarray(10, jsonEnd))
  const order = json.byteorder ?? 'little'
  if (order !== 'little' && order !== 'big') throw damagedJson(`byte order ${String(order)}`)
  const rowCount = wholeOf(json.replica_count, 'the replica count')
  return ringData({
    metadata: json,
    devices: devicesFromJson(json.devs, SWIFT_DEVICE_KEYS),
    table: raw.subarray(jsonEnd),
    layout: { deviceIdBytes: 2, byteOrder: order },
    rowCount,
  })
}

function decodeVersion2(raw: Buffer): RingData {
  if (raw.length < 22) throw damagedJson(`it ends after ${raw.length} bytes`)
  // The tail holds where the index starts: in decompressed bytes, then in compressed ones.
  const indexAt = Number(raw.readBigUInt64BE(raw.length - 16))
  const index = parseObject(readBlob(raw, indexAt))
  const sectionOf = (name: string): Buffer => checkedSection(raw, { index, name })
  const metadata = parseObject(sectionOf('swift/ring/metadata'))
  const idBytes = DEVICE_ID_BYTES.find((width) => width === metadata.dev_id_bytes)
  if (idBytes === undefined) {
    throw damagedJson(`device ids of ${String(metadata.dev_id_bytes)} bytes`)
  }
  return ringData({
    metadata,
    devices: devicesFromJson(parse(sectionOf('swift/ring/devices')), SWIFT_DEVICE_KEYS),
    table: sectionOf('swift/ring/assignments'),
    layout: { deviceIdBytes: idBytes, byteOrder: 'big' },
  })
}

function checkedSection(
  raw: Buffer,
  options: { readonly index: JsonObject; readonly name: string },
): Buffer {
  const { index, name } = options
  const entry = index[name]
  if (!Array.isArray(entry)) throw damagedJson(`it has no section ${name}`)
  const start = numberOf(entry[1], `the start of ${name}`)
  const blob = readBlob(raw, start)
  const method = textOf(entry[4], `the checksum method of ${name}`)
  if (!['md5', 'sha1', 'sha256', 'sha512'].includes(method)) {
    throw damagedJson(`section ${name} has a checksum of the unknown kind ${method}`)
  }
  const digest = createHash(method)
    .update(raw.subarray(start, start + 8 + blob.length))
    .digest('hex')
  if (digest !== entry[5]) throw damagedJson(`the checksum of section ${name} does not match`)
  return blob
}

function readBlob(raw: Buffer, at: number): Buffer {
  if (!Number.isSafeInteger(at) || at + 8 > raw.length) {
    throw damagedJson(`a section starts at byte ${at} of ${raw.length}`)
  }
  const bytes = Number(raw.readBigUInt64BE(at))
  if (at + 8 + bytes > raw.length) {
    throw damagedJson(`the section at byte ${at} has ${bytes} bytes of ${raw.length}`)
  }
  return raw.subarray(at + 8, at + 8 + bytes)
}

function ringData(parts: {
  readonly metadata: JsonObject
  readonly devices: readonly (RingDevice | null)[]
  readonly table: Buffer
  readonly layout: {
    readonly deviceIdBytes: DeviceIdBytes
    readonly byteOrder: 'little' | 'big'
  }
  readonly rowCount?: number
}): RingData {
  const partPower = partPowerOf(32 - numberOf(parts.metadata.part_shift, 'the partition shift'))
  const rows = decodeRows(parts.table, { ...parts.layout, partitionCount: 2 ** partPower })
  if (parts.rowCount !== undefined && rows.length !== parts.rowCount) {
    throw damagedJson(`it has ${rows.length} rows and should have ${parts.rowCount}`)
  }
  const nextPartPower = optionalWholeOf(parts.metadata.next_part_power, 'the next partition power')
  return {
    version: optionalWholeOf(parts.metadata.version, 'the version') ?? 0,
    partPower,
    replicaCount: replicaCountOf(rows),
    ...(nextPartPower === undefined ? {} : { nextPartPower }),
    devices: parts.devices,
    replicaToPartToDevice: rows,
    placement: 'md5',
  }
}

/** Writes named sections, each at a byte boundary of the compressed stream, and the index behind them. */
class SectionStream {
  #pieces: Buffer[] = [Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff])]
  #compressedBytes = 10
  #rawBytes = 0
  #crc = 0
  readonly #index: Record<string, readonly (number | string | null)[]> = {}

  constructor() {
    const magic = Buffer.alloc(6)
    magic.write(MAGIC, 0, 'latin1')
    magic.writeUInt16BE(2, 4)
    // Stored, not compressed: file(1) can then see what it is.
    this.#append(magic, storedAndFlushed(magic))
  }

  writeSection(name: string, content: Buffer): void {
    const blob = Buffer.concat([sizeOf(content.length), content])
    const start = [this.#compressedBytes, this.#rawBytes]
    this.#append(blob, deflatedAndFlushed(blob))
    const digest = createHash('sha256').update(blob).digest('hex')
    this.#index[name] = [...start, this.#compressedBytes, this.#rawBytes, 'sha256', digest]
  }

  /** The whole file. The last 31 bytes are where Swift looks for the index: 18 for its offset, 13 to end the stream. */
  finish(): Buffer {
    const [compressedAt, rawAt] = [this.#compressedBytes, this.#rawBytes]
    const index = asciiJson(this.#index)
    const blob = Buffer.concat([sizeOf(index.length), index])
    this.#append(blob, deflatedAndFlushed(blob))
    for (const offset of [rawAt, compressedAt]) {
      this.#append(sizeOf(offset), storedAndFlushed(sizeOf(offset)))
    }
    const end = Buffer.from([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0])
    end.writeUInt32LE(this.#crc, 5)
    end.writeUInt32LE(this.#rawBytes % 2 ** 32, 9)
    return Buffer.concat([...this.#pieces, end])
  }

  #append(raw: Buffer, compressed: Buffer): void {
    this.#pieces.push(compressed)
    this.#compressedBytes += compressed.length
    this.#rawBytes += raw.length
    this.#crc = crc32(raw, this.#crc)
  }
}

function deflatedAndFlushed(raw: Buffer): Buffer {
  return deflateRawSync(raw, { level: 9, finishFlush: constants.Z_FULL_FLUSH })
}

/** A stored block (RFC 1951 3.2.4) and the empty one that a full flush ends with. */
function storedAndFlushed(raw: Buffer): Buffer {
  const header = Buffer.from([0, raw.length, 0, ~raw.length & 0xff, 0xff])
  return Buffer.concat([header, raw, Buffer.from([0, 0, 0, 0xff, 0xff])])
}

function sizeOf(bytes: number): Buffer {
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(bytes))
  return size
}

/** JSON in ASCII with sorted keys, as Swift writes it: equal rings give equal bytes. */
function asciiJson(value: unknown): Buffer {
  const sorted = JSON.stringify(value, (_key, entry: unknown) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)))
      : entry,
  )
  const escaped = sorted.replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return Buffer.from(escaped, 'latin1')
}

function parse(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString('utf8'))
  } catch (cause) {
    throw new ServiceError('RingDamaged', 'the ring file is damaged: its JSON does not parse', {
      cause,
    })
  }
}

function parseObject(json: Buffer): JsonObject {
  return objectOf(parse(json), 'its JSON')
}

function refuseOtherPlacement(data: RingData): void {
  if (data.placement === 'md5') return
  throw notForSwift(`it places names by ${data.placement}, Swift would look elsewhere`)
}

function notForSwift(detail: string): ServiceError {
  return new ServiceError('RingNotForSwift', `no Swift ring can be written: ${detail}`)
}
