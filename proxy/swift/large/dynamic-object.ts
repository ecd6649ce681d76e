/** Dynamic large objects: whatever objects of a container begin with a prefix, one behind the other. */
import { createHash } from 'node:crypto'
import type { ItemInfo, ListRow } from '../../../common/storage-node.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import { toWire, unescapeUrl } from '../../wire-text.ts'
import type { FoundObject, ObjectView } from '../found-object.ts'
import { listedTraits } from '../listed-traits.ts'
import { accessContainer } from '../object-access.ts'
import { closeBody } from '../object-body.ts'
import { type LargeViewOptions, segmentPart } from './segment.ts'
import { SegmentedBody } from './segmented-body.ts'

export const OBJECT_MANIFEST = 'x-object-manifest'

/** Pages of a listing that one large object may take: 100,000 segments. */
export const DYNAMIC_PAGES_MAX = 10
/** Large objects within each other. */
const DEPTH_MAX = 10

/** A 400 for an X-Object-Manifest that is not `container/prefix`. */
export function checkObjectManifest(exchange: Exchange): void {
  const value = exchange.header(OBJECT_MANIFEST)
  if (value === undefined) return
  const slash = value.indexOf('/')
  const prefix = value.slice(slash + 1)
  const isPath = slash > 0 && prefix !== '' && !prefix.startsWith('/')
  const isGood = isPath && !/[?&]/.test(value) && !isReserved(value)
  if (!isGood) throw badRequest('X-Object-Manifest must be in the format container/prefix')
}

/** Whether it leads to what only the store itself names. */
function isReserved(manifest: string): boolean {
  return unescapeUrl(manifest)?.includes('\0') === true
}

/** The large object as its segments are listed now. */
export async function dynamicView(
  exchange: Exchange,
  found: FoundObject,
  options: LargeViewOptions,
): Promise<ObjectView> {
  await closeBody(found.read)
  if (options.depth >= DEPTH_MAX) {
    throw refusal(409, 'large objects within each other are nested too deeply')
  }
  const { info } = found.read
  const { account } = found.place
  const stored = toWire(info.meta.headers[OBJECT_MANIFEST]!)
  // A POST may have set anything.
  if (isReserved(stored)) throw refusal(404)
  const manifest = unescapeUrl(stored) ?? ''
  const slash = manifest.indexOf('/')
  const container = manifest.slice(0, slash)
  const rows = await listSegments(exchange, {
    account,
    container,
    prefix: manifest.slice(slash + 1),
  })
  const md5 = createHash('md5')
  let bytes = 0
  const parts = rows.map((row) => {
    const listed = listedTraits(row)
    md5.update(row.etag)
    bytes += listed.bytes
    const path = { account, container, object: row.name }
    return segmentPart({ start: 0, end: listed.bytes }, async () => {
      const view = await options.openSegment(exchange, path, {
        head: false,
        depth: options.depth + 1,
      })
      if (view.read.info.bytes === listed.bytes) return view
      await closeBody(view.read)
      throw refusal(409, `the segment ${row.name} is not as long as it was listed`)
    })
  })
  const meta = { ...info.meta, etag: md5.digest('hex') }
  const shown: ItemInfo = { ...info, bytes, meta }
  if (options.head)
    return { ...found, read: { info: shown, body: null }, headers: [], isLarge: true }
  const body = new SegmentedBody(parts)
  return {
    ...found,
    read: { info: shown, body },
    headers: [],
    isLarge: true,
    segments: body,
    oneRange: true,
  }
}

async function listSegments(
  exchange: Exchange,
  of: { readonly account: string; readonly container: string; readonly prefix: string },
): Promise<ListRow[]> {
  const { backend, limits } = exchange.proxy
  const { account, container, prefix } = of
  const path = { account, container, object: undefined }
  await accessContainer(exchange, { acl: 'read', method: 'GET', path })
  const rows: ListRow[] = []
  const limit = limits.containerListingMax
  for (let count = 0; count < DYNAMIC_PAGES_MAX; count++) {
    const marker = rows.at(-1)?.name
    const from = marker === undefined ? {} : { marker }
    const page = await backend.listContainer(account, container, { limit, prefix, ...from })
    if (page === null) throw refusal(404)
    for (const entry of page.entries) if (!('subdir' in entry)) rows.push(entry)
    if (page.entries.length < limit) return rows
  }
  throw refusal(409, `more than ${rows.length - 1} segments`)
}
