import { createHmac, timingSafeEqual } from 'node:crypto'

export const DIGESTS = ['sha1', 'sha256', 'sha512'] as const
export type Digest = (typeof DIGESTS)[number]

/** A signature as a URL or a form brings it. */
export interface Signature {
  readonly digest: Digest
  readonly bytes: Buffer
}

const BY_HEX_DIGITS: Readonly<Record<number, Digest>> = { 40: 'sha1', 64: 'sha256', 128: 'sha512' }
const BYTES: Readonly<Record<Digest, number>> = { sha1: 20, sha256: 32, sha512: 64 }

/** Reads `<hex digits>` or `<algorithm>:<base64>` (either alphabet); null for anything else. */
export function parseSignature(text: string): Signature | null {
  const colon = text.indexOf(':')
  if (colon < 0) {
    const digest = /^[0-9a-f]+$/i.test(text) ? BY_HEX_DIGITS[text.length] : undefined
    return digest === undefined ? null : { digest, bytes: Buffer.from(text, 'hex') }
  }
  const digest = DIGESTS.find((one) => one === text.slice(0, colon))
  const encoded = text.slice(colon + 1)
  if (digest === undefined || !/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded)) return null
  const bytes = Buffer.from(encoded, 'base64')
  return bytes.length === BYTES[digest] ? { digest, bytes } : null
}

/** Whether the key signs the message so; takes as long for a wrong signature as for a right one. */
export function isSignedBy(signature: Signature, key: string, message: string): boolean {
  const right = createHmac(signature.digest, key).update(message).digest()
  return right.length === signature.bytes.length && timingSafeEqual(right, signature.bytes)
}

/** What /info says of the digests that are taken. */
export function digestInfo(allowed: readonly Digest[]): Readonly<Record<string, unknown>> {
  const deprecated = allowed.filter((digest) => digest === 'sha1')
  return {
    allowed_digests: [...allowed].sort(),
    ...(deprecated.length > 0 && { deprecated_digests: deprecated }),
  }
}
