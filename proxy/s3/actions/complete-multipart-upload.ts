import type { IncomingHttpHeaders } from 'node:http'
import type { ItemInfo } from '../../../common/storage-node.ts'
import type { Reply } from '../../reply.ts'
import { findObject, NULL_VERSION } from '../../swift/found-object.ts'
import { encodeManifest } from '../../swift/large/slo-manifest.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import type { Replica } from '../../swift/versions/version-rules.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { algorithmOfHeader, type Checksum, checksumHeader } from '../checksum/checksum-algorithm.ts'
import { encryptionHeaders, sealOfPart } from '../encryption/encryption-choice.ts'
import { expirationHeader } from '../lifecycle/lifecycle-headers.ts'
import {
  chooseParts,
  manifestOfParts,
  multipartChecksum,
  multipartEtag,
  readPartList,
  type StoredPart,
  storedPart,
} from '../multipart/completion.ts'
import { manifestMeta } from '../multipart/manifest-meta.ts'
import { COMPLETION_MS_MAX } from '../multipart/upload-record.ts'
import { type FoundUpload, Uploads } from '../multipart/uploads.ts'
import { checksumOfObject, s3Etag } from '../object/object-traits.ts'
import { type PutOutcome, putPieces } from '../object/put-through-swift.ts'
import { versionHeaders, versionOfFound } from '../object/version-id.ts'
import { writeCondition } from '../object/write-condition.ts'
import { replicaOfRequest } from '../replication/replica-request.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { checksumElement, xmlReply } from '../s3-reply.ts'
import { decodeTags, S3_TAGGING } from '../tagging/tag-set.ts'
import { parseXml } from '../xml/xml-in.ts'

/** 10,000 parts with the longest checksums. */
const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
/** Bytes of a whole object. */
const OBJECT_BYTES_MAX = 5 * 1024 ** 4

export async function completeMultipartUpload(call: S3Call): Promise<Reply> {
  const replica = await replicaOfRequest(call, 's3:ReplicateObject')
  const place = await enterObject(call, { action: 's3:PutObject', acl: 'write', method: 'POST' })
  call.exchange.changeKind = 'ObjectCreated:CompleteMultipartUpload'
  const uploadId = call.query.get('uploadId')!
  const document = await receiveDocument(call, DOCUMENT_BYTES_MAX, { ofObject: true })
  const named = readPartList(parseXml(document, 'CompleteMultipartUpload'))
  const uploads = await Uploads.of(call)
  const found = await uploads.look(call.key, uploadId)
  if (found === null) return completedBefore(call, place, uploadId)
  const seal = sealOfPart(call, found.record.head)
  const stored = (await uploads.parts(uploadId)).map(storedPart)
  const parts = chooseParts(named, stored, { bytesMin: call.settings.partBytesMin, uploadId })
  const checksum = await multipartChecksum(parts, found.record.checksum)
  checkWhole(call, parts, checksum)
  const condition = await writeCondition(call, place)
  const taken = await uploads.take(call.key, found)
  let made: PutOutcome
  try {
    made = await writeManifest(call, {
      place,
      uploads,
      taken,
      parts,
      checksum,
      condition,
      replica,
    })
  } catch (error) {
    await uploads.giveBack(call.key, taken)
    throw error
  }
  await uploads.end(call.key, taken, { taken: true })
  const used = new Set(parts.map(({ name }) => name))
  await uploads.dropParts(stored.map(({ name }) => name).filter((name) => !used.has(name)))
  const expiration = await expirationHeader(call, () => ({
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    tags: decodeTags(taken.record.head.headers[S3_TAGGING]),
    writtenMs: call.exchange.proxy.clock.nowMs(),
  }))
  const headers = [...encryptionHeaders(call, seal?.record), ...made.versionHeaders, ...expiration]
  return resultReply(call, { etag: multipartEtag(parts), checksum, headers })
}

