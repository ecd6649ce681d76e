import { BLOCK_BYTES } from './md5-kernel.ts'

const LENGTH_BYTES = 8
const TWO_TO_29 = 2 ** 29

/** What a message needs in memory besides its bytes: those left over from before, and its end. */
export const ROOM_BYTES = 3 * BLOCK_BYTES

/** One message's MD5 between its blocks. */
export class Md5Message {
  /** A, B, C and D. */
  readonly state = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476)
  #bytes = 0
  /** Less than a block. */
  #left: Uint8Array = new Uint8Array(0)

  /** Puts what was left over, the bytes, and (of the last ones) the end into the room; returns how many blocks that is. */
  layOut(bytes: Uint8Array, isLast: boolean, room: Uint8Array): number {
    room.set(this.#left)
    room.set(bytes, this.#left.length)
    this.#bytes += bytes.length
    const length = this.#left.length + bytes.length
    if (isLast) return this.#end(length, room)
    const whole = length - (length % BLOCK_BYTES)
    this.#left = room.slice(whole, length)
    return whole / BLOCK_BYTES
  }

  /** RFC 1321, 3.1 and 3.2: a bit, zeros up to eight bytes before the end of a block, and the length in bits. */
  #end(length: number, room: Uint8Array): number {
    const blocks = Math.ceil((length + 1 + LENGTH_BYTES) / BLOCK_BYTES)
    const lengthAt = blocks * BLOCK_BYTES - LENGTH_BYTES
    room[length] = 0x80
    room.fill(0, length + 1, lengthAt)
    const view = new DataView(room.buffer, room.byteOffset)
    view.setUint32(lengthAt, (this.#bytes % TWO_TO_29) * 8, true)
    view.setUint32(lengthAt + 4, Math.floor(this.#bytes / TWO_TO_29), true)
    return blocks
  }

  /** Once its end was digested. */
  hex(): string {
    const out = Buffer.allocUnsafe(16)
    for (let letter = 0; letter < 4; letter++) out.writeUInt32LE(this.state[letter]!, letter * 4)
    return out.toString('hex')
  }
}
