import {
  AGGREGATES,
  DATE_PARTS,
  type DatePart,
  type Expression,
  type ExtractPart,
  type SqlType,
} from './query.ts'
import type { TokenStream } from './token-stream.ts'

/** Names of types. Those in `CALLED` stand before a parenthesis for a CAST, as in other servers’ dialects. */
const TYPE_NAMES: Readonly<Record<string, SqlType>> = {
  bool: 'bool',
  boolean: 'bool',
  int: 'int',
  integer: 'int',
  float: 'float',
  decimal: 'decimal',
  numeric: 'decimal',
  string: 'string',
  char: 'string',
  varchar: 'string',
  timestamp: 'timestamp',
}
const CALLED = ['int', 'float', 'string', 'decimal', 'bool', 'timestamp']

/** How many arguments the plain functions take: least and most. */
const FUNCTIONS: Readonly<Record<string, readonly [number, number]>> = {
  coalesce: [1, 1000],
  nullif: [2, 2],
  char_length: [1, 1],
  character_length: [1, 1],
  lower: [1, 1],
  upper: [1, 1],
  to_string: [2, 2],
  to_timestamp: [1, 1],
  utcnow: [0, 0],
}

/** Where an expression stands: rows are not chosen by what all of them come to. */
export type Place = 'list' | 'where' | 'aggregate'

/** Parses one expression that stands there. */
export interface CallContext {
  readonly tokens: TokenStream
  readonly place: Place
  parse(place?: Place): Expression
}

type Parser = (context: CallContext) => Expression

/** Functions whose arguments are no plain list. */
const SPECIAL: Readonly<Record<string, Parser>> = {
  cast: parseCast,
  trim: parseTrim,
  substring: parseSubstring,
  extract: parseExtract,
  date_add: (context) => parseDate(context, 'date_add'),
  date_diff: (context) => parseDate(context, 'date_diff'),
}

const aggregates: ReadonlySet<string> = new Set(AGGREGATES)

/** The call of a function; null if no parenthesis follows the name. */
export function parseCall(context: CallContext): Expression | null {
  const { tokens } = context
  const token = tokens.peek()
  if (token.kind !== 'name') return null
  const name = token.folded
  if (tokens.peek(1).text !== '(' || tokens.peek(1).kind !== 'sign') {
    if (name === 'cast') throw tokens.error('ParseExpectedLeftParenAfterCast')
    return null
  }
  if (RESERVED_BEFORE_PARENTHESES.has(name)) return null
  tokens.next()
  tokens.next()
  if (aggregates.has(name)) return parseAggregate(context, name)
  const special = Object.hasOwn(SPECIAL, name) ? SPECIAL[name] : undefined
  if (special !== undefined) return special(context)
  if (CALLED.includes(name)) {
    const of = context.parse()
    closeCall(tokens)
    return { kind: 'cast', of, to: TYPE_NAMES[name]! }
  }
  if (!Object.hasOwn(FUNCTIONS, name)) throw tokens.error('UnsupportedFunction')
  const [least, most] = FUNCTIONS[name]!
  const args = parseArguments(context)
  if (args.length < least || args.length > most) throw tokens.error('EvaluatorInvalidArguments')
  return { kind: 'call', name, args }
}

const RESERVED_BEFORE_PARENTHESES = new Set(
  'and or not in is like escape between as when then else select from where limit'.split(' '),
)

function closeCall(tokens: TokenStream): void {
  tokens.expectSign(')', 'ParseExpectedRightParenBuiltinFunctionCall')
}

function parseArguments(context: CallContext, place?: Place): readonly Expression[] {
  const { tokens } = context
  const args: Expression[] = []
  if (tokens.takeSign(')')) return args
  do args.push(context.parse(place))
  while (tokens.takeSign(','))
  closeCall(tokens)
  return args
}

