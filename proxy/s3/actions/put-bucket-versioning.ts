import type { Reply } from '../../reply.ts'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import { OBJECT_LOCK } from '../../swift/versions/object-lock.ts'
import { S3_VERSION_RULES } from '../../swift/versions/version-rules.ts'
import { versionsOf } from '../../swift/versions/version-settings.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { failureOf } from '../object/put-through-swift.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { malformedXml, parseXml, type XmlNode } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024

/** PUT ?versioning: the same setting that Swift's clients have as X-Versions-Enabled. */
export async function putBucketVersioning(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  const { account, info } = await enterBucket(call, {
    action: 's3:PutBucketVersioning',
    acl: 'none',
    method: 'PUT',
  })
  const document = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const status = readStatus(parseXml(document, 'VersioningConfiguration'))
  if (versionsOf(info.meta.headers)?.kind === 'legacy') {
    throw new S3Error(
      'InvalidBucketState',
      'The container keeps versions in another container (X-Versions-Location or X-History-Location).',
    )
  }
  if (status === 'Suspended' && info.meta.headers[OBJECT_LOCK] !== undefined) {
    throw new S3Error(
      'InvalidBucketState',
      'An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.',
    )
  }
  if (status === 'Suspended' && bucketSetting(info, 'replication') !== undefined) {
    throw new S3Error(
      'InvalidBucketState',
      'A replication configuration is present on this bucket, so the versioning state cannot be changed.',
    )
  }
  const inner = innerExchange(call.exchange, {
    method: 'POST',
    path: { account, container: call.bucket, object: undefined },
    headers: { 'x-versions-enabled': status === 'Enabled' ? 'true' : 'false' },
  })
  inner.versionRules = S3_VERSION_RULES
  const reply = await call.exchange.proxy.answerInner(inner)
  await dropReply(reply)
  if (reply.status >= 300) throw failureOf(reply)
  return emptyReply(200)
}

function readStatus(root: XmlNode): 'Enabled' | 'Suspended' {
  if (root.names.some((name) => name !== 'Status' && name !== 'MfaDelete')) throw malformedXml()
  const mfa = root.textOf('MfaDelete')?.trim()
  if (mfa === 'Enabled') throw notImplemented('MfaDelete')
  if (mfa !== undefined && mfa !== 'Disabled') throw malformedXml()
  const status = root.textOf('Status')?.trim()
  if (status === undefined) throw new S3Error('IllegalVersioningConfigurationException')
  if (status === 'Enabled' || status === 'Suspended') return status
  throw malformedXml()
}
