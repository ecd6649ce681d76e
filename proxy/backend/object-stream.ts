import { commitOnce } from '../../common/commit-once.ts'
import type { Condition } from '../../common/condition.ts'
import type { ItemKey } from '../../common/item.ts'
import type { StampClock } from '../../common/stamp.ts'
import type { BodyWriter, ItemMeta, ItemWrite, WriteOutcome } from '../../common/storage-node.ts'
import type { BackendOutcome, ObjectPath, ObjectWriter } from './backend.ts'
import { asBackendError, devicesFull, noQuorum } from './backend-errors.ts'
import type { NameKeys } from './name-keys.ts'
import type { ObjectWrites } from './object-writes.ts'
import { majorityOf, type Reply } from './quorum.ts'
import type { RegisterReads } from './register-reads.ts'
import type { RegisterWrites, Send } from './register-writes.ts'
import { askAll, askOne, type CallTiming } from './replica-calls.ts'
import type { Replica, ReplicaMap } from './replica-map.ts'

export interface ObjectStreamsOptions {
  readonly keys: NameKeys
  readonly replicas: ReplicaMap
  readonly writes: RegisterWrites
  readonly objects: ObjectWrites
  readonly timing: CallTiming
  readonly reads: RegisterReads
  readonly stamps: StampClock
}

/** Opens a body on all primaries of the object. 503 when fewer than a majority open it, 507 when they are full. */
export async function openObjectStream(
  options: ObjectStreamsOptions,
  path: ObjectPath,
): Promise<ObjectWriter> {
  const item = options.keys.object(path)
  const primaries = options.replicas.primaries(item)
  const looked = lookAtBallot(options, item)
  const body =
    primaries.length === 1
      ? await openOne(primaries[0]!, item)
      : await ReplicatedBody.open(options, item, primaries)
  await looked
  return new ObjectStream(options, path, body)
}

/** A body is sent once and cannot be stamped anew: so its stamp, drawn at the end, must be above what is there. */
async function lookAtBallot(options: ObjectStreamsOptions, item: ItemKey): Promise<void> {
  try {
    const info = await options.reads.info(item)
    if (info !== null) options.stamps.observe(info.ballot)
  } catch {
    // Without a quorum the body will tell.
  }
}

/** A body on its way to one replica or to several. */
interface Body {
  readonly canRecommit: boolean
  write(piece: Uint8Array): Promise<void>
  commit(write: ItemWrite, bytes: number, current?: readonly boolean[]): Promise<WriteOutcome>
  abort(): Promise<void>
}

class ObjectStream implements ObjectWriter {
  readonly #options: ObjectStreamsOptions
  readonly #path: ObjectPath
  readonly #body: Body
  #bytes = 0
  #ended = false

  constructor(options: ObjectStreamsOptions, path: ObjectPath, body: Body) {
    this.#options = options
    this.#path = path
    this.#body = body
  }

  async write(piece: Uint8Array): Promise<void> {
    try {
      await this.#body.write(piece)
    } catch (error) {
      throw asBackendError(error)
    }
    this.#bytes += piece.length
  }

  async commit(meta: ItemMeta, condition?: Condition): Promise<BackendOutcome> {
    try {
      return await this.#options.objects.change({
        path: this.#path,
        action: 'put',
        meta,
        bytes: this.#bytes,
        ...(condition === undefined ? {} : { condition }),
        send: async (write, current) => {
          // From here on what happened may be unknown, and the bytes are not ours to throw away.
          this.#ended = true
          const outcome = await this.#body.commit(write, this.#bytes, current)
          if (outcome.status === 'superseded') this.#ended = !this.#body.canRecommit
          return outcome
        },
        repeatable: this.#body.canRecommit,
      })
    } catch (error) {
      throw asBackendError(error)
    } finally {
      // Refused before it was sent: the bytes are still there.
      await this.abort()
    }
  }

  async abort(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#body.abort()
  }
}

async function openOne(replica: Replica, item: ItemKey): Promise<Body> {
  return replica.node.openBody(replica.device, item)
}

/** The same body to several replicas at the pace of the slowest; one that fails or stalls is left behind. */
class ReplicatedBody implements Body {
  // Some replicas may have accepted it under its first stamp.
  readonly canRecommit = false
  readonly #options: ObjectStreamsOptions
  readonly #primaries: readonly Replica[]
  /** By the primaries' order: the writer, or why there is none. */
  readonly #writers: (BodyWriter | { readonly error: unknown })[]

  static async open(
    options: ObjectStreamsOptions,
    item: ItemKey,
    primaries: readonly Replica[],
  ): Promise<ReplicatedBody> {
    let late = false
    const open = async (replica: Replica) => {
      const writer = await replica.node.openBody(replica.device, item)
      if (late) await writer.abort()
      return writer
    }
    const { replies } = await askAll(primaries, open, () => false, options.timing)
    late = true
    const body = new ReplicatedBody(options, primaries, replies as readonly Reply<BodyWriter>[])
    if (body.#live() >= majorityOf(primaries.length)) return body
    await body.abort()
    const full = replies.filter((reply) => reply && 'failure' in reply && reply.failure === 'full')
    if (full.length >= majorityOf(primaries.length)) throw devicesFull()
    throw noQuorum('too few replicas take the body', body.#firstError())
  }

  private constructor(
    options: ObjectStreamsOptions,
    primaries: readonly Replica[],
    replies: readonly Reply<BodyWriter>[],
  ) {
    this.#options = options
    this.#primaries = primaries
    this.#writers = replies.map((reply) =>
      'outcome' in reply ? reply.outcome : { error: reply.error },
    )
  }

  async write(piece: Uint8Array): Promise<void> {
    await Promise.all(
      this.#writers.map(async (writer, index) => {
        if ('error' in writer) return
        const replica = this.#primaries[index]!
        const reply = await askOne(replica, () => writer.write(piece), this.#options.timing)
        if ('outcome' in reply) return
        this.#writers[index] = { error: reply.error }
        writer.abort().catch(() => {})
      }),
    )
    if (this.#live() < majorityOf(this.#writers.length)) {
      throw noQuorum('too few replicas are left to take the body', this.#firstError())
    }
  }

  commit(write: ItemWrite, bytes: number, current?: readonly boolean[]): Promise<WriteOutcome> {
    const sends = this.#writers.map((writer): Send => {
      if ('error' in writer) return () => Promise.reject(writer.error)
      return (_, each) => commitOnce(writer, each)
    })
    return this.#options.writes.sendBy(write, bytes, { sends, current })
  }

  async abort(): Promise<void> {
    await Promise.all(
      this.#writers.map((writer) => ('error' in writer ? undefined : writer.abort())),
    )
  }

  #live(): number {
    return this.#writers.filter((writer) => !('error' in writer)).length
  }

  #firstError(): unknown {
    for (const writer of this.#writers) if ('error' in writer) return writer.error
    return undefined
  }
}
