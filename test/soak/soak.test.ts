import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { roundOf, type StepReport, soakSummary, summaryOf } from './plan.ts'

const ALL = { seeds: 100, jobs: 2, only: '' }
const FOLDER = fileURLToPath(new URL('../..', import.meta.url))

t.test(
  'a round has the simulator and the probes that are there, with seeds of its own',
  async (t) => {
    const [first, second] = [roundOf(0, ALL), roundOf(1, ALL)]
    const files = first.flatMap(({ args }) => args.filter((arg) => arg.endsWith('.ts')))
    for (const file of files) t.ok(existsSync(join(FOLDER, file)), file)
    t.ok(first.some(({ name }) => name === 'sim') && first.length > 10)
    t.not(String(first[0]!.args), String(second[0]!.args))
    t.strictSame(
      roundOf(0, { ...ALL, only: 'race' }).map(({ name }) => name),
      ['probe/race'],
    )
  },
)

t.test('the line that tells', async (t) => {
  const sim = ['seed 3:', '100 seeds, 10000 operations, 2 violations', '']
  t.equal(summaryOf(sim), sim[1])
  t.equal(summaryOf(['# { total: 3, pass: 3 }', '# time=1ms']), '# { total: 3, pass: 3 }')
  t.equal(summaryOf([]), '')
  const report = (result: StepReport['result']) => ({ result }) as StepReport
  t.equal(
    soakSummary([report('passed'), report('failed'), report('ended')], 5_400_000),
    'soak: 3 steps in 1.50 h, 1 passed, 1 failed, 1 ended by the time',
  )
})

t.test('the command ends with its time, with a report and a summary', async (t) => {
  const report = join(t.testdir(), 'report.json')
  const flags = ['--hours', '0.001', '--seeds', '100000', '--jobs', '1', '--only', 'sim']
  const args = ['--import=tsx', 'test/soak/main.ts', ...flags, '--report', report]
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: FOLDER, encoding: 'utf8' })
  t.equal(status, 0)
  t.match(
    stdout.trimEnd().split('\n').at(-1),
    /^soak: 1 steps in 0\.\d\d h, 0 passed, 0 failed, 1 ended/,
  )
  t.match(JSON.parse(readFileSync(report, 'utf8')), { steps: [{ name: 'sim', result: 'ended' }] })
})
