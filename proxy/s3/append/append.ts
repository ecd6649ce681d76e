/**
 * One append to an object. Small objects are written anew, others get a part more (and their small last parts in one with it);
 * the record that says what the object is made of is replaced under the condition that it is still the one that was looked
 * at, so that of two appends to one place one has it. A crash in the middle leaves parts that nobody reads, and that go with the
 * object; those of one that had no parts before, with the bucket.
 */
import { ServiceError } from '../../../common/errors.ts'
import { randomId } from '../../../common/random.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo, ItemRead } from '../../../common/storage-node.ts'
import type { Authority } from '../../exchange.ts'
import { PLACED } from '../../storage-class/placed-record.ts'
import { isoTime } from '../../swift/http-date.ts'
import {
  encodeManifest,
  type StoredObject,
  splitSegmentPath,
} from '../../swift/large/slo-manifest.ts'
import { closeBody } from '../../swift/object-body.ts'
import { copyRecord } from '../../swift/versions/copy-record.ts'
import { S3Body } from '../body/s3-body.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import { type Checksum, DEFAULT_CHECKSUM, encodeChecksum } from '../checksum/checksum-algorithm.ts'
import { combineCrcs } from '../checksum/combine-crc.ts'
import { moveParts } from '../lifecycle/move-object.ts'
import { multipartEtag } from '../multipart/completion.ts'
import { manifestMeta } from '../multipart/manifest-meta.ts'
import { PARTS_MAX, partName } from '../multipart/upload-names.ts'
import { Uploads } from '../multipart/uploads.ts'
import { checksumOfObject, S3_CHECKSUM, s3Etag } from '../object/object-traits.ts'
import { type BytesToPut, OBJECT_BYTES_MAX, putPieces } from '../object/put-through-swift.ts'
import { unclaimedHeaders } from '../object/rename-claim.ts'
import { classOfObject, keptClass } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { type Appendable, appendableAt, piecesOf, segmentsAt, wrongOffset } from './appendable.ts'
import { tailToMerge } from './tail-to-merge.ts'

/** Others who may change the object's metadata meanwhile, one after the other. */
const ROUNDS_MAX = 8

/** What there is after an append. */
export interface Appended {
  /** As S3 has it. */
  readonly etag: string
  /** Of the whole. */
  readonly bytes: number
  readonly checksum: Checksum | undefined
}

/** One append to an object that was looked at. */
export class Append {
  readonly #call: S3Call
  readonly #place: S3Place
  readonly #before: Appendable
  /** Of the whole, if one of the whole and its end can be made of it. */
  readonly #checksum: Checksum | undefined
  /** The record in whose place a write has failed that may have been made all the same. */
  #unclear: ItemInfo | undefined

  constructor(call: S3Call, place: S3Place, before: Appendable) {
    this.#call = call
    this.#place = place
    this.#before = before
    const checksum = checksumOfObject(before.info)
    const isCrc = checksum?.type === 'FULL_OBJECT' && checksum.algorithm.startsWith('CRC')
    this.#checksum = isCrc ? checksum : undefined
  }

  async run(): Promise<Appended> {
    const body = await this.#openBody()
    const { info, bytes, parts } = this.#before
    const announced = body.plan.bytes
    if (announced === 0) {
      await body.whole(0)
      return { etag: s3Etag(info), bytes, checksum: checksumOfObject(info) }
    }
    const sizes = parts?.segments.map((segment) => segment.bytes) ?? (bytes === 0 ? [] : [bytes])
    const merged = announced === null ? 0 : tailToMerge(sizes, announced)
    if (parts === undefined && merged === sizes.length) return this.#rewrite(body)
    return this.#addPart(body, merged)
  }

