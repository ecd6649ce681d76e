import { execFileSync } from 'node:child_process'
import { arch, cpus, loadavg, release, totalmem } from 'node:os'

/** Where the figures come from; without it they say little. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGibibytes: number
  readonly kernel: string
  readonly node: string
  /** File system of the data folder. */
  readonly fileSystem: string
  /** Processes that wanted to run in the minute before: above 1 the machine was not quiet. */
  readonly loadAverage: number
}

export function describeMachine(folder: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? arch(),
    cores: cpus().length,
    memoryGibibytes: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    fileSystem: execFileSync('stat', ['-f', '-c', '%T', folder]).toString().trim(),
    loadAverage: loadavg()[0] ?? 0,
  }
}
