import type { Reply } from '../../reply.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { encodeDefault, readDefault } from '../encryption/bucket-encryption.ts'
import { checkStoreEncryption } from '../encryption/encryption-choice.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 16 * 1024

/** A key that the store does not have is refused at once: else no object could be written. */
export async function putBucketEncryption(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutEncryptionConfiguration', acl: 'none', method: 'PUT' })
  const body = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const wanted = readDefault(parseXml(body, 'ServerSideEncryptionConfiguration'))
  await setBucketSetting(call, 'encryption', encodeDefault(checkStoreEncryption(call, wanted)))
  return emptyReply(200)
}
