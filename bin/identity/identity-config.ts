import { dirname, resolve } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import type { BootstrapService } from '../../auth/bootstrap.ts'
import type { IdentitySettingsChoice } from '../../auth/settings.ts'
import { type Config, parseConfig } from '../../common/config.ts'
import { ServiceError } from '../../common/errors.ts'
import { readTextFile } from '../../common/whole-file.ts'
import { DEFAULT_PORTS } from '../ports.ts'
import { decodeServiceSettings } from './service-settings.ts'

/** One identity service: identity.json. Paths in it are relative to its folder. */
export interface IdentityConfig {
  readonly host: string
  readonly port: number
  /** Holds the keys of tokens, the passwords of service users, and the state unless that is elsewhere. */
  readonly folder: string
  /** `postgres://…`, or a folder. */
  readonly state: string
  /** JSON with user, password and account of the administrator. */
  readonly credentialsFile: string
  /** Whether its password is the administrator's from now on, whatever it was. */
  readonly setAdminPassword: boolean
  readonly region: string
  readonly catalog: readonly BootstrapService[]
  /** A users file to take over. */
  readonly usersFile?: string
  readonly settings: IdentitySettingsChoice
  readonly tlsCert?: string
  readonly tlsKey?: string
}

/** What stands in the folder of an identity service. */
export function identityPaths(folder: string): {
  readonly state: string
  readonly tokenKeys: string
  readonly credentialKeys: string
  readonly serviceUsers: string
} {
  return {
    state: resolve(folder, 'state'),
    tokenKeys: resolve(folder, 'token-keys.json'),
    credentialKeys: resolve(folder, 'credential-keys.json'),
    serviceUsers: resolve(folder, 'service-users.json'),
  }
}

/** Reads a file; `-` is standard input, where paths are relative to the working folder. */
export async function readIdentityConfig(path: string): Promise<IdentityConfig> {
  const text = path === '-' ? await readAll(process.stdin) : await readTextFile(path)
  if (text === null) {
    throw new ServiceError('NoConfig', `${path}: there is no such file`, { status: 404 })
  }
  return decodeIdentityConfig(
    parseConfig(text, path),
    path === '-' ? process.cwd() : dirname(resolve(path)),
  )
}

/** Reads the settings; paths in them are relative to `base`. Throws a 400 `BadConfig` that names what is not right. */
export function decodeIdentityConfig(config: Config, base: string): IdentityConfig {
  const at = (path: string) => resolve(base, path)
  const folder = at(config.text('folder'))
  const state = config.text('state', identityPaths(folder).state)
  const result = {
    host: config.text('host', '127.0.0.1'),
    port: config.integer('port', { min: 1, max: 65_535, byDefault: DEFAULT_PORTS.identity }),
    folder,
    state: /^postgres(ql)?:/.test(state) ? state : at(state),
    credentialsFile: at(config.text('credentialsFile', resolve(folder, 'credentials'))),
    setAdminPassword: config.boolean('setAdminPassword', false),
    region: config.text('region', 'RegionOne'),
    catalog: config.list('catalog', (service) => ({
      type: service.text('type'),
      name: service.text('name'),
      url: service.text('url'),
    })),
    ...(config.has('usersFile') ? { usersFile: at(config.text('usersFile')) } : {}),
    settings: decodeServiceSettings(config),
    ...(config.has('tlsCert') ? { tlsCert: at(config.text('tlsCert')) } : {}),
    ...(config.has('tlsKey') ? { tlsKey: at(config.text('tlsKey')) } : {}),
  }
  config.end()
  return result
}

/** The text that readIdentityConfig reads as this. */
export function encodeIdentityConfig(config: IdentityConfig): string {
  const { settings, ...rest } = config
  return JSON.stringify({ ...rest, ...settings })
}
