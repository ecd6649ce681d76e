/** Runs test/functional of a checkout of openstack/swift with Debian's Python and what it needs from there. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { startProgress } from '../../bin/progress.ts'
import { readJunit, type TestResult } from './suite-results.ts'

export interface SuiteOptions {
  readonly python: string
  /** The checkout's folder: its own `swift` has to be the one that is imported. */
  readonly checkout: string
  /** `test.conf`. */
  readonly confFile: string
  /** Where results are left. */
  readonly folder: string
  /** Files or tests below the checkout; all but the S3 ones if empty. */
  readonly paths: readonly string[]
  readonly print: (line: string) => void
}

const MODULES = ['swift.common.utils', 'swiftclient', 'keystoneclient.v3', 'pytest', 'requests']
const PACKAGES = 'python3-swift python3-swiftclient python3-keystoneclient python3-pytest'
const ALL = ['test/functional', '--ignore=test/functional/s3api']
/** Tests that wait for time to pass take a minute. */
const SILENT_MS_MAX = 15 * 60_000
const LINE = /^test\/functional\/(\w+\.py)::\S+ (PASSED|FAILED|SKIPPED|ERROR)/

/** Why the suite cannot be run, or null. */
export function missingForSuite(python: string, checkout: string): string | null {
  if (!existsSync(join(checkout, 'test', 'functional', 'tests.py'))) {
    return `${checkout} is no checkout of openstack/swift: it has no test/functional`
  }
  const imports = MODULES.map((name) => `import ${name}`).join('\n')
  const { status, error, stderr } = runPython(python, checkout, imports)
  if (status === 0) return null
  const why = error?.message ?? stderr.trim().split('\n').at(-1)
  return `${python} cannot run the suite (${why}); Debian has it in ${PACKAGES}`
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

/** The results of all tests; throws where the run itself failed. */
export async function runSuite(options: SuiteOptions): Promise<readonly TestResult[]> {
  const { python, checkout, folder, paths, print } = options
  const junit = join(resolve(folder), 'junit.xml')
  const args = [
    ...['-m', 'pytest', '-v', '--tb=short', '-p', 'no:cacheprovider', '-p', 'no:requests_mock'],
    ...['-o', 'addopts=', '-o', 'python_files=test*.py', '-o', 'junit_family=xunit1'],
    ...[`--junitxml=${junit}`, ...(paths.length === 0 ? ALL : paths)],
  ]
  const child = spawn(python, args, {
    cwd: checkout,
    env: suiteEnv(options.confFile),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<number | null>((done, reject) => {
    child.once('error', reject)
    child.once('close', done)
  })
  let silence = setTimeout(() => child.kill('SIGKILL'), SILENT_MS_MAX)
  const stop = () => child.kill('SIGTERM')
  process.on('SIGINT', stop).on('SIGTERM', stop)
  const reader = new PytestReader(print)
  for await (const line of createInterface({ input: child.stdout })) {
    clearTimeout(silence)
    silence = setTimeout(() => child.kill('SIGKILL'), SILENT_MS_MAX)
    reader.line(line)
  }
  const code = await exited
  clearTimeout(silence)
  process.off('SIGINT', stop).off('SIGTERM', stop)
  reader.end()
  // 0: all passed, 1: some failed; all else means that not everything was run.
  if (code !== 0 && code !== 1) throw new Error(`pytest ended with ${code}:\n${reader.tail()}`)
  return readJunit(await readFile(junit, 'utf8'))
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