  async #openBody(): Promise<S3Body> {
    const algorithm = this.#checksum?.algorithm ?? DEFAULT_CHECKSUM
    const body = await S3Body.open(this.#call, { algorithm, md5: true })
    checkLength(this.#call, body)
    const sent = body.plan.checksum?.algorithm
    if (this.#checksum === undefined || sent === undefined || sent === algorithm) return body
    throw new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${algorithm.toLowerCase()}, actual checksum Type: ${sent.toLowerCase()}`,
    )
  }

  /** All of it in one piece. */
  async #rewrite(body: S3Body): Promise<Appended> {
    const { info, bytes } = this.#before
    const read = await this.#call.exchange.proxy.backend.readObject(this.#place)
    if (read === null || read.info.writeId !== info.writeId) {
      if (read !== null) await closeBody(read)
      throw new S3Error('OperationAborted')
    }
    const announced = body.plan.bytes
    const source: BytesToPut = {
      bytes: announced === null ? null : bytes + announced,
      async *pieces() {
        yield* piecesOf(read)
        yield* body.pieces()
      },
    }
    const added = () => checksumMeta(this.#checksumWith(body))
    const put = { path: this.#call.path, head: headOf(info), added, ifWriteId: info.writeId }
    const { etag } = await putPieces(this.#call, put, source).catch(async (error) => {
      throw body.failure ?? (isConflict(error) ? await this.#conflict() : error)
    })
    return this.#appended(etag, body)
  }

  async #addPart(body: S3Body, merged: number): Promise<Appended> {
    const uploads = await Uploads.of(this.#call)
    await uploads.prepare()
    const { parts } = this.#before
    const { random } = this.#call.exchange.proxy
    const uploadId = parts?.uploadId ?? randomId(random)
    const segments = parts?.segments ?? []
    const kept = segments.slice(0, segments.length - merged)
    const tail = segments.slice(segments.length - merged)
    if (kept.length + 2 > PARTS_MAX) throw new S3Error('TooManyParts')
    // Nobody else takes the name, whoever appends at the same moment.
    const nameAt = (index: number) =>
      `${partName(uploadId, index + 1)}-${randomId(random).slice(0, 8)}`
    const made = [nameAt(kept.length), nameAt(kept.length + 1)]
    let etag: string
    try {
      if (parts === undefined) kept.push(await this.#copyToPart(uploads, made[0]!))
      const name = made[1]!
      kept.push(await this.#putPart(uploads, { name, body, tail }))
      const checksum = this.#checksumWith(body)
      etag = await this.#writeManifest(kept, { uploadId, checksum, uploads, made })
    } catch (error) {
      if (await this.#isRefused()) await this.#dropUnused(uploads, made)
      throw body.failure ?? error
    }
    // It is appended: parts that cannot be let go now are left until the object goes.
    const old = tail.map((segment) => splitSegmentPath(segment.name).object)
    await uploads.expire(old).catch(() => {})
    return this.#appended(etag, body)
  }

  /**
   * Whether the object is not made of the new parts, and cannot come to be: where nobody has answered for the write, the record
   * that it was to replace is written again as it is, and that has outdone it.
   */
  async #isRefused(): Promise<boolean> {
    const info = this.#unclear
    if (info === undefined) return true
    const post = { meta: { headers: info.meta.headers }, condition: { ifWriteId: info.writeId } }
    const { backend } = this.#call.exchange.proxy
    const outcome = await backend.postObject(this.#place, post).catch(() => undefined)
    return outcome?.status === 'done'
  }

  /** Deletes parts that the object is not made of; all stay where nobody can say. */
  async #dropUnused(uploads: Uploads, names: readonly string[]): Promise<void> {
    const segments = await segmentsAt(this.#call, this.#place).catch(() => undefined)
    if (segments === undefined) return
    const used = new Set(segments.map(({ name }) => splitSegmentPath(name).object))
    await uploads.dropParts(names.filter((name) => !used.has(name)))
  }

  /** What the object has of its own becomes its first part. */
  async #copyToPart(uploads: Uploads, name: string): Promise<StoredObject> {
    const { backend } = this.#call.exchange.proxy
    const { info } = this.#before
    const read = await backend.readObject(this.#place, { sealed: true })
    if (read === null || read.info.writeId !== info.writeId) {
      if (read !== null) await closeBody(read)
      throw new S3Error('OperationAborted')
    }
    const { etag = '' } = info.meta
    const meta = { etag, contentType: PART_TYPE, headers: keptClass(info) }
    const { status } = await copyRecord(backend, read, { place: uploads.place(name), meta })
    if (status !== 'done') throw new S3Error('OperationAborted')
    const { bytes, stamp } = info
    return partAt(uploads, { name, bytes, etag: meta.etag, ticks: stamp.ticks })
  }

  /** A part of the last ones' bytes and the request's. */
  async #putPart(
    uploads: Uploads,
    part: {
      readonly name: string
      readonly body: S3Body
      readonly tail: readonly StoredObject[]
    },
  ): Promise<StoredObject> {
    const { exchange } = this.#call
    const { backend, clock } = exchange.proxy
    const { name, body, tail } = part
    const old = tail.reduce((sum, segment) => sum + segment.bytes, 0)
    const announced = body.plan.bytes
    const source: BytesToPut = {
      bytes: announced === null ? null : old + announced,
      async *pieces() {
        for (const segment of tail) {
          const place = uploads.place(splitSegmentPath(segment.name).object)
          yield* piecesOf(found(await backend.readObject(place)))
        }
        yield* body.pieces()
      },
    }
    const path = { account: uploads.account, container: uploads.container, object: name }
    const authority: Authority = {
      by: exchange.caller?.user ?? 'anonymous',
      account: path.account,
      container: path.container,
      owner: false,
    }
    const head = { contentType: PART_TYPE, headers: keptClass(this.#before.info) }
    const put = { path, head, added: () => ({}), authority }
    const { etag } = await putPieces(this.#call, put, source)
    const ticks = Math.floor(clock.nowMs() / 1000) * TICKS_PER_SECOND
    return partAt(uploads, { name, bytes: old + body.bytes, etag, ticks })
  }

  /** Says what the object is made of now; again, if only its metadata was changed meanwhile. */
  async #writeManifest(
    segments: readonly StoredObject[],
    of: {
      readonly uploadId: string
      readonly checksum: Checksum | undefined
      readonly uploads: Uploads
      /** Names of parts that nobody knows yet. */
      readonly made: readonly string[]
    },
  ): Promise<string> {
    const etag = multipartEtag(segments.map((segment) => ({ etag: segment.hash })))
    const added = manifestMeta(segments, { ...of, etag })
    const body = encodeManifest(segments)
    const source: BytesToPut = {
      bytes: body.length,
      async *pieces() {
        yield body
      },
    }
    let { info } = this.#before
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const head = headOf(info)
      const { path } = this.#call
      const ifWriteId = info.writeId
      const put = { path, head, added: () => added, ifWriteId, isManifest: true } as const
      try {
        await putPieces(this.#call, put, source)
        return etag
      } catch (error) {
        if (!isConflict(error)) {
          this.#unclear = info
          throw error
        }
        const before = info
        info = await this.#sameBytes()
        if (classOfObject(info) !== classOfObject(before)) await this.#follow(info, of)
      }
    }
    throw new S3Error('OperationAborted')
  }

  /** Takes the new parts to where a rule has moved the old ones: none is due for that any more when the object says so. */
  async #follow(
    info: ItemInfo,
    { uploads, made }: { readonly uploads: Uploads; readonly made: readonly string[] },
  ): Promise<void> {
    const storageClass = classOfObject(info)
    const isKnown = this.#call.settings.storageClasses.some(({ name }) => name === storageClass)
    const moving = { names: made, storageClass }
    if (!isKnown || !(await moveParts(this.#call, uploads, moving)))
      throw new S3Error('OperationAborted')
  }

  /** The record as it is now, if the bytes are those that were looked at. */
  async #sameBytes(): Promise<ItemInfo> {
    const now = await appendableAt(this.#call, this.#place)
    const { bytes, info } = this.#before
    if (now === null || now.bytes !== bytes) throw wrongOffset(now?.bytes ?? 0)
    if (s3Etag(now.info) !== s3Etag(info)) throw new S3Error('OperationAborted')
    return now.info
  }

  async #conflict(): Promise<unknown> {
    await this.#sameBytes()
    return new S3Error('OperationAborted')
  }

  #checksumWith(body: S3Body): Checksum | undefined {
    const [whole, end] = [this.#checksum, body.checksum]
    if (whole === undefined || end === null) return undefined
    const stretches = [
      { crc: Buffer.from(whole.value, 'base64'), bytes: this.#before.bytes },
      { crc: Buffer.from(end.value, 'base64'), bytes: body.bytes },
    ]
    return { ...whole, value: combineCrcs(whole.algorithm, stretches).toString('base64') }
  }

  #appended(etag: string, body: S3Body): Appended {
    const bytes = this.#before.bytes + body.bytes
    return { etag, bytes, checksum: this.#checksumWith(body) }
  }
}

const PART_TYPE = 'application/octet-stream'

function partAt(
  uploads: Uploads,
  part: {
    readonly name: string
    readonly bytes: number
    readonly etag: string
    readonly ticks: number
  },
): StoredObject {
  return {
    name: `/${uploads.container}/${part.name}`,
    bytes: part.bytes,
    hash: part.etag,
    content_type: PART_TYPE,
    last_modified: isoTime(part.ticks),
  }
}

/** Everything that is kept with the object, but what tells of its bytes. */
function headOf(info: ItemInfo) {
  const { [S3_CHECKSUM]: _, [PLACED]: __, ...headers } = unclaimedHeaders(info)
  return { contentType: info.meta.contentType ?? PART_TYPE, headers }
}

function checksumMeta(checksum: Checksum | undefined): Readonly<Record<string, string>> {
  return checksum === undefined ? {} : { [S3_CHECKSUM]: encodeChecksum(checksum) }
}

function found(read: ItemRead | null): ItemRead {
  if (read === null) throw new S3Error('OperationAborted')
  return read
}

function checkLength(call: S3Call, { plan: { bytes } }: S3Body): void {
  if (bytes === null && call.header('transfer-encoding') === undefined)
    throw new S3Error('MissingContentLength')
  if (bytes !== null && bytes > OBJECT_BYTES_MAX) throw new S3Error('EntityTooLarge')
}

function isConflict(error: unknown): boolean {
  return error instanceof ServiceError && error.status === 412
}
