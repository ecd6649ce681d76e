/** GET and PUT ?logging. */
import type { Reply } from '../../reply.ts'
import { objectLockOf } from '../../swift/versions/object-lock.ts'
import { bucketRules } from '../access/bucket-rules.ts'
import type { AclGrant } from '../access/s3-acl.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { bucketSetting, setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket, type FoundBucket, findBucket } from '../bucket/find-bucket.ts'
import { takesLog } from '../logging/log-permission.ts'
import {
  decodeLogSetting,
  encodeLogSetting,
  type LogSetting,
  type LogSource,
  logSettingElement,
} from '../logging/log-setting.ts'
import { readLogSetting } from '../logging/read-log-setting.ts'
import { refusePublic } from '../object/object-acl.ts'
import { payerOf } from '../payment/request-payment.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024

export async function getBucketLogging(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketLogging', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  const text = bucketSetting(info, 'logging')
  const element = text === undefined ? {} : logSettingElement(decodeLogSetting(text))
  return xmlReply('BucketLoggingStatus', element)
}

/** For people of the bucket's account only, whatever policies say: others would send its log where they can read it. */
export async function putBucketLogging(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketLogging', acl: 'none', method: 'PUT' } as const
  const { account } = await enterBucket(call, use)
  if (call.ownAccount !== account) throw new S3Error('AccessDenied')
  const body = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const asked = await readLogSetting(call, parseXml(body, 'BucketLoggingStatus'))
  const source = { account, bucket: call.bucket }
  const setting = asked === null ? '' : encodeLogSetting(await settingFor(call, asked, source))
  await setBucketSetting(call, 'logging', setting)
  return emptyReply(200)
}

async function settingFor(
  call: S3Call,
  asked: Omit<LogSetting, 'account'>,
  source: LogSource,
): Promise<LogSetting> {
  const target = await freshTarget(call, asked.bucket)
  const { account, info } = target
  const setting = { ...asked, account }
  if (!takesLog(info, setting, source)) throw new S3Error('AccessDenied')
  if (asked.bucket === source.bucket && account === source.account) {
    throw invalid('A bucket cannot take its own log.')
  }
  refuseTarget(target)
  // The owner has all rights without them.
  const grants = asked.grants.filter(
    ({ grantee }) => !('account' in grantee && grantee.account === account),
  )
  checkGrants(grants, target, source)
  return { ...setting, grants }
}

/** The target as it is now: what lets the log in may have been set by another proxy a moment ago. */
async function freshTarget(call: S3Call, bucket: string): Promise<FoundBucket> {
  const { account } = await knownTarget(call, bucket)
  const info = await call.exchange.proxy.backend.readContainer(account, bucket)
  if (info === null) throw noTarget(bucket)
  return { account, info }
}

async function knownTarget(call: S3Call, bucket: string): Promise<FoundBucket> {
  try {
    return await findBucket(call, bucket)
  } catch (error) {
    throw error instanceof S3Error ? noTarget(bucket) : error
  }
}

function noTarget(bucket: string): S3Error {
  const details = { TargetBucket: bucket }
  return new S3Error('NoSuchKey', 'The target bucket for logging does not exist.', details)
}

/** What no log can go to. */
function refuseTarget({ info }: FoundBucket): void {
  if (bucketSetting(info, 'logging') !== undefined)
    throw invalid('The target bucket for logging has a log of its own.')
  if (bucketSetting(info, 'encryption') !== undefined)
    throw invalid('The target bucket for logging is encrypted by default.')
  if (payerOf(info) === 'Requester')
    throw invalid('The target bucket for logging lets requesters pay.')
  if (objectLockOf(info.meta.headers)?.default !== undefined)
    throw invalid('The target bucket for logging has a default retention.')
}

/** Lists of another account's objects are not for the log's source to write. */
function checkGrants(
  grants: readonly AclGrant[],
  { account, info }: FoundBucket,
  source: LogSource,
): void {
  if (grants.length === 0) return
  const { ownership, blocks } = bucketRules(account, info)
  if (ownership === 'BucketOwnerEnforced' || account !== source.account) {
    throw invalid('The target bucket for logging does not take TargetGrants.')
  }
  refusePublic({ owner: account, grants }, blocks)
}

function invalid(message: string): S3Error {
  return new S3Error('InvalidArgument', message)
}
