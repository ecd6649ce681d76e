/**
 * Whether a bucket takes another one's access log: its policy says so to the service that delivers logs, or (in one account)
 * its list does. Source: docs.aws.amazon.com/AmazonS3/latest/userguide, "Enabling Amazon S3 server access logging". Pure.
 */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketRules } from '../access/bucket-rules.ts'
import { judgeService } from '../access/service-permission.ts'
import type { LogSetting, LogSource } from './log-setting.ts'

const SERVICE = 'logging.s3.amazonaws.com'

/** `info` is the bucket that the log goes to. */
export function takesLog(
  info: Pick<ItemInfo, 'meta'>,
  { account, bucket, prefix }: Pick<LogSetting, 'account' | 'bucket' | 'prefix'>,
  source: LogSource,
): boolean {
  const { policy, acl, ownership } = bucketRules(account, info)
  const judged = judgeService(policy, {
    service: SERVICE,
    resource: `arn:aws:s3:::${bucket}/${prefix}`,
    source,
  })
  if (judged !== null) return judged === 'allow'
  if (source.account !== account || ownership === 'BucketOwnerEnforced') return false
  return (['WRITE', 'READ_ACP'] as const).every((needed) =>
    acl.grants.some(
      ({ grantee, permission }) =>
        'group' in grantee &&
        grantee.group === 'log-delivery' &&
        (permission === needed || permission === 'FULL_CONTROL'),
    ),
  )
}
