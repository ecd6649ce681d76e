/** Pure rules of a register: what a write makes of the record that is there, and how a record becomes an ItemInfo. */
import { type Condition, type ConditionSubject, evaluateCondition } from '../../common/condition.ts'
import { ITEM_KINDS, type ItemKey } from '../../common/item.ts'
import { deleteAtOf } from '../../common/item-meta.ts'
import { ZERO_STAMP } from '../../common/stamp.ts'
import type { ItemInfo, ItemMeta } from '../../common/storage-node.ts'
import { type Entry, NO_BLOB } from './entry.ts'
import { jsonText } from './json-text.ts'
import type { RegisterId } from './memtable.ts'
import {
  type Place,
  RECORD_FLAGS,
  RECORD_TYPES,
  type RecordDraft,
  type RecordHead,
} from './record.ts'

/** The metadata JSON of a register's record. */
interface RegisterMeta {
  readonly n: string
  readonly t?: string
  readonly e?: string
  readonly h?: Readonly<Record<string, string>>
  readonly b?: string
}

/** By hand, as it is made for every write: what is undefined is left out. */
function metaText(name: string, meta: ItemMeta, blob: string | undefined): string {
  const { contentType, etag, headers } = meta
  let text = `{"n":${jsonText(name)}`
  if (contentType !== undefined) text += `,"t":${jsonText(contentType)}`
  if (etag !== undefined) text += `,"e":${jsonText(etag)}`
  text += `,"h":${isEmpty(headers) ? '{}' : JSON.stringify(headers)}`
  if (blob !== undefined) text += `,"b":"${blob}"`
  return `${text}}`
}

function isEmpty(headers: ItemMeta['headers']): boolean {
  for (const _name in headers) return false
  return true
}

export function registerIdOf(item: ItemKey): RegisterId {
  const { policy, placement, hash } = item
  return { kind: ITEM_KINDS.indexOf(item.kind), policy, placement, hash }
}

/** Where a body is when a write commits. */
export type BodyPlace =
  | { readonly kind: 'none' }
  | { readonly kind: 'inline'; readonly data: Uint8Array }
  | { readonly kind: 'blob'; readonly blobId: string; readonly bytes: number }

export const NO_BODY: BodyPlace = { kind: 'none' }

/** A record about to be written. */
export interface NewRecord {
  readonly stamp: ItemInfo['stamp']
  readonly metaStamp: ItemInfo['stamp']
  readonly ballot: ItemInfo['ballot']
  readonly writeId: string
  readonly deleted: boolean
  /** Made out of what was there before; false if absent. */
  readonly dependent?: boolean
  readonly meta: ItemMeta
  readonly body: BodyPlace
}

export function draftOf(item: ItemKey, record: NewRecord): RecordDraft {
  const { body, meta, deleted } = record
  const blob = body.kind === 'blob' ? body.blobId : undefined
  const expires = 'x-delete-at' in meta.headers && item.kind === 'object'
  return {
    type: deleted
      ? RECORD_TYPES.tombstone
      : blob !== undefined
        ? RECORD_TYPES.putBlob
        : RECORD_TYPES.putInline,
    flags:
      (expires ? RECORD_FLAGS.expires : 0) |
      (record.dependent === true ? RECORD_FLAGS.dependent : 0),
    kind: ITEM_KINDS.indexOf(item.kind),
    policy: item.policy,
    hash: item.hash,
    placement: item.placement,
    stamp: record.stamp,
    metaStamp: record.metaStamp,
    ballot: record.ballot,
    writeId: record.writeId,
    dataBytes: bodyBytes(body),
    meta: metaText(item.name, meta, blob),
    data: body.kind === 'inline' && body.data.length > 0 ? body.data : null,
  }
}

export function bodyBytes(body: BodyPlace): number {
  if (body.kind === 'inline') return body.data.length
  return body.kind === 'blob' ? body.bytes : 0
}

/** The index entry of a draft once it has its place. */
export function entryOfDraft(draft: RecordDraft, record: NewRecord, place: Place): Entry {
  return {
    place,
    type: draft.type,
    flags: draft.flags,
    stamp: draft.stamp,
    ballot: draft.ballot,
    promised: ZERO_STAMP,
    writeId: draft.writeId,
    dataBytes: draft.dataBytes,
    deleteAt: draft.flags & RECORD_FLAGS.expires ? deleteAtOf(record.meta.headers) : 0,
    blobId: record.body.kind === 'blob' ? record.body.blobId : NO_BLOB,
    confirmed: draft.kind === 0,
  }
}

