import { InvalidArgumentError } from 'commander'
import { formatBytes, parseBytes } from '../common/config.ts'
import { DEFAULT_PORTS } from './ports.ts'

/** Sizes that a log segment may have. */
export const SEGMENT_BYTES = { min: 4 * 2 ** 20, max: 2 ** 31 } as const

/** What is added to every default port: all of them stay within 1 to 65535. */
export function parsePortOffset(text: string): number {
  const ports = Object.values(DEFAULT_PORTS)
  return whole(text, { min: 1 - Math.min(...ports), max: 65_535 - Math.max(...ports) })
}

/** A parser of whole numbers in a range. */
export function wholeNumber(range: { readonly min: number; readonly max: number }) {
  return (text: string): number => whole(text, range)
}

/** A parser of sizes such as `64MiB` in a range of bytes. */
export function size(range: { readonly min: number; readonly max: number }) {
  return (text: string): number => {
    const bytes = parseBytes(text)
    if (bytes !== null && bytes >= range.min && bytes <= range.max) return bytes
    throw new InvalidArgumentError(
      `Not a size from ${formatBytes(range.min)} to ${formatBytes(range.max)}.`,
    )
  }
}

/** Collects the values of an option that may be repeated. */
export function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text]
}

function whole(text: string, range: { readonly min: number; readonly max: number }): number {
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= range.min && value <= range.max) return value
  throw new InvalidArgumentError(`Not a whole number from ${range.min} to ${range.max}.`)
}
