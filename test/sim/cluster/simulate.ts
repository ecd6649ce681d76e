/** One run of a cluster from a seed: trouble while clients are at work, then peace, then the judgement. */
import { createHash, hash } from 'node:crypto'
import type { Log } from '../../../common/log.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { type Operation, type OperationKind, showOperation } from '../checker/history.ts'
import { checkLinearizability } from '../checker/linearizability.ts'
import { checkListings } from '../checker/listing.ts'
import { autopsy } from './autopsy.ts'
import { checkConvergence } from './convergence.ts'
import { Nemesis } from './nemesis.ts'
import type { PlantedFault } from './planted-faults.ts'
import { untilReplicated } from './replicas.ts'
import { SimCluster } from './sim-cluster.ts'
import { DEVICE } from './sim-host.ts'
import { ACCOUNT, type OperationMix, Workload } from './workload.ts'

export interface SimulateOptions {
  readonly seed: number
  readonly planted?: PlantedFault | null
  /** Only these kinds of operations; absent: all. */
  readonly kinds?: readonly OperationKind[]
  /** Collects what happened besides the operations, with the time in seconds. */
  readonly tell?: (line: string) => void
  readonly log?: Log
  /** Shown the cluster at its end if something did not converge. */
  readonly inspect?: (cluster: SimCluster) => Promise<void>
}

export interface Violation {
  readonly kind: 'linearizability' | 'listing' | 'bytes' | 'convergence' | 'error' | 'undecided'
  readonly key: string
  readonly what: string
}

export interface SimulationResult {
  readonly seed: number
  readonly operations: readonly Operation[]
  readonly violations: readonly Violation[]
  /** Of everything that clients did and saw, with times: the same for the same seed. */
  readonly hash: string
  readonly virtualMs: number
  readonly events: number
}

/** After the peace everything must be settled within this time; a daemon may rest long after a pass that took long. */
const SETTLE_MS_MAX = 3_000_000
/** With a planted fault: what does not settle is found soon enough. */
const PLANTED_SETTLE_MS_MAX = 400_000
const SETTLE_LOOK_MS = 50_000
/** Of all clients together. */
const OPERATIONS = 100
/** What one takes in calm weather. */
const OPERATION_MS = 12
const RUN_MS_MAX = 14_400_000
/** The longest of the seeds that end take 60,000. */
const RUN_EVENTS_MAX = 500_000
/**
 * Some runs are long for their time: deletions are forgotten meanwhile, and nodes may be away for longer than they are
 * remembered. It has to be longer than anything is on its way.
 */
const LONG_CHANCE = 0.12
const LONG_RECLAIM_MS = 600_000
const LONG_THINK_MS = 40_000
const LONG_SEGMENT_BYTES = 8 * 1024
/** Runs that begin with one or two replicas, and change their number. */
const FEW_CHANCE = 0.1
/** So many that all shards see one. */
const LATE_WRITES = 24

/** One or two replicas at first; drawn apart, so that other seeds are what they were before. */
function isFew(seed: number): boolean {
  return seededRandom(seed * 104_729 + 5).chance(FEW_CHANCE)
}

export async function simulate(options: SimulateOptions): Promise<SimulationResult> {
  const random = seededRandom(options.seed * 7919 + 13)
  const draw = () => random.below(2 ** 31)
  const hosts = 3 + random.below(3)
  const isLong = random.chance(LONG_CHANCE)
  const hasFewReplicas = options.planted == null && isFew(options.seed)
  const replicas = () => (random.chance(0.85) ? 3 : Math.min(hosts, 4 + random.below(2)))
  const cluster = new SimCluster({
    seed: draw(),
    hosts,
    spares: 1,
    ...(isLong ? { reclaimAgeMs: LONG_RECLAIM_MS, segmentBytes: LONG_SEGMENT_BYTES } : {}),
    replicas: hasFewReplicas ? 1 + (options.seed % 2) : replicas(),
    hasFewReplicas,
    proxies: 2 + random.below(2),
    shards: 1 + random.below(2),
    planted: options.planted ?? null,
    ...(options.log === undefined ? {} : { log: options.log }),
  })
  const tell = (line: string) => options.tell?.(`${(cluster.time.nowMs / 1000).toFixed(4)} ${line}`)
  const isCrowded = options.planted?.isCrowded === true
  const containers = random.chance(0.7) || isCrowded ? ['c'] : ['c', 'd']
  const names = ['x', 'y', 'z', 'u'].slice(0, isCrowded ? 1 : 1 + random.below(4))
  const drawnMs = isLong ? LONG_THINK_MS : [3, 30, 300, 2_000][random.below(4)]!
  const thinkMs = isCrowded ? 3 : (options.planted?.thinkMs ?? drawnMs)
  const workload = new Workload(cluster, seededRandom(draw()), {
    containers,
    names,
    mix: mixOf(random.below(3), options.kinds),
    thinkMs,
  })
  const clients = 2 + random.below(5)
  const operationsEach = Math.ceil(OPERATIONS / clients)
  const nemesis = new Nemesis({
    cluster,
    random: seededRandom(draw()),
    longestMs: isLong ? LONG_RECLAIM_MS * 2.5 : 0,
    workMs: operationsEach * (thinkMs + OPERATION_MS),
    tell,
  })
  const errors: Violation[] = []
  const run = async () => {
    await cluster.start()
    await createContainers(cluster, containers)
    nemesis.start()
    await Promise.all(
      Array.from({ length: clients }, (_, index) =>
        workload.runClient(`c${index}`, operationsEach),
      ),
    )
    await nemesis.heal()
    if (isLong) await letDeletionsGo(cluster)
    const patienceMs = cluster.planted === null ? SETTLE_MS_MAX : PLANTED_SETTLE_MS_MAX
    const inDoubt = await settle(cluster, patienceMs)
    if (inDoubt !== '') errors.push({ kind: 'convergence', key: '', what: inDoubt })
    if (options.tell !== undefined) {
      for (const key of workload.keys)
        for (const line of await autopsy(cluster, key)) tell(`${key}: ${line}`)
    }
    for (const what of await untilReplicated(cluster, patienceMs)) {
      errors.push({ kind: 'convergence', key: '', what: `replicas differ: ${what}` })
    }
    if (errors.length > 0) await options.inspect?.(cluster)
    for (const what of await checkConvergence(cluster, workload)) {
      errors.push({ kind: 'convergence', key: what.key, what: what.what })
    }
    for (const key of new Set(errors.map((error) => error.key))) {
      for (const line of await autopsy(cluster, key)) tell(`${key}: ${line}`)
    }
  }
  const broke = (error: unknown) => {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    errors.push({ kind: 'error', key: '', what })
  }
  // A failure that nobody handles ends a real process.
  process.on('unhandledRejection', broke)
  try {
    await cluster.time.until(run(), { withinMs: RUN_MS_MAX, eventsMax: RUN_EVENTS_MAX })
  } catch (error) {
    broke(error)
  } finally {
    process.off('unhandledRejection', broke)
  }
  const { operations } = workload
  return {
    seed: options.seed,
    operations,
    violations: [
      ...workload.violations.map((what): Violation => ({ kind: 'bytes', key: '', what })),
      ...judge(operations, { containers, names, keys: workload.keys }),
      ...errors,
    ],
    hash: hashOf(operations),
    virtualMs: cluster.time.nowMs,
    events: cluster.time.events,
  }
}

