import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { LoadProcess } from './load/load-process.ts'
import { type Measurement, measurementOf, medianOf } from './measurement.ts'
import { startDebianSwift } from './peers/debian-swift.ts'
import { treeUsage } from './process-usage.ts'
import { type Scenario, SIZES } from './scenario.ts'
import {
  type MAIN_SIDES,
  type PeerName,
  type Side,
  type SideName,
  shardCount,
  startLimit,
  startSwiftlet,
} from './side.ts'

export interface HttpBenchOptions {
  /** Where data goes: a file system on a real disk. */
  readonly folder: string
  readonly scenarios: readonly Scenario[]
  readonly replicas: number
  /** Measured runs of each scenario and side. */
  readonly rounds: number
  readonly secondsPerRun: number
  /**
   * Each side works so long before it is measured: V8 compiles what a request takes only after some ten thousand of
   * them, and a server runs for months.
   */
  readonly warmSeconds: number
  /** Threads of Swiftlet, processes of the limit program. */
  readonly threads: number
  /** Storage nodes, each a process; absent: one process. */
  readonly nodes?: number
  /** More arguments of `swiftlet up`. */
  readonly extraArguments?: readonly string[]
  readonly peers?: readonly PeerName[]
  /** Called with the store's process id when all is measured, before it ends. */
  readonly afterwards?: (pid: number) => Promise<void>
  /** Called as each scenario is done. */
  readonly onRow?: (row: BenchRow) => void
}

/** A scenario measured on both sides, in the same minutes. */
export interface BenchRow {
  readonly replicas: number
  readonly scenario: Scenario
  readonly sides: Readonly<Record<(typeof MAIN_SIDES)[number], Measurement>> &
    Readonly<Partial<Record<PeerName, Measurement>>>
  /** Swiftlet's rate as a share of the limit program's: the median of the rounds' ratios. */
  readonly rateRatio: number
  /** Swiftlet's CPU time per request as a multiple of the limit program's. */
  readonly cpuRatio: number
}

/** Starts both servers, fills them, and measures every scenario in interleaved rounds: A B, B A, A B, … */
export async function runHttpBench(options: HttpBenchOptions): Promise<BenchRow[]> {
  const folder = await mkdtemp(join(options.folder, 'swiftlet-bench-'))
  const closing: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })]
  const closeAll = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  const interrupted = (): void => {
    void closeAll().finally(() => process.exit(130))
  }
  process.once('SIGINT', interrupted)
  try {
    const store = await startSwiftlet({ ...options, folder: join(folder, 'swiftlet') })
    closing.push(() => store.stop())
    const limit = await startLimit({
      ...options,
      folder: join(folder, 'limit'),
      logs: await shardCount({ ...options, folder: join(folder, 'swiftlet') }),
      headers: store.headers,
      pathLike: store.pathPrefix,
    })
    closing.push(() => limit.stop())
    const sides = [limit, store]
    if (options.peers?.includes('debian-swift')) {
      const peer = await startDebianSwift({ ...options, folder: join(folder, 'debian-swift') })
      closing.push(() => peer.stop())
      sides.push(peer)
    }
    const load = await LoadProcess.start()
    closing.push(() => load.close())
    const rows = await measureAll(options, { sides, load })
    await options.afterwards?.(store.pid)
    return rows
  } finally {
    process.off('SIGINT', interrupted)
    await closeAll()
  }
}

interface Bench {
  readonly sides: readonly Side[]
  readonly load: LoadProcess
}

async function measureAll(options: HttpBenchOptions, bench: Bench): Promise<BenchRow[]> {
  await fill(options.scenarios, bench)
  const rows: BenchRow[] = []
  for (const scenario of options.scenarios) {
    const row = await measureRow(options, bench, scenario)
    rows.push(row)
    options.onRow?.(row)
  }
  return rows
}

/** Objects for the GETs; the limit program answers from memory. */
async function fill(scenarios: readonly Scenario[], bench: Bench): Promise<void> {
  for (const size of SIZES) {
    if (!scenarios.some(({ method, bytes }) => method === 'GET' && bytes === size.bytes)) continue
    for (const side of bench.sides)
      if (side.name !== 'limit') await fillSide(side, bench.load, size)
  }
}

async function fillSide(
  side: Side,
  load: LoadProcess,
  size: (typeof SIZES)[number],
): Promise<void> {
  const { failures } = await load.run({
    port: side.port,
    method: 'PUT',
    pathPrefix: side.pathPrefix(size.bytes, 'get'),
    nameCount: size.storedCount,
    bytes: size.bytes,
    concurrency: Math.min(16, size.storedCount),
    headers: side.headers,
    durationMs: 0,
    requestCount: size.storedCount,
  })
  if (failures > 0)
    throw new Error(`${side.name}: ${failures} of ${size.storedCount} objects were not stored`)
}

async function measureRow(
  options: HttpBenchOptions,
  bench: Bench,
  scenario: Scenario,
): Promise<BenchRow> {
  for (const side of bench.sides)
    await measure(side, bench.load, { scenario, label: 'warm', seconds: options.warmSeconds })
  const runs: Record<SideName, Measurement[]> = { limit: [], swiftlet: [], 'debian-swift': [] }
  for (let round = 0; round < options.rounds; round++) {
    const order = round % 2 === 0 ? bench.sides : bench.sides.toReversed()
    for (const side of order) {
      const run = { scenario, label: `r${round}`, seconds: options.secondsPerRun }
      runs[side.name].push(await measure(side, bench.load, run))
    }
  }
  const ratios = runs.swiftlet.map(
    (run, round) => run.requestsPerSecond / runs.limit[round]!.requestsPerSecond,
  )
  const sides = {
    limit: medianOf(runs.limit),
    swiftlet: medianOf(runs.swiftlet),
    ...(runs['debian-swift'].length > 0 && { 'debian-swift': medianOf(runs['debian-swift']) }),
  }
  return {
    replicas: options.replicas,
    scenario,
    sides,
    rateRatio: ratios.sort((a, b) => a - b)[ratios.length >> 1]!,
    cpuRatio: sides.swiftlet.serverCpuUs / sides.limit.serverCpuUs,
  }
}

async function measure(
  side: Side,
  load: LoadProcess,
  run: { readonly scenario: Scenario; readonly label: string; readonly seconds: number },
): Promise<Measurement> {
  const { method, bytes, concurrency, id } = run.scenario
  const size = SIZES.find((one) => one.bytes === bytes)!
  // Small objects are new ones; large ones overwrite a few, so that the disk does not fill.
  const fresh = method === 'PUT' && bytes < 2 ** 20
  const before = treeUsage(side.pid)
  const result = await load.run({
    port: side.port,
    method,
    pathPrefix: side.pathPrefix(bytes, method === 'GET' ? 'get' : `${id}-${run.label}`),
    nameCount: fresh ? 1e9 : size.storedCount,
    bytes,
    concurrency,
    headers: side.headers,
    durationMs: run.seconds * 1000,
  })
  return measurementOf(result, { bytes, before, after: treeUsage(side.pid) })
}
