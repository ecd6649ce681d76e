import type { IdentitySettingsChoice } from '../../auth/settings.ts'
import type { Config } from '../../common/config.ts'
import type { KeystoneSettings } from '../../proxy/keystone/keystone-settings.ts'
import { decodeServiceSettings, publicUrl } from './service-settings.ts'

/** `identity` of swiftlet.json, with the settings of the service itself; as it is by default where a name is absent. */
export interface IdentitySettings extends IdentitySettingsChoice {
  /** Of an identity service elsewhere, without `/v3`: then none is started here. */
  readonly url?: string
  /** Where clients reach the object store, for the catalog: as it listens if absent. */
  readonly objectStoreUrl?: string
  /** JSON, `{"swift": "password"}`: the user that services are signed in as; `identity/service-users.json` by default. */
  readonly serviceUsersFile?: string
  /** `postgres://…` for its state; a folder of this machine by default. */
  readonly state?: string
  readonly region?: string
  /** What roles mean to the object store. */
  readonly roles?: Partial<KeystoneSettings>
}

/** Throws a 400 `BadConfig` that names the setting for what is not right. */
export function decodeIdentitySettings(config: Config): IdentitySettings {
  const settings = {
    ...text(config, 'url'),
    ...(config.has('objectStoreUrl') && { objectStoreUrl: publicUrl(config, 'objectStoreUrl') }),
    ...text(config, 'serviceUsersFile'),
    ...text(config, 'state'),
    ...text(config, 'region'),
    ...decodeServiceSettings(config),
    ...(config.has('roles') && { roles: decodeRoles(config.object('roles')) }),
  }
  config.end()
  return settings
}

function decodeRoles(config: Config): Partial<KeystoneSettings> {
  const roles = {
    ...texts(config, 'operatorRoles'),
    ...texts(config, 'readerRoles'),
    ...texts(config, 'resellerAdminRoles'),
    ...texts(config, 'systemReaderRoles'),
    ...texts(config, 'serviceRoles'),
    ...flag(config, 'namesInAcls'),
    ...text(config, 'defaultDomainName'),
  }
  config.end()
  return roles
}

type Named<N extends string, T> = { readonly [K in N]?: T }

function text<N extends string>(config: Config, name: N): Named<N, string> {
  return (config.has(name) ? { [name]: config.text(name) } : {}) as Named<N, string>
}

function texts<N extends string>(config: Config, name: N): Named<N, readonly string[]> {
  return (config.has(name) ? { [name]: config.texts(name) } : {}) as Named<N, readonly string[]>
}

function flag<N extends string>(config: Config, name: N): Named<N, boolean> {
  return (config.has(name) ? { [name]: config.boolean(name) } : {}) as Named<N, boolean>
}
