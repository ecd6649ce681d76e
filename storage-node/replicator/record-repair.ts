/** Writes a damaged record again, from a device that has it whole. */
import { compareStamps } from '../../common/stamp.ts'
import type { RegisterId } from '../engine/memtable.ts'
import type { OwnDevice, SyncContext } from './partition-sync.ts'
import { type DeviceAddress, itemKeyOf, sendRecord } from './record-transfer.ts'

/** True if the record is whole now, or there is none to be whole. */
export async function repairRecord(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  id: RegisterId,
  context: SyncContext,
): Promise<boolean> {
  const shard = own.device.shards.get(own.device.shardNumberOf(id.hash))
  const entry = shard?.index.entry(id) ?? null
  if (shard === undefined || entry === null || (await own.device.isReadable(id))) return true
  // The name is in the record: a reader that gives none takes the register by its hash.
  const item = itemKeyOf(id, '')
  for (const peer of peers) {
    try {
      const [held] = await peer.node.held(peer.device, {
        kind: item.kind,
        policy: id.policy,
        items: [{ hash: id.hash, placement: id.placement }],
      })
      if (held === undefined || held === null) continue
      if (compareStamps(held.ballot, entry.ballot) < 0) continue
      const sent = await sendRecord(peer, own.address, item, {
        beforeBytes: context.take,
        rewrite: true,
      })
      if (sent.outcome !== 'sent' && sent.outcome !== 'has-newer') continue
      if (!(await own.device.isReadable(id))) continue
      context.counters.repaired++
      return true
    } catch {
      // The next one may have it; if none does, the record stays where it is and is tried again.
    }
  }
  return false
}
