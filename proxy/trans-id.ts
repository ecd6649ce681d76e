import type { Clock } from '../common/clock.ts'
import type { Random } from '../common/random.ts'

const RANDOM_HEX_DIGITS = 21
const POOL_BYTES = 2100
const EXTRA_CHARS_MAX = 32

/**
 * Transaction ids in Swift's form: `tx`, 21 hex digits, `-`, ten hex digits of the second, and up to 32 characters of
 * the client's X-Trans-Id-Extra. Randomness is drawn for 200 ids at a time: it costs more than the id.
 */
export class TransIds {
  readonly #clock: Clock
  readonly #random: Random
  #pool = ''
  #used = 0
  #second = -1
  #secondHex = ''

  constructor(options: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = options.clock
    this.#random = options.random
  }

  next(extra?: string): string {
    if (this.#used + RANDOM_HEX_DIGITS > this.#pool.length) {
      this.#pool = Buffer.from(this.#random.bytes(POOL_BYTES)).toString('hex')
      this.#used = 0
    }
    const digits = this.#pool.slice(this.#used, this.#used + RANDOM_HEX_DIGITS)
    this.#used += RANDOM_HEX_DIGITS
    const id = `tx${digits}-${this.#nowHex()}`
    return extra === undefined ? id : `${id}-${quoteExtra(extra)}`
  }

  #nowHex(): string {
    const second = Math.floor(this.#clock.nowMs() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#secondHex = second.toString(16).padStart(10, '0')
    }
    return this.#secondHex
  }
}

/** `extra` comes as latin1 from the wire: every byte that is not plainly safe is escaped. */
function quoteExtra(extra: string): string {
  return extra
    .slice(0, EXTRA_CHARS_MAX)
    .replace(
      /[^\w./~-]/g,
      (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )
}
