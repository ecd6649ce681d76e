import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import type { RingData } from '../../common/ring/ring.ts'
import { decodeRing } from '../../common/ring/ring-file.ts'
import { balanceByDevice, worstBalance } from '../../ring-builder/balance-figures.ts'
import { builderFromRing } from '../../ring-builder/builder.ts'
import { measureDispersion } from '../../ring-builder/dispersion.ts'
import { buildReplicaPlan } from '../../ring-builder/replica-plan.ts'
import { buildTierTree } from '../../ring-builder/tier-tree.ts'

/**
 * How good rings are and what they cost: 1,000 devices in 3 regions of unequal weight, 3 replicas, our builder and
 * Debian's swift-ring-builder with the same devices, in the same run, judged by the same code from their ring files.
 *
 *   node --import=tsx bench/ring/ring-quality.ts [--part-power 18] [--overload 0] [--without-swift]
 */

const SWIFT_TOOL = '/usr/bin/swift-ring-builder'
const HOME = dirname(dirname(import.meta.dirname))

interface Tool {
  readonly name: string
  /** Program and its first arguments; the builder file and a command follow. */
  readonly words: readonly string[]
  readonly ringSuffix: string
}

interface Run {
  readonly seconds: number
  /** User and system time of all its threads: what stays the same on a busy machine. */
  readonly cpuSeconds: number
  readonly peakMiB: number
}

interface Figures extends Run {
  readonly scenario: string
  readonly tool: string
  readonly balancePercent: number
  readonly balanceMeanPercent: number
  readonly dispersionPercent: number
  readonly beyondPlanPercent: number
  readonly movedPercent: number
  /** The least that any builder must move: what stood on removed devices, or what new ones are due. */
  readonly mustMovePercent: number
}

const { values } = parseArgs({
  options: {
    'part-power': { type: 'string', default: '18' },
    overload: { type: 'string', default: '0' },
    'without-swift': { type: 'boolean', default: false },
  },
})
const overload = Number(values.overload)

