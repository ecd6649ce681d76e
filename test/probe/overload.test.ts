/**
 * More clients than a small cluster can serve, and nodes that stop in the middle (SIGSTOP: the machine is there, the
 * process is not): while a majority is there everything goes on, without one it is refused with 503 and Retry-After and
 * not left hanging, memory stays within bounds, and it recovers by itself when the nodes go on. Negative control: the
 * same store without its deadlines leaves its clients hanging.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Pool } from 'undici'
import { processUsage } from '../../bench/process-usage.ts'
import {
  freePort,
  type StoreProcess,
  startStore,
  storeCredentials,
} from '../../bench/store-process.ts'
import { probeFolder } from './support/probe-folder.ts'
import { shortOrLong } from './support/scale.ts'
import { StoreClient } from './support/store-client.ts'

const CLIENTS = shortOrLong(120, 600)
/** One in so many uploads is a long one, which is streamed. */
const LONG_EVERY = 10
const LONG_BYTES = 512 * 1024
const SHORT_BYTES = 4096
/** Answers that each phase waits for. */
const ANSWERS = shortOrLong(200, 20_000)
const PHASE_MS_MAX = shortOrLong(120_000, 600_000)
/** Nobody may wait longer for an answer, whatever is down. */
const ANSWER_MS_MAX = 40_000
/** What the proxy's process may take on top of what it took before the overload. */
const MEMORY_BYTES_MAX = shortOrLong(512, 1024) * 2 ** 20

/** For a store whose timers of this length or longer never fire: no call ends before it is answered. */
const WITHOUT_DEADLINES = `
const { setTimeout } = globalThis
const never = 2 ** 31 - 1
globalThis.setTimeout = (action, delay, ...rest) => setTimeout(action, delay >= 400 ? never : delay, ...rest)
`

interface Tally {
  readonly statuses: Record<string, number>
  withoutRetryAfter: number
  slowestMs: number
}

class Clients {
  readonly #pool: Pool
  readonly #path: string
  readonly #token: string
  #stopped = false
  #tally: Tally = newTally()
  #running: Promise<unknown> = Promise.resolve()
  #count = 0

  constructor(origin: string, path: string, token: string) {
    this.#pool = new Pool(origin, { connections: CLIENTS, pipelining: 1 })
    this.#path = path
    this.#token = token
  }

  start(): void {
    this.#running = Promise.all(Array.from({ length: CLIENTS }, () => this.#run()))
  }

  /** What was answered since the last call. */
  take(): Tally {
    const tally = this.#tally
    this.#tally = newTally()
    return tally
  }

  /** Resolves when so many more were answered, with this status or any. */
  async answered(count: number, status?: number): Promise<void> {
    const { statuses } = this.#tally
    const answers = () =>
      status === undefined
        ? Object.values(statuses).reduce((sum, one) => sum + one, 0)
        : (statuses[status] ?? 0)
    const [wanted, endMs] = [answers() + count, performance.now() + PHASE_MS_MAX]
    while (answers() < wanted) {
      if (performance.now() > endMs) throw new Error('it came to a stop')
      await sleep(50)
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
    await this.#pool.destroy()
  }

  /** Ends them in the middle of what they wait for. */
  async abandon(): Promise<void> {
    this.#stopped = true
    await this.#pool.destroy()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const number = this.#count++
      const isLong = number % LONG_EVERY === 0
      const startMs = performance.now()
      const answer = await this.#pool
        .request({
          method: 'PUT',
          path: `${this.#path}/o${number % 5_000}`,
          headers: { 'x-auth-token': this.#token },
          body: Buffer.alloc(isLong ? LONG_BYTES : SHORT_BYTES, number & 0xff),
          headersTimeout: 2 * ANSWER_MS_MAX,
        })
        .then(async (found) => {
          await found.body.dump()
          return found
        })
        .catch(() => null)
      this.#note(answer?.statusCode ?? 0, answer?.headers['retry-after'], startMs)
      // A client that is told to wait does, if not for as long as it is told.
      if (answer?.statusCode !== 201) await sleep(200)
    }
  }

  #note(status: number, retryAfter: unknown, startMs: number): void {
    const tally = this.#tally
    tally.statuses[status] = (tally.statuses[status] ?? 0) + 1
    if (status === 503 && retryAfter === undefined) tally.withoutRetryAfter++
    tally.slowestMs = Math.max(tally.slowestMs, Math.round(performance.now() - startMs))
  }
}

function newTally(): Tally {
  return { statuses: {}, withoutRetryAfter: 0, slowestMs: 0 }
}

