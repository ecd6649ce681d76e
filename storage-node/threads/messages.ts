/**
 * Messages between the threads of a node. Whatever is said in one turn of the event loop goes as one message, because a
 * message costs more than its content: 15 to 20 microseconds of CPU on each side.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ShardCall, ShardNote } from '../shard-face.ts'

export type ThreadMessage =
  | {
      readonly kind: 'call'
      readonly id: number
      readonly device: string
      readonly shard: number
      readonly method: ShardCall
      readonly args: readonly unknown[]
    }
  | {
      readonly kind: 'note'
      readonly device: string
      readonly shard: number
      readonly method: ShardNote
      readonly args: readonly unknown[]
    }
  /** What the thread knows of its shards of all devices: DeviceStatus. */
  | { readonly kind: 'status'; readonly id: number }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: PlainError }

/** An error as plain data. */
export interface PlainError {
  readonly code: string
  readonly status: number
  readonly message: string
  readonly retryAfterSeconds?: number
}

export function plainError(error: unknown): PlainError {
  if (error instanceof ServiceError) {
    const { code, status, message, retryAfterSeconds } = error
    return { code, status, message, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) }
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { code: 'Internal', status: 500, message }
}

export function serviceError(plain: PlainError): ServiceError {
  const { code, message, status, retryAfterSeconds } = plain
  return new ServiceError(code, message, {
    status,
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  })
}

/** What can wait goes with the next message, or after so long. */
const LATER_MS = 20
/** So much of it does not wait. */
const LATER_MAX = 1_000

/** Sends what was said in this turn when the turn ends. */
export class Outbox {
  readonly #port: MessagePort
  #messages: ThreadMessage[] = []
  #isFlushing = false
  readonly #clock: Clock
  #cancelTimer: (() => void) | null = null

  constructor(port: MessagePort, clock: Clock) {
    this.#port = port
    this.#clock = clock
  }

  send(message: ThreadMessage): void {
    this.#messages.push(message)
    this.#flushSoon()
  }

  /** For what nobody waits for: it does not cost a message of its own. */
  sendLater(message: ThreadMessage): void {
    this.#messages.push(message)
    if (this.#isFlushing) return
    if (this.#messages.length >= LATER_MAX) this.#flushSoon()
    else this.#cancelTimer ??= this.#clock.after(LATER_MS, () => this.#flush())
  }

  #flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#isFlushing = false
    const messages = this.#messages
    this.#messages = []
    if (messages.length === 0) return
    this.#port.postMessage(messages)
  }
}
