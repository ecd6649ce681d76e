/** Brings one replica up to date from another. */
import { acceptOf, type RecordHead, streamBody } from '../../common/accept.ts'
import type { ItemKey } from '../../common/item.ts'
import { inAnyEpoch } from '../../common/ring/ring-set.ts'
import { compareStamps, type Stamp } from '../../common/stamp.ts'
import {
  type BodyReader,
  INLINE_BYTES_MAX,
  type ItemInfo,
  type ItemWrite,
  type WriteOutcome,
} from '../../common/storage-node.ts'
import type { CallTiming } from './replica-calls.ts'
import type { Replica } from './replica-map.ts'

export interface RepairOrder {
  readonly item: ItemKey
  /** The record that the target is to have. */
  readonly record: RecordHead
  /** A replica that has it. */
  readonly source: Replica
  readonly target: Replica
  /** What the target has now, as far as it is known. */
  readonly stale: ItemInfo | null
}

/** True if the target now has the record. Rejects when a device fails. */
export async function bringUpToDate(order: RepairOrder): Promise<boolean> {
  const { item, record, source, target, stale } = order
  const write = acceptOf(inAnyEpoch(item), record)
  const needsBody = item.kind === 'object' && !record.deleted && record.bytes > 0
  const hasBody = stale !== null && compareStamps(stale.stamp, record.stamp) === 0
  if (!needsBody || hasBody) {
    const outcome = await target.node.write(target.device, write, null)
    if (outcome.status !== 'body-missing') return outcome.status === 'done'
  }
  return (await copyBody(write, source, target))?.status === 'done'
}

/** The accept with the body of another replica; null if that one has another body by now. */
export async function copyBody(
  write: ItemWrite,
  source: Replica,
  target: Replica,
): Promise<WriteOutcome | null> {
  const read = await source.node.read(source.device, write.item)
  if (read === null || read.body === null) return null
  try {
    if (compareStamps(read.info.stamp, write.stamp) !== 0) return null
    return await putBody(write, read.body, target)
  } finally {
    await releaseBody(read.body)
  }
}

/** Slowest pace of a copy that is waited for: a megabyte a second. */
const COPY_BYTES_PER_MS = 1_000

/** A large body takes its time; its pieces have deadlines of their own on the wire. */
export function repairTiming(timing: CallTiming, record: { readonly bytes: number }): CallTiming {
  return { ...timing, deadlineMs: timing.deadlineMs + record.bytes / COPY_BYTES_PER_MS }
}

async function putBody(
  write: ItemWrite,
  body: Uint8Array | BodyReader,
  target: Replica,
): Promise<WriteOutcome> {
  if (!(body instanceof Uint8Array)) return streamBody(target, write, body.stream(0, body.bytes))
  if (body.length <= INLINE_BYTES_MAX) return target.node.write(target.device, write, body)
  return streamBody(target, write, [body])
}

/** Closes a blob's reader; nothing for bodies in memory. */
export async function releaseBody(body: Uint8Array | BodyReader | null): Promise<void> {
  if (body !== null && !(body instanceof Uint8Array)) await body.close()
}

/** The head of the record that a plain write makes, accepted under the ballot. */
export function recordOfWrite(write: ItemWrite, bytes: number, ballot: Stamp): RecordHead {
  const deleted = write.action === 'delete'
  return {
    stamp: write.stamp,
    metaStamp: write.stamp,
    ballot,
    writeId: write.writeId,
    deleted,
    bytes: deleted ? 0 : bytes,
    meta: deleted ? { headers: {} } : write.meta,
  }
}
