/**
 * Writes a damaged record again, from a device that has it whole. One that no other device has, nor anything newer, and
 * that so many of them do not have that no majority can ever have had it, was never acknowledged: it is given up.
 */
import { compareStamps, ZERO_STAMP } from '../../common/stamp.ts'
import type { RegisterId } from '../engine/memtable.ts'
import type { OwnDevice, SyncContext } from './partition-sync.ts'
import { type DeviceAddress, itemKeyOf, sendRecord } from './record-transfer.ts'

/**
 * `peers`: the other devices of its partition; `voters`: the labels of those of which a majority had to take the record, in the
 * placement before while the partition moves. True if the record is whole now, or there is none to be whole.
 */
export async function repairRecord(
  own: OwnDevice,
  peers: readonly DeviceAddress[],
  id: RegisterId,
  context: SyncContext & { readonly voters: ReadonlySet<string> },
): Promise<boolean> {
  const shard = own.device.shards.get(own.device.shardNumberOf(id.hash))
  const entry = shard?.index.entry(id) ?? null
  if (shard === undefined || entry === null || (await own.device.isReadable(id))) return true
  // The name is in the record: a reader that gives none takes the register by its hash.
  const item = itemKeyOf(id, '')
  let lacking = 0
  for (const peer of peers) {
    try {
      // Not `held`: a device that has lost its memory itself refuses to say what it has not.
      const read = await peer.node.read(peer.device, item, { head: true })
      if (compareStamps(read?.info.ballot ?? ZERO_STAMP, entry.ballot) < 0) {
        if (context.voters.has(peer.label)) lacking++
        continue
      }
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
  const count = context.voters.size
  const majority = Math.floor(count / 2) + 1
  if (peers.length === 0 || lacking < count - majority + 1) return false
  if (!(await shard.release(id, entry.ballot))) return false
  context.counters.givenUp++
  return true
}
