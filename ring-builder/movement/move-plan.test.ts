/** What a movement does to the rings, step by step, and what the keeper waits for: on rings in memory. */
import assert from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import type { ArrivalReport, ClusterMember, PartitionMove } from '../../common/cluster-member.ts'
import { deviceLabel, placedDevices, quorumOf } from '../../common/ring/placement.ts'
import type { RingData, RingDevice } from '../../common/ring/ring.ts'
import {
  decodeRingSet,
  encodeRingSet,
  type RingSetData,
  ringSetOf,
} from '../../common/ring/ring-set-file.ts'
import { SimClock } from '../../test/support/sim-clock.ts'
import {
  addDevice,
  type Builder,
  createBuilder,
  type NewDevice,
  pretendMinPartHoursPassed,
  removeDevice,
  ringOf,
  setReplicas,
} from '../builder.ts'
import { rebalance } from '../rebalance.ts'
import { Keeper } from './keeper.ts'
import { movesOf, planNext, type RingTarget } from './move-plan.ts'

const PART_POWER = 4
const PARTITIONS = 2 ** PART_POWER

function device(node: number): NewDevice {
  const ip = `10.0.0.${node}`
  const place = { region: 1, zone: node, ip, port: 6200, replicationIp: ip, replicationPort: 6200 }
  return { ...place, device: 'd', weight: 100, meta: '' }
}

const labelOf = (node: number) => `10.0.0.${node}:6200/d`

function balanced(builder: Builder): Builder {
  let result = builder
  for (let round = 0; round < 8; round++) {
    const next = rebalance(pretendMinPartHoursPassed(result), { seed: 's', nowS: 1_700_000_000 })
    result = next.builder
    if (next.moved === 0) break
  }
  return result
}

function builderOf(nodes: readonly number[], replicas = 3): Builder {
  const options = { id: 'x', partPower: PART_POWER, minPartHours: 1, placement: 'xxh64' } as const
  const empty = createBuilder({ ...options, replicas })
  return balanced(nodes.reduce((builder, node) => addDevice(builder, device(node)).builder, empty))
}

function without(builder: Builder, node: number): Builder {
  const { id } = builder.devices.find((one) => one?.ip === `10.0.0.${node}`)!
  return balanced(removeDevice(builder, id))
}

function firstSet(ring: RingData): RingSetData {
  return { epoch: 0, placements: [{ kind: 'object', policy: 0, ring, previous: null }] }
}

function targetOf(builder: Builder): readonly RingTarget[] {
  return [{ kind: 'object', policy: 0, ring: ringOf(builder) }]
}

const ALL_READY = { movesMax: 5, isReady: () => true, isLost: () => false }

/** The labels of a partition's devices in a ring. */
function labelsAt(ring: RingData, partition: number): readonly string[] {
  const ids = ring.replicaToPartToDevice.flatMap((row) =>
    partition < row.length ? [row[partition]!] : [],
  )
  return [...new Set(ids.map((id) => deviceLabel(ring.devices[id]!)))].sort()
}

/** Goes on to the end, all that is under way arriving each time, or some of it. */
function moveAll(
  first: RingSetData,
  targets: readonly RingTarget[],
  options: Partial<Parameters<typeof planNext>[1]> = {},
  check: (before: RingSetData, after: RingSetData) => void = () => {},
): RingSetData {
  let set = first
  for (let step = 0; step < 1_000; step++) {
    const arrived = new Set(movesOf(set).filter((_, index) => index % 3 !== step % 2))
    const { next } = planNext(set, { ...ALL_READY, ...options, targets, arrived })
    if (next === null && movesOf(set).length === 0) return set
    // What is sent is what is planned.
    const sent = next === null ? set : decodeRingSet(encodeRingSet(next))
    check(set, sent)
    set = sent
  }
  throw new Error('the movement does not end')
}

const RING_CHANGES: readonly {
  readonly name: string
  readonly from: Builder
  readonly to: (builder: Builder) => Builder
}[] = [
  {
    name: 'a node comes',
    from: builderOf([1, 2, 3, 4]),
    to: (builder) => balanced(addDevice(builder, device(5)).builder),
  },
  {
    name: 'a node goes',
    from: builderOf([1, 2, 3, 4, 5]),
    to: (builder) => without(builder, 2),
  },
  {
    name: 'one goes, another comes at its id',
    from: builderOf([1, 2, 3, 4]),
    to: (builder) => balanced(addDevice(without(builder, 1), device(9)).builder),
  },
  {
    name: 'a replica more',
    from: builderOf([1, 2, 3, 4], 2),
    to: (builder) => balanced(setReplicas(builder, 3)),
  },
  {
    name: 'two replicas less',
    from: builderOf([1, 2, 3, 4], 3),
    to: (builder) => balanced(setReplicas(builder, 1)),
  },
]

