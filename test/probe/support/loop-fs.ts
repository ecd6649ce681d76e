import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { access, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const LOOP_KINDS = ['ext4', 'xfs'] as const
export type LoopKind = (typeof LOOP_KINDS)[number]

/** A file system of its own in a file, whose power can be cut. */
export interface LoopFs {
  /** Where it is mounted. */
  readonly folder: string
  mount(): Promise<void>
  /** Waits for users that are about to go. */
  unmount(): Promise<void>
  /** Unmounts and removes everything; idempotent, never throws. */
  dispose(): Promise<void>
}

/** Why file systems cannot be made and mounted here, or null. */
export async function missingForLoop(kind: LoopKind): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'mounting needs root'
  try {
    await access('/dev/loop-control')
    await run('which', [`mkfs.${kind}`, 'mount', 'umount', 'losetup'])
    return null
  } catch {
    return `no loop devices or no mkfs.${kind} on this machine`
  }
}

/** Makes and mounts it in `folder`: `image` the file, `mnt` the mount point. */
export async function makeLoopFs(
  kind: LoopKind,
  options: { readonly folder: string; readonly bytes: number },
): Promise<LoopFs> {
  const image = join(options.folder, `${kind}.image`)
  const folder = join(options.folder, `mnt-${kind}`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const file = await open(image, 'w')
  await file.truncate(options.bytes)
  await file.close()
  await run(`mkfs.${kind}`, [kind === 'xfs' ? '-f' : '-F', '-q', image])
  let mounted = false
  const watchdog = startWatchdog(folder, image)
  const fs: LoopFs = {
    folder,
    async mount() {
      await run('mount', ['-o', 'loop', '-t', kind, image, folder])
      mounted = true
    },
    async unmount() {
      await retry(() => run('umount', [folder]))
      mounted = false
    },
    async dispose() {
      // Lazily as a last resort: the loop device goes with its last user.
      if (mounted) await fs.unmount().catch(() => run('umount', ['-l', folder]).catch(() => {}))
      await rm(image, { force: true })
      watchdog.kill('SIGKILL')
    },
  }
  await fs.mount()
  return fs
}

/** A test that is killed cannot clean up: this outlives it, then unmounts and removes what it left. */
function startWatchdog(folder: string, image: string): ChildProcess {
  const script = 'while kill -0 "$1"; do sleep 1; done; umount -l "$2"; rm -f "$3"'
  const watchdog = spawn('sh', ['-c', script, 'sh', String(process.pid), folder, image], {
    stdio: 'ignore',
    detached: true,
  })
  watchdog.unref()
  return watchdog
}

/** The kernel lets go of the files of a killed process a moment after it is gone. */
async function retry(action: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await action()
      return
    } catch (error) {
      if (attempt === 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 20 * Math.min(attempt, 10)))
    }
  }
}
