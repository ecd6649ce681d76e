/**
 * `layers` of swiftlet.json: what a Swift operator writes as filters in proxy-server.conf. A name that is not there is as
 * Swift has it by default; `false` switches off what is on. What is read has the shape of what is written.
 */
import type { Config } from '../common/config.ts'
import type { BulkOptions } from '../proxy/layers/bulk/bulk.ts'
import { DIGESTS, type Digest } from '../proxy/layers/digest.ts'
import type { LayerOptions } from '../proxy/layers/layer-options.ts'
import type { TempUrlOptions } from '../proxy/layers/temp-url.ts'

/** Throws a 400 `BadConfig` that names the setting for what is not right. */
export function decodeLayers(config: Config): LayerOptions {
  const layers: { -readonly [Name in keyof LayerOptions]: LayerOptions[Name] } = {}
  for (const name of Object.keys(READERS) as (keyof LayerOptions)[]) {
    const part = config.part<unknown>(name, READERS[name])
    if (part !== undefined) Object.assign(layers, { [name]: part })
  }
  config.end()
  return layers
}

const READERS: Readonly<Record<keyof LayerOptions, (config: Config) => unknown>> = {
  bulk: readBulk,
  tempurl: readTempUrl,
  formpost: digests,
  staticweb: (config) => text(config, 'urlBase'),
}

function readTempUrl(config: Config): TempUrlOptions {
  return {
    ...texts(config, 'methods'),
    ...digests(config),
    ...texts(config, 'incomingRemoveHeaders'),
    ...texts(config, 'incomingAllowHeaders'),
    ...texts(config, 'outgoingRemoveHeaders'),
    ...texts(config, 'outgoingAllowHeaders'),
  }
}

function readBulk(config: Config): BulkOptions {
  const counts = { min: 1, max: 1_000_000 }
  return {
    ...integer(config, 'deletesMax', counts),
    ...integer(config, 'failedDeletesMax', counts),
    ...integer(config, 'deleteConcurrency', { min: 1, max: 1000 }),
    ...integer(config, 'containersMax', counts),
    ...integer(config, 'failedExtractionsMax', counts),
    ...integer(config, 'yieldSeconds', { min: 1, max: 3600 }),
  }
}

function integer<N extends string>(
  config: Config,
  name: N,
  range: { readonly min: number; readonly max: number },
): { readonly [K in N]?: number } {
  return (config.has(name) ? { [name]: config.integer(name, range) } : {}) as { [K in N]?: number }
}

function text<N extends string>(config: Config, name: N): { readonly [K in N]?: string } {
  return (config.has(name) ? { [name]: config.text(name) } : {}) as { [K in N]?: string }
}

function texts<N extends string>(
  config: Config,
  name: N,
): { readonly [K in N]?: readonly string[] } {
  return (config.has(name) ? { [name]: config.texts(name) } : {}) as {
    [K in N]?: readonly string[]
  }
}

function digests(config: Config): { readonly allowedDigests?: readonly Digest[] } {
  if (!config.has('allowedDigests')) return {}
  return { allowedDigests: config.choices('allowedDigests', DIGESTS) }
}
