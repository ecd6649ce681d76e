/**
 * Moves an object's bytes to another storage class: each record is written again as it was, under the condition that it
 * still is what was judged, and keeps its times and its id. Of a multipart object the parts go, one after the other, and
 * then the manifest says so: who is stopped in between is gone on with by the next sweep.
 */

import type { ItemInfo } from '../../../common/storage-node.ts'
import type { BackendOutcome, ObjectPath } from '../../backend/backend.ts'
import { LISTED } from '../../backend/rows.ts'
import { PLACED, type Placed, placedOf } from '../../storage-class/placed-record.ts'
import { S3_CLASS } from '../../swift/foreign-meta.ts'
import { formatListed, parseListed } from '../../swift/listed-traits.ts'
import { closeBody } from '../../swift/object-body.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import { copyRecord } from '../../swift/versions/copy-record.ts'
import { Uploads } from '../multipart/uploads.ts'
import { classOfObject } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'

/** A record and where it lies. */
export interface PlacedRecord {
  readonly place: ObjectPath
  readonly info: ItemInfo
}

/** False: somebody has changed it meanwhile. */
export async function moveObject(
  call: S3Call,
  of: {
    readonly record: PlacedRecord
    /** The name's record, where that only points to it. */
    readonly link?: PlacedRecord | undefined
    readonly storageClass: string
  },
): Promise<boolean> {
  const { record, link, storageClass } = of
  // First what is listed: if the rest does not come to its end, the version is found again as one that is due.
  if (link !== undefined && !(await relabel(call, link, storageClass, false))) return false
  const uploadId = uploadOf(record.info)
  if (uploadId === undefined) return moveRecord(call, record, storageClass)
  const uploads = await Uploads.of(call)
  const names = (await uploads.parts(uploadId)).map(({ name }) => name)
  if (!(await moveParts(call, uploads, { names, storageClass }))) return false
  return relabel(call, record, storageClass, true)
}

/** Moves parts that are not of the class yet; false: somebody has changed one meanwhile. */
export async function moveParts(
  call: S3Call,
  uploads: Uploads,
  { names, storageClass }: { readonly names: readonly string[]; readonly storageClass: string },
): Promise<boolean> {
  for (const name of names) {
    const part = await headOf(call, uploads.place(name))
    if (part !== null && classOfObject(part.info) !== storageClass) {
      if (!(await moveRecord(call, part, storageClass))) return false
    }
  }
  return true
}

async function moveRecord(
  call: S3Call,
  { place, info }: PlacedRecord,
  storageClass: string,
): Promise<boolean> {
  const { backend } = call.exchange.proxy
  const placed = placedOf(info)
  const from = placed?.at?.policy ?? place.policy
  const to = call.settings.storageClasses.find(({ name }) => name === storageClass)!.policy
  if (from === to) return relabel(call, { place, info }, storageClass, true)
  const read = await backend.readObject(place, { sealed: true })
  if (read === null) return false
  if (read.info.writeId !== info.writeId) {
    await closeBody(read)
    return false
  }
  const { stamp, metaStamp, meta } = read.info
  const written: Placed = { written: { stamp, metaStamp } }
  const headers = { ...meta.headers, [S3_CLASS]: storageClass, [PLACED]: JSON.stringify(written) }
  const condition = { ifWriteId: info.writeId }
  return isDone(await copyRecord(backend, read, { place, meta: { ...meta, headers }, condition }))
}

/** Changes what is said of the class; the bytes stay. A link has no class of its own. */
async function relabel(
  call: S3Call,
  { place, info }: PlacedRecord,
  storageClass: string,
  isOwn: boolean,
): Promise<boolean> {
  const { headers } = info.meta
  const listed = { ...parseListed(headers[LISTED] ?? ''), s3_class: storageClass }
  const changed = {
    ...headers,
    [LISTED]: formatListed(listed),
    ...(isOwn && { [S3_CLASS]: storageClass }),
  }
  const post = { meta: { headers: changed }, condition: { ifWriteId: info.writeId } }
  return isDone(await call.exchange.proxy.backend.postObject(place, post))
}

async function headOf(call: S3Call, place: ObjectPath): Promise<PlacedRecord | null> {
  const read = await call.exchange.proxy.backend.readObject(place, { head: true })
  return read === null ? null : { place, info: read.info }
}

function isDone({ status }: BackendOutcome): boolean {
  return status === 'done'
}
