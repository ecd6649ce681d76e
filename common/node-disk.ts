import * as fs from 'node:fs'
import { constants, statfsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Disk, DiskFile } from './disk.ts'
import { systemErrorCode } from './errors.ts'

// The callback API of fs costs a third less CPU per call than FileHandle (100 against 118 us measured).
const fsOpen = promisify(fs.open)
const fsRead = promisify(fs.read)
const fsWritev = promisify(fs.writev)
const fsSync = promisify(fs.fdatasync)
const fsClose = promisify(fs.close)

const MODES = {
  read: constants.O_RDONLY,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  write: constants.O_RDWR,
} as const

/** writev takes at most this many buffers (IOV_MAX). */
const IOVEC_MAX = 1024

/** The machine's disks. */
export const nodeDisk: Disk = {
  async open(path, mode) {
    return new NodeFile(path, await fsOpen(path, MODES[mode], 0o600))
  },
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o700 })
  },
  async list(path) {
    return (await orNull(readdir(path))) ?? []
  },
  async syncDirectory(path) {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { force: true }),
  readWhole: (path) => orNull(readFile(path)),
  async sizeOf(path) {
    return (await orNull(stat(path)))?.size ?? null
  },
  spaceSync(path) {
    const { bsize, blocks, bavail } = statfsSync(path)
    return { bytesTotal: bsize * blocks, bytesFree: bsize * bavail }
  },
}

class NodeFile implements DiskFile {
  readonly path: string
  readonly #fd: number
  #closed = false

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0
    while (filled < target.length) {
      const { bytesRead } = await fsRead(
        this.#fd,
        target,
        filled,
        target.length - filled,
        position + filled,
      )
      filled += bytesRead
      // Nearly always the end of the file: asking for it blocking spares a way through the thread pool.
      if (filled < target.length)
        return filled + this.readSync(target.subarray(filled), position + filled)
    }
    return filled
  }

  readSync(target: Uint8Array, position: number): number {
    let filled = 0
    while (filled < target.length) {
      const count = fs.readSync(this.#fd, target, filled, target.length - filled, position + filled)
      if (count === 0) break
      filled += count
    }
    return filled
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let at = position
    for (let first = 0; first < buffers.length; first += IOVEC_MAX) {
      const part = buffers.slice(first, first + IOVEC_MAX)
      await this.#writeAll(part, at)
      at += totalBytes(part)
    }
  }

  async #writeAll(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let rest = buffers
    let at = position
    while (rest.length > 0) {
      const { bytesWritten } = await fsWritev(this.#fd, rest, at)
      if (bytesWritten === totalBytes(rest)) return
      if (bytesWritten === 0) throw new Error(`${this.path}: nothing was written at ${at}`)
      // A short write: the rest again, which then says why (ENOSPC, EIO).
      at += bytesWritten
      rest = skipBytes(rest, bytesWritten)
    }
  }

  async sync(): Promise<void> {
    await fsSync(this.#fd)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await fsClose(this.#fd)
  }
}

function totalBytes(buffers: readonly Uint8Array[]): number {
  let total = 0
  for (const buffer of buffers) total += buffer.length
  return total
}

function skipBytes(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = count
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length
    else {
      rest.push(skip === 0 ? buffer : buffer.subarray(skip))
      skip = 0
    }
  }
  return rest
}

async function orNull<T>(wanted: Promise<T>): Promise<T | null> {
  try {
    return await wanted
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null
    throw error
  }
}
