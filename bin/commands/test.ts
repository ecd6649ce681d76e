import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Command } from 'commander'
import { installClients, missingClients } from '../client-packages.ts'
import { projectFolder } from '../project.ts'
import { TestRun } from '../test-run.ts'

interface TestOptions {
  readonly clients?: boolean
}

/**
 * `npm test`: all tests, or the named files. With CI=true or --clients the official clients are installed from Debian
 * first; without, tests that need one that is missing are skipped and say so. Ends with `N passed, N failed`.
 */
export function testCommand(): Command {
  return new Command('test')
    .description("run the project's own tests; ends with `N passed, N failed`")
    .argument('[files...]', 'test files or patterns; all of them if none is named')
    .option('--clients', 'install the official clients first (apt-get), as CI=true does')
    .action(async (files: readonly string[], options: TestOptions) => {
      if (options.clients === true || process.env.CI === 'true') await installClients(console.log)
      const missing = missingClients()
      if (missing.length > 0) {
        console.log(`not installed, their tests are skipped: ${missing.join(', ')}`)
      }
      process.exitCode = await runTests(files)
    })
}

async function runTests(files: readonly string[]): Promise<number> {
  const run = new TestRun(console.log)
  const tap = join(projectFolder, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs')
  // From one installed package to the other: an npm_config_… of the caller is not meant for the tests.
  const child = spawn(process.execPath, [tap, 'run', '--reporter=tap', ...files], {
    cwd: projectFolder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  for await (const line of createInterface({ input: child.stdout })) run.line(line)
  const code = await exited
  const counts = run.counts()
  if (counts.skipped > 0) console.log(`${counts.skipped} skipped`)
  const failed = code === 0 ? counts.failed : Math.max(counts.failed, 1)
  console.log(`${counts.passed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}
