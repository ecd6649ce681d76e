import { ServiceError } from '../common/errors.ts'
import {
  decodeEnvelope,
  type EnvelopeKind,
  encodeEnvelope,
  hasMagic,
} from '../common/ring/envelope.ts'
import type { RingDevice } from '../common/ring/ring.ts'
import {
  damagedJson,
  devicesFromJson,
  deviceToJson,
  numberOf,
  OWN_DEVICE_KEYS,
  objectOf,
  optionalWholeOf,
  partPowerOf,
  placementOf,
  textOf,
  wholeOf,
} from '../common/ring/ring-json.ts'
import {
  DEVICE_ID_BYTES,
  type DeviceIdBytes,
  decodeRows,
  deviceIdBytesFor,
  encodeRow,
} from '../common/ring/ring-table.ts'
import type { Builder } from './builder.ts'

/** Builder files: a builder to bytes and back (docs/formats/ring.md). The body is the table, then the times of moves. */

const BUILDER_KIND: EnvelopeKind = { magic: 'SWLTBLDR', version: 1, what: 'builder' }

/** The file of a builder. */
export function encodeBuilder(builder: Builder): Uint8Array {
  const deviceIdBytes = deviceIdBytesFor(builder.devices.length)
  const { rows, lastMovedS, devices, ...settings } = builder
  return encodeEnvelope(BUILDER_KIND, {
    header: {
      ...settings,
      deviceIdBytes,
      rowLengths: rows.map((row) => row.length),
      movedCount: lastMovedS.length,
      devices: devices.map((device) => deviceToJson(device, OWN_DEVICE_KEYS)),
    },
    body: [
      ...rows.map((row) => encodeRow(row, { deviceIdBytes, byteOrder: 'little' })),
      encodeRow(lastMovedS, { deviceIdBytes: 4, byteOrder: 'little' }),
    ],
  })
}

/** A builder from its file. Throws ServiceError RingFormatUnknown or RingDamaged. */
export function decodeBuilder(bytes: Uint8Array): Builder {
  refuseSwiftBuilder(bytes)
  const { header, body } = decodeEnvelope(BUILDER_KIND, bytes)
  const json = objectOf(header, 'its header')
  const devices = devicesFromJson(json.devices, OWN_DEVICE_KEYS)
  const partPower = partPowerOf(json.partPower)
  const { rows, lastMovedS } = decodeBody(body, {
    deviceIdBytes: idBytesOf(json.deviceIdBytes),
    rowLengths: wholesOf(json.rowLengths, 'rowLengths'),
    movedCount: wholeOf(json.movedCount, 'movedCount'),
    partPower,
  })
  checkRows(rows, devices)
  return {
    id: textOf(json.id, 'the id'),
    version: wholeOf(json.version, 'the version'),
    partPower,
    nextPartPower: optionalWholeOf(json.nextPartPower, 'nextPartPower') ?? null,
    replicas: numberOf(json.replicas, 'replicas'),
    minPartHours: wholeOf(json.minPartHours, 'minPartHours'),
    overload: numberOf(json.overload, 'overload'),
    placement: placementOf(json.placement),
    devices,
    removedIds: removedIdsOf(json.removedIds, devices),
    devicesChanged: json.devicesChanged === true,
    rows,
    lastMovedS,
    dispersion: json.dispersion === null ? null : numberOf(json.dispersion, 'dispersion'),
  }
}

function decodeBody(
  body: Uint8Array,
  layout: {
    readonly deviceIdBytes: DeviceIdBytes
    readonly rowLengths: readonly number[]
    readonly movedCount: number
    readonly partPower: number
  },
): { readonly rows: Uint32Array[]; readonly lastMovedS: Uint32Array } {
  const { deviceIdBytes, rowLengths, movedCount } = layout
  const slotCount = rowLengths.reduce((sum, length) => sum + length, 0)
  const tableBytes = slotCount * deviceIdBytes
  if (body.length !== tableBytes + movedCount * 4) {
    throw damagedJson(`its body has ${body.length} bytes for ${slotCount} replicas`)
  }
  const rows = decodeRows(body.subarray(0, tableBytes), {
    deviceIdBytes,
    byteOrder: 'little',
    partitionCount: 2 ** layout.partPower,
  })
  if (rows.some((row, replica) => row.length !== rowLengths[replica])) {
    throw damagedJson('its rows have other lengths than it says')
  }
  const [lastMovedS = new Uint32Array(0)] = decodeRows(body.subarray(tableBytes), {
    deviceIdBytes: 4,
    byteOrder: 'little',
    partitionCount: Math.max(1, movedCount),
  })
  return { rows, lastMovedS }
}

function checkRows(rows: readonly Uint32Array[], devices: readonly (RingDevice | null)[]): void {
  const present = Uint8Array.from(devices, (device) => (device === null ? 0 : 1))
  for (const [replica, row] of rows.entries()) {
    for (const [partition, id] of row.entries()) {
      if (present[id] === 1) continue
      throw damagedJson(
        `replica ${replica} of partition ${partition} is on device ${id}, which is not there`,
      )
    }
  }
}

function removedIdsOf(value: unknown, devices: readonly (RingDevice | null)[]): readonly number[] {
  const ids = wholesOf(value, 'removedIds')
  if (ids.some((id) => (devices[id] ?? null) === null))
    throw damagedJson('a removed device is not there')
  return ids
}

function wholesOf(value: unknown, what: string): readonly number[] {
  if (!Array.isArray(value)) throw damagedJson(`${what} is no list`)
  return value.map((entry: unknown) => wholeOf(entry, what))
}

function idBytesOf(value: unknown): DeviceIdBytes {
  const width = DEVICE_ID_BYTES.find((known) => known === value)
  if (width === undefined) throw damagedJson('its device ids have no known width')
  return width
}

/** Swift pickles its builders, and a pickle is a program: it is not read. Its rings are. */
function refuseSwiftBuilder(bytes: Uint8Array): void {
  if (hasMagic(BUILDER_KIND, bytes) || bytes[0] !== 0x80) return
  throw new ServiceError(
    'RingFormatUnknown',
    'this looks like a builder of Swift, which is not read; make one from its ring: ring NAME.ring.gz write_builder',
  )
}
