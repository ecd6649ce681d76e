/**
 * PutObject with x-amz-write-offset-bytes: the bytes come behind those that are there.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/directory-buckets-objects-append.html
 */
import { evaluateCondition } from '../../../common/condition.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { sseOf } from '../../encryption/sse-record.ts'
import type { Reply } from '../../reply.ts'
import { conditionOf } from '../../swift/condition-headers.ts'
import { Append } from '../append/append.ts'
import { type Appendable, appendableAt, wrongOffset } from '../append/appendable.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { sealOfRequest } from '../encryption/encryption-choice.ts'
import { refuseNotBuilt, WRITE_OFFSET } from '../object/object-headers.ts'
import { s3Etag } from '../object/object-traits.ts'
import { preconditionFailed } from '../object/write-condition.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { checksumHeaders, emptyReply } from '../s3-reply.ts'
import { putNewObject } from './put-object.ts'

/** What an append does not change: an object has it from its beginning, or by a request of its own. */
const NOT_OF_APPENDS =
  /^x-amz-(?:acl|grant-.*|meta-.*|object-lock-.*|tagging|website-redirect-location)$/

export async function appendObject(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call, { except: WRITE_OFFSET })
  const offset = writeOffset(call)
  const place = await enterObject(call, { action: 's3:PutObject', acl: 'write', method: 'PUT' })
  if (place.versions !== undefined) {
    throw new S3Error('InvalidBucketState', 'Objects that have versions cannot be appended to.')
  }
  const before = await appendableAt(call, place)
  if (before === null) return createObject(call, offset)
  checkConditions(call, before.info)
  if (offset !== before.bytes) throw wrongOffset(before.bytes)
  await checkKind(call, before)
  const { etag, bytes, checksum } = await new Append(call, place, before).run()
  return emptyReply(200, [
    'ETag',
    `"${etag}"`,
    'x-amz-object-size',
    String(bytes),
    ...checksumHeaders(checksum),
  ])
}

/** Nothing is there: the object begins here, with everything that the request says of it. */
async function createObject(call: S3Call, offset: number): Promise<Reply> {
  if (offset > 0) throw wrongOffset(0)
  const isWanted = call.header('if-none-match') !== undefined
  try {
    return await putNewObject(call)
  } catch (error) {
    const isThere = error instanceof ServiceError && error.status === 412 && !isWanted
    throw isThere ? wrongOffset(null) : error
  }
}

function writeOffset(call: S3Call): number {
  const text = call.header(WRITE_OFFSET)!
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new S3Error('InvalidArgument', 'The write offset is no number of bytes.', {
    ArgumentName: WRITE_OFFSET,
    ArgumentValue: text,
  })
}

function checkConditions(call: S3Call, info: ItemInfo): void {
  const condition = conditionOf(call.exchange)
  if (condition === undefined) return
  const outcome = evaluateCondition(condition, { etag: s3Etag(info), ticks: info.stamp.ticks })
  if (outcome !== 'holds') throw preconditionFailed('If-*')
}

/** Only bytes are appended, and only to what is not enciphered. */
async function checkKind(call: S3Call, { info }: Appendable): Promise<void> {
  const header = call.headerNames.find((name) => NOT_OF_APPENDS.test(name))
  if (header !== undefined) {
    throw new S3Error('InvalidRequest', `An append to an object that is there takes no ${header}.`)
  }
  if (sseOf(info.meta) !== undefined || (await sealOfRequest(call)) !== null)
    throw notImplemented('Appends to objects with server-side encryption')
}
