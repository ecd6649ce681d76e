/** Nodes on simulated disks with a ring over them: what replication brings together, gives away and mends. */
import t from 'tap'
import type { Placement } from '../../common/ring/placement.ts'
import type { Ring } from '../../common/ring/ring.ts'
import { compareStamps } from '../../common/stamp.ts'
import type { ItemWrite, StorageNode } from '../../common/storage-node.ts'
import { EngineRig, type EngineRigOptions, wholeBody } from '../../test/support/engine-rig.ts'
import { onLoopback, ringOver } from '../../test/support/ring-over.ts'
import { planReplication } from './replication-plan.ts'
import { Replicator } from './replicator.ts'

const PART_POWER = 2

/** Nodes 0, 1, …, each with the device `d`; partition p has its replicas on the nodes p, p + 1, … of the first `nodes`. */
class Cluster {
  readonly rigs: EngineRig[] = []
  readonly replicators: Replicator[] = []
  placements: readonly Placement[] = []
  readonly away = new Set<number>()

  static async open(count: number, options: EngineRigOptions = {}): Promise<Cluster> {
    const cluster = new Cluster()
    for (let index = 0; index < count; index++) {
      const rig = new EngineRig({ ...options, seed: index + 1 })
      await rig.open()
      cluster.rigs.push(rig)
      cluster.replicators.push(cluster.#replicator(index))
    }
    cluster.use(ringOf(count))
    return cluster
  }

  use(ring: Ring, previous: Ring | null = null): void {
    this.placements = (['account', 'container', 'object'] as const).map((kind) => ({
      kind,
      policy: 0,
      ring,
      previous,
    }))
  }

  #replicator(index: number): Replicator {
    const rig = this.rigs[index]!
    return new Replicator({
      // A node that is opened again is another one.
      get node() {
        return rig.node
      },
      placements: () => this.placements,
      ownName: (device) => (device.id === index ? 'd' : null),
      nodeOf: ({ id }) => (this.away.has(id) ? AWAY : this.nodeOf(id)),
      clock: rig.clock,
    })
  }

  nodeOf(index: number): StorageNode {
    if (this.away.has(index)) throw new Error(`node ${index} is away`)
    return this.rigs[index]!.node
  }

  replicator(index: number): Replicator {
    return this.#replicator(index)
  }

  /** The node's index is made anew, by a process that begins anew. */
  async rebuild(index: number): Promise<void> {
    await this.rigs[index]!.rebuild()
    this.replicators[index] = this.#replicator(index)
  }

  /** Passes of all nodes until nobody has anything to do. */
  async converge(passesMax = 8): Promise<number> {
    // Beyond the age of writes in progress.
    for (const rig of this.rigs) rig.clock.advance(10_000)
    for (let pass = 1; pass <= passesMax; pass++) {
      let isBusy = false
      for (const index of this.rigs.keys()) {
        if (this.away.has(index)) continue
        if (await this.replicator(index).pass()) isBusy = true
      }
      if (!isBusy) return pass
    }
    return Number.POSITIVE_INFINITY
  }

  /** Writes to the nodes that are not away, as a proxy would. */
  async write(write: ItemWrite, body: string | null, indexes: readonly number[]): Promise<void> {
    for (const index of indexes) {
      if (this.away.has(index)) continue
      await this.nodeOf(index).write('d', write, body === null ? null : Buffer.from(body))
    }
  }

  async close(): Promise<void> {
    for (const rig of this.rigs) {
      await rig.close()
      const { problems } = await rig.check()
      if (problems.length > 0) throw new Error(problems[0])
    }
  }
}

/** A node that cannot be reached. */
const AWAY = new Proxy({} as StorageNode, {
  get: () => () => Promise.reject(new Error('away')),
})

function ringOf(count: number, rotate = 0): Ring {
  const ports = Array.from({ length: count }, (_, id) => 6200 + id)
  return ringOver(onLoopback(ports), { replicas: 3, partPower: PART_POWER, device: 'd', rotate })
}

function primaries(cluster: Cluster, placement: number): readonly number[] {
  const { ring } = cluster.placements[0]!
  return ring.primaries(ring.partitionOf(placement)).map(({ id }) => id)
}

/** Objects o0, o1, … with rows in the container, on their primaries; some deleted, one in a blob. */
async function fill(cluster: Cluster, count: number, prefix = 'o'): Promise<void> {
  const rig = cluster.rigs[0]!
  const container = rig.draft(rig.container, 'put')
  await cluster.write(container, null, primaries(cluster, rig.container.placement))
  for (let index = 0; index < count; index++) {
    const item = rig.object(`${prefix}${index}`)
    const stamp = rig.stamp()
    const action = index % 7 === 3 ? 'delete' : 'put'
    await cluster.write(
      rig.draft(item, action, stamp),
      action === 'put' ? `body ${index}` : null,
      primaries(cluster, item.placement),
    )
    const row = { ...rig.row(`${prefix}${index}`, { deleted: action === 'delete' }), ballot: stamp }
    for (const id of primaries(cluster, rig.container.placement)) {
      if (!cluster.away.has(id)) await cluster.nodeOf(id).putRow('d', rig.container, row)
    }
  }
  const big = rig.object(`${prefix}-big`)
  const write = rig.draft(big, 'put')
  for (const id of primaries(cluster, big.placement)) {
    if (cluster.away.has(id)) continue
    const writer = await cluster.nodeOf(id).openBody('d', big)
    await writer.write(Buffer.alloc(200_000, 5))
    await writer.commit(write)
  }
}

