import t from 'tap'
import { Ledger, type ObjectState } from './ledger.ts'

const ONE: ObjectState = { bytes: 3, md5: 'aaaa' }
const TWO: ObjectState = { bytes: 4, md5: 'bbbb' }
const THREE: ObjectState = { bytes: 4, md5: 'cccc' }

/** Puts ONE then TWO, both acknowledged. */
function afterTwoPuts(): Ledger {
  const ledger = new Ledger()
  for (const state of [ONE, TWO]) {
    ledger.begin('a', state)
    ledger.acknowledge('a', state)
  }
  return ledger
}

t.test('after an acknowledgement only that state is right', async (t) => {
  for (const [seen, kind] of [
    [TWO, undefined],
    [null, 'lost'],
    [ONE, 'stale'],
    [THREE, 'wrong'],
    [{ bytes: 5, md5: 'bbbb' }, 'stale'],
  ] as const) {
    t.equal(afterTwoPuts().observe('a', seen)?.kind, kind)
  }
})

t.test(
  'an operation without an answer may have happened or not, and what was seen must stay',
  async (t) => {
    const ledger = afterTwoPuts()
    ledger.begin('a', null)
    ledger.leaveOpen()
    t.equal(ledger.observe('a', null), null)
    t.equal(ledger.observe('a', TWO)?.kind, 'stale', 'back after having been seen deleted')
    t.equal(ledger.unknown, 1)
    t.equal(ledger.acknowledged, 2)
  },
)

t.test('a deleted object that shows a body it never had is resurrected', async (t) => {
  const ledger = new Ledger()
  ledger.acknowledge('a', null)
  t.equal(ledger.observe('a', ONE)?.kind, 'resurrected')
})

t.test('listings: rows lost, ghosts and wrong ones are told apart', async (t) => {
  const row = (name: string, state: NonNullable<ObjectState>) => ({
    name,
    bytes: state.bytes,
    hash: state.md5,
  })
  const ledger = afterTwoPuts()
  ledger.acknowledge('gone', null)
  t.strictSame(ledger.observeListing([row('a', TWO)]), [])
  const kinds = (rows: Parameters<Ledger['observeListing']>[0]) =>
    ledger.observeListing(rows).map(({ kind }) => kind)
  t.strictSame(kinds([]), ['row-lost'])
  t.strictSame(kinds([row('a', ONE)]), ['row-wrong'])
  t.strictSame(kinds([row('a', TWO), row('gone', ONE)]), ['row-ghost'])
  t.strictSame(kinds([row('a', TWO), row('never', ONE)]), ['row-ghost'])
  ledger.begin('a', null)
  t.strictSame(ledger.observeListing([], { allSettled: false }), [], 'in doubt until settled')
  t.strictSame(kinds([row('a', TWO)]), [], 'either is right')
  t.equal(ledger.observe('a', TWO), null)
  t.strictSame(kinds([]), ['row-lost'], 'the row has to follow')
})
