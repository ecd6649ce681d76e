import type {
  SecurityCompliance,
  IdentitySettings as ServiceSettings,
} from '../../auth/settings.ts'
import type { Config } from '../../common/config.ts'
import type { KeystoneSettings } from '../../proxy/keystone/keystone-settings.ts'

/** `identity` of swiftlet.json; as it is by default where a name is absent. */
export interface IdentitySettings {
  /** Of an identity service elsewhere, without `/v3`: then none is started here. */
  readonly url?: string
  /** Where clients reach it, if that is not where this process does. */
  readonly publicUrl?: string
  /** JSON, `{"swift": "password"}`: the user that services are signed in as; `identity/service-users.json` by default. */
  readonly serviceUsersFile?: string
  /** `postgres://…` for its state; a folder of this machine by default. */
  readonly state?: string
  readonly region?: string
  readonly tokenLifeSeconds?: number
  readonly security?: Partial<SecurityCompliance>
  /** What roles mean to the object store. */
  readonly roles?: Partial<KeystoneSettings>
}

const SECONDS = { min: 1, max: 10 * 365 * 24 * 3600 }
const COUNT = { min: 0, max: 1_000_000 }

/** Throws a 400 `BadConfig` that names the setting for what is not right. */
export function decodeIdentitySettings(config: Config): IdentitySettings {
  const settings = {
    ...text(config, 'url'),
    ...text(config, 'publicUrl'),
    ...text(config, 'serviceUsersFile'),
    ...text(config, 'state'),
    ...text(config, 'region'),
    ...decodeTokenLife(config),
    ...(config.has('security') && { security: decodeSecurity(config.object('security')) }),
    ...(config.has('roles') && { roles: decodeRoles(config.object('roles')) }),
  }
  config.end()
  return settings
}

/** Of the identity service's settings, those that are given. */
export function decodeTokenLife(
  config: Config,
): Pick<ServiceSettings, 'tokenLifeSeconds'> | object {
  return config.has('tokenLifeSeconds')
    ? { tokenLifeSeconds: config.integer('tokenLifeSeconds', SECONDS) }
    : {}
}

/** Keystone's [security_compliance], in camel case; what is not named is as by default. */
export function decodeSecurity(config: Config): Partial<SecurityCompliance> {
  const security = {
    ...count(config, 'lockoutFailureAttempts'),
    ...count(config, 'lockoutSeconds'),
    ...count(config, 'passwordExpiresDays'),
    ...count(config, 'uniqueLastPasswordCount'),
    ...count(config, 'minimumPasswordAgeDays'),
    ...text(config, 'passwordRegex'),
    ...text(config, 'passwordRegexDescription'),
    ...flag(config, 'changePasswordUponFirstUse'),
    ...count(config, 'disableUserAccountDaysInactive'),
  }
  config.end()
  return security
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

function count<N extends string>(config: Config, name: N): Named<N, number> {
  return (config.has(name) ? { [name]: config.integer(name, COUNT) } : {}) as Named<N, number>
}
