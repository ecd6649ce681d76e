import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from 'jose'
import { ServiceError } from '../errors.ts'

/** Tokens are signed with ECDSA on P-256 and SHA-256, as Keystone's JWS tokens are; nothing else is accepted. */
export const TOKEN_ALGORITHM = 'ES256'

/** Where the identity service lists its public keys (RFC 7517), for anybody to read. */
export const TOKEN_KEYS_PATH = '/v3/OS-SWIFTLET/token-keys'

/** A key that signs: whoever has it can be anybody. */
export interface SigningKey {
  /** Names the key in the head of each token. */
  readonly id: string
  readonly key: CryptoKey
}

/** What tokens are verified with, by key id. */
export type VerifyingKeys = ReadonlyMap<string, CryptoKey>

/** The public half of a key as the identity service publishes it. */
export interface PublicJwk {
  readonly kid: string
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
}

/** Both halves: only in the key file. */
export interface PrivateJwk extends PublicJwk {
  readonly d: string
}

/** A list of keys as RFC 7517 has it. */
export interface Jwks {
  readonly keys: readonly PublicJwk[]
}

/** More keys than this are no list of ours. */
const KEYS_MAX = 32
/** Of the RFC 7638 thumbprint: enough to tell apart the few keys there are. */
const KEY_ID_CHARS = 16

/** A new key, made by the system's cryptographic randomness. */
export async function generateTokenKey(): Promise<PrivateJwk> {
  const { privateKey } = await generateKeyPair(TOKEN_ALGORITHM, { extractable: true })
  const jwk = await exportJWK(privateKey)
  const kid = (await calculateJwkThumbprint(jwk)).slice(0, KEY_ID_CHARS)
  return parsePrivateJwk({ ...jwk, kid })
}

/** The key ready to sign. Throws if it is not one. */
export async function importSigningKey(jwk: PrivateJwk): Promise<SigningKey> {
  return { id: jwk.kid, key: await importKey(jwk) }
}

/** The keys ready to verify. Throws 500 `BadTokenKeys` if one is not a point of the curve. */
export async function importVerifyingKeys({ keys }: Jwks): Promise<VerifyingKeys> {
  const imported = new Map<string, CryptoKey>()
  for (const key of keys) imported.set(key.kid, await importKey(publicHalf(key)))
  return imported
}

/** Without the private part. */
export function publicHalf({ kid, kty, crv, x, y }: PublicJwk): PublicJwk {
  return { kid, kty, crv, x, y }
}

/** Reads a published list; keys of other kinds are left out. Throws 500 `BadTokenKeys` if it is not a list of keys. */
export function parseJwks(value: unknown): Jwks {
  const keys = (value as { readonly keys?: unknown } | null)?.keys
  if (!Array.isArray(keys) || keys.length > KEYS_MAX) throw badKeys('not a list of keys')
  return { keys: keys.flatMap((key) => (isPublicJwk(key) ? [publicHalf(key)] : [])) }
}

/** Throws 500 `BadTokenKeys` if it is not a private key on P-256. */
export function parsePrivateJwk(value: unknown): PrivateJwk {
  if (!isPublicJwk(value)) throw badKeys('not a key on P-256')
  const { d } = value as { readonly d?: unknown }
  if (typeof d !== 'string') throw badKeys('the private half is missing')
  return { ...publicHalf(value), d }
}

async function importKey(jwk: PublicJwk | PrivateJwk): Promise<CryptoKey> {
  try {
    return (await importJWK({ ...jwk } as JWK, TOKEN_ALGORITHM)) as CryptoKey
  } catch (cause) {
    throw badKeys(`${jwk.kid} is no key`, cause)
  }
}

function isPublicJwk(value: unknown): value is PublicJwk {
  if (typeof value !== 'object' || value === null) return false
  const { kid, kty, crv, x, y } = value as Readonly<Record<string, unknown>>
  return (
    kty === 'EC' &&
    crv === 'P-256' &&
    [kid, x, y].every((text) => typeof text === 'string' && text !== '')
  )
}

function badKeys(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('BadTokenKeys', `keys of tokens: ${reason}`, { cause })
}
