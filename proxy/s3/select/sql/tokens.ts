/** The words of a query. */
import { SelectError } from '../select-error.ts'

export type Token =
  /** `folded` is the name in lower case: keywords and unquoted names have no case. */
  | { readonly kind: 'name'; readonly at: number; readonly text: string; readonly folded: string }
  | { readonly kind: 'quoted'; readonly at: number; readonly text: string }
  | { readonly kind: 'string'; readonly at: number; readonly text: string }
  | { readonly kind: 'number'; readonly at: number; readonly text: string }
  /** Between back ticks. */
  | { readonly kind: 'ion'; readonly at: number; readonly text: string }
  | { readonly kind: 'sign'; readonly at: number; readonly text: string }
  | { readonly kind: 'end'; readonly at: number; readonly text: '' }

const BLANK = /(?:\s+|--[^\n]*)+/y
const NAME = /[A-Za-z_$\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const NUMBER = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y
const SIGN = /<=|>=|<>|!=|\|\||[=<>+\-*/%(),.[\];]/y
const QUOTES = {
  "'": 'string',
  '"': 'quoted',
  '`': 'ion',
} as const

/** All words, and an end. LexerInvalid… for what is none. */
export function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  for (;;) {
    at = behindBlanks(text, at)
    if (at >= text.length) break
    const token = tokenAt(text, at)
    tokens.push(token.token)
    at = token.end
  }
  tokens.push({ kind: 'end', at, text: '' })
  return tokens
}

/** Behind blanks and comments. */
function behindBlanks(text: string, from: number): number {
  let at = from
  for (;;) {
    at += match(BLANK, text, at).length
    if (!text.startsWith('/*', at)) return at
    const close = text.indexOf('*/', at + 2)
    if (close < 0) throw new SelectError('LexerInvalidLiteral', place(at))
    at = close + 2
  }
}

function tokenAt(text: string, at: number): { readonly token: Token; readonly end: number } {
  const quote = text[at]!
  if (quote === "'" || quote === '"' || quote === '`') return quotedAt(text, at, quote)
  const name = match(NAME, text, at)
  if (name !== '') {
    const token = { kind: 'name', at, text: name, folded: name.toLowerCase() } as const
    return { token, end: at + name.length }
  }
  const number = match(NUMBER, text, at)
  if (number !== '') {
    const end = at + number.length
    if (match(NAME, text, end) !== '') throw new SelectError('LexerInvalidLiteral', place(at))
    return { token: { kind: 'number', at, text: number }, end }
  }
  const sign = match(SIGN, text, at)
  if (sign === '') throw new SelectError('LexerInvalidChar', place(at))
  return { token: { kind: 'sign', at, text: sign }, end: at + sign.length }
}

/** A quote within is written twice. */
function quotedAt(text: string, at: number, quote: keyof typeof QUOTES) {
  let inside = ''
  let from = at + 1
  for (;;) {
    const close = text.indexOf(quote, from)
    if (close < 0) throw new SelectError('LexerInvalidLiteral', place(at))
    inside += text.slice(from, close)
    from = close + 1
    if (text[from] !== quote) break
    inside += quote
    from++
  }
  return { token: { kind: QUOTES[quote], at, text: inside }, end: from }
}

function match(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ''
}

/** Where in the expression, as errors say it. */
export function place(at: number): string {
  return `(at character ${at + 1})`
}
