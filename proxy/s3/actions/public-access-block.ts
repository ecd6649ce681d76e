/** GET, PUT and DELETE ?publicAccessBlock. */
import type { Reply } from '../../reply.ts'
import {
  BLOCKS,
  decodeBlocks,
  encodeBlocks,
  type PublicAccessBlock,
} from '../access/public-access.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { bucketSetting, setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { malformedXml, parseXml, type XmlNode } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 16 * 1024

export async function getPublicAccessBlock(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketPublicAccessBlock', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  const text = bucketSetting(info, 'publicAccessBlock')
  if (text === undefined) throw new S3Error('NoSuchPublicAccessBlockConfiguration')
  return xmlReply('PublicAccessBlockConfiguration', decodeBlocks(text))
}

export async function putPublicAccessBlock(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketPublicAccessBlock', acl: 'none', method: 'PUT' } as const
  await enterBucket(call, use)
  const document = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const blocks = readBlocks(parseXml(document, 'PublicAccessBlockConfiguration'))
  await setBucketSetting(call, 'publicAccessBlock', encodeBlocks(blocks))
  return emptyReply(200)
}

export async function deletePublicAccessBlock(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketPublicAccessBlock', acl: 'none', method: 'DELETE' } as const
  await enterBucket(call, use)
  await setBucketSetting(call, 'publicAccessBlock', '')
  return emptyReply(204)
}

function readBlocks(root: XmlNode): PublicAccessBlock {
  if (root.names.some((name) => !(BLOCKS as readonly string[]).includes(name))) throw malformedXml()
  const entries = BLOCKS.map((name) => {
    const text = root.textOf(name)?.trim().toLowerCase() ?? 'false'
    if (text !== 'true' && text !== 'false') throw malformedXml()
    return [name, text === 'true'] as const
  })
  return Object.fromEntries(entries) as PublicAccessBlock
}
