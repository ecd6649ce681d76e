/**
 * An archive as it comes in, unpacked into objects: `container/name`, below the path of the request. What fits a record
 * is read whole and put with others at once, so that they share their syncs; longer files go one by one, at the store's
 * pace. Names are names, not places: `../x` is an object called so in its container.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { type Extract, extract, type Header } from 'tar-stream'
import { ServiceError } from '../../../common/errors.ts'
import { INLINE_BYTES_MAX } from '../../../common/storage-node.ts'
import { bodyPieces } from '../../body.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import { statusLine } from '../../swift/batch-report.ts'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { escapePath, fromWire, toWire } from '../../wire-text.ts'
import type { BulkSettings } from './bulk.ts'
import { type BulkResult, refusedFields } from './bulk-result.ts'
import { bunzip } from './bunzip.ts'
import { gunzip } from './gunzip.ts'

export const ARCHIVE_FORMATS = ['tar', 'tar.gz', 'tar.bz2'] as const
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number]

/** Null for one that is not known. */
export function archiveFormat(text: string): ArchiveFormat | null {
  const name = text.toLowerCase().replace(/^\.+|\.+$/g, '')
  return ARCHIVE_FORMATS.find((format) => format === name) ?? null
}

type Entry = Extract extends AsyncIterable<infer E> ? E : never

/** Bytes, one character each: its types leave the option out. */
const LATIN1_NAMES = { filenameEncoding: 'latin1' } as object

function paxOf(header: Header): Readonly<Record<string, string>> {
  return (header.pax ?? {}) as Readonly<Record<string, string>>
}

/** Small files that are put at once. */
const PUTS_MAX = 8

export async function extractArchive(
  exchange: Exchange,
  format: ArchiveFormat,
  settings: BulkSettings,
): Promise<BulkResult> {
  const extraction = new Extraction(exchange, settings)
  const tar = extract(LATIN1_NAMES)
  const source = Readable.from(tarBytes(exchange, format), { objectMode: false })
  source.on('error', (error) => tar.destroy(error))
  source.pipe(tar as unknown as NodeJS.WritableStream)
  try {
    for await (const entry of tar) {
      const goesOn = await extraction.take(entry)
      if (!goesOn) break
      entry.resume()
    }
  } catch (error) {
    await extraction.settle()
    return extraction.result(archiveError(error))
  } finally {
    source.destroy()
    tar.destroy()
  }
  await extraction.settle()
  return extraction.result()
}

/** The plain tar. What is packed may be no longer than an object: a few kilobytes can unpack to anything. */
function tarBytes(exchange: Exchange, format: ArchiveFormat): AsyncIterable<Buffer> {
  const pieces = bodyPieces(exchange)
  if (format === 'tar') return pieces
  const bytesMax = exchange.proxy.limits.objectBytesMax
  const unpacked = format === 'tar.gz' ? gunzip(pieces) : bunzip(pieces)
  return capped(unpacked, bytesMax)
}

async function* capped(pieces: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const piece of pieces) {
    bytes += piece.length
    if (bytes > bytesMax) throw refusal(413, 'The archive unpacks to more than an object may have')
    yield piece
  }
}

function archiveError(error: unknown): Error {
  if (error instanceof ServiceError) return error
  const { message } = error as Error
  return badRequest(`Invalid Tar File: ${message}`)
}

interface Target {
  readonly path: SwiftPath & { readonly container: string; readonly object: string }
  /** As errors name it. */
  readonly escaped: string
}

class Extraction {
  readonly #exchange: Exchange
  readonly #settings: BulkSettings
  readonly #errors: (readonly [string, string])[] = []
  /** Why a container could not be made, by name; null: it is there. */
  readonly #containers = new Map<string, number | null>()
  /** Puts under way, by the name of their object. */
  readonly #running = new Map<string, Promise<void>>()
  #containersMade = 0
  #created = 0
  #hasServerError = false
  #failure: Error | null = null

  constructor(exchange: Exchange, settings: BulkSettings) {
    this.#exchange = exchange
    this.#settings = settings
  }

