import t from 'tap'
import { ServiceError } from '../../../common/errors.ts'
import type { Backend } from '../../backend/backend.ts'
import { DueBook, LEASE_MS } from '../../upkeep/due-book.ts'
import { DuePass } from '../../upkeep/due-pass.ts'
import { moveFor } from './lifecycle-moves.ts'
import type { LifecycleRule } from './lifecycle-rule.ts'
import {
  abortionOf,
  DAY_MS,
  dueAfter,
  expirationOf,
  type LifecycleStep,
  stepFor,
  type VersionFacts,
} from './lifecycle-steps.ts'

const NOW_MS = Date.UTC(2026, 4, 10, 0, 0, 0)
const TIME = { nowMs: NOW_MS, dayMs: DAY_MS }

function rule(fields: Partial<LifecycleRule>): LifecycleRule {
  return { id: 'r', isEnabled: true, isOldStyle: false, tags: [], ...fields }
}

const CURRENT: VersionFacts = {
  key: 'log/a',
  bytes: 100,
  tags: [],
  isMarker: false,
  storageClass: 'STANDARD',
  writtenMs: NOW_MS - 5 * DAY_MS,
  supersededMs: null,
  newerNoncurrent: 0,
  isAlone: true,
}
const OLDER: VersionFacts = { ...CURRENT, supersededMs: NOW_MS - 3 * DAY_MS, isAlone: false }
const MARKER: VersionFacts = { ...CURRENT, isMarker: true, bytes: 0 }

t.test('versions go to the coldest class that is due, and never back', async (t) => {
  const settings = {
    classes: ['WARM', 'GLACIER', 'COLD'],
    bytesMin: 0,
    minimum: 'all_storage_classes_128K',
  } as const
  const warm = { storageClass: 'WARM', days: 1 }
  const glacier = { storageClass: 'GLACIER', days: 5 }
  const cold = { storageClass: 'COLD', days: 6 }
  const transitions = [cold, glacier, warm]
  const keeps = { noncurrentTransitions: [{ ...warm, keeps: 2 }] }
  const cases: readonly (readonly [
    string | null,
    Partial<LifecycleRule>,
    VersionFacts,
    { readonly bytesMin?: number; readonly minimum?: 'varies_by_storage_class' }?,
  ])[] = [
    ['GLACIER', { transitions }, CURRENT],
    [null, { transitions, isEnabled: false }, CURRENT],
    [null, { transitions, prefix: 'other' }, CURRENT],
    ['WARM', { transitions: [warm] }, { ...CURRENT, storageClass: 'no more' }],
    [null, { transitions }, { ...CURRENT, storageClass: 'GLACIER' }],
    [null, { transitions: [warm] }, { ...CURRENT, storageClass: 'COLD' }],
    ['COLD', { transitions: [{ storageClass: 'COLD', dateMs: NOW_MS }] }, CURRENT],
    [null, { transitions: [{ storageClass: 'COLD', dateMs: NOW_MS + 1 }] }, CURRENT],
    [null, { transitions: [{ storageClass: 'gone', days: 1 }] }, CURRENT],
    [null, { transitions }, { ...CURRENT, storageClass: null }],
    [null, { transitions }, MARKER],
    [null, { transitions }, OLDER],
    ['WARM', { noncurrentTransitions: [warm, glacier] }, OLDER],
    [null, keeps, { ...OLDER, newerNoncurrent: 1 }],
    ['WARM', keeps, { ...OLDER, newerNoncurrent: 2 }],
    [null, { noncurrentTransitions: [warm] }, CURRENT],
    [null, { transitions }, CURRENT, { bytesMin: 101 }],
    ['GLACIER', { transitions, bytesAbove: 99 }, CURRENT, { bytesMin: 101 }],
    ['GLACIER', { transitions }, CURRENT, { bytesMin: 101, minimum: 'varies_by_storage_class' }],
    [null, { transitions: [warm] }, CURRENT, { bytesMin: 9e9, minimum: 'varies_by_storage_class' }],
  ]
  for (const [at, [wanted, fields, version, other]] of cases.entries()) {
    t.equal(moveFor([rule(fields)], version, TIME, { ...settings, ...other }), wanted, `${at}`)
  }
})

