import { systemClock as clock } from '../common/clock.ts'
import type { Logs } from './logs.ts'
import { onStopSignals } from './stop-signals.ts'

/** Requests in flight get this long to end when it is stopped; what they had acknowledged is durable anyway. */
const STOP_MS_MAX = 30_000

/** What serves. */
export interface Serving {
  close(): Promise<void>
}

/** How a serving process begins. */
export interface ServingStart<Running extends Serving> {
  readonly start: () => Promise<Running>
  /** Says that it serves. */
  readonly sayReady: (running: Running) => void
}

/**
 * The life of a serving process: start it, let it run until SIGTERM or SIGINT, close it and end the process with 0.
 * A failure to start is the caller's to report.
 */
export async function runUntilStopped<Running extends Serving>(
  logs: Logs,
  { start, sayReady }: ServingStart<Running>,
): Promise<void> {
  // What is stored is nobody's business on this machine but ours, whoever may enter the folder it lies in.
  process.umask(0o077)
  // A reader of stdout that goes away (head, a closed terminal) is no reason to stop serving.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  // What another process has started ends with it, even if that was killed, and even before this one has begun to serve.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  let running: Running
  try {
    running = await start()
  } catch (error) {
    await logs.close()
    throw error
  }
  onStopSignals({
    monotonicMs: () => clock.monotonicMs(),
    exit: (code) => process.exit(code),
    onError: (error) => process.stderr.write(`swiftlet: not stopped cleanly: ${String(error)}\n`),
    async stop(signal) {
      logs.log.info('stopping', { signal })
      clock.after(STOP_MS_MAX, () => {
        process.stderr.write('swiftlet: some requests did not end, stopped without them\n')
        process.exit(1)
      })
      await running.close()
      logs.log.info('stopped')
      await logs.close()
    },
  })
  // Who reads that it is ready may send the signal at once.
  sayReady(running)
}