/** For each partition, whether its devices have the same digests, and nobody else anything. */
async function differences(cluster: Cluster): Promise<readonly string[]> {
  const wrong: string[] = []
  for (const { kind, policy, ring } of cluster.placements) {
    for (let partition = 0; partition < ring.partitionCount; partition++) {
      const texts = await Promise.all(
        cluster.rigs.map(async (rig) =>
          JSON.stringify(
            await rig.node.digests('d', {
              kind,
              policy,
              partPower: PART_POWER,
              partitions: [partition],
            }),
          ),
        ),
      )
      const ids = ring.primaries(partition).map(({ id }) => id)
      if (new Set(ids.map((id) => texts[id])).size > 1) wrong.push(`${kind} ${partition} differs`)
      for (const [id, text] of texts.entries()) {
        if (!ids.includes(id) && text !== '[]') wrong.push(`${kind} ${partition} also on ${id}`)
      }
    }
  }
  return wrong
}

t.test('a node that was away catches up: objects, deletions, blobs, rows', async (t) => {
  const cluster = await Cluster.open(4)
  await fill(cluster, 20)
  t.strictSame(await differences(cluster), [])
  t.equal(await cluster.converge(), 1, 'nothing to do')
  cluster.away.add(1)
  await fill(cluster, 60)
  t.ok((await differences(cluster)).length > 0)
  t.equal(await cluster.converge(2), Number.POSITIVE_INFINITY, 'it cannot be reached')
  cluster.away.clear()
  t.ok((await cluster.converge()) <= 3)
  t.strictSame(await differences(cluster), [])
  const [rig] = cluster.rigs
  const read = await cluster.rigs[1]!.node.read('d', rig!.object('o-big'))
  if (read?.body != null) t.equal((await wholeBody(read.body)).length, 200_000)
  await cluster.close()
})

t.test('negative control: without passes of the others it does not catch up', async (t) => {
  const cluster = await Cluster.open(4)
  cluster.away.add(1)
  await fill(cluster, 20)
  cluster.away.clear()
  for (let pass = 0; pass < 5; pass++) await cluster.replicator(1).pass()
  t.ok((await differences(cluster)).length > 0)
  await cluster.close()
})

t.test('a lost disk is filled again', async (t) => {
  const cluster = await Cluster.open(3)
  await fill(cluster, 40)
  await cluster.rigs[2]!.close()
  const empty = new EngineRig({ seed: 99 })
  await empty.open()
  cluster.rigs[2] = empty
  t.ok((await differences(cluster)).length > 0)
  t.ok((await cluster.converge()) <= 3)
  t.strictSame(await differences(cluster), [])
  t.equal((await empty.list()).length, (await cluster.rigs[0]!.list()).length)
  await cluster.close()
})

t.test('what a device holds for others goes to them, and then away', async (t) => {
  const cluster = await Cluster.open(5)
  await fill(cluster, 40)
  // A handoff copy of something the primaries do not have yet, and one of something older than they have.
  const rig = cluster.rigs[0]!
  const item = rig.object('handed')
  const outsider = cluster.rigs.findIndex(
    (_, id) => !primaries(cluster, item.placement).includes(id),
  )
  await cluster.rigs[outsider]!.node.write('d', rig.draft(item, 'put'), Buffer.from('x'))
  t.ok((await cluster.converge()) <= 3)
  t.strictSame(await differences(cluster), [])
  for (const id of primaries(cluster, item.placement)) {
    t.match(await cluster.nodeOf(id).read('d', item), { info: { bytes: 1 } })
  }
  // One of its devices is away: it keeps its copy.
  const late = rig.draft(item, 'put')
  await cluster.rigs[outsider]!.node.write('d', late, Buffer.from('xy'))
  cluster.away.add(primaries(cluster, item.placement)[1]!)
  await cluster.converge(2)
  t.match(await cluster.rigs[outsider]!.node.read('d', item), { info: { bytes: 2 } })
  cluster.away.clear()
  await cluster.converge()
  t.strictSame(await differences(cluster), [])
  await cluster.close()
})

t.test('another ring: everything moves to where it belongs, rows too', async (t) => {
  const cluster = await Cluster.open(5)
  await fill(cluster, 60)
  const old = cluster.placements[0]!.ring
  const next = ringOf(5, 1)
  const before = await Promise.all(cluster.rigs.map((rig) => rig.list().catch(() => [])))
  cluster.use(next, old)
  t.ok((await cluster.converge()) <= 3)
  // Both placements hold it now; the old one gives it away when the ring before is gone.
  cluster.use(next)
  t.ok((await cluster.converge()) <= 3)
  t.strictSame(await differences(cluster), [])
  const rig = cluster.rigs[0]!
  for (const id of primaries(cluster, rig.container.placement)) {
    t.equal(
      (await cluster.rigs[id]!.list()).length,
      before.reduce((most, { length }) => Math.max(most, length), 0),
    )
  }
  await cluster.close()
})

t.test('a damaged record is written again from a replica, with its own stamps', async (t) => {
  const cluster = await Cluster.open(3)
  await fill(cluster, 10)
  const rig = cluster.rigs[1]!
  const item = rig.object('o1')
  const { info } = (await rig.node.read('d', item))!
  await rig.reopen()
  const [place] = rig.find('body 1')
  rig.disk.flip(place!.path, place!.offset)
  await t.rejects(rig.node.read('d', item), { code: 'CorruptData' })
  t.equal(rig.device.damagedItems.size, 1)
  cluster.away.add(0).add(2)
  t.equal(await cluster.replicator(1).pass(), true)
  await t.rejects(rig.node.read('d', item), 'nobody to have it from')
  cluster.away.clear()
  await cluster.replicator(1).pass()
  const mended = (await rig.node.read('d', item))!
  t.equal(Buffer.from(mended.body as Uint8Array).toString(), 'body 1')
  t.equal(compareStamps(mended.info.ballot, info.ballot), 0)
  t.strictSame(mended.info, info)
  t.equal(rig.device.damagedItems.size, 0)
  await rig.rebuild()
  t.strictSame((await rig.node.read('d', item))!.info, info)
})

