import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseOutcomes, type TestOutcome } from './outcomes.ts'

export interface PytestRun {
  /** The upstream checkout, where pytest runs; what it has comes before the system's modules. */
  readonly checkout: string
  readonly python: string
  /** Files, marker and keyword expressions: pytest's own. */
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** Folders of Python modules that go before the system's. */
  readonly modules?: readonly string[]
  /** Where the outcomes are written. */
  readonly folder: string
  /** Told of each line that pytest prints; it is printed as it is if absent. */
  readonly onLine?: (line: string) => void
  /** A run that prints nothing for so long is ended. */
  readonly silentMsMax?: number
}

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const OUTCOMES_FILE = 'outcomes.jsonl'

/** Runs the tests of a checkout. Throws where they were not run to their end. */
export async function runPytest(run: PytestRun): Promise<readonly TestOutcome[]> {
  const path = join(run.folder, OUTCOMES_FILE)
  await rm(path, { force: true })
  const args = ['-m', 'pytest', '-p', 'outcomes_plugin', '-p', 'no:cacheprovider', '--tb=short']
  const child = spawn(run.python, [...args, ...run.args], {
    cwd: run.checkout,
    stdio: ['ignore', run.onLine === undefined ? 'inherit' : 'pipe', 'inherit'],
    env: {
      ...run.env,
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONPATH: [FOLDER, ...(run.modules ?? [])].join(':'),
      OUTCOMES: path,
    },
  })
  const exited = once(child, 'exit') as Promise<[number | null]>
  const stop = () => child.kill('SIGTERM')
  process.on('SIGINT', stop).on('SIGTERM', stop)
  if (child.stdout !== null) await readLines(child, child.stdout, run)
  const [code] = await exited
  process.off('SIGINT', stop).off('SIGTERM', stop)
  const text = await readFile(path, 'utf8').catch(() => '')
  // 0: all passed, 1: some failed; everything else means that it was not the tests that spoke.
  if (text === '' || (code !== 0 && code !== 1)) throw new Error(`pytest ended with ${code}`)
  return parseOutcomes(text)
}

async function readLines(
  child: ChildProcess,
  stdout: Readable,
  { onLine, silentMsMax }: PytestRun,
): Promise<void> {
  const watch = () =>
    silentMsMax === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), silentMsMax)
  let silence = watch()
  for await (const line of createInterface({ input: stdout })) {
    clearTimeout(silence)
    silence = watch()
    onLine?.(line)
  }
  clearTimeout(silence)
}
