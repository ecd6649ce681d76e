/** POST ?delete: up to 1,000 objects at once, each of which succeeds or fails by itself. */
import { forEachParallel } from '../../../common/bounded-parallel.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { Reply } from '../../reply.ts'
import { refuseHopeless } from '../access/s3-access.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { checkKey, enterPlace, findOwnBucket } from '../bucket/find-bucket.ts'
import { type DeletedKey, deleteKey } from '../object/delete-key.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { checkVersion } from '../object/version-id.ts'
import { matchCondition } from '../object/write-condition.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3_ERRORS, type S3Code, S3Error } from '../s3-error.ts'
import { asS3Error } from '../s3-error-reply.ts'
import { xmlReply } from '../s3-reply.ts'
import { malformedXml, parseXml, type XmlNode } from '../xml/xml-in.ts'
import type { XmlElement } from '../xml/xml-out.ts'

const KEYS_MAX = 1000
/** A thousand of the longest keys, each character escaped. */
const DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
/** Deletions that wait for a commit together share it. */
const PARALLEL_MAX = 32
const DELETE_USE = { action: 's3:DeleteObject', acl: 'write', method: 'DELETE' } as const

interface Wanted {
  readonly key: string
  readonly versionId: string | undefined
  readonly etag: string | undefined
}

export async function deleteObjects(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  const { account, info, path: bucketPath } = await findOwnBucket(call, undefined)
  // Strangers do not make the store read what they will be denied key by key.
  const entrance = { use: DELETE_USE, path: bucketPath, bucket: info }
  await refuseHopeless(call, entrance, ['s3:DeleteObject', 's3:DeleteObjectVersion'])
  const root = parseXml(await receiveKeys(call), 'Delete')
  const wanted = root.children('Object').map(readWanted)
  if (wanted.length === 0 || wanted.length > KEYS_MAX) throw malformedXml()
  const isQuiet = root.textOf('Quiet')?.trim().toLowerCase() === 'true'
  const failures = new Map<Wanted, XmlElement>()
  const deletions = new Map<Wanted, DeletedKey>()
  await forEachParallel(wanted, PARALLEL_MAX, async (one) => {
    const path = { account, container: call.bucket, object: one.key }
    try {
      checkKey(one.key)
      const { versionId: version, etag } = one
      const place = await enterPlace(call, { use: DELETE_USE, path, bucket: info }, version)
      if (version !== undefined) checkVersion(version, place)
      const match = etag === undefined ? undefined : [etag]
      const condition = await matchCondition(call, place, { match, version })
      deletions.set(one, await deleteKey(call, place, { version, condition }))
    } catch (error) {
      failures.set(one, errorOf(call, one, error))
    }
  })
  call.notes.batch = wanted.map((one) => {
    const { key, versionId } = one
    const errorCode = failures.get(one)?.Code as S3Code | undefined
    const status = errorCode === undefined ? 204 : S3_ERRORS[errorCode][0]
    return { key, versionId, status, errorCode }
  })
  return xmlReply('DeleteResult', {
    Deleted: isQuiet ? [] : [...deletions].map(([one, deleted]) => deletedElement(one, deleted)),
    Error: [...failures.values()],
  })
}

/** What is longer than all that the schema lets a document say is none. */
async function receiveKeys(call: S3Call): Promise<Buffer> {
  try {
    return await receiveDocument(call, DOCUMENT_BYTES_MAX)
  } catch (error) {
    throw error instanceof S3Error && error.code === 'MaxMessageLengthExceeded'
      ? malformedXml()
      : error
  }
}

function deletedElement({ key, versionId }: Wanted, deleted: DeletedKey): XmlElement {
  const { isMarker, versionId: markerId } = deleted
  return {
    Key: key,
    ...(versionId !== undefined && { VersionId: versionId }),
    ...(isMarker && { DeleteMarker: true, DeleteMarkerVersionId: markerId }),
  }
}

function readWanted(node: XmlNode): Wanted {
  const key = node.textOf('Key')
  if (key === undefined) throw malformedXml()
  if (key === '') throw new S3Error('UserKeyMustBeSpecified')
  if (key.includes('\0')) throw new S3Error('InvalidArgument')
  if (node.child('LastModifiedTime') !== undefined || node.child('Size') !== undefined) {
    throw notImplemented('A condition on time or size')
  }
  return {
    key,
    versionId: node.textOf('VersionId')?.trim(),
    etag: node
      .textOf('ETag')
      ?.trim()
      .replace(/^"(.*)"$/, '$1'),
  }
}

function errorOf(call: S3Call, { key, versionId }: Wanted, error: unknown): XmlElement {
  if (!(error instanceof ServiceError)) {
    call.exchange.proxy.log.error('delete failed', { transId: call.exchange.transId, error })
  }
  const { code, message } = asS3Error(call.exchange, error)
  return {
    Key: key,
    ...(versionId !== undefined && { VersionId: versionId }),
    Code: code,
    Message: message,
  }
}
