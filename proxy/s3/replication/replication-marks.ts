/**
 * What is to be replicated: objects of an account that no client can name, in a container for each bucket. A mark is made before
 * its change (`begun`) and completed after it (`ready`, with the version that was made), so that no crash in between loses a change:
 * where nobody has completed it, what the name has become since then is looked at. Marks' names begin with the time of what they
 * are about, so that a listing has the oldest first.
 */
import { ServiceError } from '../../../common/errors.ts'
import { containerFor, HiddenQueues, type HiddenQueuesOptions } from '../queue/hidden-queues.ts'

const ACCOUNT = '.s3-replication'
const OF_ACCOUNT = 'x-container-sysmeta-of-account'
const OF_BUCKET = 'x-container-sysmeta-of-bucket'
/** All of the bucket is to be looked through. */
const SCAN = '~scan'
const TYPE = 'application/x-mark'
/** Of a bucket; with more, its writes are refused. */
const MARKS_MAX = 100_000

/** A bucket that is replicated, or was: its marks are in a container. */
export interface MarkedBucket {
  readonly account: string
  readonly bucket: string
}

/** `existing`: it was there before; `tags`: the version is there, and has other tags now. */
export type MarkKind = 'version' | 'existing' | 'tags'

export interface Mark {
  readonly kind: MarkKind
  readonly key: string
  /** Undefined: nobody has said it (yet). */
  readonly version?: string
  /** When it was made. */
  readonly atMs: number
  readonly isReady: boolean
}

export interface StoredMark extends Mark {
  readonly name: string
}

export class ReplicationMarks {
  readonly #options: HiddenQueuesOptions
  readonly #queues: HiddenQueues

  constructor(options: HiddenQueuesOptions) {
    this.#options = options
    this.#queues = new HiddenQueues(ACCOUNT, options)
  }

  /** Durable when it resolves. 503: too many wait, and the change must not be made. */
  async begin(of: MarkedBucket, mark: Pick<Mark, 'kind' | 'key' | 'version'>): Promise<StoredMark> {
    const known = await this.#queues.known(containerOf(of))
    if ((known?.stats?.objects ?? 0) >= MARKS_MAX) throw queueFull()
    const atMs = Math.floor(this.#options.clock.nowMs())
    const name = this.#queues.nameAt(atMs)
    return this.#write(of, { ...mark, name, atMs, isReady: false })
  }

  /** Of what is there already: it goes in the order of when it was written. */
  async add(
    of: MarkedBucket,
    mark: Pick<Mark, 'key' | 'version'>,
    writtenMs: number,
  ): Promise<void> {
    const atMs = Math.floor(this.#options.clock.nowMs())
    const name = this.#queues.nameAt(writtenMs)
    await this.#write(of, { kind: 'existing', ...mark, name, atMs, isReady: true })
  }

  /** The change was made. */
  async complete(of: MarkedBucket, mark: StoredMark, version: string | undefined): Promise<void> {
    await this.#write(of, { ...mark, ...(version !== undefined && { version }), isReady: true })
  }

  /** It is done, or there is nothing to be done. */
  remove(of: MarkedBucket, { name }: Pick<StoredMark, 'name'>): Promise<void> {
    return this.#queues.remove({ container: containerOf(of), name })
  }

  /** All buckets that have marks, or had. */
  async *buckets(): AsyncGenerator<MarkedBucket> {
    for await (const container of this.#queues.containers()) {
      const headers = (await this.#queues.known(container))?.meta.headers
      const [account, bucket] = [headers?.[OF_ACCOUNT], headers?.[OF_BUCKET]]
      if (account !== undefined && bucket !== undefined) yield { account, bucket }
    }
  }

  /** Names of marks behind `after`, the oldest first. */
  async names(of: MarkedBucket, after: string, limit: number): Promise<readonly string[]> {
    return (await this.#queues.rows(containerOf(of), after, limit)).map(({ name }) => name)
  }

  /** Null if somebody else was quicker. */
  async read(of: MarkedBucket, name: string): Promise<StoredMark | null> {
    const read = await this.#queues.read<Mark>({ container: containerOf(of), name })
    return read === null ? null : { ...read.value, name }
  }

  /** The name behind which a scan goes on that was asked for (empty: from the beginning); null: none was. */
  async scan(
    of: MarkedBucket,
  ): Promise<{ readonly after: string; readonly writeId: string } | null> {
    const read = await this.#queues.read<{ readonly after: string }>(scanOf(of))
    return read === null ? null : { after: read.value.after, writeId: read.info.writeId }
  }

  async requestScan(of: MarkedBucket): Promise<void> {
    const put = { value: { after: '' }, contentType: TYPE }
    await this.#making(of, () => this.#queues.write(scanOf(of), put))
  }

  /** It has come so far (null: to its end), unless another was asked for. */
  async keepScan(of: MarkedBucket, writeId: string, after: string | null): Promise<void> {
    const condition = { ifWriteId: writeId }
    if (after === null) return this.#queues.remove(scanOf(of), condition)
    const put = { value: { after }, contentType: TYPE, condition }
    await this.#making(of, () => this.#queues.write(scanOf(of), put))
  }

  /** Takes the bucket until then; the lease's write id, or null if somebody else has it. */
  async take(of: MarkedBucket, untilMs: number): Promise<string | null> {
    const lease = await this.#queues.lease(containerOf(of))
    return lease === 'taken' ? null : this.keep(of, lease.writeId, untilMs)
  }

  /** Keeps it until then, or (0) lets go of it; null: it is lost. */
  keep(of: MarkedBucket, writeId: string | null, untilMs: number): Promise<string | null> {
    const lease = { writeId, untilMs, value: {} }
    return this.#making(of, () => this.#queues.keepLease(containerOf(of), lease))
  }

  async #write(of: MarkedBucket, { name, ...mark }: StoredMark): Promise<StoredMark> {
    const put = { value: mark, contentType: TYPE }
    await this.#making(of, () => this.#queues.write({ container: containerOf(of), name }, put))
    return { name, ...mark }
  }

  /** A write; where the bucket has no container yet, that is made. */
  #making<T>(of: MarkedBucket, write: () => Promise<T>): Promise<T> {
    return write().catch(async (error: unknown) => {
      if (!(error instanceof ServiceError) || error.status !== 404) throw error
      const headers = { [OF_ACCOUNT]: of.account, [OF_BUCKET]: of.bucket }
      await this.#queues.make(containerOf(of), headers)
      return write()
    })
  }
}

function containerOf({ account, bucket }: MarkedBucket): string {
  return containerFor(account, bucket)
}

function scanOf(of: MarkedBucket) {
  return { container: containerOf(of), name: SCAN }
}

function queueFull(): ServiceError {
  const message = 'too many changes wait to be replicated'
  return new ServiceError('ReplicationQueueFull', message, { status: 503, retryAfterSeconds: 5 })
}
