import { invalid } from '../errors.ts'

const FORM = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?$/

/** A time that a client gave, in UTC with microseconds and `Z` and to its microsecond. Throws 400 if it is none or over. */
export function parseExpiry(text: string, nowMs: number): string {
  const [, seconds, fraction = '', zone = 'Z'] = FORM.exec(text) ?? []
  const ms = seconds === undefined ? Number.NaN : Date.parse(seconds + zone)
  if (Number.isNaN(ms)) throw badTime('Timestamp not in expected format.')
  const micros = fraction.slice(0, 6).padEnd(6, '0')
  const expiry = new Date(ms).toISOString().replace(/\d{3}Z$/, `${micros}Z`)
  if (isOver(expiry, nowMs)) throw badTime("The 'expires_at' must not be before now.")
  return expiry
}

/** Whether a time of `parseExpiry` is past; null never is. */
export function isOver(expiry: string | null, nowMs: number): boolean {
  return expiry !== null && !(Date.parse(expiry) > nowMs)
}

function badTime(what: string) {
  return invalid(
    `${what} The server could not comply with the request since it is either malformed or otherwise incorrect. The ` +
      'client is assumed to be in error.',
  )
}
