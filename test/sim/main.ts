/**
 * `npm run sim -- --seeds N [--seed S] [--plant FAULT] [--jobs J] [--verbose]`: simulated clusters from seeds. The last
 * line is `N seeds, M operations, V violations`; the exit code is 0 only if V is 0.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { PLANTED_FAULTS, plantedFault } from './cluster/planted-faults.ts'
import {
  parseKinds,
  replayCommand,
  runSeed,
  type SeedOrder,
  type SeedReport,
} from './cluster/run-seed.ts'

interface Flags {
  readonly seeds: string
  readonly seed: string
  readonly plant: string
  readonly kinds: string
  readonly jobs: string
  readonly verbose?: boolean
}

/** Failing seeds that are shown; the others are counted. */
const SHOWN_MAX = 10
/** Without a terminal a line says after so many seeds how far it is. */
const SEEDS_PER_LINE = 500

async function main(flags: Flags): Promise<void> {
  if (flags.plant === 'list') {
    for (const { name, what } of PLANTED_FAULTS) console.log(`${name.padEnd(18)} ${what}`)
    return
  }
  if (flags.plant !== '' && plantedFault(flags.plant) === undefined) {
    throw new Error(`no planted fault ${flags.plant}: --plant list names them`)
  }
  const order = { plant: flags.plant, kinds: parseKinds(flags.kinds) }
  const [first, count] = [Number(flags.seed), Number(flags.seeds)]
  const seeds = Array.from({ length: count }, (_, index) => first + index)
  const tally = new Tally(count, order)
  const orders = seeds.map((seed): SeedOrder => ({ ...order, seed }))
  const jobs = Math.min(Number(flags.jobs), count)
  if (jobs > 1) await runInProcesses(orders, jobs, tally)
  else {
    const story = flags.verbose ? (line: string) => console.log(line) : undefined
    for (const each of orders) tally.add(await runSeed(each, story))
  }
  tally.finish()
}

/** Counts, shows progress (on a terminal by a bar), and tells of failing seeds. */
class Tally {
  readonly #order: Omit<SeedOrder, 'seed'>
  readonly #count: number
  readonly #bar: SingleBar | null
  #seeds = 0
  #operations = 0
  #acknowledged = 0
  #violations = 0
  readonly #failing: number[] = []

  constructor(count: number, order: Omit<SeedOrder, 'seed'>) {
    this.#order = order
    this.#count = count
    this.#bar = process.stderr.isTTY
      ? new SingleBar({
          format: '{bar} {value}/{total} seeds, {eta_formatted} left',
          etaBuffer: 50,
        })
      : null
    this.#bar?.start(count, 0)
  }

  add(report: SeedReport): void {
    this.#seeds++
    this.#operations += report.operations
    this.#acknowledged += report.acknowledged
    this.#violations += report.violations.length
    this.#showProgress()
    if (report.violations.length === 0) return
    this.#failing.push(report.seed)
    if (this.#failing.length > SHOWN_MAX) return
    console.log(`seed ${report.seed}:`)
    for (const { kind, key, what } of report.violations.slice(0, 3)) {
      console.log(`  ${kind} ${key} ${what}`)
    }
    console.log(`  ${replayCommand({ ...this.#order, seed: report.seed })}`)
  }

  #showProgress(): void {
    if (this.#bar !== null) this.#bar.update(this.#seeds)
    else if (this.#seeds % SEEDS_PER_LINE === 0 && this.#seeds < this.#count) {
      console.log(`${this.#seeds} of ${this.#count} seeds: ${this.#violations} violations`)
    }
  }

  finish(): void {
    this.#bar?.stop()
    const failing = this.#failing.sort((a, b) => a - b)
    if (failing.length > 0) console.log(`failing seeds: ${failing.slice(0, 50).join(' ')}`)
    console.log(`${this.#acknowledged} operations were acknowledged or answered`)
    console.log(
      `${this.#seeds} seeds, ${this.#operations} operations, ${this.#violations} violations`,
    )
    process.exitCode = this.#violations === 0 ? 0 : 1
  }
}

/** Each process takes the next seed when it has done one; a process that dies fails the run. */
async function runInProcesses(
  orders: readonly SeedOrder[],
  jobs: number,
  tally: Tally,
): Promise<void> {
  const waiting = [...orders]
  const work = (child: ChildProcess) =>
    new Promise<void>((resolve, reject) => {
      const next = () => {
        const order = waiting.shift()
        if (order === undefined) child.disconnect()
        else child.send(order)
      }
      child.on('message', (report: SeedReport) => {
        tally.add(report)
        next()
      })
      child.on('exit', (code) => {
        if (code === 0) resolve()
        else reject(new Error(`a simulating process ended with ${code}`))
      })
      next()
    })
  const script = fileURLToPath(import.meta.url)
  await Promise.all(Array.from({ length: jobs }, () => work(fork(script, ['--worker']))))
}

/** The other side: one seed after the other, as they are sent. */
function serve(): void {
  process.on('message', (order: SeedOrder) => {
    void runSeed(order).then((report) => process.send!(report))
  })
}

// Errors are made by the thousand, as answers; their stacks are a tenth of what a seed costs.
Error.stackTraceLimit = 4
if (process.argv[2] === '--worker') serve()
else {
  const command = new Command('sim')
    .description('simulate clusters from seeds and check what clients saw')
    .option('--seeds <n>', 'how many', '100')
    .option('--seed <s>', 'the first one', '1')
    .option('--plant <fault>', 'a fault that has to be caught; `list` names them', '')
    .option('--kinds <list>', 'only these kinds of operations, such as put,get,list', '')
    .option('--jobs <n>', 'processes', '1')
    .option('--verbose', 'what happened, and the history of the failing names')
    .action((flags: Flags) => main(flags))
  await command.parseAsync()
}
