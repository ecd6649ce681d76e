/**
 * `layers` of swiftlet.json: what a Swift operator writes as filters in proxy-server.conf. A name that is not there is as
 * Swift has it by default; `false` switches off what is on. What is read has the shape of what is written.
 */
import type { Config } from '../common/config.ts'
import { AccessLines, type AccessLogOptions } from '../proxy/access-log/access-lines.ts'
import { DIGESTS } from '../proxy/layers/digest.ts'
import { isInRange } from '../proxy/layers/ip-range.ts'
import type { LayerOptions } from '../proxy/layers/layer-options.ts'

/** Throws a 400 `BadConfig` that names the setting for what is not right. */
export function decodeLayers(config: Config): LayerOptions {
  const layers: Record<string, unknown> = {}
  for (const [name, fields] of Object.entries(LAYERS)) {
    const part = config.part(name, (inner) => readFields(inner, fields))
    if (part !== undefined) layers[name] = part
  }
  config.end()
  return layers as LayerOptions
}

/** Reads a setting of that name; throws what is wrong with it. */
type Field = (config: Config, name: string) => unknown
type Fields = Readonly<Record<string, Field>>

const flag: Field = (config, name) => config.boolean(name)
const text: Field = (config, name) => config.text(name)
const texts: Field = (config, name) => config.texts(name)
const digests: Field = (config, name) => config.choices(name, DIGESTS)
const count: Field = (config, name) => config.integer(name, { min: 1, max: 1_000_000 })
const seconds: Field = (config, name) => config.integer(name, { min: 1, max: 86_400 })
const port: Field = (config, name) => config.integer(name, { min: 1, max: 65_535 })
const rate: Field = (config, name) => config.number(name, { min: 0, max: 1_000_000_000 })
const share: Field = (config, name) => config.number(name, { min: 0, max: 1 })
const rates: Field = (config, name) =>
  config.list(name, (one) => ({
    objects: one.integer('objects', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    perSecond: one.number('perSecond', { min: 0, max: 1_000_000_000 }),
  }))
const origin: Field = (config, name) => {
  const url = config.text(name)
  if (/^https?:\/\/[^/?#\s]+\/?$/.test(url)) return url
  throw config.wrong(name, 'is https://HOST or http://HOST')
}
const networks: Field = (config, name) => {
  const ranges = config.texts(name)
  if (ranges.length === 0) throw config.wrong(name, 'is empty: nobody could connect')
  for (const range of ranges) {
    if (!isInRange(range.replace(/\/.*$/, ''), range)) {
      throw config.wrong(
        name,
        `has ${range}, which is no address and no network such as 10.0.0.0/8`,
      )
    }
  }
  return ranges
}
const regexp: Field = (config, name) => {
  const pattern = config.text(name)
  try {
    new RegExp(pattern, 'u')
    return pattern
  } catch (error) {
    throw config.wrong(name, `is no regular expression: ${(error as Error).message}`)
  }
}
const logTemplate: Field = (config, name) => {
  const template = config.text(name)
  checkLogs(config, name, { template })
  return template
}
const logDigest: Field = (config, name) => {
  const anonymizationMethod = config.text(name)
  checkLogs(config, name, { anonymizationMethod })
  return anonymizationMethod
}
const checkLogs = (config: Config, name: string, options: AccessLogOptions) => {
  try {
    new AccessLines(options)
  } catch (error) {
    throw config.wrong(name, (error as Error).message)
  }
}
/** The setting must be there. */
const needed = (field: Field): Field =>
  Object.assign((...args: Parameters<Field>) => field(...args), NEEDED)
const NEEDED = { isNeeded: true } as const

const LAYERS: Readonly<Record<keyof LayerOptions, Fields>> = {
  bulk: {
    deletesMax: count,
    failedDeletesMax: count,
    deleteConcurrency: count,
    containersMax: count,
    failedExtractionsMax: count,
    yieldSeconds: seconds,
  },
  tempurl: {
    methods: texts,
    allowedDigests: digests,
    incomingRemoveHeaders: texts,
    incomingAllowHeaders: texts,
    outgoingRemoveHeaders: texts,
    outgoingAllowHeaders: texts,
  },
  formpost: { allowedDigests: digests },
  staticweb: { urlBase: text },
  containerSync: {
    realms: (config, name) => config.list(name, readRealm),
    allowedHosts: texts,
    intervalSeconds: seconds,
  },
  cnameLookup: { storageDomains: needed(texts), lookupDepth: count, nameservers: texts },
  domainRemap: {
    storageDomains: needed(texts),
    pathRoot: text,
    resellerPrefixes: texts,
    defaultResellerPrefix: text,
    mangleClientPaths: flag,
  },
  ratelimit: {
    accountPerSecond: rate,
    containerRates: rates,
    listingRates: rates,
    waitSecondsMax: seconds,
    bufferSeconds: seconds,
    accountWhitelist: texts,
    accountBlacklist: texts,
  },
  nameCheck: { forbiddenChars: text, bytesMax: count, forbiddenRegexp: regexp },
  readOnly: { cluster: flag, allowDeletes: flag },
  etagQuoter: { enableByDefault: flag },
  crossdomain: { policy: text },
  listEndpoints: {},
  denyHosts: { hosts: needed(texts) },
  proxyProtocol: { trusted: networks },
  api: {
    allowAccountManagement: flag,
    allowOpenExpired: flag,
    versionsSettle: flag,
    accountAutocreate: flag,
    containersPerAccountMax: (config, name) => config.integer(name, { min: 0, max: 1_000_000_000 }),
    containersPerAccountWhitelist: texts,
    storageUrlBase: origin,
    healthcheckDisableFile: text,
    strictCors: flag,
    corsAllowOrigins: texts,
    corsExposeHeaders: texts,
  },
  info: { adminKey: text, expose: flag, disallowedSections: texts },
  accessLog: {
    template: logTemplate,
    anonymizationMethod: logDigest,
    anonymizationSalt: text,
    headers: flag,
    headersOnly: texts,
    revealSensitivePrefix: (config, name) => config.integer(name, { min: 0, max: 1_000 }),
  },
  statsd: { host: needed(text), port, prefix: text, sampleRate: share },
}

function readRealm(config: Config) {
  return {
    name: config.text('name'),
    key: config.text('key'),
    ...(config.has('key2') && { key2: config.text('key2') }),
    clusters: config.list('clusters', (one) => ({ name: one.text('name'), url: one.text('url') })),
  }
}

function readFields(config: Config, fields: Fields): Readonly<Record<string, unknown>> {
  const read: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) {
    if (config.has(name)) read[name] = field(config, name)
    else if ('isNeeded' in field) throw config.wrong(name, 'is missing')
  }
  return read
}
