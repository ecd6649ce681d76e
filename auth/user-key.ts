import { scrypt, timingSafeEqual } from 'node:crypto'

/**
 * What a user's key is stored as: `scrypt$cost$blockSize$parallelization$salt$hash`, salt and hash in base64url. The
 * cost stands in each text, so that it can be raised later without touching the users there are.
 */
export type StoredKey = string

// 8 MiB and about 20 ms of one core: a sign-in is once a day per client, and a stolen users file stays expensive.
const COST = { N: 8192, r: 8, p: 1 } as const
const HASH_BYTES = 32
export const SALT_BYTES = 16

/** Parameters above these would let a users file stop the process. */
const COST_MAX = { N: 2 ** 20, r: 32, p: 16 } as const

interface ParsedKey {
  readonly N: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly hash: Buffer
}

/** Hashes a key on the thread pool. `salt` is SALT_BYTES random bytes. */
export async function hashKey(key: string, salt: Uint8Array): Promise<StoredKey> {
  const hash = await derive(key, {
    ...COST,
    salt: Buffer.from(salt),
    hash: Buffer.alloc(HASH_BYTES),
  })
  const { N, r, p } = COST
  return [
    'scrypt',
    N,
    r,
    p,
    Buffer.from(salt).toString('base64url'),
    hash.toString('base64url'),
  ].join('$')
}

/** Whether the key is the one that was stored; false for a stored text that cannot be read. */
export async function verifyKey(key: string, stored: StoredKey): Promise<boolean> {
  const parsed = parseStoredKey(stored)
  if (parsed === null) return false
  return timingSafeEqual(await derive(key, parsed), parsed.hash)
}

/** Null if the text is not a stored key. */
export function parseStoredKey(stored: StoredKey): ParsedKey | null {
  const match = /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([\w-]{8,})\$([\w-]{22,})$/.exec(stored)
  if (match === null) return null
  const [N, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])]
  const powerOfTwo = N > 1 && (N & (N - 1)) === 0
  if (!powerOfTwo || N > COST_MAX.N || r < 1 || r > COST_MAX.r || p < 1 || p > COST_MAX.p)
    return null
  return {
    N,
    r,
    p,
    salt: Buffer.from(match[4]!, 'base64url'),
    hash: Buffer.from(match[5]!, 'base64url'),
  }
}

function derive(key: string, parsed: ParsedKey): Promise<Buffer> {
  const { N, r, p, salt, hash } = parsed
  // OpenSSL refuses what needs more than maxmem: 128 * N * r and a little.
  const maxmem = 256 * N * r + 1024 * 1024
  return new Promise((resolve, reject) => {
    scrypt(key, salt, hash.length, { N, r, p, maxmem }, (error, derived) =>
      error === null ? resolve(derived) : reject(error),
    )
  })
}
