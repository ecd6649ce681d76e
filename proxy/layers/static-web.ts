/**
 * A container as a web site, for whoever comes without a token (or with `X-Web-Mode: true`): index pages, error pages,
 * folders as HTML. What may be seen is what the container's read ACL lets see; listings need `.rlistings`.
 * https://docs.openstack.org/swift/latest/middleware.html#staticweb
 */
import type { ItemInfo } from '../../common/storage-node.ts'
import { errorReply } from '../error-reply.ts'
import type { Exchange } from '../exchange.ts'
import { isStream, type Reply, replyHeader, statusReply } from '../reply.ts'
import { authorise } from '../swift/access.ts'
import { dropReply, innerExchange } from '../swift/inner-exchange.ts'
import { containerOf } from '../swift/object-access.ts'
import { pathOfUrl, pathText } from '../swift/path.ts'
import { isTrue } from '../swift/query.ts'
import { escapePath } from '../wire-text.ts'
import type { Layer, Next } from './layer.ts'
import { listingPage, noListingPage } from './static-web-page.ts'
import { TEMP_URL_USER, type TempUrl, tempUrlOf } from './temp-url.ts'

export interface StaticWebOptions {
  /** `https://www.example.com`: where redirects lead, in place of the host that was asked. */
  readonly urlBase?: string
}

/** What a container's metadata says of its site; empty texts where nothing is said. */
interface Site {
  readonly index: string
  readonly error: string
  readonly listings: string
  readonly label: string
  readonly css: string
  readonly directoryType: string
}

export function staticWebLayer(options: StaticWebOptions): Layer {
  return {
    name: 'staticweb',
    concerns: isForSite,
    answer: (exchange, next) => {
      const visit = new Visit(exchange, options)
      return exchange.path!.object === undefined ? visit.container(next) : visit.object(next)
    },
    info: { staticweb: {} },
  }
}

function isForSite(exchange: Exchange): boolean {
  const { method, caller, authority, path, isInner } = exchange
  if (path?.container === undefined || isInner || (method !== 'GET' && method !== 'HEAD')) {
    return false
  }
  if (authority !== null) return authority.by === TEMP_URL_USER
  return caller === null || isTrue(exchange.header('x-web-mode'))
}

/** One request for a page of a site. */
class Visit {
  readonly #exchange: Exchange
  readonly #options: StaticWebOptions

  constructor(exchange: Exchange, options: StaticWebOptions) {
    this.#exchange = exchange
    this.#options = options
  }

