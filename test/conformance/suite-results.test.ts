import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectFolder } from '../../bin/project.ts'
import { compare, countModules, parseKnown, readJunit, table } from './suite-results.ts'
import { CONFIGURATIONS, suiteConf, usersOf } from './swift-configurations.ts'

const XML = `<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase classname="test.functional.test_a.TestA" name="test_good" time="1"/>
<testcase classname="test.functional.test_a.TestA" name="test_bad"><failure message="1 != 2&#10;more">trace</failure></testcase>
<testcase classname="test.functional.test_b.TestB" name="test_known"><failure message="x">trace</failure></testcase>
<testcase classname="test.functional.test_b.TestB" name="test_left"><skipped message="not here">why</skipped></testcase>
<testcase classname="test.functional.test_b.TestB" name="test_torn"/>
<testcase classname="test.functional.test_b.TestB" name="test_torn"><error message="tear-down">trace</error></testcase>
</testsuite></testsuites>`
const known = (text: object) => parseKnown(JSON.stringify(text))

t.test('results are read, counted and compared with what is known', async (t) => {
  const results = readJunit(XML)
  const outcomes = Object.fromEntries(results.map(({ test, outcome }) => [test, outcome]))
  t.strictSame(outcomes, {
    'test_a.TestA.test_good': 'passed',
    'test_a.TestA.test_bad': 'failed',
    'test_b.TestB.test_known': 'failed',
    'test_b.TestB.test_left': 'skipped',
    'test_b.TestB.test_torn': 'failed',
  })
  t.match(countModules(results), [
    { module: 'test_a.py', ran: 2, passed: 1, failed: 1, skipped: 0 },
    { module: 'test_b.py', ran: 2, passed: 0, failed: 2, skipped: 1 },
    { module: 'together', ran: 4, passed: 1, failed: 3, skipped: 1 },
  ])
  t.match(table(countModules(results)), /\| test_b\.py +\| +2 \| +0 \| +2 \| +1 \|/)
  const list = known({
    failures: [
      { test: 'test_b.*.test_known', reason: 'r' },
      { test: 'test_a.TestA.test_bad', configurations: ['v3'], reason: 'r' },
      { test: 'test_a.TestA.test_good', reason: 'r' },
    ],
    skips: [{ test: 'test_b.TestB.test_left', configurations: ['v1'], reason: 'r' }],
  })
  const names = (configuration: string) =>
    compare(results, list, configuration).regressions.map(({ test }) => test)
  t.strictSame(names('v1'), ['test_a.TestA.test_bad', 'test_b.TestB.test_torn'])
  t.strictSame(names('v3'), ['test_b.TestB.test_left', 'test_b.TestB.test_torn'])
  t.match(compare(results, list, 'v1').mended, [{ test: 'test_a.TestA.test_good' }])
  t.throws(() => known({ failures: [{ test: 'a', reason: '' }], skips: [] }), /a test and a reason/)
  t.strictSame(readJunit('<testsuites/>'), [])
})

t.test('the known list names configurations that there are', async (t) => {
  const file = join(projectFolder, 'docs', 'conformance', 'swift-known.json')
  const { failures, skips } = parseKnown(readFileSync(file, 'utf8'))
  for (const { test, configurations = [] } of [...failures, ...skips]) {
    t.strictSame(
      configurations.filter((name) => !(CONFIGURATIONS as readonly string[]).includes(name)),
      [],
      test,
    )
  }
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