t.test('a newer record that nobody can read is settled over by what the others have', async (t) => {
  const cluster = await Cluster.open(3)
  const rig = cluster.rigs[0]!
  const item = rig.object('unreadable')
  const older = rig.draft(item, 'put')
  await cluster.write(older, 'old', [0, 1, 2])
  for (const id of [0, 1, 2]) {
    cluster.nodeOf(id).confirm('d', { kind: 'item', item, ballot: older.ballot })
  }
  // A write that only one replica took, and whose record rots there.
  await cluster.write(rig.draft(item, 'put'), 'the lost body', [0])
  await rig.reopen()
  const [place] = rig.find('the lost body')
  rig.disk.flip(place!.path, place!.offset)
  await t.rejects(rig.node.read('d', item), { code: 'CorruptData' })
  await cluster.converge(3)
  for (const id of [1, 2]) {
    const found = await cluster.nodeOf(id).unconfirmed('d', { ageMs: 0, limit: 10 })
    t.match(found, [{ info: { name: item.name }, refused: true }], `node ${id} has it settled`)
  }
  const { writeId, stamp: metaStamp } = older
  const record = { metaStamp, deleted: false, bytes: 3, dependent: false }
  const again = { ...older, action: 'accept', ballot: rig.stamp(), writeId, record } as const
  await cluster.write(again, 'old', [1, 2])
  t.ok((await cluster.converge()) <= 4)
  t.match(await rig.node.read('d', item), { info: { writeId } })
  t.equal(rig.device.damagedItems.size, 0)
  t.strictSame(await differences(cluster), [])
  // The log still holds the damage, which a check would tell of.
  for (const each of cluster.rigs) await each.close()
})

t.test('what a promise to somebody who is gone keeps out is left to the settlers', async (t) => {
  const cluster = await Cluster.open(3)
  const rig = cluster.rigs[0]!
  const item = rig.object('promised')
  const write = rig.draft(item, 'put')
  await cluster.write(write, 'x', [0, 1])
  for (const id of [0, 1])
    cluster.nodeOf(id).confirm('d', { kind: 'item', item, ballot: write.ballot })
  await cluster.nodeOf(2).prepare('d', item, rig.stamp())
  t.equal(await cluster.converge(3), Number.POSITIVE_INFINITY, 'it goes on trying')
  t.equal(await cluster.nodeOf(2).read('d', item), null)
  for (const id of [0, 1]) {
    const found = await cluster.nodeOf(id).unconfirmed('d', { ageMs: 0, limit: 10 })
    t.match(
      found,
      [{ kind: 'item', info: { name: item.name }, refused: true }],
      `node ${id} has it settled`,
    )
  }
  // As a settler does: the same record under a ballot above the promise.
  const { stamp: metaStamp, writeId } = write
  const record = { metaStamp, deleted: false, bytes: 1, dependent: false }
  const again = { ...write, action: 'accept', ballot: rig.stamp(), writeId, record } as const
  await cluster.write(again, 'x', [0, 1])
  t.ok((await cluster.converge()) <= 3)
  t.match(await cluster.nodeOf(2).read('d', item), { info: { writeId } })
  t.strictSame(await differences(cluster), [])
  await cluster.close()
})

/** Every question that is part of a quorum is refused. */
async function refusesToVote(rig: EngineRig, name: string): Promise<boolean> {
  const item = rig.object(name)
  const questions = [
    () => rig.node.read('d', item),
    () => rig.node.prepare('d', item, rig.stamp()),
    () => rig.put(name, 'late'),
    () => rig.putBlob(name, Buffer.alloc(70_000)),
    () => rig.putRow(name),
    () => rig.list(),
  ]
  const codes = await Promise.all(
    questions.map((ask) => ask().then(String, (error: { code?: string }) => error.code)),
  )
  if (rig.node.readNow('d', item) !== undefined) codes.push('readNow')
  const wrong = codes.filter((code) => code !== 'Learning')
  if (wrong.length > 0 && wrong.length < codes.length) throw new Error(`some vote: ${codes}`)
  return wrong.length === 0
}

const OPERATION_MS_MAX = 90_000

t.test(
  'who has lost a stretch of the log with the index does not vote before it has learned',
  async (t) => {
    const cluster = await Cluster.open(3, { learns: { newDisks: new Set<string>() } })
    const [rig, other, third] = cluster.rigs as [EngineRig, EngineRig, EngineRig]
    await fill(cluster, 10)
    // Acknowledged by two of three.
    const item = rig.object('lost')
    await cluster.write(rig.draft(item, 'put'), 'precious', [0, 1])
    await other.roll()
    for (const { path, offset } of other.find(Buffer.from(item.name))) other.disk.flip(path, offset)
    t.notOk(await refusesToVote(other, 'o1'), 'the index knows what is lost')
    await t.rejects(other.node.read('d', item), { code: 'CorruptData' })
    await other.rebuild()
    t.ok(await refusesToVote(other, 'lost'))
    t.ok(await refusesToVote(other, 'o1'), 'it may have been anything')
    t.match(
      (await other.node.status())[0]?.reason,
      /learns from its replicas: bytes \d+ to \d+ of segment/,
    )
    await other.reopen()
    t.ok(await refusesToVote(other, 'lost'), 'a restart does not help')
    // One replica is not enough: the record may have been acknowledged with the one that is away.
    cluster.away.add(0)
    await cluster.converge(2)
    for (const each of cluster.rigs) each.clock.advance(OPERATION_MS_MAX)
    await cluster.converge(2)
    t.ok(await refusesToVote(other, 'lost'))
    cluster.away.clear()
    await cluster.converge()
    t.equal(await other.get('lost'), 'precious')
    t.equal(await third.get('lost'), 'precious')
    t.notOk(await refusesToVote(other, 'o1'))
    t.match((await other.node.status())[0]?.reason, /^$/)
    await other.reopen()
    t.equal(await other.get('lost'), 'precious', 'and it has been noted')
    for (const each of cluster.rigs) await each.close()
  },
)