const folder = mkdtempSync(join(tmpdir(), 'ring-quality-'))
try {
  const figures: Figures[] = []
  for (const tool of tools()) figures.push(...(await measureTool(tool)))
  console.table(
    figures.map((row) => ({
      scenario: row.scenario,
      builder: row.tool,
      'balance worst %': row.balancePercent.toFixed(3),
      'balance mean %': row.balanceMeanPercent.toFixed(3),
      'dispersion %': row.dispersionPercent.toFixed(3),
      'beyond plan %': row.beyondPlanPercent.toFixed(3),
      'moved %': row.movedPercent.toFixed(3),
      'must move %': row.mustMovePercent.toFixed(3),
      seconds: row.seconds.toFixed(2),
      'CPU seconds': row.cpuSeconds.toFixed(2),
      'peak MiB': row.peakMiB.toFixed(0),
    })),
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function tools(): readonly Tool[] {
  const ours: Tool = {
    name: 'swiftlet',
    words: [process.execPath, '--import=tsx', join(HOME, 'ring-builder/main.ts')],
    ringSuffix: '.ring',
  }
  const theirs: Tool = { name: 'swift', words: [SWIFT_TOOL], ringSuffix: '.ring.gz' }
  if (values['without-swift']) return [ours]
  if (existsSync(SWIFT_TOOL)) return [ours, theirs]
  console.log(`${SWIFT_TOOL} is not installed (Debian package swift): measured without it`)
  return [ours]
}

async function measureTool(tool: Tool): Promise<Figures[]> {
  const builder = join(folder, `${tool.name}.builder`)
  const ringPath = join(folder, `${tool.name}${tool.ringSuffix}`)
  const ring = (): RingData => decodeRing(readFileSync(ringPath))
  const figures: Figures[] = []
  const measure = async (scenario: string, before: RingData | null): Promise<RingData> => {
    const run = await runTool(tool, [builder, 'rebalance', '--seed', '1'])
    const after = ring()
    figures.push({ scenario, tool: tool.name, ...run, ...judge(before, after) })
    return after
  }
  await runTool(tool, [builder, 'create', values['part-power'], '3', '1'])
  await runTool(tool, [builder, 'add', ...clusterArguments()])
  await runTool(tool, [builder, 'set_overload', String(overload)])
  const first = await measure('first rebalance', null)
  await runTool(tool, [builder, 'pretend_min_part_hours_passed'])
  const kept = `${builder}.kept`
  copyFileSync(builder, kept)
  await runTool(tool, [builder, 'add', 'r1z1-10.1.1.0:6200/new', '8000'])
  await measure('one device added', first)
  copyFileSync(kept, builder)
  await runTool(tool, [builder, 'remove', '--region', '2', '--zone', '2', '--yes'])
  await measure('one zone removed', first)
  return figures
}

/** 500, 300 and 200 devices in regions of 5, 4 and 3 zones, ten on a node, of 4, 8 and 12 TB. */
function clusterArguments(): string[] {
  const words: string[] = []
  for (const [at, [devices, zones]] of [
    [500, 5],
    [300, 4],
    [200, 3],
  ].entries()) {
    for (let nth = 0; nth < devices!; nth++) {
      const zone = 1 + (nth % zones!)
      const node = Math.floor(nth / zones! / 10)
      words.push(`r${at + 1}z${zone}-10.${at + 1}.${zone}.${node}:6200/d${nth}`)
      words.push(String([4000, 8000, 12_000][((words.length / 2) % 3) | 0]))
    }
  }
  return words
}

function judge(
  before: RingData | null,
  after: RingData,
): Omit<Figures, 'scenario' | 'tool' | keyof Run> {
  const builder = builderFromRing(after, { id: 'judged', minPartHours: 1 })
  const balances = [...balanceByDevice(builder).values()].map(Math.abs)
  const slotCount = after.replicaToPartToDevice.reduce((sum, row) => sum + row.length, 0)
  return {
    balancePercent: worstBalance(builder),
    balanceMeanPercent: balances.reduce((sum, value) => sum + value, 0) / balances.length,
    dispersionPercent: measureDispersion({
      devices: after.devices,
      replicas: after.replicaCount,
      partitionCount: 2 ** after.partPower,
      rows: after.replicaToPartToDevice,
    }),
    beyondPlanPercent: (100 * beyondPlan(after)) / slotCount,
    movedPercent: before === null ? 100 : (100 * movedSlots(before, after)) / slotCount,
    mustMovePercent: before === null ? 100 : (100 * mustMove(before, after)) / slotCount,
  }
}

/** Replicas above the ceiling of their tier's share at this overload: avoidable ones. */
function beyondPlan(ring: RingData): number {
  const tree = buildTierTree(ring.devices)
  const { replicasMax } = buildReplicaPlan({
    tree,
    devices: ring.devices,
    replicas: ring.replicaCount,
    overload,
  })
  let beyond = 0
  for (let partition = 0; partition < 2 ** ring.partPower; partition++) {
    let worst = 0
    for (const tierOf of tree.tierOf.slice(1)) {
      const tiers = ring.replicaToPartToDevice.map((row) => tierOf[row[partition]!]!)
      const excess = tiers.filter(
        (tier, at) =>
          tiers.slice(0, at).filter((other) => other === tier).length >= replicasMax[tier]!,
      )
      worst = Math.max(worst, excess.length)
    }
    beyond += worst
  }
  return beyond
}

function movedSlots(before: RingData, after: RingData): number {
  let moved = 0
  for (const [replica, row] of after.replicaToPartToDevice.entries()) {
    for (const [partition, id] of row.entries()) {
      if (before.replicaToPartToDevice[replica]![partition] !== id) moved++
    }
  }
  return moved
}

function mustMove(before: RingData, after: RingData): number {
  let must = 0
  for (const row of before.replicaToPartToDevice) {
    for (const id of row) if ((after.devices[id] ?? null) === null) must++
  }
  for (const device of after.devices) {
    if (device === null || (before.devices[device.id] ?? null) !== null) continue
    for (const row of after.replicaToPartToDevice)
      for (const id of row) if (id === device.id) must++
  }
  return must
}

/** Runs the tool to its end; 1 is its word for a warning. */
async function runTool(tool: Tool, words: readonly string[]): Promise<Run> {
  const startedMs = performance.now()
  const child = spawn(tool.words[0]!, [...tool.words.slice(1), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  let peakKiB = 0
  let cpuSeconds = 0
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  // The kernel keeps the peak; the last look before the end is at most this late.
  const poll = setInterval(() => {
    peakKiB = Math.max(peakKiB, peakOf(child.pid!))
    cpuSeconds = Math.max(cpuSeconds, cpuSecondsOf(child.pid!))
  }, 20)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearInterval(poll)
  assert(code === 0 || code === 1, `${tool.name} ${words.slice(1, 3).join(' ')}: ${code} ${said}`)
  return { seconds: (performance.now() - startedMs) / 1000, cpuSeconds, peakMiB: peakKiB / 1024 }
}

function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** Clock ticks of 1/100 s, fields 14 and 15 of proc_pid_stat(5); the second field is in brackets and may hold spaces. */
function cpuSecondsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return 0
  }
}
