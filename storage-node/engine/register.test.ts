import t from 'tap'
import type { Condition } from '../../common/condition.ts'
import { type ItemKind, itemKey } from '../../common/item.ts'
import { mergeMeta, subjectOf } from '../../common/item-meta.ts'
import type { ItemMeta, ItemWrite } from '../../common/storage-node.ts'
import { type Entry, NO_BLOB } from './entry.ts'
import {
  decodeHead,
  encodeRecord,
  placeRecord,
  RECORD_FLAGS,
  RECORD_TYPES,
  type RecordType,
} from './record.ts'
import {
  type BodyPlace,
  bodyBytes,
  conditionHolds,
  draftOf,
  entryOfDraft,
  entryOfRecord,
  infoOfNew,
  infoOfRecord,
  isLive,
  type NewRecord,
  needsOnlyExistence,
  registerIdOf,
} from './register.ts'

const HASHING = { prefix: '', suffix: 'salt', placement: 'md5' } as const
const object = itemKey(HASHING, 'object', '/a/c/o', 3)
const container = itemKey(HASHING, 'container', '/a/c')
const older = { ticks: 170_000_000_000_000, proposer: 1 }
const newer = { ticks: 170_000_000_100_000, proposer: 2 }

const NOTHING: BodyPlace = { kind: 'none' }
const INLINE: BodyPlace = { kind: 'inline', data: Buffer.from('hello') }
const BLOB: BodyPlace = { kind: 'blob', blobId: '00000000deadbeef', bytes: 70_000 }

function recordOf(options: Partial<NewRecord> = {}): NewRecord {
  return {
    stamp: older,
    metaStamp: newer,
    ballot: newer,
    writeId: '0123456789abcdef',
    deleted: false,
    meta: { etag: 'e1', contentType: 'text/plain', headers: { 'x-object-meta-a': 'ä\u{1f600}' } },
    body: INLINE,
    ...options,
  }
}

t.test('conditions that existence decides need no read of the record', async (t) => {
  const cases: readonly (readonly [Condition, boolean])[] = [
    [{}, true],
    [{ ifNoneMatch: ['*'] }, true],
    [{ ifMatch: ['*'] }, true],
    [{ ifMatch: ['*'], ifNoneMatch: ['*'] }, true],
    [{ ifMatch: ['e1'] }, false],
    [{ ifMatch: [] }, false],
    [{ ifNoneMatch: ['*', 'e1'] }, false],
    [{ ifNoneMatch: ['e1'] }, false],
    [{ ifUnmodifiedSince: 1 }, false],
    [{ ifModifiedSince: 1 }, false],
    [{ ifDeleteAt: 1 }, false],
    [{ ifWriteId: null }, false],
    [{ ifWriteId: 'w' }, false],
    // The first second of 1970 is a time like any other.
    [{ ifUnmodifiedSince: 0 }, false],
    [{ ifModifiedSince: 0 }, false],
    [{ ifDeleteAt: 0 }, false],
    [{ ifModifiedSince: 0, ifUnmodifiedSince: 5 }, false],
  ]
  for (const [condition, wanted] of cases) {
    t.equal(needsOnlyExistence(condition), wanted, JSON.stringify(condition))
  }
})

t.test('a write goes on only if its condition holds of what is there', async (t) => {
  const info = infoOfNew(object, recordOf())
  const current = subjectOf(info)
  const { writeId } = info
  t.strictSame(current, { etag: 'e1', ticks: newer.ticks, writeId }, 'changed last by the POST')
  const cases: readonly (readonly [Condition, typeof current | null, boolean])[] = [
    [{ ifNoneMatch: ['*'] }, null, true],
    [{ ifNoneMatch: ['*'] }, current, false],
    [{ ifMatch: ['e1'] }, current, true],
    [{ ifMatch: ['e2'] }, current, false],
    [{ ifMatch: ['e1'] }, null, false],
    [{ ifUnmodifiedSince: 0 }, current, false],
    [{ ifUnmodifiedSince: 0 }, null, true],
    [{ ifWriteId: writeId }, current, true],
    [{ ifWriteId: writeId }, null, false],
    [{ ifWriteId: 'another' }, current, false],
    [{ ifWriteId: null }, current, false],
    [{ ifWriteId: null }, null, true],
    [{ ifDeleteAt: 7 }, current, false],
    [{ ifDeleteAt: 7 }, { ...current, deleteAt: 7 }, true],
  ]
  for (const [condition, subject, wanted] of cases) {
    const what = `${JSON.stringify(condition)} on ${JSON.stringify(subject)}`
    t.equal(conditionHolds(condition, subject), wanted, what)
  }
  const due = infoOfNew(object, recordOf({ meta: { headers: { 'x-delete-at': '77' } } }))
  t.strictSame(subjectOf(due), {
    etag: '',
    ticks: newer.ticks,
    deleteAt: 77,
    writeId,
  })
})

function postOn(kind: ItemKind, meta: ItemMeta): ItemWrite {
  const item = kind === 'object' ? object : container
  return { item, action: 'post', stamp: newer, ballot: newer, writeId: '0'.repeat(16), meta }
}

