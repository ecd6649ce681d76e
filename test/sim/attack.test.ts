import t from 'tap'
import { BlobStore } from '../../storage-node/engine/blob-store.ts'
import { SPACES } from '../../storage-node/engine/keys.ts'
import { registerIdOf } from '../../storage-node/engine/register.ts'
import { SEGMENT_HEADER_BYTES } from '../../storage-node/engine/segment-header.ts'
import { scrubDevice } from '../../storage-node/scrub.ts'
import { Throttle } from '../../storage-node/throttle.ts'
import { EngineRig, hangs } from '../support/engine-rig.ts'

const signal = new AbortController().signal

function scrubOptions(rig: EngineRig) {
  const throttle = new Throttle(rig.clock, { bytesPerSecond: 1e12 })
  return { disk: rig.disk.attach(), clock: rig.clock, throttle, signal, orphans: new Map() }
}

function keysOf(rig: EngineRig, space: number): Uint8Array[] {
  return rig.store.keys().filter((key) => key[0] === space)
}

// --- the index ------------------------------------------------------------------------------------------------------

t.test('a flipped bit in any value of the index loses nothing and starts', async (t) => {
  for (const space of Object.values(SPACES)) {
    for (let seed = 1; seed <= 3; seed++) {
      const rig = await EngineRig.start({ seed })
      await rig.putRow('one', { bytes: 111 })
      await rig.putRow('two', { bytes: 222, confirmed: false })
      await rig.put('early', 'early')
      await rig.flush()
      await rig.roll()
      await rig.put('late', 'late')
      await rig.putRow('three', { bytes: 333 })
      // A crash leaves something to replay behind the checkpoint.
      if (seed % 2 === 0) rig.kill()
      else await rig.close()
      const keys = keysOf(rig, space)
      const key = keys[seed % Math.max(1, keys.length)]
      if (key === undefined) continue
      rig.store.damage(key, 'flip-value')
      const what = `space ${String.fromCharCode(space)}, seed ${seed}`
      try {
        await rig.open()
        await settleRebuild(rig)
        t.equal(await again(rig, () => rig.get('early')), 'early', what)
        t.equal(await again(rig, () => rig.get('late')), 'late', what)
        t.same(await again(rig, () => rig.list()), ['one', 'three', 'two'], what)
        const info = await again(rig, () => rig.node.read('d', rig.container))
        t.equal(info?.info.stats?.bytes, 666, `${what}: totals`)
      } catch (error) {
        t.fail(`${what}: ${String(error)}`)
      }
      await rig.close()
    }
  }
})

/** Once more if the first attempt found damage and the device is being given a new index. */
async function again<T>(rig: EngineRig, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch {
    await settleRebuild(rig)
    return action()
  }
}

async function settleRebuild(rig: EngineRig): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    await new Promise(setImmediate)
    if (rig.node.devices.has('d')) return
  }
}

t.test('damage found while a batch is being applied hangs nobody', async (t) => {
  const rig = await EngineRig.start()
  await rig.putRow('one')
  await rig.reopen()
  const stats = keysOf(rig, SPACES.stats)[0]!
  // So damaged that no version of the format takes it for totals.
  for (let i = 0; i < 40; i++) rig.store.damage(stats, 'flip-value')
  const row = rig.putRow('one')
  const other = rig.put('other', 'other')
  t.notOk(await hangs(Promise.allSettled([row, other])), 'both are answered')
  await settleRebuild(rig)
  t.notOk(await hangs(Promise.allSettled([rig.put('more', 'more')])), 'the log goes on')
})

t.test('a batch of the index that failed but happened counts nothing twice', async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const rig = await EngineRig.start({ seed })
    await rig.flush()
    await rig.putRow('one', { bytes: 111 })
    await rig.putRow('two', { bytes: 222 })
    rig.store.failBatch(1 + (seed % 2))
    await t.rejects(rig.flush())
    await rig.flush()
    await rig.reopen()
    const read = await rig.node.read('d', rig.container)
    t.equal(read?.info.stats?.bytes, 333, `seed ${seed}`)
    t.equal(read?.info.stats?.rows, 2, `seed ${seed}`)
    await rig.close()
    t.same((await rig.check()).problems, [])
  }
})

