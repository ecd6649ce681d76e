import { randomUUID } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { ServiceError, systemErrorCode } from '../common/errors.ts'

/** Who holds a lock file: a process id and, because ids come round again, when that process began. */
interface Holder {
  readonly pid: number
  /** Clock ticks since boot at which the process started, with the boot's id; empty without /proc. */
  readonly started: string
}

export interface ProcessLock {
  /** Idempotent. */
  release(): void
}

/**
 * Takes a lock file for this process, or throws a 409 `Locked` that names the pid of the running process that has it.
 * A lock whose process is gone, killed or lost with the machine, is taken over. Inside one process it excludes too.
 */
export function acquireLock(path: string, what: string): ProcessLock {
  const own = JSON.stringify({ pid: process.pid, started: startOf(process.pid) } satisfies Holder)
  // A hard link appears with its content: nobody ever reads a lock that is half written.
  const draft = `${path}.${randomUUID()}`
  writeFileSync(draft, own, { mode: 0o600, flag: 'wx' })
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      if (tryLink(draft, path)) return { release: () => releaseOwn(path, own) }
      const found = readOrNull(path)
      if (found === null) continue
      const holder = parseHolder(found)
      if (holder !== null && isRunning(holder)) throw lockedBy(holder.pid, what)
      removeStale(path, found)
    }
    throw new ServiceError('Locked', `${what}: the lock ${path} keeps changing hands`, {
      status: 409,
    })
  } finally {
    rmSync(draft, { force: true })
  }
}

/** The running process that holds the lock, or null. */
export function lockHolder(path: string): number | null {
  const found = readOrNull(path)
  const holder = found === null ? null : parseHolder(found)
  return holder !== null && isRunning(holder) ? holder.pid : null
}

function lockedBy(pid: number, what: string): ServiceError {
  return new ServiceError('Locked', `${what} is in use by process ${pid}`, { status: 409 })
}

/** Moves the stale lock aside before removing it: what was moved may be another's new one, which goes back then. */
function removeStale(path: string, stale: string): void {
  const aside = `${path}.${randomUUID()}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return
    throw error
  }
  if (readOrNull(aside) !== stale) tryLink(aside, path)
  rmSync(aside, { force: true })
}

function releaseOwn(path: string, own: string): void {
  if (readOrNull(path) === own) rmSync(path, { force: true })
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false
    throw error
  }
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, started } = JSON.parse(text) as Partial<Holder>
    if (!Number.isInteger(pid) || typeof started !== 'string') return null
    return { pid: pid as number, started }
  } catch {
    return null
  }
}

function isRunning(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if (systemErrorCode(error) === 'ESRCH') return false
  }
  return startOf(holder.pid) === holder.started
}

function startOf(pid: number): string {
  const stat = readOrNull(`/proc/${pid}/stat`)
  const boot = readOrNull('/proc/sys/kernel/random/boot_id')
  if (stat === null || boot === null) return ''
  // The command's name is in parentheses and may hold anything; starttime is the 20th field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return `${boot.trim()} ${fields[19]}`
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ESRCH') return null
    throw error
  }
}
