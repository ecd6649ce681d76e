/** How many bytes of each segment are alive: what compaction chooses by. Recounted when the index is rebuilt. */
import type { Place } from './record.ts'

export class SegmentUse {
  readonly #liveBytes = new Map<number, number>()
  readonly #changed = new Set<number>()
  /** Removed segments whose note is still in the index. */
  readonly #dropped = new Set<number>()

  add(place: Place): void {
    this.addBytes(place.segmentId, place.bytes)
  }

  remove(place: Place): void {
    this.addBytes(place.segmentId, -place.bytes)
  }

  addBytes(segmentId: number, bytes: number): void {
    this.#liveBytes.set(segmentId, (this.#liveBytes.get(segmentId) ?? 0) + bytes)
    this.#changed.add(segmentId)
  }

  removeBytes(segmentId: number, bytes: number): void {
    this.addBytes(segmentId, -bytes)
  }

  liveBytes(segmentId: number): number {
    return Math.max(0, this.#liveBytes.get(segmentId) ?? 0)
  }

  /** The count as the index holds it. */
  load(segmentId: number, bytes: number): void {
    this.#liveBytes.set(segmentId, bytes)
  }

  /** The segment was removed. */
  drop(segmentId: number): void {
    this.#liveBytes.delete(segmentId)
    this.#dropped.add(segmentId)
    this.#changed.add(segmentId)
  }

  isDropped(segmentId: number): boolean {
    return this.#dropped.has(segmentId)
  }

  /** What the index notes of the segment has changed, or was not written. */
  touch(segmentId: number): void {
    this.#changed.add(segmentId)
  }

  /** Segments whose count changed since the last call. */
  takeChanged(): readonly number[] {
    const changed = [...this.#changed]
    this.#changed.clear()
    return changed
  }
}
