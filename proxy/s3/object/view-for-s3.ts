import { type Exchange, refusal } from '../../exchange.ts'
import {
  type FoundObject,
  findObject,
  type ObjectView,
  type OpenSegment,
} from '../../swift/found-object.ts'
import { staticView } from '../../swift/large/static-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { isPlain, viewObject } from '../../swift/object-view.ts'
import { containerOfVersions } from '../../swift/versions/version-names.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import { partsPrefix } from '../multipart/upload-names.ts'
import type { S3Call } from '../s3-call.ts'
import { findForS3, type Wanted } from './find-for-s3.ts'
import { uploadOf } from './object-traits.ts'

/** The object or version as its reader sees it, whatever it is put together from; NoSuchKey if there is none. */
export async function openObject(
  call: S3Call,
  place: S3Place,
  options: Wanted,
): Promise<ObjectView> {
  const { exchange } = call
  const found = await findForS3(call, place, options)
  const { read } = found
  if (isPlain(found)) return { ...found, headers: [] }
  const view = { head: options.head, depth: 0, isAsked: false }
  if (uploadOf(read.info) === undefined) return viewObject(exchange, found, view)
  return staticView(exchange, found, { ...view, openSegment: ownParts(found) })
}

/** Who may read an object may read its parts, which are nobody else's. */
function ownParts({ place, read }: FoundObject): OpenSegment {
  const container = segmentsContainer(containerOfVersions(place.container) ?? place.container)
  const prefix = partsPrefix(uploadOf(read.info)!)
  return async (exchange: Exchange, path, { head }) => {
    const isOwn = path.container === container && path.object?.startsWith(prefix) === true
    if (!isOwn) throw refusal(409, 'the object names parts that are not its own')
    const part: ObjectPlace = {
      account: place.account,
      container,
      object: path.object!,
      policy: place.policy,
      versions: undefined,
    }
    const found = await findObject(exchange, part, { head })
    if (found === null) throw refusal(409, `the part ${path.object} is not there`)
    return { ...found, headers: [] }
  }
}
