import { type Command, Option } from 'commander'
import { LOG_LEVELS, type LogLevel } from '../../common/log.ts'

/** What every serving command takes. */
export interface ServeFlags {
  readonly logLevel: LogLevel
  readonly accessLog?: string
}

export function withLogOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--log-level <level>', 'what is said on stderr, one JSON line each')
        .choices(LOG_LEVELS)
        .default('warn'),
    )
    .option('--access-log <file>', 'a JSON line for every request; - is stdout')
}

/** The log's part of the flags. */
export function logOptions(flags: ServeFlags): { level: LogLevel; accessLog?: string } {
  const { logLevel: level, accessLog } = flags
  return { level, ...(accessLog === undefined ? {} : { accessLog }) }
}

/** What commands take that start an identity service. */
export interface AuditFlags {
  readonly auditLog?: string
}

export function withAuditOption(command: Command): Command {
  return command.option(
    '--audit-log <file>',
    'a JSON line for every sign-in and every change at the identity service (CADF); - is stdout',
  )
}
