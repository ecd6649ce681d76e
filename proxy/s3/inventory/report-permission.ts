/** What a bucket's policy says of reports that go into it. Pure. */
import type { Judgement } from '../../../common/access-policy/judge-policy.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketRules } from '../access/bucket-rules.ts'
import { judgeService } from '../access/service-permission.ts'
import { type InventoryRule, reportFolder } from './inventory-rule.ts'

const SERVICE = 's3.amazonaws.com'

/** `info` is the bucket that the reports go to; null: its policy says nothing of them. */
export function judgeReport(
  info: Pick<ItemInfo, 'meta'>,
  { id, target }: Pick<InventoryRule, 'id' | 'target'>,
  source: { readonly account: string; readonly bucket: string },
): Judgement {
  return judgeService(bucketRules(target.account, info).policy, {
    service: SERVICE,
    resource: `arn:aws:s3:::${target.bucket}/${reportFolder({ id, target }, source.bucket)}`,
    source,
    keys: { 's3:x-amz-acl': 'bucket-owner-full-control' },
  })
}