for (const { name, from, to } of RING_CHANGES) {
  t.test(
    `${name}: one replica of a partition at a time, until the target is reached`,
    async (t) => {
      const target = to(from)
      const wanted = ringOf(target)
      let steps = 0
      const end = moveAll(firstSet(ringOf(from)), targetOf(target), {}, (before, after) => {
        steps++
        t.ok(after.epoch === before.epoch || after.epoch === before.epoch + 1)
        const [old, now] = [before.placements[0]!, after.placements[0]!]
        t.ok(movesOf(after).length <= ALL_READY.movesMax)
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const [a, b] = [labelsAt(old.ring, partition), labelsAt(now.ring, partition)]
          const gone = a.filter((label) => !b.includes(label)).length
          const come = b.filter((label) => !a.includes(label)).length
          if (gone > 1 || come > 1) t.fail(`partition ${partition}: ${a} to ${b}`)
          if (gone + come === 0) continue
          t.equal(now.movedAt?.[partition], after.epoch, 'the move has its epoch')
          // The placement before stays in force beside the new one.
          t.strictSame(labelsAt(now.previous!, partition), a)
        }
      })
      t.ok(steps > 1)
      const { ring, previous } = end.placements[0]!
      t.equal(previous, null)
      for (let partition = 0; partition < PARTITIONS; partition++) {
        t.strictSame(labelsAt(ring, partition), labelsAt(wanted, partition))
      }
      const labels = (of: RingData) => of.devices.flatMap((one) => (one ? [deviceLabel(one)] : []))
      t.strictSame(labels(ring).sort(), labels(wanted).sort(), 'and knows no other devices')
      t.equal(ring.replicaToPartToDevice.length, wanted.replicaToPartToDevice.length)
      t.equal(
        planNext(end, { ...ALL_READY, targets: targetOf(target), arrived: new Set() }).next,
        null,
      )
    },
  )
}

t.test('devices and replicas change again and again, before the last change is done', async (t) => {
  const nodes = fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 })
  const shape = fc.record({ nodes, replicas: fc.integer({ min: 1, max: 4 }) })
  const steps = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 12 })
  const change = fc.record({ shape, steps })
  const builderOfShape = (of: { nodes: number[]; replicas: number }) =>
    builderOf(of.nodes, Math.min(of.replicas, of.nodes.length))
  fc.assert(
    fc.property(shape, fc.array(change, { minLength: 1, maxLength: 4 }), (first, changes) => {
      let set = firstSet(ringOf(builderOfShape(first)))
      for (const { shape, steps } of changes) {
        const targets = targetOf(builderOfShape(shape))
        for (const arriving of steps) {
          const moves = movesOf(set)
          const arrived = new Set(moves.slice(0, arriving))
          const { next, underWay } = planNext(set, { ...ALL_READY, targets, arrived })
          if (next === null) continue
          const now = movesOf(next)
          assert(now.length === underWay, 'whatever is under way can come to its end')
          for (const { partition, since } of moves.slice(arriving)) {
            const isThere = now.some((one) => one.partition === partition && one.since === since)
            assert(isThere, `the move of partition ${partition} ends when it has arrived`)
          }
          for (const { before, after } of now) {
            const gone = before.filter((one) => !after.some((to) => to.ip === one.ip))
            const come = after.filter((one) => !before.some((from) => from.ip === one.ip))
            assert(gone.length <= 1 && come.length <= 1, 'one replica at a time')
          }
          set = decodeRingSet(encodeRingSet(next))
        }
      }
      const wanted = builderOfShape(changes.at(-1)!.shape)
      const { ring } = moveAll(set, targetOf(wanted)).placements[0]!
      for (let partition = 0; partition < PARTITIONS; partition++) {
        assert.deepStrictEqual(labelsAt(ring, partition), labelsAt(ringOf(wanted), partition))
      }
    }),
    { numRuns: 60 },
  )
  t.pass()
})

t.test(
  'what a lost device held is moved first; nothing begins that concerns who is away',
  async (t) => {
    const from = builderOf([1, 2, 3, 4, 5, 6])
    const target = balanced(addDevice(without(from, 2), device(7)).builder)
    const first = firstSet(ringOf(from))
    const of = { targets: targetOf(target), arrived: new Set<never>(), movesMax: 4 }
    const isLost = (one: RingDevice) => one.ip === '10.0.0.2'
    const lost = planNext(first, { ...of, isReady: (one) => !isLost(one), isLost }).next!
    for (const { before } of movesOf(lost)) t.ok(before.some(isLost))
    t.equal(movesOf(lost).length, 4)
    const isAway = (one: RingDevice) => one.ip === '10.0.0.3'
    const many = { ...of, movesMax: 1_000, isLost: () => false }
    const away = planNext(first, { ...many, isReady: (one) => !isAway(one) }).next!
    t.ok(movesOf(away).length > 0)
    for (const { before, after } of movesOf(away)) t.notOk([...before, ...after].some(isAway))
    t.equal(planNext(first, { ...many, isReady: () => false }).next, null)
  },
)

