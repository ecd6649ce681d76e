/**
 * Uploads straight from a browser's form: the account's owner signs where to, how much, until when and where the browser goes
 * afterwards, and needs no server of its own. The form grants a PUT below its path and nothing else.
 * https://docs.openstack.org/swift/latest/api/form_post_middleware.html
 */
import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { bodyPieces } from '../body.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { isStream, type Reply, reasonOf } from '../reply.ts'
import { innerExchange, readReply } from '../swift/inner-exchange.ts'
import { pathText } from '../swift/path.ts'
import { escapePath, fromWire, toWire } from '../wire-text.ts'
import { DIGESTS, type Digest, digestInfo, isSignedBy, parseSignature } from './digest.ts'
import { type FormPart, formParts, parseParameterised } from './form-parts.ts'
import type { Layer } from './layer.ts'
import { escapeHtml } from './static-web-page.ts'
import { type ScopedKey, tempUrlKeys } from './temp-url-keys.ts'

export interface FormPostOptions {
  readonly allowedDigests?: readonly Digest[]
}

/** A longer field is cut off, as in Swift. */
const FIELD_BYTES_MAX = 4096
const FIELDS_MAX = 1000
/** Of a refusal's page that the browser is shown. */
const PAGE_BYTES_MAX = 64 * 1024
const TYPE = 'multipart/form-data'

export function formPostLayer({ allowedDigests = DIGESTS }: FormPostOptions): Layer {
  return {
    name: 'formpost',
    concerns: ({ method, headers }) =>
      method === 'POST' && headers['content-type']?.toLowerCase().startsWith(TYPE) === true,
    answer(exchange, next) {
      const { value, parameters } = parseParameterised(exchange.header('content-type')!)
      const { boundary } = parameters
      if (value !== TYPE || boundary === undefined) return next()
      return new FormPost(exchange, allowedDigests).answer(boundary)
    },
    info: { formpost: digestInfo(allowedDigests) },
  }
}

/** What the form said so far, names in lower case. */
type Fields = Readonly<Record<string, string>>

/** How the last file went. */
interface Outcome {
  readonly status: number
  readonly words: string
  readonly page: string | null
}

class FormPost {
  readonly #exchange: Exchange
  readonly #digests: readonly Digest[]
  readonly #fields: Record<string, string> = {}
  #keys: readonly ScopedKey[] = []
  #files = 0
  /** The fields as they were when their signature was found to be right. */
  #signed: Fields | null = null

  constructor(exchange: Exchange, digests: readonly Digest[]) {
    this.#exchange = exchange
    this.#digests = digests
  }

  async answer(boundary: string): Promise<Reply> {
    const exchange = this.#exchange
    if (exchange.path!.container !== undefined) {
      this.#keys = await tempUrlKeys(exchange, exchange.path!)
    }
    let outcome: Outcome = failure('no files to process')
    for await (const part of formParts(bodyPieces(exchange), boundary)) {
      const { value, parameters } = parseParameterised(part.headers['content-disposition'] ?? '')
      if (value === 'form-data' && parameters.filename) {
        outcome = await this.#takeFile(part, parameters.filename)
        if (outcome.status > 299) break
      } else {
        await this.#takeField(part, parameters.name)
      }
    }
    return this.#reply(outcome)
  }

