import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PLANTED_FAULTS } from './cluster/planted-faults.ts'
import { runSeed } from './cluster/run-seed.ts'
import { SimTime } from './cluster/sim-time.ts'

const SEEDS = Number(process.env['SWIFTLET_SIM_SEEDS'] ?? 400)
const FIRST_SEED = Number(process.env['SWIFTLET_SIM_SEED'] ?? 1)
/** A planted fault must be caught by one of so many seeds. */
const PLANTED_SEEDS_MAX = 200
/** Each failed once, in a run of 20,000. */
const FOUND_SEEDS = [4361, 7346, 8473, 13_761, 14_832, 18_023, 19_838]

t.test(`a cluster keeps its promises over ${SEEDS} seeds`, async (t) => {
  const flags = ['--seeds', SEEDS, '--seed', FIRST_SEED, '--jobs', availableParallelism()]
  const { code, lines } = await runCommand(flags.map(String))
  for (const line of lines) t.comment(line)
  const [, seeds, operations, violations] =
    /^(\d+) seeds, (\d+) operations, (\d+) violations$/.exec(lines.at(-1) ?? '') ?? []
  t.equal(Number(seeds), SEEDS, 'all seeds were run')
  t.equal(violations, '0', `${operations} operations, no violations`)
  t.equal(code, 0)
  const acknowledged = Number(/^\d+/.exec(lines.at(-2) ?? '')?.[0])
  t.ok(acknowledged > Number(operations) / 2, `${acknowledged} acknowledged or answered`)
})

t.test('a run with a violation fails, and says how to replay it', async (t) => {
  const flags = ['--plant', 'no-checksum', '--seed', '1', '--seeds', '24']
  const { code, lines } = await runCommand(flags)
  t.equal(code, 1)
  const replay = /^ {2}npm run sim -- --seeds 1 --seed \d+ --plant no-checksum --verbose$/
  t.ok(lines.some((line) => replay.test(line)))
  t.notMatch(lines.at(-1), / 0 violations$/)
})

t.test('what long runs found stays mended', async (t) => {
  for (const seed of FOUND_SEEDS) {
    const { violations } = await runSeed({ seed, plant: '', kinds: [] })
    t.strictSame(violations, [], `seed ${seed}`)
  }
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

t.test('what would go on for ever ends, and counts as a violation', async (t) => {
  // Without syncs a disk loses what no disk may lose: its node never comes up again.
  const { violations } = await runSeed({ seed: 19, plant: 'no-sync', kinds: [] })
  t.match(violations[0]?.what, /^Error: node\d does not come up, though its disk works: /)
  const time = new SimTime(1)
  const again = () => time.after(1, again)
  again()
  const endless = time.until(new Promise(() => {}), { withinMs: 3600_000, eventsMax: 1000 })
  await t.rejects(endless, { message: 'the simulation does not end: 1000 events' })
})

/** `npm run sim` with these flags: its exit code and the lines that it wrote. */
function runCommand(
  flags: readonly string[],
): Promise<{ readonly code: number | null; readonly lines: readonly string[] }> {
  const script = fileURLToPath(new URL('./main.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import=tsx', script, ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill())
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, lines: text.trimEnd().split('\n') }))
  })
}
