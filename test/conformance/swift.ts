/**
 * `npm run conformance:swift -- CHECKOUT`: Swift's own functional tests, without the S3 ones, from a checkout of
 * openstack/swift outside of this repository, against Swiftlets that it starts. Prints a table for each configuration; the
 * exit code is 0 only if nothing failed or was skipped that docs/conformance/swift-known.txt does not name.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Command, Option } from 'commander'
import { projectFolder } from '../../bin/project.ts'
import { compareOutcomes, type KnownResult, parseKnown } from './known-results.ts'
import { outcomeTable } from './outcomes.ts'
import { startSuiteSwiftlet } from './suite-swiftlet.ts'
import {
  CONFIGURATION,
  CONFIGURATIONS,
  type ConfigurationName,
  suiteConf,
} from './swift-configurations.ts'
import {
  countScenarios,
  missingForSuite,
  runSuite,
  suiteModuleOf,
  suiteTestName,
} from './swift-suite.ts'

interface Flags {
  readonly configuration: readonly ConfigurationName[]
  readonly path: readonly string[]
  readonly threads?: string
  readonly python: string
  readonly keep?: string
}

const KNOWN = join(projectFolder, 'docs', 'conformance', 'swift-known.txt')

async function main(checkout: string, flags: Flags): Promise<void> {
  const { python, keep } = flags
  const reason = missingForSuite(python, checkout)
  if (reason !== null) throw new Error(reason)
  const known = parseKnown(await readFile(KNOWN, 'utf8'))
  const folder = keep === undefined ? await mkdtemp(join(tmpdir(), 'conformance-')) : resolve(keep)
  try {
    for (const name of flags.configuration) {
      const isGood = await runOne(name, { checkout, folder: join(folder, name), known, flags })
      if (!isGood) process.exitCode = 1
    }
  } finally {
    if (keep === undefined) await rm(folder, { recursive: true, force: true })
  }
}

interface Run {
  readonly checkout: string
  readonly folder: string
  readonly known: readonly KnownResult[]
  readonly flags: Flags
}

async function runOne(name: ConfigurationName, run: Run): Promise<boolean> {
  const { checkout, folder, known, flags } = run
  const configuration = CONFIGURATION[name]
  const startedMs = Date.now()
  console.log(`${name}: ${configuration.title}`)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const swiftlet = await startSuiteSwiftlet(configuration, folder, flags.threads)
  try {
    const confFile = join(folder, 'test.conf')
    await writeFile(confFile, suiteConf(configuration.auth, swiftlet.authUri))
    const outcomes = await runSuite({
      python: flags.python,
      checkout,
      confFile,
      folder,
      paths: flags.path,
      print: console.log,
    })
    console.log(`\n${outcomeTable(outcomes, suiteModuleOf).join('\n')}\n`)
    if (configuration.auth === 'v3' && flags.path.length === 0) {
      const scenarios = countScenarios(flags.python, checkout)
      console.log(`test_access_control.py: ${scenarios} scenarios of access within its tests`)
    }
    const { regressions, mended } = compareOutcomes(outcomes, known, {
      nameOf: suiteTestName,
      configuration: name,
      countsSkips: true,
    })
    for (const test of mended) console.log(`passes now, take it off the list: ${test}`)
    for (const { id, outcome, why } of regressions) {
      console.log(`REGRESSION ${suiteTestName(id)} ${outcome}: ${why}`)
    }
    const minutes = ((Date.now() - startedMs) / 60_000).toFixed(1)
    console.log(`${name}: ${regressions.length} regressions, ${minutes} minutes\n`)
    return regressions.length === 0
  } finally {
    await swiftlet.stop()
  }
}

const command = new Command('conformance:swift')
  .description("run Swift's own functional tests against Swiftlet")
  .argument('<checkout>', 'the folder of a checkout of openstack/swift')
  .addOption(
    new Option('--configuration <names...>', 'in what forms, one after the other')
      .choices(CONFIGURATIONS)
      .default(['v1', 'v3']),
  )
  .option('--path <paths...>', 'only these files or tests of it (test/functional/tests.py::…)', [])
  .option('--threads <n>', 'of Swiftlet, as many as there are cores by default')
  .option('--python <program>', 'which has the packages', '/usr/bin/python3')
  .option('--keep <folder>', 'where data, logs and results are left; deleted by default')
  .action((checkout: string, flags: Flags) => main(resolve(checkout), flags))

await command.parseAsync()
