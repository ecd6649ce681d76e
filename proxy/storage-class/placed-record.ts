/**
 * An object whose bytes lie in another storage policy than its container's: what its record says of that, and where they lie.
 *
 *   container  NUL class NUL {policy} NUL {container}     beside the container, in the other policy
 *   object     {object} NUL {32 hex digits}               which no other write has ever had
 */
import { TICKS_PER_SECOND } from '../../common/stamp.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { ObjectPath } from '../backend/backend.ts'
import { LISTED } from '../backend/rows.ts'
import { S3_CLASS } from '../swift/foreign-meta.ts'
import { STATIC_LARGE_OBJECT } from '../swift/large/static-object.ts'
import { formatListed, parseListed } from '../swift/listed-traits.ts'
import { RESERVED } from '../swift/versions/version-names.ts'

/** Of an object: JSON, below. */
export const PLACED = 'x-object-sysmeta-placed'
/** Of a container, one for each policy that some of its objects' bytes lie in besides its own. */
const CONTAINER_MARK = 'x-container-sysmeta-class-policy-'

type Times = Pick<ItemInfo, 'stamp' | 'metaStamp'>
type Headers = Readonly<Record<string, string>>

export interface Placed {
  /** Absent: they lie in the record itself. */
  readonly at?: PlacedBytes
  /** Of the record whose bytes were moved: a move is no write. */
  readonly written?: Times
}

export interface PlacedBytes {
  readonly policy: number
  readonly id: string
  readonly bytes: number
}

/** Undefined for an object that is where its container is, since it was written. */
export function placedOf({ meta }: ItemInfo): Placed | undefined {
  const text = meta.headers[PLACED]
  return text === undefined ? undefined : (JSON.parse(text) as Placed)
}

/** The record as it is shown: with the length of its bytes, and the times of the write. */
export function shownInfo(info: ItemInfo): ItemInfo {
  const placed = placedOf(info)
  if (placed === undefined) return info
  const { at, written } = placed
  const isChanged = info.metaStamp.ticks !== info.stamp.ticks
  return {
    ...info,
    ...(at !== undefined && { bytes: at.bytes }),
    ...(written !== undefined && { stamp: written.stamp }),
    ...(written !== undefined && !isChanged && { metaStamp: written.metaStamp }),
  }
}

/**
 * The headers of a record whose bytes are written to `at` (undefined: into it): of what they say of another place, the times
 * stay. Its row tells class, length, and time.
 */
export function placedHeaders(headers: Headers, at: PlacedBytes | undefined): Headers {
  const { [PLACED]: before, ...others } = headers
  const { written } = before === undefined ? {} : (JSON.parse(before) as Placed)
  const placed: Placed = { ...(at && { at }), ...(written && { written }) }
  const { bytes, version_ticks: _, ...listed } = parseListed(headers[LISTED] ?? '')
  const isManifest = headers[STATIC_LARGE_OBJECT] !== undefined
  const length = isManifest ? bytes : at === undefined ? undefined : String(at.bytes)
  const row = formatListed({
    ...listed,
    bytes: length,
    version_ticks: written === undefined ? undefined : String(written.stamp.ticks),
    s3_class: headers[S3_CLASS],
  })
  return {
    ...others,
    [LISTED]: row,
    ...((at ?? written) !== undefined && { [PLACED]: JSON.stringify(placed) }),
  }
}

export function classContainer(container: string, policy: number): string {
  return `${RESERVED}class${RESERVED}${policy}${RESERVED}${container}`
}

export function bytesPath(path: ObjectPath, { policy, id }: PlacedBytes): ObjectPath {
  return {
    account: path.account,
    container: classContainer(path.container, policy),
    object: `${path.object}${RESERVED}${id}`,
    policy,
  }
}

/** The object that bytes belong to, and their id, by their name. */
export function ownerOfBytes(name: string): { readonly object: string; readonly id: string } {
  const end = name.lastIndexOf(RESERVED)
  return { object: name.slice(0, end), id: name.slice(end + 1) }
}

export function containerMark(policy: number): Headers {
  return { [`${CONTAINER_MARK}${policy}`]: 'yes' }
}

/** Whether bytes of the container's objects lie in policies besides its own. Asked for each write. */
export function isMarked({ meta }: ItemInfo): boolean {
  for (const name in meta.headers) if (name.startsWith(CONTAINER_MARK)) return true
  return false
}

/** Policies that bytes of the container's objects lie in besides its own. */
export function markedPolicies({ meta }: ItemInfo): readonly number[] {
  const names = Object.keys(meta.headers).filter((name) => name.startsWith(CONTAINER_MARK))
  return names.map((name) => Number(name.slice(CONTAINER_MARK.length)))
}

/** Milliseconds since 1970. */
export function msOfTicks(ticks: number): number {
  return (ticks / TICKS_PER_SECOND) * 1000
}
