import { ServiceError } from '../../common/errors.ts'
import { fromWire, unescapeUrl } from '../wire-text.ts'

/** The query's parameters: the last of a name counts, and one without a value has the empty one. */
export class Query {
  readonly #values = new Map<string, string>()

  /** `text` is what follows the question mark, as it came from the wire. */
  constructor(text: string) {
    if (text === '') return
    for (const pair of text.split('&')) {
      if (pair === '') continue
      const equals = pair.indexOf('=')
      const name = equals < 0 ? pair : pair.slice(0, equals)
      const value = equals < 0 ? '' : pair.slice(equals + 1)
      this.#values.set(unescapeUrl(spaced(name)) ?? name, spaced(value))
    }
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  /** The parameter's text, or undefined; a 400 if it is not UTF-8. */
  get(name: string): string | undefined {
    const raw = this.#values.get(name)
    if (raw === undefined) return undefined
    const text = raw.includes('%') ? unescapeUrl(raw) : fromWire(raw)
    if (text === null) {
      throw new ServiceError('BadQuery', `"${name}" parameter not valid UTF-8`, { status: 400 })
    }
    return text
  }
}

const TRUE_WORDS = new Set(['true', '1', 'yes', 'on', 't', 'y'])

/** Whether Swift takes the word for a yes. */
export function isTrue(word: string | undefined): boolean {
  return word !== undefined && TRUE_WORDS.has(word.toLowerCase())
}

function spaced(text: string): string {
  return text.includes('+') ? text.replaceAll('+', ' ') : text
}
