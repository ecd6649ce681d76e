import t from 'tap'
import { PLANTED_FAULTS } from './cluster/planted-faults.ts'
import { replayCommand, runSeed } from './cluster/run-seed.ts'

const SEEDS = Number(process.env['SWIFTLET_SIM_SEEDS'] ?? 200)
const FIRST_SEED = Number(process.env['SWIFTLET_SIM_SEED'] ?? 1)
/** A planted fault must be caught by one of so many seeds. */
const PLANTED_SEEDS_MAX = 200

t.test(`a cluster keeps its promises over ${SEEDS} seeds`, async (t) => {
  let operations = 0
  let acknowledged = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const order = { seed, plant: '', kinds: [] }
    const report = await runSeed(order)
    operations += report.operations
    acknowledged += report.acknowledged
    if (report.violations.length > 0) {
      const { kind, key, what } = report.violations[0]!
      t.fail(`seed ${seed}: ${kind} ${key} ${what}`)
      t.comment(`replay: ${replayCommand(order)}`)
      return
    }
  }
  t.pass(`${SEEDS} seeds, ${operations} operations, 0 violations`)
  t.ok(acknowledged > operations / 2, `${acknowledged} of them acknowledged or answered`)
})

t.test('the same seed is the same run', async (t) => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 3; seed++) {
    const order = { seed, plant: '', kinds: [] }
    const first = await runSeed(order)
    t.ok(first.operations > 50, `${first.operations} operations`)
    t.equal((await runSeed(order)).hash, first.hash, `seed ${seed}`)
    t.not((await runSeed({ ...order, seed: seed + 1000 })).hash, first.hash)
  }
})

t.test('negative controls: planted faults are caught', async (t) => {
  for (const { name } of PLANTED_FAULTS) {
    let seeds = 0
    let found = ''
    while (found === '' && seeds < PLANTED_SEEDS_MAX) {
      const order = { seed: FIRST_SEED + seeds++, plant: name, kinds: [] }
      const [violation] = (await runSeed(order)).violations
      if (violation !== undefined) found = `${violation.kind} ${violation.key} ${violation.what}`
    }
    t.not(found, '', `${name} is caught after ${seeds} seeds`)
    t.comment(`${name}, seed ${seeds}: ${found.slice(0, 200)}`)
  }
})
