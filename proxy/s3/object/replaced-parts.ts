import type { ObjectPlace } from '../../swift/object-access.ts'
import { Uploads } from '../multipart/uploads.ts'
import type { S3Call } from '../s3-call.ts'
import { uploadOf } from './object-traits.ts'
import { headObjectAt } from './write-condition.ts'

/** Does a write in the place of an object; if that had parts of its own, they go when the write has come to its end. */
export async function replacing<T>(
  call: S3Call,
  place: ObjectPlace,
  write: () => Promise<T>,
  options: { readonly uploadId?: string } = {},
): Promise<T> {
  const uploads = await Uploads.of(call)
  if (!uploads.mayHaveParts) return write()
  const before = await headObjectAt(call, place)
  const written = await write()
  const replaced = before === null ? undefined : uploadOf(before)
  if (replaced !== undefined && replaced !== options.uploadId) await uploads.expireParts(replaced)
  return written
}
