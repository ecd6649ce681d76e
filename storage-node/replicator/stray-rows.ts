/**
 * Rows whose list is not here. They are what is left of a list whose register rotted where no index knew it, or came
 * ahead of a register that the device could not take; walks by registers do not find them, and nobody shows them. Where
 * the list belongs to this device, its replicas bring it. Where it does not, its rows go to the devices that hold it,
 * and then away, as everything else that a device holds for others.
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import type { ItemKey } from '../../common/item.ts'
import type { Log } from '../../common/log.ts'
import { type Placement, placedDevices } from '../../common/ring/placement.ts'
import { compareStamps, type Stamp } from '../../common/stamp.ts'
import type { Device } from '../device.ts'
import type { ListId, RegisterId } from '../engine/memtable.ts'
import { registerIdOfList } from '../engine/partition-digests.ts'
import { ROW_BYTES, type StoredRow } from '../engine/row.ts'
import type { Shard } from '../engine/shard.ts'
import { listRowOf, rowsOf } from '../replica-view.ts'
import type { DeviceAddresses } from './device-addresses.ts'
import { isYoung, type OwnDevice, type SyncContext } from './partition-sync.ts'
import { placementOfRegister } from './placed-registers.ts'
import { type DeviceAddress, itemKeyOf } from './record-transfer.ts'
import { isOld } from './stale.ts'

export interface StrayContext {
  readonly placements: () => readonly Placement[]
  readonly addresses: DeviceAddresses
  readonly sync: SyncContext
  readonly log: Log
}

/** A list of which this device has rows and nothing else, and the devices that it is placed on. */
interface Stray {
  readonly shard: Shard
  readonly list: ListId
  readonly id: RegisterId
  readonly item: ItemKey
  readonly peers: readonly DeviceAddress[]
}

/** Lists looked at in one pass. */
const LISTS_MAX = 500
const RELEASES_MAX = 32

/** Gives away rows without their list; the number of lists of other devices of which some are left. */
export async function giveAwayStrays(own: OwnDevice, context: StrayContext): Promise<number> {
  const { placements, addresses, sync, log } = context
  let left = 0
  for (const [shard, list] of strayLists(own.device)) {
    if (sync.signal.aborted) return left + 1
    const id = registerIdOfList(list)
    const placement = placementOfRegister(placements(), id)
    if (placement === undefined) continue
    const peers = placedDevices(placement, placement.ring.partitionOf(id.placement))
      .map((device) => addresses.of(device))
      .filter(({ label }) => label !== own.address.label)
    // With nobody to ask, they may be all that is left of it.
    if (peers.length === 0) continue
    const stray = { shard, list, id, item: itemKeyOf(id, list.name), peers }
    try {
      if (!(await giveAway(own, stray, sync)) && !sync.isPlacedHere(id)) left++
    } catch (error) {
      if (!sync.isPlacedHere(id)) left++
      log.info('stray-rows-kept', { list: list.name, error: String(error) })
    }
  }
  return left
}

/** All rows of such a list are in doubt, or were when it was found so; one that is leads to it. */
function strayLists({ shards }: Device): readonly (readonly [Shard, ListId])[] {
  const found = new Map<string, readonly [Shard, ListId]>()
  for (const shard of shards.values()) {
    for (const { list } of shard.index.unconfirmedRows.values()) {
      if (found.size === LISTS_MAX) return [...found.values()]
      if (!found.has(list.hash) && !shard.index.isListHeld(list)) {
        found.set(list.hash, [shard, list])
      }
    }
  }
  return [...found.values()]
}

/** True if nothing is left. */
async function giveAway(own: OwnDevice, stray: Stray, sync: SyncContext): Promise<boolean> {
  const { shard, item, peers } = stray
  // All of them have to answer, and not only what they happen to hold: one that has lost its memory refuses.
  const reads = await Promise.all(
    peers.map((peer) => peer.node.read(peer.device, item, { head: true })),
  )
  // They bring the list here; then its rows are no strays.
  if (sync.isPlacedHere(stray.id) && reads.some((read) => read !== null)) return false
  const showing = peers.filter((_, index) => reads[index] != null && !reads[index].info.deleted)
  let isEmpty = true
  for await (const page of rowsOf(shard, own.device.store, item.hash)) {
    if (sync.signal.aborted) return false
    const due = await duePage(own, stray, page, showing, sync)
    if (due.length < page.length) isEmpty = false
    const release = async (row: StoredRow) => {
      if (!(await releaseStray(stray, row))) isEmpty = false
      else sync.counters.released++
    }
    await forEachParallel(due, RELEASES_MAX, release, { stopAtFailure: true })
  }
  return isEmpty
}

/**
 * Brings the rows of a page to the devices that show the list, and finds those that may go: what all of the list's
 * devices were seen to hold, or something newer. A list that none of them shows was deleted for a majority, or never
 * there for one: then no row of it was ever acknowledged, or counts any more. What is as old as the memory of deletions
 * and unknown to all of them was deleted, too (stale.ts).
 */
async function duePage(
  own: OwnDevice,
  { item, peers }: Stray,
  page: readonly StoredRow[],
  showing: readonly DeviceAddress[],
  sync: SyncContext,
): Promise<readonly StoredRow[]> {
  if (showing.length === 0) return page.filter((row) => !isYoung(row.ballot, sync))
  const names = page.map(({ name }) => name)
  const heldBy = (peer: DeviceAddress) => peer.node.heldRows(peer.device, item, names)
  const before = await Promise.all(peers.map(heldBy))
  const isForgotten = (row: StoredRow, index: number) =>
    isOld(own, item.hash, row.ballot, sync) &&
    before.every((held) => (held[index] ?? null) === null)
  for (const [at, peer] of peers.entries()) {
    if (!showing.includes(peer)) continue
    const lacking = page.filter(
      (row, index) =>
        isBehind(before[at]![index], row) && !isForgotten(row, index) && !isYoung(row.ballot, sync),
    )
    if (lacking.length === 0) continue
    const bytes = lacking.length * ROW_BYTES
    await sync.take(bytes)
    await peer.node.putRows(peer.device, item, lacking.map(listRowOf))
    sync.counters.rowsSent += lacking.length
    sync.counters.bytesSent += bytes
  }
  const after = await Promise.all(peers.map(heldBy))
  return page.filter(
    (row, index) => after.every((held) => !isBehind(held[index], row)) || isForgotten(row, index),
  )
}

function isBehind(theirs: Stamp | null | undefined, row: StoredRow): boolean {
  return theirs == null || compareStamps(theirs, row.ballot) < 0
}

/** Asked in the turn in which the row is released: its list may have come meanwhile. */
async function releaseStray({ shard, list, item }: Stray, row: StoredRow): Promise<boolean> {
  if (shard.index.isListHeld(list)) return false
  return shard.releaseRow(item, row.name, row.ballot)
}
