import t from 'tap'
import { ChangeMarks } from '../../common/change-marks.ts'
import { type Clock, systemClock } from '../../common/clock.ts'
import { silentLog } from '../../common/log.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import { BackgroundJobs } from './background-jobs.ts'
import { ContainerCache } from './container-cache.ts'
import { BackendCounters } from './counters.ts'
import { DeviceHealth } from './device-health.ts'
import { Expirer } from './expirer.ts'
import { ExpiryDelays } from './expiry-delay.ts'
import { Pace } from './pace.ts'
import { PeriodicPass } from './periodic-pass.ts'
import type { Replica } from './replica-map.ts'
import { justAbove } from './rows.ts'
import { replacementOf } from './settler.ts'
import { WriteIds } from './write-ids.ts'

/** A clock that stands still until it is moved. */
class FakeClock implements Clock {
  #ms = 0
  #timers: { readonly atMs: number; readonly action: () => void }[] = []

  nowMs = () => this.#ms
  monotonicMs = () => this.#ms

  after(delayMs: number, action: () => void): () => void {
    const timer = { atMs: this.#ms + delayMs, action }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  async advance(ms: number): Promise<void> {
    this.#ms += ms
    const due = this.#timers.filter((timer) => timer.atMs <= this.#ms)
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#ms)
    for (const timer of due) timer.action()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const stamp = { ticks: 5, proposer: 256 }
const info: ItemInfo = {
  name: '/a/c',
  policy: 0,
  deleted: false,
  stamp,
  metaStamp: stamp,
  ballot: stamp,
  writeId: 'f'.repeat(16),
  bytes: 3,
  meta: { etag: 'e', contentType: 't', headers: {} },
}

t.test('a device that keeps failing is left alone for a while, then tried again', async (t) => {
  const clock = new FakeClock()
  const health = new DeviceHealth(clock, { count: 2, forMs: 100 })
  health.noteFailure()
  t.equal(health.available(), true)
  health.noteFailure()
  t.equal(health.available(), false)
  await clock.advance(100)
  t.equal(health.available(), true, 'its trial')
  health.noteFailure()
  t.equal(health.available(), false)
  await clock.advance(100)
  health.noteSuccess()
  t.equal(health.available(), true)
})

t.test('container cache', async (t) => {
  const clock = new FakeClock()
  let loads = 0
  let answer: ItemInfo | null = info
  const marks = new ChangeMarks()
  const cache = new ContainerCache({
    clock,
    marks,
    ttlMs: 100,
    entriesMax: 2,
    load: async () => {
      loads++
      return answer
    },
  })
  await Promise.all([cache.get('a', 'c'), cache.get('a', 'c')])
  t.equal(loads, 1, 'loads at one time are one')
  t.equal(cache.get('a', 'c'), info, 'known at once')
  await clock.advance(100)
  await cache.get('a', 'c')
  t.equal(loads, 2, 'old entries are loaded again')

  marks.note('a/c')
  await cache.get('a', 'c')
  t.equal(loads, 3, 'what anybody noted a change of is loaded again')

  const loading = cache.get('a', 'd')
  cache.invalidate('a', 'd')
  const after = cache.get('a', 'd')
  await Promise.all([loading, after])
  t.equal(cache.get('a', 'd'), info, 'the later load is kept')
  t.equal(loads, 5, 'what was loaded across a change is not kept')

  answer = null
  await cache.get('a', 'none')
  await cache.get('a', 'none')
  t.equal(loads, 7, 'absence is not kept')
  answer = info
  await cache.get('a', 'e')
  await cache.get('a', 'c')
  t.equal(loads, 9, 'the oldest made room')

  const load = async () => {
    await clock.advance(60)
    return info
  }
  const slow = new ContainerCache({ clock, marks, ttlMs: 100, load })
  t.equal(await slow.get('a', 'slow'), info)
  await clock.advance(39)
  t.equal(slow.get('a', 'slow'), info)
  await clock.advance(1)
  t.type(slow.get('a', 'slow'), Promise, 'its age counts from when it was asked for')
})

t.test('background jobs are bounded and end before close does', async (t) => {
  const jobs = new BackgroundJobs({ log: silentLog, concurrencyMax: 1, waitingMax: 1 })
  const order: string[] = []
  let release = () => {}
  jobs.add('one', async () => {
    await new Promise<void>((resolve) => {
      release = resolve
    })
    order.push('one')
    throw new Error('logged, not thrown')
  })
  jobs.add('two', async () => order.push('two'))
  jobs.add('three', async () => order.push('three'))
  t.equal(jobs.dropped, 1)
  const closed = jobs.close()
  release()
  await closed
  t.strictSame(order, ['one'], 'what waited is dropped at close')
  t.equal(jobs.failed, 1)
})

t.test('a pass slows down when idle and never takes more than its share', async (t) => {
  const clock = new FakeClock()
  let runs = 0
  let workMs = 0
  const pass = new PeriodicPass({
    name: 'test',
    clock,
    log: silentLog,
    busyMs: 10,
    idleMs: 40,
    run: async () => {
      runs++
      await clock.advance(workMs)
      return workMs > 0
    },
  })
  pass.start()
  await clock.advance(0)
  t.equal(runs, 1)
  await clock.advance(10)
  t.equal(runs, 1, 'nothing to do: the pause doubled')
  await clock.advance(10)
  t.equal(runs, 2)
  workMs = 100
  await clock.advance(40)
  t.equal(runs, 3)
  await clock.advance(399)
  t.equal(runs, 3, 'a long pass earns a long pause')
  await clock.advance(1)
  t.equal(runs, 4)
  await pass.stop()
  await clock.advance(10_000)
  t.equal(runs, 4)
})

t.test('write ids are 16 hex digits, different each time', async (t) => {
  let drawn = 0
  const ids = new WriteIds({
    bytes: (count) => {
      drawn++
      return Buffer.alloc(count, drawn).map((_, index) => (index + drawn) & 255)
    },
    below: () => 0,
  })
  const first = ids.next()
  t.match(first, /^[0-9a-f]{16}$/)
  t.not(ids.next(), first)
  for (let count = 2; count < 513; count++) ids.next()
  t.equal(drawn, 2, 'one draw for 512 ids')
})

t.test('a settlement outdoes the row it replaces and nothing else', async (t) => {
  t.strictSame(justAbove({ ticks: 5, proposer: 256 }), { ticks: 5, proposer: 257 })
  t.strictSame(justAbove({ ticks: 5, proposer: 0xffff_ffff }), { ticks: 6, proposer: 1 })
  const ghost = {
    name: 'o',
    stamp: { ticks: 9, proposer: 512 },
    metaStamp: { ticks: 9, proposer: 512 },
    ballot: { ticks: 9, proposer: 512 },
    deleted: false,
    bytes: 7,
    count: 1,
    etag: 'x',
    contentType: 'y',
    policy: 0,
    confirmed: false,
  }
  t.match(replacementOf(ghost, null), { deleted: true, count: 0, ballot: { proposer: 513 } })
  t.match(replacementOf(ghost, info), { stamp, bytes: 3, ballot: { ticks: 9, proposer: 513 } })
  const again = replacementOf({ ...ghost, ballot: { ticks: 9, proposer: 513 } }, info)
  t.match(again, { ballot: { proposer: 515 } }, 'replacements are odd')
  const newer = { ...info, metaStamp: { ticks: 10, proposer: 256 } }
  t.match(replacementOf(ghost, newer), { ballot: newer.metaStamp })
  const completed = { ...info, ballot: { ticks: 10, proposer: 256 } }
  t.match(replacementOf(ghost, completed), { ballot: { proposer: 513 } }, 'as old as its record')
})

t.test('expired objects are kept as long as is wanted, and do not keep others', async (t) => {
  const nowSeconds = 100_000
  const names = (account: string, count: number) =>
    Array.from({ length: count }, (_, index) => `/${account}/c/o${index}`)
  const items = [...names('slow', 300), '/slow/quick/o', ...names('fast', 3)].map((name) => ({
    name,
    policy: 0,
    deleteAt: nowSeconds - 100,
  }))
  const gone = new Set<string>()
  const replica = {
    device: 'd',
    label: 'd',
    health: { available: () => true, noteSuccess() {}, noteFailure() {} },
    node: {
      expired: async (_: string, query: { beforeSeconds: number; limit: number }) =>
        items
          .filter(({ name, deleteAt }) => !gone.has(name) && deleteAt < query.beforeSeconds)
          .slice(0, query.limit),
    },
  } as unknown as Replica
  const clock = { ...systemClock, nowMs: () => nowSeconds * 1000 }
  const expirer = new Expirer({
    devices: () => [replica],
    clock,
    timing: { clock, deadlineMs: 1000 },
    counters: new BackendCounters(),
    pace: new Pace(clock, { perSecond: 1_000_000 }),
    delays: new ExpiryDelays([
      { account: 'slow', seconds: 1000 },
      { account: 'slow', container: 'quick', seconds: 10 },
    ]),
    expire: async ({ account, container, object }) => {
      gone.add(`/${account}/${container}/${object}`)
      return true
    },
  })
  t.equal(await expirer.pass(), false, 'the first page is full of what is kept')
  t.equal(await expirer.pass(), true)
  t.strictSame([...gone].sort(), ['/fast/c/o0', '/fast/c/o1', '/fast/c/o2', '/slow/quick/o'])
  const all = new ExpiryDelays([{ seconds: 50 }, { account: 'a', seconds: 10 }])
  t.strictSame([all.of('a', 'c'), all.of('b', 'c'), all.leastSeconds], [10, 50, 10])
  t.equal(new ExpiryDelays([]).of('a', 'c'), 0)
})
