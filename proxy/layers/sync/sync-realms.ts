/** Whom containers may be synchronised with, and how requests between them are signed. */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** How requests are called in the log that another cluster sends. */
export const SYNC_USER = '.wsgi.sync'

export interface SyncRealm {
  /** Known to the operators of all of its clusters. */
  readonly key: string
  /** Taken besides it, while keys change. */
  readonly key2?: string
  readonly clusters: readonly { readonly name: string; readonly url: string }[]
}

export interface ContainerSyncOptions {
  readonly realms?: readonly (SyncRealm & { readonly name: string })[]
  /** Hosts to which full URLs may lead; none: only realms. */
  readonly allowedHosts?: readonly string[]
  /** Between two passes over what has changed. */
  readonly intervalSeconds?: number
}

export const SYNC_DEFAULTS = {
  realms: [],
  allowedHosts: [],
  intervalSeconds: 30,
} satisfies Required<ContainerSyncOptions>

export type SyncSettings = Required<ContainerSyncOptions>

/** Where a container is synchronised to. */
export interface SyncTarget {
  /** Without a slash at its end. */
  readonly url: string
  /** Null: the container's key alone has to do. */
  readonly realm: { readonly name: string; readonly key: string } | null
}

/** Reads an X-Container-Sync-To: `//realm/cluster/account/container`, or a URL. A text says what is wrong. */
export function parseSyncTo(text: string, settings: SyncSettings): SyncTarget | string {
  const value = text.trim().replace(/\/+$/, '')
  if (!value.startsWith('//')) return parseFullUrl(value, settings)
  const [realmName, clusterName, account, container, ...rest] = value.slice(2).split('/')
  if (!realmName || !clusterName || !account || !container || rest.length > 0) {
    return `Invalid X-Container-Sync-To format '${text}'`
  }
  const realm = findByName(settings.realms, realmName)
  if (realm === undefined) return `No realm key for '${realmName}'`
  const cluster = findByName(realm.clusters, clusterName)
  if (cluster === undefined) return `No cluster endpoint for '${realmName}' '${clusterName}'`
  const url = `${cluster.url.replace(/\/+$/, '')}/${account}/${container}`
  return { url, realm: { name: realm.name.toUpperCase(), key: realm.key } }
}

function parseFullUrl(value: string, settings: SyncSettings): SyncTarget | string {
  if (!URL.canParse(value)) return `Invalid X-Container-Sync-To format '${value}'`
  const { protocol, hostname, pathname, search, hash } = new URL(value)
  if (protocol !== 'http:' && protocol !== 'https:') {
    return `Invalid scheme '${protocol}' in X-Container-Sync-To, must be "//", "http", or "https".`
  }
  if (search !== '' || hash !== '' || !/^\/[^/]+\/[^/]+\/[^/]+$/.test(pathname)) {
    return 'Path required in X-Container-Sync-To'
  }
  if (!settings.allowedHosts.includes(hostname)) {
    return `Invalid host '${hostname}' in X-Container-Sync-To`
  }
  return { url: value, realm: null }
}

/** Realms and clusters are found whatever the case of their names. */
export function findByName<T extends { readonly name: string }>(
  all: readonly T[],
  name: string,
): T | undefined {
  return all.find((one) => one.name.toUpperCase() === name.toUpperCase())
}

/** What two clusters sign. */
export interface SyncMessage {
  readonly method: string
  /** As in the URL. */
  readonly path: string
  /** `0` if there is none. */
  readonly timestamp: string
  readonly nonce: string
  /** The X-Container-Sync-Key of both containers. */
  readonly userKey: string
}

export function syncSignature(realmKey: string, message: SyncMessage): string {
  const { method, path, timestamp, nonce, userKey } = message
  const text = [method, path, timestamp, nonce, userKey].join('\n')
  return createHmac('sha1', realmKey).update(text).digest('hex')
}

/** In constant time; false for texts of another length. */
export function isSameText(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}
