/**
 * Where versions lie. Names that begin with NUL are the store's own: no URL leads to them. The versions of a container's
 * objects are objects of a container beside it, the newest of a name first:
 *
 *   container  NUL versions NUL {container}
 *   object     NUL {object} NUL {ticks counted down, 15 digits}{the id's rest counted down, 20 digits}
 *
 * A version's id is the time of its write and something that no other write has: `1700000000.12345_00000000000a0b0c`.
 */
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'

export const RESERVED = '\0'

/** Behind everything reserved, and before all other names. */
export const RESERVED_END = `${RESERVED}\u{10ffff}`

const TICKS_MAX = 999_999_999_999_999
const REST_MAX = 0xffff_ffff_ffff_ffffn
const ID = /^(\d{1,10})(?:\.(\d{1,5}))?(?:_([0-9a-f]{16}))?$/
const DOWN = /^\d{35}$/
const VERSIONS = `${RESERVED}versions${RESERVED}`

/** A version's id taken apart; versions of a name are ordered by it. */
export interface VersionId {
  readonly ticks: number
  /** 16 hex digits. */
  readonly rest: string
}

export function versionsContainerOf(container: string): string {
  return VERSIONS + container
}

/** The container whose versions the container holds; null if it holds none. */
export function containerOfVersions(name: string): string | null {
  return name.startsWith(VERSIONS) ? name.slice(VERSIONS.length) : null
}

export function formatVersionId({ ticks, rest }: VersionId): string {
  const seconds = Math.floor(ticks / TICKS_PER_SECOND)
  const fraction = String(ticks - seconds * TICKS_PER_SECOND).padStart(5, '0')
  const text = `${String(seconds).padStart(10, '0')}.${fraction}`
  return /^0+$/.test(rest) ? text : `${text}_${rest}`
}

/** Null for what is no version's id. */
export function parseVersionId(text: string): VersionId | null {
  const match = ID.exec(text)
  if (match === null) return null
  const [, seconds, fraction = '', rest = ''] = match
  const ticks = Number(seconds) * TICKS_PER_SECOND + Number(fraction.padEnd(5, '0'))
  return { ticks, rest: rest.padStart(16, '0') }
}

/** Below 0 if a is older. */
export function compareVersionIds(a: VersionId, b: VersionId): number {
  if (a.ticks !== b.ticks) return a.ticks - b.ticks
  return a.rest < b.rest ? -1 : Number(a.rest > b.rest)
}

export function versionName(object: string, { ticks, rest }: VersionId): string {
  const down = String(TICKS_MAX - ticks).padStart(15, '0')
  const restDown = (REST_MAX - BigInt(`0x${rest}`)).toString().padStart(20, '0')
  return `${versionsPrefixOf(object)}${down}${restDown}`
}

/** What the names of all versions of an object begin with. */
export function versionsPrefixOf(object: string): string {
  return `${RESERVED}${object}${RESERVED}`
}

/** The object and the version that a name of a versions container stands for; null for any other name. */
export function parseVersionName(
  name: string,
): { readonly object: string; readonly id: VersionId } | null {
  const end = name.lastIndexOf(RESERVED)
  const down = name.slice(end + 1)
  if (!name.startsWith(RESERVED) || end < 1 || !DOWN.test(down)) return null
  const ticks = TICKS_MAX - Number(down.slice(0, 15))
  const rest = (REST_MAX - BigInt(down.slice(15))).toString(16).padStart(16, '0')
  return { object: name.slice(1, end), id: { ticks, rest } }
}
