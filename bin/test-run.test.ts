import t from 'tap'
import { TestRun } from './test-run.ts'

function read(tap: string) {
  const printed: string[] = []
  const run = new TestRun((line) => printed.push(line))
  for (const line of tap.split('\n')) run.line(line)
  return { printed, counts: run.counts() }
}

const FAILING = `TAP version 14
1..2
# Subtest: a.test.ts
    # Subtest: outer
        # Subtest: inner
            not ok 1 - one is two
              ---
              compare: ===
              diff: |
                -2

                +1
              ...
            
            ok 2 - should be equal
            1..2
        not ok 1 - inner # time=38.06ms
          ---
          at:
            lineNumber: 2
          ...
        
        ok 2 - sk # SKIP no xfs here
        1..2
    not ok 1 - outer # time=50.207ms
      ---
      at:
        lineNumber: 3
      ...
    
    ok 2 - later # TODO not yet
    1..2
not ok 1 - a.test.ts # time=141.876ms
  ---
  exitCode: 1
  ...

ok 2 - b.test.ts # SKIP not today
# No coverage generated
# { total: 32, pass: 26, fail: 2, todo: 1, skip: 3 }
# time=1711.746ms`

t.test('failures are printed once, with their diagnostics and where they are', async (t) => {
  const { printed, counts } = read(FAILING)
  t.strictSame(printed, [
    'not ok: a.test.ts > outer > inner > one is two',
    '    compare: ===',
    '    diff: |',
    '      -2',
    '      +1',
    'skipped: a.test.ts > outer > sk: no xfs here',
    'FAILED a.test.ts 141.876ms',
    'skipped: b.test.ts: not today',
    'ok b.test.ts',
  ])
  t.strictSame(counts, { passed: 26, failed: 2, skipped: 3 })
})

t.test('a file that dies without a failed assertion shows how it ended', async (t) => {
  const { printed } = read(`# Subtest: a.test.ts
    ok 1 - fine
not ok 1 - a.test.ts # time=1ms
  ---
  exitCode: 134
  ...
# { total: 2, pass: 1, fail: 1 }`)
  t.strictSame(printed, ['not ok: a.test.ts', 'FAILED a.test.ts 1ms', '    exitCode: 134'])
})

t.test('a run that is cut off counts as failed', async (t) => {
  t.strictSame(read('ok 1 - a.test.ts # time=1ms').counts, { passed: 0, failed: 1, skipped: 0 })
  t.strictSame(read('').counts, { passed: 0, failed: 1, skipped: 0 })
})