t.test('a row that the index cannot hold is refused, not stored', async (t) => {
  const rig = await EngineRig.start()
  const rows = [
    { etag: 'e'.repeat(300) },
    { contentType: 't'.repeat(70_000) },
    { bytes: 2 ** 48 },
    { bytes: -1 },
    { count: 0.5 },
  ]
  for (const row of rows) await t.rejects(rig.putRow('odd', row), { code: 'BadRow' })
  t.equal(await rig.putRow('fine', { etag: 'e'.repeat(255), bytes: 2 ** 48 - 1 }), 'done')
  await rig.flush()
  await rig.reopen()
  t.same(await rig.list(), ['fine'])
})

t.test('a record beyond its limit fails alone', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('o', 'old')
  const headers = { 'x-object-meta-a': 'x'.repeat(3_000_000) }
  await t.rejects(rig.put('o', 'new', { meta: { headers } }))
  const post = rig.node.write('d', rig.draft(rig.object('o'), 'post'), null)
  t.notOk(await hangs(post), 'a later POST is answered')
  t.equal(await rig.get('o'), 'old')
})

t.test('what is settled by a newer row is no longer unconfirmed', async (t) => {
  const rig = await EngineRig.start()
  await rig.putRow('one', { confirmed: false })
  await rig.putRow('one', { confirmed: true })
  rig.clock.advance(60_000)
  const doubts = await rig.node.unconfirmed('d', { ageMs: 1000, limit: 10 })
  t.same(
    doubts.filter(({ kind }) => kind === 'row'),
    [],
  )
})

// --- the log --------------------------------------------------------------------------------------------------------

t.test('an older version is never served in place of one whose body has rotted', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('o', 'the old body')
  await rig.put('o', 'the new body, acknowledged')
  await rig.roll()
  await rig.close()
  const [found] = rig.find('the new body')
  rig.disk.flip(found!.path, found!.offset + 3)
  rig.store.wipe()
  await rig.open()
  await t.rejects(rig.get('o'), { code: 'CorruptData' })
  t.equal((await rig.damage()).length > 0, true, 'and it is reported')
})

t.test('a sector that cannot be read is damage, not the end of the device', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('first', 'first')
  await rig.flush()
  await rig.roll()
  await rig.put('last', 'last')
  await rig.close()
  rig.store.wipe()
  const path = rig.pathOf(1)
  rig.disk.fail({ call: 'read', path, error: 'EIO', sticky: true })
  await rig.open()
  t.equal(await rig.get('last'), 'last', 'other segments are served')
  t.ok((await rig.damage()).length > 0, 'it is reported')
  const report = await scrubDevice(rig.device, scrubOptions(rig))
  t.ok(report.damaged > 0, 'a scrub goes on past it')
})

t.test('the header of a segment begun after the checkpoint is no damage', async (t) => {
  const rig = new EngineRig()
  await rig.open()
  await rig.flush()
  await rig.putContainer()
  await rig.put('o', 'kept')
  rig.crash()
  await rig.open()
  t.same(await rig.damage(), [])
  t.equal(await rig.get('o'), 'kept')
})

t.test('check tells a start that a crash cut short from a damaged header', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('o', 'kept')
  await rig.close()
  const [first] = rig.disk.paths().filter((path) => path.endsWith('.seg'))
  const unwritten = await rig.disk.open(rig.pathOf(9), 'create')
  await unwritten.write([new Uint8Array(SEGMENT_HEADER_BYTES)], 0)
  await unwritten.close()
  const torn = await rig.check()
  t.same(torn.problems, [])
  t.match(torn.remarks, [/00000009.seg has neither/])
  rig.disk.flip(first!, 9)
  t.match((await rig.check()).problems, [/damaged or foreign header/])
})

