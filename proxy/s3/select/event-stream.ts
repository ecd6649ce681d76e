/**
 * Messages of an answer: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
 *
 *   total bytes (4) | bytes of headers (4) | CRC32 of these 8 | headers | payload | CRC32 of all before
 *   a header: bytes of its name (1) | name | 7: text | bytes of the text (2) | text
 */
import { crc32 } from 'node:zlib'
import { renderXml } from '../xml/xml-out.ts'
import type { SelectError } from './select-error.ts'

const PRELUDE_BYTES = 12
const CRC_BYTES = 4
const TEXT = 7
const EMPTY = Buffer.alloc(0)

/** What was read of the object, what that unpacked to, and what of it was sent. */
export interface SelectCounts {
  readonly scanned: number
  readonly processed: number
  readonly returned: number
}

/** A message of these headers and that payload. */
export function encodeMessage(
  headers: Readonly<Record<string, string>>,
  payload: Uint8Array = EMPTY,
): Buffer {
  const head = Buffer.concat(Object.entries(headers).map(encodeHeader))
  const total = PRELUDE_BYTES + head.length + payload.length + CRC_BYTES
  const message = Buffer.allocUnsafe(total)
  message.writeUInt32BE(total, 0)
  message.writeUInt32BE(head.length, 4)
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8)
  head.copy(message, PRELUDE_BYTES)
  message.set(payload, PRELUDE_BYTES + head.length)
  message.writeUInt32BE(crc32(message.subarray(0, total - CRC_BYTES)), total - CRC_BYTES)
  return message
}

/** Records, or a part of one. */
export function recordsMessage(payload: Uint8Array): Buffer {
  return encodeMessage(eventHeaders('Records', 'application/octet-stream'), payload)
}

/** So far, or in all. */
export function countsMessage(event: 'Progress' | 'Stats', counts: SelectCounts): Buffer {
  const { scanned, processed, returned } = counts
  const fields = { BytesScanned: scanned, BytesProcessed: processed, BytesReturned: returned }
  return encodeMessage(eventHeaders(event, 'text/xml'), Buffer.from(renderXml(event, fields)))
}

/** It goes on; or everything was sent. */
export function plainMessage(event: 'Cont' | 'End'): Buffer {
  return encodeMessage(eventHeaders(event))
}

/** The last message of an answer that did not come to its end. */
export function errorMessage({
  code,
  message,
}: Pick<SelectError, 'message'> & { readonly code: string }): Buffer {
  return encodeMessage({
    ':error-code': code,
    ':error-message': message,
    ':message-type': 'error',
  })
}

function eventHeaders(event: string, contentType?: string): Readonly<Record<string, string>> {
  return {
    ':event-type': event,
    ...(contentType !== undefined && { ':content-type': contentType }),
    ':message-type': 'event',
  }
}

function encodeHeader([name, text]: readonly [string, string]): Buffer {
  const value = Buffer.from(text)
  const header = Buffer.alloc(1 + name.length + 3)
  header.writeUInt8(name.length, 0)
  header.write(name, 1, 'latin1')
  header.writeUInt8(TEXT, 1 + name.length)
  header.writeUInt16BE(value.length, 2 + name.length)
  return Buffer.concat([header, value])
}
