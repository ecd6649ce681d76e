import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ServiceError } from '../common/errors.ts'

/** Where the index of a device is locked while a process uses it. */
const LOCKED_FILE = join('idx', 'LOCK')

/**
 * What a person needs to know about a device that could not be opened because another process has it: which device and
 * which process. Other errors come back as they are.
 */
export function explainDeviceInUse(error: unknown, devicePaths: readonly string[]): unknown {
  if (!(error instanceof ServiceError) || error.code !== 'DeviceInUse') return error
  for (const path of devicePaths) {
    const pid = lockingProcess(join(path, LOCKED_FILE))
    if (pid === null || pid === process.pid) continue
    return new ServiceError('DeviceInUse', `the disk ${path} is in use by process ${pid}`, {
      status: 409,
      cause: error,
    })
  }
  return error
}

/** The process that holds a lock on the file, by the kernel's list of locks; null if none does, or there is no list. */
export function lockingProcess(path: string): number | null {
  try {
    const { ino } = statSync(path)
    const lines = readFileSync('/proc/locks', 'utf8').split('\n')
    // 1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF - a line with `->` waits and holds nothing.
    const pid = lines
      .filter((line) => !line.includes('->'))
      .map((line) => /(-?\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line))
      .find((match) => match?.[2] === String(ino))?.[1]
    return pid === undefined || Number(pid) <= 0 ? null : Number(pid)
  } catch {
    return null
  }
}
