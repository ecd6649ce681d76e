import type { Reply } from '../../reply.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'
import { BUCKET_TAGS_MAX, encodeTags, readTagSet } from '../tagging/tag-set.ts'
import { parseXml } from '../xml/xml-in.ts'

/** Fifty of the longest tags, each character escaped. */
const DOCUMENT_BYTES_MAX = 512 * 1024

/** Replaces all tags of the bucket. */
export async function putBucketTagging(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutBucketTagging', acl: 'none', method: 'PUT' })
  const document = parseXml(await receiveDocument(call, DOCUMENT_BYTES_MAX), 'Tagging')
  await setBucketSetting(call, 'tagging', encodeTags(readTagSet(document, BUCKET_TAGS_MAX)))
  return emptyReply(200)
}
