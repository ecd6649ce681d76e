import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose'
import { ServiceError } from '../errors.ts'
import { decodeClaims, encodeClaims, type TokenClaims } from './claims.ts'
import { type SigningKey, TOKEN_ALGORITHM, type VerifyingKeys } from './token-keys.ts'

/**
 * What a header line carries everywhere: Swift and its clients take 8 KiB. A token with a handful of roles has about
 * 600 characters, each role more about 70.
 */
export const TOKEN_CHARS_MAX = 8000

/** The claims as a signed JWT. Throws 403 `TokenTooLong` if there are too many roles or access rules for a header. */
export async function signToken(claims: TokenClaims, signer: SigningKey): Promise<string> {
  const token = await new CompactSign(Buffer.from(JSON.stringify(encodeClaims(claims))))
    .setProtectedHeader({ alg: TOKEN_ALGORITHM, kid: signer.id })
    .sign(signer.key)
  if (token.length <= TOKEN_CHARS_MAX) return token
  throw new ServiceError('TokenTooLong', 'too many roles or access rules for one token', {
    status: 403,
  })
}

/**
 * Who signed the text, if it has the form of a token: the id of the key in its head. Nothing is verified; it serves to
 * tell a token of a key that is not known yet from what is no token.
 */
export function keyIdOf(token: string): string | null {
  if (token.length > TOKEN_CHARS_MAX || !FORM.test(token)) return null
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    return alg === TOKEN_ALGORITHM && typeof kid === 'string' ? kid : null
  } catch {
    return null
  }
}

/**
 * The claims of a token that one of the keys signed; null for anything else. Whether its time is over (`isCurrent`)
 * or it was revoked (`Revocations`) is for the caller to judge.
 */
export async function verifyToken(token: string, keys: VerifyingKeys): Promise<TokenClaims | null> {
  const keyId = keyIdOf(token)
  const key = keyId === null ? undefined : keys.get(keyId)
  if (key === undefined) return null
  try {
    const { payload } = await compactVerify(token, key, { algorithms: [TOKEN_ALGORITHM] })
    return decodeClaims(JSON.parse(Buffer.from(payload).toString()))
  } catch {
    return null
  }
}

/** Head, claims and a signature of 64 bytes, each in base64url. */
const FORM = /^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{85}[AQgw]$/
