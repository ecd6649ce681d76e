/**
 * The tests of the identity API once more, with the state in PostgreSQL: in the short form those that ask most of the state. What an engine
 * must do at all is state-contract.ts's.
 */
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { shortOrLong } from '../probe/support/scale.ts'
import { PostgresServer, postgresPrograms } from '../support/postgres-server.ts'

const SHORT = /^identity(?:-(?:credentials|delegation|lists|races|removal))?\.test\.ts$/
const folder = dirname(fileURLToPath(import.meta.url))
const programs = postgresPrograms()
const skip = 'missing' in programs ? programs.missing : false

// As long as all of those files together.
t.setTimeout(900_000)

t.test('identity on PostgreSQL', { skip }, async (t) => {
  const server = await PostgresServer.start(t)
  const all = readdirSync(folder).filter((name) => /^identity.*\.test\.ts$/.test(name))
  const tests = all.filter((name) => shortOrLong(SHORT.test(name), !name.includes('postgres')))
  t.ok(tests.length >= 6)
  for (const name of tests) {
    await t.spawn(
      process.execPath,
      ['--import=tsx', '--import=./test/support/close-first.ts', join(folder, name)],
      {
        name,
        env: { ...process.env, SWIFTLET_TEST_POSTGRES: server.url('postgres') },
      },
    )
  }
})
