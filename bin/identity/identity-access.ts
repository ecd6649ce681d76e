import { resolve } from 'node:path'
import type { DataPaths } from '../data-folder.ts'
import { clientUrlOf, urlOf } from '../endpoints.ts'
import type { Settings } from '../settings.ts'
import type { Tls } from '../tls.ts'
import { type IdentityConfig, identityPaths } from './identity-config.ts'
import type { IdentityAccess } from './open-identity.ts'
import { serviceSettingsOf } from './service-settings.ts'

export const DEFAULT_REGION = 'RegionOne'

/** How to reach the identity service that the settings name; null if they name none. */
export function accessElsewhere(
  { identity }: Pick<Settings, 'identity'>,
  paths: DataPaths,
): IdentityAccess | null {
  if (identity?.url === undefined) return null
  const { url, publicUrl = url, serviceUsersFile, roles = {} } = identity
  return {
    url,
    publicUrl,
    roles,
    serviceUsersFile:
      serviceUsersFile === undefined
        ? identityPaths(paths.identity).serviceUsers
        : resolve(paths.folder, serviceUsersFile),
  }
}

/** Where the identity service of `swiftlet up` listens, and what it serves. */
export interface OwnIdentity {
  readonly host: string
  readonly port: number
  readonly tls: Tls | undefined
  readonly tlsCert?: string
  readonly tlsKey?: string
  /** Where clients reach it: `http://127.0.0.1:8080`. */
  readonly objectStore: string
  readonly setAdminPassword: boolean
}

/** The service that `swiftlet up` starts on its data folder. */
export function ownConfig(own: OwnIdentity, settings: Settings, paths: DataPaths): IdentityConfig {
  const { host, port, setAdminPassword, tlsCert, tlsKey } = own
  const { state, region = DEFAULT_REGION, publicUrl } = settings.identity ?? {}
  const objectStore = settings.identity?.objectStoreUrl ?? own.objectStore
  return {
    host,
    port,
    folder: paths.identity,
    state: state ?? identityPaths(paths.identity).state,
    credentialsFile: paths.credentials,
    setAdminPassword,
    region,
    catalog: [
      { type: 'identity', name: 'keystone', url: `${publicUrl ?? clientUrl(own)}/v3` },
      { type: 'object-store', name: 'swift', url: `${objectStore}/v1/AUTH_$(project_id)s` },
    ],
    usersFile: paths.users,
    settings: serviceSettingsOf(settings.identity ?? {}),
    ...(tlsCert !== undefined && { tlsCert: resolve(tlsCert) }),
    ...(tlsKey !== undefined && { tlsKey: resolve(tlsKey) }),
  }
}

/** How the threads of `swiftlet up` reach it. */
export function ownAccess(own: OwnIdentity, settings: Settings, paths: DataPaths): IdentityAccess {
  const { publicUrl, roles = {}, serviceUsersFile } = settings.identity ?? {}
  const url = ownUrl(own)
  return {
    url,
    publicUrl: publicUrl ?? clientUrl(own),
    roles,
    serviceUsersFile: serviceUsersFile ?? identityPaths(paths.identity).serviceUsers,
    ...(own.tls !== undefined && { certificate: own.tls.cert.toString() }),
  }
}

/** Where clients reach it. */
function clientUrl({ host, port, tls }: OwnIdentity): string {
  return clientUrlOf({ host, port, tls: tls !== undefined })
}

/** Where this machine reaches it. */
export function ownUrl({ host, port, tls }: OwnIdentity): string {
  return urlOf({ host, port, tls: tls !== undefined })
}