t.test(
  'a POST on an object replaces what is the user’s and keeps what is the system’s',
  async (t) => {
    const old: ItemMeta = {
      etag: 'e1',
      contentType: 'text/plain',
      headers: {
        'x-object-meta-a': '1',
        'x-delete-at': '99',
        'content-encoding': 'gzip',
        'x-object-sysmeta-key': 'kept',
        'x-static-large-object': 'True',
        'x-object-meta-x-object-sysmeta-like': 'gone',
      },
    }
    const posted = mergeMeta(postOn('object', { headers: { 'x-object-meta-b': '2' } }), old)
    t.strictSame(posted, {
      etag: 'e1',
      contentType: 'text/plain',
      headers: {
        'x-object-sysmeta-key': 'kept',
        'x-static-large-object': 'True',
        'x-object-meta-b': '2',
      },
    })
    const typed = mergeMeta(postOn('object', { contentType: 'image/png', headers: {} }), old)
    t.equal(typed.contentType, 'image/png')
    t.equal(typed.etag, 'e1')
    const strange = mergeMeta(postOn('object', { etag: 'e2', headers: {} }), old)
    t.equal(strange.etag, 'e1', 'the ETag belongs to the body, which a POST does not touch')
    t.strictSame(mergeMeta(postOn('object', { headers: {} }), { headers: {} }), { headers: {} })
  },
)

t.test('a POST on a container adds, replaces, and removes what is empty', async (t) => {
  const old: ItemMeta = {
    headers: { 'x-container-meta-a': '1', 'x-container-meta-b': '2', 'x-container-read': '.r:*' },
  }
  const update = { 'x-container-meta-a': '', 'x-container-meta-b': '3', 'x-container-meta-c': '4' }
  t.strictSame(mergeMeta(postOn('container', { headers: update }), old), {
    headers: { 'x-container-meta-b': '3', 'x-container-meta-c': '4', 'x-container-read': '.r:*' },
  })
})

/** Through the log and back. */
function written(record: NewRecord, item = object) {
  const draft = draftOf(item, record)
  const encoded = encodeRecord(draft)
  placeRecord(encoded, { seed: 1n, durableUpTo: { segmentId: 0, offset: 0 } })
  const bytes = Buffer.concat([encoded.head, ...(encoded.data === null ? [] : [encoded.data])])
  const head = decodeHead(bytes, 1n)!
  const place = { segmentId: 5, offset: 4096, bytes: encoded.bytes }
  return { draft, head, place, entry: entryOfDraft(draft, record, place) }
}

t.test('what is read from the log is what was written: info and index entry', async (t) => {
  const headers = { 'x-delete-at': '1700000000' }
  const records: readonly (readonly [NewRecord, RecordType])[] = [
    [recordOf(), RECORD_TYPES.putInline],
    [recordOf({ body: NOTHING }), RECORD_TYPES.putInline],
    [recordOf({ body: BLOB }), RECORD_TYPES.putBlob],
    [recordOf({ meta: { etag: 'e', headers } }), RECORD_TYPES.putInline],
    [recordOf({ body: BLOB, meta: { etag: 'e', headers } }), RECORD_TYPES.putBlob],
    [recordOf({ body: NOTHING, deleted: true, meta: { headers: {} } }), RECORD_TYPES.tombstone],
  ]
  for (const item of [object, container]) {
    for (const [record, type] of records) {
      const { draft, head, place, entry } = written(record, item)
      t.equal(head.type, type)
      t.strictSame(infoOfRecord(head, draft.meta), infoOfNew(item, record))
      t.strictSame(entryOfRecord(head, draft.meta, place), entry)
      t.equal(entry.dataBytes, bodyBytes(record.body))
      t.equal(entry.confirmed, item.kind === 'account', 'its row is yet to be confirmed')
      const expires = item.kind === 'object' && 'x-delete-at' in record.meta.headers
      t.equal(entry.deleteAt, expires ? 1_700_000_000 : 0)
      t.equal((entry.flags & RECORD_FLAGS.expires) !== 0, expires)
      t.equal(entry.blobId, record.body.kind === 'blob' ? record.body.blobId : NO_BLOB)
    }
  }
  const { kind, policy, placement, hash } = object
  t.strictSame(registerIdOf(object), { kind: 2, policy, placement, hash }, `of an ${kind}`)
})

t.test('an X-Delete-At that is no time does not expire anything', async (t) => {
  for (const text of ['', 'soon', '-1', '0', '1e999', '1.5', 'NaN']) {
    const record = recordOf({ meta: { headers: { 'x-delete-at': text } } })
    t.equal(written(record).entry.deleteAt, 0, JSON.stringify(text))
  }
  const far = recordOf({ meta: { headers: { 'x-delete-at': String(Number.MAX_SAFE_INTEGER) } } })
  t.ok(written(far).entry.deleteAt < 2 ** 48, 'one in the far future fits its field')
})

t.test('what is live: a put that is not due', async (t) => {
  const put = written(recordOf()).entry
  const cases: readonly (readonly [string, Entry | null, boolean])[] = [
    ['nothing', null, false],
    ['a put', put, true],
    ['a blob', { ...put, type: RECORD_TYPES.putBlob }, true],
    ['a tombstone', { ...put, type: RECORD_TYPES.tombstone }, false],
    ['a mere promise', { ...put, type: RECORD_TYPES.promise }, false],
    ['due in a second', { ...put, deleteAt: 1001 }, true],
    ['due now', { ...put, deleteAt: 1000 }, false],
    ['overdue', { ...put, deleteAt: 999 }, false],
  ]
  for (const [what, entry, wanted] of cases) t.equal(isLive(entry, 1000), wanted, what)
})
