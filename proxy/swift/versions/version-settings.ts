/** How a container keeps versions of its objects, as its metadata says. */
import { toWire, unescapeUrl } from '../../wire-text.ts'
import type { Headers } from '../metadata.ts'
import { type ObjectLock, objectLockOf, SEALED } from './object-lock.ts'

export const VERSIONS_ENABLED = 'x-container-sysmeta-versions-enabled'
/** The container that versions lie in: there from the first time that versioning was enabled. */
export const VERSIONS_CONTAINER = 'x-container-sysmeta-versions-container'
export const VERSIONS_LOCATION = 'x-container-sysmeta-versions-location'
export const VERSIONS_MODE = 'x-container-sysmeta-versions-mode'

/** X-Versions-Enabled: versions by their ids. */
export interface ObjectVersions {
  readonly kind: 'objects'
  /** False: suspended. What was kept stays, and writes replace what is current. */
  readonly enabled: boolean
  readonly container: string
  /** Versions may be locked. */
  readonly lock?: ObjectLock
}

/** The container beside a bucket with object lock that holds parts: the process itself writes there. */
export interface SealedContainer {
  readonly kind: 'sealed'
}

/** X-Versions-Location, where DELETE brings back the last version, and X-History-Location. */
export interface LegacyVersions {
  readonly kind: 'legacy'
  readonly mode: 'stack' | 'history'
  /** The container that old versions are copied to; kept as it was sent, escaped or not. */
  readonly location: string
}

export type Versions = ObjectVersions | LegacyVersions | SealedContainer

/** Undefined for a container that never kept versions. */
export function versionsOf(headers: Headers): Versions | undefined {
  if (headers[SEALED] !== undefined) return { kind: 'sealed' }
  const container = headers[VERSIONS_CONTAINER]
  if (container !== undefined) {
    const lock = objectLockOf(headers)
    return {
      kind: 'objects',
      enabled: headers[VERSIONS_ENABLED] === 'True',
      container: decodeURIComponent(container),
      ...(lock !== undefined && { lock }),
    }
  }
  const location = headers[VERSIONS_LOCATION]
  if (location === undefined) return undefined
  const mode = headers[VERSIONS_MODE] === 'history' ? 'history' : 'stack'
  return { kind: 'legacy', mode, location: unescapeUrl(toWire(location))?.split('/')[0] ?? '' }
}

/** What clients see of it. */
export function shownVersions(headers: Headers): string[] {
  const enabled = headers[VERSIONS_ENABLED]
  const location = headers[VERSIONS_LOCATION]
  const out = enabled === undefined ? [] : ['X-Versions-Enabled', enabled]
  if (location === undefined) return out
  const isHistory = headers[VERSIONS_MODE] === 'history'
  return [...out, isHistory ? 'X-History-Location' : 'X-Versions-Location', location]
}
