import type { IncomingHttpHeaders } from 'node:http'
import type { Reply } from '../../reply.ts'
import type { AccessUse } from '../access/s3-access.ts'
import { S3Body } from '../body/s3-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { DEFAULT_CHECKSUM, encodeChecksum } from '../checksum/checksum-algorithm.ts'
import { encryptionHeaders, sealOfRequest } from '../encryption/encryption-choice.ts'
import { expirationHeader } from '../lifecycle/lifecycle-headers.ts'
import { withLock } from '../lock/lock-headers.ts'
import { aclOfRequest } from '../object/object-acl.ts'
import { headOfRequest, refuseNotBuilt, taggingOfRequest } from '../object/object-headers.ts'
import { S3_CHECKSUM } from '../object/object-traits.ts'
import { putBody } from '../object/put-through-swift.ts'
import { swiftWordsOf } from '../object/swift-headers.ts'
import { writeCondition } from '../object/write-condition.ts'
import { answerIsHere, IS_HERE, replicaOfRequest } from '../replication/replica-request.ts'
import type { S3Call } from '../s3-call.ts'
import { checksumHeaders, emptyReply } from '../s3-reply.ts'
import { decodeTags, S3_TAGGING } from '../tagging/tag-set.ts'

export function putObject(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  if (call.header(IS_HERE) !== undefined) return answerIsHere(call)
  return storeRequest(call)
}

/** The same where nothing may be there yet. */
export function putNewObject(call: S3Call): Promise<Reply> {
  return storeRequest(call, { 'if-none-match': '*' })
}

const PUT: AccessUse = { action: 's3:PutObject', acl: 'write', method: 'PUT' }
const DELETE: AccessUse = { action: 's3:DeleteObject', acl: 'write', method: 'DELETE' }

async function storeRequest(call: S3Call, more: IncomingHttpHeaders = {}): Promise<Reply> {
  const requested = headOfRequest(call)
  const tagging = taggingOfRequest(call)
  const words = swiftWordsOf(call)
  const replicated = replicaOfRequest(call, 's3:ReplicateObject')
  const replica = replicated instanceof Promise ? await replicated : replicated
  const entering = enterObject(call, PUT)
  const place = entering instanceof Promise ? await entering : entering
  // A name that is given away at a time is deleted then.
  if (words.deleteAt !== undefined) await enterObject(call, DELETE)
  const head = withLock(call, place, requested)
  const listed = aclOfRequest(call)
  const acl: Readonly<Record<string, string>> = listed instanceof Promise ? await listed : listed
  const judging = writeCondition(call, place)
  const condition = { ...(judging instanceof Promise ? await judging : judging), ...more }
  const sealing = sealOfRequest(call)
  const seal = sealing instanceof Promise ? await sealing : sealing
  const opening = S3Body.open(call, { algorithm: DEFAULT_CHECKSUM, md5: false })
  const body = opening instanceof Promise ? await opening : opening
  const added = () => ({ [S3_CHECKSUM]: encodeChecksum(body.checksum!), ...tagging, ...acl })
  const put = { path: call.path, head, added, condition, seal, replica, words: words.headers }
  const stored = await putBody(call, put, body)
  const facts = () => ({
    bytes: body.plan.bytes ?? call.exchange.bytesIn,
    tags: decodeTags(tagging[S3_TAGGING]),
    writtenMs: call.exchange.proxy.clock.nowMs(),
  })
  const expiring = expirationHeader(call, facts, words.deleteAt)
  const expires: readonly string[] = expiring instanceof Promise ? await expiring : expiring
  return emptyReply(200, [
    'ETag',
    `"${stored.etag}"`,
    ...checksumHeaders(body.checksum),
    ...encryptionHeaders(call, seal?.record),
    ...expires,
    ...stored.versionHeaders,
  ])
}
