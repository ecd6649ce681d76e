import { fromWire } from '../../wire-text.ts'
import { S3Error } from '../s3-error.ts'
import { unescapeBytes } from '../signature/canonical.ts'

/** What a request is about: the service, a bucket, or an object. Later parts are absent, never empty. */
export interface S3Target {
  readonly bucket: string | undefined
  /** Set: `account:bucket`, that account's bucket whoever else has one of the name; empty: whose the name is for everybody. */
  readonly account?: string
  readonly key: string | undefined
  /** The bucket stands in the Host header. */
  readonly isVirtualHost: boolean
}

/** Longer keys are nobody's. */
export const KEY_BYTES_MAX = 1024

/** Takes Host and path apart; `path` is the target before its query, as it came. */
export function parseTarget(
  path: string,
  host: string | undefined,
  domains: readonly string[],
): S3Target {
  const bucket = bucketOfHost(host, domains)
  const text = fromWire(unescapeBytes(path))
  if (text === null || text.includes('\0') || !text.startsWith('/')) throw new S3Error('InvalidURI')
  const rest = text.slice(1)
  if (bucket !== undefined) return { bucket, key: rest || undefined, isVirtualHost: true }
  const slash = rest.indexOf('/')
  const named = slash < 0 ? rest : rest.slice(0, slash)
  const colon = named.indexOf(':')
  const name = named.slice(colon + 1)
  const key = slash < 0 ? '' : rest.slice(slash + 1)
  if (name === '' && key !== '')
    throw new S3Error('InvalidBucketName', undefined, { BucketName: '' })
  const target = { bucket: name || undefined, key: key || undefined, isVirtualHost: false }
  return colon < 0 ? target : { ...target, account: named.slice(0, colon) }
}

/** Whether the host is one of the domains, or a bucket's below one. */
export function isS3Host(host: string | undefined, domains: readonly string[]): boolean {
  if (domains.length === 0 || host === undefined) return false
  const name = hostName(host)
  return domains.some((domain) => name === domain || name.endsWith(`.${domain}`))
}

/** The bucket that a Host header names; undefined if it names none. */
export function bucketOfHost(
  host: string | undefined,
  domains: readonly string[],
): string | undefined {
  if (domains.length === 0 || host === undefined) return undefined
  const name = hostName(host)
  const domain = domains.find((known) => name.endsWith(`.${known}`))
  return domain === undefined ? undefined : name.slice(0, -domain.length - 1)
}

function hostName(host: string): string {
  return host.replace(/:\d*$/, '').toLowerCase()
}
