import assert from 'node:assert'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { RESELLER_PREFIX } from './user.ts'

/**
 * A token is a signed statement, so that it survives a restart and every process with the key reads it alone:
 *
 *   AUTH_tk + base64url( u8 form=1 | u40 expiry, seconds since 1970 | 8 bytes user version | user name, UTF-8 | 16 bytes MAC )
 *
 * The MAC is the first half of HMAC-SHA256 over all before it. What the user may do is not in it but in the users
 * file: a changed or removed user voids the token without a list of revoked ones.
 */
export interface TokenClaims {
  /** `account:name`. */
  readonly user: string
  /** 16 hex digits: the user's version when it signed in. */
  readonly version: string
  /** Whole seconds since 1970; at this time it is void. */
  readonly expiresAtSeconds: number
}

export const TOKEN_PREFIX = `${RESELLER_PREFIX}tk`
const FORM = 1
const HEAD_BYTES = 14
const MAC_BYTES = 16
const TOKEN_CHARS_MAX = 1024

/** A token that says so, signed with `key` (32 secret bytes). */
export function encodeToken(claims: TokenClaims, key: Uint8Array): string {
  const name = Buffer.from(claims.user)
  const body = Buffer.alloc(HEAD_BYTES + name.length)
  const versionChars = body.write(claims.version, 6, 'hex')
  assert(versionChars === 8, 'a user version is 16 hex digits')
  body.writeUInt8(FORM, 0)
  body.writeUIntBE(claims.expiresAtSeconds, 1, 5)
  name.copy(body, HEAD_BYTES)
  return TOKEN_PREFIX + Buffer.concat([body, macOf(body, key)]).toString('base64url')
}

/** The claims of a token that one of the keys signed; null for anything else. Expiry is the caller's to judge. */
export function decodeToken(token: string, keys: readonly Uint8Array[]): TokenClaims | null {
  if (!token.startsWith(TOKEN_PREFIX) || token.length > TOKEN_CHARS_MAX) return null
  const bytes = Buffer.from(token.slice(TOKEN_PREFIX.length), 'base64url')
  if (bytes.length <= HEAD_BYTES + MAC_BYTES || bytes[0] !== FORM) return null
  // The decoder skips what is not base64url and spare bits: only the text that encodeToken made is the token.
  if (bytes.toString('base64url') !== token.slice(TOKEN_PREFIX.length)) return null
  const body = bytes.subarray(0, -MAC_BYTES)
  const mac = bytes.subarray(-MAC_BYTES)
  if (!keys.some((key) => timingSafeEqual(macOf(body, key), mac))) return null
  return {
    user: body.toString('utf8', HEAD_BYTES),
    version: body.toString('hex', 6, HEAD_BYTES),
    expiresAtSeconds: body.readUIntBE(1, 5),
  }
}

function macOf(body: Uint8Array, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(body).digest().subarray(0, MAC_BYTES)
}
