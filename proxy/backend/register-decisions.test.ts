import t from 'tap'
import type { Condition } from '../../common/condition.ts'
import { itemKey } from '../../common/item.ts'
import type { Stamp } from '../../common/stamp.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import { POLICY_HEADER } from './container-policy.ts'
import { majorityOf } from './quorum.ts'
import { evaluateChange, type RegisterChange } from './register-change.ts'
import {
  isChosen,
  newestOf,
  type Promised,
  recoverPlain,
  resumeDependent,
  withoutTombstone,
} from './register-decisions.ts'

const stamp = (ticks: number): Stamp => ({ ticks, proposer: 1 })

/** A record that was made at `at`, accepted under `ballot`. */
function record(at: number, extra: Partial<ItemInfo> & { readonly under?: number } = {}): ItemInfo {
  const { under = at, ...rest } = extra
  return {
    name: '/a/c/o',
    policy: 0,
    deleted: false,
    stamp: stamp(at),
    metaStamp: stamp(at),
    ballot: stamp(under),
    writeId: `of ${at}`,
    bytes: 3,
    meta: { etag: `e${at}`, headers: {} },
    ...rest,
  }
}

const promisesOf = (...records: (ItemInfo | null)[]): Promised[] =>
  records.map((current, replica) => ({ replica, current }))

t.test('the newest record is the one with the highest ballot, not the highest stamp', async (t) => {
  const again = record(5, { under: 20 })
  t.equal(newestOf(promisesOf(record(9), again, null)), again)
  t.equal(newestOf(promisesOf(null, null)), null)
  t.equal(newestOf([]), null)
})

t.test('chosen is what a majority holds under one ballot', async (t) => {
  const a = record(5)
  const again = record(5, { under: 9 })
  const cases: readonly (readonly [Promised[], ItemInfo | null, number, boolean])[] = [
    [promisesOf(a, a), a, 3, true],
    [promisesOf(a, null), a, 3, false],
    [promisesOf(a, again), again, 3, false],
    [promisesOf(again, again, a), again, 3, true],
    [promisesOf(a, a), a, 4, false],
    [promisesOf(null, null), null, 3, true],
    [promisesOf(a), a, 1, true],
  ]
  for (const [promises, newest, replicas, expected] of cases) {
    t.equal(isChosen(promises, newest, majorityOf(replicas)), expected)
  }
})

t.test(
  'the four cases of a plain write, and the one that only a question beforehand can tell',
  async (t) => {
    const own = { writeId: 'mine', stamp: stamp(10) }
    const posted = record(5, { metaStamp: stamp(12), dependent: true, under: 12 })
    const cases: readonly (readonly [string, ItemInfo | null, string, string])[] = [
      ['nothing', null, 'propose', 'propose'],
      ['ours', record(10, { writeId: 'mine' }), 'finish', 'finish'],
      ['ours under another ballot', record(10, { writeId: 'mine', under: 30 }), 'finish', 'finish'],
      ['an older one', record(9), 'propose', 'propose'],
      ['an older one under a newer ballot', record(9, { under: 15 }), 'propose', 'propose'],
      ['an older conditional one', record(9, { dependent: true }), 'propose', 'propose'],
      ['a newer plain one', record(11), 'complete', 'unknown'],
      ['a newer deletion', record(11, { deleted: true }), 'complete', 'unknown'],
      ['a newer conditional one', record(11, { dependent: true }), 'unknown', 'unknown'],
      ['a POST that came after ours', posted, 'unknown', 'unknown'],
    ]
    for (const [what, found, asked, notAsked] of cases) {
      t.equal(recoverPlain(found, { ...own, isAboveCompleted: true }), asked, what)
      t.equal(
        recoverPlain(found, { ...own, isAboveCompleted: false }),
        notAsked,
        `${what}, unasked`,
      )
    }
  },
)

t.test('a dependent write goes on, gives up, or judges anew', async (t) => {
  const cases: readonly (readonly [string, ItemInfo | null, Stamp | null, string])[] = [
    ['nothing there', null, null, 'evaluate'],
    ['nothing there after an attempt', null, stamp(10), 'evaluate'],
    ['ours', record(10, { writeId: 'mine', under: 12 }), stamp(10), 'finish'],
    ['an older one after an attempt', record(8, { under: 14 }), stamp(10), 'evaluate'],
    ['a newer one after an attempt', record(11), stamp(10), 'conflict'],
    ['a newer one, ours being nowhere', record(11), null, 'evaluate'],
  ]
  for (const [what, found, proposedAt, expected] of cases) {
    t.equal(resumeDependent(found, { writeId: 'mine', proposedAt }), expected, what)
  }
})

