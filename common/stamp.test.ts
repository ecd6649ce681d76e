import assert from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import {
  compareStamps,
  formatTimestamp,
  maxStamp,
  parseTimestamp,
  type Stamp,
  StampClock,
  ZERO_STAMP,
} from './stamp.ts'

t.test('stamps compare by ticks, then by proposer', async (t) => {
  const inOrder: readonly Stamp[] = [
    ZERO_STAMP,
    { ticks: 0, proposer: 1 },
    { ticks: 1, proposer: 0 },
    { ticks: 1, proposer: 0xffffffff },
    { ticks: 2 ** 53 - 1, proposer: 0 },
  ]
  for (const [i, a] of inOrder.entries()) {
    for (const [j, b] of inOrder.entries()) {
      t.equal(Math.sign(compareStamps(a, b)), Math.sign(i - j), `${i} against ${j}`)
      t.equal(maxStamp(a, b), inOrder[Math.max(i, j)])
    }
  }
})

t.test('a timestamp is seconds with five decimals', async (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0000000000.00000'],
    [1, '0000000000.00001'],
    [100_000, '0000000001.00000'],
    [170_000_000_012_345, '1700000000.12345'],
    [999_999_999_999_999, '9999999999.99999'],
  ]
  for (const [ticks, text] of cases) {
    t.equal(formatTimestamp(ticks), text)
    t.equal(parseTimestamp(text), ticks)
  }
  t.equal(parseTimestamp('1'), 100_000)
  t.equal(parseTimestamp('1.5'), 150_000)
  t.equal(parseTimestamp('1.000004'), 100_000, 'rounded to the nearest tick')
  t.equal(parseTimestamp('1.000006'), 100_001)
})

t.test('every tick survives its text', async (t) => {
  await fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999_999_999 }), (ticks) => {
      assert.strictEqual(parseTimestamp(formatTimestamp(ticks)), ticks)
    }),
    { numRuns: 2000 },
  )
  t.pass('2,000 ticks')
})

t.test('what is no timestamp is a 400', async (t) => {
  const bad = ['', '-1', '1.', '.5', '1e5', ' 1', '1 ', '0x1', '12345678901', '1.1234567890', 'NaN']
  for (const text of [...bad, '1700000000.00000_0000000000000001', '٣']) {
    t.throws(() => parseTimestamp(text), { code: 'BadTimestamp', status: 400 }, text)
  }
})

t.test('a clock only goes forward, whatever the wall clock and others do', async (t) => {
  let nowMs = 1_700_000_000_000
  const clock = new StampClock({ nowMs: () => nowMs, proposer: 2 ** 32 + 7 })
  t.equal(clock.proposer, 7, 'the proposer is 32 bits')
  const first = clock.next()
  t.strictSame(first, { ticks: 170_000_000_000_000, proposer: 7 }, '100 ticks to a millisecond')
  t.strictSame(clock.next().ticks, first.ticks + 1, 'twice in one tick')
  nowMs -= 60_000
  t.equal(clock.next().ticks, first.ticks + 2, 'a wall clock set back does not count')
  clock.observe({ ticks: first.ticks + 500, proposer: 9 })
  t.equal(clock.next().ticks, first.ticks + 501, 'newer than what was seen')
  clock.observe({ ticks: 5, proposer: 9 })
  t.equal(clock.next().ticks, first.ticks + 502, 'what is old changes nothing')
  nowMs += 120_000
  t.equal(clock.next().ticks, nowMs * 100, 'and back to the wall clock when it has caught up')
})

t.test('a clock never draws a stamp twice, in any history', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('next' as const) }),
    fc.record({ kind: fc.constant('wall' as const), byMs: fc.integer({ min: -50, max: 50 }) }),
    fc.record({ kind: fc.constant('observe' as const), ticks: fc.nat(20_000) }),
  )
  await fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let nowMs = 100
      const clock = new StampClock({ nowMs: () => nowMs, proposer: 1 })
      let newest = ZERO_STAMP
      for (const each of steps) {
        if (each.kind === 'wall') nowMs = Math.max(0, nowMs + each.byMs)
        if (each.kind === 'observe') {
          const seen = { ticks: each.ticks, proposer: 2 }
          clock.observe(seen)
          newest = maxStamp(newest, seen)
        }
        if (each.kind !== 'next') continue
        const drawn = clock.next()
        assert.ok(compareStamps(drawn, newest) > 0)
        newest = drawn
      }
    }),
    { numRuns: 500 },
  )
  t.pass('500 histories')
})
