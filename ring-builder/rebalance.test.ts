import fc from 'fast-check'
import t from 'tap'
import { Assignment } from './assignment.ts'
import { worstBalance } from './balance-figures.ts'
import {
  addDevice,
  type Builder,
  changePlace,
  createBuilder,
  type NewDevice,
  partsByDevice,
  presentDevices,
  removeDevice,
  setMinPartHours,
  setOverload,
  setReplicas,
} from './builder.ts'
import { increasePartPower, preparePartPower } from './part-power.ts'
import { disperse } from './reassign.ts'
import { rebalance } from './rebalance.ts'
import { buildReplicaPlan } from './replica-plan.ts'
import { SeededRandom } from './seeded-random.ts'
import { buildTierTree, DEVICE_LEVEL } from './tier-tree.ts'
import { validateBuilder } from './validate.ts'

const HOUR_S = 3600
const START_S = 1_700_000_000

function place(
  region: number,
  zone: number,
  node: number,
  disk: number,
  weight: number,
): NewDevice {
  const ip = `10.${region}.${zone}.${node}`
  return {
    region,
    zone,
    ip,
    port: 6200,
    replicationIp: ip,
    replicationPort: 6200,
    device: `d${disk}`,
    weight,
    meta: '',
  }
}

function cluster(
  devices: readonly NewDevice[],
  options: { readonly partPower: number; readonly replicas: number; readonly overload?: number },
): Builder {
  const empty = createBuilder({ id: 'x', ...options, minPartHours: 1, placement: 'xxh64' })
  const filled = devices.reduce((builder, device) => addDevice(builder, device).builder, empty)
  return setOverload(filled, options.overload ?? 0)
}

/** regions x zones x nodes x disks of the same weight. */
function evenCluster(
  shape: readonly [number, number, number, number],
  options: { readonly partPower: number; readonly replicas: number; readonly overload?: number },
): Builder {
  const devices: NewDevice[] = []
  const [regions, zones, nodes, disks] = shape
  for (let region = 1; region <= regions; region++)
    for (let zone = 1; zone <= zones; zone++)
      for (let node = 1; node <= nodes; node++)
        for (let disk = 1; disk <= disks; disk++) devices.push(place(region, zone, node, disk, 100))
  return cluster(devices, options)
}

/** Rebalances until nothing moves, an hour and a bit apart; the rounds it took. */
function settle(
  builder: Builder,
  roundsMax = 40,
): { readonly builder: Builder; readonly rounds: number } {
  let current = builder
  for (let round = 0; round < roundsMax; round++) {
    const nowS = START_S + 1e6 + round * 2 * HOUR_S
    const { builder: next, moved } = rebalance(current, { seed: `settle ${round}`, nowS })
    current = next
    if (moved === 0) return { builder: current, rounds: round }
  }
  return { builder: current, rounds: roundsMax }
}

function planOf(builder: Builder) {
  const { devices, replicas, overload } = builder
  const tree = buildTierTree(devices)
  return { tree, plan: buildReplicaPlan({ tree, devices, replicas, overload }) }
}

/** Replicas that stand in tiers beyond, or are missing in tiers below, what the plan says; 0 is as good as can be. */
function violationsOf(builder: Builder): number {
  const { tree, plan } = planOf(builder)
  const partitionCount = 2 ** builder.partPower
  const assignment = new Assignment({
    tree,
    plan,
    partitionCount,
    rows: builder.rows.map((row) => row.slice()),
    resting: new Uint8Array(partitionCount),
    random: new SeededRandom('none'),
  })
  let sum = 0
  for (let partition = 0; partition < partitionCount; partition++)
    sum += assignment.violations(partition)
  return sum
}

/** How many replicas the device farthest from the plan's target is away from it. */
function farthestFromTarget(builder: Builder): number {
  const { tree, plan } = planOf(builder)
  const parts = partsByDevice(builder)
  return Math.max(
    ...tree.tiers
      .filter((tier) => tier.level === DEVICE_LEVEL)
      .map((tier) =>
        Math.abs(parts[tier.deviceId]! - plan.target[tier.index]! * 2 ** builder.partPower),
      ),
  )
}

