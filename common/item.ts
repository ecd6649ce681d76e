import { hash } from 'node:crypto'
import { xxh64OfText } from './checksum.ts'
import type { Placement } from './ring/ring.ts'

export const ITEM_KINDS = ['account', 'container', 'object'] as const
export type ItemKind = (typeof ITEM_KINDS)[number]

/** One register of the store: an account, a container or an object. */
export interface ItemKey {
  readonly kind: ItemKind
  /** `/account`, `/account/container` or `/account/container/object`; UTF-8 text, not escaped. */
  readonly name: string
  /** The identity: 128 bits of MD5 over the salted name, 16 latin1 characters. */
  readonly hash: string
  /** Unsigned 32 bits whose top bits are the partition. */
  readonly placement: number
  /** Storage policy index; 0 for accounts and containers. */
  readonly policy: number
  /** Of the rings by which its devices were found; 0 if absent. A node refuses what is older than the last move. */
  readonly epoch?: number
}

/** The cluster's salt and placement function: the same in every process of a cluster, for good. */
export interface ItemHashing {
  readonly prefix: string
  readonly suffix: string
  readonly placement: Placement
}

/** The key of a name. With placement `md5` it is Swift's: the first four bytes of the salted MD5. */
export function itemKey(hashing: ItemHashing, kind: ItemKind, name: string, policy = 0): ItemKey {
  const salted = hashing.prefix + name + hashing.suffix
  const digest = hash('md5', salted, 'latin1' as 'hex')
  return {
    kind,
    name,
    hash: digest,
    placement: hashing.placement === 'md5' ? md5Placement(digest) : xxh64Placement(salted),
    policy,
  }
}

function md5Placement(digest: string): number {
  return (
    ((digest.charCodeAt(0) << 24) |
      (digest.charCodeAt(1) << 16) |
      (digest.charCodeAt(2) << 8) |
      digest.charCodeAt(3)) >>>
    0
  )
}

function xxh64Placement(salted: string): number {
  return Number(xxh64OfText(salted) >> 32n)
}

export function accountName(account: string): string {
  return `/${account}`
}

export function containerName(account: string, container: string): string {
  return `/${account}/${container}`
}

export function objectName(account: string, container: string, object: string): string {
  return `/${account}/${container}/${object}`
}

/** The parts of an item's name; account and container never hold a slash. */
export function splitName(name: string): {
  readonly account: string
  readonly container?: string
  readonly object?: string
} {
  const second = name.indexOf('/', 1)
  if (second < 0) return { account: name.slice(1) }
  const account = name.slice(1, second)
  const third = name.indexOf('/', second + 1)
  if (third < 0) return { account, container: name.slice(second + 1) }
  return { account, container: name.slice(second + 1, third), object: name.slice(third + 1) }
}
