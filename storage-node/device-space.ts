/**
 * Room on a device's disk, and what is kept back. A full disk must still take deletes, let compaction copy a segment
 * and let the index rewrite its tables, so writes are refused while there is a reserve for that.
 *
 * Free space is asked of the file system every second, and at once when what was written since could have used up half
 * of what was left: a fast client fills a small disk within that second.
 */
import type { Clock } from '../common/clock.ts'
import type { Disk, DiskSpace } from '../common/disk.ts'
import { ServiceError } from '../common/errors.ts'

export interface DeviceSpaceOptions {
  readonly device: string
  readonly directory: string
  readonly disk: Pick<Disk, 'spaceSync'>
  readonly clock: Clock
  readonly segmentBytesMax: number
  /** Threads that write to the device; each counts for itself. */
  readonly writers: number
  readonly onError: (cause: unknown) => void
}

const MEASURED_FOR_MS = 1000
/** What a write costs beside its body: record heads, the row, and both in the index, whose tables are written twice. */
const WRITE_OVERHEAD_BYTES = 2048
/** For the index: its log, and tables that are written anew while the old ones are still there. */
const INDEX_RESERVE_BYTES = 64 * 1024 * 1024
/** The reserve takes no more of a small disk. */
const RESERVE_SHARE_MAX = 1 / 4

export class DeviceSpace {
  readonly #options: DeviceSpaceOptions
  #space: DiskSpace = { bytesTotal: 0, bytesFree: Number.MAX_SAFE_INTEGER }
  #measuredMs = Number.NEGATIVE_INFINITY
  #spentBytes = 0

  constructor(options: DeviceSpaceOptions) {
    this.#options = options
  }

  /** As last measured. */
  get current(): DiskSpace {
    return this.#space
  }

  /** Two segments for compaction and some room for the index, but no more than a quarter of a small disk. */
  get reserveBytes(): number {
    const wanted = 2 * this.#options.segmentBytesMax + INDEX_RESERVE_BYTES
    return Math.min(wanted, Math.floor(this.#space.bytesTotal * RESERVE_SHARE_MAX))
  }

  get isFull(): boolean {
    return this.#space.bytesFree < this.reserveBytes
  }

  /** From here on compaction works for less gain. */
  get isShort(): boolean {
    return this.#space.bytesFree < 2 * this.reserveBytes
  }

  /**
   * Throws DeviceFull if the write would touch the reserve. Rows of listings may take half of it: their object has been
   * written, perhaps on another device.
   */
  assertRoom(bytes: number, options: { readonly isRow?: boolean } = {}): void {
    this.#spentBytes += bytes + WRITE_OVERHEAD_BYTES
    const kept = options.isRow === true ? this.reserveBytes / 2 : this.reserveBytes
    const left = this.#space.bytesFree - kept
    if (this.#isStale(left)) this.measure()
    if (this.#space.bytesFree - bytes >= kept) return
    const message = `device ${this.#options.device} is full`
    throw new ServiceError('DeviceFull', message, { status: 507 })
  }

  #isStale(left: number): boolean {
    if (this.#spentBytes * this.#options.writers > left / 2) return true
    return this.#options.clock.monotonicMs() - this.#measuredMs >= MEASURED_FOR_MS
  }

  /** Asks the file system; what was known stays if it does not answer. */
  measure(): DiskSpace {
    const { disk, directory, clock, onError } = this.#options
    try {
      this.#space = disk.spaceSync(directory)
    } catch (error) {
      onError(error)
    }
    this.#measuredMs = clock.monotonicMs()
    this.#spentBytes = 0
    return this.#space
  }
}