/** By partition: how many of its replicas changed their device, not counting rows that one of the two does not have. */
function movesByPartition(before: Builder, after: Builder): Uint8Array {
  const moves = new Uint8Array(2 ** after.partPower)
  for (const [replica, row] of after.rows.entries()) {
    const old = before.rows[replica] ?? new Uint32Array(0)
    for (let partition = 0; partition < Math.min(row.length, old.length); partition++) {
      if (row[partition] !== old[partition]) moves[partition]!++
    }
  }
  return moves
}

const device = fc.record({
  region: fc.integer({ min: 1, max: 3 }),
  zone: fc.integer({ min: 1, max: 3 }),
  node: fc.integer({ min: 1, max: 3 }),
  weight: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.constant(4)),
})
const anyCluster = fc
  .record({
    devices: fc.array(device, { minLength: 4, maxLength: 24 }),
    partPower: fc.integer({ min: 0, max: 8 }),
    replicas: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constantFrom(1.5, 2.25, 2.5, 3.3)),
    overload: fc.constantFrom(0, 0.1, 10),
  })
  .map(({ devices, ...options }) =>
    cluster(
      devices.map(({ region, zone, node, weight }, at) => place(region, zone, node, at, weight)),
      options,
    ),
  )

const change = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), device }),
  fc.record({ kind: fc.constant('remove' as const), at: fc.nat(100) }),
  fc.record({
    kind: fc.constant('weight' as const),
    at: fc.nat(100),
    weight: fc.integer({ min: 0, max: 12 }),
  }),
  fc.record({
    kind: fc.constant('zone' as const),
    at: fc.nat(100),
    zone: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    kind: fc.constant('replicas' as const),
    replicas: fc.constantFrom(1, 1.5, 2, 3, 3.7),
  }),
  fc.record({ kind: fc.constant('overload' as const), overload: fc.constantFrom(0, 0.2, 5) }),
)

type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

/** The changed builder, or the same where the change would leave too few devices. */
function applyChange(builder: Builder, step: Change, nth: number): Builder {
  const present = presentDevices(builder).filter(({ id }) => !builder.removedIds.includes(id))
  const chosen = 'at' in step ? present[step.at % present.length]! : present[0]!
  const changed = ((): Builder => {
    switch (step.kind) {
      case 'add': {
        const { region, zone, node, weight } = step.device
        return addDevice(builder, place(region, zone, node, 1000 + nth, weight)).builder
      }
      case 'remove':
        return removeDevice(builder, chosen.id)
      case 'weight':
        return changePlace(builder, chosen.id, { weight: step.weight })
      case 'zone':
        return changePlace(builder, chosen.id, { zone: step.zone })
      case 'replicas':
        return setReplicas(builder, step.replicas)
      case 'overload':
        return setOverload(builder, step.overload)
    }
  })()
  const usable = presentDevices(changed).filter((present) => present.weight > 0)
  return usable.length >= changed.replicas ? changed : builder
}

t.test('a first rebalance follows weights and keeps replicas apart', async () => {
  fc.assert(
    fc.property(anyCluster, fc.string(), (builder, seed) => {
      const { builder: built, moved } = rebalance(builder, { seed, nowS: START_S })
      validateBuilder(built)
      const slots = built.rows.reduce((sum, row) => sum + row.length, 0)
      if (moved !== slots) throw new Error(`${moved} of ${slots} replicas assigned`)
      if (slots !== Math.floor(2 ** built.partPower * built.replicas))
        throw new Error(`${slots} replicas`)
      const far = farthestFromTarget(built)
      if (far >= 1.001) throw new Error(`a device is ${far} replicas from its target`)
      const violations = violationsOf(built)
      if (violations > 0) throw new Error(`${violations} replicas too close`)
    }),
    { numRuns: 150 },
  )
})

t.test(
  'every later rebalance moves at most one replica of a partition, and none that rests',
  async () => {
    fc.assert(
      fc.property(
        anyCluster,
        fc.array(change, { minLength: 1, maxLength: 5 }),
        (start, changes) => {
          let builder = rebalance(start, { seed: 'start', nowS: START_S }).builder
          let nowS = START_S
          for (const [nth, step] of changes.entries()) {
            const asked = applyChange(builder, step, nth)
            // Every second time before the hour is over: then nothing that moved may move again.
            nowS += nth % 2 === 0 ? 2 * HOUR_S : HOUR_S / 2
            const { builder: next } = rebalance(asked, { seed: `${nth}`, nowS })
            validateBuilder(next)
            const moves = movesByPartition(builder, next)
            for (const [partition, count] of moves.entries()) {
              const forced =
                asked.removedIds.length > 0 &&
                asked.rows.some((row) => asked.removedIds.includes(row[partition]!))
              const allowed = forced
                ? asked.rows.filter((row) => asked.removedIds.includes(row[partition]!)).length
                : 1
              if (count > allowed) throw new Error(`partition ${partition} moved ${count} replicas`)
              const rested = builder.lastMovedS[partition]! <= nowS - HOUR_S
              if (count > 0 && !rested && !forced)
                throw new Error(`partition ${partition} moved too early`)
            }
            builder = next
          }
        },
      ),
      { numRuns: 120 },
    )
  },
)

