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

let lastSecond = -1
let lastText = ''

/** A stamp as listings have it: `2026-03-01T12:00:00.123450`, UTC. */
export function isoTime(ticks: number): string {
  const second = Math.floor(ticks / TICKS_PER_SECOND)
  if (second !== lastSecond) {
    lastText = new Date(second * 1000).toISOString().slice(0, 19)
    lastSecond = second
  }
  return `${lastText}.${String(ticks % TICKS_PER_SECOND).padStart(5, '0')}0`
}

/** Seconds since 1970 of an HTTP date in any of its three forms; undefined if it is none. */
export function parseHttpDate(text: string): number | undefined {
  const trimmed = text.trim()
  if (!/^[A-Za-z]{3,9},? /.test(trimmed)) return undefined
  const ms = Date.parse(/(GMT|UTC|[+-]\d{4})$/.test(trimmed) ? trimmed : `${trimmed} GMT`)
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000)
}
