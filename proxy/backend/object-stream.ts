import type { Condition } from '../../common/condition.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { inAnyEpoch } from '../../common/ring/ring-set.ts'
import type { BodyWriter, ItemMeta, ItemWrite, WriteOutcome } from '../../common/storage-node.ts'
import type { BackendOutcome, ObjectPath, ObjectWriter } from './backend.ts'
import { asBackendError, devicesFull, noQuorum } from './backend-errors.ts'
import type { NameKeys } from './name-keys.ts'
import type { ObjectChange, ObjectWrites } from './object-writes.ts'
import type { Send } from './proposals.ts'
import type { Reply } from './quorum.ts'
import { askAll, askOne, type CallTiming, causeOf } from './replica-calls.ts'
import { itemOf, type Replica, type ReplicaGroup, type ReplicaMap } from './replica-map.ts'
import { type SloppyRegisters, sloppyQuorumOf } from './sloppy-registers.ts'

export interface ObjectStreamsOptions {
  readonly keys: NameKeys
  readonly replicas: ReplicaMap
  readonly objects: ObjectWrites
  readonly timing: CallTiming
  readonly sloppy: SloppyRegisters
}

/**
 * Opens a body on all primaries of the object, in a sloppy policy on handoffs for those that are away. 503 when fewer than
 * a quorum open it, 507 when they are full.
 */
export async function openObjectStream(
  options: ObjectStreamsOptions,
  path: ObjectPath,
): Promise<ObjectWriter> {
  const item = options.keys.object(path)
  const { replicas } = options
  if (replicas.isSloppy(item)) {
    return new ObjectStream(options.objects, path, await ReplicatedBody.openSloppy(options, item))
  }
  const body = await replicas.fresh(() => {
    const group = replicas.group(item)
    return group.replicas.length === 1
      ? SingleBody.open(group.replicas[0]!, itemOf(group, item))
      : ReplicatedBody.open(options, itemOf(group, item), group)
  })
  return new ObjectStream(options.objects, path, body)
}

/** A body on its way to one replica or to several. */
interface Body {
  /** How the object's change commits it. */
  readonly sending: Pick<ObjectChange, 'sendToOne' | 'repeatable' | 'send' | 'asksFirst'>
  write(piece: Uint8Array): Promise<void>
  /** Throws away what is not committed; idempotent. */
  release(): Promise<void>
}

class ObjectStream implements ObjectWriter {
  readonly #objects: ObjectWrites
  readonly #path: ObjectPath
  readonly #body: Body
  #bytes = 0

  constructor(objects: ObjectWrites, path: ObjectPath, body: Body) {
    this.#objects = objects
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
      return await this.#objects.change({
        path: this.#path,
        action: 'put',
        meta,
        bytes: this.#bytes,
        ...(condition === undefined ? {} : { condition }),
        ...this.#body.sending,
      })
    } catch (error) {
      throw asBackendError(error)
    } finally {
      await this.#body.release()
    }
  }

  abort(): Promise<void> {
    return this.#body.release()
  }
}

class SingleBody implements Body {
  readonly sending: Body['sending']
  readonly #writer: BodyWriter
  /** From the commit on what happened may be unknown, and the bytes are not ours to throw away. */
  #ended = false

  static async open(replica: Replica, item: ItemKey): Promise<Body> {
    return new SingleBody(replica, await replica.node.openBody(replica.device, item))
  }

  private constructor(own: Replica, writer: BodyWriter) {
    this.#writer = writer
    const repeatable = writer.canRecommit
    const sendToOne = async (write: ItemWrite) => {
      this.#ended = true
      const outcome = await writer.commit(write)
      if (outcome.status === 'superseded') this.#ended = !repeatable
      return outcome
    }
    // By newer rings there may be two replicas.
    const send: Send = (replica, write) =>
      replica === own && !this.#ended ? sendToOne(write) : keepBody(replica, write)
    this.sending = { sendToOne, repeatable, send }
  }

  write(piece: Uint8Array): Promise<void> {
    return this.#writer.write(piece)
  }

  async release(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#writer.abort()
  }
}

/** The body at one of several replicas. */
class Part {
  readonly #writer: BodyWriter | null
  /** Why it will not be written there any more. */
  #error: unknown
  /** `open`: it can still be committed. */
  #isOpen: boolean
  /** Commits of one body go one after the other, also when nobody waits for the first any more. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(reply: Reply<BodyWriter>) {
    this.#writer = 'outcome' in reply ? reply.outcome : null
    this.#error = 'outcome' in reply ? null : reply.error
    this.#isOpen = this.#writer !== null
  }

  get isLive(): boolean {
    return this.#isOpen
  }

  get error(): unknown {
    return this.#error
  }

  async write(piece: Uint8Array, replica: Replica, timing: CallTiming): Promise<void> {
    const writer = this.#writer
    if (writer === null || !this.#isOpen) return
    const reply = await askOne(replica, () => writer.write(piece), timing)
    if ('outcome' in reply) return
    this.#fail(reply.error)
    writer.abort().catch(() => {})
  }

  /** Commits the body; an accept after that finds it there, or where it failed gets it as a copy. */
  commit(replica: Replica, write: ItemWrite): Promise<WriteOutcome> {
    const next = this.#last.then(() => this.#commitNow(replica, write))
    this.#last = next.catch(() => {})
    return next
  }

