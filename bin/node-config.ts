import { dirname, resolve } from 'node:path'
import { parseConfig } from '../common/config.ts'
import { ServiceError } from '../common/errors.ts'
import { readTextFile } from '../common/whole-file.ts'
import { SEGMENT_BYTES } from './option-values.ts'

/** One storage node: storage-node.json. Paths in it are relative to its folder. */
export interface StorageNodeConfig {
  readonly host: string
  readonly port: number
  /** Devices by their name in the ring. */
  readonly devices: readonly { readonly name: string; readonly path: string }[]
  /** The file with the cluster's key, the same on every node and proxy. */
  readonly clusterKeyFile: string
  readonly segmentBytes?: number
  /** Where it keeps the rings; the keeper of the rings fills it. */
  readonly ringFolder: string
  /** The address by which the rings know this node: `host`, or any of the machine's own where that is a wildcard. */
  readonly address?: string
}

/** One proxy: proxy.json. */
export interface ProxyConfig {
  readonly host: string
  readonly port: number
  /** Holds copies of the cluster's swiftlet.json, rings/, users.json, token.key and cluster.key. */
  readonly dataFolder: string
  /** Whether it keeps the rings of the cluster: one proxy does, whose data folder has their builders. */
  readonly keeper?: boolean
  readonly tlsCert?: string
  readonly tlsKey?: string
}

const PORTS = { min: 1, max: 65_535 } as const

export async function readStorageNodeConfig(path: string): Promise<StorageNodeConfig> {
  const config = parseConfig(await configText(path), path)
  const result = {
    host: config.text('host', '127.0.0.1'),
    port: config.integer('port', PORTS),
    devices: config.list('devices', (device) => ({
      name: device.text('name'),
      path: beside(path, device.text('path')),
    })),
    clusterKeyFile: beside(path, config.text('clusterKeyFile')),
    ...(config.has('segmentSize')
      ? { segmentBytes: config.bytes('segmentSize', SEGMENT_BYTES) }
      : {}),
    ringFolder: beside(path, config.text('ringFolder', 'rings')),
    ...(config.has('address') ? { address: config.text('address') } : {}),
  }
  config.end()
  return result
}

export async function readProxyConfig(path: string): Promise<ProxyConfig> {
  const config = parseConfig(await configText(path), path)
  const result = {
    host: config.text('host', '127.0.0.1'),
    port: config.integer('port', PORTS),
    dataFolder: beside(path, config.text('dataFolder')),
    keeper: config.boolean('keeper', false),
    ...(config.has('tlsCert') ? { tlsCert: beside(path, config.text('tlsCert')) } : {}),
    ...(config.has('tlsKey') ? { tlsKey: beside(path, config.text('tlsKey')) } : {}),
  }
  config.end()
  return result
}

async function configText(path: string): Promise<string> {
  const text = await readTextFile(path)
  if (text !== null) return text
  throw new ServiceError('NoConfig', `${path}: there is no such file`, { status: 404 })
}

function beside(configPath: string, path: string): string {
  return resolve(dirname(configPath), path)
}
