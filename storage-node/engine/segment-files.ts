import type { Disk, DiskFile } from '../../common/disk.ts'
import { ServiceError } from '../../common/errors.ts'
import { segmentName } from './segment-header.ts'

/** Open files are kept up to this number a shard; the longest unused is closed first. */
const OPEN_FILES_MAX = 256

interface OpenFile {
  readonly file: DiskFile
  users: number
  /** Set when the segment was dropped or displaced: closed by the last user. */
  leaving: boolean
}

/** The open segment files of a shard, for reading. A file stays open as long as somebody reads from it. */
export class SegmentFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #shard: number
  readonly #open = new Map<number, OpenFile>()
  readonly #opening = new Map<number, Promise<OpenFile>>()

  constructor(options: {
    readonly disk: Disk
    readonly directory: string
    readonly shard: number
  }) {
    this.#disk = options.disk
    this.#directory = options.directory
    this.#shard = options.shard
  }

  pathOf(segmentId: number): string {
    return `${this.#directory}/${segmentName(this.#shard, segmentId)}`
  }

  /** Takes in a file that the log has just made; it stays open until the log releases it. */
  adopt(segmentId: number, file: DiskFile): void {
    this.#open.set(segmentId, { file, users: 1, leaving: false })
    this.#evict()
  }

  /** The log writes to the segment no more. */
  async release(segmentId: number): Promise<void> {
    const open = this.#open.get(segmentId)
    if (open === undefined) return
    open.users--
    if (open.leaving && open.users === 0) await closeQuietly(open.file)
  }

  /** Reads blocking if the file is open already; false if it is not. */
  tryReadSync(segmentId: number, target: Uint8Array, position: number): number | false {
    const open = this.#open.get(segmentId)
    return open === undefined ? false : open.file.readSync(target, position)
  }

  async read(segmentId: number, target: Uint8Array, position: number): Promise<number> {
    const open = this.#open.get(segmentId) ?? (await this.#openSegment(segmentId))
    open.users++
    try {
      return await open.file.read(target, position)
    } finally {
      open.users--
      if (open.leaving && open.users === 0) await closeQuietly(open.file)
    }
  }

  /** Forgets the file; it is closed when nobody reads from it any more. */
  async drop(segmentId: number): Promise<void> {
    await this.#opening.get(segmentId)?.catch(() => {})
    const open = this.#open.get(segmentId)
    if (open === undefined) return
    this.#open.delete(segmentId)
    open.leaving = true
    if (open.users === 0) await closeQuietly(open.file)
  }

  async close(): Promise<void> {
    for (const segmentId of [...this.#open.keys()]) await this.drop(segmentId)
  }

  #openSegment(segmentId: number): Promise<OpenFile> {
    const underWay = this.#opening.get(segmentId)
    if (underWay !== undefined) return underWay
    const opening = this.#openNow(segmentId).finally(() => this.#opening.delete(segmentId))
    this.#opening.set(segmentId, opening)
    return opening
  }

  async #openNow(segmentId: number): Promise<OpenFile> {
    let file: DiskFile
    try {
      file = await this.#disk.open(this.pathOf(segmentId), 'read')
    } catch (cause) {
      const path = this.pathOf(segmentId)
      throw new ServiceError('CorruptData', `cannot open segment ${path}`, { status: 500, cause })
    }
    const open: OpenFile = { file, users: 0, leaving: false }
    this.#open.set(segmentId, open)
    this.#evict()
    return open
  }

  #evict(): void {
    if (this.#open.size <= OPEN_FILES_MAX) return
    // The one opened first that nobody uses.
    for (const [segmentId, open] of this.#open) {
      if (open.users > 0) continue
      void this.drop(segmentId)
      return
    }
  }
}

/** What was to become durable has been synced: closing has nothing to say that anybody could act upon. */
async function closeQuietly(file: DiskFile): Promise<void> {
  await file.close().catch(() => {})
}
