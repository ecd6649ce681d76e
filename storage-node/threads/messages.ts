/**
 * Messages between the threads of a node. Whatever is said in one turn of the event loop goes as one message, because a
 * message costs more than its content: 15 to 20 microseconds of CPU on each side.
 */
import type { MessagePort } from 'node:worker_threads'
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

/** Sends what was said in this turn when the turn ends. */
export class Outbox {
  readonly #port: MessagePort
  #messages: ThreadMessage[] = []

  constructor(port: MessagePort) {
    this.#port = port
  }

  send(message: ThreadMessage): void {
    this.#messages.push(message)
    if (this.#messages.length === 1) setImmediate(() => this.#flush())
  }

  #flush(): void {
    const messages = this.#messages
    this.#messages = []
    this.#port.postMessage(messages)
  }
}
