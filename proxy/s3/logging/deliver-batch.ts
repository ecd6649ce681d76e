import { bucketRules } from '../access/bucket-rules.ts'
import { isPublicAcl, privateAcl } from '../access/s3-acl.ts'
import { type OwnCalls, ownCall } from '../lifecycle/own-call.ts'
import { storedAcl } from '../object/object-acl.ts'
import { putOwnObject } from '../object/put-own-object.ts'
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
  const added = aclOf(batch, bucketRules(account, info))
  await putOwnObject(call, { contentType: 'text/plain', body, added })
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