t.test('it also waits until nothing can count on what it had promised', async (t) => {
  const cluster = await Cluster.open(3, { learns: { newDisks: new Set<string>() } })
  const [, rig] = cluster.rigs as [EngineRig, EngineRig]
  await fill(cluster, 5)
  await cluster.converge()
  await rig.roll()
  await cluster.converge(2)
  rig.disk.flip(rig.pathOf(rig.segments()[0]!), 4096 + 130)
  await rig.rebuild()
  await cluster.converge(4)
  t.ok(await refusesToVote(rig, 'o1'), 'it holds everything, but it is too early')
  rig.clock.advance(OPERATION_MS_MAX)
  t.notOk(await refusesToVote(rig, 'o1'))
  for (const each of cluster.rigs) await each.close()
})

t.test(
  'an empty disk in a new cluster has nothing to learn; one in the place of another has',
  async (t) => {
    const learns = { newDisks: new Set(['d']) }
    const cluster = await Cluster.open(3, { learns })
    t.ok(await refusesToVote(cluster.rigs[0]!, 'x'), 'before anybody was asked')
    for (const index of [0, 1, 2]) await cluster.replicator(index).pass()
    for (const rig of cluster.rigs) t.notOk(await refusesToVote(rig, 'x'))
    await fill(cluster, 10)
    await cluster.rigs[2]!.close()
    const empty = new EngineRig({ seed: 99, learns })
    await empty.open()
    cluster.rigs[2] = empty
    await cluster.converge(3)
    t.ok(await refusesToVote(empty, 'o1'))
    empty.clock.advance(OPERATION_MS_MAX)
    await cluster.converge(3)
    t.notOk(await refusesToVote(empty, 'o1'))
    t.equal(await empty.get('o2'), 'body 2')
    for (const each of cluster.rigs) await each.close()
  },
)

const WEEK_MS = 7 * 24 * 3600 * 1000

/** Passes of replicators that remember the passes before. */
async function passes(cluster: Cluster, count: number): Promise<void> {
  for (let pass = 0; pass < count; pass++) {
    for (const rig of cluster.rigs) rig.clock.advance(7 * 3600 * 1000)
    for (const [index, replicator] of cluster.replicators.entries()) {
      if (!cluster.away.has(index)) await replicator.pass()
    }
  }
}

/** What each node holds of the object, and of its row. */
async function heldBy(cluster: Cluster, name: string): Promise<readonly string[]> {
  return Promise.all(
    cluster.rigs.map(async (rig) => {
      const { kind, policy, hash, placement } = rig.object(name)
      const query = { kind, policy, items: [{ hash, placement }] }
      const [item] = await rig.node.held('d', query)
      const [row] = await rig.node.heldRows('d', rig.container, [name])
      const text = item == null ? 'nothing' : item.deleted ? 'tombstone' : 'object'
      return row === null ? text : `${text} and row`
    }),
  )
}

/** Something young on every node, so that they know by somebody else's clock how late it is. */
async function tick(cluster: Cluster): Promise<void> {
  const rig = cluster.rigs[0]!
  const row = rig.row('tick')
  await cluster.write(rig.draft(rig.object('tick'), 'put'), 'x', [0, 1, 2])
  for (const id of [0, 1, 2]) await cluster.nodeOf(id).putRow('d', rig.container, row)
}

t.test(
  'a deletion is forgotten when all replicas have known it for long enough, and by all',
  async (t) => {
    const cluster = await Cluster.open(3)
    const [rig] = cluster.rigs as [EngineRig]
    await cluster.write(rig.draft(rig.container, 'put'), null, [0, 1, 2])
    const item = rig.object('dead')
    await cluster.write(rig.draft(item, 'put'), 'x', [0, 1, 2])
    cluster.away.add(2)
    const deletion = rig.draft(item, 'delete')
    await cluster.write(deletion, null, [0, 1])
    const row = { ...rig.row('dead', { deleted: true }), ballot: deletion.stamp }
    for (const id of [0, 1]) await cluster.nodeOf(id).putRow('d', rig.container, row)
    for (const each of cluster.rigs) each.clock.advance(WEEK_MS)
    await passes(cluster, 4)
    for (const id of [0, 1]) {
      cluster.nodeOf(id).confirm('d', { kind: 'item', item, ballot: deletion.ballot })
    }
    await passes(cluster, 2)
    const known = 'tombstone and row'
    t.strictSame(
      await heldBy(cluster, 'dead'),
      [known, known, 'object'],
      'one does not know it yet',
    )
    cluster.away.clear()
    await passes(cluster, 2)
    t.strictSame(
      await heldBy(cluster, 'dead'),
      [known, known, known],
      'by its own clock it may be too young',
    )
    await tick(cluster)
    for (const each of cluster.rigs) await each.roll()
    await passes(cluster, 4)
    for (const each of cluster.rigs) {
      each.node.confirm('d', { kind: 'item', item, ballot: deletion.ballot })
    }
    await passes(cluster, 4)
    t.strictSame(await heldBy(cluster, 'dead'), ['nothing', 'nothing', 'nothing'])
    const reclaimed = cluster.replicators.map(({ counters }) => counters.reclaimed)
    t.strictSame(reclaimed, [2, 2, 2], 'object and row, once on each')
    for (const [index, each] of cluster.rigs.entries()) {
      await cluster.rebuild(index)
      t.equal(await each.get('dead'), null, 'also by the log alone')
    }
    await passes(cluster, 2)
    t.strictSame(await heldBy(cluster, 'dead'), ['nothing', 'nothing', 'nothing'])
    await cluster.close()
  },
)