t.test('a cut is known after the index has moved past its record', async (t) => {
  for (let seed = 1; seed <= 12; seed++) {
    const rig = await EngineRig.start({ seed })
    await rig.put('a', 'a')
    await rig.flush()
    void rig.put('b', Buffer.alloc(5000, 1)).catch(() => {})
    for (let turn = 0; turn < seed; turn++) await null
    rig.crash(seed)
    await rig.open()
    await rig.put('c', 'c')
    await rig.flush()
    await rig.roll()
    await rig.reopen()
    const report = await scrubDevice(rig.device, scrubOptions(rig))
    t.equal(report.damaged, 0, `seed ${seed}: a scrub takes no torn tail for rot`)
    for (const id of rig.segments()) {
      if (id >= rig.shard.checkpointSegmentId || id === rig.shard.log.activeSegmentId) continue
      const result = await rig.compact(id)
      t.equal(result.damage, undefined, `seed ${seed}: compaction neither`)
    }
    await rig.close()
  }
})

t.test('a seal that only the page cache knew is no rot later', async (t) => {
  let cases = 0
  for (let seed = 1; seed <= 50; seed++) {
    const rig = await EngineRig.start({ seed })
    await rig.put('a', 'a')
    rig.disk.fail({ call: 'sync', path: '/seg/', error: 'EIO' })
    await rig.close()
    await rig.open()
    for (const name of ['b', 'c', 'd']) await rig.put(name, name)
    rig.crash(seed)
    rig.store.wipe()
    await rig.open()
    const damage = await rig.damage()
    if (damage.length > 0) {
      t.fail(`seed ${seed}: ${damage[0]}`)
      return
    }
    await rig.close()
    cases++
  }
  t.equal(cases, 50)
})

// --- compaction -----------------------------------------------------------------------------------------------------

t.test('a deleted object stays deleted when its copy landed behind the tombstone', async (t) => {
  for (const kind of ['object', 'row'] as const) {
    const rig = await EngineRig.start()
    if (kind === 'object') await rig.put('victim', 'deleted long ago')
    else await rig.putRow('victim')
    await rig.roll()
    const [oldest] = rig.segments()
    // While the live record is on its way to the head of the log, it is deleted, and the segment with the tombstone
    // ends before the copy is written.
    let isFirst = true
    const throttle = {
      take: async () => {
        if (!isFirst) return
        isFirst = false
        if (kind === 'object') await rig.delete('victim')
        else await rig.putRow('victim', { deleted: true })
        const active = rig.shard.log.activeSegmentId
        while (rig.shard.log.activeSegmentId === active) await rig.put('filler', Buffer.alloc(3000))
      },
    } as unknown as Throttle
    // The container's own record comes first in the segment: count from the victim's.
    let calls = 0
    const atVictim = {
      take: async (bytes: number) => {
        if (++calls === 2) await throttle.take(bytes)
      },
    } as unknown as Throttle
    await rig.compact(oldest!, { throttle: atVictim })
    await rig.roll()
    await rig.age(10_000)
    // The segment with the tombstone becomes the oldest and is compacted: the tombstone is reclaimed.
    const count = rig.segments().length
    for (let i = 0; i + 1 < count; i++) {
      const id = rig.segments()[0]!
      if (id >= rig.shard.checkpointSegmentId) break
      await rig.compact(id)
      // Only the one with the tombstone, so that the copy stays.
      if (i === 0) break
    }
    await rig.rebuild()
    if (kind === 'object') t.equal(await rig.get('victim'), null, 'the object')
    else t.same(await rig.list(), [], 'the row')
  }
})

