import type { IncomingHttpHeaders } from 'node:http'
import { pathOfUrl } from '../../swift/path.ts'

/** What a path of the Swift API or of the proxy itself begins with. A bucket of such a name needs a signature or a host. */
const RESERVED = new Set([
  'auth',
  'crossdomain.xml',
  'endpoints',
  'favicon.ico',
  'healthcheck',
  'info',
  'metrics',
  'recon',
  'robots.txt',
  'status',
  'status.json',
  'swiftlet',
  'v1.0',
  'v2.0',
])

const BUCKET = /^\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/|$)/

/** Whether a request that nobody has signed names a bucket in its path. One with a token is Swift's. */
export function isAnonymousPath({
  url,
  headers,
}: {
  readonly url: string
  readonly headers: IncomingHttpHeaders
}): boolean {
  if (headers['x-auth-token'] !== undefined) return false
  const match = BUCKET.exec(pathOfUrl(url))
  return match !== null && !RESERVED.has(match[1]!)
}
