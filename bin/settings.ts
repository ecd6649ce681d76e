import { type Config, parseConfig } from '../common/config.ts'
import { ServiceError } from '../common/errors.ts'
import type { ItemHashing } from '../common/item.ts'
import type { Random } from '../common/random.ts'
import { PLACEMENTS } from '../common/ring/ring.ts'
import type { ExpiryDelay } from '../proxy/backend/expiry-delay.ts'
import type { LayerOptions } from '../proxy/layers/layer-options.ts'
import { DEFAULT_LIMITS, type Limits } from '../proxy/limits.ts'
import { CONSISTENCIES, type StoragePolicy } from '../proxy/proxy-options.ts'
import { needsService, type ResellerPrefix } from '../proxy/reseller-prefix.ts'
import type { ReplicationTarget } from '../proxy/s3/replication/replication-target.ts'
import type { S3Options } from '../proxy/s3/s3-options.ts'
import type { StorageClass } from '../proxy/storage-class/class-backend.ts'
import { decodeIdentitySettings, type IdentitySettings } from './identity/identity-settings.ts'
import { decodeKeymaster, type KeymasterSettings } from './keymaster-settings.ts'
import { decodeLayers } from './layer-settings.ts'

/** DIR/swiftlet.json: what makes a data folder this cluster, written once at its first start. */
export interface Settings {
  /** 32 hex digits. */
  readonly clusterId: string
  readonly hashing: ItemHashing
  readonly policies: readonly PolicySetting[]
  /** The disks in the order they were given; empty where the disks belong to other processes (`swiftlet cluster`). */
  readonly disks: readonly DiskSetting[]
  readonly replicaCount: number
  /** Storage nodes of their own that `swiftlet cluster` starts; absent where the disks are this process's. */
  readonly nodeCount?: number
  /** From the deletion of an account to the first deletion in it; 0 if absent. */
  readonly delayReapingSeconds?: number
  /** How long objects are kept beyond their X-Delete-At; not at all if absent. */
  readonly expiryDelays?: readonly ExpiryDelay[]
  /** Where the root secrets are that objects are enciphered with; absent: they are not. Beside this file if relative. */
  readonly encryptionKeyFile?: string
  /** The same in the way in which Swift's other keymasters could be named. */
  readonly keymaster?: KeymasterSettings
  /** What clients may send, where it is less than by default. */
  readonly limits?: Partial<Limits>
  /** What stands around the handlers of the Swift API; as in a usual Swift if absent. */
  readonly layers?: LayerOptions
  /** How S3 is spoken. */
  readonly s3?: S3Setting
  /** What accounts' names begin with, and whose they are; Swift's usual ones if absent. */
  readonly resellerPrefixes?: readonly ResellerPrefix[]
  /** Who knows the users; one of its own for `swiftlet up` if absent. */
  readonly identity?: IdentitySettings
}

/** How S3 is spoken; `keyFile` has the keys that objects are enciphered with where clients ask for it. */
export type S3Setting = Pick<
  S3Options,
  | 'domains'
  | 'websiteDomains'
  | 'region'
  | 'customerKeysNeedTls'
  | 'lifecycleDayMs'
  | 'accessLogRollMs'
  | 'replicationTargets'
  | 'storageClasses'
  | 'transitionBytesMin'
  | 'notificationHosts'
  | 'notificationEventsMax'
> & {
  readonly keyFile?: string
}

/** A storage policy, each with an object ring of its own. */
export interface PolicySetting extends StoragePolicy {
  /** Of its ring, when that is made; as many as the cluster's `replicaCount` if absent. */
  readonly replicaCount?: number
}

/** What a person chooses of them. */
export interface StoreShape extends Pick<Settings, 'disks' | 'replicaCount' | 'nodeCount'> {
  /** Besides the first, which is the default; in the order of their indexes from 1 on. */
  readonly policies?: readonly Omit<PolicySetting, 'index' | 'default'>[]
}

export interface DiskSetting {
  /** Its name in the ring: `disk1`. */
  readonly device: string
  /** Absolute, or relative to the data folder. */
  readonly path: string
}

const FORMAT = 1

/** A new cluster's settings: its own salt, and as the default a storage policy with Swift's name for it. */
export function newSettings(random: Random, choice: StoreShape): Settings {
  const { policies = [], ...shape } = choice
  const hex = (bytes: number) => Buffer.from(random.bytes(bytes)).toString('hex')
  return {
    clusterId: hex(16),
    hashing: { prefix: hex(8), suffix: hex(8), placement: 'xxh64' },
    policies: [
      { index: 0, name: 'Policy-0', default: true },
      ...policies.map((policy, at) => ({ index: at + 1, default: false, ...policy })),
    ],
    ...shape,
  }
}

