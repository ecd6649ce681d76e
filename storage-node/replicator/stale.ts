/**
 * A device that has lost part of its log may show what the lost part had deleted. If that was so long ago that the
 * replicas have forgotten the deletion, they cannot say so: what is as old as that and unknown to so many of them that no
 * majority can have it now, of any ring that places it here, is not given back to them, but given up.
 */
import { type Stamp, TICKS_PER_SECOND } from '../../common/stamp.ts'
import type { PlacementRange } from '../engine/placed-ids.ts'
import { areEnough, type ReplicaGroup } from '../learning.ts'
import { registerItem } from '../local-items.ts'
import { type FoundItem, itemsOf, rowsOf } from '../replica-view.ts'
import type { OwnDevice, SyncContext } from './partition-sync.ts'
import { type DeviceAddress, itemKeyOf } from './record-transfer.ts'

/** The replicas may have forgotten earlier, by clocks that are ahead. */
export const FORGOTTEN_SHARE = 0.75

export interface StaleContext extends SyncContext {
  /** Of each so many must say that they hold nothing. */
  readonly groups: readonly ReplicaGroup[]
}

/** Gives up what is old and unknown to the peers of a range. */
export async function dropStale(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  range: PlacementRange,
  context: StaleContext,
): Promise<void> {
  for await (const page of itemsOf(own.device, range)) {
    for (const found of page) {
      if (context.signal.aborted) return
      if (found.held.rows !== undefined) await dropStaleRows(own, peers, found, context)
      if (isOld(own, found.id.hash, found.held.ballot, context)) {
        await dropStaleItem(own, peers, found, context)
      }
    }
  }
}

async function dropStaleItem(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  { id, held }: FoundItem,
  context: StaleContext,
): Promise<void> {
  const item = itemKeyOf(id, '')
  const lacking = new Set<string>()
  for (const peer of peers) {
    try {
      // Not `held`: a device that has lost its memory itself refuses to say what it has not.
      const read = await peer.node.read(peer.device, item, { head: true })
      if (read !== null) return
      lacking.add(peer.label)
    } catch {
      // It cannot say.
    }
  }
  if (!areEnough(context.groups, lacking)) return
  const shard = own.device.shards.get(own.device.shardNumberOf(id.hash))
  if ((await shard?.release(id, held.ballot)) === true) context.counters.givenUp++
}

async function dropStaleRows(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  { id }: FoundItem,
  context: StaleContext,
): Promise<void> {
  const shard = own.device.shards.get(own.device.shardNumberOf(id.hash))!
  const info = await registerItem(shard, id)
  if (info === null) return
  const list = itemKeyOf(id, info.name)
  for await (const page of rowsOf(shard, own.device.store, id.hash)) {
    const old = page.filter(({ ballot }) => isOld(own, id.hash, ballot, context))
    if (old.length === 0) continue
    const names = old.map(({ name }) => name)
    const answers = new Map<string, readonly (Stamp | null)[]>()
    for (const peer of peers) {
      try {
        // Who has lost its memory refuses to list.
        await peer.node.list(peer.device, list, { limit: 0 })
        answers.set(peer.label, await peer.node.heldRows(peer.device, list, names))
      } catch {
        // It cannot say.
      }
    }
    if (!areEnough(context.groups, new Set(answers.keys()))) continue
    for (const [index, row] of old.entries()) {
      if ([...answers.values()].some((held) => (held[index] ?? null) !== null)) continue
      if (await shard.releaseRow(list, row.name, row.ballot)) context.counters.givenUp++
    }
  }
}

/** Whether its deletion may have been forgotten by all who knew it. */
export function isOld(own: OwnDevice, hash: string, ballot: Stamp, context: SyncContext): boolean {
  const shard = own.device.shards.get(own.device.shardNumberOf(hash))
  if (shard === undefined) return false
  const ageMs = shard.perhapsNowMs - ballot.ticks / (TICKS_PER_SECOND / 1000)
  return ageMs > context.reclaim.reclaimAgeMs * FORGOTTEN_SHARE
}
