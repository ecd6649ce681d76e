/** Messages between the threads of a node. */
import { ServiceError } from '../../common/errors.ts'
import type { RowOutcome } from '../../common/storage-node.ts'
import type { BodyPlace } from '../engine/register.ts'
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
  /** Of a put: done, and the record now current is just what was asked for. */
  | { readonly kind: 'written'; readonly id: number; readonly existed: boolean }
  | { readonly kind: 'rowed'; readonly id: number; readonly status: RowOutcome['status'] }
  | { readonly kind: 'error'; readonly id: number; readonly error: PlainError }

/** The message as it can be cloned: a body that is a view of a larger buffer would take all of that along. */
export function portable(message: ThreadMessage): ThreadMessage {
  if (message.kind !== 'call' || message.method !== 'write') return message
  const [write, body] = message.args as readonly [unknown, BodyPlace]
  if (body.kind !== 'inline' || body.data.byteLength === body.data.buffer.byteLength) return message
  return { ...message, args: [write, { kind: 'inline', data: new Uint8Array(body.data) }] }
}

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
