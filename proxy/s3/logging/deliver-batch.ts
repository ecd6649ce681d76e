import { bucketRules } from '../access/bucket-rules.ts'
import { isPublicAcl, privateAcl } from '../access/s3-acl.ts'

import { DEFAULT_CHECKSUM, encodeChecksum } from '../checksum/checksum-algorithm.ts'
import { openHasher } from '../checksum/hasher.ts'
import { sealOfRequest } from '../encryption/encryption-choice.ts'
import { type OwnCalls, ownCall } from '../lifecycle/own-call.ts'
import { storedAcl } from '../object/object-acl.ts'
import { S3_CHECKSUM } from '../object/object-traits.ts'
import { putPieces } from '../object/put-through-swift.ts'
import type { LogBatch } from './log-batches.ts'
import { takesLog } from './log-permission.ts'
import { logObjectKey } from './log-setting.ts'

/** `refused`: the bucket takes no such log any more, or is not there. */
export type LogDelivery = 'delivered' | 'refused'

/** Writes the batch as an object, durable as all are. Rejects where that may go better later. */
export async function deliverBatch(calls: OwnCalls, batch: LogBatch): Promise<LogDelivery> {
  const { proxy, settings } = calls
  const { setting, source, lines } = batch
  const { account, bucket } = setting
  const info = await proxy.backend.readContainer(account, bucket)
  if (info === null || !takesLog(info, setting, source)) return 'refused'
  const key = logObjectKey(setting, {
    source,
    region: settings.region,
    eventMs: batch.beganMs,
    nowMs: proxy.clock.nowMs(),
    unique: Buffer.from(proxy.random.bytes(8)).toString('hex').toUpperCase(),
  })
  const call = ownCall({ ...calls, by: 'access-log' }, { account, bucket, key })
  const body = Buffer.from(`${lines.join('\n')}\n`)
  const added = { ...aclOf(batch, bucketRules(account, info)), ...(await checksumOf(body)) }
  const put = {
    path: { account, container: bucket, object: key },
    head: { contentType: 'text/plain', headers: {} },
    added: () => added,
    seal: await sealOfRequest(call),
  }
  await putPieces(call, put, {
    bytes: body.length,
    async *pieces() {
      yield body
    },
  })
  return 'delivered'
}

/** What was granted when the log was set up, as far as the bucket lets lists grant. */
function aclOf(
  { setting: { account, grants } }: LogBatch,
  { ownership, blocks }: ReturnType<typeof bucketRules>,
): Readonly<Record<string, string>> {
  if (ownership === 'BucketOwnerEnforced' || grants.length === 0) return {}
  const acl = { owner: account, grants: [...privateAcl(account).grants, ...grants] }
  return blocks.BlockPublicAcls && isPublicAcl(acl) ? {} : storedAcl(acl, account)
}

async function checksumOf(body: Buffer): Promise<Readonly<Record<string, string>>> {
  const hasher = await openHasher(DEFAULT_CHECKSUM)
  hasher.update(body)
  const value = hasher.digest().toString('base64')
  return {
    [S3_CHECKSUM]: encodeChecksum({ algorithm: DEFAULT_CHECKSUM, value, type: 'FULL_OBJECT' }),
  }
}