t.test('after any change, rebalancing ends at the plan', async () => {
  fc.assert(
    fc.property(anyCluster, fc.array(change, { minLength: 1, maxLength: 3 }), (start, changes) => {
      let builder = rebalance(start, { seed: 'start', nowS: START_S }).builder
      for (const [nth, step] of changes.entries()) builder = applyChange(builder, step, nth)
      const { builder: settled, rounds } = settle(builder)
      if (rounds >= 40) throw new Error('it never ends')
      const violations = violationsOf(settled)
      const far = farthestFromTarget(settled)
      if (violations > 0 || far >= 1.001) {
        throw new Error(`${violations} replicas too close, a device is ${far} from its target`)
      }
    }),
    { numRuns: 120 },
  )
})

t.test('a zone whose share is one whole replica takes no second one', async (t) => {
  // Region 2 has to hold 1.94 replicas: one in zone 1, whose share is 1.00, and one in zone 2. Both began in zone 1.
  const places = [
    [2, 1, 4],
    [1, 1, 4],
    [3, 1, 4],
    [1, 1, 3],
    [1, 1, 1],
    [2, 1, 7],
    [2, 2, 4],
  ] as const
  const devices = places.map(([region, zone, weight], at) => place(region, zone, 1, at, weight))
  const dealt = cluster(devices, { partPower: 0, replicas: 4, overload: 5 })
  const before = {
    ...dealt,
    rows: [1, 5, 0, 2].map((id) => Uint32Array.of(id)),
    lastMovedS: Uint32Array.of(START_S),
  }
  t.equal(violationsOf(before), 2, 'zone and node hold one too many')
  const after = rebalance(before, { seed: '1', nowS: START_S + 2 * HOUR_S })
  t.same(
    after.builder.rows.map((row) => row[0]),
    [1, 5, 6, 2],
    'one replica goes to zone 2, from the device with the smaller share',
  )
  t.equal(violationsOf(after.builder), 0)
  t.equal(rebalance(after.builder, { seed: '2', nowS: START_S + 4 * HOUR_S }).moved, 0)
})

t.test('a zone with too few is found in a region that has enough', async (t) => {
  // Zone 3 of region 1 is due 1.18 replicas of each partition, region 1 1.60: of the two in zones 1 and 2 one has to move
  // within the region, though region 3 is the one that has most room for its quota, and no device lacks any.
  const places = [
    [1, 2, 1, 1],
    [1, 3, 1, 3],
    [1, 3, 1, 7],
    [3, 1, 2, 5],
    [3, 1, 1, 4],
    [3, 1, 2, 4],
    [1, 1, 1, 4],
    [3, 2, 1, 4],
    [2, 1, 1, 4],
    [1, 3, 2, 4],
    [3, 1, 2, 4],
  ] as const
  const devices = places.map(([region, zone, node, weight], at) =>
    place(region, zone, node, at, weight),
  )
  const { tree, plan } = planOf(cluster(devices, { partPower: 8, replicas: 3.7 }))
  const random = new SeededRandom('lacking')
  const before = [
    [0, 2, 2, 2],
    [6, 3, 5, 10],
    [8, 8, 8, 8],
    [3, 7, 7, 7],
  ]
  const rows = before.map((ids) => Uint32Array.from(ids))
  const resting = new Uint8Array(4)
  const assignment = new Assignment({ tree, plan, partitionCount: 4, rows, resting, random })
  assignment.setQuotas(assignment.held.slice())
  const violations = () => [0, 1, 2, 3].map((partition) => assignment.violations(partition))
  t.same(violations(), [1, 0, 0, 0], 'zone 3 of region 1 has none of the first')
  disperse(assignment, { partitionCount: 4, random, onProgress: () => {} })
  t.same(violations(), [0, 0, 0, 0])
  const moved = before.flatMap((ids, replica) =>
    ids.flatMap((id, partition) =>
      rows[replica]![partition] === id ? [] : [rows[replica]![partition]!],
    ),
  )
  t.equal(moved.length, 1, 'with one move')
  t.ok([1, 2, 9].includes(moved[0]!), `to zone 3 of region 1: ${moved}`)
})

