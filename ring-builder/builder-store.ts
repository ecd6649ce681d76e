import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ServiceError, systemErrorCode } from '../common/errors.ts'

/** Builder and ring files on disk: read whole, replaced at once, with dated copies in `backups/` beside them. */

/** The bytes of the file, or null if it is not there. Throws ServiceError RingUnreadable. */
export async function readRingFile(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path)
  } catch (cause) {
    if (systemErrorCode(cause) === 'ENOENT') return null
    throw new ServiceError('RingUnreadable', `${path} cannot be read: ${String(cause)}`, { cause })
  }
}

/**
 * Replaces the file: whoever reads it sees the old bytes or the new ones, and after a power cut one of them is there.
 * Throws ServiceError RingUnwritable.
 */
export async function replaceRingFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`)
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeDurably(temporary, bytes)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (cause) {
    await rm(temporary, { force: true })
    throw new ServiceError('RingUnwritable', `${path} cannot be written: ${String(cause)}`, {
      cause,
    })
  }
}

/** Where a copy of the file goes that was written at that second. */
export function backupPath(path: string, nowS: number): string {
  return join(dirname(path), 'backups', `${Math.floor(nowS)}.${basename(path)}`)
}

/** How long a command waits for another one that works on the same builder. */
const LOCK_WAIT_MS = 15_000
const LOCK_RETRY_MS = 50

/**
 * Runs `action` while no other process works on the builder. The lock is a file with the process's id; one whose
 * process is gone is taken over. Throws ServiceError RingLocked after 15 seconds.
 */
export async function withBuilderLock<T>(
  builderPath: string,
  options: { readonly sleep: (delayMs: number) => Promise<void> },
  action: () => Promise<T>,
): Promise<T> {
  const lockPath = join(dirname(builderPath), `.${basename(builderPath)}.lock`)
  for (let waitedMs = 0; !(await takeLock(lockPath)); waitedMs += LOCK_RETRY_MS) {
    if (waitedMs >= LOCK_WAIT_MS) {
      throw new ServiceError('RingLocked', `Ring/builder is locked by another process: ${lockPath}`)
    }
    await options.sleep(LOCK_RETRY_MS)
  }
  try {
    return await action()
  } finally {
    await rm(lockPath, { force: true })
  }
}

async function takeLock(path: string): Promise<boolean> {
  try {
    await mkdir(dirname(path), { recursive: true })
    const file = await open(path, 'wx')
    await file.writeFile(String(process.pid))
    await file.close()
    return true
  } catch (cause) {
    if (systemErrorCode(cause) !== 'EEXIST') {
      throw new ServiceError('RingUnwritable', `${path} cannot be written: ${String(cause)}`, {
        cause,
      })
    }
  }
  const holder = Number(Buffer.from((await readRingFile(path)) ?? []).toString('latin1'))
  // An empty lock is one whose owner has not written its id yet.
  if (holder > 0 && !isAlive(holder)) await rm(path, { force: true })
  return false
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemErrorCode(error) === 'EPERM'
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o644)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
