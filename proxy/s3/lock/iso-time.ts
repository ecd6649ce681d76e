const ISO = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?$/

/** Milliseconds since 1970 of an ISO 8601 time (without a zone: UTC); null for what is none. */
export function parseIsoTime(text: string): number | null {
  const trimmed = text.trim()
  if (!ISO.test(trimmed)) return null
  const zoned = /T.*(?:Z|[+-]\d\d:?\d\d)$/.test(trimmed) || !trimmed.includes('T')
  const ms = Date.parse(zoned ? trimmed : `${trimmed}Z`)
  return Number.isNaN(ms) ? null : ms
}
