import { parseConfig } from '../common/config.ts'
import { REQUEST_HOST } from '../common/http/request-host.ts'
import { readTextFile, replaceFile } from '../common/whole-file.ts'
import { DEFAULT_HOST } from './defaults.ts'
import { DEFAULT_PORTS } from './ports.ts'

/** Where clients find it. */
export interface Endpoints {
  /** `http://127.0.0.1:8080`. */
  readonly objectStore: string
  /** The v1 sign-in: `http://127.0.0.1:8080/auth/v1.0`. */
  readonly signIn: string
  /** The identity service, without `/v3`: `http://127.0.0.1:5000`; absent where there is none. */
  readonly identity?: string
}

export interface ListenAddress {
  readonly host: string
  readonly port: number
  readonly tls: boolean
}

/** The URLs of an object store that listens there; a wildcard address is reached by the loopback one. */
export function endpointsOf(address: ListenAddress): Endpoints {
  const objectStore = urlOf(address)
  return { objectStore, signIn: `${objectStore}/auth/v1.0` }
}

/** The URL of what listens there; a wildcard address is reached by the loopback one. */
export function urlOf({ host, port, tls }: ListenAddress): string {
  const wildcard = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  const name = wildcard.includes(':') ? `[${wildcard}]` : wildcard
  return `${tls ? 'https' : 'http'}://${name}:${port}`
}

/** The URL by which clients reach it: on a wildcard address by the host that they have named themselves. */
export function clientUrlOf(address: ListenAddress): string {
  const { host, port, tls } = address
  if (host !== '0.0.0.0' && host !== '::') return urlOf(address)
  return `${tls ? 'https' : 'http'}://${REQUEST_HOST}:${port}`
}

/** Notes where it listens, for `swiftlet env`. */
export async function writeEndpoints(path: string, endpoints: Endpoints): Promise<void> {
  await replaceFile(path, `${JSON.stringify(endpoints, null, 2)}\n`)
}

/** Where it listened last; the default address if it never did. */
export async function readEndpoints(path: string): Promise<Endpoints> {
  const text = await readTextFile(path)
  if (text === null) {
    return endpointsOf({ host: DEFAULT_HOST, port: DEFAULT_PORTS.objectStore, tls: false })
  }
  const config = parseConfig(text, path)
  return {
    objectStore: config.text('objectStore'),
    signIn: config.text('signIn'),
    ...(config.has('identity') ? { identity: config.text('identity') } : {}),
  }
}