t.test(
  'a tombstone that rows refused is taken back only if it cannot have been chosen',
  async (t) => {
    const live = record(5)
    const dead = record(9, { deleted: true })
    const next = record(20)
    const cases: readonly (readonly [string, Promised[], number, ItemInfo | null | undefined])[] = [
      ['one of three has it', promisesOf(dead, live, live), 3, live],
      ['one has it, one did not answer', promisesOf(dead, live), 3, undefined],
      ['two of three have it', promisesOf(dead, dead, live), 3, undefined],
      ['one has it, another something newer', promisesOf(dead, live, next), 3, undefined],
      ['two of five have it', promisesOf(dead, dead, live, live, live), 5, live],
      ['nothing was there before', promisesOf(dead, null, null), 3, null],
    ]
    for (const [what, promises, replicaCount, expected] of cases) {
      t.equal(
        withoutTombstone(promises, dead, { replicaCount, quorum: majorityOf(replicaCount) }),
        expected,
        what,
      )
    }
  },
)

const HASHING = { prefix: '', suffix: '', placement: 'xxh64' } as const
const object = itemKey(HASHING, 'object', '/a/c/o')
const container = itemKey(HASHING, 'container', '/a/c')

function change(extra: Partial<RegisterChange> = {}): RegisterChange {
  const meta = { etag: 'new', contentType: 'a/b', headers: { 'x-object-meta-n': '1' } }
  return { item: object, action: 'put', writeId: 'mine', meta, bytes: 7, ...extra }
}

const at = { ballot: stamp(50), nowMs: 1_000_000 }

t.test('a condition is judged on what is alive', async (t) => {
  const current = record(5)
  const expired = record(5, { meta: { headers: { 'x-delete-at': '1000' } } })
  const later = record(5, { meta: { headers: { 'x-delete-at': '1001' } } })
  const dead = record(5, { deleted: true })
  const cases: readonly (readonly [string, Condition, ItemInfo | null, boolean])[] = [
    ['creation where nothing is', { ifNoneMatch: ['*'] }, null, true],
    ['creation over a tombstone', { ifNoneMatch: ['*'] }, dead, true],
    ['creation over what has expired', { ifNoneMatch: ['*'] }, expired, true],
    ['creation over what will expire', { ifNoneMatch: ['*'] }, later, false],
    ['creation over an object', { ifNoneMatch: ['*'] }, current, false],
    ['the ETag', { ifMatch: ['e5'] }, current, true],
    ['another ETag', { ifMatch: ['e6'] }, current, false],
    ['compare and set', { ifWriteId: 'of 5' }, current, true],
    ['compare and set, another', { ifWriteId: 'of 6' }, current, false],
    ['compare and set, none', { ifWriteId: null }, dead, true],
    ['compare and set, none but one', { ifWriteId: null }, current, false],
  ]
  for (const [what, condition, found, holds] of cases) {
    t.equal('record' in evaluateChange(change({ condition }), found, at), holds, what)
  }
})

t.test('what a change makes of the record that it found', async (t) => {
  const current = record(5)
  const put = evaluateChange(change(), current, at)
  const made = { stamp: at.ballot, metaStamp: at.ballot, dependent: true, writeId: 'mine' }
  t.match(put, { existed: true, record: { ...made, bytes: 7, meta: { etag: 'new' } } })
  const post = evaluateChange(change({ action: 'post', bytes: 0 }), current, at)
  t.match(post, { record: { ...made, stamp: current.stamp, bytes: 3, meta: { etag: 'e5' } } })
  t.match(evaluateChange(change({ action: 'post' }), null, at), {
    refused: { status: 'not-found' },
  })
  const expired = { ...current, meta: { headers: { 'x-delete-at': '1' } } }
  const late = change({ action: 'post', bytes: 0 })
  const later = { ...at, nowMs: 2_000 }
  t.match(evaluateChange(late, expired, later), { refused: { status: 'not-found' } })
  t.match(evaluateChange({ ...late, openExpired: true }, expired, later), { existed: true })
  t.match(evaluateChange(change({ action: 'delete' }), current, at), {
    record: { ...made, deleted: true, bytes: 0, meta: { headers: {} } },
  })
  t.match(evaluateChange(change({ action: 'delete' }), null, at), {
    refused: { status: 'not-found' },
  })
  const list = record(5, { meta: { headers: { a: '1', 'x-container-sysmeta-x': '2' } } })
  const merged = evaluateChange(
    change({ item: container, meta: { headers: { a: '', b: '2' } } }),
    list,
    at,
  )
  t.match(merged, { existed: true, record: { ...made, stamp: list.stamp } })
  t.strictSame('record' in merged && merged.record.meta.headers, {
    'x-container-sysmeta-x': '2',
    b: '2',
  })
  const only = change({ action: 'delete', only: 'of 5' })
  t.match(evaluateChange(only, current, at), { record: { deleted: true } })
  t.match(evaluateChange(only, record(6), at), { refused: { status: 'precondition-failed' } })
  t.match(evaluateChange(only, null, at), { refused: { status: 'precondition-failed' } })
})

t.test('a container that somebody else made meanwhile keeps its policy', async (t) => {
  const made = record(5, { meta: { headers: { [POLICY_HEADER]: '0' } } })
  const evaluation = evaluateChange(
    change({ item: container, meta: { headers: { [POLICY_HEADER]: '1' } } }),
    made,
    at,
  )
  t.match(evaluation, { record: { meta: { headers: { [POLICY_HEADER]: '0' } } } })
})
