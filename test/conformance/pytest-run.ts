import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseOutcomes, type TestOutcome } from './outcomes.ts'

export interface PytestRun {
  /** The upstream checkout, where pytest runs. */
  readonly checkout: string
  readonly python: string
  /** Files, marker and keyword expressions: pytest's own. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Folders of Python modules that go before the system's. */
  readonly modules?: readonly string[]
  /** Where the outcomes are written. */
  readonly folder: string
  readonly secondsPerTest: number
}

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const OUTCOMES_FILE = 'outcomes.jsonl'

/** Runs the tests of a checkout; what pytest prints is printed. Throws where it ran none. */
export async function runPytest(run: PytestRun): Promise<readonly TestOutcome[]> {
  const path = join(run.folder, OUTCOMES_FILE)
  await rm(path, { force: true })
  const args = [
    '-m',
    'pytest',
    '-p',
    'outcomes_plugin',
    '-p',
    'no:cacheprovider',
    '-q',
    '--tb=short',
  ]
  const child = spawn(run.python, [...args, `--timeout=${run.secondsPerTest}`, ...run.args], {
    cwd: run.checkout,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      ...run.env,
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONPATH: [FOLDER, ...(run.modules ?? [])].join(':'),
      OUTCOMES: path,
    },
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  const text = await readFile(path, 'utf8').catch(() => '')
  // 0: all passed, 1: some failed; everything else means that it was not the tests that spoke.
  if (text === '' || (code !== 0 && code !== 1)) throw new Error(`pytest ended with ${code}`)
  return parseOutcomes(text)
}
