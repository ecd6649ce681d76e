/** What replication sees of a device: digests, what is held, whole records taken in, and records given away. */
import t from 'tap'
import { ITEM_KINDS } from '../common/item.ts'
import type { DigestQuery, PartitionDigest } from '../common/storage-node.ts'
import { EngineRig } from '../test/support/engine-rig.ts'
import { seededRandom } from '../test/support/seeded-random.ts'
import { type EntrySlot, Memtable, type RegisterId } from './engine/memtable.ts'
import { PartitionDigests } from './engine/partition-digests.ts'
import { itemsOf, rowsOf } from './replica-view.ts'

const OBJECTS: DigestQuery = { kind: 'object', policy: 0, partPower: 3 }
const LISTS: DigestQuery = { kind: 'container', policy: 0, partPower: 3 }

async function digests(rig: EngineRig, query: DigestQuery): Promise<readonly PartitionDigest[]> {
  const found = await rig.node.digests('d', query)
  return [...found].sort((a, b) => a.partition - b.partition)
}

/** The same from a new scan of the index. */
async function recomputed(rig: EngineRig, query: DigestQuery): Promise<readonly PartitionDigest[]> {
  const { policy, partPower } = query
  const of = { kind: ITEM_KINDS.indexOf(query.kind), policy, partPower }
  const found = await new PartitionDigests().read(of, rig.device.digestSource)
  return found
    .map(({ partition, items, leaves }) => ({ partition, items, leaves: leaves.map(String) }))
    .sort((a, b) => a.partition - b.partition)
}

async function itemCount(rig: EngineRig, kind = 'object' as const): Promise<number> {
  let count = 0
  const range = { kind: ITEM_KINDS.indexOf(kind), policy: 0, from: 0, to: 2 ** 32 }
  for await (const page of itemsOf(rig.device, range)) count += page.length
  return count
}

t.test(
  'registers of a memtable are found by their placement, those that come later too',
  async (t) => {
    const random = seededRandom(11)
    const memtable = new Memtable()
    const all: RegisterId[] = []
    const entry = { before: null } as unknown as EntrySlot
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 50; i++) {
        const [kind, policy] = [1 + random.below(2), random.below(2)]
        const placement = random.chance(0.1) ? 2 ** 32 - 1 - random.below(2) : random.below(2 ** 32)
        const id = { kind, policy, placement, hash: `h${all.length}` }
        all.push(id)
        memtable.entries.set(id.hash, { ...entry, id })
      }
      for (const partPower of [0, 3, 12, 20]) {
        const size = 2 ** (32 - partPower)
        const from = Math.floor(random.pick(all)!.placement / size) * size
        const range = { kind: 1 + random.below(2), policy: random.below(2), from, to: from + size }
        const wanted = all.filter(
          ({ kind, policy, placement }) =>
            kind === range.kind &&
            policy === range.policy &&
            placement >= from &&
            placement < range.to,
        )
        const found = [...memtable.placed.in(range)]
        t.strictSame(new Set(found), new Set(wanted))
        t.equal(found.length, wanted.length)
      }
    }
  },
)

t.test(
  'digests that follow every change are those of a new scan, also after a crash',
  async (t) => {
    const rig = await EngineRig.start()
    const random = seededRandom(7)
    await digests(rig, OBJECTS)
    await digests(rig, LISTS)
    const before = new Map<string, string>()
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 20; i++) {
        const name = `o${random.below(60)}`
        const done = random.chance(0.3) ? rig.delete(name) : rig.put(name, `body ${round}`)
        await Promise.all([done, rig.putRow(name, { deleted: random.chance(0.3) })])
      }
      if (random.chance(0.3)) await rig.flush()
      for (const query of [OBJECTS, LISTS]) {
        // A scan during which things change.
        const [fresh] = await Promise.all([
          recomputed(rig, query),
          random.chance(0.3) ? rig.flush() : undefined,
        ])
        t.strictSame(await digests(rig, query), fresh)
        before.set(query.kind, JSON.stringify(fresh))
      }
      if (round % 5 === 4) {
        if (random.chance(0.5)) await rig.rebuild()
        else {
          rig.kill()
          await rig.open()
        }
        for (const query of [OBJECTS, LISTS]) {
          t.equal(JSON.stringify(await digests(rig, query)), before.get(query.kind))
        }
      }
    }
    await rig.close()
    t.strictSame((await rig.check()).problems, [])
  },
)

t.test('writes during the first scan are in the digests', async (t) => {
  const rig = await EngineRig.start()
  for (let i = 0; i < 500; i++) await rig.put(`o${i}`, 'x')
  await rig.flush()
  const reading = digests(rig, OBJECTS)
  const rows = digests(rig, LISTS)
  await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      Promise.all([rig.put(`o${i * 3}`, 'y'), rig.putRow(`r${i}`)]),
    ),
  )
  await Promise.all([reading, rows])
  t.strictSame(await digests(rig, OBJECTS), await recomputed(rig, OBJECTS))
  t.strictSame(await digests(rig, LISTS), await recomputed(rig, LISTS))
  t.equal(
    (await digests(rig, OBJECTS)).reduce((sum, { items }) => sum + items, 0),
    await itemCount(rig),
  )
  await rig.close()
})

