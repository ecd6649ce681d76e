import { forEachParallel } from '../../../common/bounded-parallel.ts'
import { bodyPieces } from '../../body.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import { statusLine } from '../../swift/batch-report.ts'
import { dropReply, innerExchange } from '../../swift/inner-exchange.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { escapePath, unescapeUrl } from '../../wire-text.ts'
import type { BulkSettings } from './bulk.ts'
import { type BulkResult, refusedFields } from './bulk-result.ts'

/** Deletes what the lines of the body name: objects first, then containers. */
export async function deleteNames(exchange: Exchange, settings: BulkSettings): Promise<BulkResult> {
  const names = await readNames(exchange, settings.deletesMax)
  const deletion = new BulkDeletion(exchange, settings)
  for (const name of names) if (name.text === null) deletion.failed(name.raw, 412)
  const texts = names.flatMap(({ text }) => (text === null || text === '' ? [] : [text]))
  try {
    await deletion.run(texts.filter((text) => isObject(text)))
    await deletion.run(texts.filter((text) => !isObject(text)))
  } catch (error) {
    return deletion.result(error)
  }
  return deletion.result()
}

/** A line of the body: null if it is no UTF-8 or has a NUL. */
interface Name {
  readonly text: string | null
  readonly raw: string
}

function isObject(name: string): boolean {
  return name.replace(/^\/+|\/+$/g, '').includes('/')
}

async function readNames(exchange: Exchange, namesMax: number): Promise<readonly Name[]> {
  const { objectNameBytesMax, containerNameBytesMax } = exchange.proxy.limits
  const lineBytesMax = 2 * (objectNameBytesMax + containerNameBytesMax + 2)
  const names: Name[] = []
  let rest = ''
  const add = (line: string) => {
    names.push(nameOf(line.trim()))
    if (names.length > namesMax) {
      throw refusal(413, `Maximum Bulk Deletes: ${namesMax} per request`)
    }
  }
  for await (const piece of bodyPieces(exchange)) {
    const lines = (rest + piece.toString('latin1')).split('\n')
    rest = lines.pop()!
    for (const line of lines) add(line)
    if (rest.length > lineBytesMax) throw badRequest('Invalid File Name')
  }
  if (rest.trim() !== '') add(rest)
  return names
}

function nameOf(raw: string): Name {
  const text = unescapeUrl(raw)
  return { text: text === null || text.includes('\0') ? null : text, raw }
}

class BulkDeletion {
  readonly #exchange: Exchange
  readonly #settings: BulkSettings
  readonly #errors: (readonly [string, string])[] = []
  #deleted = 0
  #notFound = 0
  #hasServerError = false

  constructor(exchange: Exchange, settings: BulkSettings) {
    this.#exchange = exchange
    this.#settings = settings
  }

  async run(names: readonly string[]): Promise<void> {
    const { deleteConcurrency } = this.#settings
    await forEachParallel(names, deleteConcurrency, (name) => this.#delete(name), {
      stopAtFailure: true,
    })
  }

  /** With what was done before it was given up. */
  result(failure?: unknown): BulkResult {
    const isNothing = this.#deleted === 0 && this.#notFound === 0
    const fails = this.#errors.length > 0
    const status = fails ? (this.#hasServerError ? 502 : 400) : isNothing ? 400 : 200
    return {
      fields: {
        'Response Status': statusLine(status),
        'Response Body': isNothing && !fails ? 'Invalid bulk delete.' : '',
        'Number Deleted': this.#deleted,
        'Number Not Found': this.#notFound,
        ...(failure !== undefined && refusedFields(this.#exchange, failure)),
      },
      errors: this.#errors,
    }
  }

  failed(escaped: string, status: number): void {
    if (status >= 500) this.#hasServerError = true
    this.#errors.push([escaped, statusLine(status)])
  }

  async #delete(name: string): Promise<void> {
    if (this.#exchange.res.destroyed) throw refusal(499)
    const { status } = await this.#ask(name)
    if (status >= 200 && status < 300) this.#deleted++
    else if (status === 404) this.#notFound++
    else this.failed(escapePath(name), status)
    if (this.#errors.length >= this.#settings.failedDeletesMax) {
      throw badRequest('Max delete failures exceeded')
    }
  }

  async #ask(name: string) {
    const path = this.#pathOf(name)
    if (path === null) return { status: 404 }
    const inner = innerExchange(this.#exchange, { method: 'DELETE', path })
    const reply = await this.#exchange.proxy.answerInner(inner)
    await dropReply(reply)
    return reply
  }

  #pathOf(name: string): SwiftPath | null {
    const { account } = this.#exchange.path!
    const path = name.replace(/^\/+/, '')
    const slash = path.indexOf('/')
    const container = slash < 0 ? path : path.slice(0, slash)
    const object = slash < 0 ? '' : path.slice(slash + 1)
    return container === '' ? null : { account, container, object: object || undefined }
  }
}
