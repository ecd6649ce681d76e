import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectFolder } from '../../bin/project.ts'
import { amendKnown, compareOutcomes, parseKnown } from './known-results.ts'
import { type Outcome, outcomeTable, parseOutcomes, type TestOutcome } from './outcomes.ts'
import { s3AreaOf } from './s3-areas.ts'
import { CONFIGURATIONS, suiteConf, usersOf } from './swift-configurations.ts'
import { suiteModuleOf, suiteTestName } from './swift-suite.ts'

const LIST = `For its reader.

## Not built: locks
test_lock
test_hold

## Another reading of S3
test_headers.py::test_date
`

function outcome(id: string, came: Outcome, markers: readonly string[] = []): TestOutcome {
  return { id, outcome: came, why: 'because', markers, seconds: 1 }
}

t.test('what fails unknown to the list is a regression, what passes of it is mended', async (t) => {
  const known = parseKnown(LIST)
  t.strictSame(
    known.map(({ test, reason }) => [test, reason]),
    [
      ['test_lock', 'Not built: locks'],
      ['test_hold', 'Not built: locks'],
      ['test_headers.py::test_date', 'Another reading of S3'],
    ],
  )
  const outcomes = [
    outcome('test_lock', 'failed'),
    outcome('test_hold', 'passed'),
    outcome('test_new', 'failed'),
    outcome('test_set_up', 'error'),
    outcome('test_fine', 'passed'),
    outcome('test_headers.py::test_date', 'skipped'),
  ]
  const comparison = compareOutcomes(outcomes, known, { nameOf: (id) => id })
  t.strictSame(
    comparison.regressions.map(({ id }) => id),
    ['test_new', 'test_set_up'],
  )
  t.strictSame(comparison.mended, ['test_hold'])
  const amended = amendKnown(LIST, comparison, (id) => id)
  t.equal(
    amended,
    `${LIST.replace('test_hold\n', '')}\n## Not looked at yet\ntest_new\ntest_set_up\n`,
  )
  const again = { regressions: [outcome('test_more', 'failed')], mended: [] }
  t.equal(
    amendKnown(amended, again, (id) => id),
    `${amended}test_more\n`,
  )
  t.throws(() => parseKnown(`${LIST}test_lock\n`), /twice/)
})

t.test('a list may be of patterns, configurations and skips', async (t) => {
  const known = parseKnown(`
## in v3: slow
a.*.test_slow
## skipped in v1, replicas: not there
b.B.test_left
## everywhere: also this reason has a colon
c.C.test_bad
`)
  const outcomes = [
    outcome('test/functional/a.py::A::test_slow', 'failed'),
    outcome('test/functional/b.py::B::test_left', 'skipped'),
    outcome('test/functional/c.py::C::test_bad', 'passed'),
  ]
  const compared = (configuration: string) => {
    const options = { nameOf: suiteTestName, configuration, countsSkips: true }
    const { regressions, mended } = compareOutcomes(outcomes, known, options)
    return [regressions.map(({ id }) => suiteTestName(id)), mended]
  }
  t.strictSame(compared('v1'), [['a.A.test_slow'], ['c.C.test_bad']])
  t.strictSame(compared('v3'), [['b.B.test_left'], ['c.C.test_bad']])
  t.equal(suiteModuleOf(outcomes[0]!), 'a.py')
})

t.test('the known lists are lists, and name configurations that there are', async (t) => {
  for (const name of ['swift-known.txt', 's3-known.txt']) {
    const text = readFileSync(join(projectFolder, 'docs', 'conformance', name), 'utf8')
    const known = parseKnown(text)
    t.ok(known.length > 0)
    for (const { test, configurations = [] } of known) {
      const strange = configurations.filter((one) => !CONFIGURATIONS.some((is) => is === one))
      t.strictSame(strange, [], test)
    }
  }
})

t.test('the table counts by area and in all', async (t) => {
  const outcomes = [
    outcome('s3tests/functional/test_s3.py::test_object_lock_put', 'passed'),
    outcome('s3tests/functional/test_s3.py::test_object_lock_get', 'error'),
    outcome('s3tests/functional/test_iam.py::test_object_lock', 'skipped'),
    outcome('s3tests/functional/test_s3.py::test_put_object_checksum', 'failed', ['checksum']),
  ]
  t.strictSame(outcomeTable(outcomes, s3AreaOf).slice(2), [
    '| IAM | 0 | 0 | 0 | 1 |',
    '| checksums | 1 | 0 | 1 | 0 |',
    '| object lock | 2 | 1 | 1 | 0 |',
    '| **all** | 3 | 1 | 2 | 1 |',
  ])
})

t.test('the plugin’s lines are read', async (t) => {
  const line = JSON.stringify(outcome('a::b', 'failed', ['checksum']))
  t.strictSame(parseOutcomes(`${line}\n${line}\n`).length, 2)
  t.throws(() => parseOutcomes('{"id":'))
})

t.test("the suite's configuration has its users", async (t) => {
  const v1 = suiteConf('v1', 'http://h/auth/v1.0')
  t.match(v1, /^auth_version = 1$/m)
  t.match(v1, /^account = test\nusername = tester\npassword = testing$/m)
  t.notMatch(v1, /account3|username4|domain4/)
  const v3 = suiteConf('v3', 'http://h/v3/')
  t.match(
    v3,
    /^account4 = test4\nusername4 = tester4\npassword4 = testing4\ndomain4 = test-domain$/m,
  )
  t.equal(usersOf('v3').length, 6)
})