t.test('a segment stays if one of its records could not be moved', async (t) => {
  const rig = await EngineRig.start()
  for (let i = 0; i < 5; i++) await rig.put(`o${i}`, `body ${i}`)
  await rig.roll()
  // The first move fails long before the last is begun.
  let calls = 0
  const take = async () => {
    if (++calls === 1) rig.disk.fail({ call: 'write', path: '/seg/', error: 'ENOSPC' })
    for (let turn = 0; turn < 100; turn++) await null
  }
  const [first] = rig.segments()
  await t.rejects(rig.compact(first!, { throttle: { take } as unknown as Throttle }))
  t.ok(rig.segments().includes(first!))
  await rig.reopen()
  t.ok(await rig.node.read('d', rig.container), 'the container')
  for (let i = 0; i < 5; i++) t.equal(await rig.get(`o${i}`), `body ${i}`)
})

t.test('a tombstone outlives a segment that could not be removed', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('victim', 'deleted long ago')
  await rig.roll()
  const [first] = rig.segments()
  await rig.delete('victim')
  await rig.roll()
  await rig.age(10_000)
  rig.disk.fail({ call: 'remove', path: rig.pathOf(first!), error: 'EIO' })
  await t.rejects(rig.compact(first!))
  await rig.roll()
  for (const id of rig.segments().filter((s) => s > first! && s < rig.shard.checkpointSegmentId)) {
    await rig.compact(id)
  }
  await rig.rebuild()
  t.equal(await rig.get('victim'), null)
})

t.test('a compaction that stops half way leaves the index whole', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('victim', 'deleted long ago')
  await rig.delete('victim')
  await rig.put('later', 'the last record')
  await rig.roll()
  await rig.age(10_000)
  const abort = new AbortController()
  let calls = 0
  const throttle = {
    take: async () => void (++calls === 2 && abort.abort()),
  } as unknown as Throttle
  await rig.compact(rig.segments()[0]!, { throttle, signal: abort.signal })
  await rig.flush()
  await scrubDevice(rig.device, scrubOptions(rig)).catch(() => {})
  t.ok(rig.node.devices.has('d'), 'a scrub does not miss what was forgotten')
  await rig.close()
  t.same((await rig.check()).problems, [])
})

t.test('a segment whose removal a power cut undid is not missed in the index', async (t) => {
  let stayed = 0
  for (let turns = 0; ; turns += 2) {
    const rig = await EngineRig.start({ seed: turns })
    await rig.put('victim', 'deleted long ago')
    await rig.putRow('victim')
    await rig.delete('victim')
    await rig.putRow('victim', { deleted: true })
    await rig.roll()
    await rig.age(10_000)
    const [first] = rig.segments()
    let isOver = false
    const compaction = rig.compact(first!).then(
      () => {
        isOver = true
      },
      () => {},
    )
    for (let turn = 0; turn < turns && !isOver; turn++) await null
    if (isOver) break
    rig.crash(turns)
    await compaction
    await rig.open()
    const { device } = rig
    const entry = rig.shard.index.entry(registerIdOf(rig.object('victim')))
    if (rig.segments().includes(first!) && entry === null) stayed++
    const { damaged } = await scrubDevice(device, scrubOptions(rig))
    t.equal(damaged, 0)
    if (!rig.node.devices.has('d') || rig.device !== device) {
      t.fail(`turn ${turns}: the index is made anew`)
      return
    }
    await rig.close()
    const { problems } = await rig.check()
    if (problems.length > 0) {
      t.fail(`turn ${turns}: ${problems[0]}`)
      return
    }
    await rig.open()
    if (rig.segments().includes(first!)) await rig.compact(first!)
    await rig.rebuild()
    t.equal(await rig.get('victim'), null)
    t.same(await rig.list(), [])
    await rig.close()
  }
  t.ok(stayed > 0, `${stayed} times the segment was there without the index knowing its records`)
})

t.test('a damaged segment does not keep the others from being compacted', async (t) => {
  const rig = await EngineRig.start({ maintenance: true })
  for (let i = 0; i < 3; i++) await rig.roll()
  await rig.roll()
  const [, second] = rig.segments()
  const bytes = Buffer.from(rig.disk.contents(rig.pathOf(second!)))
  rig.disk.flip(rig.pathOf(second!), bytes.length >> 1)
  const before = rig.segments().length
  for (let second = 0; second < 240; second++) {
    rig.clock.advance(1000)
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
  }
  const left = rig.segments()
  t.ok(left.includes(second!), 'the damaged one stays')
  t.ok(left.length <= before - 2, `others went: ${before} segments before, ${left.length} now`)
  await rig.close()
})

