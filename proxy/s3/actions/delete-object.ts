import type { Reply } from '../../reply.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { deletedHeaders, deleteKey } from '../object/delete-key.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { versionIdOf } from '../object/version-id.ts'
import { writeCondition } from '../object/write-condition.ts'
import { replicaOfRequest } from '../replication/replica-request.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'

export async function deleteObject(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  const isForGood = call.query.has('versionId')
  const replica = isForGood ? undefined : await replicaOfRequest(call, 's3:ReplicateDelete')
  const place = await enterObject(call, {
    action: 's3:DeleteObject',
    acl: 'write',
    method: 'DELETE',
  })
  const version = versionIdOf(call, place)
  const condition = await writeCondition(call, place, { version })
  const deleted = await deleteKey(call, place, { version, condition, replica })
  return emptyReply(204, deletedHeaders(deleted))
}
