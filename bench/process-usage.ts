import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts process times in hundredths of a second. */
const TICK_MS = 10

export interface ProcessUsage {
  /** User and system time of all threads so far. */
  readonly cpuMs: number
  readonly rssBytes: number
  readonly threads: number
  readonly openFiles: number
}

/** What /proc says about a process. Throws if it is gone. */
export function processUsage(pid: number): ProcessUsage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name, in parentheses, may hold spaces: fields are counted from behind it, the first is the state (number 3).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  return {
    cpuMs: (field(14) + field(15)) * TICK_MS,
    rssBytes: field(24) * 4096,
    threads: field(20),
    openFiles: readdirSync(`/proc/${pid}/fd`).length,
  }
}

/** The process and all its descendants, parents first. */
export function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
  const below = children === '' ? [] : children.split(' ').map(Number)
  return [pid, ...below.flatMap(processTree)]
}

/** The sum over a process and its descendants. */
export function treeUsage(pid: number): ProcessUsage {
  const usages = processTree(pid).map(processUsage)
  const sum = (of: (usage: ProcessUsage) => number): number =>
    usages.reduce((total, usage) => total + of(usage), 0)
  return {
    cpuMs: sum((usage) => usage.cpuMs),
    rssBytes: sum((usage) => usage.rssBytes),
    threads: sum((usage) => usage.threads),
    openFiles: sum((usage) => usage.openFiles),
  }
}