// --- blobs ----------------------------------------------------------------------------------------------------------

t.test('a scrub does not take the blob of a write under way for an orphan', async (t) => {
  const body = Buffer.alloc(100_000, 'b')
  // An old stamp, as replication brings it.
  const stamp = { ticks: 1_700_000_000_00000, proposer: 9 }
  for (let turns = 0; turns < 400; turns += 13) {
    const rig = await EngineRig.start({ seed: turns })
    let isOver = false
    const write = rig.putBlob('big', body, { stamp, ballot: stamp }).finally(() => {
      isOver = true
    })
    for (let turn = 0; turn < turns; turn++) await null
    const options = scrubOptions(rig)
    while (!isOver) await scrubDevice(rig.device, options)
    const outcome = await write
    if (outcome.status !== 'done') continue
    const text = await rig.get('big').catch((error: unknown) => String(error))
    if (text?.length !== body.length) {
      t.fail(`after ${turns} turns: ${text}`)
      return
    }
    await rig.close()
  }
  t.pass('acknowledged blobs stay where they are')
})

t.test('a scrub takes no blob for damaged that is replaced or written meanwhile', async (t) => {
  const rig = await EngineRig.start()
  const { blobs } = rig.device
  const [open, inspect] = [blobs.open.bind(blobs), blobs.inspect.bind(blobs)]
  await rig.putBlob('replaced', Buffer.alloc(100_000, 'r'))
  // What the index has on disk still names the blob.
  await rig.flush()
  blobs.open = async (...of) => {
    blobs.open = open
    await rig.put('replaced', 'short')
    return open(...of)
  }
  const replaced = await scrubDevice(rig.device, scrubOptions(rig))
  t.equal(blobs.open, open, 'it was replaced')
  t.equal(replaced.damaged, 0)

  const item = rig.object('written')
  const writer = await rig.node.openBody('d', item)
  await writer.write(Buffer.alloc(100_000, 'w'))
  blobs.inspect = async (blobId) => {
    const seen = await inspect(blobId).catch((error: unknown) => error)
    blobs.inspect = inspect
    await writer.commit(rig.draft(item, 'put'))
    throw seen
  }
  const written = await scrubDevice(rig.device, scrubOptions(rig))
  t.equal(blobs.inspect, inspect, 'it was written')
  t.equal(written.damaged, 0)

  t.same(await rig.damage(), [])
  t.equal(rig.device.damagedItems.size, 0)
  const path = rig.disk.paths().find((name) => name.includes('/blob/'))
  rig.disk.flip(path!, 50_000)
  const rotten = await scrubDevice(rig.device, scrubOptions(rig))
  t.equal(rotten.damaged, 1, 'one that has rotted is found')
  t.equal(rig.device.damagedItems.size, 1)
})

t.test('orphans go to quarantine once they have been seen twice', async (t) => {
  const rig = await EngineRig.start()
  await rig.putBlob('big', Buffer.alloc(100_000, 'b'))
  // Its record never came to be: the process died between the two.
  await rig.close()
  for (const path of rig.disk.paths().filter((name) => name.endsWith('.seg'))) {
    await rig.disk.remove(path)
  }
  rig.store.wipe()
  await rig.open()
  const options = scrubOptions(rig)
  rig.clock.advance(24 * 3600 * 1000)
  t.equal((await scrubDevice(rig.device, options)).orphansQuarantined, 0, 'seen once')
  rig.clock.advance(24 * 3600 * 1000)
  t.equal((await scrubDevice(rig.device, options)).orphansQuarantined, 1, 'seen twice')
})

