import type { FoundObject } from '../../swift/found-object.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { findForS3 } from './find-for-s3.ts'

/** Others who may write the object meanwhile, one after the other. */
const ROUNDS_MAX = 8

/**
 * Changes what the store keeps beside an object: tags, an ACL. All else stays, and so does what was written meanwhile: the
 * change is made on the record that was looked at, or looked at anew. `change` judges the object and says what is new
 * (empty: gone). NoSuchKey or NoSuchVersion if there is none.
 */
export async function changeObject(
  call: S3Call,
  place: S3Place,
  version: string | undefined,
  change: (found: FoundObject) => Readonly<Record<string, string>>,
): Promise<FoundObject> {
  const { exchange } = call
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const found = await findForS3(call, place, { version, head: true })
    const { info } = found.read
    const headers = { ...info.meta.headers, ...change(found) }
    const outcome = await exchange.proxy.backend.postObject(found.place, {
      meta: { headers },
      condition: { ifWriteId: info.writeId },
    })
    if (outcome.status === 'done') return found
  }
  throw new S3Error('OperationAborted')
}
