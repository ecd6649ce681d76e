/**
 * AES-256-CTR, and short texts sealed with it. A body is enciphered under a key of its own, which is wrapped by the key of
 * its path; any range of it can be deciphered alone, because the counter follows from the offset.
 */
import { createCipheriv, createHmac } from 'node:crypto'
import { ServiceError } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import type { RootSecrets } from './root-secrets.ts'

const BLOCK_BYTES = 16
const KEY_BYTES = 32
const COUNTER_MODULUS = 1n << 128n

/** What no header value of a client begins with: a sealed text is told from a plain one by it. */
const SEAL = '\x01'

/** Enciphers or deciphers piece by piece; the pieces come back as new buffers. */
export interface BodyCipher {
  update(piece: Uint8Array): Buffer
}

/** How a body is enciphered, as its metadata says: `{id, iv, key iv, wrapped key}` in base64url. */
export interface BodyKey {
  readonly key: Uint8Array
  readonly iv: Uint8Array
}

/** The keys of one path under every root secret: HMAC-SHA256 of the path, as Swift derives them. */
export class PathKeys {
  readonly #path: string
  readonly #roots: RootSecrets
  readonly #derived = new Map<string, Uint8Array>()

  constructor(roots: RootSecrets, path: string) {
    this.#roots = roots
    this.#path = path
  }

  get active(): string {
    return this.#roots.active
  }

  get ids(): Iterable<string> {
    return this.#roots.secrets.keys()
  }

  key(id: string): Uint8Array {
    const known = this.#derived.get(id)
    if (known !== undefined) return known
    const root = this.#roots.secrets.get(id)
    if (root === undefined) {
      throw new ServiceError('UnknownSecret', `no root secret of the id ${id}`, { status: 500 })
    }
    const key = createHmac('sha256', root).update(this.#path).digest()
    this.#derived.set(id, key)
    return key
  }
}

/** The stream of bytes from `offset` on; enciphering and deciphering are the same. */
export function bodyCipher({ key, iv }: BodyKey, offset = 0): BodyCipher {
  const cipher = createCipheriv('aes-256-ctr', key, counterAt(iv, Math.floor(offset / BLOCK_BYTES)))
  const skipped = offset % BLOCK_BYTES
  if (skipped > 0) cipher.update(Buffer.alloc(skipped))
  return cipher
}

export function drawBodyKey(random: Random): BodyKey {
  return { key: random.bytes(KEY_BYTES), iv: random.bytes(BLOCK_BYTES) }
}

export function wrapBodyKey(keys: PathKeys, body: BodyKey, random: Random): string {
  const wrapIv = random.bytes(BLOCK_BYTES)
  const wrapped = bodyCipher({ key: keys.key(keys.active), iv: wrapIv }).update(body.key)
  return [keys.active, text(body.iv), text(wrapIv), text(wrapped)].join('.')
}

export function unwrapBodyKey(keys: PathKeys, wrapped: string): BodyKey {
  const [id = '', iv = '', wrapIv = '', key = ''] = wrapped.split('.')
  const opened = bodyCipher({ key: keys.key(id), iv: bytes(wrapIv) }).update(bytes(key))
  return { key: opened, iv: bytes(iv) }
}

export function seal(keys: PathKeys, plain: string, random: Random): string {
  const iv = random.bytes(BLOCK_BYTES)
  const sealed = bodyCipher({ key: keys.key(keys.active), iv }).update(Buffer.from(plain))
  return `${SEAL}${keys.active}.${text(iv)}.${text(sealed)}`
}

/** The text itself if it is not sealed: of what was written before encryption was switched on. */
export function unseal(keys: PathKeys, sealed: string): string {
  if (!sealed.startsWith(SEAL)) return sealed
  const [id = '', iv = '', data = ''] = sealed.slice(SEAL.length).split('.')
  return bodyCipher({ key: keys.key(id), iv: bytes(iv) })
    .update(bytes(data))
    .toString()
}

/** Stands for the ETag where conditions are judged: equal for equal ETags of one path, and says nothing of the body. */
export function etagMac(keys: PathKeys, id: string, etag: string): string {
  return createHmac('sha256', keys.key(id)).update(`etag ${etag}`).digest('hex').slice(0, 32)
}

function counterAt(iv: Uint8Array, blocks: number): Buffer {
  if (blocks === 0) return Buffer.from(iv)
  const start = BigInt(`0x${Buffer.from(iv).toString('hex')}`)
  const at = (start + BigInt(blocks)) % COUNTER_MODULUS
  return Buffer.from(at.toString(16).padStart(32, '0'), 'hex')
}

function text(data: Uint8Array): string {
  return Buffer.from(data).toString('base64url')
}

function bytes(encoded: string): Buffer {
  return Buffer.from(encoded, 'base64url')
}
