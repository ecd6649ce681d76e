/**
 * The framing of a channel between proxy and storage node (docs/formats/wire.md): packets of messages, each packet
 * authenticated with its number, so that none can be forged, changed, left out, repeated or sent back.
 *
 *   packet  = u32 length of the rest | 16 bytes of HMAC-SHA256(key, u64 number | messages) | messages
 *   message = u32 length of the rest | u32 call | u8 kind | payload        all numbers little endian
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { ServiceError } from '../errors.ts'

export interface ChannelMessage {
  /** Chosen by the caller; the answer has the same. */
  readonly call: number
  readonly kind: number
  readonly payload: Uint8Array
}

const LENGTH_BYTES = 4
const MAC_BYTES = 16
const PACKET_HEADER_BYTES = LENGTH_BYTES + MAC_BYTES
const MESSAGE_HEADER_BYTES = 9
/** Messages are gathered up to this size; a longer one is a packet of its own. */
const PACKET_BYTES_WANTED = 1024 * 1024

/** Makes packets in one direction. */
export class PacketSealer {
  readonly #key: Uint8Array
  #number = 0n

  constructor(key: Uint8Array) {
    this.#key = key
  }

  /** The pieces of the packets with these messages, in order; payloads are not copied. */
  seal(messages: readonly ChannelMessage[]): Uint8Array[] {
    const pieces: Uint8Array[] = []
    let from = 0
    while (from < messages.length) {
      let to = from
      let bytes = 0
      do {
        bytes += MESSAGE_HEADER_BYTES + messages[to]!.payload.length
        to++
      } while (to < messages.length && bytes < PACKET_BYTES_WANTED)
      this.#sealOne(messages.slice(from, to), bytes, pieces)
      from = to
    }
    return pieces
  }

  #sealOne(messages: readonly ChannelMessage[], bytes: number, pieces: Uint8Array[]): void {
    const header = Buffer.allocUnsafe(PACKET_HEADER_BYTES)
    header.writeUInt32LE(MAC_BYTES + bytes, 0)
    pieces.push(header)
    const mac = createHmac('sha256', this.#key).update(numberBytes(this.#number++))
    for (const { call, kind, payload } of messages) {
      const head = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES)
      head.writeUInt32LE(MESSAGE_HEADER_BYTES - LENGTH_BYTES + payload.length, 0)
      head.writeUInt32LE(call, 4)
      head[8] = kind
      mac.update(head).update(payload)
      pieces.push(head, payload)
    }
    mac.digest().copy(header, LENGTH_BYTES, 0, MAC_BYTES)
  }
}

/** Takes packets of one direction apart, in whatever pieces they come. */
export class PacketOpener {
  readonly #key: Uint8Array
  readonly #packetBytesMax: number
  #number = 0n
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(key: Uint8Array, options: { readonly packetBytesMax: number }) {
    this.#key = key
    this.#packetBytesMax = options.packetBytesMax
  }

  /**
   * The messages that are complete with this piece; payloads are parts of it. Throws `BadPacket` for what is too long,
   * forged or no packet: nothing that comes after it means anything.
   */
  push(chunk: Buffer): ChannelMessage[] {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    const messages: ChannelMessage[] = []
    for (;;) {
      const length = this.#packetLength()
      if (length === null || this.#bytes < LENGTH_BYTES + length) return messages
      const packet = this.#take(LENGTH_BYTES + length)
      this.#verify(packet)
      splitMessages(packet.subarray(PACKET_HEADER_BYTES), messages)
    }
  }

  /** Of the packet that comes next; null if not even that is known. */
  #packetLength(): number | null {
    if (this.#bytes < PACKET_HEADER_BYTES) return null
    if (this.#chunks[0]!.length < LENGTH_BYTES) this.#chunks = [Buffer.concat(this.#chunks)]
    const length = this.#chunks[0]!.readUInt32LE(0)
    if (length < MAC_BYTES || length > this.#packetBytesMax) {
      throw badPacket(`a packet of ${length} bytes`)
    }
    return length
  }

  #take(bytes: number): Buffer {
    const first = this.#chunks[0]!
    const all = first.length >= bytes ? first : Buffer.concat(this.#chunks)
    this.#bytes -= bytes
    const rest = all === first ? this.#chunks.slice(1) : []
    if (all.length > bytes) rest.unshift(all.subarray(bytes))
    this.#chunks = rest
    return all.subarray(0, bytes)
  }

  #verify(packet: Buffer): void {
    const mac = createHmac('sha256', this.#key)
      .update(numberBytes(this.#number++))
      .update(packet.subarray(PACKET_HEADER_BYTES))
      .digest()
      .subarray(0, MAC_BYTES)
    if (timingSafeEqual(mac, packet.subarray(LENGTH_BYTES, PACKET_HEADER_BYTES))) return
    throw badPacket('a packet that is not authentic')
  }
}

function splitMessages(bytes: Buffer, messages: ChannelMessage[]): void {
  let at = 0
  while (at < bytes.length) {
    const left = bytes.length - at - LENGTH_BYTES
    const length = left < 0 ? 0 : bytes.readUInt32LE(at)
    if (length < MESSAGE_HEADER_BYTES - LENGTH_BYTES || length > left) {
      throw badPacket('a message that does not end with its packet')
    }
    const end = at + LENGTH_BYTES + length
    messages.push({
      call: bytes.readUInt32LE(at + 4),
      kind: bytes[at + 8]!,
      payload: bytes.subarray(at + MESSAGE_HEADER_BYTES, end),
    })
    at = end
  }
}

function numberBytes(number: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64LE(number)
  return bytes
}

function badPacket(what: string): ServiceError {
  return new ServiceError('BadPacket', what, { status: 400 })
}
