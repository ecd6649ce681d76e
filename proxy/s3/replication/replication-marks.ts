/**
 * What is to be replicated: objects of an account that no client can name, in a container for each bucket. A mark is made before
 * its change (`begun`) and completed after it (`ready`, with the version that was made), so that no crash in between loses a change:
 * where nobody has completed it, what the name has become since then is looked at. Marks' names begin with the time of what they
 * are about, so that a listing has the oldest first.
 */
import { createHash, hash } from 'node:crypto'
import type { Clock } from '../../../common/clock.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { Random } from '../../../common/random.ts'
import type { Backend, ObjectPath } from '../../backend/backend.ts'
import { wholeBody } from '../../swift/object-body.ts'

const ACCOUNT = '.s3-replication'
const OF_ACCOUNT = 'x-container-sysmeta-of-account'
const OF_BUCKET = 'x-container-sysmeta-of-bucket'
/** Behind all marks. */
const LEASE = '~lease'
const LEASE_TYPE = 'application/x-lease;until='
/** All of the bucket is to be looked through. */
const SCAN = '~scan'
const PAGE_MAX = 1_000
const TIME_DIGITS = 14
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

export interface MarksOptions {
  readonly backend: Backend
  readonly clock: Pick<Clock, 'nowMs'>
  readonly random: Random
  /** The index of the storage policy that marks are kept in. */
  readonly policy: number
}

export class ReplicationMarks {
  readonly #options: MarksOptions

  constructor(options: MarksOptions) {
    this.#options = options
  }

  /** Durable when it resolves. 503: too many wait, and the change must not be made. */
  async begin(of: MarkedBucket, mark: Pick<Mark, 'kind' | 'key' | 'version'>): Promise<StoredMark> {
    const { backend, clock } = this.#options
    const known = await backend.cachedContainer(ACCOUNT, containerOf(of))
    if ((known?.stats?.objects ?? 0) >= MARKS_MAX) throw queueFull()
    const atMs = Math.floor(clock.nowMs())
    return this.#write(of, { ...mark, name: this.#nameAt(atMs), atMs, isReady: false })
  }