  async #commitNow(replica: Replica, write: ItemWrite): Promise<WriteOutcome> {
    if (!this.#isOpen || this.#writer === null) {
      if (write.action !== 'accept') throw this.#error
      return replica.node.write(replica.device, write, null)
    }
    try {
      const outcome = await this.#writer.commit(write)
      this.#isOpen = outcome.status === 'superseded' && this.#writer.canRecommit
      return outcome
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  #fail(error: unknown): void {
    this.#error = error
    this.#isOpen = false
  }

  async release(): Promise<void> {
    await this.#last
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#writer?.abort()
  }
}

/** A replica that was not sent the body can only accept a record whose body it has. */
function keepBody(replica: Replica, write: ItemWrite): Promise<WriteOutcome> {
  if (write.action === 'accept') return replica.node.write(replica.device, write, null)
  const message = `${replica.label} was not sent the body`
  return Promise.reject(new ServiceError('Unreachable', message, { status: 503 }))
}

/** The same body to several replicas at the pace of the slowest; one that fails or stalls is left behind. */
class ReplicatedBody implements Body {
  readonly sending: Body['sending']
  readonly #timing: CallTiming
  readonly #primaries: readonly Replica[]
  /** By the primaries' order. */
  readonly #parts: readonly Part[]
  /** Parts that it takes. */
  readonly #quorum: number

  static async open(
    { timing, replicas }: ObjectStreamsOptions,
    item: ItemKey,
    group: ReplicaGroup,
  ): Promise<ReplicatedBody> {
    let late = false
    const open = async (replica: Replica) => {
      const writer = await replica.node.openBody(replica.device, item)
      if (late) await writer.abort()
      return writer
    }
    const { replies } = await askAll(group, open, () => false, timing)
    late = true
    const { quorum } = group
    const opened = replies as readonly Reply<BodyWriter>[]
    const body = new ReplicatedBody(timing, {
      primaries: group.replicas,
      replies: opened,
      quorum,
      onlyOne: () => replicas.primaries(item)[0]!,
    })
    if (body.#live() >= quorum) return body
    await body.release()
    const full = replies.filter((reply) => reply && 'failure' in reply && reply.failure === 'full')
    if (full.length >= quorum) throw devicesFull()
    throw noQuorum('too few replicas take the body', causeOf(replies))
  }

  static async openSloppy(
    { timing, sloppy, replicas }: ObjectStreamsOptions,
    item: ItemKey,
  ): Promise<ReplicatedBody> {
    const slots = await sloppy.eachSlot(item, (replica) =>
      replica.node.openBody(replica.device, inAnyEpoch(item)),
    )
    const quorum = sloppyQuorumOf(replicas.primaries(item).length)
    const taken = slots.filter((slot) => slot.replica !== null)
    const primaries = taken.map(({ replica }) => replica)
    const replies = taken.map(({ outcome }) => ({ outcome }))
    const onlyOne = () => replicas.primaries(item)[0]!
    const body = new ReplicatedBody(timing, { primaries, replies, quorum, onlyOne })
    if (taken.length >= quorum) return body
    await body.release()
    const failed = slots.filter((slot) => slot.replica === null)
    if (failed.some((slot) => slot.isFull)) throw devicesFull()
    throw noQuorum('too few devices take the body', failed[0]?.error)
  }

  private constructor(
    timing: CallTiming,
    opened: {
      readonly primaries: readonly Replica[]
      readonly replies: readonly Reply<BodyWriter>[]
      readonly quorum: number
      /** The item's replica where there is one. */
      readonly onlyOne: () => Replica
    },
  ) {
    const { primaries, replies, quorum, onlyOne } = opened
    this.#timing = timing
    this.#quorum = quorum
    this.#primaries = primaries
    this.#parts = replies.map((reply) => new Part(reply))
    const send: Send = (replica, write) => {
      // The rings may have changed since the body was opened: who has none of it may get a copy.
      const part = this.#parts[primaries.indexOf(replica)]
      return part === undefined ? keepBody(replica, write) : part.commit(replica, write)
    }
    // By newer rings there may be one replica only.
    const sendToOne = (write: ItemWrite) => send(onlyOne(), write)
    this.sending = { sendToOne, repeatable: false, send, asksFirst: true }
  }

  async write(piece: Uint8Array): Promise<void> {
    await Promise.all(
      this.#parts.map((part, index) => part.write(piece, this.#primaries[index]!, this.#timing)),
    )
    if (this.#live() < this.#quorum) {
      throw noQuorum('too few replicas are left to take the body', this.#firstError())
    }
  }

  /** A replica that is still at it is not waited for. */
  async release(): Promise<void> {
    for (const part of this.#parts) part.release().catch(() => {})
  }

  #live(): number {
    return this.#parts.filter((part) => part.isLive).length
  }

  #firstError(): unknown {
    return this.#parts.find((part) => !part.isLive)?.error
  }
}
