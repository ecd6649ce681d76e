/** Digests many messages at a time: each lane of the kernel goes on with one until its piece is through. */
import {
  BLOCK_BYTES,
  DATA_AT,
  LANES_MAX,
  type Md5Kernel,
  openMd5Kernel,
  POINTERS_AT,
  stateAt,
} from './md5-kernel.ts'
import { type Md5Message, ROOM_BYTES } from './md5-message.ts'

/** Bytes of a piece that a lane takes into memory at a time. */
const SLICE_BYTES = 32 * 1024
const LANE_BYTES = SLICE_BYTES + ROOM_BYTES

/** A piece of a message that waits for its turn. */
export interface Md5Piece {
  readonly message: Md5Message
  readonly bytes: Uint8Array
  readonly isLast: boolean
  /** Told when it is through. */
  readonly done: () => void
}

/** One lane's part of the memory, and what lies in it. */
interface Lane {
  readonly at: number
  readonly room: Uint8Array
  piece: Md5Piece | null
  /** Bytes of the piece that were taken into memory. */
  taken: number
  /** Where the blocks begin that are not digested yet, and how many they are. */
  next: number
  blocks: number
}

export class Md5Lanes {
  readonly #kernel: Md5Kernel
  readonly #numbers: Uint32Array
  readonly #lanes: readonly Lane[]

  constructor() {
    this.#kernel = openMd5Kernel(DATA_AT + LANES_MAX * LANE_BYTES)
    const { buffer } = this.#kernel.memory
    this.#numbers = new Uint32Array(buffer)
    this.#lanes = Array.from({ length: LANES_MAX }, (_, lane) => {
      const at = DATA_AT + lane * LANE_BYTES
      const room = new Uint8Array(buffer, at, LANE_BYTES)
      return { at, room, piece: null, taken: 0, next: at, blocks: 0 }
    })
  }

  /** Whether no piece has been begun and is not through. */
  get isIdle(): boolean {
    return this.#lanes.every(({ piece }) => piece === null)
  }

  /** Takes pieces from the queue and digests about so many bytes of them; false when nothing is left. */
  run(queue: Md5Piece[], bytesMax: number): boolean {
    for (let left = bytesMax; left > 0; ) {
      const busy: Lane[] = []
      for (const lane of this.#lanes) if (this.#supply(lane, queue)) busy.push(lane)
      if (busy.length === 0) return false
      left -= this.#digest(busy) * BLOCK_BYTES
    }
    return true
  }

  /** Gives the lane blocks, if it has none and there are any: of its own piece, or of the next ones. */
  #supply(lane: Lane, queue: Md5Piece[]): boolean {
    while (lane.blocks === 0) {
      const { piece } = lane
      if (piece !== null && lane.taken < piece.bytes.length) {
        takeSlice(lane, piece)
        continue
      }
      lane.piece = null
      piece?.done()
      const next = queue.shift()
      if (next === undefined) return false
      lane.piece = next
      lane.taken = 0
      takeSlice(lane, next)
    }
    return true
  }

  /** Lets all of them go on until the first one has no more blocks; returns how many blocks that was. */
  #digest(busy: readonly Lane[]): number {
    const blocks = Math.min(...busy.map((lane) => lane.blocks))
    this.#enter(busy)
    if (busy.length === 1) this.#kernel.one(blocks, 0)
    else if (busy.length <= 4) this.#kernel.four(blocks)
    else this.#kernel.eight(blocks)
    this.#leave(busy)
    for (const lane of busy) {
      lane.next += blocks * BLOCK_BYTES
      lane.blocks -= blocks
    }
    return blocks * busy.length
  }

  #enter(busy: readonly Lane[]): void {
    for (let number = 0; number < LANES_MAX; number++) {
      // Lanes of the kernel that nobody needs work on what is there already, for nothing.
      const { next, piece } = busy[number] ?? busy[0]!
      this.#numbers[POINTERS_AT / 4 + number] = next
      for (let letter = 0; letter < 4; letter++) {
        this.#numbers[stateAt(letter, number) / 4] = piece!.message.state[letter]!
      }
    }
  }

  #leave(busy: readonly Lane[]): void {
    for (let number = 0; number < busy.length; number++) {
      const { state } = busy[number]!.piece!.message
      for (let letter = 0; letter < 4; letter++) {
        state[letter] = this.#numbers[stateAt(letter, number) / 4]!
      }
    }
  }
}

function takeSlice(lane: Lane, { message, bytes, isLast }: Md5Piece): void {
  const slice = bytes.subarray(lane.taken, lane.taken + SLICE_BYTES)
  lane.taken += slice.length
  lane.blocks = message.layOut(slice, isLast && lane.taken === bytes.length, lane.room)
  lane.next = lane.at
}
