/**
 * Three zones of two nodes, each a process: under load a node is killed and comes back, a disk is lost for good, and a
 * zone is added. Nothing that was acknowledged is lost, no request fails that a retry does not mend, and the cluster
 * moves its partitions by itself.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { storeCredentials } from '../../bench/store-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import {
  freePortOffset,
  runSwiftlet,
  startStorageNode,
  startSwiftlet,
} from '../support/swiftlet-command.ts'
import { Ledger } from './support/ledger.ts'
import { runLoad, untilAcknowledged } from './support/load.ts'
import { probeFolder } from './support/probe-folder.ts'
import { LONG, probeSeed, shortOrLong } from './support/scale.ts'
import { StoreClient } from './support/store-client.ts'
import { checkProblems } from './support/store-under-test.ts'
import { countFindings, SETTLE_MS_MAX, verifyAll, verifyObjects } from './support/verify.ts'

const CONTAINER = 'moves'
const CLIENTS = 4
/** Operations before the first trouble, and while each lasts. */
const OPERATIONS = shortOrLong(150, 3_000)
const WAIT_MS_MAX = shortOrLong(120_000, 900_000)
const RETRIES_MAX = 8

t.test(
  'a node comes back, a disk is replaced, a zone is added',
  { timeout: shortOrLong(240_000, 3_600_000) },
  async (t) => {
    const seed = probeSeed()
    const data = join(await probeFolder(t, 'ring-move'), 'data')
    const [flag, offset] = await freePortOffset()
    const shape = ['--nodes', '6', '--zones', '3', '--disks', '1', '--replicas', '3']
    const power = shortOrLong(['--part-power', '7'], [])
    const swiftlet = await startSwiftlet(t, [
      'cluster',
      '--data',
      data,
      flag!,
      offset!,
      ...shape,
      ...power,
    ])
    const client = new RetryingClient(swiftlet.origin)
    t.teardown(() => client.close())
    await client.signIn(await storeCredentials(data))
    const ledger = new Ledger()
    t.equal(await client.send('PUT', `/${CONTAINER}`), 201)
    const portOf = (node: number) => 6200 + Number(offset) + node - 1
    const pidOf = (node: number) =>
      Number(new RegExp(`^node${node}: process (\\d+)$`, 'm').exec(swiftlet.stdout())![1])
    const configOf = (node: number) => join(data, 'nodes', `node${node}`, 'storage-node.json')
    const seconds: Record<string, number> = {}
    const load = new Load({ client, ledger, seed })
    t.teardown(() => load.stop())
    await untilAcknowledged(ledger, OPERATIONS)

    if (LONG) {
      process.kill(pidOf(2), 'SIGKILL')
      await untilAcknowledged(ledger, OPERATIONS)
      await startStorageNode(t, configOf(2))
      await load.stop()
      seconds.caughtUp = await timed(() => untilEqual([1, 2, 3, 4, 5, 6].map(portOf)))
      load.start()
    }

    process.kill(pidOf(5), 'SIGKILL')
    await untilAcknowledged(ledger, OPERATIONS / 2)
    await command(t, ['lost', `127.0.0.1:${portOf(5)}/disk1`], data)
    seconds.rebuilt = await timed(() => untilMoved(data, { without: portOf(5) }))
    await checkSome('after a lost disk')

    const added = [7, 8]
    for (const node of added) {
      const folder = join(data, 'nodes', `node${node}`)
      mkdirSync(folder, { recursive: true })
      const config = JSON.parse(readFileSync(configOf(1), 'utf8'))
      writeFileSync(configOf(node), JSON.stringify({ ...config, port: portOf(node) }))
      await startStorageNode(t, configOf(node))
    }
    const devices = added.map((node) => `127.0.0.1:${portOf(node)}/disk1`)
    const before = ledger.acknowledged
    await command(t, ['add', '--zone', '4', ...devices], data)
    seconds.zoneAdded = await timed(() => untilMoved(data, { with: portOf(8) }))
    const meanwhile = ledger.acknowledged - before
    t.ok(meanwhile > 0, `${meanwhile} operations while the zone was filled`)
    await checkSome('after a zone was added')

    if (LONG) {
      await command(t, ['drain', 'zone:1'], data)
      seconds.drained = await timed(() => untilMoved(data, { without: portOf(1) }))
      await checkSome('after a zone was drained')
    }
    await load.stop()
    t.equal(client.failed, 0, 'every request was mended by a retry')
    const settle = LONG ? { settleMsMax: SETTLE_MS_MAX } : {}
    const findings = await verifyAll(client.store, ledger, { container: CONTAINER, ...settle })
    t.strictSame(findings, [], `${countFindings(findings)} (seed ${seed})`)
    const { acknowledged, unknown } = ledger
    const { retried } = client
    t.comment(JSON.stringify({ seed, acknowledged, unknown, retried, meanwhile, seconds }))
    t.equal(await swiftlet.end('SIGTERM'), 0)
    const disk = (node: number) => join(data, 'nodes', `node${node}`, 'disk1')
    t.equal(await checkProblems([disk(3)]), '', 'swiftlet check finds nothing wrong')

    /** Reads what was written so far while the load goes on: names that are written meanwhile are left out. */
    async function checkSome(when: string): Promise<void> {
      await load.stop()
      const names = ledger.names().slice(-shortOrLong(300, 5_000))
      const wrong = await verifyObjects(client.store, ledger, { container: CONTAINER, names })
      t.strictSame(wrong, [], `${when}: ${countFindings(wrong)} (seed ${seed})`)
      load.start()
    }
  },
)