t.test(
  'two devices that got the same records in another order have the same digests',
  async (t) => {
    const [a, b] = [await EngineRig.start(), await EngineRig.start({ seed: 2 })]
    const writes = Array.from({ length: 40 }, (_, i) => a.draft(a.object(`o${i % 25}`), 'put'))
    for (const write of writes) await a.node.write('d', write, Buffer.from('x'))
    for (const write of [...writes].reverse()) await b.node.write('d', write, Buffer.from('x'))
    t.strictSame(await digests(a, OBJECTS), await digests(b, OBJECTS))
    await b.node.write('d', a.draft(a.object('o3'), 'put'), Buffer.from('newer'))
    t.notSame(await digests(a, OBJECTS), await digests(b, OBJECTS))
    const finer = await a.node.digests('d', { ...OBJECTS, partPower: 7 })
    const coarse = await digests(a, OBJECTS)
    t.equal(
      finer.length,
      coarse.flatMap(({ leaves }) => leaves.filter((leaf) => !/^0+$/.test(leaf))).length,
    )
    await Promise.all([a.close(), b.close()])
  },
)

t.test('rows that a replica has are taken in whatever the state of their list', async (t) => {
  const rig = await EngineRig.start()
  await rig.node.write('d', rig.draft(rig.container, 'delete'), null)
  t.equal(await rig.putRow('late'), 'not-found')
  await rig.node.putRows('d', rig.container, [rig.row('late'), rig.row('gone', { deleted: true })])
  t.strictSame(
    (await rig.node.heldRows('d', rig.container, ['late', 'gone', 'never'])).map(
      (held) => held !== null,
    ),
    [true, true, false],
  )
  await rig.close()
  t.strictSame((await rig.check()).problems, [])
})

t.test('what was given away is as if it had never been here, also in a new index', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('o', 'old')
  const kept = (await rig.node.read('d', rig.object('o')))!.info
  await rig.roll()
  await rig.put('o', 'new')
  await rig.putBlob('big', Buffer.alloc(100_000, 3))
  await rig.putRow('r')
  await rig.putRow('q')
  const { shard } = rig
  const held = async (name: string) => (await rig.node.read('d', rig.object(name)))?.info
  const release = async (name: string) => {
    const info = (await held(name))!
    const { placement, hash } = rig.object(name)
    return rig.shard.release({ kind: 2, policy: 0, placement, hash }, info.ballot)
  }
  const { placement, hash } = rig.object('o')
  t.equal(
    await shard.release({ kind: 2, policy: 0, placement, hash }, kept.ballot),
    false,
    'not this one',
  )
  const back = (await rig.node.read('d', rig.object('o')))!
  const row = rig.device.shards.get(0)!.index.row(rig.container.hash, 'r')!
  t.equal(await release('o'), true)
  t.equal(await release('big'), true)
  t.equal(await shard.releaseRow(rig.container, 'r', row.ballot), true)
  const isGone = async () => {
    t.equal(await rig.get('o'), null)
    t.equal(await held('o'), undefined)
    t.equal(await rig.get('big'), null)
    t.strictSame(await rig.list(), ['q'])
    t.strictSame(await rig.node.heldRows('d', rig.container, ['r']), [null])
    const names = []
    for await (const page of rowsOf(rig.shard, rig.device.store, rig.container.hash)) {
      names.push(...page.map(({ name }) => name))
    }
    t.strictSame(names, ['q'])
    t.equal(await itemCount(rig), 1, 'the filler')
    t.strictSame(await digests(rig, OBJECTS), await recomputed(rig, OBJECTS))
  }
  await isGone()
  await rig.rebuild()
  await isGone()
  // Compaction takes the new record and the note of it; the old record must stay hidden.
  await rig.roll()
  for (const segmentId of rig.segments().slice(1, -1)) await rig.compact(segmentId)
  await rig.rebuild()
  await isGone()

  // And it may come back, under its own ballot.
  const { info, body } = back
  const { stamp, ballot, writeId, meta } = info
  const write = { item: rig.object('o'), action: 'put' as const, stamp, ballot, writeId, meta }
  const again = write
  t.match(await rig.node.write('d', again, body as Uint8Array), { status: 'done' })
  await rig.node.putRows('d', rig.container, [
    { ...rig.row('r'), stamp: row.stamp, metaStamp: row.stamp, ballot: row.ballot },
  ])
  const isBack = async () => {
    t.equal(await rig.get('o'), 'new')
    t.strictSame(await rig.list(), ['q', 'r'])
  }
  await isBack()
  await rig.rebuild()
  await isBack()
  await rig.roll()
  for (const segmentId of rig.segments().slice(0, -1)) await rig.compact(segmentId)
  await isBack()
  await rig.rebuild()
  await isBack()
  await rig.close()
  t.strictSame((await rig.check()).problems, [])
})
