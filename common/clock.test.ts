import t from 'tap'
import { systemClock, wallClock } from './clock.ts'

/** A clock over a monotonic one that starts at 1,000,000.4 ms, beside a wall clock that is off by `driftMs`. */
function clockBeside(driftMs: (sinceMs: number) => number) {
  let sinceMs = 0
  const originMs = 1_000_000.4
  const nowMs = wallClock({
    wallMs: () => Math.floor(originMs + sinceMs + driftMs(sinceMs)),
    monotonicMs: () => sinceMs,
    originMs,
  })
  return (ms: number) => {
    sinceMs = ms
    return { nowMs: nowMs(), wallMs: originMs + sinceMs + driftMs(sinceMs) }
  }
}

t.test('it has the fraction of the monotonic clock', async (t) => {
  const at = clockBeside(() => 0)
  t.equal(at(0).nowMs, 1_000_000.4)
  t.equal(at(0.25).nowMs, 1_000_000.65)
})

t.test('a wall clock that is set is followed within 10 ms, forwards and back', async (t) => {
  for (const jumpMs of [5_000, -5_000]) {
    const at = clockBeside((sinceMs) => (sinceMs < 100 ? 0 : jumpMs))
    t.ok(Math.abs(at(90).nowMs - at(90).wallMs) < 1)
    const { nowMs, wallMs } = at(110)
    t.ok(Math.abs(nowMs - wallMs) <= 1, `${jumpMs}: ${nowMs - wallMs} ms off`)
  }
})

t.test('a wall clock that creeps away does not make the time go back', async (t) => {
  const at = clockBeside((sinceMs) => sinceMs / 1000)
  let before = 0
  for (let sinceMs = 0; sinceMs < 20_000; sinceMs += 0.7) {
    const { nowMs, wallMs } = at(sinceMs)
    if (nowMs < before) t.fail(`back by ${before - nowMs} ms at ${sinceMs}`)
    if (Math.abs(nowMs - wallMs) > 3.1) t.fail(`${nowMs - wallMs} ms off at ${sinceMs}`)
    before = nowMs
  }
  t.pass('20 s')
})

t.test('the machine’s clock agrees with Date.now()', async (t) => {
  t.ok(Math.abs(systemClock.nowMs() - Date.now()) < 5)
})
