import { hash } from 'node:crypto'

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32

/**
 * HMAC-SHA-256 (RFC 2104) with a key that is used again and again, by two digests that each begin with a block made of the
 * key. `createHmac` makes an object with a native half each time, which costs more than what is to be digested does.
 */
export class HmacSha256 {
  readonly #inner: Buffer
  readonly #outer: Buffer

  /** Of at most 64 bytes. */
  constructor(key: Uint8Array) {
    if (key.length > BLOCK_BYTES) throw new Error('the key is longer than a block')
    this.#inner = paddedKey(key, 0x36, BLOCK_BYTES)
    this.#outer = paddedKey(key, 0x5c, BLOCK_BYTES + DIGEST_BYTES)
  }

  /** In hex; the text's characters are bytes. */
  hex(text: string): string {
    const message = Buffer.allocUnsafe(BLOCK_BYTES + text.length)
    message.set(this.#inner)
    message.write(text, BLOCK_BYTES, 'latin1')
    this.#outer.write(hash('sha256', message, 'hex'), BLOCK_BYTES, 'hex')
    return hash('sha256', this.#outer, 'hex')
  }
}

function paddedKey(key: Uint8Array, pad: number, bytes: number): Buffer {
  const block = Buffer.alloc(bytes)
  for (let i = 0; i < BLOCK_BYTES; i++) block[i] = (key[i] ?? 0) ^ pad
  return block
}
