/**
 * A record on its way to a replica that lacks it: it travels with its own stamp and write id, so that it is the same
 * record that is accepted there, not a new write. Safe at any time: a replica that has promised or accepted anything
 * newer refuses, and sending twice does no harm.
 */
import type { ItemKey } from './item.ts'
import type { Stamp } from './stamp.ts'
import type { ItemInfo, ItemWrite, StorageNode, WriteOutcome } from './storage-node.ts'

/** What is known of the record to be accepted; a tombstone needs no more than this. */
export type RecordHead = Pick<
  ItemInfo,
  'stamp' | 'metaStamp' | 'ballot' | 'writeId' | 'deleted' | 'bytes' | 'meta'
> & { readonly dependent?: boolean }

/** The message that has the record accepted as it is; without a ballot, under the one that it has. */
export function acceptOf(
  item: ItemKey,
  record: RecordHead,
  ballot: Stamp = record.ballot,
): ItemWrite {
  const { stamp, metaStamp, writeId, deleted, bytes, meta, dependent = false } = record
  return {
    item,
    action: 'accept',
    stamp,
    ballot,
    writeId,
    meta,
    record: { metaStamp, deleted, bytes, dependent },
  }
}

/** Streams a body to a device and commits it, once: one that came too late, or failed on the way, is thrown away. */
export async function streamBody(
  target: { readonly node: StorageNode; readonly device: string },
  write: ItemWrite,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<WriteOutcome> {
  const writer = await target.node.openBody(target.device, write.item)
  try {
    for await (const piece of pieces) await writer.write(piece)
    const outcome = await writer.commit(write)
    if (outcome.status === 'superseded') await writer.abort()
    return outcome
  } catch (error) {
    await writer.abort()
    throw error
  }
}
