import { type Exchange, refusal } from '../exchange.ts'
import { isSignedBy, parseSignature } from '../layers/digest.ts'
import { expirySeconds } from '../layers/temp-url.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { jsonReply, statusReply } from '../reply.ts'
import { s3Info } from '../s3/s3-info.ts'
import { HEARTBEAT_MS } from '../swift/heartbeat.ts'
import { DYNAMIC_PAGES_MAX } from '../swift/large/dynamic-object.ts'
import { LINKS_MAX } from '../swift/links/symlink.ts'
import type { PipelineMiddleware } from './state.ts'

/** `/info`: what this cluster can do and where its limits are. Only what is there is announced. */
export function info(proxy: ProxyContext): PipelineMiddleware {
  const options = proxy.settings.layers?.info || {}
  const { expose = true, disallowedSections = [] } = options
  const all = capabilities(proxy)
  const told = without(all, disallowedSections)
  const toldToAdmin = { ...told, admin: { disallowed_sections: disallowedSections } }
  return async (ctx) => {
    const { exchange } = ctx.state
    const { method } = exchange
    if (method === 'OPTIONS') {
      ctx.state.reply = statusReply(200, ['Allow', 'HEAD, GET, OPTIONS'])
    } else if (method !== 'GET' && method !== 'HEAD') {
      ctx.state.reply = statusReply(405, ['Allow', 'HEAD, GET, OPTIONS'])
    } else if (!expose) {
      ctx.state.reply = statusReply(403)
    } else {
      const isAdmin = checkSignature(exchange, options.adminKey)
      const origin = exchange.header('origin')
      const cors =
        origin === undefined
          ? []
          : ['Access-Control-Allow-Origin', origin, 'Access-Control-Expose-Headers', 'x-trans-id']
      ctx.state.reply = jsonReply(200, isAdmin ? toldToAdmin : told, cors)
    }
  }
}

/** Whether an administrator signed the request. A 403 for a signature where there is no key, a 401 for a wrong one. */
function checkSignature(exchange: Exchange, adminKey: string | undefined): boolean {
  const sent = exchange.query.get('swiftinfo_sig') ?? ''
  const expires = exchange.query.get('swiftinfo_expires') ?? ''
  if (sent === '' && expires === '') return false
  if (adminKey === undefined) throw refusal(403)
  const signature = parseSignature(sent)
  const isOver = expirySeconds(expires, exchange.proxy.clock.nowMs()) === 0
  if (isOver || signature?.digest !== 'sha1') throw refusal(401)
  const methods = exchange.method === 'HEAD' ? ['HEAD', 'GET'] : ['GET']
  const lines = methods.map((method) => [method, Number(expires), '/info'].join('\n'))
  if (lines.some((line) => isSignedBy(signature, adminKey, line))) return true
  throw refusal(401)
}

type Sections = Readonly<Record<string, unknown>>

/** All but these sections, or keys of sections. */
function without(sections: Sections, disallowed: readonly string[]): Sections {
  const left = structuredClone(sections) as Record<string, unknown>
  for (const path of disallowed) {
    const keys = path.split('.')
    const last = keys.pop()!
    let place: unknown = left
    for (const key of keys) place = isRecord(place) ? place[key] : undefined
    if (isRecord(place)) delete place[last]
  }
  return left
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function capabilities(proxy: ProxyContext): Sections {
  const { limits, settings, policies, layers } = proxy
  return {
    swift: {
      version: settings.version,
      strict_cors_mode: settings.strictCors,
      policies: policies.all
        .filter((policy) => policy.deprecated !== true)
        .map((policy) => ({
          name: policy.name,
          aliases: [policy.name, ...(policy.aliases ?? [])].join(', '),
          ...(policy.default ? { default: true } : {}),
        })),
      allow_account_management: settings.allowAccountManagement,
      account_autocreate: settings.accountAutocreate,
      allow_open_expired: settings.allowOpenExpired,
      max_file_size: limits.objectBytesMax,
      max_meta_name_length: limits.metaNameBytesMax,
      max_meta_value_length: limits.metaValueBytesMax,
      max_meta_count: limits.metaCountMax,
      max_meta_overall_size: limits.metaOverallBytesMax,
      max_header_size: limits.headerBytesMax,
      max_request_line: limits.requestLineBytesMax,
      max_object_name_length: limits.objectNameBytesMax,
      max_container_name_length: limits.containerNameBytesMax,
      max_account_name_length: limits.accountNameBytesMax,
      container_listing_limit: limits.containerListingMax,
      account_listing_limit: limits.accountListingMax,
      extra_header_count: 0,
    },
    slo: {
      max_manifest_segments: limits.sloSegmentsMax,
      max_manifest_size: limits.sloManifestBytesMax,
      yield_frequency: HEARTBEAT_MS / 1000,
      min_segment_size: 1,
      allow_async_delete: true,
    },
    dlo: { max_segments: limits.containerListingMax * DYNAMIC_PAGES_MAX },
    object_versioning: {},
    versioned_writes: { allowed_flags: ['x-versions-location', 'x-history-location'] },
    symlink: { symloop_max: LINKS_MAX, static_links: true },
    swiftlet: { cluster: settings.clusterName },
    tempauth: { account_acls: true },
    container_quotas: {},
    ...(settings.layers?.crossdomain && { crossdomain: {} }),
    account_quotas: {},
    ...s3Info(settings),
    ...Object.assign({}, ...[...layers.outer, ...layers.inner].map((layer) => layer.info)),
    ...layers.domains?.info,
  }
}
