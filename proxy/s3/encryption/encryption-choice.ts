/** How the store is to encipher an object: what its maker or its bucket says. */

import { type Soon, soon } from '../../../common/soon.ts'
import type { ItemInfo, ItemMeta } from '../../../common/storage-node.ts'
import type { SseSeal } from '../../encryption/sse-backend.ts'
import {
  customerCheck,
  customerSecret,
  drawSalt,
  type SseMode,
  type SseRecord,
  sseOf,
} from '../../encryption/sse-record.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { findBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { decodeDefault } from './bucket-encryption.ts'
import { customerKeyOf, isKeyOf, keyNeeded, otherKey } from './customer-key.ts'

const SSE = 'x-amz-server-side-encryption'
const SSE_KEY_ID = `${SSE}-aws-kms-key-id`
const SSE_CONTEXT = `${SSE}-context`
const SSE_BUCKET_KEY = `${SSE}-bucket-key-enabled`
const STORE_MODES = ['AES256', 'aws:kms', 'aws:kms:dsse'] as const
const CONTEXT_BYTES_MAX = 4096

/** What a request or a bucket wants of the store's own keys. */
export interface StoreEncryption {
  readonly mode: Exclude<SseMode, 'customer'>
  readonly keyId?: string
  readonly context?: string
  readonly bucketKey?: boolean
}

/** The seal of an object that the request makes; null: nobody wants one. */
export function sealOfRequest(call: S3Call): Soon<SseSeal | null> {
  const asked = askedOf(call)
  const customer = customerKeyOf(call)
  if (customer !== undefined) {
    if (asked !== null) {
      throw new S3Error(
        'InvalidArgument',
        'Server Side Encryption with Customer provided key is incompatible with the encryption method specified',
        { ArgumentName: SSE, ArgumentValue: asked.mode },
      )
    }
    const salt = drawSalt(call.exchange.proxy.random)
    const check = customerCheck(customer.key, salt)
    return { record: { mode: 'customer', salt, check }, roots: customerSecret(customer.key) }
  }
  return asked === null
    ? soon(defaultOf(call), (wanted) => sealFor(call, wanted))
    : sealFor(call, asked)
}

function sealFor(call: S3Call, wanted: StoreEncryption | null): SseSeal | null {
  if (wanted === null) return null
  const { mode, keyId, context, bucketKey } = checkStoreEncryption(call, wanted)
  const salt = drawSalt(call.exchange.proxy.random)
  const record: SseRecord = {
    mode,
    salt,
    ...(keyId !== undefined && { keyId }),
    ...(context !== undefined && { context }),
    ...(bucketKey === true && { bucketKey }),
  }
  return storeSeal(call, record)
}

/** The seal of a part: its upload's. A client's own key comes with each part, and must be the same. */
export function sealOfPart(call: S3Call, meta: Pick<ItemMeta, 'headers'>): SseSeal | null {
  const record = sseOf({ headers: meta.headers })
  const customer = customerKeyOf(call)
  if (record?.mode === 'customer') {
    if (customer === undefined) throw keyNeeded()
    if (!isKeyOf(record, customer)) throw otherKey()
    return { record, roots: customerSecret(customer.key) }
  }
  if (customer !== undefined) throw otherKey()
  return record === undefined ? null : storeSeal(call, record)
}

/** InvalidArgument or KMS.NotFoundException for what the store has no key for; a 501 where it has none at all. */
export function checkStoreEncryption(call: S3Call, wanted: StoreEncryption): StoreEncryption {
  const { keys } = call.settings
  if (keys === undefined) throw notImplemented('Server Side Encryption without keys of the store’s')
  if (wanted.mode === 'AES256') return wanted
  if (wanted.keyId === undefined) {
    throw new S3Error('InvalidArgument', 'This store has no default KMS key: name one.', {
      ArgumentName: SSE_KEY_ID,
      ArgumentValue: 'null',
    })
  }
  if (!keys.secrets.has(nameOfKey(wanted.keyId))) throw new S3Error('KMS.NotFoundException')
  return wanted
}

