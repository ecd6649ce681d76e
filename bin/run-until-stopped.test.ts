import { execFile } from 'node:child_process'
import t from 'tap'

/** A process that gets SIGTERM as soon as it says that it is ready. */
const PROGRAM = `
const at = (path) => import(new URL(path, '${import.meta.url}'))
const { runUntilStopped } = await at('run-until-stopped.ts')
const { openLogs } = await at('logs.ts')
const { systemClock: clock } = await at('../common/clock.ts')
const logs = openLogs({ component: 'test', clock, logLevel: 'error' })
await runUntilStopped(logs, {
  start: async () => ({ close: async () => console.log('closed') }),
  sayReady: () => process.kill(process.pid, 'SIGTERM'),
})
setTimeout(() => {}, 60_000)
`

t.test('who is told that it is ready may stop it at once', async (t) => {
  const flags = ['--import=tsx', '--input-type=module', '-e', PROGRAM]
  const ended = await new Promise<{ readonly code: unknown; readonly stdout: string }>(
    (resolve) => {
      execFile(process.execPath, flags, (error, stdout) =>
        resolve({ code: error?.code ?? error?.signal ?? 0, stdout }),
      )
    },
  )
  t.strictSame(ended, { code: 0, stdout: 'closed\n' })
})
