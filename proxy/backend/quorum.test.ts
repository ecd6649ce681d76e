import t from 'tap'
import type { RowOutcome, WriteAction, WriteOutcome } from '../../common/storage-node.ts'
import { judgeRead, judgeRow, judgeWrite, majorityOf, type Reply } from './quorum.ts'

const stamp = (ticks: number) => ({ ticks, proposer: 1 })
const info = {
  name: '/a/c/o',
  policy: 0,
  deleted: false,
  stamp: stamp(1),
  metaStamp: stamp(1),
  ballot: stamp(1),
  writeId: '0'.repeat(16),
  bytes: 0,
  meta: { headers: {} },
}

// One letter for each replica: what it said.
const WRITE_REPLIES: Readonly<Record<string, Reply<WriteOutcome> | undefined>> = {
  d: { outcome: { status: 'done', info, existed: false } },
  n: { outcome: { status: 'not-found' } },
  s: { outcome: { status: 'superseded', ballot: stamp(7) } },
  S: { outcome: { status: 'superseded', ballot: stamp(9) } },
  p: { outcome: { status: 'precondition-failed', current: null } },
  e: { outcome: { status: 'not-empty' } },
  r: { failure: 'refused', error: null },
  f: { failure: 'full', error: null },
  u: { failure: 'unknown', error: null },
  '.': undefined,
}

const ROW_REPLIES: Readonly<Record<string, Reply<RowOutcome> | undefined>> = {
  d: { outcome: { status: 'done' } },
  s: { outcome: { status: 'superseded' } },
  n: { outcome: { status: 'not-found' } },
  o: { outcome: { status: 'stale-settings' } },
  r: { failure: 'refused', error: null },
  f: { failure: 'full', error: null },
  '.': undefined,
}

t.test('a majority is strict, for even counts too', async (t) => {
  t.strictSame([1, 2, 3, 4, 5].map(majorityOf), [1, 2, 2, 3, 3])
})

t.test('what the replicas say about a write adds up', async (t) => {
  const cases: readonly (readonly [string, WriteAction, string | null])[] = [
    // One replica: its word.
    ['d', 'put', 'done'],
    ['s', 'put', 'superseded'],
    ['f', 'put', 'full'],
    ['u', 'put', 'indeterminate'],
    ['n', 'post', 'not-found'],
    ['n', 'delete', 'not-found'],
    // A majority is enough and does not wait for the rest.
    ['dd.', 'put', 'done'],
    ['d.d', 'put', 'done'],
    ['ddu', 'put', 'done'],
    ['dds', 'put', 'done'],
    ['d..', 'put', null],
    ['dr.', 'put', null],
    // Two replicas: both.
    ['d.', 'put', null],
    ['dr', 'put', 'indeterminate'],
    ['dddr', 'put', 'done'],
    ['ddrr', 'put', 'indeterminate'],
    // Accepted by a minority: nobody can know.
    ['drr', 'put', 'indeterminate'],
    // Accepted by some or perhaps by some, refused by others: the recovery finds out.
    ['dss', 'put', 'contested'],
    ['ds.', 'put', null],
    ['dss..', 'put', null],
    ['dsss.', 'put', 'contested'],
    ['dsu', 'put', 'contested'],
    ['dsr', 'put', 'contested'],
    ['dpp', 'put', 'indeterminate'],
    ['dee', 'delete', 'indeterminate'],
    // Accepted by none.
    ['rrr', 'put', 'refused'],
    ['rru', 'put', 'indeterminate'],
    ['ffr', 'put', 'full'],
    ['frr', 'put', 'refused'],
    ['sss', 'put', 'superseded'],
    ['ssr', 'put', 'superseded'],
    ['ssu', 'put', 'contested'],
    ['ss.', 'put', null],
    ['ppp', 'put', 'precondition-failed'],
    ['ppr', 'put', 'precondition-failed'],
    ['ppu', 'put', 'precondition-failed'],
    ['pss', 'put', 'superseded'],
    ['prr', 'put', 'refused'],
    ['eee', 'delete', 'not-empty'],
    ['err', 'delete', 'not-empty'],
    // A delete of what is not there is recorded; a post is not.
    ['nn.', 'delete', 'not-found'],
    ['nd.', 'delete', 'done'],
    ['nnr', 'post', 'not-found'],
    ['dn.', 'post', null],
    ['dnr', 'post', 'indeterminate'],
  ]
  for (const [letters, action, expected] of cases) {
    const replies = [...letters].map((letter) => WRITE_REPLIES[letter])
    t.equal(
      judgeWrite(replies, action, majorityOf(replies.length))?.verdict ?? null,
      expected,
      `${action} ${letters}`,
    )
  }
})

t.test('the highest refusing ballot is the one to rise above', async (t) => {
  const replies = [...'sSs'].map((letter) => WRITE_REPLIES[letter])
  const superseded = { verdict: 'superseded', ballot: stamp(9) }
  t.strictSame(judgeWrite(replies, 'put', 2), { ...superseded, isMajority: true })
  const few = [...'Srr'].map((letter) => WRITE_REPLIES[letter])
  t.strictSame(judgeWrite(few, 'put', 2), { ...superseded, isMajority: false })
  const some = [...'dSs'].map((letter) => WRITE_REPLIES[letter])
  t.strictSame(judgeWrite(some, 'put', 2), { verdict: 'contested', ballot: stamp(9) })
})

t.test('what the replicas say about a row adds up', async (t) => {
  const cases: readonly (readonly [string, string | null])[] = [
    ['d', 'done'],
    ['s', 'done'],
    ['n', 'not-found'],
    ['ds.', 'done'],
    ['d..', null],
    ['dn.', null],
    ['dnn', 'not-found'],
    ['dnr', 'refused'],
    ['drr', 'refused'],
    ['rr.', 'refused'],
    ['ff.', 'full'],
    ['ffd', 'full'],
    ['frr', 'refused'],
    ['nn.', 'not-found'],
    ['o', 'stale-settings'],
    ['oo.', 'stale-settings'],
    ['dod', 'done'],
    ['do.', null],
    ['dor', 'stale-settings'],
    ['don', 'stale-settings'],
    ['nno', 'not-found'],
  ]
  for (const [letters, expected] of cases) {
    const replies = [...letters].map((letter) => ROW_REPLIES[letter])
    t.equal(judgeRow(replies, majorityOf(replies.length)), expected, letters)
  }
})

t.test('a read shows only what a majority holds', async (t) => {
  const [zero, old, fresh] = [stamp(0), stamp(1), stamp(2)]
  t.equal(judgeRead([old, undefined, undefined], 2).verdict, 'no-quorum')
  t.equal(judgeRead([old, undefined], 2).verdict, 'no-quorum', 'two replicas: both are asked')
  t.match(judgeRead([old, old, undefined], 2), { verdict: 'agreed', holders: [0, 1], lagging: [] })
  t.match(judgeRead([fresh, old, fresh], 2), { verdict: 'agreed', holders: [0, 2], lagging: [1] })
  t.match(judgeRead([fresh, old, undefined], 2), {
    verdict: 'incomplete',
    holders: [0],
    lagging: [1],
    newest: fresh,
  })
  t.match(judgeRead([zero, fresh, zero], 2), {
    verdict: 'incomplete',
    holders: [1],
    lagging: [0, 2],
  })
  t.match(judgeRead([undefined, { ticks: 2, proposer: 2 }, fresh], 2), {
    holders: [1],
    lagging: [2],
  })
})
