/** Patterns of TO_STRING: https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-date.html */
import { SelectError } from '../select-error.ts'
import { offsetText, type Timestamp, twoDigits } from './timestamp.ts'

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const FIELDS: Readonly<Record<string, (time: Timestamp) => string>> = {
  y: (time) => String(time.part('year')),
  yy: (time) => twoDigits(time.part('year') % 100),
  yyyy: (time) => String(time.part('year')).padStart(4, '0'),
  M: (time) => String(time.part('month')),
  MM: (time) => twoDigits(time.part('month')),
  MMM: (time) => monthOf(time).slice(0, 3),
  MMMM: monthOf,
  MMMMM: (time) => monthOf(time).slice(0, 1),
  d: (time) => String(time.part('day')),
  dd: (time) => twoDigits(time.part('day')),
  a: (time) => (time.part('hour') < 12 ? 'AM' : 'PM'),
  h: (time) => String(hourOf12(time)),
  hh: (time) => twoDigits(hourOf12(time)),
  H: (time) => String(time.part('hour')),
  HH: (time) => twoDigits(time.part('hour')),
  m: (time) => String(time.part('minute')),
  mm: (time) => twoDigits(time.part('minute')),
  s: (time) => String(time.part('second')),
  ss: (time) => twoDigits(time.part('second')),
  n: (time) => String(Number(time.fraction)),
  X: (time) => shortOffset(time, 'Z'),
  XX: (time) => offsetText(time.offset, ''),
  XXXX: (time) => offsetText(time.offset, ''),
  XXX: (time) => offsetText(time.offset, ':'),
  XXXXX: (time) => offsetText(time.offset, ':'),
  x: (time) => shortOffset(time, '+00'),
  xx: (time) => offsetText(time.offset, '', '+0000'),
  xxxx: (time) => offsetText(time.offset, '', '+0000'),
  xxx: (time) => offsetText(time.offset, ':', '+00:00'),
  xxxxx: (time) => offsetText(time.offset, ':', '+00:00'),
}

/** A letter, as often as it stands; what is quoted; anything else. */
const PARTS = /([A-Za-z])\1*|'((?:[^']|'')*)'|[^A-Za-z']+|'/g

/** The time by that pattern. */
export function formatTimestamp(time: Timestamp, pattern: string): string {
  return pattern.replace(PARTS, (part, letter?: string, quoted?: string) => {
    if (quoted !== undefined) return part === "''" ? "'" : quoted.replaceAll("''", "'")
    if (part === "'") throw new SelectError('EvaluatorUnterminatedTimestampFormatPatternToken')
    if (letter === undefined) return part
    if (letter === 'S') return time.fraction.padEnd(part.length, '0').slice(0, part.length)
    const field = Object.hasOwn(FIELDS, part) ? FIELDS[part] : undefined
    if (field === undefined) {
      throw new SelectError('EvaluatorInvalidTimestampFormatPatternSymbol', part)
    }
    return field(time)
  })
}

function monthOf(time: Timestamp): string {
  return MONTHS[time.part('month') - 1]!
}

function hourOf12(time: Timestamp): number {
  return time.part('hour') % 12 || 12
}

/** Hours alone where there are no minutes. */
function shortOffset({ offset }: Timestamp, zero: string): string {
  const text = offsetText(offset, '', zero)
  return text.length > 3 && text.endsWith('00') ? text.slice(0, 3) : text
}
