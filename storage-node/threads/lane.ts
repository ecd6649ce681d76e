/**
 * A lane: frames of bytes from one thread to one other, through memory that both have. One writes, one reads; nobody
 * waits for a lock.
 *
 *   words   0 read   4 written   8 sleeps   then, from 64 on, the frames, round and round
 *
 *   frame   0 bytes of the frame, a multiple of 8      4 kind (SKIP: nothing more before the end)      8 what it says
 *
 * `read` and `written` count bytes, modulo 2^32. A frame is written first and told afterwards, by an atomic store of
 * `written`, and its room is given back by one of `read` when it was read: so neither side ever sees half a frame, not
 * even of a thread that is ended in the middle. Who has emptied its lane stores `sleeps` and then looks once more; who
 * writes stores `written` and then looks at `sleeps`: whatever the order, at least one of them sees the other.
 *
 *   sleeps   AWAKE: looks by itself      IDLE: to be woken      BUSY: will look soon, to be woken for what cannot wait
 */
import assert from 'node:assert'

const READ = 0
const WRITTEN = 1
const SLEEPS = 2
const AWAKE = 0
const IDLE = 1
const BUSY = 2
const HEADER_BYTES = 64
const FRAME_HEAD_BYTES = 8
const SKIP = 0

/** Of the frames' part; a power of two, so that the counts may go round. */
const LANE_BYTES = 512 * 1024
/** A frame takes no more than this: several must have room at once. */
export const FRAME_BYTES_MAX = LANE_BYTES / 8

export function laneMemory(bytes = LANE_BYTES): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + bytes)
}

/** One side of a lane. Offsets are those in `bytes`; frames begin at multiples of 8. */
class LaneSide {
  readonly bytes: Buffer
  readonly words: Uint32Array
  readonly doubles: Float64Array
  protected readonly counts: Int32Array
  protected readonly capacity: number

  constructor(memory: SharedArrayBuffer) {
    this.capacity = memory.byteLength - HEADER_BYTES
    assert((this.capacity & (this.capacity - 1)) === 0, 'a lane has a power of two of bytes')
    this.counts = new Int32Array(memory, 0, HEADER_BYTES / 4)
    this.bytes = Buffer.from(memory, HEADER_BYTES)
    this.words = new Uint32Array(memory, HEADER_BYTES)
    this.doubles = new Float64Array(memory, HEADER_BYTES)
  }
}

export class LaneWriter extends LaneSide {
  #written: number
  /** As it was last looked at: the reader may be further by now. */
  #read: number

  constructor(memory: SharedArrayBuffer) {
    super(memory)
    this.#written = Atomics.load(this.counts, WRITTEN)
    this.#read = Atomics.load(this.counts, READ)
  }

  /** Where a frame may say up to so many bytes, up to FRAME_BYTES_MAX of them; -1 if there is no room now. */
  reserve(bytes: number): number {
    const { capacity, words } = this
    const wanted = frameBytes(bytes)
    const at = this.#written & (capacity - 1)
    const toEnd = capacity - at
    const skipped = toEnd < wanted ? toEnd : 0
    if (!this.#hasRoom(skipped + wanted)) return -1
    if (skipped === 0) return at + FRAME_HEAD_BYTES
    words[at >> 2] = skipped
    words[(at >> 2) + 1] = SKIP
    this.#written = (this.#written + skipped) | 0
    return FRAME_HEAD_BYTES
  }

  /** Tells the frame for which room was reserved last; `bytes` is what it says. */
  publish(kind: number, bytes: number): void {
    const { capacity, words, counts } = this
    const at = this.#written & (capacity - 1)
    const length = frameBytes(bytes)
    words[at >> 2] = length
    words[(at >> 2) + 1] = kind
    this.#written = (this.#written + length) | 0
    Atomics.store(counts, WRITTEN, this.#written)
  }

  /** Whether the reader has to be woken for what was written; says yes once. `canWait`: until it is not busy. */
  takeSleeper({ canWait }: { readonly canWait: boolean }): boolean {
    const { counts } = this
    const sleeps = Atomics.load(counts, SLEEPS)
    if (sleeps === AWAKE || (sleeps === BUSY && canWait)) return false
    return Atomics.exchange(counts, SLEEPS, AWAKE) !== AWAKE
  }

  /** Whether everything was read. */
  get isEmpty(): boolean {
    return Atomics.load(this.counts, READ) === this.#written
  }

  #hasRoom(bytes: number): boolean {
    const { capacity, counts } = this
    if (capacity - ((this.#written - this.#read) | 0) >= bytes) return true
    this.#read = Atomics.load(counts, READ)
    return capacity - ((this.#written - this.#read) | 0) >= bytes
  }
}

/** Told of a frame: its kind, and where what it says begins. It must be done with the bytes when it returns. */
export type TakeFrame = (kind: number, at: number) => void

export class LaneReader extends LaneSide {
  #read: number

  constructor(memory: SharedArrayBuffer) {
    super(memory)
    this.#read = Atomics.load(this.counts, READ)
  }

  /** Hands over all frames that are there by now. */
  drain(take: TakeFrame): void {
    const { capacity, words, counts } = this
    const written = Atomics.load(counts, WRITTEN)
    while (this.#read !== written) {
      const at = this.#read & (capacity - 1)
      const kind = words[(at >> 2) + 1]!
      if (kind !== SKIP) take(kind, at + FRAME_HEAD_BYTES)
      this.#read = (this.#read + words[at >> 2]!) | 0
      Atomics.store(counts, READ, this.#read)
    }
  }

  /** To be woken from now on. False if something came meanwhile: then nobody will. */
  sleep({ isBusy }: { readonly isBusy: boolean }): boolean {
    const { counts } = this
    Atomics.store(counts, SLEEPS, isBusy ? BUSY : IDLE)
    if (Atomics.load(counts, WRITTEN) === this.#read) return true
    this.stayAwake()
    return false
  }

  /** If it sleeps: from now on only for what cannot wait. */
  beBusy(): void {
    Atomics.compareExchange(this.counts, SLEEPS, IDLE, BUSY)
  }

  /** Not to be woken: it will look by itself. */
  stayAwake(): void {
    Atomics.store(this.counts, SLEEPS, AWAKE)
  }
}

function frameBytes(bytes: number): number {
  return (FRAME_HEAD_BYTES + bytes + 7) & ~7
}
