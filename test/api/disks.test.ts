/** `swiftlet up` with other disks and replicas than before: the data moves while it serves, and nothing is lost. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ClusterStatus } from '../../proxy/status/cluster-status.ts'
import type { MovementStatus } from '../../ring-builder/movement/keeper.ts'
import {
  freePortOffset,
  runSwiftlet,
  type Session,
  type StartedSwiftlet,
  signIn,
  startSwiftlet,
} from '../support/swiftlet-command.ts'

const NAMES = Array.from({ length: 40 }, (_, index) => `/c/o${index}`)
const BIG = 'x'.repeat(200_000)

/** `up` on one data folder, with disks beside it. */
class Store {
  readonly data: string
  readonly #t: Test
  readonly #options: readonly string[]
  #running: StartedSwiftlet | null = null
  #changedAtMs = 0
  session!: Session

  constructor(t: Test, options: readonly string[]) {
    this.#t = t
    this.#options = options
    this.data = join(t.testdir(), 'data')
  }

  disk(name: string): string {
    return join(this.data, '..', name)
  }

  get stdout(): string {
    return this.#running!.stdout()
  }

  /** With these disks, by their names; options as they are. */
  async start(...args: readonly string[]): Promise<void> {
    this.#changedAtMs = Date.now()
    this.#running = await startSwiftlet(this.#t, await this.#arguments(args))
    this.session = await signIn(this.data)
  }

