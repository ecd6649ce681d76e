import { ServiceError } from '../errors.ts'
import {
  type Jwks,
  type PrivateJwk,
  type PublicJwk,
  parseJwks,
  parsePrivateJwk,
  publicHalf,
} from './token-keys.ts'

/**
 * The keys of tokens, as the identity service keeps them. A key is staged first: published, so that every service has
 * it before the first token is signed with it. Then it is the primary, which signs; then secondary, which only verifies
 * and whose private half is gone; then it is retired, and its tokens are void.
 */
export interface TokenKeySet {
  readonly staged: PrivateJwk
  readonly primary: PrivateJwk
  /** Newest first. */
  readonly secondaries: readonly PublicJwk[]
}

/** Secondary keys kept by default: rotations that a token outlives. */
export const SECONDARIES_KEPT = 2

/** The keys after a rotation: `fresh` is staged, and the secondaries that are too many are retired. */
export function rotated(
  keys: TokenKeySet,
  fresh: PrivateJwk,
  options: { readonly secondariesKept?: number } = {},
): TokenKeySet {
  const secondaries = [publicHalf(keys.primary), ...keys.secondaries]
  return {
    staged: fresh,
    primary: keys.staged,
    secondaries: secondaries.slice(0, options.secondariesKept ?? SECONDARIES_KEPT),
  }
}

/** What the identity service publishes: everything a token may be signed with, now or soon. */
export function publishedKeys({ staged, primary, secondaries }: TokenKeySet): Jwks {
  return { keys: [publicHalf(primary), publicHalf(staged), ...secondaries.map(publicHalf)] }
}

/** The text of a key file. */
export function encodeKeySet({ staged, primary, secondaries }: TokenKeySet): string {
  return `${JSON.stringify({ format: 1, staged, primary, secondaries }, null, 2)}\n`
}

/** Reads a key file's text. Throws a 500 with the reason for anything but what encodeKeySet writes. */
export function decodeKeySet(text: string): TokenKeySet {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw new ServiceError('BadTokenKeys', 'keys of tokens: the file is not JSON', { cause })
  }
  const { format, staged, primary, secondaries } = (parsed ?? {}) as Readonly<
    Record<string, unknown>
  >
  if (format !== 1) {
    throw new ServiceError('BadTokenKeys', `keys of tokens: format ${String(format)} is not 1`)
  }
  return {
    staged: parsePrivateJwk(staged),
    primary: parsePrivateJwk(primary),
    secondaries: parseJwks({ keys: secondaries }).keys,
  }
}