t.test('the same seed gives the same ring, another one another', async (t) => {
  const builder = evenCluster([2, 2, 2, 3], { partPower: 8, replicas: 3 })
  const run = (seed: string) => rebalance(builder, { seed, nowS: START_S }).builder.rows
  t.same(run('a'), run('a'))
  t.notSame(run('a'), run('b'))
})

t.test('a new device gets its share and nothing else moves', async (t) => {
  const before = rebalance(evenCluster([1, 3, 4, 4], { partPower: 12, replicas: 3 }), {
    seed: '1',
    nowS: START_S,
  }).builder
  const { builder, added } = addDevice(before, place(1, 1, 1, 9, 100))
  const after = rebalance(setOverload(builder, 0), { seed: '2', nowS: START_S + 2 * HOUR_S })
  t.equal(after.moved, partsByDevice(after.builder)[added.id]!, 'every move is to the new device')
  t.ok(Math.abs(after.moved - (3 * 4096) / 49) < 1, `${after.moved} replicas moved`)
})

t.test('uneven weights round without moving data', async (t) => {
  const devices = Array.from({ length: 60 }, (_, at) =>
    place(1, at % 5, at % 10, at, 90 + (at % 7)),
  )
  const options = { partPower: 10, replicas: 3 }
  const before = rebalance(cluster(devices, options), { seed: '1', nowS: START_S }).builder
  const { builder, added } = addDevice(before, place(1, 1, 1, 99, 50))
  const after = rebalance(builder, { seed: '2', nowS: START_S + 2 * HOUR_S })
  t.equal(after.moved, partsByDevice(after.builder)[added.id]!, 'every move is to the new device')
})

t.test('replicas of a removed zone are placed without moving others twice', async (t) => {
  // Unequal regions: a replica that region 2 loses may go to some regions only, by where its partition's others are.
  const devices = [
    ...Array.from({ length: 30 }, (_, at) => place(1, at % 5, at % 10, at, 100)),
    ...Array.from({ length: 18 }, (_, at) => place(2, at % 4, at % 8, at, 100)),
    ...Array.from({ length: 12 }, (_, at) => place(3, at % 3, at % 6, at, 100)),
  ]
  const options = { partPower: 12, replicas: 3 }
  const before = rebalance(cluster(devices, options), { seed: '1', nowS: START_S }).builder
  const gone = presentDevices(before).filter(({ region, zone }) => region === 2 && zone === 1)
  const parts = partsByDevice(before)
  const held = gone.reduce((sum, { id }) => sum + parts[id]!, 0)
  const without = gone.reduce((builder, { id }) => removeDevice(builder, id), before)
  const after = rebalance(without, { seed: '2', nowS: START_S + 2 * HOUR_S })
  t.ok(after.moved <= held * 1.01, `${after.moved} moved, ${held} stood there`)
  t.equal(violationsOf(after.builder), 0)
  t.ok(farthestFromTarget(after.builder) < 1.001)
})

t.test('a removed zone moves what it held and nothing else', async (t) => {
  const before = rebalance(evenCluster([1, 5, 2, 3], { partPower: 10, replicas: 3 }), {
    seed: '1',
    nowS: START_S,
  }).builder
  const gone = presentDevices(before).filter(({ zone }) => zone === 2)
  const parts = partsByDevice(before)
  const held = gone.reduce((sum, { id }) => sum + parts[id]!, 0)
  const without = gone.reduce((builder, { id }) => removeDevice(builder, id), before)
  const after = rebalance(without, { seed: '2', nowS: START_S + 1 })
  t.equal(after.moved, held, 'even though every partition rests')
  t.equal(after.removed, gone.length)
  t.equal(violationsOf(after.builder), 0)
  t.ok(farthestFromTarget(after.builder) < 1.001)
})

