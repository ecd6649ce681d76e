/** What is asked, without the query itself: plain data, which may go to another thread. */
import type { XmlNode } from '../xml/xml-in.ts'
import { malformedXml } from '../xml/xml-in.ts'
import { type SelectCode, SelectError } from './select-error.ts'

const COMPRESSIONS = ['NONE', 'GZIP', 'BZIP2'] as const
const HEADER_USES = ['NONE', 'USE', 'IGNORE'] as const
const JSON_TYPES = ['DOCUMENT', 'LINES'] as const
const QUOTE_FIELDS = ['ASNEEDED', 'ALWAYS'] as const

export interface CsvInput {
  readonly format: 'csv'
  readonly header: (typeof HEADER_USES)[number]
  readonly recordDelimiter: string
  readonly fieldDelimiter: string
  /** Empty: nothing is quoted. */
  readonly quote: string
  readonly escape: string
  /** Empty: there are none. */
  readonly comments: string
  readonly quotedDelimiters: boolean
}
export interface JsonInput {
  readonly format: 'json'
  readonly type: (typeof JSON_TYPES)[number]
}
export interface ParquetInput {
  readonly format: 'parquet'
}
export interface CsvOutput {
  readonly format: 'csv'
  readonly recordDelimiter: string
  readonly fieldDelimiter: string
  readonly quote: string
  readonly escape: string
  readonly quoteFields: (typeof QUOTE_FIELDS)[number]
}
export interface JsonOutput {
  readonly format: 'json'
  readonly recordDelimiter: string
}

/** Of the object's bytes: records that begin from `start` (of a tail: that many bytes before the end) to `end`. */
export interface ScanRange {
  readonly start: number | undefined
  readonly end: number | undefined
}

export interface SelectRequest {
  readonly expression: string
  readonly compression: (typeof COMPRESSIONS)[number]
  readonly input: CsvInput | JsonInput | ParquetInput
  readonly output: CsvOutput | JsonOutput
  readonly range: ScanRange | null
  readonly progress: boolean
}

/** SelectError for values that are not to be understood. */
export function readSelectRequest(root: XmlNode): SelectRequest {
  const type = root.textOf('ExpressionType')
  const expression = root.textOf('Expression')
  const input = root.child('InputSerialization')
  const output = root.child('OutputSerialization')
  if (!expression || !type || input === undefined || output === undefined) {
    throw new SelectError('MissingRequiredParameter')
  }
  if (type !== 'SQL') throw new SelectError('InvalidExpressionType')
  const compression = input.textOf('CompressionType')
  const read: SelectRequest = {
    expression,
    compression: choice(compression, COMPRESSIONS, 'InvalidCompressionFormat'),
    input: readInput(input),
    output: readOutput(output),
    range: readRange(root.child('ScanRange')),
    progress: flag(root.child('RequestProgress')?.textOf('Enabled')),
  }
  // Its columns are packed, each by itself.
  if (read.input.format === 'parquet' && read.compression !== 'NONE') {
    throw new SelectError('InvalidCompressionFormat')
  }
  if (read.range !== null && !mayScanRange(read)) throw new SelectError('UnsupportedScanRangeInput')
  return read
}

/** Where a record begins is only known where each delimiter ends one. */
function mayScanRange({ compression, input }: SelectRequest): boolean {
  if (input.format === 'parquet') return true
  if (compression !== 'NONE') return false
  return input.format === 'csv' ? !input.quotedDelimiters : input.type === 'LINES'
}

function readInput(node: XmlNode): SelectRequest['input'] {
  const [csv, json] = [node.child('CSV'), node.child('JSON')]
  const parquet = node.child('Parquet')
  if ([csv, json, parquet].filter((one) => one !== undefined).length !== 1) {
    throw new SelectError('ObjectSerializationConflict')
  }
  if (parquet !== undefined) return { format: 'parquet' }
  if (csv === undefined) {
    const type = json!.textOf('Type')
    if (type === undefined) throw new SelectError('MissingRequiredParameter')
    return { format: 'json', type: choice(type, JSON_TYPES, 'InvalidJsonType') }
  }
  const quote = mark(csv, 'QuoteCharacter', '"')
  return {
    format: 'csv',
    header: choice(csv.textOf('FileHeaderInfo'), HEADER_USES, 'InvalidFileHeaderInfo'),
    recordDelimiter: delimiter(csv, 'RecordDelimiter', '\n'),
    fieldDelimiter: delimiter(csv, 'FieldDelimiter', ','),
    quote,
    escape: mark(csv, 'QuoteEscapeCharacter', '"'),
    comments: mark(csv, 'Comments', '#'),
    quotedDelimiters: flag(csv.textOf('AllowQuotedRecordDelimiter')),
  }
}

function readOutput(node: XmlNode): SelectRequest['output'] {
  const [csv, json] = [node.child('CSV'), node.child('JSON')]
  if ((csv === undefined) === (json === undefined)) {
    throw new SelectError('ObjectSerializationConflict')
  }
  if (csv === undefined) {
    return { format: 'json', recordDelimiter: delimiter(json!, 'RecordDelimiter', '\n') }
  }
  return {
    format: 'csv',
    recordDelimiter: delimiter(csv, 'RecordDelimiter', '\n'),
    fieldDelimiter: delimiter(csv, 'FieldDelimiter', ','),
    quote: mark(csv, 'QuoteCharacter', '"'),
    escape: mark(csv, 'QuoteEscapeCharacter', '"'),
    quoteFields: choice(csv.textOf('QuoteFields'), QUOTE_FIELDS, 'InvalidQuoteFields'),
  }
}

function readRange(node: XmlNode | undefined): ScanRange | null {
  if (node === undefined) return null
  const [start, end] = [offset(node.textOf('Start')), offset(node.textOf('End'))]
  const isEmpty = start === undefined && end === undefined
  if (isEmpty || (start !== undefined && end !== undefined && start > end)) {
    throw new SelectError('InvalidScanRange')
  }
  return { start, end }
}

function offset(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw new SelectError('InvalidScanRange')
  return value
}

/** The first of them where nothing is said. */
function choice<const T extends readonly string[]>(
  text: string | undefined,
  known: T,
  code: SelectCode,
): T[number] {
  if (text === undefined || text === '') return known[0]!
  const found = known.find((value) => value === text.toUpperCase())
  if (found === undefined) throw new SelectError(code)
  return found
}

/** One character, or none. */
function mark(node: XmlNode, name: string, otherwise: string): string {
  const text = node.textOf(name) ?? otherwise
  if ([...text].length > 1) throw new SelectError('InvalidRequestParameter', name)
  return text
}

/** One or two characters. */
function delimiter(node: XmlNode, name: string, otherwise: string): string {
  const text = node.textOf(name) || otherwise
  if ([...text].length > 2) throw new SelectError('InvalidRequestParameter', name)
  return text
}

function flag(text: string | undefined): boolean {
  const value = (text ?? '').toLowerCase()
  if (value !== '' && value !== 'true' && value !== 'false') throw malformedXml()
  return value === 'true'
}
