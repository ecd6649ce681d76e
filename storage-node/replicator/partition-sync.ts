/**
 * Brings one device up to what another holds of a range of a partition: what is held is compared register by register,
 * and rows of listings by digests of stretches, then by name; what lacks is sent. One way: the other device does the
 * same in its turn.
 */
import assert from 'node:assert'
import { forEachParallel } from '../../common/bounded-parallel.ts'
import { ITEM_KINDS, type ItemKey } from '../../common/item.ts'
import { compareStamps, type Stamp, TICKS_PER_SECOND } from '../../common/stamp.ts'
import type { HeldItem, RowRange } from '../../common/storage-node.ts'
import type { Device } from '../device.ts'
import { DigestSum } from '../engine/digest.ts'
import type { RegisterId } from '../engine/memtable.ts'
import type { PlacementRange } from '../engine/placed-ids.ts'
import { registerIdOf } from '../engine/register.ts'
import { ROW_BYTES, type StoredRow } from '../engine/row.ts'
import type { Shard } from '../engine/shard.ts'
import { toggleRow } from '../engine/totals.ts'
import { registerItem } from '../local-items.ts'
import { type FoundItem, isBehind, itemsOf, listRowOf, rowsOf } from '../replica-view.ts'
import { isReclaimableRow, type ReclaimContext, reclaimItem } from './reclaim.ts'
import { type DeviceAddress, itemKeyOf, sendRecord } from './record-transfer.ts'
import { isOld } from './stale.ts'

export interface SyncContext {
  /** Resolves when so many bytes may be sent. */
  readonly take: (bytes: number) => Promise<void>
  /** Records younger than this are somebody's write in progress. */
  readonly graceMs: number
  readonly nowMs: () => number
  readonly signal: AbortSignal
  readonly counters: SyncCounters
  readonly reclaim: ReclaimContext
  /** Whether the rings place a register here by now: a pass may be older than they are. */
  readonly isPlacedHere: (id: RegisterId) => boolean
  /** A record that cannot be read here. */
  readonly onDamage: (id: RegisterId) => void
}

/** What was done, since the start. */
export class SyncCounters {
  recordsSent = 0
  rowsSent = 0
  bytesSent = 0
  /** Records that a device refused, because it has promised a higher ballot: left to the settlers. */
  refused = 0
  /** The same ballot with another write: what must not be. */
  conflicts = 0
  /** Records and rows given away after all their devices had them. */
  released = 0
  /** Damaged records that were written again from a replica. */
  repaired = 0
  /** Damaged records that no majority can have had. */
  givenUp = 0
  /** Tombstones and deleted rows forgotten, after all their devices had known them. */
  reclaimed = 0
}

/** A device of this node. */
export interface OwnDevice {
  readonly device: Device
  readonly address: DeviceAddress
}

const SENDS_MAX = 4
/** Stretches of a listing whose digests are asked for at once; each has up to 500 rows. */
const STRETCHES_MAX = 64

/** Sends what the peer lacks; true if, beyond what is too young, it now has everything that was found here. */
export async function syncRange(
  own: OwnDevice,
  peer: DeviceAddress,
  range: PlacementRange,
  context: SyncContext,
): Promise<boolean> {
  let isWhole = true
  for await (const page of itemsOf(own.device, range)) {
    if (context.signal.aborted) return false
    if (!(await syncItems(own, peer, page, context))) isWhole = false
  }
  return isWhole
}

/** The same for registers that were found already. */
async function syncItems(
  own: OwnDevice,
  peer: DeviceAddress,
  page: readonly FoundItem[],
  context: SyncContext,
): Promise<boolean> {
  if (page.length === 0) return true
  const held = await askHeld(peer, page)
  let isWhole = true
  const sync = async ([index, found]: readonly [number, FoundItem]) => {
    if (context.signal.aborted || isYoung(found.held.ballot, context)) {
      isWhole = false
      return
    }
    const theirs = held[index] ?? null
    // What a part of the log that was lost had deleted comes to light again: see stale.ts.
    if (theirs === null && isStale(own, found, context)) {
      isWhole = false
      return
    }
    // It was there, and has been reclaimed.
    if (theirs === null && (await reclaimItem(own, found, context.reclaim, NOW))) return
    if (isUnreadable(theirs, found.held)) {
      shardOf(own.device, found.id.hash).index.doubtAgain(found.id, found.held.ballot)
      isWhole = false
    }
    if (isBehind(theirs, found.held) && !(await send(own, peer, found, context))) isWhole = false
    else if (isConflict(theirs, found.held)) {
      context.counters.conflicts++
      isWhole = false
    }
    const rows = found.held.rows
    if (rows === undefined || rows === theirs?.rows || rows === NO_ROWS) return
    if (!(await syncRows(own, peer, found.id, context))) isWhole = false
  }
  await forEachParallel(page.entries(), SENDS_MAX, sync, { stopAtFailure: true })
  return isWhole
}

