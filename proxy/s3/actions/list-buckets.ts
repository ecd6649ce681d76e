import type { Reply } from '../../reply.ts'
import { mayInAccount } from '../access/s3-access.ts'
import { isReachable } from '../bucket/bucket-name.ts'
import { isDirectoryName } from '../bucket/directory-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ownerElement, xmlReply } from '../s3-reply.ts'
import { s3Time } from '../s3-time.ts'
import { EXPRESS } from '../signature/signature-claim.ts'

const BUCKETS_MAX = 10_000

type ListedBucket = {
  readonly Name: string
  readonly CreationDate: string
}

/** The containers of the caller's account that S3 can name. */
export async function listBuckets(call: S3Call): Promise<Reply> {
  if (call.signature?.service === EXPRESS) return listDirectoryBuckets(call)
  const account = call.ownAccount
  if (!mayInAccount(call, 's3:ListAllMyBuckets', account)) throw new S3Error('AccessDenied')
  const limit = call.query.count('max-buckets', { max: BUCKETS_MAX, otherwise: BUCKETS_MAX })
  const prefix = call.query.get('prefix')
  const { shown, isTruncated } = await bucketsOf(call, {
    account,
    limit,
    prefix,
    isShown: isReachable,
  })
  return xmlReply('ListAllMyBucketsResult', {
    Owner: ownerElement(account),
    Buckets: shown.length === 0 ? '' : { Bucket: shown },
    ...(prefix !== undefined && { Prefix: prefix }),
    ...(isTruncated && { ContinuationToken: shown.at(-1)!.Name }),
  })
}

/** ListDirectoryBuckets: the same path, asked with another service's signature. */
async function listDirectoryBuckets(call: S3Call): Promise<Reply> {
  const account = call.ownAccount
  if (!mayInAccount(call, 's3express:ListAllMyDirectoryBuckets', account))
    throw new S3Error('AccessDenied')
  const limit = call.query.count('max-directory-buckets', { max: 1000, otherwise: 1000 })
  const { shown, isTruncated } = await bucketsOf(call, { account, limit, isShown: isDirectoryName })
  return xmlReply('ListAllMyDirectoryBucketsResult', {
    Buckets: shown.length === 0 ? '' : { Bucket: shown },
    ...(isTruncated && { ContinuationToken: shown.at(-1)!.Name }),
  })
}

/** A page of the account's buckets, behind the request's token. */
async function bucketsOf(
  call: S3Call,
  wanted: {
    readonly account: string
    readonly limit: number
    readonly prefix?: string | undefined
    readonly isShown: (name: string) => boolean
  },
): Promise<{ readonly shown: readonly ListedBucket[]; readonly isTruncated: boolean }> {
  const { backend } = call.exchange.proxy
  const { account, limit, prefix, isShown } = wanted
  let marker = call.query.get('continuation-token')
  const found: ListedBucket[] = []
  let isMore = true
  while (isMore && found.length <= limit) {
    const page = await backend.listAccount(account, {
      limit: PAGE,
      ...(marker !== undefined && { marker }),
      ...(prefix !== undefined && { prefix }),
    })
    const entries = page?.entries ?? []
    for (const entry of entries) {
      if ('subdir' in entry) continue
      marker = entry.name
      if (isShown(entry.name))
        found.push({ Name: entry.name, CreationDate: s3Time(entry.stamp.ticks) })
    }
    isMore = entries.length === PAGE
  }
  const shown = found.slice(0, limit)
  return { shown, isTruncated: found.length > limit && shown.length > 0 }
}

const PAGE = 1000