t.test(
  'negative control: forgotten by age alone, a deletion is undone by who was away',
  async (t) => {
    for (const reclaimsAlone of [false, true]) {
      const cluster = await Cluster.open(3)
      const [rig] = cluster.rigs as [EngineRig]
      const item = rig.object('dead')
      await cluster.write(rig.draft(item, 'put'), 'x', [0, 1, 2])
      cluster.away.add(2)
      await cluster.write(rig.draft(item, 'delete'), null, [0, 1])
      for (const each of cluster.rigs) each.clock.advance(WEEK_MS + 1000)
      for (const each of cluster.rigs.slice(0, 2)) {
        for (let round = 0; round < 4; round++) {
          await each.roll()
          await each.compact(each.segments()[0]!, { reclaimAgeMs: WEEK_MS, reclaimsAlone })
        }
      }
      cluster.away.clear()
      await passes(cluster, 3)
      const found = await Promise.all(cluster.rigs.map((each) => each.get('dead')))
      t.strictSame(found, reclaimsAlone ? ['x', 'x', 'x'] : [null, null, null])
      for (const each of cluster.rigs) await each.close()
    }
  },
)

t.test('a clock that jumps ahead makes no deletion old', async (t) => {
  const cluster = await Cluster.open(3)
  const [rig] = cluster.rigs as [EngineRig]
  const item = rig.object('dead')
  await cluster.write(rig.draft(item, 'delete'), null, [0, 1, 2])
  for (const each of cluster.rigs) await each.roll()
  cluster.rigs[0]!.clock.advance(2 * WEEK_MS)
  for (let pass = 0; pass < 3; pass++) {
    for (const replicator of cluster.replicators) await replicator.pass()
  }
  const [oldest] = rig.segments()
  await rig.compact(oldest!, { reclaimAgeMs: WEEK_MS })
  t.strictSame(await heldBy(cluster, 'dead'), ['tombstone', 'tombstone', 'tombstone'])
  await cluster.close()
})

t.test(
  'what a lost stretch of the log had deleted long ago does not come to light again',
  async (t) => {
    const cluster = await Cluster.open(3, { learns: { newDisks: new Set<string>() } })
    const [, rig] = cluster.rigs as [EngineRig, EngineRig]
    const item = rig.object('dead')
    await cluster.write(rig.draft(item, 'put'), 'x', [0, 1, 2])
    await rig.roll()
    const segment = rig.pathOf(rig.segments()[0]!)
    const deletion = rig.draft(item, 'delete')
    await cluster.write(deletion, null, [0, 1, 2])
    for (const each of cluster.rigs) {
      each.node.confirm('d', { kind: 'item', item, ballot: deletion.ballot })
      each.clock.advance(WEEK_MS + 60_000)
    }
    await tick(cluster)
    await passes(cluster, 8)
    t.strictSame(await heldBy(cluster, 'dead'), ['nothing', 'nothing', 'nothing'])
    await rig.roll()
    // Until none is left: a segment may hold the tombstone and the note that it was given up.
    const hash = Buffer.from(item.hash, 'latin1')
    const damage = () => rig.find(hash).find(({ path }) => path !== segment)
    for (let found = damage(); found !== undefined; found = damage()) {
      rig.disk.flip(found.path, found.offset)
    }
    await cluster.rebuild(1)
    t.strictSame(await heldBy(cluster, 'dead'), ['nothing', 'object', 'nothing'], 'the log has it')
    await passes(cluster, 4)
    t.strictSame(await heldBy(cluster, 'dead'), ['nothing', 'nothing', 'nothing'])
    t.notOk(await refusesToVote(rig, 'o1'))
    for (const each of cluster.rigs) await each.close()
  },
)

/** A stretch of the node's log is lost, and its index with it. */
async function loseStretch(cluster: Cluster, index: number): Promise<void> {
  const rig = cluster.rigs[index]!
  await rig.put('lost', 'x')
  await rig.roll()
  for (const { path, offset } of rig.find(Buffer.from(rig.object('lost').name))) {
    rig.disk.flip(path, offset)
  }
  await cluster.rebuild(index)
}

t.test('nor do rows come to light again that it had deleted', async (t) => {
  const cluster = await Cluster.open(3, { learns: { newDisks: new Set<string>() } })
  const [, rig] = cluster.rigs as [EngineRig, EngineRig]
  await cluster.write(rig.draft(rig.container, 'put'), null, [0, 1, 2])
  // What all others have forgotten, and what one of them has still.
  const [dead, alive] = [rig.row('dead'), rig.row('alive')]
  await rig.node.putRows('d', rig.container, [dead, alive])
  await cluster.nodeOf(2).putRows('d', rig.container, [alive])
  for (const each of cluster.rigs) each.clock.advance(WEEK_MS + 60_000)
  await tick(cluster)
  await loseStretch(cluster, 1)
  await passes(cluster, 4)
  for (const each of cluster.rigs) t.strictSame((await each.list()).sort(), ['alive', 'tick'])
  t.notOk(await refusesToVote(rig, 'o1'))
  for (const each of cluster.rigs) await each.close()
})

