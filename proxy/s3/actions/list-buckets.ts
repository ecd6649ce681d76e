import type { Reply } from '../../reply.ts'
import { mayInAccount } from '../access/s3-access.ts'
import { isReachable } from '../bucket/bucket-name.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ownerElement, xmlReply } from '../s3-reply.ts'
import { s3Time } from '../s3-time.ts'

const BUCKETS_MAX = 10_000

/** The containers of the caller's account that S3 can name. */
export async function listBuckets(call: S3Call): Promise<Reply> {
  const account = call.ownAccount
  if (!mayInAccount(call, 's3:ListAllMyBuckets', account)) throw new S3Error('AccessDenied')
  const { backend } = call.exchange.proxy
  const limit = call.query.count('max-buckets', { max: BUCKETS_MAX, otherwise: BUCKETS_MAX })
  const prefix = call.query.get('prefix')
  let marker = call.query.get('continuation-token')
  const found: { readonly Name: string; readonly CreationDate: string }[] = []
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
      if (isReachable(entry.name))
        found.push({ Name: entry.name, CreationDate: s3Time(entry.stamp.ticks) })
    }
    isMore = entries.length === PAGE
  }
  const shown = found.slice(0, limit)
  const isTruncated = found.length > limit && shown.length > 0
  return xmlReply('ListAllMyBucketsResult', {
    Owner: ownerElement(account),
    Buckets: shown.length === 0 ? '' : { Bucket: shown },
    ...(prefix !== undefined && { Prefix: prefix }),
    ...(isTruncated && { ContinuationToken: shown.at(-1)!.Name }),
  })
}

const PAGE = 1000
