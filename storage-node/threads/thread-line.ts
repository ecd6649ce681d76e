/**
 * What two threads say to each other, in its order. What every write of an object takes goes through lanes (lane.ts),
 * all else through the port, and the port wakes who sleeps: a wake-up costs more than what it is for.
 *
 * Nobody is woken who looks by himself: a thread that has said something looks for answers at the end of that turn of
 * its event loop. What is said is there to be read at once, and the other is woken for it at the end of the turn, or
 * sooner if it is much: then both are at work at the same time. Whose logs are all writing is not woken for further
 * writes, which could not begin before: he looks when a batch has ended, and takes them along in the next.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Clock } from '../../common/clock.ts'
import { LaneReader, LaneWriter, laneMemory } from './lane.ts'
import { FrameReader, putFrame, putPortFrame } from './lane-frames.ts'
import { portable, type ThreadMessage } from './messages.ts'

/** What can wait wakes nobody for so long: notes, and writes while others are being written. */
const LATER_MS = 20
/** How often a full lane is tried again. */
const FULL_MS = 1
/** So many messages wake the other before the turn ends. */
const WAKE_MESSAGES = 8
/** What can wait is dropped when so much waits for room: it only saves work. */
const QUEUE_MAX = 20_000

type PortMessage =
  | ThreadMessage
  | { readonly kind: 'lane'; readonly memory: SharedArrayBuffer }
  | { readonly kind: 'wake' }

const WAKE: PortMessage = { kind: 'wake' }

export interface ThreadLineOptions {
  readonly port: MessagePort
  readonly clock: Clock
  /** Told of what the other says. */
  readonly take: (message: ThreadMessage) => void
  /** The other is gone; everything that it said before was told. */
  readonly onClose: () => void
}

export class ThreadLine {
  readonly #port: MessagePort
  readonly #clock: Clock
  readonly #takeMessage: ThreadLineOptions['take']
  readonly #out: LaneWriter
  #in: { readonly lane: LaneReader; readonly frames: FrameReader } | null = null
  /** From the port, not yet due by the order of the lane. */
  readonly #arrived: ThreadMessage[] = []
  /** What found no room. */
  #queue: ThreadMessage[] = []
  /** Said since the other was woken last. */
  #untold = 0
  /** Something of it cannot wait. */
  #isUrgent = false
  /** All logs of this thread are writing. */
  #isBusy = false
  #isTurnWatched = false
  #isClosed = false
  #cancelRetry: (() => void) | null = null
  #cancelLater: (() => void) | null = null

  constructor(options: ThreadLineOptions) {
    const { port, clock, take, onClose } = options
    this.#port = port
    this.#clock = clock
    this.#takeMessage = take
    const memory = laneMemory()
    this.#out = new LaneWriter(memory)
    port.on('message', (message: PortMessage) => this.#hear(message))
    port.on('close', () => {
      this.#drain()
      this.close()
      onClose()
    })
    port.postMessage({ kind: 'lane', memory })
  }

  send(message: ThreadMessage): void {
    this.#say(message)
    if (!isWrite(message)) this.#isUrgent = true
    this.#watchTurn()
    if (++this.#untold >= WAKE_MESSAGES) this.#wake()
  }

  /** For what nobody waits for and may be lost: it wakes nobody. */
  sendLater(message: ThreadMessage): void {
    if (this.#queue.length >= QUEUE_MAX) return
    this.#say(message)
    this.#wakeLater()
  }

  /** All logs of this thread are writing: further writes can wait until it looks. */
  beBusy(): void {
    this.#isBusy = true
    this.#in?.lane.beBusy()
  }

  /** Takes what is there; a log has written. */
  look(): void {
    this.#isBusy = false
    this.#drain()
  }

  /** Idempotent. What was not said is not said any more. */
  close(): void {
    this.#isClosed = true
    this.#queue = []
    this.#cancelRetry?.()
    this.#cancelLater?.()
    this.#port.close()
  }

  #say(message: ThreadMessage): void {
    if (this.#isClosed) return
    if (this.#queue.length > 0 || !this.#put(message)) this.#queue.push(message)
    if (this.#queue.length > 0) this.#retryLater()
  }

  /** False if there is no room. */
  #put(message: ThreadMessage): boolean {
    const put = putFrame(this.#out, message)
    if (put !== 'unfit') return put === 'put'
    if (this.#out.reserve(0) < 0) return false
    this.#port.postMessage(portable(message))
    return putPortFrame(this.#out) === 'put'
  }

  #retryLater(): void {
    this.#cancelRetry ??= this.#clock.after(FULL_MS, () => {
      this.#cancelRetry = null
      this.#sayQueued()
    })
  }

  #sayQueued(): void {
    const queue = this.#queue
    let said = 0
    while (said < queue.length && this.#put(queue[said]!)) said++
    this.#queue = said === 0 ? queue : queue.slice(said)
    this.#wake()
    if (this.#queue.length > 0) this.#retryLater()
  }

  #wake(): void {
    this.#untold = 0
    const canWait = !this.#isUrgent
    this.#isUrgent = false
    if (this.#out.takeSleeper({ canWait })) this.#port.postMessage(WAKE)
    else if (canWait) this.#wakeLater()
  }

  #wakeLater(): void {
    this.#cancelLater ??= this.#clock.after(LATER_MS, () => {
      this.#cancelLater = null
      const isWanted = !this.#out.isEmpty && this.#out.takeSleeper({ canWait: false })
      if (isWanted) this.#port.postMessage(WAKE)
    })
  }

  /** Until this turn ends nobody has to wake this thread. */
  #watchTurn(): void {
    if (this.#isTurnWatched) return
    this.#isTurnWatched = true
    this.#in?.lane.stayAwake()
    setImmediate(() => this.#endTurn())
  }

  #endTurn(): void {
    this.#isTurnWatched = false
    if (this.#isClosed) return
    this.#wake()
    this.#drain()
  }

  #hear(message: PortMessage): void {
    if (message.kind === 'lane') {
      const lane = new LaneReader(message.memory)
      this.#in = { lane, frames: new FrameReader(lane) }
    } else if (message.kind !== 'wake') this.#arrived.push(message)
    this.#drain()
  }

  #drain(): void {
    if (this.#in === null || this.#isClosed) return
    const { lane } = this.#in
    lane.drain(this.#takeFrame)
    // What comes meanwhile is for the next turn: others wait for this one to end.
    if (!this.#isTurnWatched && !lane.sleep({ isBusy: this.#isBusy })) this.#watchTurn()
  }

  readonly #takeFrame = (kind: number, at: number): void => {
    const message = this.#in!.frames.read(kind, at) ?? this.#fromPort()
    if (message !== undefined) this.#takeMessage(message)
  }

  /** The message whose turn it is was posted before its frame was written: it is here, heard or not. */
  #fromPort(): ThreadMessage | undefined {
    const heard = this.#arrived.shift()
    if (heard !== undefined) return heard
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as
        | { readonly message: PortMessage }
        | undefined
      if (received === undefined) return undefined
      const { message } = received
      if (message.kind !== 'wake' && message.kind !== 'lane') return message
    }
  }
}

/** What another thread's log has to write: see `beBusy`. */
function isWrite(message: ThreadMessage): boolean {
  return message.kind === 'call' && (message.method === 'write' || message.method === 'putRow')
}