t.test('another partition power or placement hash is refused', async (t) => {
  const first = firstSet(ringOf(builderOf([1, 2, 3])))
  const ring = ringOf(builderOf([1, 2, 3]))
  for (const other of [
    { ...ring, partPower: 5 },
    { ...ring, placement: 'md5' as const },
  ]) {
    const targets = [{ kind: 'object' as const, policy: 0, ring: other }]
    t.throws(() => planNext(first, { ...ALL_READY, targets, arrived: new Set() }), {
      code: 'BadRingChange',
    })
  }
})

t.test('any quorum has a majority of the placement before and of the one after', async (t) => {
  const count = fc.integer({ min: 0, max: 3 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), count, count, (staying, leaving, arriving) => {
      const quorum = quorumOf({ staying, leaving, arriving })
      const all = staying + leaving + arriving
      if (quorum > all) return false
      const majorityOf = (of: number) => Math.floor(of / 2) + 1
      // The fewest of either side that so many can have.
      const before = Math.max(0, quorum - arriving)
      const after = Math.max(0, quorum - leaving)
      return before >= majorityOf(staying + leaving) && after >= majorityOf(staying + arriving)
    }),
  )
  t.equal(quorumOf({ staying: 2, leaving: 1, arriving: 1 }), 3)
  t.equal(quorumOf({ staying: 3, leaving: 0, arriving: 0 }), 2)
})

/** Nodes that know rings and bring partitions over when told to. */
class FakeCluster {
  readonly away = new Set<string>()
  readonly known = new Map<string, number>()
  /** What each device was asked to bring over last. */
  readonly asked = new Map<string, readonly PartitionMove[]>()
  arrives = true
  /** A set that nodes have and the keeper has not. */
  newer: RingSetData | null = null
  set: RingSetData
  readonly epochs: number[] = []

  constructor(ring: RingData) {
    this.set = firstSet(ring)
  }

  keeper(targets: () => readonly RingTarget[], lost: ReadonlySet<string> = new Set()): Keeper {
    return new Keeper({
      store: {
        data: () => this.set,
        take: async (bytes) => {
          this.set = decodeRingSet(bytes)
          this.epochs.push(this.set.epoch)
        },
      },
      targets: async () => ({ rings: targets(), lost }),
      memberOf: (one) => this.#member(one),
      clock: new SimClock(),
      movesMax: 6,
    })
  }

  #member({ ip }: RingDevice): ClusterMember {
    const reach = () => {
      if (this.away.has(ip)) throw new Error(`${ip} is away`)
    }
    return {
      rings: async () => (this.newer === null ? null : encodeRingSet(this.newer)),
      learnRings: async (bytes) => {
        reach()
        this.known.set(ip, Math.max(decodeRingSet(bytes).epoch, this.newer?.epoch ?? 0))
        return this.known.get(ip)!
      },
      arrivals: async (_, moves): Promise<ArrivalReport> => {
        reach()
        this.asked.set(ip, moves)
        return { arrived: moves.map(() => this.arrives), bytesSent: 10, recordsSent: 1 }
      },
    }
  }

  async run(keeper: Keeper, passesMax = 100): Promise<number> {
    for (let pass = 1; pass <= passesMax; pass++) if (!(await keeper.pass())) return pass
    return Number.POSITIVE_INFINITY
  }
}

t.test('the keeper moves everything, and tells everybody of each step', async (t) => {
  const from = builderOf([1, 2, 3, 4])
  const cluster = new FakeCluster(ringOf(from))
  let targets = targetOf(from)
  const keeper = cluster.keeper(() => targets)
  t.notOk(await keeper.pass(), 'nothing to do')
  t.equal(cluster.known.size, 4, 'and everybody has the rings')
  t.match(keeper.status(), { state: 'idle', epoch: 0, secondsLeft: 0 })
  const target = balanced(addDevice(from, device(5)).builder)
  targets = targetOf(target)
  t.ok(await keeper.pass())
  t.match(keeper.status(), { state: 'moving', epoch: 1, underWay: 6, moved: 0 })
  t.ok((await cluster.run(keeper)) < 100)
  const wanted = ringOf(target)
  for (let partition = 0; partition < PARTITIONS; partition++) {
    t.strictSame(labelsAt(cluster.set.placements[0]!.ring, partition), labelsAt(wanted, partition))
  }
  t.match(keeper.status(), { state: 'idle', left: 0, underWay: 0 })
  t.strictSame(new Set(cluster.known.values()), new Set([cluster.set.epoch]))
  t.strictSame(
    [...cluster.epochs].sort((a, b) => a - b),
    cluster.epochs,
    'epochs only grow',
  )
})