function isStale(own: OwnDevice, { id, held }: FoundItem, context: SyncContext): boolean {
  const isLearning = shardOf(own.device, id.hash).learning !== null
  return isLearning && isOld(own, id.hash, held.ballot, context)
}

const NOW = { isForLong: false } as const
const NO_ROWS = '0'.repeat(16)

async function askHeld(
  peer: DeviceAddress,
  page: readonly FoundItem[],
): Promise<readonly (HeldItem | null)[]> {
  if (page.length === 0) return []
  const { kind, policy } = page[0]!.id
  const items = page.map(({ id: { hash, placement } }) => ({ hash, placement }))
  return peer.node.held(peer.device, { kind: ITEM_KINDS[kind]!, policy, items })
}

function isConflict(theirs: HeldItem | null, mine: HeldItem): boolean {
  if (theirs === null || compareStamps(theirs.ballot, mine.ballot) !== 0) return false
  return theirs.writeId !== mine.writeId
}

/**
 * Whether the peer has something newer that nobody can read any more. Had it been chosen, a majority would have it: so
 * whoever settles the register has what the majority does have accepted above it.
 */
function isUnreadable(theirs: HeldItem | null, mine: HeldItem): boolean {
  return theirs?.damaged === true && compareStamps(theirs.ballot, mine.ballot) > 0
}

export function isYoung(ballot: Stamp, { nowMs, graceMs }: SyncContext): boolean {
  return nowMs() - ballot.ticks / (TICKS_PER_SECOND / 1000) < graceMs
}

/** True if the peer has it, or something newer. */
async function send(
  own: OwnDevice,
  peer: DeviceAddress,
  { id, held }: FoundItem,
  context: SyncContext,
): Promise<boolean> {
  const shard = shardOf(own.device, id.hash)
  const info = await registerItem(shard, id)
  if (info === null) {
    context.onDamage(id)
    return false
  }
  const item = itemKeyOf(id, info.name)
  const { counters } = context
  const sent = await sendRecord(own.address, peer, item, { beforeBytes: context.take })
  counters.bytesSent += sent.bytes
  if (sent.outcome === 'gone') return false
  if (sent.outcome !== 'sent') {
    const [theirs] = await askHeld(peer, [{ id, held, bytes: 0 }])
    if (!isBehind(theirs ?? null, held)) return true
    // It has promised to a proposer that may be gone: one of the proxies has the record accepted under a new ballot.
    counters.refused++
    shard.index.doubtAgain(id, held.ballot)
    return false
  }
  counters.recordsSent++
  if (shard.index.entry(id)?.confirmed === true) {
    peer.node.confirm(peer.device, { kind: 'item', item, ballot: held.ballot })
  }
  return true
}

/** Sends the rows that the peer lacks of a list. */
async function syncRows(
  own: OwnDevice,
  peer: DeviceAddress,
  id: RegisterId,
  context: SyncContext,
): Promise<boolean> {
  const shard = shardOf(own.device, id.hash)
  const info = await registerItem(shard, id)
  if (info === null) return false
  const list = itemKeyOf(id, info.name)
  let isWhole = true
  let pages: (readonly StoredRow[])[] = []
  let after = ''
  const compare = async (isEnd: boolean) => {
    if (!(await syncStretches(own, peer, list, { after, pages, isEnd }, context))) isWhole = false
    after = pages.at(-1)?.at(-1)?.name ?? after
    pages = []
  }
  for await (const page of rowsOf(shard, own.device.store, id.hash)) {
    if (context.signal.aborted) return false
    pages.push(page)
    if (pages.length === STRETCHES_MAX) await compare(false)
  }
  await compare(true)
  return isWhole
}

async function syncStretches(
  own: OwnDevice,
  peer: DeviceAddress,
  list: ItemKey,
  stretches: {
    readonly after: string
    readonly pages: readonly (readonly StoredRow[])[]
    readonly isEnd: boolean
  },
  context: SyncContext,
): Promise<boolean> {
  const { pages } = stretches
  if (pages.length === 0) return true
  let { after } = stretches
  const ranges: RowRange[] = pages.map((page) => {
    const upTo = page.at(-1)!.name
    const range = { after, upTo }
    after = upTo
    return range
  })
  const theirs = await peer.node.rowDigests(peer.device, list, ranges)
  let isWhole = true
  for (const [index, page] of pages.entries()) {
    const sum = new DigestSum()
    for (const row of page) toggleRow(sum, row)
    if (theirs[index]?.digest === String(sum)) continue
    if (!(await sendRows(own, peer, list, page, context))) isWhole = false
  }
  return isWhole
}

