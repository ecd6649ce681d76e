import { hash } from 'node:crypto'

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32
const KEPT_BYTES_MAX = 512

/**
 * HMAC-SHA-256 (RFC 2104) with a key that is used again and again, by two digests that each begin with a block made of the
 * key. `createHmac` makes an object with a native half each time, which costs more than what is to be digested does.
 */
export class HmacSha256 {
  readonly #inner: Buffer
  readonly #outer: Buffer
  /** The inner block and room for a text: those of a key mostly have one length. */
  #message: Buffer

  /** Of at most 64 bytes. */
  constructor(key: Uint8Array) {
    if (key.length > BLOCK_BYTES) throw new Error('the key is longer than a block')
    this.#inner = paddedKey(key, 0x36, BLOCK_BYTES)
    this.#message = this.#inner
    this.#outer = paddedKey(key, 0x5c, BLOCK_BYTES + DIGEST_BYTES)
  }

  /** In hex; the text's characters are bytes. */
  hex(text: string): string {
    const message = this.#messageOf(BLOCK_BYTES + text.length)
    message.write(text, BLOCK_BYTES, 'latin1')
    this.#outer.write(hash('sha256', message, 'hex'), BLOCK_BYTES, 'hex')
    return hash('sha256', this.#outer, 'hex')
  }

  #messageOf(bytes: number): Buffer {
    if (this.#message.length === bytes) return this.#message
    const message = Buffer.allocUnsafe(bytes)
    message.set(this.#inner)
    // Longer ones are rare, and would be kept with each key.
    if (bytes <= KEPT_BYTES_MAX) this.#message = message
    return message
  }
}

function paddedKey(key: Uint8Array, pad: number, bytes: number): Buffer {
  const block = Buffer.alloc(bytes)
  for (let i = 0; i < BLOCK_BYTES; i++) block[i] = (key[i] ?? 0) ^ pad
  return block
}
