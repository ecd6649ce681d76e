/**
 * What a cluster of storage nodes costs: the same requests as the HTTP benchmark with three replicas over real sockets
 * between processes, and the CPU that the processes take while nobody asks for anything.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type BenchRow, type HttpBenchOptions, runHttpBench } from './http-bench.ts'
import { processTree, processUsage } from './process-usage.ts'

export interface ClusterBenchOptions extends Omit<HttpBenchOptions, 'threads' | 'peers'> {
  readonly nodes: number
  readonly idleSeconds: number
}

export interface ClusterBench {
  readonly rows: readonly BenchRow[]
  readonly idle: IdleCost
}

export interface IdleCost {
  /** Of one core, all processes together. */
  readonly cpuPercent: number
  readonly processes: number
  readonly rssMebibytes: number
}

/** After the load, so that there is something to look after, and until what it left in doubt is settled (a minute). */
const SETTLE_SECONDS = 90

export async function runClusterBench(options: ClusterBenchOptions): Promise<ClusterBench> {
  let idle: IdleCost | undefined
  const rows = await runHttpBench({
    ...options,
    threads: 1,
    afterwards: async (pid) => {
      await sleep(SETTLE_SECONDS * 1000)
      idle = await idleCost(pid, options.idleSeconds)
    },
  })
  return { rows, idle: idle! }
}

async function idleCost(pid: number, seconds: number): Promise<IdleCost> {
  const pids = processTree(pid)
  const cpuMs = (): number => pids.reduce((sum, one) => sum + processUsage(one).cpuMs, 0)
  const before = cpuMs()
  await sleep(seconds * 1000)
  const rssBytes = pids.reduce((sum, one) => sum + processUsage(one).rssBytes, 0)
  return {
    cpuPercent: (cpuMs() - before) / (seconds * 10),
    processes: pids.length,
    rssMebibytes: rssBytes / 2 ** 20,
  }
}
