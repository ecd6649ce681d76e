/**
 * `npm run conformance:s3 -- CHECKOUT`: runs ceph/s3-tests from its checkout against a Swiftlet of its own, prints what came of each
 * area of S3, and compares with the known list (docs/conformance/s3-known.txt). The exit code is 0 only if nothing failed
 * that is not in it.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { amendKnown, compareOutcomes, parseKnown } from './known-results.ts'
import { outcomeTable } from './outcomes.ts'
import { runPytest } from './pytest-run.ts'
import { s3AreaOf } from './s3-areas.ts'
import { startS3Store } from './s3-store.ts'

interface Flags {
  readonly https: boolean
  readonly threads: string
  readonly jobs: string
  readonly profile: string
  readonly k: string
  readonly m: string
  readonly python: string
  readonly modules?: string
  readonly seconds: string
  readonly out?: string
  readonly amend: boolean
}

const KNOWN = fileURLToPath(new URL('../../docs/conformance/s3-known.txt', import.meta.url))
const TESTS = 's3tests/functional'

const NOT_CORE = [
  ...[
    's3select',
    'sns',
    'bucket_logging',
    'cloud_transition',
    'cloud_restore',
    'iam_account',
    'iam_user',
    'iam_role',
  ],
  ...[
    'iam_tenant',
    'user_policy',
    'group',
    'group_policy',
    'role_policy',
    'webidentity_test',
    'test_of_sts',
  ],
  'session_policy',
].map((marker) => `not ${marker}`)

/** Marker expressions. */
const PROFILES: Readonly<Record<string, string>> = {
  all: '',
  // What AWS itself passes.
  aws: 'not fails_on_aws',
  // The same without services beside S3 itself.
  s3: ['not fails_on_aws', ...NOT_CORE].join(' and '),
  quick: [
    'not fails_on_aws',
    ...NOT_CORE,
    'not lifecycle_expiration',
    'not lifecycle_transition',
  ].join(' and '),
}

async function main(checkout: string, flags: Flags): Promise<void> {
  const profile = PROFILES[flags.profile]
  if (profile === undefined) throw new Error(`profiles are ${Object.keys(PROFILES).join(', ')}`)
  const folder =
    flags.out === undefined ? await mkdtemp(join(tmpdir(), 's3-conformance-')) : resolve(flags.out)
  const { store, provider, config, env } = await startS3Store({
    folder,
    threads: Number(flags.threads),
    https: flags.https,
  })
  try {
    const markers = [profile, flags.m].filter((text) => text !== '').map((text) => `(${text})`)
    const outcomes = await runPytest({
      checkout: resolve(checkout),
      python: flags.python,
      args: [
        '-q',
        `--timeout=${flags.seconds}`,
        ...(markers.length > 0 ? ['-m', markers.join(' and ')] : []),
        ...(flags.k === '' ? [] : ['-k', flags.k]),
        ...(flags.jobs === '1' ? [] : ['-n', flags.jobs]),
        TESTS,
      ],
      // The same with and without python3-awscrt, which signs and sums in boto3's place, not as the tests expect it.
      env: { ...process.env, ...env, S3TEST_CONF: config, BOTO_DISABLE_CRT: 'true' },
      modules: modulesOf(checkout, flags.modules),
      folder,
    })
    const text = await readFile(KNOWN, 'utf8')
    const comparison = compareOutcomes(outcomes, parseKnown(text), { nameOf })
    console.log(outcomeTable(outcomes, s3AreaOf).join('\n'))
    for (const name of comparison.mended) console.log(`passes now: ${name}`)
    for (const { id, outcome, why } of comparison.regressions) {
      console.log(`REGRESSION (${outcome}): ${nameOf(id)}: ${why}`)
    }
    if (flags.amend) await writeFile(KNOWN, amendKnown(text, comparison, nameOf))
    const { regressions, mended } = comparison
    console.log(
      `${outcomes.length} tests, ${regressions.length} regressions, ${mended.length} pass that were known to fail`,
    )
    process.exitCode = regressions.length === 0 ? 0 : 1
  } finally {
    await store.stop()
    await provider.close()
    if (flags.out === undefined) await rm(folder, { recursive: true, force: true })
  }
}

/** In the known list a test is called by its file, where that is not the usual one, and its name. */
function nameOf(id: string): string {
  return id.replace(`${TESTS}/`, '').replace(/^test_s3\.py::/, '')
}

/** A boto3 that is newer than the system's: as told, or where it usually is, beside the checkout. */
function modulesOf(checkout: string, asked: string | undefined): readonly string[] {
  const folder = asked ?? join(checkout, '..', 'pylib')
  if (asked !== undefined && !existsSync(folder)) throw new Error(`there is no ${folder}`)
  return existsSync(folder) ? [resolve(folder)] : []
}

await new Command('conformance:s3')
  .description('run ceph/s3-tests and compare with what is known to fail')
  .argument('<checkout>', 'of ceph/s3-tests')
  .option('--https', 'speak HTTPS: boto3 then sends checksums in trailers', false)
  .option('--threads <n>', 'of Swiftlet', '2')
  .option('--jobs <n>', 'tests at once, by pytest-xdist', '1')
  .option('--profile <name>', Object.keys(PROFILES).join(', '), 'aws')
  .option('-k <expression>', "pytest's, on names", '')
  .option('-m <expression>', "pytest's, on markers, beside those of the profile", '')
  .option(
    '--python <file>',
    'with pytest, pytest-timeout and what the tests import',
    '/usr/bin/python3',
  )
  .option(
    '--modules <folder>',
    'Python modules that go before its own; by default pylib beside the checkout',
  )
  .option('--seconds <n>', 'the limit of one test', '1200')
  .option('--out <folder>', 'keep data, configuration and outcomes there')
  .option('--amend', 'write the known list anew by what came out', false)
  .action((checkout: string, flags: Flags) => main(checkout, flags))
  .parseAsync()
