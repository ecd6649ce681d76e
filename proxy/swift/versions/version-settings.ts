/** How a container keeps versions of its objects, as its metadata says. */
import { toWire, unescapeUrl } from '../../wire-text.ts'
import type { Headers } from '../metadata.ts'

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
}

/** X-Versions-Location, where DELETE brings back the last version, and X-History-Location. */
export interface LegacyVersions {
  readonly kind: 'legacy'
  readonly mode: 'stack' | 'history'
  /** The container that old versions are copied to; kept as it was sent, escaped or not. */
  readonly location: string
}

export type Versions = ObjectVersions | LegacyVersions

/** Undefined for a container that never kept versions. */
export function versionsOf(headers: Headers): Versions | undefined {
  const container = headers[VERSIONS_CONTAINER]
  if (container !== undefined) {
    return {
      kind: 'objects',
      enabled: headers[VERSIONS_ENABLED] === 'True',
      container: decodeURIComponent(container),
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
