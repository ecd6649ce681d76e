import type { Reply } from '../../reply.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { Uploads } from '../multipart/uploads.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'

/** Ends the upload first, so that nothing can be made of its parts any more, and then deletes them. */
export async function abortMultipartUpload(call: S3Call): Promise<Reply> {
  await enterObject(call, { action: 's3:AbortMultipartUpload', acl: 'write', method: 'DELETE' })
  const uploads = await Uploads.of(call)
  const found = await uploads.find(call.key, call.query.get('uploadId')!)
  await uploads.end(call.key, found, { taken: false })
  await uploads.dropParts((await uploads.parts(found.uploadId)).map(({ name }) => name))
  return emptyReply(204)
}
