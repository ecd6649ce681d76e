/** The background work of a device: compaction when it pays, and one scrub after the other. */
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import type { Log } from '../common/log.ts'
import type { CompactionStatus, ScrubStatus } from '../common/storage-node.ts'
import { type CompactionOptions, chooseSegment, compactable, compactSegment } from './compaction.ts'
import type { Device } from './device.ts'
import { segmentName } from './engine/segment-header.ts'
import type { Shard } from './engine/shard.ts'
import { scrubDevice } from './scrub.ts'
import { Throttle } from './throttle.ts'

export interface MaintenanceOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly log?: Log | undefined
  /** How long deleted names are remembered. */
  readonly reclaimAgeMs?: number
  /** False where a replicator forgets them, together with the replicas. */
  readonly reclaimsAlone?: boolean
  readonly scrubBytesPerSecond?: number
  readonly compactionBytesPerSecond?: number
}

const DEFAULTS = {
  reclaimAgeMs: 7 * 24 * 3600 * 1000,
  scrubBytesPerSecond: 20 * 1024 * 1024,
  compactionBytesPerSecond: 64 * 1024 * 1024,
}
const COMPACTION_PAUSE_MS = 20_000
/** After damage or a failure a segment is left alone for so long. */
const AVOID_MS = 3600 * 1000
const SCRUB_PAUSE_MS = 24 * 3600 * 1000
/** A start is left alone for a while. */
const FIRST_SCRUB_MS = 10 * 60 * 1000

export class Maintenance {
  readonly #device: Device
  readonly #options: MaintenanceOptions
  readonly #abort = new AbortController()
  readonly #cancels = new Map<string, () => void>()
  readonly #running = new Set<Promise<void>>()
  /** Segments whose compaction failed, and until when (monotonic milliseconds) others go first. */
  readonly #avoided = new Map<string, number>()
  #compaction: CompactionStatus = { segments: 0, movedBytes: 0, freedBytes: 0, failures: 0 }
  #scrub: ScrubStatus = { endedAtMs: 0, passMs: 0, bytes: 0, damaged: 0, isRunning: false }
  /** Blobs that the last scrub found without a record. */
  readonly #orphans = new Map<string, number>()

  constructor(device: Device, options: MaintenanceOptions) {
    this.#device = device
    this.#options = options
  }

  /** What compaction has done. */
  get compaction(): CompactionStatus {
    return this.#compaction
  }

  /** How far the scrubber is. */
  get scrub(): ScrubStatus {
    return this.#scrub
  }

  start(): void {
    this.#later('compaction', COMPACTION_PAUSE_MS, () => this.#compactPass())
    this.#later('scrub', FIRST_SCRUB_MS, () => this.#scrubPass())
  }

  /** Ends what is under way at its next step; idempotent. */
  async stop(): Promise<void> {
    this.#abort.abort()
    for (const cancel of this.#cancels.values()) cancel()
    await Promise.all(this.#running)
  }

  #later(name: string, delayMs: number, pass: () => Promise<number>): void {
    if (this.#abort.signal.aborted) return
    const cancel = this.#options.clock.after(delayMs, () => {
      const running = this.#run(name, pass).then((nextMs) => {
        this.#running.delete(running)
        this.#later(name, nextMs, pass)
      })
      this.#running.add(running)
    })
    this.#cancels.set(name, cancel)
  }

  /** Returns when to go on; a failed pass is tried again after the usual pause. */
  async #run(name: string, pass: () => Promise<number>): Promise<number> {
    try {
      return await pass()
    } catch (cause) {
      const { log } = this.#options
      log?.error('maintenance-failed', {
        device: this.#device.name,
        pass: name,
        cause: String(cause),
      })
      return COMPACTION_PAUSE_MS
    }
  }

  async #compactPass(): Promise<number> {
    let failure: unknown = null
    for (const [number, shard] of this.#device.shards) {
      if (this.#abort.signal.aborted) break
      await this.#compactShard(number, shard).catch((error: unknown) => {
        failure = error
        const { failures } = this.#compaction
        this.#compaction = { ...this.#compaction, failures: failures + 1 }
      })
    }
    if (failure !== null) throw failure
    return COMPACTION_PAUSE_MS
  }

  /** One segment a shard and pass. */
  async #compactShard(number: number, shard: Shard): Promise<void> {
    const { disk, clock, log } = this.#options
    const isSpaceShort = this.#device.space.isShort
    const bytesPerSecond =
      (this.#options.compactionBytesPerSecond ?? DEFAULTS.compactionBytesPerSecond) *
      (isSpaceShort ? 4 : 1)
    const options: CompactionOptions = {
      disk,
      clock,
      reclaimAgeMs: this.#options.reclaimAgeMs ?? DEFAULTS.reclaimAgeMs,
      reclaimsAlone: this.#options.reclaimsAlone ?? true,
      throttle: new Throttle(clock, { bytesPerSecond }),
      signal: this.#abort.signal,
      pathOf: (segmentId) => `${this.#device.directory}/seg/${segmentName(number, segmentId)}`,
    }
    const startMs = clock.monotonicMs()
    const candidates = (await compactable(shard, options)).filter(
      ({ segmentId }) => (this.#avoided.get(`${number}/${segmentId}`) ?? 0) <= startMs,
    )
    const chosen = chooseSegment(candidates, { isSpaceShort })
    if (chosen === null) return
    const { segmentId } = chosen
    // Unless it ends well, the segment would be chosen again and again and no other ever.
    this.#avoided.set(`${number}/${segmentId}`, startMs + AVOID_MS)
    const result = await compactSegment(shard, segmentId, options)
    const { segments, movedBytes, freedBytes } = this.#compaction
    this.#compaction = {
      ...this.#compaction,
      segments: segments + (result.damage === undefined ? 1 : 0),
      movedBytes: movedBytes + result.movedBytes,
      freedBytes: freedBytes + result.freedBytes,
    }
    if (result.damage !== undefined) this.#device.note({ kind: 'damage', message: result.damage })
    else this.#avoided.delete(`${number}/${segmentId}`)
    const durationMs = Math.round(clock.monotonicMs() - startMs)
    log?.info('compaction', {
      device: this.#device.name,
      shard: number,
      segmentId,
      ...result,
      durationMs,
    })
  }

  async #scrubPass(): Promise<number> {
    const { disk, clock, log } = this.#options
    const bytesPerSecond = this.#options.scrubBytesPerSecond ?? DEFAULTS.scrubBytesPerSecond
    const startMs = clock.monotonicMs()
    const throttle = new Throttle(clock, { bytesPerSecond })
    const { signal } = this.#abort
    this.#scrub = { ...this.#scrub, isRunning: true }
    const report = await scrubDevice(this.#device, {
      disk,
      clock,
      throttle,
      signal,
      orphans: this.#orphans,
    }).finally(() => {
      this.#scrub = { ...this.#scrub, isRunning: false }
    })
    const durationMs = Math.round(clock.monotonicMs() - startMs)
    if (!signal.aborted) {
      const { bytes, damaged } = report
      const endedAtMs = clock.nowMs()
      this.#scrub = { endedAtMs, passMs: durationMs, bytes, damaged, isRunning: false }
    }
    log?.info('scrub', { device: this.#device.name, ...report, durationMs })
    return SCRUB_PAUSE_MS
  }
}
