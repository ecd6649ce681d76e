/** The benchmark itself: it starts both sides, every answer is right, and the report can be drawn. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runHttpBench } from '../../bench/http-bench.ts'
import { percentile } from '../../bench/load/load-plan.ts'
import { describeMachine } from '../../bench/machine.ts'
import { writeReport } from '../../bench/report.ts'
import { allScenarios } from '../../bench/scenario.ts'
import { probeFolder } from './support/probe-folder.ts'

t.test('a short run on both sides', { timeout: 120_000 }, async (t) => {
  const folder = await probeFolder(t, 'bench')
  const [rounds, secondsPerRun] = [1, 0.3]
  const scenarios = allScenarios().filter(({ id }) => /c16|64m/.test(id))
  const rows = await runHttpBench({
    folder,
    scenarios,
    replicas: 1,
    threads: 2,
    rounds,
    secondsPerRun,
    warmSeconds: 0.1,
  })
  t.equal(rows.length, 6)
  for (const { scenario, sides } of rows) {
    for (const [side, { requests, failures }] of Object.entries(sides)) {
      t.ok(
        requests > 0 && failures === 0,
        `${scenario.id} ${side}: ${requests}, ${failures} failed`,
      )
    }
  }
  const machine = describeMachine(folder)
  await writeReport(folder, { startedAt: 'now', machine, threads: 2, rounds, secondsPerRun, rows })
  const report = JSON.parse(await readFile(join(folder, 'http.json'), 'utf8')) as {
    rows: unknown[]
  }
  t.equal(report.rows.length, 6)
  t.match(await readFile(join(folder, 'http.svg'), 'utf8'), /^<svg .*PUT 4k × 16/s)
})

t.test('percentiles are taken from sorted samples', async (t) => {
  const sorted = Float64Array.from({ length: 1000 }, (_, index) => index)
  t.strictSame(
    [0, 0.5, 0.99, 0.999, 1].map((share) => percentile(sorted, share)),
    [0, 500, 990, 999, 999],
  )
  t.equal(percentile(new Float64Array(0), 0.5), 0)
})
