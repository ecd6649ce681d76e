/**
 * Times as Ion has them: known to the year or finer, and with an offset that is kept. https://amazon-ion.github.io/ion-docs/docs/spec.html#timestamp
 */
import { SelectError } from '../select-error.ts'
import type { DatePart, ExtractPart } from './query.ts'

const PRECISIONS = ['year', 'month', 'day', 'minute', 'second'] as const
type Precision = (typeof PRECISIONS)[number]

const MINUTE_MS = 60_000
const TEXT =
  /^(\d{4})(?:T|-(\d\d)(?:T|-(\d\d)(?:T?|T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d))))$/

export class Timestamp {
  /** Since 1970, UTC. */
  readonly epochMs: number
  /** Below the millisecond. */
  readonly nanos: number
  /** Minutes east of UTC. */
  readonly offset: number
  readonly precision: Precision
  /** Digits of the second's fraction. */
  readonly digits: number

  constructor(of: {
    readonly epochMs: number
    readonly nanos?: number
    readonly offset?: number
    readonly precision?: Precision
    readonly digits?: number
  }) {
    this.epochMs = of.epochMs
    this.nanos = of.nanos ?? 0
    this.offset = of.offset ?? 0
    this.precision = of.precision ?? 'second'
    this.digits = of.digits ?? 0
    const year = this.local.getUTCFullYear()
    if (!(year >= 1 && year <= 9999)) throw new SelectError('IllegalSqlFunctionArgument')
  }

  /** Its fields are those of the place's own clock. */
  get local(): Date {
    return new Date(this.epochMs + this.offset * MINUTE_MS)
  }

  /** In Ion's form, as it was known. */
  toString(): string {
    const iso = this.local.toISOString()
    if (this.precision === 'year') return `${iso.slice(0, 4)}T`
    if (this.precision === 'month') return `${iso.slice(0, 7)}T`
    if (this.precision === 'day') return `${iso.slice(0, 10)}T`
    const time = iso.slice(0, this.precision === 'minute' ? 16 : 19)
    const fraction = this.digits === 0 ? '' : `.${this.fraction.slice(0, this.digits)}`
    return time + fraction + offsetText(this.offset, ':')
  }

  /** Nine digits. */
  get fraction(): string {
    const ms = String(this.local.getUTCMilliseconds()).padStart(3, '0')
    return ms + String(this.nanos).padStart(6, '0')
  }

  compare(other: Timestamp): number {
    return this.epochMs - other.epochMs || this.nanos - other.nanos
  }

  part(part: ExtractPart): number {
    const { local, offset } = this
    switch (part) {
      case 'year':
        return local.getUTCFullYear()
      case 'month':
        return local.getUTCMonth() + 1
      case 'day':
        return local.getUTCDate()
      case 'hour':
        return local.getUTCHours()
      case 'minute':
        return local.getUTCMinutes()
      case 'second':
        return local.getUTCSeconds()
      case 'timezone_hour':
        return Math.trunc(offset / 60)
      case 'timezone_minute':
        return offset % 60
    }
  }

  /** Later by that; days that a month does not have become its last. */
  add(part: DatePart, count: number): Timestamp {
    const { nanos, offset, digits } = this
    const asked = part === 'hour' ? 'minute' : part
    const precision =
      PRECISIONS.indexOf(asked) > PRECISIONS.indexOf(this.precision) ? asked : this.precision
    return new Timestamp({ epochMs: this.#addedMs(part, count), nanos, offset, precision, digits })
  }

  #addedMs(part: DatePart, count: number): number {
    const unit = UNIT_MS[part]
    if (unit !== undefined) return this.epochMs + count * unit
    const months = part === 'year' ? 12 * count : count
    const { local } = this
    const moved = new Date(local)
    moved.setUTCMonth(local.getUTCMonth() + months, 1)
    const daysOfMonth = new Date(moved)
    daysOfMonth.setUTCMonth(moved.getUTCMonth() + 1, 0)
    moved.setUTCDate(Math.min(local.getUTCDate(), daysOfMonth.getUTCDate()))
    return moved.getTime() - this.offset * MINUTE_MS
  }

  /** Whole units from this one to the other; negative if that is earlier. */
  until(part: DatePart, other: Timestamp): number {
    const unit = UNIT_MS[part]
    // Truncated, and no negative zero.
    if (unit !== undefined) return Math.trunc((other.epochMs - this.epochMs) / unit) + 0
    const [a, b] = [this.local, other.local]
    let months = 12 * (b.getUTCFullYear() - a.getUTCFullYear()) + b.getUTCMonth() - a.getUTCMonth()
    const rest = this.#addedMs('month', months) - other.epochMs
    if (months > 0 && rest > 0) months--
    else if (months < 0 && rest < 0) months++
    return part === 'month' ? months : Math.trunc(months / 12) + 0
  }
}

const UNIT_MS: Readonly<Partial<Record<DatePart, number>>> = {
  day: 24 * 60 * MINUTE_MS,
  hour: 60 * MINUTE_MS,
  minute: MINUTE_MS,
  second: 1000,
}

/** Whether the text is a time of Ion's; a date may stand without its T. */
export function isTimestamp(text: string): boolean {
  return TEXT.test(text) && read(text) !== null
}

/** ValueParseFailure for what is none. */
export function parseTimestamp(text: string): Timestamp {
  const found = read(text.trim())
  if (found === null) throw new SelectError('ValueParseFailure')
  return found
}

function read(text: string): Timestamp | null {
  const match = TEXT.exec(text)
  if (match === null) return null
  const [, year, month, day, hour, minute, second, fraction = '', zone] = match
  const offset = zone === undefined ? 0 : offsetOf(zone)
  const [y, mo, d] = [Number(year), Number(month ?? 1), Number(day ?? 1)]
  const [h, mi, s] = [Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)]
  const nanos = Number(fraction.padEnd(9, '0'))
  const local = new Date(0)
  local.setUTCFullYear(y, mo - 1, d)
  local.setUTCHours(h, mi, s, Math.floor(nanos / 1e6))
  const isReal = local.getUTCMonth() === mo - 1 && local.getUTCDate() === d
  if (y === 0 || !isReal || h > 23 || mi > 59 || s > 59) return null
  const known = [second, minute, day, month].findIndex((field) => field !== undefined)
  const precision = (['second', 'minute', 'day', 'month'] as const)[known] ?? 'year'
  const epochMs = local.getTime() - offset * MINUTE_MS
  return new Timestamp({ epochMs, nanos: nanos % 1e6, offset, precision, digits: fraction.length })
}

function offsetOf(zone: string): number {
  if (zone === 'Z') return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))
  return zone.startsWith('-') ? -minutes : minutes
}

/** `Z`, or hours and minutes with that between them. */
export function offsetText(offset: number, between: string, zero = 'Z'): string {
  if (offset === 0 && zero !== '') return zero
  const minutes = Math.abs(offset)
  const sign = offset < 0 ? '-' : '+'
  return sign + twoDigits(Math.floor(minutes / 60)) + between + twoDigits(minutes % 60)
}

export function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}
