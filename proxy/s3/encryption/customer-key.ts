/** Keys that clients bring with their requests, and that are never kept (SSE-C). */
import { hash, timingSafeEqual } from 'node:crypto'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { customerCheck, type SseRecord, sseOf } from '../../encryption/sse-record.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

const KEY_BYTES = 32

/** Whole names: one that is put together for each request is dear to look up. */
const HEADERS = {
  object: headersOf('x-amz-server-side-encryption-customer-'),
  source: headersOf('x-amz-copy-source-server-side-encryption-customer-'),
} as const

function headersOf(prefix: string) {
  return { algorithm: `${prefix}algorithm`, key: `${prefix}key`, md5: `${prefix}key-md5` }
}

export interface CustomerKey {
  readonly key: Uint8Array
  /** Base64, as the client has said it. */
  readonly md5: string
}

/** The key of the request's object, or of the source of a copy; undefined without one. */
export function customerKeyOf(
  call: S3Call,
  of: 'object' | 'source' = 'object',
): CustomerKey | undefined {
  const names = HEADERS[of]
  const algorithm = call.header(names.algorithm)
  const text = call.header(names.key)
  const md5 = call.header(names.md5)
  if (algorithm === undefined && text === undefined && md5 === undefined) return undefined
  if (algorithm === undefined) throw incomplete('a valid encryption algorithm')
  if (algorithm !== 'AES256') throw new S3Error('InvalidEncryptionAlgorithmError')
  if (text === undefined) throw incomplete('an appropriate secret key')
  if (md5 === undefined) throw incomplete('the client calculated MD5 of the secret key')
  if (call.settings.customerKeysNeedTls && !isSecure(call)) {
    throw new S3Error(
      'InvalidRequest',
      'Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.',
    )
  }
  const key = Buffer.from(text, 'base64')
  if (key.length !== KEY_BYTES) {
    throw invalid(names.key, 'The secret key was invalid for the specified algorithm.')
  }
  if (!isSame(hash('md5', key, 'base64'), md5)) {
    throw invalid(
      names.md5,
      'The calculated MD5 hash of the key did not match the hash that was provided.',
    )
  }
  return { key, md5 }
}

/** Whether it is the key that the record is of. */
export function isKeyOf(record: SseRecord, { key }: CustomerKey): boolean {
  return isSame(customerCheck(key, record.salt), record.check ?? '')
}

/** Throws unless the reader has brought what the object needs, and nothing that it has no use for. */
export function checkReader(info: ItemInfo, key: CustomerKey | undefined): void {
  const record = sseOf(info.meta)
  if (record?.mode === 'customer') {
    if (key === undefined) throw keyNeeded()
    if (!isKeyOf(record, key)) throw otherKey()
  } else if (key !== undefined) {
    throw new S3Error(
      'InvalidRequest',
      'The encryption parameters are not applicable to this object.',
    )
  }
}

export function keyNeeded(): S3Error {
  return new S3Error(
    'InvalidRequest',
    'The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.',
  )
}

export function otherKey(): S3Error {
  return new S3Error(
    'InvalidRequest',
    'The provided encryption parameters did not match the ones used originally to encrypt the object.',
  )
}

function incomplete(what: string): S3Error {
  return new S3Error(
    'InvalidArgument',
    `Requests specifying Server Side Encryption with Customer provided keys must provide ${what}.`,
  )
}

function invalid(name: string, message: string): S3Error {
  return new S3Error('InvalidArgument', message, { ArgumentName: name })
}

function isSecure({ exchange: { socket } }: S3Call): boolean {
  return 'encrypted' in socket && socket.encrypted === true
}

function isSame(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)]
  return one.length === other.length && timingSafeEqual(one, other)
}
