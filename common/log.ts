/** Fields of a log line; values as JSON has them. Secrets (tokens, keys, signatures) never belong here. */
export type LogFields = Readonly<Record<string, unknown>>

/** One JSON line per event. `event` is a short fixed text that can be searched for; what varies goes into fields. */
export interface Log {
  /** False if `info` lines go nowhere: who would make their fields for nothing may ask. */
  readonly wantsInfo?: boolean
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

export const LOG_LEVELS = ['info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface LogOptions {
  /** Takes whole lines, several at a time, each ended by a newline. */
  readonly write: (lines: string) => void
  /** Wall-clock milliseconds since 1970. */
  readonly nowMs: () => number
  /** Which part speaks: `proxy`, `storage-node`, `up`. */
  readonly component: string
  /** Lines below it are dropped. */
  readonly level?: LogLevel
  /** Characters kept until the end of the event loop's turn; a turn that logs more writes more than once. */
  readonly bufferCharsMax?: number
}

const DEFAULTS = { level: 'info', bufferCharsMax: 64 * 1024 } satisfies Partial<LogOptions>

export interface BufferedLog extends Log {
  /** Writes what is buffered now: before the process ends. */
  flush(): void
}

/** A log that says nothing. */
export const silentLog: Log = { wantsInfo: false, info() {}, warn() {}, error() {} }

/**
 * A log whose lines of one event-loop turn are written together: one write for the hundred requests that a group
 * commit answers at once. Errors as field values become their message and code (their stack where the level is
 * `error`); a value JSON cannot hold becomes text, so that logging never throws.
 */
export function createLog(options: LogOptions): BufferedLog {
  const { write, nowMs, component, level, bufferCharsMax } = { ...DEFAULTS, ...options }
  const lowest = LOG_LEVELS.indexOf(level)
  const from = `,"component":${JSON.stringify(component)},"event":`
  let buffer = ''
  let scheduled = false

  const flush = () => {
    scheduled = false
    if (buffer === '') return
    const lines = buffer
    buffer = ''
    write(lines)
  }
  const lineWriter = (lineLevel: Exclude<LogLevel, 'silent'>) => {
    if (LOG_LEVELS.indexOf(lineLevel) < lowest) return () => {}
    const head = `","level":"${lineLevel}"${from}`
    return (event: string, fields?: LogFields) => {
      const time = new Date(nowMs()).toISOString()
      buffer += `{"time":"${time}${head}${JSON.stringify(event)}${encodeFields(fields, lineLevel)}}\n`
      if (buffer.length >= bufferCharsMax) return flush()
      if (scheduled) return
      scheduled = true
      setImmediate(flush)
    }
  }
  return {
    wantsInfo: LOG_LEVELS.indexOf('info') >= lowest,
    info: lineWriter('info'),
    warn: lineWriter('warn'),
    error: lineWriter('error'),
    flush,
  }
}

function encodeFields(fields: LogFields | undefined, level: LogLevel): string {
  if (fields === undefined) return ''
  const replacer = (_key: string, value: unknown) => encodeValue(value, level)
  let text: string
  try {
    text = JSON.stringify(fields, hasOnlyPlainValues(fields) ? undefined : replacer)
  } catch (error) {
    text = JSON.stringify({ unloggable: String(error) })
  }
  return text === '{}' ? '' : `,${text.slice(1, -1)}`
}

/** A replacer makes JSON.stringify several times slower, and request lines are made of numbers and texts alone. */
function hasOnlyPlainValues(fields: LogFields): boolean {
  for (const name in fields) {
    const value = fields[name]
    if (typeof value === 'bigint' || (typeof value === 'object' && value !== null)) return false
  }
  return true
}

function encodeValue(value: unknown, level: LogLevel): unknown {
  if (typeof value === 'bigint') return String(value)
  if (!(value instanceof Error)) return value
  const { code } = value as Error & { readonly code?: unknown }
  return {
    message: value.message,
    ...(code === undefined ? {} : { code }),
    ...(level === 'error' ? { stack: value.stack } : {}),
    ...(value.cause === undefined ? {} : { cause: value.cause }),
  }
}