  async container(next: Next): Promise<Reply> {
    const exchange = this.#exchange
    const info = await containerOf(exchange, exchange.path!)
    const site = siteOf(info)
    try {
      await authorise(exchange, { acl: 'read' }, info)
    } catch (error) {
      return this.#errorPage(errorReply(exchange, error), site)
    }
    if (site.listings === '' && site.index === '') {
      return isTrue(exchange.header('x-web-mode')) ? statusReply(404) : next()
    }
    if (!this.#endsWithSlash()) return this.#toSlash()
    if (site.index === '') return this.#listing(site, '')
    const index = await this.#read(site.index)
    if (index.status === 404) return this.#listing(site, '')
    // Of the site as a whole: whoever may see all of it by a temporary URL may see it at its root.
    return isFine(index) ? { ...index, generator: 'staticweb' } : this.#errorPage(index, site)
  }

  async object(next: Next): Promise<Reply> {
    const exchange = this.#exchange
    const reply = await replyOf(exchange, next)
    const isMarker = isFine(reply) && (await this.#isDirectoryMarker(reply))
    if (reply.status !== 404 && !isMarker) return reply
    const site = siteOf(await containerOf(exchange, exchange.path!))
    if (site.listings === '' && site.index === '') return reply
    await dropReply(reply)
    return this.#folder(site)
  }

  /** Where no object is, a folder may be: its index, or its listing. */
  async #folder(site: Site): Promise<Reply> {
    const object = this.#exchange.path!.object!
    if (site.index !== '') {
      const index = await this.#read(`${object}${object.endsWith('/') ? '' : '/'}${site.index}`)
      if (isFine(index)) {
        if (this.#endsWithSlash()) return index
        await dropReply(index)
        return this.#toSlash()
      }
      if (index.status !== 404) return this.#errorPage(index, site)
    }
    if (this.#endsWithSlash()) return this.#listing(site, object)
    const isFolder = await this.#list({ limit: 1, prefix: `${object}/` })
    if (Array.isArray(isFolder) && isFolder.length > 0) return this.#toSlash()
    return this.#errorPage(statusReply(404), site)
  }

  async #isDirectoryMarker(reply: Reply): Promise<boolean> {
    if (contentBytes(reply) > 1) return false
    const site = siteOf(await containerOf(this.#exchange, this.#exchange.path!))
    return replyHeader(reply, 'content-type') === (site.directoryType || 'application/directory')
  }

  async #listing(site: Site, prefix: string): Promise<Reply> {
    const exchange = this.#exchange
    const { css, index } = site
    const label = this.#label(site)
    if (!isTrue(site.listings)) {
      const page = noListingPage({ label, prefix, css, index })
      return this.#errorPage({ ...statusReply(404), body: page }, site)
    }
    const limit = exchange.proxy.limits.containerListingMax
    const entries = await this.#list({ limit, prefix })
    if (!Array.isArray(entries)) return this.#errorPage(entries as Reply, site)
    if (prefix !== '' && entries.length === 0) return this.#errorPage(statusReply(404), site)
    const url = exchange.authority?.by === TEMP_URL_USER ? tempUrlOf(exchange) : null
    const body = listingPage({
      label,
      prefix,
      entries,
      css,
      query: url === null ? '' : queryOfLinks(url),
      hasParent: prefix.length > (url?.prefix ?? '').length,
    })
    const headers = ['Content-Type', 'text/html; charset=UTF-8']
    return { status: 200, headers, body, generator: 'staticweb' }
  }

  /** A page of the container, or the reply that refuses it. */
  async #list(query: { readonly limit: number; readonly prefix: string }) {
    const exchange = this.#exchange
    const { account, container } = exchange.path!
    const path = { account, container, object: undefined }
    try {
      const info = await containerOf(exchange, path)
      await authorise(exchange, { acl: 'read', path }, info)
      const { prefix, limit } = query
      const wanted = { limit, delimiter: '/', ...(prefix !== '' && { prefix }) }
      const page = await exchange.proxy.backend.listContainer(account, container!, wanted)
      return page?.entries ?? statusReply(404)
    } catch (error) {
      return errorReply(exchange, error)
    }
  }

  /** The object as this client would get it, conditions and ranges included. */
  #read(object: string): Promise<Reply> {
    const { method, path, headers, proxy } = this.#exchange
    const inner = innerExchange(this.#exchange, { method, path: { ...path!, object }, headers })
    return proxy.answerInner(inner)
  }

  /** The reply itself, or the site's page for its status: `404error.html` where the error page is `error.html`. */
  async #errorPage(reply: Reply, site: Site): Promise<Reply> {
    if (site.error === '') return reply
    const { path, headers, proxy } = this.#exchange
    const object = `${reply.status}${site.error}`
    const referer = headers.referer === undefined ? {} : { referer: headers.referer }
    const inner = { method: 'GET', path: { ...path!, object }, headers: referer }
    const page = await proxy.answerInner(innerExchange(this.#exchange, inner))
    if (page.status < 200 || page.status > 299) {
      await dropReply(page)
      return reply
    }
    await dropReply(reply)
    return { status: reply.status, headers: page.headers, body: page.body }
  }

  #endsWithSlash(): boolean {
    return pathText(this.#exchange).endsWith('/')
  }

  /** Relative links of a folder's page only work behind a slash. */
  #toSlash(): Reply {
    const exchange = this.#exchange
    const host = exchange.header('host') ?? 'localhost'
    const scheme = 'encrypted' in exchange.socket && exchange.socket.encrypted ? 'https' : 'http'
    const { urlBase } = this.#options
    const origin = urlBase === undefined ? `${scheme}://${host}` : new URL(urlBase).origin
    return statusReply(301, ['Location', `${origin}${pathOfUrl(exchange.url)}/`])
  }

  #label(site: Site): string {
    const text = pathText(this.#exchange)
    if (site.label === '') return text
    return `${site.label}/${text.split('/').slice(4).join('/')}`
  }
}

async function replyOf(exchange: Exchange, next: Next): Promise<Reply> {
  try {
    return await next()
  } catch (error) {
    return errorReply(exchange, error)
  }
}

function siteOf(container: ItemInfo | null): Site {
  const text = (name: string) =>
    container?.meta.headers[`x-container-meta-web-${name}`]?.trim() ?? ''
  return {
    index: text('index'),
    error: text('error'),
    listings: text('listings'),
    label: text('listings-label'),
    css: text('listings-css'),
    directoryType: text('directory-type'),
  }
}

function isFine({ status }: Reply): boolean {
  return status >= 200 && status < 400
}

function contentBytes({ body, announcedBytes = 0 }: Reply): number {
  if (body === null) return announcedBytes
  return isStream(body) ? (body.bytes ?? Number.MAX_SAFE_INTEGER) : body.length
}

/** A temporary URL with a prefix is good for the folder's links, too. */
function queryOfLinks(url: TempUrl): string {
  if (url.prefix === undefined) return ''
  const parts = [
    `temp_url_prefix=${escapePath(url.prefix)}`,
    `temp_url_expires=${escapePath(url.expires!)}`,
    `temp_url_sig=${url.signature}`,
    ...(url.ipRange === undefined ? [] : [`temp_url_ip_range=${escapePath(url.ipRange)}`]),
    ...(url.inline ? ['inline'] : []),
  ]
  return `?${parts.join('&')}`
}
