/**
 * Multipart uploads of a bucket: their records, and the parts that are there. A record is changed only under the
 * condition that it is still the one that was read, so that of a completion and an abortion, or of two completions,
 * one has the upload.
 */
import { hash } from 'node:crypto'
import { forEachParallel } from '../../../common/bounded-parallel.ts'
import { ServiceError } from '../../../common/errors.ts'
import { randomId } from '../../../common/random.ts'
import { type Soon, soon } from '../../../common/soon.ts'
import type { ItemInfo, ListRow } from '../../../common/storage-node.ts'
import type { ObjectPath } from '../../backend/backend.ts'
import { LISTED } from '../../backend/rows.ts'
import { S3_CLASS, S3_HAS_UPLOADS } from '../../swift/foreign-meta.ts'
import { formatListed, listedTraits } from '../../swift/listed-traits.ts'
import { wholeBody } from '../../swift/object-body.ts'
import { expireNames, partsOf } from '../../swift/own-parts.ts'
import { OBJECT_LOCK, SEALED } from '../../swift/versions/object-lock.ts'
import { escapePath } from '../../wire-text.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import type { FoundBucket } from '../bucket/find-bucket.ts'
import { findBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { isUploadId, PARTS_MAX, partName, uploadName } from './upload-names.ts'
import {
  COMPLETION_MS_MAX,
  decodeUpload,
  encodeUpload,
  type UploadRecord,
} from './upload-record.ts'

const PARALLEL_MAX = 8

/** An upload under way, as it was read. */
export interface FoundUpload {
  readonly uploadId: string
  readonly record: UploadRecord
  readonly writeId: string
}

/** The uploads of one bucket. */
export class Uploads {
  readonly container: string
  readonly #call: S3Call
  readonly #bucket: FoundBucket

  private constructor(call: S3Call, bucket: FoundBucket, name: string) {
    this.#call = call
    this.#bucket = bucket
    this.container = segmentsContainer(name)
  }

  /** Those of the request's bucket; nobody's rights are asked for. */
  static of(call: S3Call): Soon<Uploads> {
    return soon(findBucket(call, call.bucket), (bucket) => new Uploads(call, bucket, call.bucket))
  }

  /** Whether objects of the bucket may have parts of their own. */
  get mayHaveParts(): boolean {
    return this.#bucket.info.meta.headers[S3_HAS_UPLOADS] !== undefined
  }

  get account(): string {
    return this.#bucket.account
  }

  async begin(key: string, record: UploadRecord): Promise<string> {
    await this.prepare()
    const uploadId = randomId(this.#call.exchange.proxy.random)
    await this.#write(key, uploadId, record, null)
    return uploadId
  }

  /** Makes room for parts. */
  async prepare(): Promise<void> {
    const { backend } = this.#call.exchange.proxy
    const { account, info } = this.#bucket
    if (!this.mayHaveParts) {
      await backend.postContainer(account, this.#call.bucket, {
        headers: { [S3_HAS_UPLOADS]: 'yes' },
      })
    }
    if ((await backend.cachedContainer(account, this.container)) === null) {
      await backend.putContainer(account, this.container, {
        meta: { headers: info.meta.headers[OBJECT_LOCK] === undefined ? {} : { [SEALED]: 'yes' } },
        policy: info.policy,
      })
    }
  }

  /** NoSuchUpload if it is not under way. */
  async find(key: string, uploadId: string): Promise<FoundUpload> {
    const found = await this.look(key, uploadId)
    if (found === null) throw new S3Error('NoSuchUpload', undefined, { UploadId: uploadId })
    return found
  }

  /** Null if it is not under way. */
  async look(key: string, uploadId: string): Promise<FoundUpload | null> {
    if (!isUploadId(uploadId)) return null
    const { backend } = this.#call.exchange.proxy
    const read = await backend.readObject(this.place(uploadName(key, uploadId)))
    if (read === null) return null
    const record = decodeUpload(await wholeBody(read))
    return { uploadId, record, writeId: read.info.writeId }
  }

  /** Takes the upload for its completion; 503 if somebody else has it. */
  async take(key: string, found: FoundUpload): Promise<FoundUpload> {
    const nowMs = this.#call.exchange.proxy.clock.nowMs()
    this.#checkFree(found, nowMs)
    const record = { ...found.record, completingSinceMs: nowMs }
    const info = await this.#write(key, found.uploadId, record, found.writeId)
    return { ...found, record, writeId: info.writeId }
  }

  /** Gives it back after a completion that did not come to its end. */
  async giveBack(key: string, taken: FoundUpload): Promise<void> {
    const record = { ...taken.record, completingSinceMs: 0 }
    await this.#write(key, taken.uploadId, record, taken.writeId)
  }

  /** Ends the upload; 503 if somebody else is at it. */
  async end(
    key: string,
    found: FoundUpload,
    { taken }: { readonly taken: boolean },
  ): Promise<void> {
    const { backend, clock } = this.#call.exchange.proxy
    if (!taken) this.#checkFree(found, clock.nowMs())
    const outcome = await backend.deleteObject(this.place(uploadName(key, found.uploadId)), {
      condition: { ifWriteId: found.writeId },
    })
    if (outcome.status === 'precondition-failed') throw busyUpload()
  }

  /** All parts, in their order: there are at most 10,000. */
  parts(uploadId: string): Promise<readonly ListRow[]> {
    return partsOf(this.#call.exchange.proxy.backend, this, uploadId)
  }

  /** Lets parts go when nobody can be reading them any more. */
  async expire(names: readonly string[]): Promise<void> {
    await expireNames(this.#call.exchange.proxy, this.place(''), names)
  }

  /** Deletes parts that nobody has ever read. */
  async dropParts(names: Iterable<string>): Promise<void> {
    const { backend } = this.#call.exchange.proxy
    await forEachParallel(names, PARALLEL_MAX, async (name) => {
      await backend.deleteObject(this.place(name))
    })
  }

  place(object: string): ObjectPath {
    const { account, info } = this.#bucket
    return { account, container: this.container, object, policy: info.policy }
  }

  partPath(uploadId: string, partNumber: number) {
    return {
      account: this.account,
      container: this.container,
      object: partName(uploadId, partNumber),
    }
  }

  async #write(
    key: string,
    uploadId: string,
    record: UploadRecord,
    ifWriteId: string | null,
  ): Promise<ItemInfo> {
    const body = encodeUpload(record)
    const outcome = await this.#call.exchange.proxy.backend.putObject(
      this.place(uploadName(key, uploadId)),
      {
        meta: {
          etag: hash('md5', body, 'hex'),
          contentType: 'application/json',
          headers: {
            [LISTED]: formatListed({
              s3_initiator: escapePath(record.initiator),
              s3_class: record.head.headers[S3_CLASS],
            }),
          },
        },
        body,
        condition: { ifWriteId },
      },
    )
    if (outcome.status === 'done') return outcome.info
    throw busyUpload()
  }

  #checkFree({ record }: FoundUpload, nowMs: number): void {
    const isTaken = record.completingSinceMs > 0
    if (isTaken && nowMs - record.completingSinceMs < COMPLETION_MS_MAX) throw busyUpload()
  }
}

