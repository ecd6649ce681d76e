import type { Readable } from 'node:stream'
import { Dicer } from '@fastify/busboy'
import { badRequest } from '../exchange.ts'
import { fromWire } from '../wire-text.ts'

/** One field or file of a form. */
export interface FormPart {
  /** By names in lower case, as they came. */
  readonly headers: Readonly<Record<string, string>>
  /** Read or left before the next part is asked for. */
  readonly body: Readable
}

const HEADER_BYTES_MAX = 16 * 1024
const HEADERS_MAX = 100

/**
 * The parts of a multipart body in their order, each while it comes in. Throws a 400 for what is no such body, and what
 * the pieces throw.
 */
export async function* formParts(
  pieces: AsyncGenerator<Buffer>,
  boundary: string,
): AsyncGenerator<FormPart> {
  const form = new Form(pieces, boundary)
  try {
    for (;;) {
      const part = await form.next()
      if (part === null) return
      yield part
      await drained(part.body)
    }
  } finally {
    await form.close()
  }
}

/** A media type or disposition with its parameters: names in lower case, values as text. */
export interface Parameterised {
  readonly value: string
  readonly parameters: Readonly<Record<string, string>>
}

const PARAMETER = /;\s*([^\s=;]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))/g

/** Reads `form-data; name="file"; filename="a.txt"`. A 400 where it is not UTF-8. */
export function parseParameterised(header: string): Parameterised {
  const text = fromWire(header)
  if (text === null) throw badRequest('FormPost: headers must be UTF-8')
  const parameters: Record<string, string> = {}
  for (const [, name, quoted, plain] of text.matchAll(PARAMETER)) {
    parameters[name!.toLowerCase()] = quoted?.replace(/\\(["\\])/g, '$1') ?? plain!.trim()
  }
  const end = text.indexOf(';')
  return { value: (end < 0 ? text : text.slice(0, end)).trim().toLowerCase(), parameters }
}

interface Waiting {
  readonly part: FormPart | null
  readonly failure: Error | null
}

/** Feeds the parser at the pace of who reads the parts. */
class Form {
  readonly #pieces: AsyncGenerator<Buffer>
  readonly #boundary: string
  readonly #dicer: Dicer
  readonly #ready: FormPart[] = []
  #current: Readable | null = null
  #end: Waiting | null = null
  #wake: (() => void) | null = null
  #isClosed = false
  readonly #fed: Promise<void>

  constructor(pieces: AsyncGenerator<Buffer>, boundary: string) {
    this.#pieces = pieces
    this.#boundary = boundary
    const limits = { maxHeaderPairs: HEADERS_MAX, maxHeaderSize: HEADER_BYTES_MAX }
    this.#dicer = new Dicer({ boundary, ...limits } as ConstructorParameters<typeof Dicer>[0])
    this.#dicer.on('part', (part: Readable) => this.#begin(part))
    this.#dicer.on('finish', () => this.#finish({ part: null, failure: null }))
    this.#dicer.on('error', () => this.#fail(badRequest('FormPost: the form ends early')))
    this.#fed = this.#feed()
  }

  async next(): Promise<FormPart | null> {
    for (;;) {
      const part = this.#ready.shift()
      if (part !== undefined) return part
      if (this.#end?.failure) throw this.#end.failure
      if (this.#end !== null) return null
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** No more is read; who waits for the rest of a part gets an error. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#fail(badRequest('FormPost: the form was left'))
    for (const part of this.#ready) part.body.destroy()
    this.#dicer.destroy()
    await this.#fed
    await this.#pieces.return(undefined)
  }

  #begin(body: Readable): void {
    this.#current = body
    body.on('error', ignore)
    let isKnown = false
    const add = (headers: Readonly<Record<string, string>>) => {
      if (isKnown) return
      isKnown = true
      this.#ready.push({ headers, body })
      this.#wakeUp()
    }
    body.on('header', (found: Readonly<Record<string, readonly string[]>>) => {
      add(Object.fromEntries(Object.entries(found).map(([name, values]) => [name, values[0]!])))
    })
    body.on('end', () => add({}))
  }

  async #feed(): Promise<void> {
    try {
      let isFirst = true
      for await (const piece of this.#pieces) {
        if (this.#isClosed) return
        const start = `--${this.#boundary}`
        if (isFirst && piece.toString('latin1', 0, start.length) !== start) {
          throw badRequest('FormPost: invalid starting boundary')
        }
        isFirst = false
        await this.#write(piece)
      }
      if (isFirst) throw badRequest('FormPost: invalid starting boundary')
      this.#dicer.end()
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #write(piece: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#dicer.off('close', done)
        resolve()
      }
      this.#dicer.on('close', done)
      this.#dicer.write(piece, done)
    })
  }

  #fail(failure: Error): void {
    this.#current?.destroy(failure)
    this.#finish({ part: null, failure })
  }

  #finish(end: Waiting): void {
    this.#end ??= end
    this.#wakeUp()
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = null
  }
}

/** What was left of a part is thrown away. */
function drained(body: Readable): Promise<void> {
  if (body.readableEnded || body.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    body.once('end', resolve).once('close', resolve)
    body.resume()
  })
}

function ignore(): void {}
