/** Runs test/functional of a checkout of openstack/swift with Debian's Python and what it needs from there. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { startProgress } from '../../bin/progress.ts'
import type { TestOutcome } from './outcomes.ts'
import { runPytest } from './pytest-run.ts'

export interface SuiteOptions {
  readonly python: string
  /** The checkout's folder: its own `swift` has to be the one that is imported. */
  readonly checkout: string
  /** `test.conf`. */
  readonly confFile: string
  /** Where results are left. */
  readonly folder: string
  /** Folders of Python modules that go before the system's. */
  readonly modules?: readonly string[]
  /** Files or tests below the checkout; all but the S3 ones if empty. */
  readonly paths: readonly string[]
  readonly print: (line: string) => void
}

const MODULES = ['swift.common.utils', 'swiftclient', 'keystoneclient.v3', 'pytest', 'requests']
const PACKAGES = 'python3-swift python3-swiftclient python3-keystoneclient python3-pytest'
const ALL = ['test/functional', '--ignore=test/functional/s3api']
/** Tests that wait for time to pass take a minute. */
const SILENT_MS_MAX = 15 * 60_000
const LINE = /^test\/functional\/((?:s3api\/)?\w+\.py)::\S+ (PASSED|FAILED|SKIPPED|ERROR)/

/** Why the suite cannot be run, or null. */
export function missingForSuite(
  python: string,
  checkout: string,
  more: readonly string[] = [],
): string | null {
  if (!existsSync(join(checkout, 'test', 'functional', 'tests.py'))) {
    return `${checkout} is no checkout of openstack/swift: it has no test/functional`
  }
  const imports = [...MODULES, ...more].map((name) => `import ${name}`).join('\n')
  const { status, error, stderr } = runPython(python, checkout, imports)
  if (status === 0) return null
  const why = error?.message ?? stderr.trim().split('\n').at(-1)
  return `${python} cannot run the suite (${why}); Debian has it in ${[PACKAGES, ...more.map((name) => `python3-${name}`)].join(' ')}`
}

/** How many scenarios of access test_access_control.py walks through, within its few tests. */
export function countScenarios(python: string, checkout: string): number {
  const script = `
import test.functional.test_access_control as module
print(sum(len(value) for name, value in vars(module).items()
          if name.startswith(('RBAC_', 'ACL_')) and isinstance(value, list)))`
  // Importing the suite may print something of its own.
  return Number(runPython(python, checkout, script).stdout.trim().split('\n').at(-1))
}

/** The outcomes of all tests; throws where the run itself failed. */
export async function runSuite(options: SuiteOptions): Promise<readonly TestOutcome[]> {
  const { python, checkout, folder, paths, print, modules = [] } = options
  const reader = new PytestReader(print)
  const args = [
    ...['-v', '-p', 'no:requests_mock'],
    ...['-o', 'addopts=', '-o', 'python_files=test*.py'],
    ...(paths.length === 0 ? ALL : paths),
  ]
  try {
    return await runPytest({
      ...{ checkout, python, args, modules },
      env: suiteEnv(options.confFile),
      folder: resolve(folder),
      onLine: (line) => reader.line(line),
      silentMsMax: SILENT_MS_MAX,
    })
  } catch (error) {
    throw new Error(`${(error as Error).message}:\n${reader.tail()}`, { cause: error })
  } finally {
    reader.end()
  }
}

/** `test_account.TestAccount.test_POST` of `test/functional/test_account.py::TestAccount::test_POST`. */
export function suiteTestName(id: string): string {
  return id.replace('test/functional/', '').replace('.py::', '.').replaceAll('::', '.')
}

/** The file of a test. */
export function suiteModuleOf({ id }: TestOutcome): string {
  return id.replace('test/functional/', '').replace(/::.*/, '')
}

/** Shows how far a run is: a bar on a terminal, elsewhere a line as each module ends; failures at once. */
class PytestReader {
  readonly #print: (line: string) => void
  readonly #tail: string[] = []
  #progress: ReturnType<typeof startProgress> | null = null
  #module = ''
  #count = 0

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  line(line: string): void {
    this.#tail.push(line)
    if (this.#tail.length > 50) this.#tail.shift()
    const total = /^collect(?:ed|ing).* (\d+) items/.exec(line)?.[1]
    if (total !== undefined) this.#progress ??= startProgress('tests', Number(total))
    const [, module, outcome] = LINE.exec(line) ?? []
    if (module === undefined) return
    if (module !== this.#module) this.#next(module)
    this.#count++
    this.#progress?.add(1)
    if (outcome === 'FAILED' || outcome === 'ERROR') this.#print(`  ${line.trim()}`)
  }

  end(): void {
    this.#next('')
    this.#progress?.end()
  }

  tail(): string {
    return this.#tail.join('\n')
  }

  #next(module: string): void {
    if (this.#module !== '') this.#print(`  ${this.#module}: ${this.#count} tests`)
    this.#module = module
    this.#count = 0
  }
}

function runPython(python: string, checkout: string, script: string) {
  return spawnSync(python, ['-c', script], {
    cwd: checkout,
    env: suiteEnv('/dev/null'),
    encoding: 'utf8',
  })
}

/** Of this process's own, with nothing that would lead the suite to another server. */
function suiteEnv(confFile: string): NodeJS.ProcessEnv {
  const foreign = /^(?:https?|all|no)_proxy$|^PYTHON|^(?:OS|ST|SWIFT)_/i
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  return {
    ...Object.fromEntries(kept),
    SWIFT_TEST_CONFIG_FILE: confFile,
    // Else it tests a Swift of its own.
    SWIFT_TEST_IN_PROCESS: '0',
    PYTHONDONTWRITEBYTECODE: '1',
    PYTHONUNBUFFERED: '1',
    LC_ALL: 'C.UTF-8',
  }
}
