/** A container whose objects' versions are kept: how that is switched on and off, shown, and ended. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { CACHED_MS_MAX } from '../../backend/container-cache.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import { classContainer, markedPolicies } from '../../storage-class/placed-record.ts'
import { fromWire, unescapeUrl } from '../../wire-text.ts'
import { isTrue } from '../query.ts'
import { versionsContainerOf } from './version-names.ts'
import {
  VERSIONS_CONTAINER,
  VERSIONS_ENABLED,
  VERSIONS_LOCATION,
  VERSIONS_MODE,
  versionsOf,
} from './version-settings.ts'

/** A container as it is now, null if it is to be made, and the storage policy that it has or gets. */
export interface ChangedContainer {
  readonly account: string
  readonly container: string
  readonly current: ItemInfo | null
  readonly policy: number
}

export interface VersionChange {
  /** For the container's metadata; an empty value removes. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * Resolves when every proxy knows that versions are kept. Until then one of them might replace an object without
   * keeping it; what is acknowledged afterwards is kept by all.
   */
  settled(): Promise<void>
  /** After the container could not be changed. */
  undo(): Promise<void>
}

const NOTHING: VersionChange = { headers: {}, settled: async () => {}, undo: async () => {} }

/** What the request changes of the keeping of versions. Makes the container that they will lie in. */
export async function changeVersions(
  exchange: Exchange,
  of: ChangedContainer,
): Promise<VersionChange> {
  const enabled = exchange.header('x-versions-enabled')
  const legacy = legacyChange(exchange)
  if (enabled === undefined) {
    if (legacy === null) return NOTHING
    if (legacy[VERSIONS_LOCATION] !== '' && keepsById(of.current)) throw bothKinds()
    return { ...NOTHING, headers: legacy }
  }
  const { current, account, container, policy } = of
  const kept = versionsOf(current?.meta.headers ?? {})
  if (kept?.kind === 'legacy' || (legacy !== null && legacy[VERSIONS_LOCATION] !== '')) {
    throw badRequest(
      'Cannot enable object versioning on a container that is already using the legacy versioned writes feature.',
    )
  }
  if (current?.meta.headers['x-container-sync-to'] !== undefined) {
    throw badRequest(
      'Cannot enable object versioning on a container configured as source of container syncing.',
    )
  }
  const isOn = isTrue(enabled)
  if (!isOn && kept?.kind === 'objects' && kept.lock !== undefined) {
    throw refusal(409, 'Object versioning cannot be suspended on a container with object lock.')
  }
  // In S3 a bucket that keeps no versions yet may be suspended: deletions leave markers there.
  const makesPlace = isOn || (exchange.versionRules !== null && kept === undefined)
  if (!makesPlace) return { ...NOTHING, headers: { [VERSIONS_ENABLED]: 'False' } }
  const { backend, policies, clock, settings } = exchange.proxy
  if (policies.byIndex(policy)?.deprecated === true) {
    throw badRequest(
      'Cannot enable object versioning on a container that uses a deprecated storage policy.',
    )
  }
  const name = versionsContainerOf(container)
  const made = await backend.putContainer(account, name, { meta: { headers: {} }, policy })
  if (made.status !== 'done') throw refusal(500, 'Error enabling object versioning')
  const isNew = isOn && current !== null && !(kept?.kind === 'objects' && kept.enabled)
  return {
    headers: {
      [VERSIONS_ENABLED]: isOn ? 'True' : 'False',
      [VERSIONS_CONTAINER]: encodeURIComponent(name),
    },
    async settled() {
      if (!isNew || !settings.versionsSettle) return
      await new Promise<void>((resolve) => clock.after(CACHED_MS_MAX, resolve))
    },
    async undo() {
      if (!made.existed) await backend.deleteContainer(account, name)
    },
  }
}

/** The totals with the bytes of versions, and of what lies in other storage policies: records that name them count nothing. */
export async function withBytesElsewhere(
  exchange: Exchange,
  info: ItemInfo,
  at = exchange.path!,
): Promise<ItemInfo> {
  if (info.stats === undefined) return info
  const { backend } = exchange.proxy
  const { account, container } = at
  const own = { name: container!, info }
  const versions = versionsOf(info.meta.headers)
  const name = versions?.kind === 'objects' ? versions.container : undefined
  const totals = { totals: true } as const
  const kept = name === undefined ? null : await backend.readContainer(account, name, totals)
  const all = kept === null ? [own] : [own, { name: name!, info: kept }]
  let bytes = info.stats.bytes + (kept?.stats?.bytes ?? 0)
  for (const { name: of, info: marked } of all) {
    for (const policy of markedPolicies(marked)) {
      const beside = classContainer(of, policy)
      const elsewhere = await backend.readContainer(account, beside, totals)
      bytes += elsewhere?.stats?.bytes ?? 0
    }
  }
  return { ...info, stats: { ...info.stats, bytes } }
}

/** A 409 while the container has versions, though nothing in it is current any more. */
export async function checkNoVersions(
  exchange: Exchange,
  of: { readonly account: string; readonly container: string },
): Promise<void> {
  const name = versionsContainerOf(of.container)
  const page = await exchange.proxy.backend.listContainer(of.account, name, { limit: 1 })
  if (page === null || page.entries.length === 0) return
  throw refusal(409, 'Delete all versions before deleting container.')
}

/** After its container: a version that came in between keeps it, and is found when the name is used again. */
export async function removeVersionsContainer(
  exchange: Exchange,
  of: { readonly account: string; readonly container: string },
): Promise<void> {
  await exchange.proxy.backend.deleteContainer(of.account, versionsContainerOf(of.container))
}

function keepsById(current: ItemInfo | null): boolean {
  return versionsOf(current?.meta.headers ?? {})?.kind === 'objects'
}

function bothKinds(): Error {
  return badRequest(
    'Cannot use the legacy versioned writes feature on a container that keeps versions by their ids.',
  )
}

/** X-Versions-Location or X-History-Location: null if neither is set or removed. */
function legacyChange(exchange: Exchange): Record<string, string> | null {
  const stack = exchange.header('x-versions-location')
  const history = exchange.header('x-history-location')
  if (stack && history) {
    throw badRequest('Only one of X-Versions-Location or X-History-Location may be specified')
  }
  const location = stack || history
  if (location) {
    return {
      [VERSIONS_LOCATION]: checkLocation(location),
      [VERSIONS_MODE]: history ? 'history' : 'stack',
    }
  }
  const isRemoved =
    stack !== undefined ||
    history !== undefined ||
    exchange.header('x-remove-versions-location') ||
    exchange.header('x-remove-history-location')
  return isRemoved ? { [VERSIONS_LOCATION]: '', [VERSIONS_MODE]: '' } : null
}

function checkLocation(value: string): string {
  const text = fromWire(value)
  if (text === null || unescapeUrl(value)?.includes('\0') !== false) {
    throw refusal(412, 'Invalid UTF8 or contains NULL')
  }
  if (text.includes('/')) throw refusal(412, 'Container name cannot contain slashes')
  return text
}