/** Clients that put and delete until stopped, and may be started again. */
class Load {
  readonly #options: {
    readonly client: RetryingClient
    readonly ledger: Ledger
    readonly seed: number
  }
  #stopped = true
  #running: Promise<void> = Promise.resolve()
  #round = 0

  constructor(options: {
    readonly client: RetryingClient
    readonly ledger: Ledger
    readonly seed: number
  }) {
    this.#options = options
    this.start()
  }

  start(): void {
    const { client, ledger, seed } = this.#options
    this.#stopped = false
    this.#round++
    this.#running = runLoad({
      client: client as unknown as StoreClient,
      ledger,
      container: CONTAINER,
      random: seededRandom(seed + this.#round),
      names: String(this.#round),
      clients: CLIENTS,
      stopped: () => this.#stopped,
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }
}

/** Tries a request again that was answered 503 or not at all, as clients of Swift do. */
class RetryingClient {
  readonly store: StoreClient
  retried = 0
  /** Requests that no retry mended. */
  failed = 0

  constructor(origin: string) {
    this.store = new StoreClient(origin, { connections: 16 })
  }

  signIn(credentials: Parameters<StoreClient['signIn']>[0]): Promise<void> {
    return this.store.signIn(credentials)
  }

  async send(...request: Parameters<StoreClient['send']>): Promise<number> {
    for (let attempt = 0; ; attempt++) {
      const status = await this.store.send(...request).catch(() => 0)
      if (status !== 503 && status !== 0) return status
      if (attempt === RETRIES_MAX) {
        this.failed++
        return status
      }
      this.retried++
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt))
    }
  }

  close(): Promise<void> {
    return this.store.close()
  }
}

async function command(t: Test, args: readonly string[], data: string): Promise<void> {
  const [name, ...rest] = args
  const { code, stderr } = await runSwiftlet(['cluster', name!, '--data', data, ...rest])
  if (code !== 0) t.fail(`cluster ${args.join(' ')}: ${stderr}`)
}

/** Waits until no partition is on its way, and the rings have a device at that port, or have none any more. */
async function untilMoved(
  data: string,
  wanted: { readonly with?: number; readonly without?: number },
): Promise<void> {
  const { readRingSet } = await import('../../bin/ring-folder.ts')
  await until('every partition is where it belongs', async () => {
    const { placements } = readRingSet(join(data, 'rings'))
    const movement = JSON.parse(readFileSync(join(data, 'rings', 'movement.json'), 'utf8'))
    if (movement.state !== 'idle') return false
    return placements.every(({ ring, previous }) => {
      const has = (port: number) => ring.devices.some((device) => device?.port === port)
      const isThere = wanted.with === undefined || has(wanted.with)
      return previous === null && isThere && (wanted.without === undefined || !has(wanted.without))
    })
  })
}

/** Waits until each node has compared everything after now, and found nothing to do. */
async function untilEqual(ports: readonly number[]): Promise<void> {
  const sinceS = Date.now() / 1000
  await until('the replicas are equal', async () => {
    const pages = await Promise.all(
      ports.map(async (port) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
    )
    return pages.every((page) => {
      const value = (name: string) =>
        Number(new RegExp(`^swiftlet_replication_${name}\\{.*\\} (.+)$`, 'm').exec(page)?.[1])
      const behind = value('differing') + value('unreachable') + value('handoffs')
      return value('passed_at_seconds') > sinceS && behind === 0
    })
  })
}

async function timed(run: () => Promise<void>): Promise<number> {
  const startedMs = performance.now()
  await run()
  return Math.round((performance.now() - startedMs) / 100) / 10
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`did not come to hold: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