/** The note that a register's record was given away. */
export function goneDraft(
  id: RegisterId,
  of: Pick<RecordDraft, 'ballot' | 'stamp' | 'writeId'>,
): RecordDraft {
  const { ballot, stamp, writeId } = of
  return {
    ...id,
    type: RECORD_TYPES.gone,
    flags: 0,
    stamp,
    metaStamp: stamp,
    ballot,
    writeId,
    dataBytes: 0,
    meta: '{}',
    data: null,
  }
}

/** The entry of that note. */
export function goneEntry(entry: Entry, place: Place): Entry {
  const type = RECORD_TYPES.gone
  const nothing = { flags: 0, dataBytes: 0, deleteAt: 0, blobId: NO_BLOB, confirmed: true }
  return { ...entry, ...nothing, type, place }
}

/** The index entry of a record found in the log. */
export function entryOfRecord(head: RecordHead, meta: string, place: Place): Entry {
  const hasBlob = head.type === RECORD_TYPES.putBlob
  const expires = (head.flags & RECORD_FLAGS.expires) !== 0
  // Parsing is left out for the many records that need nothing from their metadata.
  const json: Partial<RegisterMeta> = hasBlob || expires ? JSON.parse(meta) : {}
  return {
    place,
    type: head.type,
    flags: head.flags,
    stamp: head.stamp,
    ballot: head.ballot,
    promised: ZERO_STAMP,
    writeId: head.writeId,
    dataBytes: head.dataBytes,
    deleteAt: expires ? deleteAtOf(json.h ?? {}) : 0,
    blobId: json.b ?? NO_BLOB,
    confirmed: head.kind === 0 || head.type === RECORD_TYPES.gone,
  }
}

/** The blob that a record of type putBlob says its body is in; `meta` is its JSON. */
export function blobIdOf(meta: string): string {
  return (JSON.parse(meta) as { readonly b: string }).b
}

/** The record as the interface shows it. */
export function infoOfRecord(head: RecordHead, meta: string): ItemInfo {
  const { n, t, e, h } = JSON.parse(meta) as RegisterMeta
  return {
    name: n,
    policy: head.policy,
    deleted: head.type === RECORD_TYPES.tombstone,
    stamp: head.stamp,
    metaStamp: head.metaStamp,
    ballot: head.ballot,
    writeId: head.writeId,
    ...((head.flags & RECORD_FLAGS.dependent) !== 0 && { dependent: true }),
    bytes: head.dataBytes,
    meta: {
      ...(e !== undefined && { etag: e }),
      ...(t !== undefined && { contentType: t }),
      headers: h ?? {},
    },
  }
}

export function infoOfNew(item: ItemKey, record: NewRecord): ItemInfo {
  const info: ItemInfo = {
    name: item.name,
    policy: item.policy,
    deleted: record.deleted,
    stamp: record.stamp,
    metaStamp: record.metaStamp,
    ballot: record.ballot,
    writeId: record.writeId,
    bytes: bodyBytes(record.body),
    meta: record.meta,
  }
  return record.dependent === true ? { ...info, dependent: true } : info
}

/** Whether the entry is a record that a client would see at this time. */
export function isLive(entry: Entry | null, nowSeconds: number): boolean {
  if (entry === null) return false
  if (entry.type !== RECORD_TYPES.putInline && entry.type !== RECORD_TYPES.putBlob) return false
  return entry.deleteAt === 0 || entry.deleteAt > nowSeconds
}

/** Whether the condition can be judged by whether an item exists, without reading it. */
export function needsOnlyExistence(condition: Condition): boolean {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince, ifDeleteAt } = condition
  if (condition.ifWriteId !== undefined) return false
  // Compared with undefined: second 0 is a condition too.
  if ((ifModifiedSince ?? ifUnmodifiedSince ?? ifDeleteAt) !== undefined) return false
  return isStar(ifMatch) && isStar(ifNoneMatch)
}

function isStar(etags: readonly string[] | undefined): boolean {
  return etags === undefined || (etags.length === 1 && etags[0] === '*')
}

/** Whether the write may go on, the current live item being `current` (null: none). */
export function conditionHolds(condition: Condition, current: ConditionSubject | null): boolean {
  return evaluateCondition(condition, current) === 'holds'
}