/** The account of who has begun the upload that a row is of. */
export function initiatorOf(row: ListRow): string | undefined {
  const { s3_initiator: initiator } = listedTraits(row).listed
  return initiator === undefined ? undefined : decodeURIComponent(initiator)
}

/** Deletes what a deleted bucket's uploads have left. */
export async function purgeUploads(
  call: S3Call,
  bucket: { readonly account: string; readonly name: string },
): Promise<void> {
  const { backend } = call.exchange.proxy
  const container = segmentsContainer(bucket.name)
  for (let round = 0; round < PURGE_ROUNDS_MAX; round++) {
    const page = await backend.listContainer(bucket.account, container, { limit: PARTS_MAX })
    if (page === null) return
    const { policy } = page.info
    await forEachParallel(page.entries, PARALLEL_MAX, async (entry) => {
      if ('subdir' in entry) return
      await backend.deleteObject({ account: bucket.account, container, object: entry.name, policy })
    })
    if (page.entries.length < PARTS_MAX) break
  }
  await backend.deleteContainer(bucket.account, container)
}

/** Pages of leftovers that one request deletes; a bucket made again under the name goes on. */
const PURGE_ROUNDS_MAX = 100

function busyUpload(): ServiceError {
  return new ServiceError('UploadBusy', 'somebody else is completing or aborting the upload', {
    status: 503,
    retryAfterSeconds: 1,
  })
}
