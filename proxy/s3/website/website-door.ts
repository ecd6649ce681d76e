/**
 * The web site of a bucket: what browsers ask for by its host, signed by nobody. Objects are read as anybody may read them (GetObject's
 * own action and rights); folders show their index, errors the site's own page.
 */
import { ServiceError } from '../../../common/errors.ts'
import type { Exchange } from '../../exchange.ts'
import { type Reply, replyHeader } from '../../reply.ts'
import { dropReply } from '../../swift/inner-exchange.ts'
import { pathOfUrl } from '../../swift/path.ts'
import { escapePath, fromWire } from '../../wire-text.ts'
import { getObject } from '../actions/get-object.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { findBucket, notedBucket } from '../bucket/find-bucket.ts'
import { addCrossOrigin, preflight } from '../cors/cross-origin.ts'
import { WEBSITE_REDIRECT } from '../object/redirect-location.ts'
import { S3Query } from '../routing/s3-query.ts'
import { S3Call, type S3CallParts } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { asS3Error, s3Headers } from '../s3-error-reply.ts'
import { unescapeBytes } from '../signature/canonical.ts'
import { decodeWebsite, redirectOf, type Website, type WebsiteRedirect } from './website-rules.ts'

type WebsiteParts = Pick<S3CallParts, 'exchange' | 'settings' | 'directory' | 'keyring'>
type IndexedSite = Extract<Website, { readonly index: string }>

/** What is about the object that was asked for, and not about the page that is shown in its place. */
const OF_THE_OBJECT = [
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
]

/** A request to the web site of that bucket. */
export function websiteCall(parts: WebsiteParts, bucket: string): S3Call {
  const target = { bucket, key: undefined, isVirtualHost: true }
  const call = new S3Call({ ...parts, target, query: new S3Query([]), signature: null })
  call.notes.isWebsite = true
  return call
}

/** Answers it; never throws. */
export async function answerWebsite(call: S3Call): Promise<Reply> {
  const { exchange } = call
  exchange.kind = 'object'
  const reply = await siteReply(call).catch((error: unknown) => errorPage(call, error))
  reply.headers.push(...s3Headers(exchange))
  await addCrossOrigin(call, reply)
  return reply
}

export function noWebsite(bucket: string): S3Error {
  return new S3Error('NoSuchWebsiteConfiguration', undefined, { BucketName: bucket })
}

async function siteReply(call: S3Call): Promise<Reply> {
  const { exchange, bucket } = call
  if (exchange.method === 'OPTIONS') return preflight(call)
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD') {
    throw new S3Error('MethodNotAllowed', undefined, {}, ['Allow', 'GET, HEAD, OPTIONS'])
  }
  const key = keyOfPath(exchange.url)
  const found = await findBucket(call, bucket)
  call.notes.bucket = notedBucket(found)
  const text = bucketSetting(found.info, 'website')
  if (text === undefined) throw noWebsite(bucket)
  const site = decodeWebsite(text)
  const redirect = redirectOf(site, { key })
  if (redirect !== null) return redirectReply(exchange, redirect)
  // What redirects all has sent it away already.
  return new SiteRequest(call, site as IndexedSite, key).answer()
}

/** A request that the site answers by an object. */
class SiteRequest {
  readonly #call: S3Call
  readonly #site: IndexedSite
  readonly #key: string

  constructor(call: S3Call, site: IndexedSite, key: string) {
    this.#call = call
    this.#site = site
    this.#key = key
  }

  async answer(): Promise<Reply> {
    try {
      return await this.#page()
    } catch (error) {
      return this.#failed(error)
    }
  }

  /** The object, or the index of the folder. */
  async #page(): Promise<Reply> {
    const [key, { index }] = [this.#key, this.#site]
    const isFolder = key === '' || key.endsWith('/')
    try {
      return await this.#read(isFolder ? key + index : key)
    } catch (error) {
      if (isFolder || !isMissing(error)) throw error
      // A folder that was asked for without its slash, if it has an index.
      const page = await this.#read(`${key}/${index}`).catch(() => null)
      if (page === null) throw error
      await dropReply(page)
      const path = `${escapePath(key)}/`
      const to = { status: 302, protocol: undefined, hostName: undefined, path }
      return redirectReply(this.#call.exchange, to)
    }
  }

  async #failed(error: unknown): Promise<Reply> {
    const { exchange, notes } = this.#call
    const { status, code } = asS3Error(exchange, error)
    const redirect = redirectOf(this.#site, { key: this.#key, errorCode: status })
    if (redirect !== null) return redirectReply(exchange, redirect)
    const { errorKey } = this.#site
    if (errorKey === undefined || status < 400 || status >= 500) throw error
    notes.errorCode = code
    for (const name of OF_THE_OBJECT) exchange.dropHeader(name)
    const page = await this.#read(errorKey).catch(() => {
      throw error
    })
    return page.status === 200 ? { ...page, status } : page
  }

  async #read(key: string): Promise<Reply> {
    const { parts } = this.#call
    const reply = await getObject(new S3Call({ ...parts, target: { ...parts.target, key } }))
    const location = replyHeader(reply, WEBSITE_REDIRECT)
    if (location === undefined) return reply
    await dropReply(reply)
    return { status: 301, headers: ['Location', location], body: null }
  }
}

/** The path as a key. What could mean another place to somebody is none: browsers have resolved it, and nobody else asks so. */
function keyOfPath(url: string): string {
  const text = fromWire(unescapeBytes(pathOfUrl(url)))
  if (text === null || text.includes('\0') || !text.startsWith('/')) throw new S3Error('InvalidURI')
  if (text.split(/[/\\]/).some((part) => part === '.' || part === '..')) {
    throw new S3Error('InvalidURI')
  }
  return text.slice(1)
}

function redirectReply(exchange: Exchange, redirect: WebsiteRedirect): Reply {
  const { status, hostName, path } = redirect
  const protocol = redirect.protocol ?? ('encrypted' in exchange.socket ? 'https' : 'http')
  // Always with a host: a path that begins with two slashes would be one.
  const host = hostName ?? exchange.header('host')
  return { status, headers: ['Location', `${protocol}://${host}/${path}`], body: null }
}

/** Also what must not be known to be missing. */
function isMissing(error: unknown): boolean {
  return error instanceof ServiceError && (error.status === 404 || error.status === 403)
}

function errorPage({ exchange, notes }: S3Call, error: unknown): Reply {
  const { proxy, transId } = exchange
  const { status, code, message, headers } = asS3Error(exchange, error)
  notes.errorCode = code
  if (!(error instanceof ServiceError)) proxy.log.error('request failed', { transId, error })
  const title = `${status} ${code}`
  const list = [`Code: ${code}`, `Message: ${escapeHtml(message)}`, `RequestId: ${transId}`]
  const body = [
    `<html>\n<head><title>${title}</title></head>`,
    `<body>\n<h1>${title}</h1>`,
    `<ul>\n${list.map((line) => `<li>${line}</li>`).join('\n')}\n</ul>`,
    '</body>\n</html>\n',
  ].join('\n')
  return {
    status,
    headers: ['Content-Type', 'text/html; charset=utf-8', ...headers],
    body: exchange.method === 'HEAD' ? null : body,
  }
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