t.test('overload decides between balance and dispersion', async (t) => {
  // Zone 3 has a third of the devices of the others: fully dispersed, they would hold three times their share.
  const devices = [
    ...[1, 2, 3].map((disk) => place(1, 1, 1, disk, 100)),
    ...[1, 2, 3].map((disk) => place(1, 2, 1, disk, 100)),
    place(1, 3, 1, 1, 100),
  ]
  const options = { partPower: 10, replicas: 3 }
  const build = (overload: number) =>
    rebalance(cluster(devices, { ...options, overload }), { seed: '1', nowS: START_S }).builder
  const [balanced, between, dispersed] = [build(0), build(0.5), build(10)]
  t.ok(worstBalance(balanced) < 1, 'without overload, by weight')
  t.ok(balanced.dispersion! > 10)
  t.ok(between.dispersion! < balanced.dispersion! && between.dispersion! > 0, 'some of both')
  t.ok(Math.abs(worstBalance(between) - 50) < 2, `no device exceeds its share by more than half`)
  t.equal(dispersed.dispersion, 0, 'with enough of it, a replica in each zone')
  t.same(partsByDevice(dispersed)[6], 1024)
})

t.test('a device without weight drains, one replica of a partition at a time', async (t) => {
  const before = rebalance(evenCluster([1, 1, 1, 6], { partPower: 8, replicas: 3 }), {
    seed: '1',
    nowS: START_S,
  }).builder
  const drained = changePlace(changePlace(before, 0, { weight: 0 }), 1, { weight: 0 })
  const first = rebalance(drained, { seed: '2', nowS: START_S + 2 * HOUR_S }).builder
  const left = partsByDevice(first)
  t.ok(left[0]! + left[1]! > 0, 'partitions on both devices give one of their replicas only')
  t.equal(violationsOf(first), left[0]! + left[1]!)
  const tooEarly = rebalance(first, { seed: '3', nowS: START_S + 2.5 * HOUR_S })
  t.equal(tooEarly.moved, 0, 'the rest has to wait')
  const second = rebalance(first, { seed: '3', nowS: START_S + 4 * HOUR_S }).builder
  t.same(partsByDevice(second).slice(0, 2), new Uint32Array(2))
})

t.test('min_part_hours of 0 still moves one replica of a partition at a time', async (t) => {
  const before = rebalance(
    setMinPartHours(evenCluster([1, 2, 2, 2], { partPower: 6, replicas: 2 }), 0),
    { seed: '1', nowS: START_S },
  ).builder
  const grown = [1, 2, 3, 4].reduce(
    (builder, disk) => addDevice(builder, place(1, 3, 1, disk, 500)).builder,
    before,
  )
  const after = rebalance(grown, { seed: '2', nowS: START_S }).builder
  t.equal(Math.max(...movesByPartition(grown, after)), 1)
})

t.test('what cannot be rebalanced is refused', async (t) => {
  const two = evenCluster([1, 1, 1, 2], { partPower: 4, replicas: 3 })
  const options = { seed: '1', nowS: START_S }
  t.throws(() => rebalance(two, options), { code: 'TooFewDevices' })
  const three = rebalance(setReplicas(two, 2), options).builder
  t.throws(() => rebalance(preparePartPower(three), options), { code: 'PartPowerIncreasing' })
  t.throws(() => rebalance({ ...setReplicas(two, 2), partPower: 32 }, options), {
    code: 'RingTooLarge',
  })
})

t.test('doubling the partitions leaves every replica where it is', async (t) => {
  const before = rebalance(evenCluster([1, 2, 2, 2], { partPower: 5, replicas: 2.5 }), {
    seed: '1',
    nowS: START_S,
  }).builder
  const after = increasePartPower(preparePartPower(before))
  validateBuilder(after)
  for (const [replica, row] of after.rows.entries()) {
    t.ok(row.every((id, partition) => id === before.rows[replica]![partition >> 1]))
  }
  t.equal(after.lastMovedS.length, 64)
})

t.test('devices of a wide flat tier share partitions with nearly all others', async (t) => {
  const { builder } = rebalance(evenCluster([1, 1, 40, 1], { partPower: 12, replicas: 3 }), {
    seed: '1',
    nowS: START_S,
  })
  const partners = Array.from({ length: 40 }, () => new Set<number>())
  for (let partition = 0; partition < 4096; partition++) {
    const ids = builder.rows.map((row) => row[partition]!)
    for (const id of ids) for (const other of ids) if (other !== id) partners[id]!.add(other)
  }
  const fewest = Math.min(...partners.map((set) => set.size))
  t.ok(fewest >= 36, `the fewest partners of a device are ${fewest} of 39`)
})
