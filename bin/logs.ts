import type { Clock } from '../common/clock.ts'
import { type BufferedLog, createLog, type LogFields, type LogLevel } from '../common/log.ts'
import { LogFile } from './log-file.ts'

export interface LogsOptions {
  readonly component: string
  readonly clock: Clock
  /** What goes to stderr: this and worse. */
  readonly level: LogLevel
  /** A file that also gets everything, with a line for each request; `-` is stdout. */
  readonly accessLog?: string
}

export interface Logs {
  readonly log: BufferedLog
  /** Writes out what is buffered and closes the file. */
  close(): Promise<void>
}

/** The log of a process: troubles to stderr for whoever watches, all of it to a file where one is asked for. */
export function openLogs(options: LogsOptions): Logs {
  const { component, clock, level, accessLog } = options
  const common = { component, nowMs: () => clock.nowMs() }
  const toStderr = createLog({ ...common, level, write: (lines) => process.stderr.write(lines) })
  if (accessLog === undefined) return { log: toStderr, close: async () => toStderr.flush() }
  if (accessLog === '-') {
    const toStdout = createLog({ ...common, write: (lines) => process.stdout.write(lines) })
    const log = tee(toStdout, toStderr)
    return { log, close: async () => log.flush() }
  }
  const file = new LogFile(accessLog, (error) => toStderr.error('access log', { error }))
  const log = tee(createLog({ ...common, write: (lines) => file.write(lines) }), toStderr)
  process.on('SIGHUP', () => file.reopen())
  return {
    log,
    async close() {
      log.flush()
      await file.close()
    },
  }
}

function tee(one: BufferedLog, other: BufferedLog): BufferedLog {
  const both = (level: 'info' | 'warn' | 'error') => (event: string, fields?: LogFields) => {
    one[level](event, fields)
    other[level](event, fields)
  }
  return {
    info: both('info'),
    warn: both('warn'),
    error: both('error'),
    flush() {
      one.flush()
      other.flush()
    },
  }
}