t.test('what a majority of the ring before a move may have is not given up', async (t) => {
  const cluster = await Cluster.open(4, { learns: { newDisks: new Set<string>() } })
  const { ring } = cluster.placements[0]!
  cluster.use(ringOf(4, 1), ring)
  const name = Array.from({ length: 99 }, (_, index) => `o${index}`).find(
    (each) => primaries(cluster, cluster.rigs[0]!.object(each).placement)[0] === 1,
  )!
  const item = cluster.rigs[0]!.object(name)
  const { placement } = item
  t.strictSame(
    ring.primaries(ring.partitionOf(placement)).map(({ id }) => id),
    [0, 1, 2],
  )
  t.strictSame(primaries(cluster, placement), [1, 2, 3])
  // Acknowledged by a majority of both rings, of which one is away and the other has lost some of its memory.
  await cluster.write(cluster.rigs[0]!.draft(item, 'put'), 'x', [1, 2])
  for (const each of cluster.rigs) each.clock.advance(WEEK_MS + 60_000)
  await cluster.write(cluster.rigs[0]!.draft(cluster.rigs[0]!.object('tick'), 'put'), 'x', [1])
  await loseStretch(cluster, 1)
  cluster.away.add(2)
  await passes(cluster, 4)
  t.equal((await cluster.nodeOf(1).held('d', { ...item, items: [item] }))[0]?.deleted, false)
  cluster.away.clear()
  for (const each of cluster.rigs) await each.close()
})

t.test('a promise from before its loss does not keep a device from learning', async (t) => {
  const cluster = await Cluster.open(3, { learns: { newDisks: new Set<string>() } })
  const [, rig] = cluster.rigs as [EngineRig, EngineRig]
  const item = rig.object('promised')
  await rig.put('lost', 'x')
  const write = rig.draft(item, 'put')
  await cluster.write(write, 'x', [0, 2])
  await rig.node.prepare('d', item, rig.stamp())
  await rig.roll()
  for (const { path, offset } of rig.find(Buffer.from(rig.object('lost').name))) {
    rig.disk.flip(path, offset)
  }
  await rig.rebuild()
  await cluster.converge(3)
  t.ok(await refusesToVote(rig, 'promised'))
  rig.clock.advance(OPERATION_MS_MAX)
  await cluster.converge(4)
  t.equal(await rig.get('promised'), 'x')
  for (const each of cluster.rigs) await each.close()
})

t.test('digests count rows that came before the register of their list', async (t) => {
  const cluster = await Cluster.open(3)
  const [rig, other] = cluster.rigs as [EngineRig, EngineRig]
  const container = rig.draft(rig.container, 'put')
  const row = rig.row('early')
  const query = { kind: 'container', policy: 0, partPower: PART_POWER } as const
  const digests = (each: EngineRig) => each.node.digests('d', query)
  await rig.node.putRows('d', rig.container, [row])
  t.strictSame(await digests(rig), [], 'rows alone are nothing that others lack')
  await rig.node.write('d', container, null)
  await other.node.write('d', container, null)
  await other.node.putRows('d', rig.container, [row])
  t.strictSame(await digests(rig), await digests(other))
  await rig.node.putRows('d', rig.container, [rig.row('late')])
  const before = await digests(rig)
  t.not(JSON.stringify(before), JSON.stringify(await digests(other)))
  await rig.reopen()
  t.strictSame(await digests(rig), before, 'as a scan counts them')
  await cluster.close()
})

t.test(
  'a list that was given away takes no rows, and is not given away with rows in it',
  async (t) => {
    const cluster = await Cluster.open(1)
    const rig = cluster.rigs[0]!
    await rig.node.write('d', rig.draft(rig.container, 'put'), null)
    const entry = {
      kind: 1,
      policy: 0,
      placement: rig.container.placement,
      hash: rig.container.hash,
    }
    const held = (await rig.node.read('d', rig.container, { head: true }))!.info.ballot
    const row = rig.row('r')
    await rig.node.putRows('d', rig.container, [row])
    t.equal(await rig.shard.release(entry, held), false, 'a row came after the look at all rows')
    t.equal(await rig.shard.releaseRow(rig.container, row.name, row.ballot), true)
    const releasing = rig.shard.release(entry, held)
    await rig.node.putRows('d', rig.container, [rig.row('while')])
    t.equal(await releasing, true)
    await rig.node.putRows('d', rig.container, [rig.row('after')])
    rig.clock.advance(60_000)
    t.strictSame(await rig.node.unconfirmed('d', { ageMs: 0, limit: 10 }), [])
    // Should the ring bring it back, nothing of old comes to light.
    await rig.node.write('d', rig.draft(rig.container, 'put'), null)
    t.strictSame(await rig.list(), [])
    await cluster.close()
  },
)

/** Five nodes, the container on its primaries with these rows, and a node that is none of them. */
async function withOutsider(rows: readonly string[]) {
  const cluster = await Cluster.open(5)
  const rig = cluster.rigs[0]!
  const holders = primaries(cluster, rig.container.placement)
  await cluster.write(rig.draft(rig.container, 'put'), null, holders)
  for (const name of rows) {
    const row = rig.row(name)
    for (const id of holders) await cluster.nodeOf(id).putRow('d', rig.container, row)
  }
  const outsider = cluster.rigs.findIndex((_, id) => !holders.includes(id))
  const node = () => cluster.rigs[outsider]!.node
  const heldBy = (id: number, names: readonly string[]) =>
    cluster.rigs[id]!.node.heldRows('d', rig.container, names)
  const doubts = async () => (await node().unconfirmed('d', { ageMs: 0, limit: 100 })).length
  return { cluster, rig, holders, outsider, node, heldBy, doubts }
}

