/**
 * `npm run conformance:s3api -- CHECKOUT`: the functional tests of Swift's own s3api, from a checkout of openstack/swift outside
 * of this repository, against a Swiftlet that it starts. Prints a table; the exit code is 0 only if nothing failed or was skipped
 * that docs/conformance/s3api-known.txt does not name.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import { projectFolder } from '../../bin/project.ts'
import { compareOutcomes, parseKnown } from './known-results.ts'
import { outcomeTable } from './outcomes.ts'
import { startS3ApiStore } from './s3api-store.ts'
import { missingForSuite, runSuite, suiteModuleOf, suiteTestName } from './swift-suite.ts'

interface Flags {
  readonly path: readonly string[]
  readonly threads: string
  readonly python: string
  readonly modules?: string
  readonly keep?: string
}

const KNOWN = join(projectFolder, 'docs', 'conformance', 's3api-known.txt')
const ALL = ['test/functional/s3api']

async function main(checkout: string, flags: Flags): Promise<void> {
  const { python, keep, modules } = flags
  const reason = missingForSuite(python, checkout, ['boto', 'boto3', 'lxml'])
  if (reason !== null) throw new Error(reason)
  if (modules !== undefined && !existsSync(modules)) throw new Error(`there is no ${modules}`)
  const known = parseKnown(await readFile(KNOWN, 'utf8'))
  const folder =
    keep === undefined ? await mkdtemp(join(tmpdir(), 's3api-conformance-')) : resolve(keep)
  const store = await startS3ApiStore({ folder, threads: flags.threads })
  try {
    const outcomes = await runSuite({
      ...{ python, checkout, folder, confFile: store.confFile },
      paths: flags.path.length === 0 ? ALL : flags.path,
      modules: modules === undefined ? [] : [resolve(modules)],
      print: console.log,
    })
    console.log(`\n${outcomeTable(outcomes, suiteModuleOf).join('\n')}\n`)
    const { regressions, mended } = compareOutcomes(outcomes, known, {
      nameOf: suiteTestName,
      countsSkips: true,
    })
    for (const test of mended) console.log(`passes now, take it off the list: ${test}`)
    for (const { id, outcome, why } of regressions) {
      console.log(`REGRESSION ${suiteTestName(id)} ${outcome}: ${why}`)
    }
    console.log(`${outcomes.length} tests, ${regressions.length} regressions`)
    process.exitCode = regressions.length === 0 ? 0 : 1
  } finally {
    await store.stop()
    if (keep === undefined) await rm(folder, { recursive: true, force: true })
  }
}

await new Command('conformance:s3api')
  .description("run the functional tests of Swift's own s3api against Swiftlet")
  .argument('<checkout>', 'the folder of a checkout of openstack/swift')
  .option('--path <paths...>', 'only these (test/functional/s3api/test_acl.py::…)', [])
  .option('--threads <n>', 'of Swiftlet', '1')
  .option('--python <program>', 'which has the packages', '/usr/bin/python3')
  .option('--modules <folder>', 'Python modules that go before its own, a newer boto3 for one')
  .option('--keep <folder>', 'where data, logs and results are left; deleted by default')
  .action((checkout: string, flags: Flags) => main(resolve(checkout), flags))
  .parseAsync()
