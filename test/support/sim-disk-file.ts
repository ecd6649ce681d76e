/**
 * The bytes of one simulated file: what programs read (`volatile`) and what a power cut leaves (`durable`), with the
 * writes between the two. A write stays pending until a sync covers it; at a crash any part of the pending ones, cut
 * at sector boundaries and in any order, may have reached the medium.
 */
import type { SeededRandom } from './seeded-random.ts'

/** The unit in which a disk writes atomically. */
export const SECTOR_BYTES = 512

export interface PendingWrite {
  readonly position: number
  readonly bytes: Uint8Array
}

/** How much of the pending writes of a file a crash leaves; chosen at random for each file. */
export const CRASH_SHAPES = ['nothing', 'everything', 'prefix', 'subset', 'sectors'] as const
export type CrashShape = (typeof CRASH_SHAPES)[number]

/** Bytes that grow by doubling. */
class GrowingBytes {
  #bytes = new Uint8Array(0)
  length = 0

  put(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length
    if (end > this.#bytes.length) this.#grow(end)
    this.#bytes.set(bytes, position)
    if (end > this.length) this.length = end
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length)
  }

  truncate(length: number): void {
    this.#bytes.fill(0, length, this.length)
    if (length > this.#bytes.length) this.#grow(length)
    this.length = length
  }

  #grow(length: number): void {
    const bytes = new Uint8Array(Math.max(length, this.#bytes.length * 2))
    bytes.set(this.#bytes.subarray(0, this.length))
    this.#bytes = bytes
  }
}

export class SimFile {
  #volatile = new GrowingBytes()
  #durable = new GrowingBytes()
  #pending: PendingWrite[] = []
  /** True after a failed sync: what is read may not be what the medium holds. */
  #cacheLies = false

  get bytes(): number {
    return this.#volatile.length
  }

  /** What programs see. */
  view(): Uint8Array {
    return this.#volatile.view()
  }

  /** What would be there after a power cut that loses all that may be lost. */
  durableView(): Uint8Array {
    return this.#durable.view()
  }

  /** The writes that a sync starting now would cover. */
  pending(): readonly PendingWrite[] {
    return [...this.#pending]
  }

  write(position: number, bytes: Uint8Array): void {
    this.#volatile.put(position, bytes)
    this.#pending.push({ position, bytes })
  }

  /** A sync that began with these pending writes has succeeded. */
  settle(covered: readonly PendingWrite[]): void {
    const done = new Set(covered)
    // In order, and skipping what a failed sync has dropped meanwhile.
    for (const write of this.#pending)
      if (done.has(write)) this.#durable.put(write.position, write.bytes)
    this.#pending = this.#pending.filter((write) => !done.has(write))
  }

  /**
   * A sync that began with these writes has failed. As on ext4 and XFS the pages are clean afterwards: some reached
   * the medium, some are lost although they can still be read, some are tried again by a later sync.
   */
  failSync(covered: readonly PendingWrite[], random: SeededRandom): void {
    const touched = new Set(covered)
    this.#pending = this.#pending.filter((write) => {
      if (!touched.has(write)) return true
      const fate = random.below(3)
      if (fate === 0) this.#durable.put(write.position, write.bytes)
      return fate === 2
    })
    this.#cacheLies = true
  }

  /** What a fresh open sees: after a failed sync the cache may have been given up, and the lost writes with it. */
  maybeEvict(random: SeededRandom): void {
    if (!this.#cacheLies || random.chance(0.5)) return
    this.#cacheLies = false
    this.#volatile = copyOf(this.#durable)
    for (const write of this.#pending) this.#volatile.put(write.position, write.bytes)
  }

  /** Power cut: leaves a random part of what was pending. */
  crash(random: SeededRandom): void {
    const fullLength = this.#volatile.length
    const shape = random.pick(CRASH_SHAPES)!
    persistPart(this.#durable, this.#pending, shape, random)
    // The new length may be recorded before the bytes are there: they read as zeros.
    if (this.#durable.length < fullLength && random.chance(0.1)) this.#durable.truncate(fullLength)
    this.#pending = []
    this.#cacheLies = false
    this.#volatile = copyOf(this.#durable)
  }

  /** Flips one bit on the medium and in the cache. */
  flip(offset: number, bit: number): void {
    for (const side of [this.#volatile, this.#durable]) {
      const byte = side.view()[offset]
      if (byte !== undefined) side.view()[offset] = byte ^ (1 << bit)
    }
  }

  /** Cuts (or extends with zeros) the file on the medium and in the cache, as damage. */
  truncate(length: number): void {
    this.#volatile.truncate(length)
    this.#durable.truncate(length)
    this.#pending = []
  }
}

function copyOf(source: GrowingBytes): GrowingBytes {
  const copy = new GrowingBytes()
  copy.put(0, source.view())
  return copy
}

function persistPart(
  target: GrowingBytes,
  pending: readonly PendingWrite[],
  shape: CrashShape,
  random: SeededRandom,
): void {
  if (shape === 'nothing') return
  const last = random.below(pending.length + 1)
  for (const [index, write] of pending.entries()) {
    if (shape === 'everything' || (shape === 'prefix' && index < last)) {
      target.put(write.position, write.bytes)
    } else if (shape === 'prefix') {
      persistSectors(target, write, random, { prefixOnly: true })
      return
    } else if (shape === 'sectors') persistSectors(target, write, random, { prefixOnly: false })
    else if (random.chance(0.5)) target.put(write.position, write.bytes)
  }
}

/** Sectors lie at multiples of their size in the file; each is written whole or not at all. */
function persistSectors(
  target: GrowingBytes,
  write: PendingWrite,
  random: SeededRandom,
  options: { readonly prefixOnly: boolean },
): void {
  const end = write.position + write.bytes.length
  const firstSector = Math.floor(write.position / SECTOR_BYTES)
  const sectorCount = Math.ceil(end / SECTOR_BYTES) - firstSector
  const kept = random.below(sectorCount + 1)
  const density = random.fraction()
  for (let index = 0; index < sectorCount; index++) {
    const keep = options.prefixOnly ? index < kept : random.chance(density)
    if (!keep) continue
    const from = Math.max(write.position, (firstSector + index) * SECTOR_BYTES)
    const to = Math.min(end, (firstSector + index + 1) * SECTOR_BYTES)
    target.put(from, write.bytes.subarray(from - write.position, to - write.position))
  }
}
