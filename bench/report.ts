import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drawChart } from './chart.ts'
import type { BenchRow } from './http-bench.ts'
import type { Machine } from './machine.ts'
import { rateText } from './measurement.ts'

export interface BenchReport {
  readonly startedAt: string
  readonly machine: Machine
  /** Threads of the store, processes of the limit program. */
  readonly threads: number
  readonly rounds: number
  readonly secondsPerRun: number
  readonly rows: readonly BenchRow[]
}

/** Writes `http.json` and `http.svg`. */
export async function writeReport(folder: string, report: BenchReport): Promise<void> {
  await writeJson(folder, 'http.json', report)
  await writeFile(join(folder, 'http.svg'), drawChart(report))
}

/** Figures with five digits. */
export async function writeJson(folder: string, name: string, content: unknown): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, name), `${JSON.stringify(content, rounded, 2)}\n`)
}

/** A step of the engine's benchmark on the terminal. */
export function stepText(name: string, result: Readonly<Record<string, number>>): string {
  const figures = Object.entries(result).map(
    ([label, value]) => `  ${label} ${Number(value.toPrecision(4))}`,
  )
  return [name, ...figures].join('\n')
}

/** One line of the table on the terminal. */
export function rowText(row: BenchRow): string {
  const { limit, swiftlet, 'debian-swift': peer } = row.sides
  return [
    `${row.replicas}x`,
    row.scenario.id.padEnd(12),
    rateText(swiftlet).padStart(10),
    'of',
    rateText(limit).padStart(10),
    `${(row.rateRatio * 100).toFixed(0).padStart(4)} %`,
    `  cpu ${swiftlet.serverCpuUs.toFixed(0).padStart(6)} us (${row.cpuRatio.toFixed(2)}x)`,
    `  p50 ${swiftlet.p50Ms.toFixed(2)} p99 ${swiftlet.p99Ms.toFixed(2)} p99.9 ${swiftlet.p999Ms.toFixed(2)} ms`,
    `  rss ${swiftlet.rssMebibytes.toFixed(0)} MiB`,
    peer === undefined
      ? ''
      : `  (Debian’s Swift ${rateText(peer)}, cpu ${peer.serverCpuUs.toFixed(0)} us)`,
    swiftlet.failures + limit.failures > 0
      ? `  FAILED ${JSON.stringify(swiftlet.failureStatuses)} + ${JSON.stringify(limit.failureStatuses)}`
      : '',
  ].join(' ')
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(5)) : value
}
