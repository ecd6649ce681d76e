/**
 * Brings one replica up to date from another: the record travels with its own stamp, ballot and write id, so that
 * it is the same accept message that the replica missed, not a new write. Safe at any time: a replica that has
 * promised or accepted anything newer refuses.
 */
import { commitOnce } from '../../common/commit-once.ts'
import type { ItemKey } from '../../common/item.ts'
import { compareStamps } from '../../common/stamp.ts'
import {
  type BodyReader,
  INLINE_BYTES_MAX,
  type ItemInfo,
  type ItemWrite,
  type WriteOutcome,
} from '../../common/storage-node.ts'
import type { CallTiming } from './replica-calls.ts'
import type { Replica } from './replica-map.ts'

/** What is known of the record to be copied; a tombstone needs no more than this. */
export type RecordHead = Pick<ItemInfo, 'stamp' | 'metaStamp' | 'ballot' | 'writeId' | 'deleted'> &
  Pick<ItemInfo, 'bytes' | 'meta'>

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
  const { item, record, target } = order
  if (record.deleted) {
    const outcome = await target.node.write(target.device, repairWrite(order, 'delete'), null)
    return outcome.status === 'done' || outcome.status === 'not-found'
  }
  if (item.kind !== 'object') {
    return accepted(await target.node.write(target.device, registerWrite(order), null))
  }
  if (lacksOnlyPost(order)) return sendPost(order)
  return copyObject(order)
}

/** Slowest pace of a copy that is waited for: a megabyte a second. */
const COPY_BYTES_PER_MS = 1_000

/** A large body takes its time; its pieces have deadlines of their own on the wire. */
export function repairTiming(timing: CallTiming, record: RecordHead): CallTiming {
  return { ...timing, deadlineMs: timing.deadlineMs + record.bytes / COPY_BYTES_PER_MS }
}

function repairWrite(order: RepairOrder, action: ItemWrite['action']): ItemWrite {
  const { stamp, ballot, writeId, meta, deleted } = order.record
  return {
    item: order.item,
    action,
    stamp,
    ballot,
    writeId,
    meta: deleted ? { headers: {} } : meta,
  }
}

/** Accounts and containers merge headers, so those that are gone must be named to be removed. */
function registerWrite(order: RepairOrder): ItemWrite {
  const headers: Record<string, string> = {}
  for (const name of Object.keys(order.stale?.meta.headers ?? {})) headers[name] = ''
  Object.assign(headers, order.record.meta.headers)
  return { ...repairWrite(order, 'put'), meta: { ...order.record.meta, headers } }
}

function lacksOnlyPost({ record, stale }: RepairOrder): boolean {
  return (
    stale !== null &&
    !stale.deleted &&
    compareStamps(stale.stamp, record.stamp) === 0 &&
    compareStamps(record.metaStamp, record.stamp) > 0
  )
}

async function sendPost(order: RepairOrder): Promise<boolean> {
  const post = { ...repairWrite(order, 'post'), stamp: order.record.metaStamp }
  return accepted(await order.target.node.write(order.target.device, post, null))
}

async function copyObject(order: RepairOrder): Promise<boolean> {
  const { source, item, record } = order
  const read = await source.node.read(source.device, item)
  if (read === null || read.body === null || compareStamps(read.info.ballot, record.ballot) !== 0) {
    if (read !== null) await releaseBody(read.body)
    return false
  }
  try {
    const isPosted = compareStamps(record.metaStamp, record.stamp) > 0
    if (!isPosted) return accepted(await putBody(order, read.body, repairWrite(order, 'put')))
    // Data and metadata keep their own stamps: first the data as it was accepted, then the post on top of it.
    const data: ItemWrite = { ...repairWrite(order, 'put'), ballot: record.stamp }
    if (accepted(await putBody(order, read.body, data))) return await sendPost(order)
    // Something between the two is there: all under the post's ballot.
    return accepted(await putBody(order, read.body, repairWrite(order, 'put')))
  } finally {
    await releaseBody(read.body)
  }
}

async function putBody(
  { item, target }: RepairOrder,
  body: Uint8Array | BodyReader,
  write: ItemWrite,
): Promise<WriteOutcome> {
  if (body instanceof Uint8Array) {
    if (body.length <= INLINE_BYTES_MAX) return target.node.write(target.device, write, body)
    return streamBody(target, item, write, [body])
  }
  return streamBody(target, item, write, body.stream(0, body.bytes))
}

async function streamBody(
  target: Replica,
  item: ItemKey,
  write: ItemWrite,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<WriteOutcome> {
  const writer = await target.node.openBody(target.device, item)
  try {
    for await (const piece of pieces) await writer.write(piece)
    return await commitOnce(writer, write)
  } catch (error) {
    await writer.abort()
    throw error
  }
}

/** Closes a blob's reader; nothing for bodies in memory. */
export async function releaseBody(body: Uint8Array | BodyReader | null): Promise<void> {
  if (body !== null && !(body instanceof Uint8Array)) await body.close()
}

function accepted(outcome: WriteOutcome): boolean {
  return outcome.status === 'done'
}

/** The head of the record that a write makes, for replicas that missed it. */
export function recordOfWrite(write: ItemWrite, bytes: number): RecordHead {
  return {
    stamp: write.stamp,
    metaStamp: write.stamp,
    ballot: write.ballot,
    writeId: write.writeId,
    deleted: write.action === 'delete',
    bytes,
    meta: write.meta,
  }
}
