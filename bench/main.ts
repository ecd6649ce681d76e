import { availableParallelism, tmpdir } from 'node:os'
import { Command } from 'commander'
import { runClusterBench } from './cluster-bench.ts'
import { runEngineBench } from './engine/engine-bench.ts'
import { type BenchRow, runHttpBench } from './http-bench.ts'
import { runIdentityBench } from './identity/identity-bench.ts'
import { describeMachine } from './machine.ts'
import { type Measurement, rateText } from './measurement.ts'
import { missingDebianKeystone } from './peers/debian-keystone.ts'
import { missingDebianSwift } from './peers/debian-swift.ts'
import { runRepairBench } from './repair-bench.ts'
import { rowText, stepText, writeJson, writeReport } from './report.ts'
import { runS3Bench } from './s3/s3-bench.ts'
import { allScenarios } from './scenario.ts'

interface HttpFlags {
  readonly folder: string
  readonly out: string
  readonly replicas: string
  readonly rounds: string
  readonly seconds: string
  readonly warm: string
  readonly only?: string
  readonly quick?: boolean
  readonly threads: string
  readonly up?: string
  readonly peer?: boolean
}

/** `swiftlet bench`: over HTTP by default, or `swiftlet bench engine`. */
export function benchCommand(): Command {
  return new Command('bench')
    .description('measure the store on this machine')
    .addCommand(httpCommand(), { isDefault: true })
    .addCommand(engineCommand())
    .addCommand(clusterCommand())
    .addCommand(identityCommand())
    .addCommand(s3Command())
}

/** The store beside the limit program. */
function httpCommand(): Command {
  return new Command('http')
    .description('measure PUT and GET beside bare node:http with group commit')
    .option('--folder <dir>', 'where data goes: a folder on a real disk', tmpdir())
    .option('--out <dir>', 'where http.json and http.svg go', 'bench/results')
    .option('--replicas <list>', 'replica counts, each with as many disks', '1,3')
    .option('--rounds <n>', 'measured runs of each scenario and side', '5')
    .option('--seconds <n>', 'length of a run', '2')
    .option('--warm <n>', 'seconds of work before a scenario is measured', '8')
    .option('--only <text>', 'scenarios whose id matches, such as 4k-c64')
    .option('--quick', 'one round of 0.5 s, 1 replica: to see that it works, not to quote')
    .option(
      '--threads <n>',
      'threads of the store, processes of the limit program',
      String(availableParallelism()),
    )
    .option('--up <arguments>', 'more arguments for swiftlet up')
    .option('--peer', 'Debian’s Swift beside, if its packages are installed')
    .action((flags: HttpFlags) => benchHttp(flags))
}

/** One device without HTTP. */
function engineCommand(): Command {
  return new Command('engine')
    .description('fill a device and measure its index, memory, starts and listings')
    .option('--folder <dir>', 'where data goes: a folder on a real disk', tmpdir())
    .option('--out <dir>', 'where engine.json goes', 'bench/results')
    .option('--objects <n>', 'objects in one container', '1000000')
    .option('--body-bytes <n>', 'length of each', '100')
    .action((flags: EngineFlags) => benchEngine(flags))
}

/** Storage nodes as processes, and what they cost when idle. */
function clusterCommand(): Command {
  return new Command('cluster')
    .description(
      'measure storage nodes in processes of their own: busy, idle, and rebuilding a disk',
    )
    .option('--folder <dir>', 'where data goes: a folder on a real disk', tmpdir())
    .option('--out <dir>', 'where cluster.json goes', 'bench/results')
    .option('--nodes <n>', 'storage nodes', '3')
    .option('--replicas <n>', 'copies of everything', '3')
    .option('--rounds <n>', 'measured runs of each scenario and side', '3')
    .option('--seconds <n>', 'length of a run', '3')
    .option('--warm <n>', 'seconds of work before a scenario is measured', '8')
    .option('--only <text>', 'scenarios whose id matches', '4k-c(1|64)$')
    .option('--idle <n>', 'seconds of idleness that are measured', '20')
    .option('--repair-small <n>', 'objects of 4 KiB on the disk that is lost', '20000')
    .option('--repair-large <n>', 'objects of 8 MiB on the disk that is lost', '100')
    .option('--only-repair', 'neither busy nor idle')
    .action((flags: ClusterFlags) => benchCluster(flags))
}

/** Tokens and lists of the identity service. */
function identityCommand(): Command {
  return new Command('identity')
    .description('measure tokens and lists of the identity service beside Debian’s Keystone')
    .option('--folder <dir>', 'where data goes: a folder on a real disk', tmpdir())
    .option('--out <dir>', 'where identity.json goes', 'bench/results')
    .option('--users <n>', 'users of the larger state', '100000')
    .option('--seconds <n>', 'length of a run', '3')
    .option('--no-peer', 'without Debian’s Keystone')
    .action((flags: IdentityFlags) => benchIdentity(flags))
}

/** Small objects by both APIs. */
function s3Command(): Command {
  return new Command('s3')
    .description('measure small objects by S3 beside the same by the Swift API')
    .option('--folder <dir>', 'where data goes: a folder on a real disk', tmpdir())
    .option('--out <dir>', 'where s3.json goes', 'bench/results')
    .option('--rounds <n>', 'measured runs of each request', '9')
    .option('--seconds <n>', 'length of a run', '2')
    .option('--warm <n>', 'seconds of work before a request is measured', '8')
    .option('--threads <n>', 'threads of the store', '1')
    .action((flags: S3Flags) => benchS3(flags))
}