/** Until deletions of before are old, and everybody has seen by somebody's write that they are. */
async function letDeletionsGo(cluster: SimCluster): Promise<void> {
  await cluster.time.sleep(LONG_RECLAIM_MS * 1.5)
  const { backend } = cluster.proxies[0]!.running!
  await backend.putContainer(ACCOUNT, 'late', { meta: { headers: {} }, policy: 0 })
  for (let count = 0; count < LATE_WRITES; count++) {
    const path = { account: ACCOUNT, container: 'late', object: `o${count}`, policy: 0 }
    const meta = { etag: hash('md5', 'late'), headers: {} }
    await backend.putObject(path, { meta, body: Buffer.from('late') })
  }
  await cluster.time.sleep(LONG_RECLAIM_MS)
}

/** Waits until nobody doubts what it holds any more, handoffs included; what is left in doubt, or an empty text. */
async function settle(cluster: SimCluster, patienceMs: number): Promise<string> {
  const endMs = cluster.time.nowMs + patienceMs
  for (;;) {
    await cluster.time.sleep(SETTLE_LOOK_MS)
    const left: string[] = []
    for (const { index, running, isLost } of cluster.hosts) {
      if (isLost) continue
      const found = await running!.node.unconfirmed(DEVICE, { ageMs: 0, limit: 10 })
      for (const one of found) {
        left.push(
          `node${index} doubts ${one.kind === 'row' ? `row ${one.row.name}` : one.info.name}`,
        )
      }
    }
    if (left.length === 0) return ''
    if (cluster.time.nowMs > endMs) return `not settled: ${left.slice(0, 5).join(', ')}`
  }
}

const MIXES: readonly OperationMix[] = [
  { put: 8, delete: 3, post: 2, create: 3, replace: 3, remove: 1, get: 12, list: 3 },
  { put: 10, delete: 6, post: 0, create: 0, replace: 0, remove: 0, get: 10, list: 8 },
  { put: 2, delete: 3, post: 1, create: 6, replace: 6, remove: 2, get: 6, list: 1 },
]

function mixOf(index: number, kinds: readonly OperationKind[] | undefined): OperationMix {
  const mix = MIXES[index]!
  if (kinds === undefined) return mix
  const chosen = Object.entries(mix).map(([kind, weight]) => [
    kind,
    kinds.includes(kind as OperationKind) ? weight : 0,
  ])
  return Object.fromEntries(chosen) as OperationMix
}

async function createContainers(cluster: SimCluster, containers: readonly string[]): Promise<void> {
  const { backend } = cluster.proxies[0]!.running!
  await backend.putAccount(ACCOUNT, { headers: {} })
  for (const container of containers) {
    await backend.putContainer(ACCOUNT, container, { meta: { headers: {} }, policy: 0 })
  }
}

function judge(
  operations: readonly Operation[],
  of: {
    readonly containers: readonly string[]
    readonly names: readonly string[]
    readonly keys: readonly string[]
  },
): Violation[] {
  const violations: Violation[] = []
  for (const key of of.keys) {
    const own = operations.filter((operation) => operation.key === key)
    const { isLinearizable, culprit, steps } = checkLinearizability(own)
    if (isLinearizable === null) {
      violations.push({ kind: 'undecided', key, what: `given up after ${steps} steps` })
    } else if (!isLinearizable) {
      const what = `cannot be explained: ${showOperation(culprit!)}`
      violations.push({ kind: 'linearizability', key, what })
    }
  }
  for (const container of of.containers) {
    const keyOf = (name: string) => `${container}/${name}`
    for (const wrong of checkListings(operations, { container, keyOf, names: of.names })) {
      const what = `${wrong.kind}: ${wrong.shown ?? 'nothing'} shown by ${showOperation(wrong.listing)}`
      violations.push({ kind: 'listing', key: wrong.key, what })
    }
  }
  return violations
}

function hashOf(operations: readonly Operation[]): string {
  const hash = createHash('md5')
  for (const operation of operations) hash.update(`${showOperation(operation)}\n`)
  return hash.digest('hex')
}