export function encodeSettings(settings: Settings): string {
  return `${JSON.stringify({ format: FORMAT, ...settings }, null, 2)}\n`
}

/** Reads the file's text; `path` is for messages. Throws a 400 `BadConfig`, a 409 `WrongFormat` for another version's. */
export function decodeSettings(text: string, path: string): Settings {
  const config = parseConfig(text, path)
  const format = config.integer('format', { min: 0, max: Number.MAX_SAFE_INTEGER })
  if (format !== FORMAT) throw wrongFormat(path, format)
  const policies = config.list('policies', decodePolicy)
  const settings = {
    clusterId: config.text('clusterId'),
    hashing: decodeHashing(config.object('hashing')),
    policies,
    disks: config.list('disks', (disk) => ({
      device: disk.text('device'),
      path: disk.text('path'),
    })),
    replicaCount: config.integer('replicaCount', { min: 1, max: 64 }),
    ...(config.has('nodeCount')
      ? { nodeCount: config.integer('nodeCount', { min: 1, max: 64 }) }
      : {}),
    ...(config.has('delayReapingSeconds')
      ? { delayReapingSeconds: config.integer('delayReapingSeconds', { min: 0, max: 2 ** 31 }) }
      : {}),
    ...(config.has('encryptionKeyFile')
      ? { encryptionKeyFile: config.text('encryptionKeyFile') }
      : {}),
    ...(config.has('keymaster') ? { keymaster: decodeKeymaster(config.object('keymaster')) } : {}),
    ...(config.has('limits') ? { limits: decodeLimits(config.object('limits')) } : {}),
    ...(config.has('identity')
      ? { identity: decodeIdentitySettings(config.object('identity')) }
      : {}),
    ...(config.has('expiryDelays')
      ? { expiryDelays: config.list('expiryDelays', decodeExpiryDelay) }
      : {}),
    ...(config.has('resellerPrefixes') ? { resellerPrefixes: decodePrefixes(config) } : {}),
    ...(config.has('s3') ? { s3: decodeS3(config.object('s3'), policies) } : {}),
    ...(config.has('layers') ? { layers: decodeLayers(config.object('layers')) } : {}),
  }
  config.end()
  if (settings.keymaster !== undefined && settings.encryptionKeyFile !== undefined) {
    throw config.wrong('keymaster', 'stands beside encryptionKeyFile: only one of them can be')
  }
  return settings
}

function decodeHashing(config: Config): ItemHashing {
  const hashing = {
    prefix: config.text('prefix'),
    suffix: config.text('suffix'),
    placement: config.oneOf('placement', PLACEMENTS),
  }
  config.end()
  return hashing
}

function decodeExpiryDelay(config: Config): ExpiryDelay {
  if (config.has('container') && !config.has('account')) throw config.wrong('account', 'is missing')
  return {
    ...(config.has('account') && { account: config.text('account') }),
    ...(config.has('container') && { container: config.text('container') }),
    seconds: config.integer('seconds', { min: 0, max: 2 ** 31 }),
  }
}

/** What each begins with ends with `_`, as in Swift, so that none is another's beginning. */
function decodePrefixes(config: Config): readonly ResellerPrefix[] {
  const name = 'resellerPrefixes'
  const prefixes = config.list(name, (one): ResellerPrefix => {
    const prefix = one.text('prefix')
    if (!/^[A-Za-z0-9-]{1,32}_$/.test(prefix)) {
      throw one.wrong('prefix', 'is letters, digits and dashes with _ at their end')
    }
    const roles = (list: 'operatorRoles' | 'readerRoles' | 'serviceRoles') =>
      one.has(list) && { [list]: one.texts(list) }
    return {
      prefix,
      ...(one.has('requireGroup') && { requireGroup: one.text('requireGroup') }),
      ...roles('operatorRoles'),
      ...roles('readerRoles'),
      ...roles('serviceRoles'),
    }
  })
  const names = new Set(prefixes.map(({ prefix }) => prefix))
  if (prefixes.length === 0) throw config.wrong(name, 'is empty')
  if (names.size < prefixes.length) throw config.wrong(name, 'has one prefix twice')
  if (needsService(prefixes[0]!)) {
    throw config.wrong(name, 'begins with a prefix for services: users are signed in to the first')
  }
  return prefixes
}

