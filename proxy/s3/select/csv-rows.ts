/**
 * Rows of CSV as bytes come. csv-parse looks at each character, which is slow where there is nothing to see: as long as there is no quote
 * and no comment, rows are cut apart by their delimiters alone, five times as fast. From the first of those on it is csv-parse's.
 */
import { type CsvError, type Parser, parse } from 'csv-parse'
import { RECORD_BYTES_MAX } from './row-output.ts'
import { SelectError } from './select-error.ts'
import type { CsvInput } from './select-request.ts'

/** A row's fields, as text. */
export type CsvRow = readonly string[]

const MARK_BYTES = 3
const EMPTY = Buffer.alloc(0)

export class CsvRows {
  readonly #input: CsvInput
  readonly #onRow: (row: CsvRow) => void
  readonly #delimiter: Buffer
  /** Null: nothing was seen yet that needs it. */
  #parser: Parser | null = null
  /** The beginning of a row whose end has not come. */
  #rest: Buffer = EMPTY
  #isBegun = false

  constructor(input: CsvInput, onRow: (row: CsvRow) => void) {
    this.#input = input
    this.#onRow = onRow
    this.#delimiter = Buffer.from(input.recordDelimiter)
  }

  push(bytes: Buffer): void {
    if (this.#parser === null) this.#begin(bytes)
    else this.#parse(this.#parser, bytes)
  }

  /** What is left is a row as well. */
  end(): void {
    const rest = this.#isBegun ? this.#rest : withoutMark(this.#rest)
    if (this.#parser === null && this.#isPlain(rest)) {
      this.#rows(rest.toString())
      return
    }
    const parser = this.#parser ?? openParser(this.#input)
    if (this.#parser === null) this.#parse(parser, rest)
    parser.end()
    this.#drain(parser)
  }

  /** As long as there is nothing to parse. */
  #begin(bytes: Buffer): void {
    const known = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    if (!this.#isBegun && known.length < MARK_BYTES) {
      this.#rest = known
      return
    }
    const whole = this.#isBegun ? known : withoutMark(known)
    this.#isBegun = true
    if (this.#isPlain(whole)) this.#split(whole)
    else {
      this.#rest = EMPTY
      this.#parser = openParser(this.#input)
      this.#parse(this.#parser, whole)
    }
  }

  #isPlain(bytes: Buffer): boolean {
    const { quote, comments } = this.#input
    return (
      (quote === '' || !bytes.includes(quote)) && (comments === '' || !bytes.includes(comments))
    )
  }

  /** Rows that end in the bytes; the rest waits. */
  #split(bytes: Buffer): void {
    const last = bytes.lastIndexOf(this.#delimiter)
    if (last >= 0) this.#rows(bytes.toString('utf8', 0, last))
    this.#rest = last < 0 ? bytes : bytes.subarray(last + this.#delimiter.length)
    if (this.#rest.length > RECORD_BYTES_MAX) throw new SelectError('OverMaxRecordSize')
  }

  #rows(text: string): void {
    const { recordDelimiter, fieldDelimiter } = this.#input
    const hasReturns = recordDelimiter === '\n' && text.includes('\r')
    for (const line of text.split(recordDelimiter)) {
      const row = hasReturns && line.endsWith('\r') ? line.slice(0, -1) : line
      if (row.length > RECORD_BYTES_MAX) throw new SelectError('OverMaxRecordSize')
      if (row !== '') this.#onRow(row.split(fieldDelimiter))
    }
  }

  /** The parser works while it is written to: its rows are there at once. */
  #parse(parser: Parser, bytes: Buffer): void {
    parser.write(bytes)
    this.#drain(parser)
  }

  #drain(parser: Parser): void {
    const error = parser.errored as CsvError | null
    if (error?.code === 'CSV_MAX_RECORD_SIZE') throw new SelectError('OverMaxRecordSize')
    if (error !== null) throw new SelectError('CSVParsingError')
    for (let row = nextRow(parser); row !== null; row = nextRow(parser)) {
      if (!this.#input.quotedDelimiters) this.#checkDelimiters(row)
      this.#onRow(row)
    }
  }

  #checkDelimiters(row: CsvRow): void {
    const { recordDelimiter } = this.#input
    for (const field of row) {
      if (!field.includes(recordDelimiter)) continue
      throw new SelectError('CSVUnescapedQuote', 'Or AllowQuotedRecordDelimiter is to be TRUE.')
    }
  }
}

function nextRow(parser: Parser): CsvRow | null {
  return parser.read() as CsvRow | null
}

/** InvalidRequestParameter for marks that do not go together. */
function openParser(input: CsvInput): Parser {
  try {
    return parserFor(input)
  } catch {
    throw new SelectError('InvalidRequestParameter')
  }
}

function parserFor(input: CsvInput): Parser {
  const parser = parse({
    delimiter: input.fieldDelimiter,
    // Files from elsewhere end their lines as they do there.
    record_delimiter: input.recordDelimiter === '\n' ? ['\r\n', '\n'] : input.recordDelimiter,
    quote: input.quote === '' ? false : input.quote,
    escape: input.escape === '' ? null : input.escape,
    ...(input.comments !== '' && { comment: input.comments, comment_no_infix: true }),
    max_record_size: RECORD_BYTES_MAX,
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
  })
  // Seen where it is written to.
  parser.on('error', () => {})
  return parser
}

/** Without what some editors begin their files with. */
function withoutMark(bytes: Buffer): Buffer {
  const isMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return isMark ? bytes.subarray(MARK_BYTES) : bytes
}
