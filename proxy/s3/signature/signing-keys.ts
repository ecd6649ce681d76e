import { createHmac } from 'node:crypto'
import { HmacSha256 } from './hmac-sha256.ts'

/** What a Version 4 signature was made for. */
export interface SigningScope {
  /** `20130524` */
  readonly day: string
  readonly region: string
  readonly service: string
  /** As it is signed: `20130524/us-east-1/s3/aws4_request` */
  readonly text: string
}

/** Keys kept; beyond it the one kept longest is forgotten. */
const KEYS_MAX = 10_000

/**
 * Signing keys by credential, day, region and service: four HMACs that one day's requests share. A changed secret is
 * another key, as it is a part of what a key is found by.
 */
export class SigningKeys {
  readonly #keys = new Map<string, HmacSha256>()
  /** The one asked for last: what it is found by needs not be put together again. */
  #last: { readonly secret: string; readonly scope: string; readonly key: HmacSha256 } | null = null
  readonly #keysMax: number

  constructor(options: { readonly keysMax?: number } = {}) {
    this.#keysMax = options.keysMax ?? KEYS_MAX
  }

  get size(): number {
    return this.#keys.size
  }

  get(secret: string, scope: SigningScope): HmacSha256 {
    const last = this.#last
    if (last !== null && last.secret === secret && last.scope === scope.text) return last.key
    const key = this.#find(secret, scope)
    this.#last = { secret, scope: scope.text, key }
    return key
  }

  #find(secret: string, scope: SigningScope): HmacSha256 {
    const name = `${scope.text}/${secret}`
    const known = this.#keys.get(name)
    if (known !== undefined) return known
    if (this.#keys.size >= this.#keysMax) {
      const [oldest] = this.#keys.keys()
      this.#keys.delete(oldest!)
    }
    const key = new HmacSha256(signingKey(secret, scope))
    this.#keys.set(name, key)
    return key
  }
}

/** The key of a day. */
export function signingKey(secret: string, { day, region, service }: SigningScope): Buffer {
  let key = hmacSha256(Buffer.from(`AWS4${secret}`), day)
  for (const word of [region, service, 'aws4_request']) key = hmacSha256(key, word)
  return key
}

function hmacSha256(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest()
}
