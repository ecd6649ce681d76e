/** Forms of a time in access logs: Swift's, with the directives of strftime. In UTC, in the language of C. Pure. */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
] as const

const two = (value: number) => String(value).padStart(2, '0')
const three = (value: number) => String(value).padStart(3, '0')
const day = (at: Date) => DAYS[at.getUTCDay()]!
const month = (at: Date) => MONTHS[at.getUTCMonth()]!
const clock = (at: Date) => at.toISOString().slice(11, 19)
const dayOfYear = (at: Date) =>
  Math.floor((at.getTime() - Date.UTC(at.getUTCFullYear(), 0, 1)) / 86_400_000) + 1
/** Weeks that began in the year, each with that day of the week. */
const weeks = (at: Date, firstDay: 0 | 1) =>
  Math.floor((dayOfYear(at) + 6 - ((at.getUTCDay() - firstDay + 7) % 7)) / 7)
const ctime = (at: Date) =>
  `${day(at).slice(0, 3)} ${month(at).slice(0, 3)} ${String(at.getUTCDate()).padStart(2)} ${clock(at)} ${at.getUTCFullYear()}`

/** By name: `%H` is `H`. */
export const TIME_FORMATS: Readonly<Record<string, (at: Date) => string>> = {
  a: (at) => day(at).slice(0, 3),
  A: day,
  b: (at) => month(at).slice(0, 3),
  B: month,
  c: ctime,
  d: (at) => two(at.getUTCDate()),
  H: (at) => two(at.getUTCHours()),
  I: (at) => two(at.getUTCHours() % 12 || 12),
  j: (at) => three(dayOfYear(at)),
  m: (at) => two(at.getUTCMonth() + 1),
  M: (at) => two(at.getUTCMinutes()),
  p: (at) => (at.getUTCHours() < 12 ? 'AM' : 'PM'),
  S: (at) => two(at.getUTCSeconds()),
  U: (at) => two(weeks(at, 0)),
  w: (at) => String(at.getUTCDay()),
  W: (at) => two(weeks(at, 1)),
  x: (at) =>
    `${two(at.getUTCMonth() + 1)}/${two(at.getUTCDate())}/${two(at.getUTCFullYear() % 100)}`,
  X: clock,
  y: (at) => two(at.getUTCFullYear() % 100),
  Y: (at) => String(at.getUTCFullYear()),
  Z: () => 'UTC',
  asctime: ctime,
  datetime: (at) =>
    `${two(at.getUTCDate())}/${month(at).slice(0, 3)}/${at.getUTCFullYear()}/${clock(at).replaceAll(':', '/')}`,
  iso8601: (at) => at.toISOString().slice(0, 19),
  ms: (at) => three(at.getUTCMilliseconds()),
  us: (at) => `${three(at.getUTCMilliseconds())}000`,
  ns: (at) => `${three(at.getUTCMilliseconds())}000000`,
  s: (at) => String(Math.floor(at.getTime() / 1000)),
}

/** The time in a form that there is. */
export function timeText(atMs: number, form: string): string {
  return TIME_FORMATS[form]!(new Date(atMs))
}