t.test('rows without their list go to those who hold it, and only then away', async (t) => {
  for (const isPromised of [false, true]) {
    const rigs = await withOutsider(['newer'])
    const { cluster, rig, holders, outsider, node, heldBy, doubts } = rigs
    const [newer] = await heldBy(holders[0]!, ['newer'])
    if (isPromised) await node().prepare('d', rig.container, rig.stamp())
    const old = { ...rig.row('newer'), ballot: { ...newer!, ticks: newer!.ticks - 1 } }
    const alone = rig.row('alone')
    const deleted = rig.row('deleted', { deleted: true })
    const names = ['newer', 'alone', 'deleted']
    await node().putRows('d', rig.container, [old, alone, deleted])
    node().confirm('d', { kind: 'row', list: rig.container, name: 'alone', ballot: alone.ballot })
    t.equal(await doubts(), 3, 'whatever says that they are settled')
    await cluster.rigs[outsider]!.rebuild()
    t.equal(await doubts(), 3, 'by their records, too')
    cluster.away.add(holders[1]!)
    t.equal(await cluster.converge(2), Number.POSITIVE_INFINITY)
    t.strictSame(await heldBy(outsider, names), [old.ballot, alone.ballot, deleted.ballot])
    cluster.away.clear()
    t.ok((await cluster.converge()) <= 3)
    for (const id of holders) {
      t.strictSame(await heldBy(id, names), [newer, alone.ballot, deleted.ballot], `node ${id}`)
    }
    t.strictSame(await heldBy(outsider, names), [null, null, null])
    t.equal(await doubts(), 0)
    await cluster.rigs[outsider]!.rebuild()
    t.strictSame(await heldBy(outsider, names), [null, null, null], 'for good')
    t.strictSame(await differences(cluster), [])
    await cluster.close()
  }
})

t.test('rows without their list stay until the last device of it has them', async (t) => {
  const cluster = await Cluster.open(5)
  const rig = cluster.rigs[0]!
  const holders = primaries(cluster, rig.container.placement)
  await cluster.write(rig.draft(rig.container, 'put'), null, holders.slice(0, 2))
  const outsider = cluster.rigs.findIndex((_, id) => !holders.includes(id))
  const row = rig.row('left')
  const heldBy = (id: number) => cluster.nodeOf(id).heldRows('d', rig.container, ['left'])
  await cluster.nodeOf(outsider).putRows('d', rig.container, [row])
  for (const each of cluster.rigs) each.clock.advance(10_000)
  t.equal(await cluster.replicator(outsider).pass(), true)
  t.strictSame(await heldBy(holders[0]!), [row.ballot])
  t.strictSame(await heldBy(holders[2]!), [null], 'it has not come to the list yet')
  t.strictSame(await heldBy(outsider), [row.ballot])
  t.ok((await cluster.converge()) <= 4)
  for (const id of holders) t.strictSame(await heldBy(id), [row.ballot])
  t.strictSame(await heldBy(outsider), [null])
  t.strictSame(await differences(cluster), [])
  await cluster.close()
})

t.test(
  'rows whose list rotted away are in doubt, though they were written as settled',
  async (t) => {
    const { cluster, rig, holders, outsider, node, heldBy } = await withOutsider([])
    const each = cluster.rigs[outsider]!
    const left = rig.row('left')
    const doubtedRows = async () =>
      (await node().unconfirmed('d', { ageMs: 0, limit: 100 })).filter(({ kind }) => kind === 'row')
    // From when it was one of the list's devices.
    await node().write('d', rig.draft(rig.container, 'put'), null)
    await each.roll()
    await node().putRows('d', rig.container, [left])
    t.strictSame(await doubtedRows(), [])
    await each.close()
    const [place] = each.find(rig.container.name)
    each.disk.flip(place!.path, place!.offset)
    each.store.wipe()
    await each.open()
    t.equal(await node().read('d', rig.container), null)
    t.match(await doubtedRows(), [{ row: { name: 'left' } }])
    t.ok((await cluster.converge()) <= 4)
    t.strictSame(await heldBy(outsider, ['left']), [null])
    for (const id of holders) t.strictSame(await heldBy(id, ['left']), [left.ballot])
    // The log still holds the damage, which a check would tell of.
    for (const other of cluster.rigs) await other.close()
  },
)

t.test('rows of a list that none of its devices shows are let go, and go nowhere', async (t) => {
  const { cluster, rig, holders, outsider, node, heldBy, doubts } = await withOutsider([])
  const remove = rig.draft(rig.container, 'delete')
  await cluster.write(remove, null, holders)
  await node().putRows('d', rig.container, [rig.row('left')])
  cluster.away.add(holders[2]!)
  await cluster.converge(2)
  t.equal(await doubts(), 1, 'as long as one of them has not said so')
  cluster.away.clear()
  t.ok((await cluster.converge()) <= 3)
  t.equal(await doubts(), 0)
  for (const id of [...holders, outsider]) t.strictSame(await heldBy(id, ['left']), [null])
  await cluster.close()
})

t.test(
  'old rows that nobody else remembers do not come back by a device without the list',
  async (t) => {
    const { cluster, rig, holders, outsider, node, heldBy } = await withOutsider(['known'])
    const [known] = await heldBy(holders[0]!, ['known'])
    await node().putRows('d', rig.container, [
      rig.row('forgotten'),
      { ...rig.row('known'), ballot: known! },
    ])
    for (const each of cluster.rigs) each.clock.advance(6 * 24 * 3600 * 1000)
    t.ok((await cluster.converge()) <= 3)
    for (const id of holders) {
      t.strictSame(await heldBy(id, ['known', 'forgotten']), [known, null], `node ${id}`)
    }
    t.strictSame(await heldBy(outsider, ['known', 'forgotten']), [null, null])
    await cluster.close()
  },
)