async function sendRows(
  own: OwnDevice,
  peer: DeviceAddress,
  list: ItemKey,
  page: readonly StoredRow[],
  context: SyncContext,
): Promise<boolean> {
  const names = page.map(({ name }) => name)
  const held = await peer.node.heldRows(peer.device, list, names)
  const shard = shardOf(own.device, list.hash)
  const id = registerIdOf(list)
  const lacking: StoredRow[] = []
  let isWhole = true
  for (const [index, row] of page.entries()) {
    const theirs = held[index] ?? null
    // It was there, and has been reclaimed; or its deletion was lost here.
    if (theirs === null && shard.learning !== null && isOld(own, list.hash, row.ballot, context)) {
      isWhole = false
    } else if (theirs === null && isReclaimableRow(own, id, row, context.reclaim, NOW)) {
      if (await shard.releaseRow(list, row.name, row.ballot)) context.counters.reclaimed++
    } else if (theirs === null || compareStamps(theirs, row.ballot) < 0) lacking.push(row)
  }
  const due = lacking.filter((row) => !isYoung(row.ballot, context))
  if (due.length > 0) {
    const bytes = due.length * ROW_BYTES
    await context.take(bytes)
    await peer.node.putRows(peer.device, list, due.map(listRowOf))
    context.counters.rowsSent += due.length
    context.counters.bytesSent += bytes
  }
  return isWhole && due.length === lacking.length
}

/**
 * Gives away what a device holds of a partition that is not its own: everything is sent to the partition's devices,
 * and what all of them have is released here. True if nothing is left.
 */
export async function handOver(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  range: PlacementRange,
  options: SyncContext,
): Promise<boolean> {
  assert(peers.length > 0, 'a partition has devices')
  let isEmpty = true
  for await (const page of itemsOf(own.device, range)) {
    if (options.signal.aborted) return false
    const due = await withoutForgotten(own, page, peers, options)
    for (const peer of peers) await syncItems(own, peer, due, options)
    const answers = await Promise.all(peers.map((peer) => askHeld(peer, due)))
    for (const [index, found] of due.entries()) {
      const isEverywhere = answers.every((held) => !isBehind(held[index] ?? null, found.held))
      const isReleased = isEverywhere && (await releaseItem(own, peers, found, options))
      if (!isReleased) isEmpty = false
    }
    if (due.length < page.length) isEmpty = false
  }
  return isEmpty
}

/**
 * Leaves out what is about as old as the memory of deletions and unknown to all of the partition's devices: it was
 * deleted, and its tombstone reclaimed, while this device was away. A tombstone of that kind has nothing left to do.
 */
async function withoutForgotten(
  own: OwnDevice,
  page: readonly FoundItem[],
  peers: readonly DeviceAddress[],
  context: SyncContext,
): Promise<readonly FoundItem[]> {
  const isStale = ({ id, held }: FoundItem) => isOld(own, id.hash, held.ballot, context)
  if (!page.some(isStale)) return page
  const answers = await Promise.all(peers.map((peer) => askHeld(peer, page)))
  const due: FoundItem[] = []
  for (const [index, found] of page.entries()) {
    const isForgotten = isStale(found) && answers.every((held) => (held[index] ?? null) === null)
    if (!isForgotten) due.push(found)
    else if (found.held.deleted && found.held.rows === undefined) {
      const shard = shardOf(own.device, found.id.hash)
      if (context.isPlacedHere(found.id)) continue
      if (await shard.release(found.id, found.held.ballot)) {
        context.counters.reclaimed++
      }
    }
  }
  return due
}

/** Rows first: without its register a list does not show them, and what comes meanwhile goes to the others. */
async function releaseItem(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  { id, held }: FoundItem,
  context: SyncContext,
): Promise<boolean> {
  const shard = shardOf(own.device, id.hash)
  if (held.rows !== undefined && held.rows !== NO_ROWS) {
    if (!(await releaseRows(own, peers, id, context))) return false
  }
  // Asked in the turn in which it is released: who learns of rings after that has it brought here again.
  if (context.isPlacedHere(id) || !(await shard.release(id, held.ballot))) return false
  context.counters.released++
  return true
}

async function releaseRows(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  id: RegisterId,
  context: SyncContext,
): Promise<boolean> {
  const shard = shardOf(own.device, id.hash)
  const info = await registerItem(shard, id)
  if (info === null) return false
  const list = itemKeyOf(id, info.name)
  let isWhole = true
  for await (const page of rowsOf(shard, own.device.store, id.hash)) {
    const names = page.map(({ name }) => name)
    const held = await Promise.all(
      peers.map((peer) => peer.node.heldRows(peer.device, list, names)),
    )
    const release = async ([index, row]: readonly [number, StoredRow]) => {
      const isEverywhere = held.every((ballots) => {
        const theirs = ballots[index] ?? null
        return theirs !== null && compareStamps(theirs, row.ballot) >= 0
      })
      const isElsewhere = isEverywhere && !context.isPlacedHere(id)
      if (isElsewhere && (await shard.releaseRow(list, row.name, row.ballot))) {
        context.counters.released++
      } else isWhole = false
    }
    await forEachParallel(page.entries(), SENDS_MAX * 8, release, { stopAtFailure: true })
  }
  return isWhole
}

function shardOf(device: Device, hash: string): Shard {
  const shard = device.shards.get(device.shardNumberOf(hash))
  assert(shard !== undefined, 'the shard of what was found here is here')
  return shard
}
