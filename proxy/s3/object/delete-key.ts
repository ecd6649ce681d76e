import type { IncomingHttpHeaders } from 'node:http'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { Uploads } from '../multipart/uploads.ts'
import type { S3Call } from '../s3-call.ts'
import { uploadOf } from './object-traits.ts'
import { failureOf } from './put-through-swift.ts'
import { headObjectAt } from './write-condition.ts'

/** Deletes the object and the parts that are its own; one that is not there is deleted already. */
export async function deleteKey(
  call: S3Call,
  place: ObjectPlace,
  condition: IncomingHttpHeaders = {},
): Promise<void> {
  const uploads = await Uploads.of(call)
  const before = uploads.mayHaveParts ? await headObjectAt(call, place) : null
  const { account, container, object } = place
  const inner = innerExchange(call.exchange, {
    method: 'DELETE',
    path: { account, container, object },
    headers: condition,
  })
  const reply = await call.exchange.proxy.answerInner(inner)
  await dropReply(reply)
  if (reply.status >= 400 && reply.status !== 404) throw failureOf(reply)
  const uploadId = before === null ? undefined : uploadOf(before)
  if (uploadId !== undefined && reply.status < 300) await uploads.expireParts(uploadId)
}
