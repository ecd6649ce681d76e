/** An object that bytes can be appended to, as it is now. */

import type { ItemInfo, ItemRead } from '../../../common/storage-node.ts'
import type { FoundObject } from '../../swift/found-object.ts'
import { decodeManifest, type StoredObject } from '../../swift/large/slo-manifest.ts'
import { manifestOf, STATIC_LARGE_OBJECT } from '../../swift/large/static-object.ts'
import { isReader } from '../../swift/object-body.ts'
import { isPlain } from '../../swift/object-view.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import { findForS3 } from '../object/find-for-s3.ts'
import { isClaimed, sharesParts } from '../object/rename-claim.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

export interface Appendable {
  readonly info: ItemInfo
  /** Of the whole. */
  readonly bytes: number
  /** What it is made of; undefined: its bytes are its own. */
  readonly parts:
    | { readonly uploadId: string; readonly segments: readonly StoredObject[] }
    | undefined
}

/** Null if there is none. InvalidRequest for what is another API's large object or link. */
export async function appendableAt(call: S3Call, place: S3Place): Promise<Appendable | null> {
  const found = await objectAt(call, place)
  if (found === null) return null
  const { info } = found.read
  const { clock } = call.exchange.proxy
  // Who renames it has looked at what it is made of.
  if (isClaimed(info, clock.nowMs()) || sharesParts(info) !== undefined)
    throw new S3Error('OperationAborted')
  const uploadId = uploadOf(info)
  if (uploadId === undefined) {
    if (isPlain(found) && info.meta.headers[STATIC_LARGE_OBJECT] === undefined)
      return { info, bytes: info.bytes, parts: undefined }
    throw new S3Error(
      'InvalidRequest',
      'Links, and large objects that clients of the Swift API have put together, cannot be appended to.',
    )
  }
  const segments = await segmentsOf(call, found)
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  return { info, bytes, parts: { uploadId, segments } }
}

/** What the object is made of, whoever is at it; none: nothing is there, or bytes of its own. */
export async function segmentsAt(call: S3Call, place: S3Place): Promise<readonly StoredObject[]> {
  const found = await objectAt(call, place)
  return found === null || uploadOf(found.read.info) === undefined ? [] : segmentsOf(call, found)
}

async function segmentsOf(call: S3Call, found: FoundObject): Promise<readonly StoredObject[]> {
  return decodeManifest(await manifestOf(call.exchange, found)).filter(isPart)
}

/** All bytes of what was read, which is closed then. */
export async function* piecesOf({ body }: ItemRead): AsyncGenerator<Uint8Array> {
  if (!isReader(body)) {
    // The bytes may be shared with whoever read them.
    if (body !== null) yield Buffer.from(body)
    return
  }
  try {
    yield* body.stream(0, body.bytes)
  } finally {
    await body.close()
  }
}

export function wrongOffset(bytes: number | null): S3Error {
  return new S3Error(
    'InvalidWriteOffset',
    undefined,
    bytes === null ? undefined : { ObjectSize: String(bytes) },
  )
}

function isPart(segment: object): segment is StoredObject {
  return 'name' in segment
}

async function objectAt(call: S3Call, place: S3Place): Promise<FoundObject | null> {
  try {
    return await findForS3(call, place, { version: undefined, head: true })
  } catch (error) {
    if (error instanceof S3Error && error.code === 'NoSuchKey') return null
    throw error
  }
}
