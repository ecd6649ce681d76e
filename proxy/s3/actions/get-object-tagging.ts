import type { Reply } from '../../reply.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { findForS3 } from '../object/find-for-s3.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { xmlReply } from '../s3-reply.ts'
import { taggingElement, tagsOfObject } from '../tagging/tag-set.ts'

export async function getObjectTagging(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:GetObjectTagging',
    acl: 'read',
    method: 'GET',
  })
  const version = versionIdOf(call, place)
  const found = await findForS3(call, place, { version, head: true })
  const element = taggingElement(tagsOfObject(found.read.info))
  return xmlReply('Tagging', element, versionHeaders(place, found))
}
