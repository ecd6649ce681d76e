/** GET, PUT and DELETE ?website. */
import type { Reply } from '../../reply.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { bucketSetting, setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { readWebsite } from '../website/read-website.ts'
import { noWebsite } from '../website/website-door.ts'
import { decodeWebsite, encodeWebsite, websiteElement } from '../website/website-rules.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 128 * 1024

export async function getBucketWebsite(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketWebsite', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  const text = bucketSetting(info, 'website')
  if (text === undefined) throw noWebsite(call.bucket)
  return xmlReply('WebsiteConfiguration', websiteElement(decodeWebsite(text)))
}

export async function putBucketWebsite(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutBucketWebsite', acl: 'none', method: 'PUT' })
  const body = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const website = readWebsite(parseXml(body, 'WebsiteConfiguration'))
  await setBucketSetting(call, 'website', encodeWebsite(website))
  return emptyReply(200)
}

export async function deleteBucketWebsite(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:DeleteBucketWebsite', acl: 'none', method: 'DELETE' })
  await setBucketSetting(call, 'website', '')
  return emptyReply(204)
}
