import { ServiceError } from '../errors.ts'
import { decodeEnvelope, type EnvelopeKind, encodeEnvelope, hasMagic } from './envelope.ts'
import type { RingData } from './ring.ts'
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
  wholeOf,
} from './ring-json.ts'
import { DEVICE_ID_BYTES, decodeRows, deviceIdBytesFor, encodeRow } from './ring-table.ts'
import { decodeSwiftRing, looksLikeSwiftRing } from './swift-ring-file.ts'

export { encodeSwiftRing, encodeSwiftRingVersion2 } from './swift-ring-file.ts'

/** Ring files: bytes to RingData and back. Ours is drawn in docs/formats/ring.md; Swift's is in swift-ring-file.ts. */

export const RING_FORMATS = ['swiftlet', 'swift-v1', 'swift-v2'] as const
export type RingFormat = (typeof RING_FORMATS)[number]

const RING_KIND: EnvelopeKind = { magic: 'SWLTRING', version: 1, what: 'ring' }

/** A ring from a file of ours or of Swift's. Throws ServiceError RingFormatUnknown or RingDamaged. */
export function decodeRing(bytes: Uint8Array): RingData {
  return decodeRingFile(bytes).data
}

/** The same, with the format that the bytes have. */
export function decodeRingFile(bytes: Uint8Array): {
  readonly format: RingFormat
  readonly data: RingData
} {
  if (looksLikeSwiftRing(bytes)) {
    const { formatVersion, data } = decodeSwiftRing(bytes)
    return { format: formatVersion === 1 ? 'swift-v1' : 'swift-v2', data: checked(data) }
  }
  if (!hasMagic(RING_KIND, bytes)) {
    throw new ServiceError('RingFormatUnknown', 'this is neither a ring of ours nor one of Swift')
  }
  return { format: 'swiftlet', data: checked(decodeOwnRing(bytes)) }
}

/** Our format: one frame, a JSON header with the devices, the table as the body. */
export function encodeRing(data: RingData): Uint8Array {
  const deviceIdBytes = deviceIdBytesFor(data.devices.length)
  const { version, partPower, replicaCount, minPartHours, nextPartPower, placement } = data
  return encodeEnvelope(RING_KIND, {
    header: {
      version,
      partPower,
      replicaCount,
      minPartHours,
      nextPartPower,
      placement,
      deviceIdBytes,
      devices: data.devices.map((device) => deviceToJson(device, OWN_DEVICE_KEYS)),
    },
    body: data.replicaToPartToDevice.map((row) =>
      encodeRow(row, { deviceIdBytes, byteOrder: 'little' }),
    ),
  })
}

function decodeOwnRing(bytes: Uint8Array): RingData {
  const { header, body } = decodeEnvelope(RING_KIND, bytes)
  const json = objectOf(header, 'its header')
  const deviceIdBytes = DEVICE_ID_BYTES.find((width) => width === json.deviceIdBytes)
  if (deviceIdBytes === undefined) throw damagedJson('its device ids have no known width')
  const partPower = partPowerOf(json.partPower)
  const minPartHours = optionalWholeOf(json.minPartHours, 'minPartHours')
  const nextPartPower = optionalWholeOf(json.nextPartPower, 'nextPartPower')
  return {
    version: wholeOf(json.version, 'the version'),
    partPower,
    replicaCount: numberOf(json.replicaCount, 'the replica count'),
    ...(minPartHours === undefined ? {} : { minPartHours }),
    ...(nextPartPower === undefined ? {} : { nextPartPower }),
    devices: devicesFromJson(json.devices, OWN_DEVICE_KEYS),
    replicaToPartToDevice: decodeRows(body, {
      deviceIdBytes,
      byteOrder: 'little',
      partitionCount: 2 ** partPower,
    }),
    placement: placementOf(json.placement),
  }
}

/** A file is data: what `Ring` asserts must be checked here, with an error that names the place. */
function checked(data: RingData): RingData {
  const present = Uint8Array.from(data.devices, (device) => (device === null ? 0 : 1))
  for (const [replica, row] of data.replicaToPartToDevice.entries()) {
    for (let part = 0; part < row.length; part++) {
      if (present[row[part]!] === 1) continue
      throw damagedJson(
        `replica ${replica} of partition ${part} is on device ${row[part]}, which is not in its list`,
      )
    }
  }
  return data
}
