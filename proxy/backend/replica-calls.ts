import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import { isStaleRings, STALE_RINGS } from '../../common/ring/ring-set.ts'
import type { Failure, Replies, Reply } from './quorum.ts'
import type { Replica, ReplicaGroup } from './replica-map.ts'

export interface CallTiming {
  readonly clock: Clock
  /** How long one replica may take; afterwards it counts as `unknown`. */
  readonly deadlineMs: number
}

/** Answers of a round; those that come after the verdict are added to `replies` until `settled` resolves. */
export interface Round<T> {
  readonly replies: Replies<T>
  /** Never rejects; resolves after at most the deadline. */
  readonly settled: Promise<void>
}

/**
 * Asks all replicas at once and resolves as soon as `decided` says that the answers are enough, or all are in. A
 * device that is being left alone for its errors is not asked, unless too few would be.
 */
export function askAll<T>(
  { replicas, quorum }: Pick<ReplicaGroup, 'replicas' | 'quorum'>,
  call: (replica: Replica, index: number) => Promise<T>,
  decided: (replies: Replies<T>) => boolean,
  timing: CallTiming,
): Promise<Round<T>> {
  const replies: (Reply<T> | undefined)[] = replicas.map(() => undefined)
  const skip = devicesToSkip(replicas, quorum)
  return new Promise((resolve) => {
    let settle: () => void = () => {}
    const settled = new Promise<void>((done) => {
      settle = done
    })
    let outstanding = replicas.length
    const arrive = (index: number, reply: Reply<T>) => {
      replies[index] = reply
      outstanding--
      if (outstanding === 0 || decided(replies)) resolve({ replies, settled })
      if (outstanding === 0) settle()
    }
    for (const [index, replica] of replicas.entries()) {
      const asked = skip[index]
        ? Promise.resolve<Reply<T>>({ failure: 'refused', error: leftAlone(replica) })
        : askOne(replica, () => call(replica, index), timing)
      void asked.then((reply) => arrive(index, reply))
    }
  })
}

/** One call with its deadline; its failure is classified and noted in the device's health. Never rejects. */
export async function askOne<T>(
  replica: Replica,
  call: () => Promise<T>,
  { clock, deadlineMs }: CallTiming,
): Promise<Reply<T>> {
  try {
    const outcome = await withDeadline(call(), clock, deadlineMs)
    replica.health.noteSuccess()
    return { outcome }
  } catch (error) {
    const failure = failureOf(error)
    if (!isSound(error)) replica.health.noteFailure()
    return { failure, error }
  }
}

/** Rejects with `NoAnswer` when the promise takes longer; its late result is ignored. */
export function withDeadline<T>(promise: Promise<T>, clock: Clock, deadlineMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(deadlineMs, () => {
      reject(new ServiceError('NoAnswer', `no answer within ${deadlineMs} ms`, { status: 503 }))
    })
    promise.then(
      (value) => {
        cancel()
        resolve(value)
      },
      (error) => {
        cancel()
        reject(error)
      },
    )
  })
}

/** The failure that says most: that the rings were too old, if anybody said so. */
export function causeOf(replies: Replies<unknown>): unknown {
  const errors = replies.flatMap((reply) => (reply && 'failure' in reply ? [reply.error] : []))
  return errors.find(isStaleRings) ?? errors[0]
}

/** Whether anybody refused because the rings were too old. */
export function isAnyStale(replies: Replies<unknown>): boolean {
  return replies.some((reply) => reply && 'failure' in reply && isStaleRings(reply.error))
}

/** Codes with which a node says, or the connection shows, that nothing was written. */
const REFUSALS = new Set([
  'Unreachable',
  'UnknownDevice',
  'DeviceOffline',
  'Busy',
  'Unauthorized',
  'WireVersion',
  'StampAhead',
  'Learning',
  STALE_RINGS,
])

/** Whether a failed call may have written. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof ServiceError)) return 'unknown'
  if (error.code === 'DeviceFull') return 'full'
  return REFUSALS.has(error.code) ? 'refused' : 'unknown'
}

/** Answers of a device that is well: its space, a clock, or one damaged record are no reason to leave it alone. */
const SOUND = new Set([
  'DeviceFull',
  'StampAhead',
  'CorruptData',
  'NameCollision',
  'Busy',
  STALE_RINGS,
])

function isSound(error: unknown): boolean {
  return error instanceof ServiceError && SOUND.has(error.code)
}

/** Devices left alone are asked nevertheless when the others are no quorum. */
function devicesToSkip(replicas: readonly Replica[], quorum: number): readonly boolean[] {
  const skip = replicas.map((replica) => !replica.health.available())
  const asked = skip.filter((skipped) => !skipped).length
  return asked >= quorum ? skip : replicas.map(() => false)
}

function leftAlone(replica: Replica): ServiceError {
  return new ServiceError('Unreachable', `${replica.label} is left alone after errors`, {
    status: 503,
  })
}
