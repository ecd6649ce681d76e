/**
 * Finds the values that rows are made of in JSON as its bytes come: those below the path of the FROM, of one document or of many, one
 * after the other. What is beside the path is passed over and held by nobody; what is found goes to JSON.parse whole.
 */
import { RECORD_BYTES_MAX } from './row-output.ts'
import { SelectError } from './select-error.ts'
import { parseJson } from './sql/json-value.ts'
import type { SourceStep } from './sql/query.ts'

/** Deeper documents are refused: whoever reads them goes as deep. */
const DEPTH_MAX = 500

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d

/** An object or a list on the path, whose children are judged by the step of that number. */
interface Frame {
  readonly isObject: boolean
  readonly step: number
  hasFound: boolean
  index: number
}

/** What comes next. */
type Expected = 'value' | 'value-or-close' | 'key' | 'key-or-close' | 'colon' | 'after' | 'inside'

export class JsonRows {
  readonly #steps: readonly SourceStep[]
  readonly #onRow: (row: unknown) => void
  readonly #frames: Frame[] = []
  #expected: Expected = 'value'
  /** The number of the step that judges the next value; null: it is beside the path. */
  #step: number | null = 0
  /** Of the value that is being read. */
  #isKept = false
  #isKey = false
  #depth = 0
  #isText = false
  #isEscaped = false
  #parts: Buffer[] = []
  #bytes = 0
  #isBegun = false

  constructor(steps: readonly SourceStep[], onRow: (row: unknown) => void) {
    this.#steps = steps
    this.#onRow = onRow
  }

  push(chunk: Buffer): void {
    let at = 0
    if (!this.#isBegun && chunk.length > 0) {
      this.#isBegun = true
      if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) at = 3
    }
    while (at < chunk.length) {
      if (this.#expected === 'inside') at = this.#inside(chunk, at)
      else if (isBlank(chunk[at]!)) at++
      else at = this.#take(chunk, at)
    }
  }

  end(): void {
    // A number at the very end has nothing behind it.
    if (this.#expected === 'inside' && this.#depth === 0 && !this.#isText) this.#finish()
    if (this.#frames.length > 0 || this.#expected !== 'value') throw broken()
  }

  /** One byte between values; what begins a value stays where it is. */
  #take(chunk: Buffer, at: number): number {
    const byte = chunk[at]!
    const frame = this.#frames.at(-1)
    switch (this.#expected) {
      case 'key':
      case 'key-or-close':
        if (byte === CLOSE_OBJECT && this.#expected === 'key-or-close') return this.#close(at)
        if (byte !== QUOTE) throw broken()
        this.#begin({ isKept: true, isKey: true })
        return at
      case 'colon':
        if (byte !== COLON) throw broken()
        this.#expected = 'value'
        return at + 1
      case 'after':
        if (byte === (frame!.isObject ? CLOSE_OBJECT : CLOSE_LIST)) return this.#close(at)
        if (byte !== COMMA) throw broken()
        this.#next(frame!)
        return at + 1
      default:
        if (byte === CLOSE_LIST && this.#expected === 'value-or-close') return this.#close(at)
        return this.#value(byte, at)
    }
  }

  /** Behind a comma. */
  #next(frame: Frame): void {
    frame.index++
    if (frame.isObject) this.#expected = 'key'
    else this.#beginItem(frame, 'value')
  }

  #beginItem(frame: Frame, expected: Expected): void {
    this.#expected = expected
    const step = this.#steps[frame.step]!
    const isWanted = step.kind === 'all' || (step.kind === 'index' && step.index === frame.index)
    this.#step = isWanted ? frame.step + 1 : null
  }

  /** A value begins with that byte. */
  #value(byte: number, at: number): number {
    let number = this.#step
    // One value is what a list of that one would be.
    while (number !== null && byte !== OPEN_LIST && this.#steps[number]?.kind === 'all') number++
    const step = number === null ? undefined : this.#steps[number]
    const frame = this.#frames.at(-1)
    if (number !== null && frame !== undefined) frame.hasFound = true
    if (number === null || step === undefined) {
      this.#begin({ isKept: number !== null, isKey: false })
      return at
    }
    const isObject = byte === OPEN_OBJECT
    const leads = step.kind === 'field' ? isObject : byte === OPEN_LIST
    if (!leads) {
      this.#onRow(undefined)
      this.#begin({ isKept: false, isKey: false })
      return at
    }
    // A list of all has its rows itself, be they none.
    const opened: Frame = { isObject, step: number, hasFound: step.kind === 'all', index: 0 }
    this.#frames.push(opened)
    if (isObject) this.#expected = 'key-or-close'
    else this.#beginItem(opened, 'value-or-close')
    return at + 1
  }

  #close(at: number): number {
    const frame = this.#frames.pop()!
    if (!frame.hasFound) this.#onRow(undefined)
    this.#over()
    return at + 1
  }

  /** A value is over. */
  #over(): void {
    this.#expected = this.#frames.length === 0 ? 'value' : 'after'
    this.#step = 0
  }

  #begin(of: { readonly isKept: boolean; readonly isKey: boolean }): void {
    this.#isKept = of.isKept
    this.#isKey = of.isKey
    this.#depth = 0
    this.#isText = false
    this.#isEscaped = false
    this.#expected = 'inside'
  }

  /** Goes on within a value; where it ends, or the chunk does. */
  #inside(chunk: Buffer, from: number): number {
    const isFresh = this.#bytes === 0 && this.#depth === 0 && !this.#isText
    let at = from
    let isOver = false
    for (; at < chunk.length && !isOver; at++) {
      const byte = chunk[at]!
      if (this.#isText) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === BACKSLASH) this.#isEscaped = true
        else if (byte === QUOTE) {
          this.#isText = false
          isOver = this.#depth === 0
        }
      } else if (byte === QUOTE) {
        if (this.#depth === 0 && !(isFresh && at === from)) throw broken()
        this.#isText = true
      } else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
        if (this.#depth === 0 && !(isFresh && at === from)) throw broken()
        if (++this.#depth > DEPTH_MAX) throw broken()
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        if (this.#depth === 0) break
        isOver = --this.#depth === 0
      } else if (this.#depth === 0 && (byte === COMMA || isBlank(byte))) break
    }
    this.#keep(chunk.subarray(from, at))
    if (isOver || at < chunk.length) this.#finish()
    return at
  }

  #keep(bytes: Buffer): void {
    this.#bytes += bytes.length
    if (!this.#isKept || bytes.length === 0) return
    if (this.#bytes > RECORD_BYTES_MAX) throw new SelectError('OverMaxRecordSize')
    this.#parts.push(bytes)
  }

  #finish(): void {
    const isEmpty = this.#bytes === 0
    const text = Buffer.concat(this.#parts).toString()
    this.#parts = []
    this.#bytes = 0
    if (isEmpty) throw broken()
    if (this.#isKey) {
      this.#key(text)
      return
    }
    this.#over()
    if (this.#isKept) this.#onRow(parseJson(text))
  }

  #key(text: string): void {
    const frame = this.#frames.at(-1)!
    const step = this.#steps[frame.step]!
    const name = parseJson(text)
    this.#step = step.kind === 'field' && isSame(step, String(name)) ? frame.step + 1 : null
    this.#expected = 'colon'
  }
}

function isSame(
  { name, isQuoted }: { readonly name: string; readonly isQuoted: boolean },
  key: string,
): boolean {
  return key === name || (!isQuoted && key.toLowerCase() === name.toLowerCase())
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function broken(): SelectError {
  return new SelectError('JSONParsingError')
}