  /** What it says when it does not start. */
  async refused(...args: readonly string[]): Promise<string> {
    const { code, stderr } = await runSwiftlet(await this.#arguments(args))
    this.#t.equal(code, 1)
    return stderr
  }

  async #arguments(args: readonly string[]): Promise<readonly string[]> {
    const disks = args.flatMap((arg) => (/^[a-z]$/.test(arg) ? ['--disk', this.disk(arg)] : [arg]))
    return ['--data', this.data, ...this.#options, ...(await freePortOffset()), ...disks]
  }

  /** A command that has data moved. */
  async change(args: readonly string[], stdout: RegExp): Promise<void> {
    this.#changedAtMs = Date.now()
    this.#t.match(await runSwiftlet(args), { code: 0, stdout })
  }

  async end(): Promise<void> {
    this.#t.equal(await this.#running!.end('SIGTERM'), 0)
  }

  async kill(): Promise<void> {
    await this.#running!.end('SIGKILL')
  }

  async fill(): Promise<void> {
    await this.session.send('PUT', '/c')
    for (const name of NAMES) {
      this.#t.equal((await this.session.send('PUT', name, name)).status, 201)
    }
    this.#t.equal((await this.session.send('PUT', '/c/big', BIG)).status, 201)
  }

  /** Everything is there, old and new, and can be changed. */
  async checkAll(): Promise<void> {
    const t = this.#t
    const { session } = this
    const texts = await Promise.all(
      NAMES.map(async (name) => (await session.send('GET', name)).text()),
    )
    t.strictSame(texts, NAMES)
    t.equal(await (await session.send('GET', '/c/big')).text(), BIG)
    t.equal((await session.send('PUT', '/c/new', 'new')).status, 201)
    t.equal((await session.send('DELETE', '/c/new')).status, 204)
    const rows = (await (await session.send('GET', '/c?prefix=o')).text()).split('\n')
    t.equal(rows.filter(Boolean).length, NAMES.length)
  }

  async status(): Promise<ClusterStatus> {
    const { code, stdout } = await runSwiftlet(['status', '--json', '--data', this.data])
    this.#t.equal(code, 0)
    return JSON.parse(stdout) as ClusterStatus
  }

  /** Which devices the rings have, and whether they have partitions. */
  async shares(): Promise<Record<string, boolean>> {
    const { regions } = await this.status()
    const nodes = regions.flatMap(({ zones }) => zones.flatMap(({ nodes }) => nodes))
    const devices = nodes.flatMap(({ devices }) => devices)
    return Object.fromEntries(devices.map(({ name, partitions }) => [name, partitions > 0]))
  }

  /** The movement that the last change asked for has ended. */
  async untilStill(): Promise<void> {
    await this.untilHolds(async () => {
      const file = join(this.data, 'rings', 'movement.json')
      const movement = JSON.parse(readFileSync(file, 'utf8')) as MovementStatus
      return movement.changedAtMs > this.#changedAtMs && movement.state === 'idle'
    })
    const { stdout } = await runSwiftlet(['cluster', 'movement', '--data', this.data])
    this.#t.match(stdout, /^every partition is where it belongs/)
  }

  async untilHolds(condition: () => Promise<boolean>): Promise<void> {
    const late = AbortSignal.timeout(300_000)
    while (!(await condition())) {
      if (late.aborted) throw new Error('it did not come to hold')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

t.test('disks come, go and replicas with them, on two threads', async (t) => {
  const store = new Store(t, ['--threads', '2'])
  await store.start('a', 'b')
  await store.fill()
  await store.end()

  await store.start('a', 'b', 'c')
  t.match(store.stdout, /3 disks, 2 replicas/)
  t.match(store.stdout, /\/c is new \(disk3\)/)
  await store.untilStill()
  t.strictSame(await store.shares(), { disk1: true, disk2: true, disk3: true })
  await store.checkAll()
  await store.end()

  const refused = await store.refused('a', 'c')
  t.match(refused, /b \(disk2\) holds data and is not among the disks/)
  const [, drain] = /`npx swiftlet (cluster drain [^`]+)`/.exec(refused)!
  t.match(await store.refused('a', 'b', 'c', '--replicas', '4'), /4 replicas need as many disks/)
  t.match(await store.refused('a', 'b', 'c', 'a'), /named twice/)
  await store.start('a', 'b', 'c')
  await store.change(drain!.split(' '), /disk2: will be emptied/)
  await store.untilStill()
  t.strictSame(await store.shares(), { disk1: true, disk3: true })
  await store.end()
  t.match(await store.refused('a', 'c', '--replicas', '3'), /3 replicas need as many disks/)
  await store.start('a', 'c')
  t.match(store.stdout, /b \(disk2\) is left out/)
  await store.checkAll()
  await store.end()
  t.match(await store.refused('a', 'c', 'b'), /b holds the data of a Swiftlet/)

  await store.start('a', 'c', 'd', '--replicas', '3')
  t.match(store.stdout, /there are to be 3 replicas, not 2/)
  await store.untilStill()
  t.strictSame(
    (await store.status()).rings.map(({ replicas }) => replicas),
    [3, 3, 3],
  )
  await store.checkAll()
  await store.end()
  await store.start('--replicas', '1')
  t.match(store.stdout, /3 disks, 1 replica\b/)
  await store.untilStill()
  t.strictSame(
    (await store.status()).rings.map(({ replicas }) => replicas),
    [1, 1, 1],
  )
  await store.checkAll()
  await store.end()
  t.match(await runSwiftlet(['check', store.data]), { code: 0 })
})

t.test('killed while the data moves to a second disk, with a writer at work', async (t) => {
  const store = new Store(t, ['--threads', '1'])
  await store.start('a')
  await store.fill()
  await store.end()
  await store.start('a', 'b', '--replicas', '2')
  let written = 0
  let isDone = false
  const writer = (async () => {
    while (!isDone) {
      const name = `/c/w${written}`
      if ((await store.session.send('PUT', name, name).catch(() => null))?.status === 201) written++
      else await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  await store.untilHolds(async () => written >= 20)
  await store.kill()
  isDone = true
  await writer
  t.match(await store.refused('a'), /\(disk2\) holds data/)
  await store.start()
  await store.untilStill()
  t.strictSame(await store.shares(), { disk1: true, disk2: true })
  await store.checkAll()
  const late = Array.from({ length: written }, (_, index) => `/c/w${index}`)
  for (const name of late) {
    t.equal(await (await store.session.send('GET', name)).text(), name)
  }
  await store.end()
  t.match(await runSwiftlet(['check', store.data]), { code: 0 })
})
