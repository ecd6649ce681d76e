import { type SelectCode, SelectError } from '../select-error.ts'
import type { FieldStep } from './query.ts'
import { place, type Token, tokensOf } from './tokens.ts'

/** Nested as deep as that, and no deeper. */
const DEPTH_MAX = 200

/** Words that are no names of columns or aliases, unless they are quoted. */
const RESERVED = new Set(
  'select from where limit and or not in is like escape between as case when then else end null missing true false cast'.split(
    ' ',
  ),
)

/** The words of a query, one after the other. */
export class TokenStream {
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(text: string) {
    this.#tokens = tokensOf(text)
  }

  peek(ahead = 0): Token {
    return this.#tokens[this.#next + ahead] ?? this.#tokens.at(-1)!
  }

  next(): Token {
    const token = this.peek()
    if (token.kind !== 'end') this.#next++
    return token
  }

  get isEnd(): boolean {
    return this.peek().kind === 'end'
  }

  isWord(word: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token.kind === 'name' && token.folded === word
  }

  takeWord(word: string): boolean {
    const isIt = this.isWord(word)
    if (isIt) this.#next++
    return isIt
  }

  isSign(sign: string): boolean {
    const token = this.peek()
    return token.kind === 'sign' && token.text === sign
  }

  takeSign(sign: string): boolean {
    const isIt = this.isSign(sign)
    if (isIt) this.#next++
    return isIt
  }

  /** Takes the sign, or throws the error. */
  expectSign(sign: string, code: SelectCode): void {
    if (!this.takeSign(sign)) throw this.error(code)
  }

  expectWord(word: string, code: SelectCode = 'ParseExpectedKeyword'): void {
    if (!this.takeWord(word)) throw this.error(code)
  }

  /** A name that is not reserved, or a quoted one; null if the next word is neither. */
  takeName(): FieldStep | null {
    const token = this.peek()
    const isName = token.kind === 'name' && !RESERVED.has(token.folded)
    if (!isName && token.kind !== 'quoted') return null
    this.#next++
    return { kind: 'field', name: token.text, isQuoted: token.kind === 'quoted' }
  }

  /** An error about the next word. */
  error(code: SelectCode): SelectError {
    return new SelectError(code, place(this.peek().at))
  }

  /** Runs what parses something nested. */
  nested<T>(parse: () => T): T {
    if (this.#depth >= DEPTH_MAX) throw this.error('UnsupportedSqlStructure')
    this.#depth++
    const parsed = parse()
    this.#depth--
    return parsed
  }
}