/** Three nodes, whose processes are known, and clients that have begun. */
async function open(
  t: Test,
  name: string,
  end: (store: StoreProcess) => Promise<unknown>,
  env: Readonly<Record<string, string>> = {},
) {
  const dataFolder = join(await probeFolder(t, name), 'data')
  const store = await startStore({ dataFolder, port: await freePort(), nodes: 3, env })
  const pids = [...store.output().matchAll(/^node\d: process (\d+)$/gm)].map((match) =>
    Number(match[1]),
  )
  t.teardown(async () => {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    await end(store)
    // Nodes whose parent was killed end by themselves, if their timers let them.
    while (pids.some((pid) => signal(pid, 'SIGKILL'))) await sleep(20)
  })
  const client = new StoreClient(store.origin, { connections: 1 })
  t.teardown(() => client.close())
  await client.signIn(await storeCredentials(dataFolder))
  t.equal(await client.send('PUT', '/overload'), 201)
  const clients = new Clients(store.origin, `${client.accountPath}/overload`, client.token)
  clients.start()
  await clients.answered(ANSWERS)
  return { store, pids, clients }
}

/** Some are refused where there is more to do than can be done, whatever is up: recovered is who refuses few more. */
const RECOVERED_SHARE = 0.9

/** Of all answers, those that acknowledge. */
function takenShare({ statuses }: Tally): number {
  const answers = Object.values(statuses).reduce((sum, count) => sum + count, 0)
  return (statuses[201] ?? 0) / answers
}

/** The first stretch of answers of which so many acknowledge, or the last one if there is none in time. */
async function untilTaken(clients: Clients, share: number): Promise<Tally> {
  const endMs = performance.now() + PHASE_MS_MAX
  for (;;) {
    clients.take()
    await clients.answered(ANSWERS)
    const tally = clients.take()
    if (takenShare(tally) >= share || performance.now() > endMs) return tally
  }
}

/** From the stop of two nodes until as many are refused as there are clients, where there are deadlines. */
let refusedAfterMs = 0

t.test(
  `${CLIENTS} clients, one node and then two of three stopped: refused and not left hanging`,
  { timeout: shortOrLong(300_000, 1_200_000) },
  async (t) => {
    const { store, pids, clients } = await open(t, 'overload', (store) => store.stop())
    const idleBytes = processUsage(store.pid).rssBytes
    const peak = { bytes: idleBytes }
    const watch = setInterval(() => {
      peak.bytes = Math.max(peak.bytes, processUsage(store.pid).rssBytes)
    }, 100)
    t.teardown(() => clearInterval(watch))
    const all = clients.take()
    const report: Record<string, unknown> = { all }

    process.kill(pids[1]!, 'SIGSTOP')
    await clients.answered(ANSWERS, 201)
    const oneAway = clients.take()

    process.kill(pids[2]!, 'SIGSTOP')
    const stoppedMs = performance.now()
    await clients.answered(CLIENTS, 503)
    refusedAfterMs = performance.now() - stoppedMs
    await clients.answered(ANSWERS, 503)
    const twoAway = clients.take()

    for (const pid of pids) process.kill(pid, 'SIGCONT')
    const backMs = performance.now()
    await clients.answered(CLIENTS, 201)
    const recoveryMs = Math.round(performance.now() - backMs)
    // What began while they were away ends first.
    const wanted = RECOVERED_SHARE * takenShare(all)
    const after = await untilTaken(clients, wanted)
    await clients.stop()
    Object.assign(report, { oneAway, twoAway, after, recoveryMs })
    report.memoryMiB = [idleBytes, peak.bytes].map((bytes) => Math.round(bytes / 2 ** 20))
    t.comment(JSON.stringify(report))

    for (const tally of [oneAway, twoAway, after]) {
      t.equal(tally.withoutRetryAfter, 0, 'a 503 says when to come again')
      t.ok(tally.slowestMs < ANSWER_MS_MAX, `the slowest answer took ${tally.slowestMs} ms`)
      t.notOk(tally.statuses[0], 'nobody is cut off')
      t.notOk(tally.statuses[500], 'nothing is taken by surprise')
    }
    t.ok(takenShare(after) >= wanted, 'as much is taken again as before')
    t.ok(peak.bytes - idleBytes < MEMORY_BYTES_MAX, 'memory is bounded')
  },
)

t.test(
  'negative control: without deadlines they are left hanging',
  { timeout: shortOrLong(300_000, 1_200_000) },
  async (t) => {
    t.ok(refusedAfterMs > 0, `with them ${CLIENTS} were refused within ${refusedAfterMs} ms`)
    const preload = `data:text/javascript,${encodeURIComponent(WITHOUT_DEADLINES)}`
    const env = { NODE_OPTIONS: `--import=${preload}` }
    const { pids, clients } = await open(t, 'overload-control', (store) => store.kill(), env)
    for (const pid of pids.slice(1)) process.kill(pid, 'SIGSTOP')
    // Answers that were on their way.
    await sleep(refusedAfterMs)
    clients.take()
    await sleep(refusedAfterMs)
    const { statuses } = clients.take()
    t.strictSame(statuses, {}, 'nobody is answered in that time')
    await clients.abandon()
  },
)

/** False if there is no such process any more. */
function signal(pid: number, name: 'SIGKILL'): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