t.test('rows that come to a device of the list before the list wait for it in doubt', async (t) => {
  const cluster = await Cluster.open(3)
  const [rig, other] = cluster.rigs as [EngineRig, EngineRig]
  const container = rig.draft(rig.container, 'put')
  const early = rig.row('early')
  await rig.node.putRows('d', rig.container, [early])
  await other.node.write('d', container, null)
  const confirm = () =>
    rig.node.confirm('d', { kind: 'row', list: rig.container, name: 'early', ballot: early.ballot })
  const doubted = async () =>
    (await rig.node.unconfirmed('d', { ageMs: 0, limit: 9 })).filter(({ kind }) => kind === 'row')
  confirm()
  t.match(await doubted(), [{ row: { name: 'early' } }])
  t.ok((await cluster.converge()) <= 4)
  t.strictSame(await rig.list(), ['early'])
  t.match(await doubted(), [{ row: { name: 'early' } }])
  confirm()
  t.strictSame(await doubted(), [])
  t.strictSame(await differences(cluster), [])
  await cluster.close()
})

t.test('what was deleted and forgotten everywhere is not brought back by a handoff', async (t) => {
  const cluster = await Cluster.open(5)
  const rig = cluster.rigs[0]!
  const item = rig.object('dead')
  const outsider = cluster.rigs.findIndex(
    (_, id) => !primaries(cluster, item.placement).includes(id),
  )
  await cluster.rigs[outsider]!.node.write('d', rig.draft(item, 'put'), Buffer.from('x'))
  for (const each of cluster.rigs) each.clock.advance(8 * 24 * 3600 * 1000)
  await cluster.converge(3)
  for (const id of primaries(cluster, item.placement)) {
    t.equal(await cluster.nodeOf(id).read('d', item), null)
  }
  await cluster.close()
})

t.test('the partners of a new disk begin with different partitions', async (t) => {
  const ring = ringOver(onLoopback([6200, 6201, 6202]), { replicas: 3, partPower: 4, device: 'd' })
  const placement: Placement = { kind: 'object', policy: 0, ring, previous: null }
  const held = Array.from({ length: 16 }, (_, partition) => partition)
  const plans = [6200, 6201].map(
    (port) =>
      planReplication(placement, `127.0.0.1:${port}/d`, held).byPeer.get('127.0.0.1:6202/d')!,
  )
  const [one, other] = plans.map(({ partitions }) => partitions)
  t.strictSame(
    [...one!].sort((a, b) => a - b),
    held,
    'each of them looks at all',
  )
  t.strictSame(
    [...other!].sort((a, b) => a - b),
    held,
  )
  // Of two thirds of the partitions the one is the first, of one third the other.
  t.equal(new Set([...one!.slice(0, 11), ...other!.slice(0, 5)]).size, 16)
  t.strictSame(planReplication(placement, '127.0.0.1:6299/d', held), {
    byPeer: new Map(),
    handoffs: held,
  })
})

t.test(
  'what leaves a device arrives, however young, and however busy its container is',
  async (t) => {
    const cluster = await Cluster.open(4)
    const rig = cluster.rigs[0]!
    const before = ringOf(4)
    const container = rig.draft(rig.container, 'put')
    await cluster.write(container, null, primaries(cluster, rig.container.placement))
    const items = Array.from({ length: 40 }, (_, index) => rig.object(`o${index}`))
    for (const item of items) {
      await cluster.write(rig.draft(item, 'put'), 'body', primaries(cluster, item.placement))
    }
    const addRow = async (name: string, ids: readonly number[]) => {
      const row = rig.row(name)
      for (const id of ids) await cluster.nodeOf(id).putRow('d', rig.container, row)
    }
    const list = before.partitionOf(rig.container.placement)
    await addRow('first', primaries(cluster, rig.container.placement))
    const after = ringOf(4, 1)
    cluster.use(after, before)
    const movesOf = (id: number) =>
      (['container', 'object'] as const).flatMap((kind) =>
        Array.from({ length: 2 ** PART_POWER }, (_, partition) => partition)
          .filter((partition) => before.primaries(partition).some((device) => device.id === id))
          .map((partition) => ({ kind, policy: 0, partition, since: 1 })),
      )
    const away = after
      .primaries(list)
      .find(({ id }) => !before.primaries(list).some((device) => device.id === id))!.id
    cluster.away.add(away)
    const arrivals = cluster.replicators.map(({ arrivals: of }) => of)
    const arrivedAt = async (id: number) => {
      let arrived: readonly boolean[] = []
      for (let tries = 0; tries < 200; tries++) {
        arrived = arrivals[id]!.want('d', movesOf(id))
        if (arrived.every(Boolean)) break
        await new Promise((resolve) => setImmediate(resolve))
        cluster.rigs[id]!.clock.advance(1_000)
      }
      return arrived
    }
    const mover = before.primaries(list)[0]!.id
    t.ok((await arrivedAt(mover)).includes(false), 'not while one of the devices is away')
    cluster.away.delete(away)
    // A row comes with every step: no two devices are ever equal.
    let rows = 0
    const busy = setInterval(() => void addRow(`busy ${rows++}`, [mover]), 0)
    for (const id of cluster.rigs.keys()) {
      t.ok((await arrivedAt(id)).every(Boolean), `node ${id} has brought over what it had`)
    }
    clearInterval(busy)
    t.ok(rows > 0)
    for (const item of items) {
      for (const { id } of after.primaries(after.partitionOf(item.placement))) {
        const read = await cluster.nodeOf(id).read('d', item)
        t.equal((await wholeBody(read!.body!)).toString(), 'body', `${item.name} at ${id}`)
      }
    }
    const page = await cluster.nodeOf(away).list('d', rig.container, { limit: 10 })
    t.ok(page!.entries.some((entry) => 'name' in entry && entry.name === 'first'))
    for (const of of arrivals) await of.stop()
    await cluster.close()
  },
)