  /** False: no more is to be unpacked. Throws what ends all of it. */
  async take(entry: Entry): Promise<boolean> {
    const { header } = entry
    if (this.#failure !== null) throw this.#failure
    if (this.#errors.length >= this.#settings.failedExtractionsMax) return false
    if (this.#exchange.res.destroyed) throw refusal(499)
    const isFile = header.type === 'file' || header.type === 'contiguous-file'
    const target = isFile ? this.#targetOf(header) : null
    if (target === null) return true
    if ((header.size ?? 0) > this.#exchange.proxy.limits.objectBytesMax) {
      this.#fail(target, 413)
      return true
    }
    await this.#ensureContainer(target)
    await this.#put(target, entry)
    return true
  }

  async settle(): Promise<void> {
    await Promise.all(this.#running.values())
  }

  /** With what was done before it was given up. */
  result(failure: unknown = this.#failure): BulkResult {
    const fails = this.#errors.length > 0
    const isNothing = !fails && this.#created === 0
    const status = fails ? (this.#hasServerError ? 502 : 400) : isNothing ? 400 : 201
    return {
      fields: {
        'Response Status': statusLine(status),
        'Response Body': isNothing ? 'Invalid Tar File: No Valid Files' : '',
        'Number Files Created': this.#created,
        ...(failure !== null && refusedFields(this.#exchange, failure)),
      },
      errors: this.#errors,
    }
  }

  /** Null for what belongs to no container. */
  #targetOf(header: Header): Target | null {
    const { account, container, object } = this.#exchange.path!
    // A pax header's name is text already, of UTF-8 or not; an old header's are bytes.
    const pax = paxOf(header).path
    const name = pax ?? fromWire(header.name)
    if (name === null || name.includes('\0') || name.includes('\ufffd')) {
      this.#errors.push([escapePath(toWire(header.name)), statusLine(412)])
      return null
    }
    const base = [container, object].filter((part) => part !== undefined).join('/')
    const inside = name.replace(/^\.\//, '').replace(/^\/+/, '')
    const whole = base === '' ? inside : `${base.replace(/\/+$/, '')}/${inside}`
    const slash = whole.indexOf('/')
    if (slash < 1 || slash === whole.length - 1) return null
    const path = { account, container: whole.slice(0, slash), object: whole.slice(slash + 1) }
    return { path, escaped: escapePath(whole) }
  }

  async #ensureContainer({ path }: Target): Promise<void> {
    const { container } = path
    if (this.#containers.has(container)) return
    const ask = async (method: string) => {
      const inner = { method, path: { ...path, object: undefined } }
      const reply = await this.#exchange.proxy.answerInner(innerExchange(this.#exchange, inner))
      await dropReply(reply)
      return reply.status
    }
    let status = await ask('HEAD')
    if (status === 404) {
      status = await ask('PUT')
      if (status < 300) this.#containersMade++
    }
    // Containers that are there do not count; of those that are made, so many and no more.
    if (this.#containersMade > this.#settings.containersMax) {
      const { containersMax } = this.#settings
      throw badRequest(`More than ${containersMax} containers to create from tar.`)
    }
    if (status === 401) throw refusal(401)
    this.#containers.set(container, status < 300 ? null : status)
  }

  async #put(target: Target, entry: Entry): Promise<void> {
    const bytes = entry.header.size ?? 0
    const headers = { ...this.#headersFor(entry.header), 'content-length': String(bytes) }
    const key = target.escaped
    // A name that comes twice: the later one counts.
    await this.#running.get(key)
    if (bytes > INLINE_BYTES_MAX) {
      const body = Readable.from(entry as AsyncIterable<Buffer>, { objectMode: false })
      body.on('error', () => {})
      await this.#send(target, headers, body)
      return
    }
    const whole = await readEntry(entry, bytes)
    while (this.#running.size >= PUTS_MAX) await Promise.race(this.#running.values())
    const sending = this.#send(target, headers, whole).finally(() => this.#running.delete(key))
    this.#running.set(key, sending)
  }

  async #send(
    target: Target,
    headers: IncomingHttpHeaders,
    body: Uint8Array | Readable,
  ): Promise<void> {
    const request = { method: 'PUT', path: target.path, headers, body }
    const reply = await this.#exchange.proxy.answerInner(innerExchange(this.#exchange, request))
    await dropReply(reply)
    const { status } = reply
    if (status < 300) {
      this.#created++
      return
    }
    const made = this.#containers.get(target.path.container)
    const { account, container } = target.path
    if (made != null)
      this.#errors.push([escapePath(`/v1/${account}/${container}`), statusLine(made)])
    this.#fail(target, status)
    if (status === 401) this.#failure ??= refusal(401)
    if (status === 408 || status === 499) this.#failure ??= refusal(status)
  }

  #fail({ escaped }: Target, status: number): void {
    if (status >= 500) this.#hasServerError = true
    this.#errors.push([escaped, statusLine(status)])
  }

  /** What the request says of all files, and the archive of this one. */
  #headersFor(header: Header): IncomingHttpHeaders {
    const headers: Record<string, string> = {}
    for (const [name, value] of Object.entries(this.#exchange.headers)) {
      const isForAll = SHARED.has(name) || name.startsWith('x-object-meta-')
      if (isForAll && typeof value === 'string') headers[name] = value
    }
    for (const [key, value] of Object.entries(paxOf(header))) {
      const name = headerOfPax(key)
      if (name !== null) headers[name] = toWire(value)
    }
    return headers
  }
}

const SHARED = new Set(['x-delete-at', 'x-delete-after', 'x-detect-content-type'])

/** GNU tar and libarchive keep a file's extended attributes in pax headers. */
export function headerOfPax(key: string): string | null {
  const match = /^(?:SCHILY|LIBARCHIVE)\.xattr\.user\.(mime_type|meta\.(.+))$/s.exec(key)
  if (match === null) return null
  if (match[1] === 'mime_type') return 'content-type'
  const name = `x-object-meta-${match[2]!.toLowerCase()}`
  return /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) ? name : null
}

async function readEntry(entry: Entry, bytes: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafe(bytes)
  let at = 0
  for await (const piece of entry as AsyncIterable<Buffer>) {
    piece.copy(whole, at)
    at += piece.length
  }
  if (at !== bytes) throw badRequest('Invalid Tar File: unexpected end of data')
  return whole
}