/** Each at most what it is by default: the engine and its formats are made for that. */
function decodeLimits(config: Config): Partial<Limits> {
  const names = Object.keys(DEFAULT_LIMITS) as readonly (keyof Limits)[]
  const set = names.filter((name) => config.has(name))
  const limits = set.map((name) => [
    name,
    config.integer(name, { min: 1, max: DEFAULT_LIMITS[name] }),
  ])
  config.end()
  return Object.fromEntries(limits) as Partial<Limits>
}

function decodeS3(config: Config, policies: readonly PolicySetting[]): S3Setting {
  const s3 = {
    domains: config.texts('domains').map((domain) => domain.toLowerCase()),
    websiteDomains: config.texts('websiteDomains').map((domain) => domain.toLowerCase()),
    ...(config.has('region') && { region: config.text('region') }),
    ...(config.has('keyFile') && { keyFile: config.text('keyFile') }),
    customerKeysNeedTls: config.boolean('customerKeysNeedTls', false),
    ...(config.has('lifecycleDaySeconds') && {
      lifecycleDayMs: 1000 * config.integer('lifecycleDaySeconds', { min: 1, max: 86_400 }),
    }),
    ...(config.has('accessLogRollSeconds') && {
      accessLogRollMs: 1000 * config.integer('accessLogRollSeconds', { min: 1, max: 86_400 }),
    }),
    ...(config.has('replicationTargets') && {
      replicationTargets: config.list('replicationTargets', decodeTarget),
    }),
    ...(config.has('storageClasses') && { storageClasses: decodeClasses(config, policies) }),
    ...(config.has('transitionBytesMin') && {
      transitionBytesMin: config.integer('transitionBytesMin', { min: 0, max: 2 ** 40 }),
    }),
    notificationHosts: config.texts('notificationHosts').map((host) => host.toLowerCase()),
    ...(config.has('notificationEventsMax') && {
      notificationEventsMax: config.integer('notificationEventsMax', { min: 1, max: 10_000_000 }),
    }),
  }
  config.end()
  return s3
}

/** Each by its name and that of its storage policy. */
function decodeClasses(
  config: Config,
  policies: readonly PolicySetting[],
): readonly StorageClass[] {
  const classes = config.list('storageClasses', (one) => {
    const [name, policyName] = [one.text('name'), one.text('policy')]
    if (!/^[\w-]{1,64}$/.test(name) || name === 'STANDARD') {
      throw one.wrong('name', 'must have up to 64 letters, digits, _ and -, and not be STANDARD')
    }
    const policy = policies.find(({ name: own, aliases = [] }) =>
      [own, ...aliases].some((known) => known.toLowerCase() === policyName.toLowerCase()),
    )
    if (policy === undefined || policy.deprecated === true) {
      throw one.wrong('policy', `must be a storage policy: ${policyName} is none, or deprecated`)
    }
    return { name, policy: policy.index }
  })
  if (new Set(classes.map(({ name }) => name)).size < classes.length) {
    throw config.wrong('storageClasses', 'has a name twice')
  }
  return classes
}

function decodeTarget(config: Config): ReplicationTarget {
  const [name, endpoint] = [config.text('name'), config.text('endpoint')]
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw config.wrong('name', 'is letters, digits, - and _')
  if (!/^https?:\/\/[^/?#@]+\/?$/.test(endpoint) || !URL.canParse(endpoint)) {
    throw config.wrong('endpoint', 'is no URL of a store: https://s3.example.com')
  }
  return {
    name,
    endpoint,
    ...(config.has('region') && { region: config.text('region') }),
    accessKeyId: config.text('accessKeyId'),
    secretAccessKey: config.text('secretAccessKey'),
    accounts: config.texts('accounts'),
    ...(config.has('buckets') && { buckets: config.texts('buckets') }),
    isSwiftlet: config.boolean('isSwiftlet', false),
    isPrivate: config.boolean('isPrivate', false),
  }
}

function decodePolicy(config: Config): PolicySetting {
  return {
    index: config.integer('index', { min: 0, max: 65_535 }),
    name: config.text('name'),
    aliases: config.texts('aliases'),
    default: config.boolean('default', false),
    deprecated: config.boolean('deprecated', false),
    consistency: config.oneOf('consistency', CONSISTENCIES, 'strict'),
    ...(config.has('replicaCount')
      ? { replicaCount: config.integer('replicaCount', { min: 1, max: 64 }) }
      : {}),
  }
}

function wrongFormat(path: string, format: number): ServiceError {
  const what =
    format > FORMAT
      ? `was made by a newer Swiftlet (format ${format}, this one reads ${FORMAT}): start it with that version`
      : `was made by an older Swiftlet (format ${format}, this one reads ${FORMAT}) and cannot be read any more`
  return new ServiceError('WrongFormat', `${path} ${what}`, { status: 409 })
}