  /** Of what is there already: it goes in the order of when it was written. */
  async add(
    of: MarkedBucket,
    mark: Pick<Mark, 'key' | 'version'>,
    writtenMs: number,
  ): Promise<void> {
    const atMs = Math.floor(this.#options.clock.nowMs())
    const name = this.#nameAt(Math.floor(writtenMs))
    await this.#write(of, { kind: 'existing', ...mark, name, atMs, isReady: true })
  }

  /** The change was made. */
  async complete(of: MarkedBucket, mark: StoredMark, version: string | undefined): Promise<void> {
    await this.#write(of, { ...mark, ...(version !== undefined && { version }), isReady: true })
  }

  /** It is done, or there is nothing to be done. */
  async remove(of: MarkedBucket, { name }: Pick<StoredMark, 'name'>): Promise<void> {
    await this.#options.backend.deleteObject(this.#place(of, name))
  }

  /** All buckets that have marks, or had. */
  async *buckets(): AsyncGenerator<MarkedBucket> {
    const { backend } = this.#options
    let marker = ''
    for (;;) {
      const query = { limit: PAGE_MAX, ...(marker !== '' && { marker }) }
      const page = await backend.listAccount(ACCOUNT, query)
      for (const row of page?.entries ?? []) {
        if ('subdir' in row) continue
        marker = row.name
        const headers = (await backend.cachedContainer(ACCOUNT, row.name))?.meta.headers
        const [account, bucket] = [headers?.[OF_ACCOUNT], headers?.[OF_BUCKET]]
        if (account !== undefined && bucket !== undefined) yield { account, bucket }
      }
      if (page === null || page.entries.length < PAGE_MAX) return
    }
  }

  /** Names of marks behind `after`, the oldest first. */
  async names(of: MarkedBucket, after: string, limit: number): Promise<readonly string[]> {
    const page = await this.#options.backend.listContainer(ACCOUNT, containerOf(of), {
      limit,
      endMarker: LEASE,
      ...(after !== '' && { marker: after }),
    })
    return (page?.entries ?? []).flatMap((row) => ('subdir' in row ? [] : [row.name]))
  }

  /** Null if somebody else was quicker. */
  async read(of: MarkedBucket, name: string): Promise<StoredMark | null> {
    const read = await this.#options.backend.readObject(this.#place(of, name))
    if (read === null) return null
    return { ...(JSON.parse(`${await wholeBody(read)}`) as Mark), name }
  }

  /** The name behind which a scan goes on that was asked for (empty: from the beginning); null: none was. */
  async scan(
    of: MarkedBucket,
  ): Promise<{ readonly after: string; readonly writeId: string } | null> {
    const read = await this.#options.backend.readObject(this.#place(of, SCAN))
    if (read === null) return null
    const { after } = JSON.parse(`${await wholeBody(read)}`) as { readonly after: string }
    return { after, writeId: read.info.writeId }
  }

  async requestScan(of: MarkedBucket): Promise<void> {
    await this.#put(of, SCAN, { body: { after: '' } })
  }

  /** It has come so far (null: to its end), unless another was asked for. */
  async keepScan(of: MarkedBucket, writeId: string, after: string | null): Promise<void> {
    const condition = { ifWriteId: writeId }
    if (after !== null) await this.#put(of, SCAN, { body: { after }, condition })
    else await this.#options.backend.deleteObject(this.#place(of, SCAN), { condition })
  }

  /** Takes the bucket until then; the lease's write id, or null if somebody else has it. */
  async take(of: MarkedBucket, untilMs: number): Promise<string | null> {
    const { backend, clock } = this.#options
    const read = await backend.readObject(this.#place(of, LEASE), { head: true })
    const until = Number(read?.info.meta.contentType?.slice(LEASE_TYPE.length) ?? 0)
    if (until > clock.nowMs()) return null
    return this.keep(of, read?.info.writeId ?? null, untilMs)
  }

  /** Keeps it until then, or (0) lets go of it; null: it is lost. */
  async keep(of: MarkedBucket, writeId: string | null, untilMs: number): Promise<string | null> {
    const contentType = LEASE_TYPE + Math.ceil(untilMs)
    const condition = { ifWriteId: writeId }
    const outcome = await this.#put(of, LEASE, { body: {}, contentType, condition })
    return outcome.status === 'done' ? outcome.info.writeId : null
  }

  async #write(of: MarkedBucket, { name, ...mark }: StoredMark): Promise<StoredMark> {
    await this.#put(of, name, { body: mark })
    return { name, ...mark }
  }

  async #put(
    of: MarkedBucket,
    name: string,
    put: {
      readonly body: object
      readonly contentType?: string
      readonly condition?: { readonly ifWriteId: string | null }
    },
  ) {
    const { backend } = this.#options
    const { contentType = 'application/x-mark', condition } = put
    const body = Buffer.from(JSON.stringify({ format: 1, ...put.body }))
    const meta = { etag: hash('md5', body, 'hex'), contentType, headers: {} }
    const write = async () =>
      backend.putObject(this.#place(of, name), { meta, body, ...(condition && { condition }) })
    return write().catch(async (error: unknown) => {
      if (!(error instanceof ServiceError) || error.status !== 404) throw error
      await this.#make(of)
      return write()
    })
  }

  async #make(of: MarkedBucket): Promise<void> {
    const { backend, policy } = this.#options
    await backend.putAccount(ACCOUNT, { headers: {} })
    const headers = { [OF_ACCOUNT]: of.account, [OF_BUCKET]: of.bucket }
    await backend.putContainer(ACCOUNT, containerOf(of), { meta: { headers }, policy })
  }

  #nameAt(ms: number): string {
    const time = String(Math.max(0, ms)).padStart(TIME_DIGITS, '0')
    return `${time}-${Buffer.from(this.#options.random.bytes(8)).toString('hex')}`
  }

  #place(of: MarkedBucket, object: string): ObjectPath {
    const { policy } = this.#options
    return { account: ACCOUNT, container: containerOf(of), object, policy }
  }
}

function containerOf({ account, bucket }: MarkedBucket): string {
  return createHash('sha256').update(`${account}/${bucket}`).digest('hex')
}

function queueFull(): ServiceError {
  const message = 'too many changes wait to be replicated'
  return new ServiceError('ReplicationQueueFull', message, { status: 503, retryAfterSeconds: 5 })
}
