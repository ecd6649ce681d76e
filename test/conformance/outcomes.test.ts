import t from 'tap'
import {
  amendKnownFailures,
  compareOutcomes,
  type Outcome,
  outcomeTable,
  parseKnownFailures,
  parseOutcomes,
  type TestOutcome,
} from './outcomes.ts'
import { s3AreaOf } from './s3-areas.ts'

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
  const known = parseKnownFailures(LIST)
  t.strictSame(
    [...known],
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
  const comparison = compareOutcomes(outcomes, known, (id) => id)
  t.strictSame(
    comparison.regressions.map(({ id }) => id),
    ['test_new', 'test_set_up'],
  )
  t.strictSame(comparison.mended, ['test_hold'])
  const amended = amendKnownFailures(LIST, comparison, (id) => id)
  t.equal(
    amended,
    `${LIST.replace('test_hold\n', '')}\n## Not looked at yet\ntest_new\ntest_set_up\n`,
  )
  const again = { regressions: [outcome('test_more', 'failed')], mended: [] }
  t.equal(
    amendKnownFailures(amended, again, (id) => id),
    `${amended}test_more\n`,
  )
  t.throws(() => parseKnownFailures(`${LIST}test_lock\n`), /twice/)
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
