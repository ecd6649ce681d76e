/**
 * AWS's dialect of SQL (https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference.html): one SELECT from one object.
 * Operators are parsed by their strength; everything that is nested is bounded, for what evaluates it goes as deep.
 */
import { SelectError } from '../select-error.ts'
import { parseExpression } from './parse-expression.ts'
import { parseSteps } from './parse-path.ts'
import type { Projection, Query, SourceStep } from './query.ts'
import { TokenStream } from './token-stream.ts'

export const EXPRESSION_BYTES_MAX = 256 * 1024
/** Of a query: operators in a row are as many levels. */
const DEPTH_MAX = 1200

/** The query; SelectError with AWS's code for what is none. */
export function parseQuery(text: string): Query {
  if (Buffer.byteLength(text) > EXPRESSION_BYTES_MAX) throw new SelectError('ExpressionTooLong')
  const tokens = new TokenStream(text)
  if (!tokens.takeWord('select')) throw tokens.error('ParseUnsupportedSelect')
  const { list, star } = parseList(tokens)
  if (!tokens.takeWord('from')) {
    throw tokens.error(tokens.isEnd ? 'ParseSelectMissingFrom' : 'ParseUnexpectedToken')
  }
  const { source, alias } = parseSource(tokens)
  if (star !== null && star !== (alias ?? 's3object').toLowerCase()) {
    throw new SelectError('InvalidTableAlias')
  }
  const where = tokens.takeWord('where') ? parseExpression(tokens, 'where') : null
  const limit = tokens.takeWord('limit') ? parseLimit(tokens) : null
  tokens.takeSign(';')
  if (!tokens.isEnd) throw tokens.error('ParseUnsupportedSyntax')
  const query: Query = { list, source, alias, where, limit }
  if (depthOf(query) > DEPTH_MAX) throw new SelectError('UnsupportedSqlStructure')
  return query
}

/** How deep objects stand within each other: counted without going deep itself. */
function depthOf(root: object): number {
  let deepest = 0
  const open: (readonly [object, number])[] = [[root, 1]]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [node, depth] = next
    deepest = Math.max(deepest, depth)
    for (const inner of Object.values(node) as unknown[]) {
      if (typeof inner === 'object' && inner !== null) open.push([inner, depth + 1])
    }
  }
  return deepest
}

/** `star`: the table that all is taken from, where it is said; it is not known yet. */
function parseList(tokens: TokenStream): {
  readonly list: readonly Projection[] | null
  readonly star: string | null
} {
  if (tokens.isWord('from') || tokens.isEnd) throw tokens.error('ParseEmptySelect')
  const star = parseStar(tokens)
  if (star !== undefined) {
    if (tokens.isSign(',')) throw tokens.error('ParseAsteriskIsNotAloneInSelectList')
    return { list: null, star }
  }
  const list: Projection[] = []
  do {
    if (tokens.isSign('*')) throw tokens.error('ParseAsteriskIsNotAloneInSelectList')
    const of = parseExpression(tokens, 'list')
    list.push({ of, alias: parseAlias(tokens) })
  } while (tokens.takeSign(','))
  return { list, star: null }
}

/** `*` and `s.*`. */
function parseStar(tokens: TokenStream): string | null | undefined {
  if (tokens.takeSign('*')) return null
  const [table, dot, star] = [tokens.peek(), tokens.peek(1), tokens.peek(2)]
  if (table.kind !== 'name' || dot.text !== '.' || star.text !== '*') return undefined
  for (let i = 0; i < 3; i++) tokens.next()
  return table.folded
}

function parseAlias(tokens: TokenStream): string | null {
  const isSaid = tokens.takeWord('as')
  const name = tokens.takeName()
  if (name === null && isSaid) throw tokens.error('ParseExpectedIdentForAlias')
  return name?.name ?? null
}

function parseSource(tokens: TokenStream): Pick<Query, 'source' | 'alias'> {
  const table = tokens.peek()
  if (table.kind !== 'name' || table.folded !== 's3object') {
    if (table.kind === 'end') throw tokens.error('ParseSelectMissingFrom')
    throw new SelectError('InvalidTableAlias', 'The table is S3Object.')
  }
  tokens.next()
  const steps = parseSteps(tokens, { wildcards: true })
  // Values of the object come one after the other, as if it were a list of them.
  const source: readonly SourceStep[] = steps[0]?.kind === 'all' ? steps.slice(1) : steps
  const said = parseAlias(tokens)
  const last = source.at(-1)
  const implied = last?.kind === 'field' ? last.name : null
  if (tokens.isSign(',')) throw tokens.error('ParseUnsupportedSyntax')
  return { source, alias: said ?? implied }
}

function parseLimit(tokens: TokenStream): number {
  const token = tokens.next()
  const limit = token.kind === 'number' ? Number(token.text) : Number.NaN
  if (!Number.isSafeInteger(limit)) throw tokens.error('ParseExpectedNumber')
  return limit
}
