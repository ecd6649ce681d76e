/**
 * What stands around the handlers of the Swift API, as one table; the order is that of a Swift proxy's pipeline. What is
 * not switched on is not in it.
 */
import type { ProxyOptions } from '../proxy-options.ts'
import { notifyLayer } from '../s3/notifications/notify-layer.ts'
import { replicationLayer } from '../s3/replication/replication-layer.ts'
import { bulkLayer } from './bulk/bulk.ts'
import { denyHostsLayer } from './deny-hosts.ts'
import { Domains } from './domains.ts'
import { etagQuoterLayer } from './etag-quoter.ts'
import { formPostLayer } from './form-post.ts'
import type { Layer, Layers } from './layer.ts'
import type { LayerOptions } from './layer-options.ts'
import { nameCheckLayer } from './name-check.ts'
import { rateLimitLayer } from './rate-limit.ts'
import { readOnlyLayer } from './read-only.ts'
import { staticWebLayer } from './static-web.ts'
import { containerSyncLayer, syncMarkLayer } from './sync/container-sync.ts'
import { tempUrlLayer } from './temp-url.ts'

export function requestLayers({
  layers: options = {},
  turnsMemory,
}: Pick<ProxyOptions, 'layers' | 'turnsMemory'>): Layers {
  const outer = [
    offByDefault(options.denyHosts, denyHostsLayer),
    onByDefault(options.containerSync, containerSyncLayer),
    onByDefault(options.bulk, bulkLayer),
    onByDefault(options.tempurl, tempUrlLayer),
    onByDefault(options.formpost, formPostLayer),
  ].filter(isOn)
  const inner = [
    offByDefault(options.nameCheck, nameCheckLayer),
    offByDefault(options.containerSync, syncMarkLayer),
    replicationLayer(),
    offByDefault(options.ratelimit, (ratelimit) => rateLimitLayer(ratelimit, turnsMemory)),
    offByDefault(options.readOnly, readOnlyLayer),
    notifyLayer(),
    offByDefault(options.etagQuoter, etagQuoterLayer),
    onByDefault(options.staticweb, staticWebLayer),
  ].filter(isOn)
  const settings = [...outer, ...inner].flatMap((layer) => layer.settings ?? [])
  return { outer, inner, settings, domains: domainsOf(options) }
}

function domainsOf({ domainRemap, cnameLookup }: LayerOptions): Domains | null {
  if (!domainRemap && !cnameLookup) return null
  return new Domains({
    ...(domainRemap && { remap: domainRemap }),
    ...(cnameLookup && { cname: cnameLookup }),
  })
}

/** With nothing said about it, the feature is on as Swift has it. */
function onByDefault<O extends object>(
  options: O | false | undefined,
  make: (options: O) => Layer,
): Layer | null {
  return options === false ? null : make(options ?? ({} as O))
}

function offByDefault<O extends object>(
  options: O | false | undefined,
  make: (options: O) => Layer,
): Layer | null {
  return options === undefined || options === false ? null : make(options)
}

function isOn(layer: Layer | null): layer is Layer {
  return layer !== null
}
