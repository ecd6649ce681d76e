import { TICKS_PER_SECOND } from '../../common/stamp.ts'

/** A stamp as S3's documents have it, by the same rounding as Last-Modified: `2026-03-01T12:00:00.000Z`. */
export function s3Time(ticks: number): string {
  return new Date(Math.ceil(ticks / TICKS_PER_SECOND) * 1000).toISOString()
}

/** Milliseconds since 1970 in the same form. */
export function s3TimeOfMs(ms: number): string {
  return new Date(ms).toISOString()
}