  async #takeField(part: FormPart, name: string | undefined): Promise<void> {
    const pieces: Buffer[] = []
    let bytes = 0
    for await (const piece of part.body as AsyncIterable<Buffer>) {
      if (bytes < FIELD_BYTES_MAX) pieces.push(piece)
      bytes += piece.length
    }
    if (name === undefined) return
    const text = fromWire(Buffer.concat(pieces).toString('latin1', 0, FIELD_BYTES_MAX))
    if (text === null) throw badRequest(`FormPost: ${name} must be UTF-8`)
    if (Object.keys(this.#fields).length >= FIELDS_MAX)
      throw badRequest('FormPost: too many fields')
    this.#fields[name.toLowerCase()] = text.replace(/[\r\n]+$/, '')
  }

  async #takeFile(part: FormPart, filename: string): Promise<Outcome> {
    const fields = { ...this.#fields }
    const bytesMax = integerIn(fields, 'max_file_size') ?? 0
    this.#files++
    if (this.#files > (integerIn(fields, 'max_file_count') ?? 0)) {
      return failure('max file count exceeded')
    }
    if (filename.includes('\0')) throw badRequest('FormPost: filename contains NULL')
    const headers = fileHeaders(fields, part)
    this.#checkSignature(fields)
    const body = new CappedBody(part.body, bytesMax)
    const exchange = this.#exchange
    const { account, container, object = '' } = exchange.path!
    const inner = innerExchange(exchange, {
      method: 'PUT',
      path: { account, container: container!, object: `${object}${filename}` },
      headers,
      body: body.stream,
      authority: { by: '.wsgi.formpost', account, container: container!, owner: false },
    })
    const reply = await exchange.proxy.answerInner(inner)
    body.stream.destroy()
    if (body.isTooLong) throw badRequest('FormPost: max_file_size exceeded')
    if (part.body.errored) throw part.body.errored
    return outcomeOf(reply)
  }

  /** Throws a 401 unless a key of the account or container signs what the form says. */
  #checkSignature(fields: Fields): void {
    if (this.#keys.length === 0) throw unauthorised('Invalid Signature')
    const nowSeconds = this.#exchange.proxy.clock.nowMs() / 1000
    if ((integerIn(fields, 'expires') ?? 0) < nowSeconds) throw unauthorised('Form Expired')
    if (!this.#isSigned(fields)) throw unauthorised('Invalid Signature')
    this.#signed = fields
  }

  #isSigned(fields: Fields): boolean {
    const signature = parseSignature(fields.signature ?? '')
    if (signature === null || !this.#digests.includes(signature.digest)) return false
    const message = [
      pathText(this.#exchange),
      fields.redirect || '',
      fields.max_file_size || '0',
      fields.max_file_count || '0',
      fields.expires || '0',
    ].join('\n')
    return this.#keys.some(({ key }) => isSignedBy(signature, key, message))
  }

  /** The browser goes only where the signature sends it. */
  #reply({ status, words, page }: Outcome): Reply {
    if (this.#signed === null && this.#isSigned(this.#fields)) this.#signed = { ...this.#fields }
    const redirect = this.#signed?.redirect
    if (redirect) return redirectReply(redirect, { status, words })
    const line = `${status} ${reasonOf(status)}`
    const text = words === '' ? line : `${line}\r\nFormPost: ${titled(words)}`
    const body = status > 299 && page !== null ? page : text
    return { status, headers: ['Content-Type', 'text/plain; charset=UTF-8'], body }
  }
}

function failure(words: string): Outcome {
  return { status: 400, words, page: null }
}

function unauthorised(words: string): Error {
  return refusal(401, `FormPost: ${words}`)
}

async function outcomeOf(reply: Reply): Promise<Outcome> {
  const { status } = reply
  const page = status > 299 || isStream(reply.body) ? await readReply(reply, PAGE_BYTES_MAX) : null
  return { status, words: '', page: page === null || page.length === 0 ? null : page.toString() }
}

function fileHeaders(fields: Fields, part: FormPart): IncomingHttpHeaders {
  const headers: Record<string, string> = { 'transfer-encoding': 'chunked' }
  const type = fields['content-type'] ?? part.headers['content-type']
  if (type !== undefined) headers['content-type'] = type || 'application/octet-stream'
  const encoding = fields['content-encoding'] ?? part.headers['content-encoding']
  if (encoding !== undefined) headers['content-encoding'] = encoding
  const deleteAt = integerIn(fields, 'x_delete_at')
  const deleteAfter = integerIn(fields, 'x_delete_after')
  if (deleteAt !== null) headers['x-delete-at'] = String(deleteAt)
  if (deleteAfter !== null) headers['x-delete-after'] = String(deleteAfter)
  for (const name of ['content-type', 'content-encoding']) {
    const value = headers[name]
    if (value !== undefined && fields[name] !== undefined) headers[name] = toWire(value)
  }
  return headers
}

/** A field that is a whole number; null if it is not there. A 400 for anything else. */
function integerIn(fields: Fields, name: string): number | null {
  const text = fields[name]
  if (text === undefined || text === '') return null
  if (/^\s*[+-]?\d{1,15}\s*$/.test(text)) return Number(text)
  throw badRequest(`FormPost: ${name} not an integer`)
}

function redirectReply(
  redirect: string,
  { status, words }: { readonly status: number; readonly words: string },
): Reply {
  for (const char of redirect) {
    if (char < ' ' || char === '\x7f') throw badRequest('FormPost: redirect is no URL')
  }
  const query = `status=${status}&message=${escapePath(words)}`
  const location = `${redirect}${redirect.includes('?') ? '&' : '?'}${query}`
  const link = `<a href="${escapeHtml(location)}">Click to continue...</a>`
  return {
    status: 303,
    headers: ['Content-Type', 'text/html; charset=UTF-8', 'Location', location],
    body: `<html><body><p>${link}</p></body></html>`,
  }
}

function titled(words: string): string {
  return words.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
}

/** A file's bytes, as many as the form allows. */
class CappedBody {
  readonly stream: Readable
  #isTooLong = false

  constructor(source: Readable, bytesMax: number) {
    this.stream = Readable.from(this.#capped(source, bytesMax), { objectMode: false })
    this.stream.on('error', () => {})
  }

  get isTooLong(): boolean {
    return this.#isTooLong
  }

  async *#capped(source: Readable, bytesMax: number): AsyncGenerator<Buffer> {
    let bytes = 0
    // The rest of a part is somebody else's to throw away.
    const pieces = source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
    for await (const piece of pieces) {
      bytes += piece.length
      if (bytes > bytesMax) {
        this.#isTooLong = true
        throw badRequest('the file is too long')
      }
      yield piece
    }
  }
}