t.test('a version is judged by what it is, where it stands and how old it is', async (t) => {
  const tag = [{ key: 'a', value: 'b' }]
  const cases: readonly (readonly [LifecycleStep | null, Partial<LifecycleRule>, VersionFacts])[] =
    [
      ['expire', { expiration: { days: 5 } }, CURRENT],
      [null, { expiration: { days: 6 } }, CURRENT],
      [null, { expiration: { days: 5 }, isEnabled: false }, CURRENT],
      [null, { expiration: { days: 5 }, prefix: 'log/b' }, CURRENT],
      ['expire', { expiration: { dateMs: NOW_MS } }, CURRENT],
      [null, { expiration: { dateMs: NOW_MS + 1 } }, CURRENT],
      [null, { expiration: { dropsMarkers: true } }, CURRENT],
      [null, { noncurrent: { days: 1 } }, CURRENT],
      ['expire', { expiration: { days: 5 }, bytesAbove: 99, bytesBelow: 101 }, CURRENT],
      [null, { expiration: { days: 5 }, bytesAbove: 100 }, CURRENT],
      [null, { expiration: { days: 5 }, bytesBelow: 100 }, CURRENT],
      [null, { expiration: { days: 5 }, tags: tag }, CURRENT],
      ['expire', { expiration: { days: 5 }, tags: tag }, { ...CURRENT, tags: tag }],
      ['expire', { expiration: { days: 5 }, tags: tag }, { ...CURRENT, tags: null }],
      ['drop', { noncurrent: { days: 3 } }, OLDER],
      [null, { noncurrent: { days: 4 } }, OLDER],
      [null, { expiration: { days: 1 } }, OLDER],
      [null, { noncurrent: { days: 3, keeps: 2 } }, { ...OLDER, newerNoncurrent: 1 }],
      ['drop', { noncurrent: { days: 3, keeps: 2 } }, { ...OLDER, newerNoncurrent: 2 }],
      [null, { noncurrent: { days: 1 } }, { ...OLDER, supersededMs: Number.POSITIVE_INFINITY }],
      ['drop-marker', { expiration: { dropsMarkers: true } }, MARKER],
      [null, { expiration: { dropsMarkers: false } }, MARKER],
      [null, { expiration: { dropsMarkers: true } }, { ...MARKER, isAlone: false }],
      ['drop-marker', { expiration: { days: 5 } }, MARKER],
      [null, { expiration: { days: 6 } }, MARKER],
      [null, { expiration: { days: 5 }, tags: tag }, MARKER],
      [null, { expiration: { days: 5 }, bytesBelow: 1 }, MARKER],
      ['drop', { noncurrent: { days: 3 } }, { ...OLDER, isMarker: true }],
    ]
  for (const [step, fields, version] of cases) {
    t.equal(stepFor([rule(fields)], version, TIME), step, JSON.stringify(fields))
  }
})

t.test('days end at midnight, unless they are another length', async (t) => {
  t.equal(dueAfter(NOW_MS, 1, DAY_MS), NOW_MS + DAY_MS)
  t.equal(dueAfter(NOW_MS + 1, 1, DAY_MS), NOW_MS + 2 * DAY_MS)
  t.equal(dueAfter(NOW_MS + 1, 1, 1000), NOW_MS + 1001)
})

t.test('the first rule to come is told', async (t) => {
  const rules = [
    rule({ id: 'late', expiration: { days: 30 } }),
    rule({ id: 'soon', expiration: { days: 10 } }),
    rule({ id: 'off', isEnabled: false, expiration: { days: 1 } }),
    rule({ id: 'marker', expiration: { dropsMarkers: true } }),
    rule({ id: 'abort', prefix: 'log/', abortDays: 2 }),
    rule({ id: 'abort later', abortDays: 3 }),
  ]
  t.strictSame(expirationOf(rules, CURRENT), {
    atMs: CURRENT.writtenMs + 10 * DAY_MS,
    ruleId: 'soon',
  })
  t.equal(expirationOf(rules.slice(2), CURRENT), null)
  const upload = { key: 'log/x', initiatedMs: NOW_MS }
  t.strictSame(abortionOf(rules, upload, DAY_MS), { atMs: NOW_MS + 2 * DAY_MS, ruleId: 'abort' })
  t.equal(abortionOf(rules.slice(0, 5), { ...upload, key: 'x' }, DAY_MS), null)
})

