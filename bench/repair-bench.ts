/**
 * What it costs to rebuild a device: one of three nodes loses its disk and comes back with an empty one, which the others
 * fill. Of bandwidth the replicator's own limit (50 MiB/s a node) is one bound; CPU is that of all storage nodes.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LoadProcess } from './load/load-process.ts'
import { processUsage } from './process-usage.ts'
import {
  freePort,
  type StoreProcess,
  startNode,
  startStore,
  storeCredentials,
} from './store-process.ts'

export interface RepairBenchOptions {
  /** A folder on a real disk. */
  readonly folder: string
  readonly objects: number
  readonly bodyBytes: number
}

export interface RepairCost {
  readonly bodyBytes: number
  /** Sent to the empty device: records, rows, and their bytes. */
  readonly records: number
  readonly rows: number
  readonly mebibytes: number
  /** From the start of the node until the last byte was sent. */
  readonly seconds: number
  readonly recordsPerSecond: number
  readonly mebibytesPerSecond: number
  /** Of all storage nodes, by MiB and by record. */
  readonly cpuMsPerMebibyte: number
  readonly cpuUsPerRecord: number
}

const NODES = [1, 2, 3]
const LOST = 1
const POLL_MS = 500
const REPAIR_MS_MAX = 20 * 60 * 1000

export async function runRepairBench(options: RepairBenchOptions): Promise<RepairCost> {
  const folder = await mkdtemp(join(options.folder, 'swiftlet-repair-'))
  const closing: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })]
  try {
    const dataFolder = join(folder, 'data')
    const store = await startStore({ dataFolder, port: await freePort(), nodes: NODES.length })
    closing.push(() => store.stop())
    await fill(store, dataFolder, options)
    const nodes = await nodesOf(store, dataFolder)
    const before = await Promise.all(nodes.map(({ origin }) => sentBy(origin)))

    const lost = nodes.find(({ number }) => number === LOST)!
    process.kill(lost.pid, 'SIGKILL')
    await rm(lost.disk, { recursive: true })
    await mkdir(lost.disk)
    const others = nodes.filter((node) => node !== lost)
    const cpuBefore = others.reduce((sum, { pid }) => sum + processUsage(pid).cpuMs, 0)
    const startMs = performance.now()
    const again = await startNode(lost.config)
    closing.push(() => again.stop())
    const endMs = await untilRebuilt(others, options.objects, before)
    const pids = [again.pid, ...others.map(({ pid }) => pid)]
    const cpuMs = pids.reduce((sum, pid) => sum + processUsage(pid).cpuMs, 0) - cpuBefore
    const after = await Promise.all(nodes.map(({ origin }) => sentBy(origin)))
    const grown = (of: (sent: Sent) => number) =>
      others.reduce((sum, { number }) => sum + of(after[number - 1]!) - of(before[number - 1]!), 0)
    return costOf(options, {
      records: grown(({ records }) => records),
      rows: grown(({ rows }) => rows),
      bytes: grown(({ bytes }) => bytes),
      seconds: (endMs - startMs) / 1000,
      cpuMs,
    })
  } finally {
    for (const close of closing.reverse()) await close()
  }
}

function costOf(
  { bodyBytes }: RepairBenchOptions,
  seen: {
    readonly records: number
    readonly rows: number
    readonly bytes: number
    readonly seconds: number
    readonly cpuMs: number
  },
): RepairCost {
  const { records, rows, bytes, seconds, cpuMs } = seen
  const mebibytes = bytes / 2 ** 20
  return {
    bodyBytes,
    records,
    rows,
    mebibytes,
    seconds,
    recordsPerSecond: records / seconds,
    mebibytesPerSecond: mebibytes / seconds,
    cpuMsPerMebibyte: cpuMs / mebibytes,
    cpuUsPerRecord: (cpuMs * 1000) / records,
  }
}

async function fill(
  store: StoreProcess,
  dataFolder: string,
  { objects, bodyBytes }: RepairBenchOptions,
): Promise<void> {
  const { user, key } = await storeCredentials(dataFolder)
  const signIn = await fetch(`${store.origin}/auth/v1.0`, {
    headers: { 'x-auth-user': user, 'x-auth-key': key },
  })
  const headers = { 'x-auth-token': signIn.headers.get('x-auth-token') ?? '' }
  const path = `${new URL(signIn.headers.get('x-storage-url') ?? '').pathname}/repair`
  await fetch(`${store.origin}${path}`, { method: 'PUT', headers })
  const load = await LoadProcess.start()
  try {
    const { failures } = await load.run({
      port: store.port,
      method: 'PUT',
      pathPrefix: `${path}/o`,
      nameCount: objects,
      bytes: bodyBytes,
      concurrency: 16,
      headers,
      durationMs: 0,
      requestCount: objects,
    })
    if (failures > 0) throw new Error(`${failures} of ${objects} objects were not stored`)
  } finally {
    await load.close()
  }
}

interface BenchNode {
  readonly number: number
  readonly pid: number
  readonly config: string
  readonly disk: string
  readonly origin: string
}

async function nodesOf(store: StoreProcess, dataFolder: string): Promise<readonly BenchNode[]> {
  return Promise.all(
    NODES.map(async (number) => {
      const folder = join(dataFolder, 'nodes', `node${number}`)
      const config = join(folder, 'storage-node.json')
      const { port } = JSON.parse(await readFile(config, 'utf8')) as { readonly port: number }
      const pid = new RegExp(`^node${number}: process (\\d+)$`, 'm').exec(store.output())?.[1]
      const disk = join(folder, 'disk1')
      return { number, pid: Number(pid), config, disk, origin: `http://127.0.0.1:${port}` }
    }),
  )
}

interface Sent {
  readonly records: number
  readonly rows: number
  readonly bytes: number
  /** Partitions that differ from a replica, or whose replica cannot be asked. */
  readonly behind: number
  readonly passedAt: number
}

async function sentBy(origin: string): Promise<Sent> {
  const text = await (await fetch(`${origin}/metrics`)).text()
  const value = (name: string): number => {
    const lines = text.matchAll(
      new RegExp(`^swiftlet_replication_${name}(?:\\{.*\\})? (\\S+)$`, 'gm'),
    )
    return Array.from(lines, ([, figure]) => Number(figure)).reduce((sum, one) => sum + one, 0)
  }
  return {
    records: value('records_sent_total'),
    rows: value('rows_sent_total'),
    bytes: value('bytes_sent_total'),
    behind: value('differing') + value('unreachable'),
    passedAt: value('passed_at_seconds'),
  }
}

/** Resolves with when the last byte was sent, once all are in step and everything has been sent. */
async function untilRebuilt(
  nodes: readonly BenchNode[],
  objects: number,
  before: readonly Sent[],
): Promise<number> {
  const endMs = performance.now() + REPAIR_MS_MAX
  let last = { bytes: 0, atMs: performance.now() }
  while (performance.now() < endMs) {
    const sent = await Promise.all(nodes.map(({ origin }) => sentBy(origin)))
    const bytes = sent.reduce((sum, one) => sum + one.bytes, 0)
    if (bytes > last.bytes) last = { bytes, atMs: performance.now() }
    const records = sent.reduce((sum, one, index) => {
      return sum + one.records - before[nodes[index]!.number - 1]!.records
    }, 0)
    if (records >= objects && sent.every(({ behind }) => behind === 0)) return last.atMs
    await sleep(POLL_MS)
  }
  throw new Error('the device was not rebuilt in time')
}
