/** What a promise of CASPaxos has to outlive: power cuts, a new index, compaction, a disk that fails in the middle. */
import t from 'tap'
import type { Stamp } from '../../common/stamp.ts'
import { SPACES } from '../../storage-node/engine/keys.ts'
import { EngineRig } from '../support/engine-rig.ts'

async function isRefused(rig: EngineRig, name: string, stamp: Stamp): Promise<boolean> {
  const outcome = await rig.put(name, 'late', { stamp, ballot: stamp })
  return outcome.status === 'superseded'
}

/** A name that was written before it was promised, and one that was never written. */
async function promised(
  rig: EngineRig,
): Promise<{ readonly early: Stamp; readonly ballot: Stamp }> {
  await rig.put('written', 'body')
  const early = rig.stamp()
  const ballot = rig.stamp()
  for (const name of ['written', 'unwritten']) {
    const outcome = await rig.node.prepare('d', rig.object(name), ballot)
    if (outcome.status !== 'promised') throw new Error('not promised')
  }
  return { early, ballot }
}

async function holds(rig: EngineRig, early: Stamp): Promise<string | null> {
  for (const name of ['written', 'unwritten']) {
    if (!(await isRefused(rig, name, early))) return `the promise of ${name} is gone`
  }
  if ((await rig.get('written')) !== 'body') return 'the record under the promise is gone'
  return (await rig.get('unwritten')) === null ? null : 'a promise shows something'
}

t.test('a promise outlives a power cut, with and without a flush before it', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const rig = await EngineRig.start({ seed })
    const { early } = await promised(rig)
    if (seed % 2 === 0) await rig.flush()
    rig.crash(seed)
    await rig.open()
    t.equal(await holds(rig, early), null, `seed ${seed}`)
    rig.kill()
    await rig.open()
    t.equal(await holds(rig, early), null, `seed ${seed}, killed as well`)
    await rig.close()
    t.strictSame((await rig.check()).problems, [], 'and the device is in order')
  }
})

t.test('a promise outlives the index', async (t) => {
  const rig = await EngineRig.start()
  const { early } = await promised(rig)
  await rig.rebuild()
  t.equal(await holds(rig, early), null)
  await rig.flush()
  await rig.rebuild()
  t.equal(await holds(rig, early), null)
  await rig.close()
})

t.test('a promise moves when its segment is compacted', async (t) => {
  const rig = await EngineRig.start()
  const { early, ballot } = await promised(rig)
  // Raised once more, so that the first promises are garbage.
  const higher = rig.stamp()
  await rig.node.prepare('d', rig.object('unwritten'), higher)
  for (let round = 0; round < 3; round++) {
    await rig.roll()
    const [oldest] = rig.segments()
    t.match(await rig.compact(oldest!, { reclaimAgeMs: 60_000 }), { freedBytes: Number })
    t.notOk(rig.segments().includes(oldest!), 'the segment is gone')
    t.equal(await holds(rig, early), null, `round ${round}`)
  }
  t.ok(await isRefused(rig, 'unwritten', ballot), 'the higher one counts')
  await rig.rebuild()
  t.equal(await holds(rig, early), null, 'in the log, not only in the index')
  t.ok(await isRefused(rig, 'unwritten', ballot))
  t.match(await rig.put('unwritten', 'x', { stamp: higher, ballot: higher }), { status: 'done' })
  await rig.close()
  t.strictSame((await rig.check()).problems, [])
})

t.test('what was promised long ago is forgotten, a tombstone with it', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('dead', 'x')
  await rig.delete('dead')
  const early = rig.stamp()
  const promise = (name: string) => rig.node.prepare('d', rig.object(name), rig.stamp())
  await promise('dead')
  await promise('nothing')
  const entries = () => rig.store.keys().filter((key) => key[0] === SPACES.entry).length
  await rig.roll()
  const before = entries()
  await rig.compact(rig.segments()[0]!, { reclaimAgeMs: 60_000 })
  t.equal(entries(), before, 'young ones stay')
  t.ok(await isRefused(rig, 'dead', early))
  rig.clock.advance(120_000)
  for (let round = 0; round < 3; round++) {
    await rig.roll()
    await rig.compact(rig.segments()[0]!, { reclaimAgeMs: 60_000 })
  }
  await rig.flush()
  t.equal(entries(), before - 2, 'nothing is left of either name')
  await rig.close()
  t.strictSame((await rig.check()).problems, [])
})

t.test('a promise that could not be made durable was not given', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('o', 'body')
  const early = rig.stamp()
  rig.disk.fail({ call: 'sync', path: /\.seg$/, error: 'EIO' })
  await t.rejects(rig.node.prepare('d', rig.object('o'), rig.stamp()))
  rig.crash()
  await rig.open()
  // It may be there or not; either way the register goes on.
  t.match(await rig.put('o', 'next', { stamp: early, ballot: early }), { status: String })
  t.match(await rig.put('o', 'last'), { status: 'done' })
  await rig.close()
})
