import { hostname } from 'node:os'
import type { AuditOptions, AuditSink } from '../../auth/audit/audit-trail.ts'
import type { AuditNotification } from '../../auth/audit/cadf.ts'
import { LogFile } from '../log-file.ts'

/**
 * Audit events in a file of their own, one JSON line each; `-` is stdout. It goes on in a new file at SIGHUP, after the
 * old one was moved away. What a disk is too slow for is dropped and counted in the file (`LogFile`).
 */
export class AuditLog implements AuditSink {
  readonly options: AuditOptions = { sink: this, host: hostname() }
  readonly #file: LogFile | null
  readonly #onHangup = () => this.#file?.reopen()

  /** Throws Node's system error if the file cannot be opened; later errors go to `onError`. */
  constructor(path: string, onError: (error: Error) => void) {
    this.#file = path === '-' ? null : new LogFile(path, onError)
    if (this.#file !== null) process.on('SIGHUP', this.#onHangup)
  }

  emit(notification: AuditNotification): void {
    const line = `${JSON.stringify(notification)}\n`
    if (this.#file === null) process.stdout.write(line)
    else this.#file.write(line)
  }

  /** Writes what waits, then closes. */
  async close(): Promise<void> {
    process.off('SIGHUP', this.#onHangup)
    await this.#file?.close()
  }
}
