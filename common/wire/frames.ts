/**
 * The framing between proxy and storage node, inside HTTP bodies (docs/formats/wire.md):
 *
 *   message = head frame, then any number of data frames, then (only of streams) a tail frame
 *   frame   = u8 kind | u32 length, little endian | that many bytes: JSON of heads and tails, raw bytes of data
 */
import { ServiceError } from '../errors.ts'

export const FRAME_HEADER_BYTES = 5
export const FRAME_KINDS = { head: 1, data: 2, tail: 3 } as const
export type FrameKind = (typeof FRAME_KINDS)[keyof typeof FRAME_KINDS]

/** A head or tail of a stream beyond this is refused. Whole messages are bounded by who collects them. */
export const STREAM_JSON_BYTES_MAX = 1024 * 1024
/** Data is cut into frames of at most this. */
export const DATA_BYTES_MAX = 1024 * 1024

/** A head frame with its data frame, if there is data: the whole of a small message in one buffer. */
export function encodeMessage(head: unknown, data: Uint8Array | null = null): Buffer {
  const json = Buffer.from(JSON.stringify(head), 'utf8')
  const dataFrameBytes = data === null ? 0 : FRAME_HEADER_BYTES + data.length
  const message = Buffer.allocUnsafe(FRAME_HEADER_BYTES + json.length + dataFrameBytes)
  writeHeader(message, 0, FRAME_KINDS.head, json.length)
  json.copy(message, FRAME_HEADER_BYTES)
  if (data === null) return message
  const at = FRAME_HEADER_BYTES + json.length
  writeHeader(message, at, FRAME_KINDS.data, data.length)
  message.set(data, at + FRAME_HEADER_BYTES)
  return message
}

/** A frame with a copy of its bytes. */
export function encodeFrame(kind: FrameKind, bytes: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + bytes.length)
  writeHeader(frame, 0, kind, bytes.length)
  frame.set(bytes, FRAME_HEADER_BYTES)
  return frame
}

export function encodeJsonFrame(kind: FrameKind, value: unknown): Buffer {
  return encodeFrame(kind, Buffer.from(JSON.stringify(value), 'utf8'))
}

/** The header of a data frame whose bytes follow by themselves. */
export function dataFrameHeader(bytes: number): Buffer {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
  writeHeader(header, 0, FRAME_KINDS.data, bytes)
  return header
}

function writeHeader(target: Buffer, at: number, kind: FrameKind, bytes: number): void {
  target[at] = kind
  target.writeUInt32LE(bytes, at + 1)
}

/** The JSON's bytes of an encoded message, for its signature. */
export function messageHead(message: Buffer): Buffer {
  return frameAt(message, 0).bytes
}

/** A whole message; `data` is null if it has no data frame. Throws `BadFrame` for anything else. */
export interface WireMessage {
  /** The JSON's bytes as they came, for the signature. */
  readonly headBytes: Uint8Array
  readonly head: unknown
  readonly data: Uint8Array | null
}

/** Decodes a message that is in memory: a head and at most one data frame. */
export function decodeMessage(bytes: Buffer): WireMessage {
  const head = frameAt(bytes, 0)
  if (head.kind !== FRAME_KINDS.head) throw badFrame('a message begins with its head')
  const parsed = parseJson(head.bytes)
  if (head.end === bytes.length) return { headBytes: head.bytes, head: parsed, data: null }
  const data = frameAt(bytes, head.end)
  if (data.kind !== FRAME_KINDS.data || data.end !== bytes.length) {
    throw badFrame('a head is followed by one data frame and the end')
  }
  return { headBytes: head.bytes, head: parsed, data: data.bytes }
}

function frameAt(bytes: Buffer, at: number) {
  if (bytes.length < at + FRAME_HEADER_BYTES) throw badFrame('the message is cut short')
  const end = at + FRAME_HEADER_BYTES + bytes.readUInt32LE(at + 1)
  if (end > bytes.length) throw badFrame('the message is cut short')
  return { kind: bytes[at]!, bytes: bytes.subarray(at + FRAME_HEADER_BYTES, end), end }
}

/** What comes out of a stream of frames. */
export type StreamEvent =
  | { readonly kind: 'head' | 'tail'; readonly json: unknown; readonly bytes: Uint8Array }
  /** A piece of a data frame, as it came. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array }

/** Decodes frames that come in arbitrary chunks; data is passed on without waiting for the whole frame. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0)
  #dataLeft = 0

  /** The events that the chunk completes. Throws `BadFrame`. */
  push(chunk: Buffer): StreamEvent[] {
    const events: StreamEvent[] = []
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = EMPTY
    while (bytes.length > 0) {
      if (this.#dataLeft > 0) {
        const piece = bytes.subarray(0, this.#dataLeft)
        this.#dataLeft -= piece.length
        bytes = bytes.subarray(piece.length)
        events.push({ kind: 'data', bytes: piece })
        continue
      }
      if (bytes.length < FRAME_HEADER_BYTES) break
      const length = bytes.readUInt32LE(1)
      if (bytes[0] === FRAME_KINDS.data) {
        if (length > DATA_BYTES_MAX) throw badFrame('a data frame is too long')
        this.#dataLeft = length
        bytes = bytes.subarray(FRAME_HEADER_BYTES)
        continue
      }
      if (bytes[0] !== FRAME_KINDS.head && bytes[0] !== FRAME_KINDS.tail) {
        throw badFrame('a frame of an unknown kind')
      }
      if (length > STREAM_JSON_BYTES_MAX) throw badFrame('a head is too long')
      if (bytes.length < FRAME_HEADER_BYTES + length) break
      const json = bytes.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length)
      const kind = bytes[0] === FRAME_KINDS.head ? 'head' : 'tail'
      bytes = bytes.subarray(FRAME_HEADER_BYTES + length)
      events.push({ kind, json: parseJson(json), bytes: json })
    }
    this.#rest = bytes
    return events
  }

  /** Whether the stream may end here. */
  get isBetweenFrames(): boolean {
    return this.#rest.length === 0 && this.#dataLeft === 0
  }
}

const EMPTY = Buffer.alloc(0)

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw badFrame('a head that is not JSON', cause)
  }
}

function badFrame(message: string, cause?: unknown): ServiceError {
  return new ServiceError('BadFrame', message, {
    status: 400,
    ...(cause === undefined ? {} : { cause }),
  })
}
