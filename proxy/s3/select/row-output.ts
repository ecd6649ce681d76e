/** Rows of the answer as text, in pieces. */

import { SelectError } from './select-error.ts'
import type { CsvOutput, JsonOutput } from './select-request.ts'
import { jsonText } from './sql/json-value.ts'
import { Timestamp } from './sql/timestamp.ts'
import { isNested, isNothing, textOf, type Value } from './sql/value.ts'

/** Of a record that is read or written, as with AWS. */
export const RECORD_BYTES_MAX = 1024 * 1024
/** What is gathered before it is sent. */
const PIECE_CHARS = 64 * 1024

/** Writes records, whose columns have those names; `send` is given each piece once. */
export class RowOutput {
  readonly #output: CsvOutput | JsonOutput
  readonly #names: readonly string[]
  readonly #send: (piece: Buffer) => void
  readonly #needsQuotes: (text: string) => boolean
  #parts: string[] = []
  #chars = 0

  constructor(
    output: CsvOutput | JsonOutput,
    names: readonly string[],
    send: (piece: Buffer) => void,
  ) {
    this.#output = output
    this.#names = names
    this.#send = send
    this.#needsQuotes = output.format === 'csv' ? quoteTest(output) : () => false
  }

  /** A record of these values; more than there are names for have the names of their places. */
  values(values: readonly Value[]): void {
    const { format } = this.#output
    this.#write(format === 'csv' ? this.#csv(values) : this.#json(values))
  }

  /** A value that is a record itself. */
  value(value: Value): void {
    if (!isNested(value) || Array.isArray(value)) this.values([value])
    else if (this.#output.format === 'json') this.#write(jsonText(value))
    else this.values(Object.values(value).map((field) => (field === null ? null : plain(field))))
  }

  flush(): void {
    if (this.#chars === 0) return
    const piece = Buffer.from(this.#parts.join(''))
    this.#parts = []
    this.#chars = 0
    this.#send(piece)
  }

  #write(record: string): void {
    // No character has more than three bytes.
    const mayBeLong = record.length > RECORD_BYTES_MAX / 3
    if (mayBeLong && Buffer.byteLength(record) > RECORD_BYTES_MAX) {
      throw new SelectError('OverMaxRecordSize')
    }
    this.#parts.push(record, this.#output.recordDelimiter)
    this.#chars += record.length + this.#output.recordDelimiter.length
    if (this.#chars >= PIECE_CHARS) this.flush()
  }

  #csv(values: readonly Value[]): string {
    const output = this.#output as CsvOutput
    const always = output.quoteFields === 'ALWAYS'
    let record = ''
    for (let i = 0; i < values.length; i++) {
      const value = values[i]
      const text = isNothing(value) ? '' : textOf(value)
      if (i > 0) record += output.fieldDelimiter
      record += always || this.#needsQuotes(text) ? quoted(text, output) : text
    }
    return record
  }

  #json(values: readonly Value[]): string {
    const fields: string[] = []
    for (let i = 0; i < values.length; i++) {
      const value = values[i]
      // What is missing is left out.
      if (value === undefined) continue
      fields.push(`${JSON.stringify(this.#names[i] ?? `_${i + 1}`)}:${valueJson(value)}`)
    }
    return `{${fields.join(',')}}`
  }
}

/** A field of a document, as text that CSV holds. */
function plain(field: unknown): string {
  const text = jsonText(field)
  return typeof field === 'string' && text.startsWith('"') ? (JSON.parse(text) as string) : text
}

function quoteTest({ quote, fieldDelimiter, recordDelimiter }: CsvOutput) {
  if (quote === '') return () => false
  return (text: string) =>
    text.includes(fieldDelimiter) || text.includes(quote) || text.includes(recordDelimiter)
}

function quoted(text: string, output: CsvOutput): string {
  const { quote } = output
  if (quote === '') return text
  return quote + text.replaceAll(quote, () => output.escape + quote) + quote
}

function valueJson(value: Exclude<Value, undefined>): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string' || value instanceof Timestamp) return JSON.stringify(String(value))
  if (typeof value === 'number' && !Number.isFinite(value)) return 'null'
  return textOf(value)
}