t.test('a bucket is one worker’s at a time, and goes on where the last one stopped', async (t) => {
  let nowMs = NOW_MS
  const book = new DueBook({
    ...{ backend: memory(), clock: { nowMs: () => nowMs } },
    ...{ policy: 0, container: 'lifecycle' },
  })
  const due = async () => {
    const found: string[] = []
    for await (const { account, bucket } of book.due()) found.push(`${account}/${bucket}`)
    return found
  }
  t.equal(await book.take('a', 'b'), null, 'nobody knows it')
  await book.note('a', 'b')
  t.strictSame(await due(), ['a/b'])
  const [one, two] = await Promise.all([book.take('a', 'b'), book.take('a', 'b')])
  t.equal([one, two].filter((page) => page !== null).length, 1)
  const page = (one ?? two)!
  t.strictSame(await due(), [])
  const kept = await book.keep(page, { ...page, after: 'key 7' })
  t.equal(
    await book.keep(page, { ...page, after: 'key 8' }),
    null,
    'by an old page nothing is noted',
  )
  nowMs += LEASE_MS
  const next = await book.take('a', 'b')
  t.equal(next?.after, 'key 7', 'who died is followed')
  t.equal(next?.startedMs, NOW_MS)
  t.equal(await book.keep(kept!, { ...kept!, after: 'key 9' }), null)
  await book.note('a', 'b')
  t.equal(await book.keep(next!, { ...next!, after: 'key 9' }), null, 'new rules begin anew')
  const anew = await book.take('a', 'b')
  t.equal(anew?.after, '')
  await book.finish(anew!, nowMs + 5)
  t.strictSame(await due(), [])
  nowMs += 5
  const last = await book.take('a', 'b')
  await book.note('a', 'b')
  await book.close(last!)
  t.strictSame(await due(), ['a/b'], 'what was noted since is not closed')
  await book.close((await book.take('a', 'b'))!)
  t.strictSame(await due(), [])
})

t.test('that one bucket fails does not keep the others waiting', async (t) => {
  const clock = { nowMs: () => NOW_MS, monotonicMs: () => 0, after: () => () => {} }
  const book = new DueBook({ ...{ backend: memory(), clock }, ...{ policy: 0, container: 'any' } })
  const log = { info() {}, warn() {}, error() {} }
  const worked: string[] = []
  const failed: string[] = []
  const pass = new DuePass({
    ...{ name: 'any', clock, log, book },
    random: { below: () => 0, bytes: (count) => new Uint8Array(count) },
    pauses: { busyMs: 1, idleMs: 1, startMs: 1 },
    async work({ bucket }) {
      worked.push(bucket)
      if (bucket !== 'good') throw new Error(bucket)
      return true
    },
    failed: ({ account, bucket }, error) =>
      failed.push(`${account}/${bucket} ${(error as Error).message}`),
  })
  t.equal(await pass.pass(), false, 'nothing is due')
  for (const bucket of ['bad', 'good', 'worse']) await book.note('a', bucket)
  await t.rejects(pass.pass(), { message: 'bad' }, 'the first failure is that of the pass')
  t.strictSame(worked, ['bad', 'good', 'worse'])
  t.strictSame(failed, ['a/bad bad', 'a/worse worse'])
  t.equal(await pass.pass(), false, 'they are taken for a while')
  await book.note('a', 'good')
  t.equal(await pass.pass(), true)
  await pass.stop()
  await book.note('a', 'good')
  t.equal(await pass.pass(), false, 'nothing is begun when it is over')
})

/** As much of a store as the book needs: one container. */
function memory(): Backend {
  const objects = new Map<string, { body: Uint8Array; contentType: string; writeId: string }>()
  let isMade = false
  let writes = 0
  const info = (object: string) => {
    const { contentType, writeId } = objects.get(object)!
    return { writeId, meta: { contentType, headers: {} } }
  }
  const holds = (object: string, ifWriteId: string | null) =>
    (objects.get(object)?.writeId ?? null) === ifWriteId
  const store = {
    async putAccount() {},
    async cachedContainer() {
      return isMade ? {} : null
    },
    async putContainer() {
      isMade = true
    },
    async readObject({ object }: { object: string }) {
      return objects.has(object) ? { info: info(object), body: objects.get(object)!.body } : null
    },
    async putObject(
      { object }: { object: string },
      put: {
        meta: { contentType: string }
        body: Uint8Array
        condition: { ifWriteId: string | null }
      },
    ) {
      if (!isMade) throw new ServiceError('NoSuchContainer', 'none', { status: 404 })
      if (!holds(object, put.condition.ifWriteId)) return { status: 'precondition-failed' }
      const { body, meta } = put
      objects.set(object, { body, contentType: meta.contentType, writeId: String(++writes) })
      return { status: 'done', info: info(object) }
    },
    async deleteObject(
      { object }: { object: string },
      { condition }: { condition: { ifWriteId: string } },
    ) {
      if (holds(object, condition.ifWriteId)) objects.delete(object)
    },
    async listContainer() {
      const entries = [...objects].map(([name, { contentType }]) => ({ name, contentType }))
      return isMade ? { entries } : null
    },
  }
  return store as unknown as Backend
}
