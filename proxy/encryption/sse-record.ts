/**
 * Objects whose clients have asked for encryption (S3's SSE): what is kept of it beside the object, as JSON. Pure.
 *
 * The body has a key of its own, wrapped by a key that comes from a named secret of the store's, or from the client's own
 * key, which is not kept; a salt and the encryption context join the derivation. Nothing is bound to the object's name: what
 * lies in the store may be kept as a version elsewhere as it is.
 */
import { ServiceError } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import type { BodyReader, ItemMeta, ItemRead } from '../../common/storage-node.ts'
import { bodyCipher, etagMac, PathKeys, unwrapBodyKey } from './cipher.ts'
import type { RootSecrets } from './root-secrets.ts'

export const S3_SSE = 'x-object-sysmeta-s3-sse'

/** By keys of the store's (`AES256`, `aws:kms…`), or by the client's. */
export const SSE_MODES = ['AES256', 'aws:kms', 'aws:kms:dsse', 'customer'] as const
export type SseMode = (typeof SSE_MODES)[number]

export interface SseRecord {
  readonly mode: SseMode
  readonly salt: string
  /** The key of the store's that a client has named. */
  readonly keyId?: string
  /** The encryption context as it came: base64 of JSON. */
  readonly context?: string
  readonly bucketKey?: boolean
  /** Of a client's key: tells it from others, and says nothing of it. */
  readonly check?: string
  /** The body's key; absent where the body is no secret: the manifest of parts that have keys of their own. */
  readonly wrapped?: string
}

const CUSTOMER_ID = 'customer'
const SALT_BYTES = 16

export function encodeSse(record: SseRecord): string {
  return JSON.stringify(record)
}

/** Undefined for an object that nobody has wanted enciphered. */
export function sseOf({ headers }: ItemMeta): SseRecord | undefined {
  const text = headers[S3_SSE]
  if (text === undefined || text === '') return undefined
  return JSON.parse(text) as SseRecord
}

export function drawSalt(random: Random): string {
  return Buffer.from(random.bytes(SALT_BYTES)).toString('base64url')
}

/** The client's own key as the secret of one object. */
export function customerSecret(key: Uint8Array): RootSecrets {
  return { active: CUSTOMER_ID, secrets: new Map([[CUSTOMER_ID, key]]) }
}

/** The keys that the body's key is wrapped by. */
export function sseKeys(roots: RootSecrets, { salt, context = '' }: SseRecord): PathKeys {
  return new PathKeys(roots, `s3-sse ${salt} ${context}`)
}

export function customerCheck(key: Uint8Array, salt: string): string {
  const keys = sseKeys(customerSecret(key), { mode: 'customer', salt })
  return etagMac(keys, CUSTOMER_ID, 'check')
}

/** The plain object; `roots` are those that its key is wrapped by. */
export function openSse(read: ItemRead, record: SseRecord, roots: RootSecrets): ItemRead {
  const { info, body } = read
  if (record.wrapped === undefined || body === null) return read
  const key = unwrapBodyKey(sseKeys(roots, record), record.wrapped)
  if (!('stream' in body)) return { info, body: bodyCipher(key).update(body) }
  return { info, body: openReader(body, key) }
}

/** The client has not brought the key that the object needs. */
export function customerKeyNeeded(): ServiceError {
  return new ServiceError(
    CUSTOMER_KEY_NEEDED,
    'The object is enciphered with a key that only its owner has: read it by the S3 API, with the key.',
    { status: 403 },
  )
}

export const CUSTOMER_KEY_NEEDED = 'CustomerKeyNeeded'

/** The body deciphered as it is read; what the store gave is given back to it at once. */
export function openReader(body: BodyReader, key: Parameters<typeof bodyCipher>[0]): BodyReader {
  return {
    bytes: body.bytes,
    async *stream(start, end) {
      const cipher = bodyCipher(key, start)
      for await (const piece of body.stream(start, end)) {
        const plain = cipher.update(piece)
        body.recycle?.(piece)
        yield plain
      }
    },
    close: () => body.close(),
  }
}
