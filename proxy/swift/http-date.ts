import { TICKS_PER_SECOND } from '../../common/stamp.ts'

/** A stamp as Last-Modified has it: whole seconds, rounded up, so that a later condition never cuts off the change. */
export function lastModified(ticks: number): string {
  const second = Math.ceil(ticks / TICKS_PER_SECOND)
  if (second !== modifiedSecond) {
    modifiedText = new Date(second * 1000).toUTCString()
    modifiedSecond = second
  }
  return modifiedText
}

/** Writes of one second share the text: making it costs more than looking. */
let modifiedSecond = -1
let modifiedText = ''

const TWO_DIGITS = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, '0'))
let isoDay = -1
let isoDayText = ''

/**
 * A stamp as listings have it: `2026-03-01T12:00:00.123450`, UTC. Ten thousand of them in a page, so only the day is
 * left to Date.
 */
export function isoTime(ticks: number): string {
  const second = Math.floor(ticks / TICKS_PER_SECOND)
  const day = Math.floor(second / 86_400)
  if (day !== isoDay) {
    isoDayText = new Date(day * 86_400_000).toISOString().slice(0, 11)
    isoDay = day
  }
  const ofDay = second - day * 86_400
  const hours = TWO_DIGITS[Math.floor(ofDay / 3600)]
  const minutes = TWO_DIGITS[Math.floor(ofDay / 60) % 60]
  const fraction = String(ticks - second * TICKS_PER_SECOND).padStart(5, '0')
  return `${isoDayText}${hours}:${minutes}:${TWO_DIGITS[ofDay % 60]}.${fraction}0`
}

/** Seconds since 1970 of an HTTP date in any of its three forms; undefined if it is none. */
export function parseHttpDate(text: string): number | undefined {
  const trimmed = text.trim()
  if (!/^[A-Za-z]{3,9},? /.test(trimmed)) return undefined
  const ms = Date.parse(/(GMT|UTC|[+-]\d{4})$/.test(trimmed) ? trimmed : `${trimmed} GMT`)
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000)
}
