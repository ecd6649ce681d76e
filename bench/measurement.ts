import type { LoadResult } from './load/load-plan.ts'
import type { ProcessUsage } from './process-usage.ts'

/** One run of one scenario against one server. */
export interface Measurement {
  readonly requestsPerSecond: number
  readonly mebibytesPerSecond: number
  /** CPU time of the server, all threads and child processes, per request. Resolution: 10 ms over the whole run. */
  readonly serverCpuUs: number
  readonly generatorCpuUs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  readonly requests: number
  readonly failures: number
  /** How many answers of each status the failures were. */
  readonly failureStatuses: Readonly<Record<number, number>>
  readonly rssMebibytes: number
}

export function measurementOf(
  result: LoadResult,
  run: { readonly bytes: number; readonly before: ProcessUsage; readonly after: ProcessUsage },
): Measurement {
  const perSecond = result.requests / (result.elapsedMs / 1000)
  const perRequestUs = (cpuMs: number): number => (cpuMs * 1000) / Math.max(1, result.requests)
  return {
    requestsPerSecond: perSecond,
    mebibytesPerSecond: (perSecond * run.bytes) / 2 ** 20,
    serverCpuUs: perRequestUs(run.after.cpuMs - run.before.cpuMs),
    generatorCpuUs: perRequestUs(result.generatorCpuMs),
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    p999Ms: result.p999Ms,
    maxMs: result.maxMs,
    requests: result.requests,
    failures: result.failures,
    failureStatuses: result.failureStatuses,
    rssMebibytes: run.after.rssBytes / 2 ** 20,
  }
}

/** The median of each figure on its own; requests and failures are summed. */
export function medianOf(runs: readonly Measurement[]): Measurement {
  const median = (of: (run: Measurement) => number): number => {
    const sorted = runs.map(of).sort((a, b) => a - b)
    const middle = sorted.length >> 1
    return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  }
  const sum = (of: (run: Measurement) => number): number =>
    runs.reduce((total, run) => total + of(run), 0)
  return {
    requestsPerSecond: median((run) => run.requestsPerSecond),
    mebibytesPerSecond: median((run) => run.mebibytesPerSecond),
    serverCpuUs: median((run) => run.serverCpuUs),
    generatorCpuUs: median((run) => run.generatorCpuUs),
    p50Ms: median((run) => run.p50Ms),
    p99Ms: median((run) => run.p99Ms),
    p999Ms: median((run) => run.p999Ms),
    maxMs: median((run) => run.maxMs),
    requests: sum((run) => run.requests),
    failures: sum((run) => run.failures),
    failureStatuses: addedUp(runs.map((run) => run.failureStatuses)),
    rssMebibytes: median((run) => run.rssMebibytes),
  }
}

/** Requests a second, or MiB a second of large bodies. */
export function rateText(measurement: Measurement): string {
  if (measurement.mebibytesPerSecond > measurement.requestsPerSecond) {
    return `${measurement.mebibytesPerSecond.toFixed(0)} MiB/s`
  }
  return `${Math.round(measurement.requestsPerSecond).toLocaleString('en')}/s`
}

function addedUp(counts: readonly Readonly<Record<number, number>>[]): Record<number, number> {
  const total: Record<number, number> = {}
  for (const [status, count] of counts.flatMap((one) => Object.entries(one))) {
    total[Number(status)] = (total[Number(status)] ?? 0) + count
  }
  return total
}