function parseAggregate(context: CallContext, called: string): Expression {
  const { tokens } = context
  if (context.place !== 'list') throw tokens.error('UnsupportedSqlStructure')
  const name = AGGREGATES.find((known) => known === called)!
  if (tokens.takeSign('*')) {
    if (name !== 'count') throw tokens.error('ParseUnsupportedCallWithStar')
    closeCall(tokens)
    return { kind: 'aggregate', name, of: null }
  }
  const [of, second] = parseArguments(context, 'aggregate')
  if (of === undefined || second !== undefined) {
    throw tokens.error('ParseNonUnaryAggregateFunctionCall')
  }
  return { kind: 'aggregate', name, of }
}

function parseCast(context: CallContext): Expression {
  const { tokens } = context
  const of = context.parse()
  tokens.expectWord('as', 'ParseCastArity')
  const token = tokens.next()
  const known = token.kind === 'name' && Object.hasOwn(TYPE_NAMES, token.folded)
  if (!known) throw tokens.error('ParseExpectedTypeName')
  // Lengths and precisions are let be: nothing is cut.
  if (tokens.takeSign('(')) {
    do {
      if (tokens.next().kind !== 'number') throw tokens.error('ParseExpectedNumber')
    } while (tokens.takeSign(','))
    closeCall(tokens)
  }
  closeCall(tokens)
  return { kind: 'cast', of, to: TYPE_NAMES[token.folded]! }
}

/** `TRIM([[LEADING | TRAILING | BOTH] [characters] FROM] string)` */
function parseTrim(context: CallContext): Expression {
  const { tokens } = context
  const sides = ['leading', 'trailing', 'both'] as const
  const said = sides.find((side) => tokens.takeWord(side))
  const side = said ?? 'both'
  const first = said !== undefined && tokens.isWord('from') ? null : context.parse()
  const hasFrom = tokens.takeWord('from')
  if (!hasFrom && (first === null || said !== undefined)) throw tokens.error('ParseExpectedKeyword')
  const of = hasFrom ? context.parse() : first!
  closeCall(tokens)
  return { kind: 'trim', side, chars: hasFrom ? first : null, of }
}

/** `SUBSTRING(string FROM start [FOR length])`, or with commas. */
function parseSubstring(context: CallContext): Expression {
  const { tokens } = context
  const args = [context.parse()]
  const isPlain = tokens.takeSign(',')
  if (!isPlain) tokens.expectWord('from', 'EvaluatorInvalidArguments')
  args.push(context.parse())
  const goesOn = isPlain ? tokens.takeSign(',') : tokens.takeWord('for')
  if (goesOn) args.push(context.parse())
  closeCall(tokens)
  return { kind: 'call', name: 'substring', args }
}

function parseExtract(context: CallContext): Expression {
  const { tokens } = context
  const part = tokens.next()
  const known = [...DATE_PARTS, 'timezone_hour', 'timezone_minute'] as readonly ExtractPart[]
  const found = part.kind === 'name' ? known.find((name) => name === part.folded) : undefined
  if (found === undefined) throw tokens.error('ParseExpectedDatePart')
  tokens.expectWord('from')
  const of = context.parse()
  closeCall(tokens)
  return { kind: 'extract', part: found, of }
}

function parseDate(context: CallContext, name: 'date_add' | 'date_diff'): Expression {
  const { tokens } = context
  const part = datePart(tokens)
  tokens.expectSign(',', 'EvaluatorInvalidArguments')
  const [first, second, third] = parseArguments(context)
  if (first === undefined || second === undefined || third !== undefined) {
    throw tokens.error('EvaluatorInvalidArguments')
  }
  return { kind: 'date', name, part, args: [first, second] }
}

function datePart(tokens: TokenStream): DatePart {
  const token = tokens.next()
  const part = token.kind === 'name' ? DATE_PARTS.find((name) => name === token.folded) : undefined
  if (part === undefined) throw tokens.error('ParseExpectedDatePart')
  return part
}
