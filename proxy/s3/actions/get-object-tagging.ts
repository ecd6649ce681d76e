import type { Reply } from '../../reply.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { checkVersionId } from '../object/version-id.ts'
import { headObjectAt } from '../object/write-condition.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'
import { taggingElement, tagsOfObject } from '../tagging/tag-set.ts'

export async function getObjectTagging(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, { acl: 'read', method: 'GET' })
  checkVersionId(call)
  const info = await headObjectAt(call, place)
  if (info === null) throw new S3Error('NoSuchKey', undefined, { Key: call.key })
  return xmlReply('Tagging', taggingElement(tagsOfObject(info)))
}
