import type { Reply } from '../../reply.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { deleteKey } from '../object/delete-key.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { checkVersionId } from '../object/version-id.ts'
import { writeCondition } from '../object/write-condition.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'

export async function deleteObject(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  const place = await enterObject(call, { acl: 'write', method: 'DELETE' })
  checkVersionId(call)
  await deleteKey(call, place, await writeCondition(call, place))
  return emptyReply(204)
}
