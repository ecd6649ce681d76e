/** What S3 keeps of a bucket, in its container's metadata: where nobody but the store itself writes. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { CACHED_MS_MAX } from '../../backend/container-cache.ts'
import { S3_BUCKET_TAGGING, S3_POLICY, S3_PUBLIC_ACCESS_BLOCK } from '../../swift/foreign-meta.ts'
import type { S3Call } from '../s3-call.ts'
import { noSuchBucket } from '../s3-error.ts'

export const BUCKET_SETTINGS = {
  acl: 'x-container-sysmeta-s3-acl',
  cors: 'x-container-sysmeta-s3-cors',
  encryption: 'x-container-sysmeta-s3-encryption',
  lifecycle: 'x-container-sysmeta-s3-lifecycle',
  logging: 'x-container-sysmeta-s3-logging',
  notification: 'x-container-sysmeta-s3-notification',
  ownership: 'x-container-sysmeta-s3-ownership',
  policy: S3_POLICY,
  policyBindsOwner: 'x-container-sysmeta-s3-policy-binds-owner',
  publicAccessBlock: S3_PUBLIC_ACCESS_BLOCK,
  replication: 'x-container-sysmeta-s3-replication',
  requestPayment: 'x-container-sysmeta-s3-request-payment',
  tagging: S3_BUCKET_TAGGING,
  website: 'x-container-sysmeta-s3-website',
} as const
export type BucketSetting = keyof typeof BUCKET_SETTINGS

/** What says who may do what, and what must be marked before it is written. */
const BINDING: readonly BucketSetting[] = [
  'acl',
  'ownership',
  'policy',
  'publicAccessBlock',
  'replication',
]

/** As it was stored; undefined if it is not set. */
export function bucketSetting(
  { meta }: Pick<ItemInfo, 'meta'>,
  setting: BucketSetting,
): string | undefined {
  return meta.headers[BUCKET_SETTINGS[setting]] || undefined
}

/** Sets it on the bucket that the request has entered; empty takes it away. */
export function setBucketSetting(
  call: S3Call,
  setting: BucketSetting,
  value: string,
): Promise<void> {
  return setBucketSettings(call, { [setting]: value })
}

/** Sets them at once. */
export async function setBucketSettings(
  call: S3Call,
  changes: Readonly<Partial<Record<BucketSetting, string>>>,
): Promise<void> {
  const { account } = call.path
  const names = Object.keys(changes) as BucketSetting[]
  const headers = Object.fromEntries(
    names.map((name) => [BUCKET_SETTINGS[name], changes[name] ?? '']),
  )
  const outcome = await call.exchange.proxy.backend.postContainer(account, call.bucket, { headers })
  if (outcome.status !== 'done') throw noSuchBucket(call.bucket)
  const { clock, settings } = call.exchange.proxy
  // What was taken away is taken away everywhere once that is answered.
  if (!names.some((name) => BINDING.includes(name)) || !settings.versionsSettle) return
  await new Promise<void>((resolve) => clock.after(CACHED_MS_MAX, resolve))
}
