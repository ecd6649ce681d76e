/** Quantities as a person reads them. */

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const

/** `512 B`, `1.5 KiB`, `931 GiB`. */
export function bytesText(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${BYTE_UNITS[unit]}`
}

/** `4,096`. */
export function countText(count: number): string {
  return Math.round(count).toLocaleString('en')
}

const TIME_UNITS: readonly (readonly [number, string])[] = [
  [24 * 3600, 'd'],
  [3600, 'h'],
  [60, 'min'],
]

/** `12 s`, `3 min`, `2.5 h`, `9 d`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  for (const [unitSeconds, name] of TIME_UNITS) {
    const value = seconds / unitSeconds
    if (value >= 1) return `${value < 10 ? trimmed(value) : Math.round(value)} ${name}`
  }
  return `${Math.round(seconds)} s`
}

/** `4 s ago`. */
export function agoText(ms: number): string {
  return `${durationText(ms)} ago`
}

function trimmed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '')
}
