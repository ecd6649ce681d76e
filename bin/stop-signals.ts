import { constants } from 'node:os'

/** npm passes on to its child the Ctrl-C that the terminal has sent to both: within this time it is the same one. */
const SAME_SIGNAL_MS = 500

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
export type StopSignal = (typeof SIGNALS)[number]

export interface StopOptions {
  /** Ends everything; may be slow. */
  readonly stop: (signal: StopSignal) => Promise<void>
  readonly exit: (code: number) => void
  readonly monotonicMs: () => number
  /** Told of what `stop` failed with. */
  readonly onError: (error: unknown) => void
}

/**
 * Ends the process cleanly at the first SIGINT or SIGTERM: exit code 0, or 1 if stopping failed. The second one is a
 * person who does not want to wait: exit at once with 130 or 143, which loses nothing that was acknowledged.
 */
export function onStopSignals(options: StopOptions): void {
  let firstAtMs: number | null = null
  const receive = (signal: StopSignal) => {
    const nowMs = options.monotonicMs()
    if (firstAtMs !== null) {
      if (nowMs - firstAtMs >= SAME_SIGNAL_MS) options.exit(128 + constants.signals[signal])
      return
    }
    firstAtMs = nowMs
    options.stop(signal).then(
      () => options.exit(0),
      (error: unknown) => {
        options.onError(error)
        options.exit(1)
      },
    )
  }
  for (const signal of SIGNALS) process.on(signal, receive)
}