t.test('no move ends before everybody concerned knows of it, and all has arrived', async (t) => {
  const from = builderOf([1, 2, 3, 4])
  const targets = targetOf(balanced(addDevice(from, device(5)).builder))
  const cluster = new FakeCluster(ringOf(from))
  cluster.arrives = false
  const keeper = cluster.keeper(() => targets)
  for (let pass = 0; pass < 5; pass++) await keeper.pass()
  const begun = movesOf(cluster.set)
  t.equal(cluster.set.epoch, 1, 'nothing arrives: nothing ends')
  t.equal(begun.length, 6)

  cluster.arrives = true
  const { before } = begun[0]!
  cluster.away.add(before[0]!.ip)
  const concerned = begun.filter((move) =>
    [...move.before, ...move.after].some(({ ip }) => ip === before[0]!.ip),
  )
  await cluster.run(keeper, 30)
  const left = movesOf(cluster.set)
  t.ok(concerned.every((move) => left.some(({ partition }) => partition === move.partition)))
  t.match(keeper.status(), { state: 'waiting', troubles: [/is away/] })
  const told = cluster.known.get(before[0]!.ip)!
  t.ok(told < cluster.set.epoch, 'the others went on without it')

  // A keeper that begins anew knows nothing of who knows what, and asks again.
  const again = cluster.keeper(() => targets)
  await cluster.run(again, 5)
  t.ok(movesOf(cluster.set).length >= concerned.length)
  cluster.away.clear()
  t.ok((await cluster.run(again)) < 100)
  t.match(again.status(), { state: 'idle', troubles: [] })
})

t.test('a device that is given up is not waited for', async (t) => {
  const from = builderOf([1, 2, 3, 4, 5])
  const targets = targetOf(without(from, 2))
  const cluster = new FakeCluster(ringOf(from))
  cluster.away.add('10.0.0.2')
  const waiting = cluster.keeper(() => targets)
  await cluster.run(waiting, 10)
  t.equal(cluster.set.epoch, 0, 'it is waited for as long as it may come back')
  const keeper = cluster.keeper(() => targets, new Set([labelOf(2)]))
  t.ok((await cluster.run(keeper)) < 100)
  const { ring } = cluster.set.placements[0]!
  t.notOk(ring.devices.some((one) => one?.ip === '10.0.0.2'))
  t.notOk(cluster.asked.has('10.0.0.2'))
})

t.test('devices that are being filled are asked last', async (t) => {
  const from = builderOf([1, 2, 3, 4])
  const targets = targetOf(balanced(addDevice(from, device(5)).builder))
  const { next } = planNext(firstSet(ringOf(from)), { ...ALL_READY, targets, arrived: new Set() })
  const [placement] = ringSetOf(next!).placements
  for (const { partition, before, after } of movesOf(next!)) {
    const labels = placedDevices(placement!, partition).map(deviceLabel)
    const [was, is] = [before, after].map((all) => all.map(deviceLabel))
    t.strictSame(new Set(labels), new Set([...was!, ...is!]))
    t.notOk(was!.includes(labels.at(-1)!))
  }
})

t.test('a ring set that is damaged or of something else is refused', async (t) => {
  const bytes = Buffer.from(encodeRingSet(firstSet(ringOf(builderOf([1, 2, 3])))))
  t.strictSame(decodeRingSet(bytes).epoch, 0)
  const flipped = Buffer.from(bytes)
  flipped[bytes.length - 20]! ^= 1
  t.throws(() => decodeRingSet(flipped), { code: 'RingDamaged' })
  t.throws(() => decodeRingSet(bytes.subarray(0, bytes.length - 1)), { code: 'RingDamaged' })
  t.throws(() => decodeRingSet(Buffer.from('something')), { code: 'RingFormatUnknown' })
})

t.test('a keeper that was restored takes over what nodes know better', async (t) => {
  const from = builderOf([1, 2, 3, 4])
  const cluster = new FakeCluster(ringOf(from))
  cluster.newer = { ...cluster.set, epoch: 7 }
  const keeper = cluster.keeper(() => targetOf(balanced(addDevice(from, device(5)).builder)))
  t.ok(await keeper.pass())
  t.equal(cluster.set.epoch, 7, 'and makes none of its own before')
  t.ok((await cluster.run(keeper)) < 100)
  t.ok(Math.min(...cluster.epochs) === 7)
})
