import { tmpdir } from 'node:os'
import { Command } from 'commander'
import { type BenchRow, runHttpBench } from './http-bench.ts'
import { describeMachine } from './machine.ts'
import { missingDebianSwift } from './peers/debian-swift.ts'
import { rowText, writeReport } from './report.ts'
import { allScenarios } from './scenario.ts'

interface HttpFlags {
  readonly folder: string
  readonly out: string
  readonly replicas: string
  readonly rounds: string
  readonly seconds: string
  readonly only?: string
  readonly quick?: boolean
  readonly up?: string
  readonly peer?: boolean
}

/** `swiftlet bench`: the store beside the limit program. */
export function benchCommand(): Command {
  return new Command('bench')
    .description('measure PUT and GET beside bare node:http with group commit, on this machine')
    .option('--folder <dir>', 'where data goes: a folder on a real disk', tmpdir())
    .option('--out <dir>', 'where http.json and http.svg go', 'bench/results')
    .option('--replicas <list>', 'replica counts, each with as many disks', '1,3')
    .option('--rounds <n>', 'measured runs of each scenario and side', '5')
    .option('--seconds <n>', 'length of a run', '2')
    .option('--only <text>', 'scenarios whose id matches, such as 4k-c64')
    .option('--quick', 'one round of 0.5 s, 1 replica: to see that it works, not to quote')
    .option('--up <arguments>', 'more arguments for swiftlet up')
    .option('--peer', 'Debian’s Swift beside, if its packages are installed')
    .action((flags: HttpFlags) => benchHttp(flags))
}

async function benchHttp(flags: HttpFlags): Promise<void> {
  const machine = describeMachine(flags.folder)
  if (machine.fileSystem === 'tmpfs') {
    throw new Error(
      `${flags.folder} is in memory, where a sync costs nothing: give --folder on a disk`,
    )
  }
  const startedAt = new Date().toISOString()
  const rounds = flags.quick ? 1 : Number(flags.rounds)
  const secondsPerRun = flags.quick ? 0.5 : Number(flags.seconds)
  const only = new RegExp(flags.only ?? '')
  const missingPeer = flags.peer ? await missingDebianSwift() : null
  if (missingPeer) console.log(`without Debian’s Swift: ${missingPeer}`)
  const rows: BenchRow[] = []
  for (const replicas of flags.quick ? [1] : flags.replicas.split(',').map(Number)) {
    const measured = await runHttpBench({
      folder: flags.folder,
      scenarios: allScenarios().filter(({ id }) => only.test(id)),
      replicas,
      rounds,
      secondsPerRun,
      peers: flags.peer && !missingPeer ? ['debian-swift'] : [],
      extraArguments: flags.up?.split(' ') ?? [],
      onRow: (row) => console.log(rowText(row)),
    })
    rows.push(...measured)
  }
  await writeReport(flags.out, { startedAt, machine, rounds, secondsPerRun, rows })
  console.log(`written to ${flags.out}`)
}