/** What is answered of an object's encryption; `call` may have brought a key. */
export function encryptionHeaders(call: S3Call, record: SseRecord | undefined): string[] {
  if (record === undefined) return []
  const { mode, keyId, bucketKey } = record
  if (mode === 'customer') {
    const customer = customerKeyOf(call)
    return [
      `${SSE}-customer-algorithm`,
      'AES256',
      ...(customer === undefined ? [] : [`${SSE}-customer-key-MD5`, customer.md5]),
    ]
  }
  return [
    SSE,
    mode,
    ...(keyId === undefined ? [] : [SSE_KEY_ID, keyId]),
    ...(bucketKey === true ? [SSE_BUCKET_KEY, 'true'] : []),
  ]
}

export function encryptionOfObject(call: S3Call, { meta }: ItemInfo): string[] {
  return encryptionHeaders(call, sseOf(meta))
}

/** A read that says how the object is to be enciphered is no read. */
export function refuseWriteHeaders(call: S3Call): void {
  const value = call.header(SSE)
  if (value === undefined) return
  throw new S3Error('InvalidArgument', `${SSE} header is not supported for this operation.`, {
    ArgumentName: SSE,
    ArgumentValue: value,
  })
}

function storeSeal(call: S3Call, record: SseRecord): SseSeal {
  const { keys } = call.settings
  if (keys === undefined) throw notImplemented('Server Side Encryption without keys of the store’s')
  const active = record.keyId === undefined ? keys.active : nameOfKey(record.keyId)
  return { record, roots: { ...keys, active } }
}

function askedOf(call: S3Call): StoreEncryption | null {
  const text = call.header(SSE)
  const keyId = call.header(SSE_KEY_ID)
  const context = call.header(SSE_CONTEXT)
  if (text === undefined && keyId === undefined && context === undefined) return null
  const bucketKey = call.header(SSE_BUCKET_KEY)?.toLowerCase() === 'true'
  const mode = STORE_MODES.find((known) => known === text)
  if (text !== undefined && mode === undefined) {
    throw new S3Error('InvalidArgument', 'The encryption method specified is not supported', {
      ArgumentName: SSE,
      ArgumentValue: text,
    })
  }
  if ((keyId !== undefined || context !== undefined) && mode?.startsWith('aws:kms') !== true) {
    throw new S3Error(
      'InvalidArgument',
      `Server Side Encryption with AWS KMS managed key requires HTTP header ${SSE} : aws:kms`,
      { ArgumentName: SSE, ArgumentValue: text ?? 'null' },
    )
  }
  if (mode === undefined) return null
  return {
    mode,
    ...(keyId !== undefined && { keyId }),
    ...(context !== undefined && { context: checkContext(context) }),
    bucketKey,
  }
}

function defaultOf(call: S3Call): Soon<StoreEncryption | null> {
  return soon(findBucket(call, call.bucket), ({ info }) => {
    const text = bucketSetting(info, 'encryption')
    return text === undefined ? null : decodeDefault(text)
  })
}

/** Base64 of a JSON object of texts. */
function checkContext(text: string): string {
  const argument = { ArgumentName: SSE_CONTEXT, ArgumentValue: text.slice(0, 64) }
  if (text.length > CONTEXT_BYTES_MAX) throw new S3Error('InvalidArgument', undefined, argument)
  try {
    const context: unknown = JSON.parse(Buffer.from(text, 'base64').toString())
    const isObject = typeof context === 'object' && context !== null && !Array.isArray(context)
    if (isObject && Object.values(context).every((value) => typeof value === 'string')) return text
  } catch {
    // Told below.
  }
  throw new S3Error('InvalidArgument', 'The encryption context is not base64 of JSON.', argument)
}

/** The id itself, or what an ARN or an alias ends with. */
function nameOfKey(keyId: string): string {
  return keyId.slice(keyId.lastIndexOf('/') + 1)
}