/** A client that has lost the answer asks again: the upload is what the object is made of. */
async function completedBefore(call: S3Call, place: ObjectPlace, uploadId: string): Promise<Reply> {
  const found = await findObject(call.exchange, place, { head: true })
  const info: ItemInfo | undefined = found?.read.info
  if (found === null || info === undefined || uploadOf(info) !== uploadId) {
    throw new S3Error('NoSuchUpload', undefined, { UploadId: uploadId })
  }
  // A null version is not named by an answer to a write.
  const isNull = versionOfFound(found) === NULL_VERSION
  const headers = isNull ? [] : versionHeaders(place, found)
  return resultReply(call, { etag: s3Etag(info), checksum: checksumOfObject(info), headers })
}

/** What the client says of the whole must be true of it. */
function checkWhole(
  call: S3Call,
  parts: readonly StoredPart[],
  checksum: Checksum | undefined,
): void {
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  if (bytes > OBJECT_BYTES_MAX) throw new S3Error('EntityTooLarge')
  const size = call.header('x-amz-mp-object-size')
  if (size !== undefined && size !== String(bytes)) {
    throw new S3Error(
      'InvalidRequest',
      `The provided 'x-amz-mp-object-size' header value ${size} does not match what was computed: ${bytes}`,
    )
  }
  const type = call.header('x-amz-checksum-type')?.toUpperCase()
  if (type !== undefined && checksum !== undefined && type !== checksum.type) {
    throw new S3Error(
      'InvalidRequest',
      `The upload was created using the ${checksum.type} checksum mode. The complete request must use the same checksum mode.`,
    )
  }
  for (const name of call.headerNames) {
    const algorithm = algorithmOfHeader(name)
    if (algorithm === undefined) continue
    const value = call.header(checksumHeader(algorithm))!
    const isSame =
      checksum?.algorithm === algorithm &&
      (checksum.value === value || checksum.value.replace(/-\d+$/, '') === value)
    if (!isSame) {
      throw new S3Error(
        'BadDigest',
        `The ${algorithm.toLowerCase()} you specified did not match the calculated checksum.`,
      )
    }
  }
}

async function writeManifest(
  call: S3Call,
  of: {
    readonly place: ObjectPlace
    readonly uploads: Uploads
    readonly taken: FoundUpload
    readonly parts: readonly StoredPart[]
    readonly checksum: Checksum | undefined
    readonly condition: IncomingHttpHeaders
    readonly replica: Replica | undefined
  },
): Promise<PutOutcome> {
  const { taken, parts, checksum } = of
  const { uploadId, record } = taken
  const segments = manifestOfParts(of.uploads.container, parts)
  const body = encodeManifest(segments)
  const meta = manifestMeta(segments, { etag: multipartEtag(parts), uploadId, checksum })
  const source = {
    bytes: body.length,
    async *pieces() {
      yield body
    },
  }
  checkStillOurs(call, taken)
  const { condition, replica } = of
  const [path, added] = [call.path, () => meta]
  const put = { path, head: record.head, added, condition, replica, isManifest: true } as const
  return putPieces(call, put, source)
}

/** Who takes longer than others wait has lost the upload to them. */
function checkStillOurs(call: S3Call, { record }: FoundUpload): void {
  const sinceMs = call.exchange.proxy.clock.nowMs() - record.completingSinceMs
  if (sinceMs > COMPLETION_MS_MAX / 2) throw new S3Error('ServiceUnavailable')
}

function resultReply(
  call: S3Call,
  result: {
    readonly etag: string
    readonly checksum: Checksum | undefined
    readonly headers: readonly string[]
  },
): Reply {
  const { bucket, key } = call
  const { etag, checksum, headers } = result
  const host = call.header('host') ?? ''
  const where = call.target.isVirtualHost ? `${host}/${key}` : `${host}/${bucket}/${key}`
  return xmlReply(
    'CompleteMultipartUploadResult',
    {
      Location: `http://${where}`,
      Bucket: bucket,
      Key: key,
      ETag: `"${etag}"`,
      ...checksumElement(checksum),
    },
    headers,
  )
}
