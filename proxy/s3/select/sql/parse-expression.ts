import { SelectError } from '../select-error.ts'
import { type Place, parseCall } from './parse-call.ts'
import { parseSteps } from './parse-path.ts'
import type { Arithmetic, Comparison, Expression } from './query.ts'
import { isTimestamp } from './timestamp.ts'
import type { TokenStream } from './token-stream.ts'

type Operator = (left: Expression, right: Expression) => Expression

const compare =
  (operator: Comparison): Operator =>
  (left, right) => ({ kind: 'compare', operator, left, right })
const calculate =
  (operator: Arithmetic): Operator =>
  (left, right) => ({ kind: 'arithmetic', operator, left, right })

/** Signs between two operands, and how strongly they bind. */
const SIGNS: Readonly<Record<string, readonly [strength: number, Operator]>> = {
  '=': [4, compare('=')],
  '!=': [4, compare('!=')],
  '<>': [4, compare('!=')],
  '<': [4, compare('<')],
  '<=': [4, compare('<=')],
  '>': [4, compare('>')],
  '>=': [4, compare('>=')],
  '||': [6, (left, right) => ({ kind: 'concat', left, right })],
  '+': [7, calculate('+')],
  '-': [7, calculate('-')],
  '*': [8, calculate('*')],
  '/': [8, calculate('/')],
  '%': [8, calculate('%')],
}
const STRENGTH = { or: 1, and: 2, not: 3, compare: 4, test: 5, sign: 9 } as const

/** One expression, up to the first word that belongs to none. */
export function parseExpression(tokens: TokenStream, place: Place): Expression {
  return new ExpressionParser(tokens, place).parse(0)
}

class ExpressionParser {
  readonly #tokens: TokenStream
  readonly #place: Place

  constructor(tokens: TokenStream, place: Place) {
    this.#tokens = tokens
    this.#place = place
  }

  /** What binds more strongly than that. */
  parse(strength: number): Expression {
    return this.#tokens.nested(() => {
      let left = this.#prefix()
      for (;;) {
        const longer = this.#continue(left, strength)
        if (longer === null) return left
        left = longer
      }
    })
  }

  #prefix(): Expression {
    const tokens = this.#tokens
    if (tokens.takeWord('not')) return { kind: 'not', of: this.parse(STRENGTH.not) }
    if (tokens.takeSign('-')) return { kind: 'negate', of: this.parse(STRENGTH.sign) }
    if (tokens.takeSign('+')) return this.parse(STRENGTH.sign)
    if (!tokens.takeSign('(')) return this.#atom()
    if (tokens.isWord('select')) throw tokens.error('ParseUnsupportedSelect')
    const inside = this.parse(0)
    tokens.expectSign(')', 'ParseExpectedRightParenBuiltinFunctionCall')
    return inside
  }

  #continue(left: Expression, strength: number): Expression | null {
    const tokens = this.#tokens
    const token = tokens.peek()
    if (token.kind === 'sign') {
      const [binds, operator] = SIGNS[token.text] ?? [0, null]
      if (operator === null || binds <= strength) return null
      tokens.next()
      return operator(left, this.parse(binds))
    }
    for (const kind of ['or', 'and'] as const) {
      if (STRENGTH[kind] > strength && tokens.takeWord(kind)) {
        return { kind, left, right: this.parse(STRENGTH[kind]) }
      }
    }
    return STRENGTH.test > strength ? this.#test(left) : null
  }

  /** IS, LIKE, BETWEEN and IN, with their NOT. */
  #test(of: Expression): Expression | null {
    const tokens = this.#tokens
    if (tokens.takeWord('is')) {
      const isNot = tokens.takeWord('not')
      const what = tokens.takeWord('missing') ? 'missing' : 'null'
      if (what === 'null') tokens.expectWord('null')
      return negated(isNot, { kind: 'is', of, what })
    }
    const isNot =
      tokens.isWord('not') && ['like', 'in', 'between'].some((word) => tokens.isWord(word, 1))
    if (isNot) tokens.next()
    if (tokens.takeWord('like')) return negated(isNot, this.#like(of))
    if (tokens.takeWord('between')) {
      const low = this.parse(STRENGTH.test)
      tokens.expectWord('and')
      return negated(isNot, { kind: 'between', of, low, high: this.parse(STRENGTH.test) })
    }
    if (!tokens.takeWord('in')) return null
    tokens.expectSign('(', 'ParseExpectedMember')
    const list = this.#commaList()
    return negated(isNot, { kind: 'in', of, list })
  }

  #like(of: Expression): Expression {
    const pattern = this.parse(STRENGTH.test)
    const mark = this.#tokens.takeWord('escape') ? this.parse(STRENGTH.test) : null
    return { kind: 'like', of, pattern, escape: mark }
  }

  /** At least one, and the parenthesis behind them. */
  #commaList(): readonly Expression[] {
    const list: Expression[] = []
    do list.push(this.parse(0))
    while (this.#tokens.takeSign(','))
    this.#tokens.expectSign(')', 'ParseExpectedRightParenBuiltinFunctionCall')
    return list
  }

  #atom(): Expression {
    const tokens = this.#tokens
    const token = tokens.peek()
    if (token.kind === 'string' || token.kind === 'number') {
      tokens.next()
      return { kind: token.kind, text: token.text }
    }
    if (token.kind === 'ion') {
      tokens.next()
      return ionLiteral(token.text)
    }
    for (const [word, value] of CONSTANTS) {
      if (tokens.takeWord(word)) return { kind: 'constant', value }
    }
    if (tokens.takeWord('case')) return this.#case()
    const call = parseCall({
      tokens,
      place: this.#place,
      parse: (place = this.#place) => parseExpression(tokens, place),
    })
    if (call !== null) return call
    const name = tokens.takeName()
    if (name !== null) return { kind: 'path', steps: [name, ...parseSteps(tokens)] }
    throw tokens.error(token.kind === 'name' ? 'ParseUnexpectedKeyword' : 'ParseExpectedExpression')
  }

  #case(): Expression {
    const tokens = this.#tokens
    const of = tokens.isWord('when') ? null : this.parse(0)
    const whens: { readonly when: Expression; readonly result: Expression }[] = []
    while (tokens.takeWord('when')) {
      const when = this.parse(0)
      tokens.expectWord('then')
      whens.push({ when, result: this.parse(0) })
    }
    if (whens.length === 0) throw tokens.error('ParseExpectedWhenClause')
    const otherwise = tokens.takeWord('else') ? this.parse(0) : null
    tokens.expectWord('end')
    return { kind: 'case', of, whens, otherwise }
  }
}

const CONSTANTS = [
  ['null', null],
  ['missing', undefined],
  ['true', true],
  ['false', false],
] as const

function negated(isNot: boolean, of: Expression): Expression {
  return isNot ? { kind: 'not', of } : of
}

/** Of Ion there are times, and what SQL could have said itself. */
function ionLiteral(text: string): Expression {
  if (isTimestamp(text)) return { kind: 'timestamp', text }
  if (/^-?\d+(?:\.\d+)?$/.test(text)) return { kind: 'number', text }
  const quoted = /^"([^"\\]*)"$/.exec(text)
  if (quoted !== null) return { kind: 'string', text: quoted[1]! }
  throw new SelectError('LexerInvalidIONLiteral')
}