type S3Flags = Pick<HttpFlags, 'folder' | 'out' | 'rounds' | 'seconds' | 'warm' | 'threads'>

async function benchS3(flags: S3Flags): Promise<void> {
  const machine = describeMachine(flags.folder)
  const startedAt = new Date().toISOString()
  const figures = {
    threads: Number(flags.threads),
    rounds: Number(flags.rounds),
    secondsPerRun: Number(flags.seconds),
    warmSeconds: Number(flags.warm),
  }
  const rows = await runS3Bench({ folder: flags.folder, ...figures })
  for (const { method, swift, s3, cpuRatio } of rows) {
    const cpu = ({ serverCpuUs }: Measurement) => `${Math.round(serverCpuUs)} us`
    console.log(
      `${method}: Swift ${rateText(swift)} at ${cpu(swift)}, S3 ${rateText(s3)} at ${cpu(s3)}; ratio of CPU ${cpuRatio.toFixed(2)}`,
    )
  }
  await writeJson(flags.out, 's3.json', { startedAt, machine, ...figures, rows })
  console.log(`written to ${flags.out}`)
}

interface IdentityFlags {
  readonly folder: string
  readonly out: string
  readonly users: string
  readonly seconds: string
  readonly peer: boolean
}

async function benchIdentity(flags: IdentityFlags): Promise<void> {
  const machine = describeMachine(flags.folder)
  const startedAt = new Date().toISOString()
  const missing = flags.peer ? missingDebianKeystone() : false
  if (missing !== false) console.log(`without Debian’s Keystone: ${missing}`)
  const sides = await runIdentityBench({
    folder: flags.folder,
    users: Number(flags.users),
    seconds: Number(flags.seconds),
    peer: flags.peer && missing === false,
    say: (line) => console.log(line),
  })
  for (const { name, rssBytes } of sides) console.log(stepText(name, { ...rssBytes }))
  await writeJson(flags.out, 'identity.json', { startedAt, machine, sides })
  console.log(`written to ${flags.out}`)
}

type ClusterFlags = Pick<
  HttpFlags,
  'folder' | 'out' | 'replicas' | 'rounds' | 'seconds' | 'warm'
> & {
  readonly nodes: string
  readonly only: string
  readonly idle: string
  readonly repairSmall: string
  readonly repairLarge: string
  readonly onlyRepair?: boolean
}

async function benchCluster(flags: ClusterFlags): Promise<void> {
  const machine = describeMachine(flags.folder)
  const startedAt = new Date().toISOString()
  const only = new RegExp(flags.only)
  const figures = {
    nodes: Number(flags.nodes),
    replicas: Number(flags.replicas),
    rounds: Number(flags.rounds),
    secondsPerRun: Number(flags.seconds),
    warmSeconds: Number(flags.warm),
    idleSeconds: Number(flags.idle),
  }
  const busy = flags.onlyRepair
    ? null
    : await runClusterBench({
        ...figures,
        folder: flags.folder,
        scenarios: allScenarios().filter(({ id }) => only.test(id)),
        onRow: (row) => console.log(rowText(row)),
      })
  if (busy !== null) console.log(stepText('idle', { ...busy.idle }))
  const repair = []
  for (const [objects, bodyBytes] of [
    [Number(flags.repairSmall), 4096],
    [Number(flags.repairLarge), 8 * 2 ** 20],
  ] as const) {
    if (objects === 0) continue
    const cost = await runRepairBench({ folder: flags.folder, objects, bodyBytes })
    console.log(stepText('repair', { ...cost }))
    repair.push(cost)
  }
  await writeJson(flags.out, 'cluster.json', { startedAt, machine, ...figures, ...busy, repair })
  console.log(`written to ${flags.out}`)
}

interface EngineFlags {
  readonly folder: string
  readonly out: string
  readonly objects: string
  readonly bodyBytes: string
}

async function benchEngine(flags: EngineFlags): Promise<void> {
  const machine = describeMachine(flags.folder)
  const startedAt = new Date().toISOString()
  const [objects, bodyBytes] = [Number(flags.objects), Number(flags.bodyBytes)]
  const steps = await runEngineBench({
    folder: flags.folder,
    objects,
    bodyBytes,
    onStep: (name, result) => console.log(stepText(name, result)),
  })
  await writeJson(flags.out, 'engine.json', { startedAt, machine, objects, bodyBytes, steps })
  console.log(`written to ${flags.out}`)
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
      threads: Number(flags.threads),
      rounds,
      secondsPerRun,
      warmSeconds: flags.quick ? 0.2 : Number(flags.warm),
      peers: flags.peer && !missingPeer ? ['debian-swift'] : [],
      extraArguments: flags.up?.split(' ') ?? [],
      onRow: (row) => console.log(rowText(row)),
    })
    rows.push(...measured)
  }
  await writeReport(flags.out, {
    startedAt,
    machine,
    threads: Number(flags.threads),
    rounds,
    secondsPerRun,
    rows,
  })
  console.log(`written to ${flags.out}`)
}