t.test('a blob write that is sent twice leaves one blob', async (t) => {
  const rig = await EngineRig.start()
  const body = Buffer.alloc(100_000, 'b')
  const write = rig.draft(rig.object('big'), 'put')
  for (let attempt = 0; attempt < 3; attempt++) {
    const outcome = await rig.putBlob('big', body, write)
    t.equal(outcome.status, 'done')
  }
  t.equal(rig.disk.paths().filter((path) => path.includes('/blob/')).length, 1)
  t.equal((await rig.get('big'))?.length, body.length)
})

t.test(
  'a sync of a folder that fails at once fails those who wait for it, and nobody else',
  async (t) => {
    const rig = new EngineRig()
    let calls = 0
    const syncDirectory = async () => {
      calls++
      if (calls === 2) throw new Error('EIO')
      await new Promise(setImmediate)
    }
    const disk = { ...rig.disk.attach(), syncDirectory }
    const blobs = new BlobStore({ disk, random: rig.random, directory: '/d' })
    const first = blobs.syncFolder('00a')
    const waiting = [blobs.syncFolder('00b'), blobs.syncFolder('00c')]
    await t.resolves(first)
    for (const sync of waiting) await t.rejects(sync, { message: 'EIO' })
    await t.resolves(blobs.syncFolder('00d'))
    t.equal(calls, 3)
  },
)

t.test('a blob writer that failed once does not go on', async (t) => {
  const rig = await EngineRig.start()
  const item = rig.object('big')
  const writer = await rig.node.openBody('d', item)
  rig.disk.fail({ call: 'write', path: '/blob/', error: 'EIO' })
  await t.rejects(writer.write(Buffer.alloc(3_000_000, 'b')))
  await t.rejects(writer.commit(rig.draft(item, 'put')), 'what was half written is not committed')
  t.equal(await rig.get('big'), null)
  t.same(
    rig.disk.paths().filter((path) => path.includes('/blob/')),
    [],
  )
})

// --- other work -----------------------------------------------------------------------------------------------------

t.test('one damaged record stops neither the expirer nor the settler', async (t) => {
  const rig = await EngineRig.start()
  const meta = { headers: { 'x-delete-at': '1000000000' } }
  await rig.put('rotten', 'the rotten one', { meta })
  await rig.put('sound', 'sound', { meta })
  await rig.flush()
  const [found] = rig.find('/a/c/rotten')
  rig.disk.flip(found!.path, found!.offset)
  const due = await rig.node.expired('d', { beforeSeconds: 2_000_000_000, limit: 10 })
  t.same(
    due.map(({ name }) => name),
    ['/a/c/sound'],
  )
})

t.test('files that cannot be closed do not end the process', async (t) => {
  const rig = await EngineRig.start()
  rig.disk.fail({ call: 'close', path: '/seg/', error: 'EIO', sticky: true })
  for (let i = 0; i < 3; i++) await rig.roll()
  await rig.compact(rig.segments()[0]!).catch(() => {})
  t.notOk(await hangs(rig.close().catch(() => {})))
})

// --- formatting -----------------------------------------------------------------------------------------------------

t.test('a crash at any call of a format leaves a folder that starts', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const rig = new EngineRig({ seed, directory: '/data/x/d' })
    const fault = rig.disk.fail({ atCall: seed * 7, error: 'EIO', sticky: true })
    await rig.open().then(
      () => rig.close().catch(() => {}),
      () => {},
    )
    rig.crash(seed)
    fault.cancel()
    await rig.open()
    await rig.putContainer()
    await rig.put('o', 'kept')
    rig.crash(seed + 1)
    await rig.open()
    t.equal(await rig.get('o'), 'kept', `seed ${seed}`)
    await rig.close()
  }
})

t.test('a folder with data but without FORMAT is not formatted over', async (t) => {
  const rig = await EngineRig.start()
  await rig.put('o', 'kept')
  await rig.close()
  await rig.disk.remove('/d/FORMAT')
  await t.rejects(rig.open(), { code: 'BadFormat' })
})
