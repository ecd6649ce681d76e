import { LIMIT_MODELS, type LimitModel } from '../../auth/limits/limit-model.ts'
import type {
  IdentitySettings,
  IdentitySettingsChoice,
  ListSection,
  SecurityCompliance,
} from '../../auth/settings.ts'
import type { Config } from '../../common/config.ts'

/** Reads one setting; throws a 400 `BadConfig` that names it. */
type Reader<T> = (config: Config, name: string) => T
/** One for each setting, so that none is left out. */
type Readers<T> = { readonly [Name in keyof T]-?: Reader<T[Name]> }

const SECONDS = whole({ min: 1, max: 10 * 365 * 24 * 3600 })
const COUNT = whole({ min: 0, max: 1_000_000 })
const DAYS = whole({ min: 0, max: 100_000 })

const SECURITY: Readers<SecurityCompliance> = {
  lockoutFailureAttempts: orNull(COUNT),
  lockoutSeconds: whole({ min: 0, max: 10 * 365 * 24 * 3600 }),
  passwordExpiresDays: orNull(DAYS),
  uniqueLastPasswordCount: whole({ min: 0, max: 100 }),
  minimumPasswordAgeDays: DAYS,
  passwordRegex: orNull(regularExpression),
  passwordRegexDescription: orNull(text),
  changePasswordUponFirstUse: (config, name) => config.boolean(name),
  disableUserAccountDaysInactive: orNull(DAYS),
}

/** A list of nothing would tell nobody that there is more. */
const LISTED = whole({ min: 1, max: 1_000_000 })
const LIST_LIMITS: Readers<Record<ListSection, number | null>> = {
  catalog: orNull(LISTED),
  identity: orNull(LISTED),
  policy: orNull(LISTED),
  resource: orNull(LISTED),
  role: orNull(LISTED),
}

const SETTINGS: Readers<Omit<IdentitySettings, 'security'>> = {
  publicUrl,
  tokenLifeSeconds: SECONDS,
  allowExpiredSeconds: whole({ min: 0, max: 10 * 365 * 24 * 3600 }),
  limitModel: (config, name) => config.oneOf(name, Object.keys(LIMIT_MODELS) as LimitModel[]),
  projectDepthMax: whole({ min: 1, max: 64 }),
  defaultDomainId: text,
  applicationCredentialsPerUserMax: orNull(COUNT),
  credentialsPerUserMax: orNull(COUNT),
  signedRequestSeconds: SECONDS,
  earlierCodesTaken: whole({ min: 0, max: 10 }),
  receiptSeconds: SECONDS,
  oauthRequestSeconds: SECONDS,
  oauthAccessSeconds: SECONDS,
  trustRedelegationsMax: whole({ min: 0, max: 64 }),
  listLimit: orNull(LISTED),
  listLimits(config, name) {
    const limits = config.part(name, (part) => readAll(part, LIST_LIMITS))
    if (limits === false || limits === undefined) throw config.wrong(name, 'must be an object')
    return limits
  },
  storageAccountPrefix: text,
  cloudProjectId: orNull(text),
  webIdentityHosts: (config, name) => config.texts(name),
}

/** The settings of an identity service that a configuration names. Throws a 400 `BadConfig` that names what is not right. */
export function decodeServiceSettings(config: Config): IdentitySettingsChoice {
  const security = config.part('security', (part) => readAll(part, SECURITY))
  if (security === false) throw config.wrong('security', 'must be an object')
  return { ...readAll(config, SETTINGS), ...(security !== undefined && { security }) }
}

/** Those of the settings that a configuration holds besides others. */
export function serviceSettingsOf(all: IdentitySettingsChoice): IdentitySettingsChoice {
  const named = [...Object.keys(SETTINGS), 'security']
  return Object.fromEntries(Object.entries(all).filter(([name]) => named.includes(name)))
}

/** Where clients reach a service: `https://cloud.example.org/identity`. A slash at the end is taken away. */
export function publicUrl(config: Config, name: string): string {
  const value = config.text(name).replace(/\/+$/, '')
  const url = URL.canParse(value) ? new URL(value) : null
  const isPlain = url !== null && url.search === '' && url.hash === ''
  if (isPlain && /^https?:$/.test(url.protocol) && !/\/v[123]$/.test(url.pathname)) return value
  throw config.wrong(name, 'must be a URL of http or https without a version (/v3) at its end')
}

function readAll<T extends object>(config: Config, readers: Readers<T>): Partial<T> {
  const names = Object.keys(readers) as (keyof T & string)[]
  const given = names.filter((name) => config.has(name))
  return Object.fromEntries(
    given.map((name) => [name, readers[name](config, name)]),
  ) as unknown as Partial<T>
}

function text(config: Config, name: string): string {
  return config.text(name)
}

function whole(range: { readonly min: number; readonly max: number }): Reader<number> {
  return (config, name) => config.integer(name, range)
}

/** Null switches off what the setting would limit. */
function orNull<T>(read: Reader<T>): Reader<T | null> {
  return (config, name) => (config.isNull(name) ? null : read(config, name))
}

function regularExpression(config: Config, name: string): string {
  const pattern = config.text(name)
  try {
    new RegExp(pattern)
    return pattern
  } catch {
    throw config.wrong(name, 'is no regular expression')
  }
}
