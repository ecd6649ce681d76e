/**
 * The keys of a device's index. Drawn in docs/formats/index.md. Hashes are latin1 texts of 16 characters; names in
 * keys are UTF-8, so that byte order is listing order.
 */

import { writeLatin1 } from './text-bytes.ts'

/** First byte of each key space. */
export const SPACES = {
  /** Registers: kind, policy, placement, hash → Entry. */
  entry: 0x6f, // o
  /** Live rows: list hash, name → row. */
  row: 0x72, // r
  /** Deleted rows, apart so that a listing never steps over them. */
  deletedRow: 0x64, // d
  /** Totals of a list: list hash → stats. */
  stats: 0x73, // s
  /** Expiry: second, register key → empty. */
  expiry: 0x78, // x
  /** Rows not yet confirmed: list hash, name → full name of the list. */
  unconfirmedRow: 0x75, // u
  /** Registers whose row is not yet confirmed: register key → empty. */
  unconfirmedEntry: 0x77, // w
  /** Lists whose totals are not yet with their account: register key → empty. */
  changedList: 0x6d, // m
  /** Per shard: where replay begins. */
  checkpoint: 0x6b, // k
  /** Per shard: the numbers of the last flush batches. */
  chain: 0x6e, // n
  /** Per shard and segment: bytes that are alive, and where it was cut. */
  segment: 0x67, // g
} as const

/** The key of a register within its space, 24 bytes: kind, policy, placement, hash. */
export function entryKey(
  space: number,
  item: {
    readonly kind: number
    readonly policy: number
    readonly placement: number
    readonly hash: string
  },
): Buffer {
  const key = Buffer.allocUnsafe(24)
  key[0] = space
  key[1] = item.kind
  key.writeUInt16BE(item.policy, 2)
  key.writeUInt32BE(item.placement, 4)
  writeLatin1(key, item.hash, 8)
  return key
}

/** `tail` is the UTF-8 of the name as latin1 text, or empty for the whole list's first key. */
export function listKey(space: number, hash: string, tail = ''): Buffer {
  const key = Buffer.allocUnsafe(17 + tail.length)
  key[0] = space
  writeLatin1(key, hash, 1)
  writeLatin1(key, tail, 17)
  return key
}

/** The first key behind all keys that begin with this one. */
export function afterPrefix(key: Uint8Array): Buffer {
  const next = Buffer.from(key)
  for (let i = next.length - 1; i >= 0; i--) {
    if (next[i]! < 0xff) {
      next[i]!++
      return next.subarray(0, i + 1)
    }
  }
  return Buffer.alloc(64, 0xff)
}

export function shardKey(space: number, shard: number, number?: number): Buffer {
  const key = Buffer.allocUnsafe(number === undefined ? 2 : 8)
  key[0] = space
  key[1] = shard
  if (number !== undefined) key.writeUIntBE(number, 2, 6)
  return key
}

export function expiryKey(
  deleteAt: number,
  item: {
    readonly kind: number
    readonly policy: number
    readonly placement: number
    readonly hash: string
  },
): Buffer {
  const key = Buffer.allocUnsafe(7 + 23)
  key[0] = SPACES.expiry
  key.writeUIntBE(deleteAt, 1, 6)
  entryKey(0, item).copy(key, 7, 1)
  return key
}

const BEYOND_ASCII = /[\u0080-\uffff]/

/**
 * UTF-8 bytes of a text as latin1 text: compares with < in byte order. ASCII stays the very string, whose hash V8 knows
 * already: the maps of a write look for it again and again.
 */
export function byteText(text: string): string {
  return BEYOND_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text
}

export function fromByteText(text: string): string {
  return BEYOND_ASCII.test(text) ? Buffer.from(text, 'latin1').toString('utf8') : text
}
