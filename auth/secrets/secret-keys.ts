import { createCipheriv, createDecipheriv } from 'node:crypto'
import { ServiceError } from '../../common/errors.ts'
import { type Random, randomId } from '../../common/random.ts'

/** A key that secrets in state are sealed with. */
export interface SecretKey {
  readonly id: string
  /** 32 bytes in base64url. */
  readonly key: string
}

/** The newest first: it seals, all of them open. */
export type SecretKeys = readonly [SecretKey, ...SecretKey[]]

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Older keys open what a backup of the state holds. */
export const SECRET_KEYS_KEPT = 16

export function generateSecretKey(random: Random): SecretKey {
  return {
    id: randomId(random).slice(0, 8),
    key: Buffer.from(random.bytes(KEY_BYTES)).toString('base64url'),
  }
}

/** The keys with a fresh one in front; the oldest beyond the bound is dropped. */
export function withFreshKey(keys: readonly SecretKey[], fresh: SecretKey): SecretKeys {
  return [fresh, ...keys.slice(0, SECRET_KEYS_KEPT - 1)]
}

/**
 * A text sealed by AES-256-GCM: `key id.nonce.text and tag`, the last two in base64url. It opens only for the same
 * `place`, so that nobody can put one row's secret into another.
 */
export function seal(
  keys: SecretKeys,
  text: string,
  { place, random }: { readonly place: string; readonly random: Random },
): string {
  const [{ id, key }] = keys
  const nonce = random.bytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(key, 'base64url'), nonce)
  cipher.setAAD(Buffer.from(place))
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return [id, Buffer.from(nonce).toString('base64url'), sealed.toString('base64url')].join('.')
}

/** The text that was sealed. Throws 500 `SecretUnreadable` if the key is not there or it is not what was sealed. */
export function unseal(keys: SecretKeys, sealed: string, place: string): string {
  const [id, nonce = '', body = ''] = sealed.split('.')
  const key = keys.find((candidate) => candidate.id === id)
  if (key === undefined) throw unreadable(`no key ${id}`)
  const bytes = Buffer.from(body, 'base64url')
  const split = bytes.length - TAG_BYTES
  try {
    const decipher = createDecipheriv(
      'aes-256-gcm',
      Buffer.from(key.key, 'base64url'),
      Buffer.from(nonce, 'base64url'),
      { authTagLength: TAG_BYTES },
    )
    decipher.setAAD(Buffer.from(place))
    decipher.setAuthTag(bytes.subarray(split))
    const text = [decipher.update(bytes.subarray(0, split)), decipher.final()]
    return Buffer.concat(text).toString('utf8')
  } catch (cause) {
    throw unreadable('it is not what was sealed', cause)
  }
}

/** The id of the key that sealed it. */
export function sealedBy(sealed: string): string {
  return sealed.slice(0, sealed.indexOf('.'))
}

/** The text of a file of keys. */
export function encodeSecretKeys(keys: SecretKeys): string {
  return `${JSON.stringify({ format: 1, keys }, null, 2)}\n`
}

/** Reads the file's text. Throws 500 `BadSecretKeys` for anything but what `encodeSecretKeys` writes. */
export function decodeSecretKeys(text: string): SecretKeys {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw badKeys('the file is not JSON', cause)
  }
  const { format, keys } = (parsed ?? {}) as Readonly<Record<string, unknown>>
  if (format !== 1) throw badKeys(`format ${String(format)} is not 1`)
  if (!Array.isArray(keys) || keys.length === 0 || !keys.every(isSecretKey)) {
    throw badKeys('no list of keys')
  }
  return keys as unknown as SecretKeys
}

function isSecretKey(value: unknown): value is SecretKey {
  const { id, key } = (value ?? {}) as Readonly<Record<string, unknown>>
  return (
    typeof id === 'string' &&
    /^\w{1,64}$/.test(id) &&
    typeof key === 'string' &&
    Buffer.from(key, 'base64url').length === KEY_BYTES
  )
}

function unreadable(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('SecretUnreadable', `a secret cannot be opened: ${reason}`, { cause })
}

function badKeys(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('BadSecretKeys', `keys of secrets: ${reason}`, { cause })
}
