/**
 * Rot that checksums do not see: a bit of a stored body is flipped and the record's checksums are made right again, so
 * that the engine serves what it would serve if it did not verify.
 */
import { xxh64 } from '../../../common/checksum.ts'
import {
  decodeHead,
  inlineBytes,
  RECORD_HEAD_BYTES,
  RECORD_TYPES,
} from '../../../storage-node/engine/record.ts'
import { SEGMENT_HEADER_BYTES, segmentSeed } from '../../../storage-node/engine/segment-header.ts'
import { DEVICE, type SimHost } from './sim-host.ts'

/** Flips a bit in every second inline body of the host's segments. */
export function rotUnseen(host: SimHost): void {
  const uuid = host.running?.node.devices.get(DEVICE)?.format.uuid
  if (uuid === undefined) return
  for (const path of host.disk.paths()) {
    const name = /\/([0-9a-f]{2})-([0-9a-f]{8})\.seg$/.exec(path)
    if (name === null) continue
    const seed = segmentSeed(uuid, Number.parseInt(name[1]!, 16), Number.parseInt(name[2]!, 16))
    rotSegment(host, path, seed)
  }
}

function rotSegment(host: SimHost, path: string, seed: bigint): void {
  const before = Buffer.from(host.disk.contents(path))
  const after = Buffer.from(before)
  let offset = SEGMENT_HEADER_BYTES
  let count = 0
  while (offset + RECORD_HEAD_BYTES <= after.length) {
    const record = after.subarray(offset)
    const own = seed | BigInt(offset)
    const head = decodeHead(record, own)
    if (head === null) break
    const bytes = inlineBytes(head)
    if (head.type === RECORD_TYPES.putInline && bytes > 0 && ++count % 2 === 0) {
      const body = record.subarray(head.recordBytes - bytes, head.recordBytes)
      body[0]! ^= 1
      record.writeBigUInt64LE(xxh64(body, own), 112)
      record.writeBigUInt64LE(xxh64(record.subarray(0, 120), own), 120)
    }
    offset += head.recordBytes
  }
  for (const [at, byte] of after.entries()) {
    const difference = byte ^ before[at]!
    for (let bit = 0; bit < 8; bit++) if ((difference >> bit) & 1) host.disk.flip(path, at, bit)
  }
}
