/** The replication of a bucket: PUT, GET and DELETE ?replication. */
import { randomId } from '../../../common/random.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import { CACHED_MS_MAX } from '../../backend/container-cache.ts'
import type { Reply } from '../../reply.ts'
import { versionsOf } from '../../swift/versions/version-settings.ts'
import { mayPassRole } from '../access/s3-access.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { readReplication } from '../replication/read-replication.ts'
import { ReplicationMarks } from '../replication/replication-marks.ts'
import {
  encodeReplication,
  replicationElement,
  replicationOf,
} from '../replication/replication-rule.ts'
import { replicationPlace } from '../replication/replication-target.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

/** Each request has the bucket's settings in memory. */
const DOCUMENT_BYTES_MAX = 512 * 1024

/**
 * For people of the bucket's account only, whatever policies say, and of IAM's users for those who may pass the role: what is
 * replicated is read by the owner's rights, and others would send it where they can read it.
 */
export async function putBucketReplication(call: S3Call): Promise<Reply> {
  const { account, info } = await enterBucket(call, {
    action: 's3:PutReplicationConfiguration',
    acl: 'none',
    method: 'PUT',
  })
  if (call.ownAccount !== account) throw new S3Error('AccessDenied')
  const { backend, clock, random, policies, settings } = call.exchange.proxy
  const document = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const root = parseXml(document, 'ReplicationConfiguration')
  const read = readReplication(root, () => randomId(random))
  if (!mayPassRole(call, read.role, account)) throw new S3Error('AccessDenied')
  const versions = versionsOf(info.meta.headers)
  if (versions?.kind !== 'objects' || !versions.enabled) {
    throw new S3Error(
      'InvalidRequest',
      "Versioning must be 'Enabled' on the bucket to apply a replication configuration",
    )
  }
  if (replicationPlace(read.destination, account, call.settings.replicationTargets) === null) {
    throw new S3Error('InvalidRequest', 'Destination bucket must exist.')
  }
  const known = replicationOf(info)
  const isSame = known?.destination === read.destination
  // What other proxies take before they have heard of it is existing, too.
  const heardMs = clock.nowMs() + (settings.versionsSettle ? CACHED_MS_MAX : 0)
  const heardTicks = Math.ceil((heardMs / 1000) * TICKS_PER_SECOND)
  const replication = { ...read, sinceTicks: isSame ? known.sinceTicks : heardTicks }
  const isScanned = read.rules.some(({ isEnabled, existing }) => isEnabled && existing)
  await setBucketSetting(call, 'replication', encodeReplication(replication))
  const marks = new ReplicationMarks({ backend, clock, random, policy: policies.default.index })
  // A client that hears of no success sets it again.
  if (isScanned) await marks.requestScan({ account, bucket: call.bucket })
  return emptyReply(200)
}

export async function getBucketReplication(call: S3Call): Promise<Reply> {
  const { info } = await enterBucket(call, {
    action: 's3:GetReplicationConfiguration',
    acl: 'none',
    method: 'GET',
  })
  const replication = replicationOf(info)
  if (replication === null) {
    const details = { BucketName: call.bucket }
    throw new S3Error('ReplicationConfigurationNotFoundError', undefined, details)
  }
  return xmlReply('ReplicationConfiguration', replicationElement(replication))
}

/** What is marked is forgotten by who looks for the rules next. */
export async function deleteBucketReplication(call: S3Call): Promise<Reply> {
  await enterBucket(call, {
    action: 's3:PutReplicationConfiguration',
    acl: 'none',
    method: 'DELETE',
  })
  await setBucketSetting(call, 'replication', '')
  return emptyReply(204)
}
