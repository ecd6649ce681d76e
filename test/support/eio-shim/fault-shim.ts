import { execFile } from 'node:child_process'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What the shim can strike: fsync and fdatasync; write, pwrite and pwritev; pread and preadv. */
export const SHIM_CALLS = { sync: 1, write: 2, read: 4 } as const
export type ShimCall = keyof typeof SHIM_CALLS

export interface ShimRule {
  readonly calls: readonly ShimCall[]
  /** Part of the file's path; absent: all files. */
  readonly path?: string
  /** The k-th matching call is struck, from 1 on. Default 1. */
  readonly atCall?: number
  /** All later ones too. */
  readonly sticky?: boolean
  /** Absent: the call says it succeeded and does nothing (for a sync: the negative control). */
  readonly error?: 'EIO' | 'ENOSPC'
}

export interface FaultShim {
  /** What the process to be struck needs in its environment. */
  readonly env: Readonly<Record<string, string>>
  arm(rule: ShimRule): void
  disarm(): void
  /** Matching calls seen and struck under the rule; sync calls since the start. */
  counts(): { readonly seen: number; readonly hits: number; readonly syncs: number }
  close(): void
}

const CONTROL_BYTES = 4096
const PATH_OFFSET = 64

/** Why native helpers cannot be built here, or null. */
export async function missingCompiler(): Promise<string | null> {
  try {
    await run('gcc', ['--version'])
    return null
  } catch {
    return 'no gcc on this machine'
  }
}

/** Builds the shim into the folder; its rules come from a file there. */
export async function buildFaultShim(folder: string): Promise<FaultShim> {
  const library = join(folder, 'eio-shim.so')
  await run('gcc', ['-O2', '-shared', '-fPIC', '-o', library, source('eio-shim.c'), '-ldl'])
  const control = join(folder, 'eio-shim.control')
  const fd = openSync(control, 'w+')
  writeSync(fd, Buffer.alloc(CONTROL_BYTES), 0, CONTROL_BYTES, 0)
  const writeWord = (offset: number, value: number): void => {
    const word = Buffer.alloc(4)
    word.writeUInt32LE(value)
    writeSync(fd, word, 0, 4, offset)
  }
  return {
    env: { LD_PRELOAD: library, SWIFTLET_SHIM_CONTROL: control },
    arm(rule) {
      writeWord(0, 0)
      const head = Buffer.alloc(CONTROL_BYTES)
      head.writeUInt32LE(
        rule.calls.reduce((bits, call) => bits | SHIM_CALLS[call], 0),
        4,
      )
      head.writeUInt32LE(rule.atCall ?? 1, 8)
      head.writeUInt32LE(rule.sticky ? 1 : 0, 12)
      head.writeUInt32LE(rule.error === undefined ? 0 : constants.errno[rule.error], 16)
      head.write(rule.path ?? '', PATH_OFFSET)
      writeSync(fd, head, 4, 24, 4)
      writeSync(fd, head, PATH_OFFSET, CONTROL_BYTES - PATH_OFFSET, PATH_OFFSET)
      writeWord(0, 1)
    },
    disarm: () => writeWord(0, 0),
    counts() {
      const words = Buffer.alloc(12)
      readSync(fd, words, 0, 12, 20)
      return {
        seen: words.readUInt32LE(0),
        hits: words.readUInt32LE(4),
        syncs: words.readUInt32LE(8),
      }
    },
    close: () => closeSync(fd),
  }
}

/** Builds the program that shuts a file system down; returns its path. */
export async function buildFsShutdown(folder: string): Promise<string> {
  const program = join(folder, 'fs-shutdown')
  await run('gcc', ['-O2', '-o', program, source('fs-shutdown.c')])
  return program
}

function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}
