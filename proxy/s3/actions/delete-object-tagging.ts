import type { Reply } from '../../reply.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import { changeTags } from '../replication/change-tags.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'
import { S3_TAGGING } from '../tagging/tag-set.ts'

export async function deleteObjectTagging(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:DeleteObjectTagging',
    acl: 'write',
    method: 'POST',
  })
  const version = versionIdOf(call, place)
  const found = await changeTags(call, place, { version, kind: 'ObjectTagging:Delete' }, () => ({
    [S3_TAGGING]: '',
  }))
  return emptyReply(204, versionHeaders(place, found))
}
