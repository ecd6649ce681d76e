/**
 * An expected failure, as opposed to a bug (which is an assert). `code` is a word that programs can test, `status` the
 * HTTP status that the edge answers; the message of a 4xx reaches the client, that of a 5xx only the log.
 */
export class ServiceError extends Error {
  readonly code: string
  readonly status: number
  /** Seconds after which trying again makes sense; becomes Retry-After. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: string,
    message: string,
    options: {
      readonly status?: number
      readonly cause?: unknown
      readonly retryAfterSeconds?: number
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ServiceError'
    this.code = code
    this.status = options.status ?? 500
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** The error code that Node's system errors carry (`ENOSPC`, `EIO`, …), or undefined. */
export function systemErrorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : undefined
}
