import { soon } from '../../../common/soon.ts'
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
export function replacing<T>(
  call: S3Call,
  place: ObjectPlace,
  write: () => Promise<T>,
  options: { readonly uploadId?: string } = {},
): Promise<T> {
  const replacesNothing = place.versions?.kind === 'objects' && place.versions.enabled
  if (replacesNothing) return write()
  return Promise.resolve(
    soon(Uploads.of(call), (uploads) =>
      uploads.mayHaveParts ? replacingParts(call, place, { uploads, write, ...options }) : write(),
    ),
  )
}

async function replacingParts<T>(
  call: S3Call,
  place: ObjectPlace,
  options: {
    readonly uploads: Uploads
    readonly write: () => Promise<T>
    readonly uploadId?: string
  },
): Promise<T> {
  const { uploads } = options
  const before = await nullVersionAt(call, place)
  const written = await options.write()
  const replaced = before === null ? undefined : ownUploadOf(before)
  if (replaced !== undefined && replaced !== options.uploadId) await uploads.expireParts(replaced)
  return written
}

/** What a write without a version's id of its own replaces: the object, or its null version. */
export async function nullVersionAt(call: S3Call, place: ObjectPlace): Promise<ItemInfo | null> {
  const found = await lookForVersion(call, place, { version: NULL_VERSION, head: true })
  return found?.read.info ?? null
}
