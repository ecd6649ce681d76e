import type { ItemInfo } from '../../../common/storage-node.ts'
import { NULL_VERSION } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { Uploads } from '../multipart/uploads.ts'
import type { S3Call } from '../s3-call.ts'
import { lookForVersion } from './find-for-s3.ts'
import { ownUploadOf } from './object-traits.ts'

/**
 * Does a write in the place of an object; if that had parts of its own, they go when the write has come to its end. Where
 * every write is a version of its own, nothing goes.
 */
export async function replacing<T>(
  call: S3Call,
  place: ObjectPlace,
  write: () => Promise<T>,
  options: { readonly uploadId?: string } = {},
): Promise<T> {
  const uploads = await Uploads.of(call)
  const replacesNothing = place.versions?.kind === 'objects' && place.versions.enabled
  if (!uploads.mayHaveParts || replacesNothing) return write()
  const before = await nullVersionAt(call, place)
  const written = await write()
  const replaced = before === null ? undefined : ownUploadOf(before)
  if (replaced !== undefined && replaced !== options.uploadId) await uploads.expireParts(replaced)
  return written
}

/** What a write without a version's id of its own replaces: the object, or its null version. */
export async function nullVersionAt(call: S3Call, place: ObjectPlace): Promise<ItemInfo | null> {
  const found = await lookForVersion(call, place, { version: NULL_VERSION, head: true })
  return found?.read.info ?? null
}
