import t from 'tap'
import { SimDisk, type SimDiskOptions } from './sim-disk.ts'
import { SimKeyValueStore } from './sim-kv.ts'

const SEEDS = Array.from({ length: 300 }, (_, index) => index + 1)

function bytesOf(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value)
}

async function diskWith(options: Partial<SimDiskOptions> = {}): Promise<SimDisk> {
  const disk = new SimDisk({ seed: 1, ...options })
  await disk.makeDirectory('/disk')
  await disk.syncDirectory('/')
  return disk
}

async function writeFile(disk: SimDisk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'create')
  await file.write([bytes], 0)
  await file.close()
}

async function syncFile(disk: SimDisk, path: string): Promise<void> {
  const file = await disk.open(path, 'write')
  await file.sync()
  await file.close()
  await disk.syncDirectory('/disk')
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    return (error as { readonly code: string }).code
  }
}

t.test('what was synced, file and folder, survives every crash', async (t) => {
  for (const seed of SEEDS) {
    const disk = await diskWith({ seed })
    await writeFile(disk, '/disk/a', bytesOf(5000, 7))
    await syncFile(disk, '/disk/a')
    const file = await disk.open('/disk/a', 'write')
    await file.write([bytesOf(2000, 9)], 5000)
    disk.crash(seed)
    const bytes = (await disk.readWhole('/disk/a'))!
    t.ok(
      bytes.length >= 5000 && bytes.subarray(0, 5000).every((byte) => byte === 7),
      `seed ${seed}`,
    )
  }
})

t.test(
  'what was not synced is lost, torn at sectors, reordered or kept, each of them by chance',
  async (t) => {
    const seen = { absent: 0, empty: 0, whole: 0, torn: 0, laterOnly: 0 }
    for (const seed of SEEDS) {
      const disk = await diskWith({ seed })
      await writeFile(disk, '/disk/a', bytesOf(0, 0))
      const file = await disk.open('/disk/a', 'write')
      await file.write([bytesOf(512 * 4, 1)], 0)
      await file.write([bytesOf(512 * 4, 2)], 512 * 4)
      disk.crash(seed)
      const bytes = await disk.readWhole('/disk/a')
      if (bytes === null) seen.absent++
      else if (bytes.length === 0) seen.empty++
      else if (bytes.length === 512 * 8 && bytes.every((byte) => byte > 0)) seen.whole++
      else if (bytes[0] === 0 && bytes.at(-1) === 2) seen.laterOnly++
      else seen.torn++
      for (let at = 0; bytes && at < bytes.length; at += 512) {
        t.ok(new Set(bytes.subarray(at, at + 512)).size === 1, 'a sector is whole or not there')
      }
    }
    for (const [what, count] of Object.entries(seen)) t.ok(count > 0, `${what}: ${count}`)
  },
)

t.test(
  'a name that was not synced may vanish, and its folder with all that is in it',
  async (t) => {
    const seen = { file: 0, folderGone: 0, nothing: 0 }
    for (const seed of SEEDS) {
      const disk = await diskWith({ seed })
      await disk.makeDirectory('/disk/sub')
      await writeFile(disk, '/disk/sub/a', bytesOf(10, 1))
      const file = await disk.open('/disk/sub/a', 'write')
      await file.sync()
      disk.crash(seed)
      const folderThere = (await disk.list('/disk')).includes('sub')
      const fileThere = (await disk.sizeOf('/disk/sub/a')) === 10
      t.ok(folderThere || !fileThere, 'no file without its folder')
      if (fileThere) seen.file++
      else if (folderThere) seen.nothing++
      else seen.folderGone++
    }
    for (const [what, count] of Object.entries(seen)) t.ok(count > 0, `${what}: ${count}`)
  },
)

t.test(
  'a rename in one folder is old or new, never both or neither; a remove may be undone',
  async (t) => {
    const seen = { old: 0, new: 0, removed: 0, back: 0 }
    for (const seed of SEEDS) {
      const disk = await diskWith({ seed })
      await writeFile(disk, '/disk/a', bytesOf(10, 1))
      await writeFile(disk, '/disk/gone', bytesOf(10, 2))
      for (const path of ['/disk/a', '/disk/gone']) await syncFile(disk, path)
      await disk.rename('/disk/a', '/disk/b')
      await disk.remove('/disk/gone')
      disk.crash(seed)
      const [a, b] = [await disk.sizeOf('/disk/a'), await disk.sizeOf('/disk/b')]
      t.ok((a === 10) !== (b === 10), `seed ${seed}`)
      if (a === 10) seen.old++
      else seen.new++
      if ((await disk.sizeOf('/disk/gone')) === null) seen.removed++
      else seen.back++
    }
    for (const [what, count] of Object.entries(seen)) t.ok(count > 0, `${what}: ${count}`)
  },
)

t.test('a rename to another folder never loses the file, whichever folder is synced', async (t) => {
  for (const seed of SEEDS) {
    const disk = await diskWith({ seed })
    await disk.makeDirectory('/disk/q')
    await disk.syncDirectory('/disk')
    await writeFile(disk, '/disk/a', bytesOf(10, 1))
    await syncFile(disk, '/disk/a')
    await disk.rename('/disk/a', '/disk/q/a')
    if (seed % 3 === 0) await disk.syncDirectory('/disk')
    if (seed % 3 === 1) await disk.syncDirectory('/disk/q')
    disk.crash(seed)
    const found = [await disk.sizeOf('/disk/a'), await disk.sizeOf('/disk/q/a')]
    t.ok(found.includes(10), `seed ${seed}`)
    if (seed % 3 === 1) t.equal(found[1], 10)
  }
})

t.test('synced names survive', async (t) => {
  for (const seed of SEEDS.slice(0, 50)) {
    const disk = await diskWith({ seed })
    await writeFile(disk, '/disk/a', bytesOf(10, 1))
    await syncFile(disk, '/disk/a')
    await disk.rename('/disk/a', '/disk/b')
    await disk.syncDirectory('/disk')
    disk.crash(seed)
    t.strictSame(await disk.list('/disk'), ['b'])
  }
})

t.test('handles and attached views die with the crash, calls in flight included', async (t) => {
  const disk = await diskWith()
  const view = disk.attach()
  const file = await view.open('/disk/a', 'create')
  const inFlight = file.write([bytesOf(100, 1)], 0)
  disk.crash(5)
  t.equal(await codeOf(inFlight), 'ECRASHED')
  t.equal(await codeOf(file.sync()), 'ECRASHED')
  t.equal(await codeOf(view.list('/disk')), 'ECRASHED')
  t.throws(() => file.readSync(new Uint8Array(1), 0))
  await disk.attach().open('/disk/new', 'create')
})

t.test('a killed process loses nothing that was written', async (t) => {
  const disk = await diskWith()
  await writeFile(disk, '/disk/a', bytesOf(10, 1))
  disk.kill()
  t.equal(await disk.sizeOf('/disk/a'), 10)
})

t.test('the k-th matching call fails, once or from then on', async (t) => {
  const disk = await diskWith()
  const file = await disk.open('/disk/a', 'create')
  const once = disk.fail({ call: 'sync', path: 'disk/a', atCall: 2, error: 'EIO' })
  const outcomes: string[] = []
  for (let call = 0; call < 3; call++) outcomes.push(await codeOf(file.sync()))
  t.strictSame(outcomes, ['none', 'EIO', 'none'])
  t.equal(once.hits, 1)
  const sticky = disk.fail({ call: ['write', 'open'], error: 'ENOSPC', sticky: true })
  t.equal(await codeOf(file.write([bytesOf(9, 1)], 0)), 'ENOSPC')
  t.equal(await codeOf(disk.open('/disk/a', 'read')), 'ENOSPC')
  sticky.cancel()
  t.equal(await codeOf(file.write([bytesOf(9, 1)], 0)), 'none')
  t.equal(disk.counts.get('sync'), 3)
})

t.test(
  'after a failed sync the next one says yes, and some bytes are lost all the same',
  async (t) => {
    let [lost, kept] = [0, 0]
    for (const seed of SEEDS) {
      const disk = await diskWith({ seed })
      await writeFile(disk, '/disk/a', bytesOf(0, 0))
      await syncFile(disk, '/disk/a')
      const file = await disk.open('/disk/a', 'write')
      disk.fail({ call: 'sync', error: 'EIO' })
      await file.write([bytesOf(512, 3)], 0)
      t.equal(await codeOf(file.sync()), 'EIO')
      await file.sync()
      t.equal(await file.read(new Uint8Array(512), 0), 512, 'still readable')
      disk.crash(seed)
      if ((await disk.sizeOf('/disk/a')) === 512) kept++
      else lost++
    }
    t.ok(lost > 0 && kept > 0, `lost ${lost}, kept ${kept}`)
  },
)

t.test('a short write lands in part and fails; a full disk says ENOSPC and recovers', async (t) => {
  const disk = await diskWith({ capacityBytes: 64 * 1024 })
  const file = await disk.open('/disk/a', 'create')
  disk.fail({ call: 'write', error: 'short' })
  t.equal(await codeOf(file.write([bytesOf(4096, 1)], 0)), 'EIO')
  t.equal(await codeOf(file.write([bytesOf(60 * 1024, 1)], 0)), 'none')
  t.equal(await codeOf(file.write([bytesOf(8192, 1)], 60 * 1024)), 'ENOSPC')
  t.equal(disk.spaceSync('/disk').bytesFree, 0)
  t.equal(await codeOf(file.write([bytesOf(100, 2)], 0)), 'none', 'overwriting needs no room')
  await disk.remove('/disk/a')
  await writeFile(disk, '/disk/b', bytesOf(60 * 1024, 1))
})

t.test('a flipped bit is read back flipped, before and after a crash', async (t) => {
  const disk = await diskWith()
  await writeFile(disk, '/disk/a', bytesOf(100, 0))
  await syncFile(disk, '/disk/a')
  disk.flip('/disk/a', 40, 3)
  t.equal((await disk.readWhole('/disk/a'))![40], 8)
  disk.crash(1)
  t.equal((await disk.readWhole('/disk/a'))![40], 8)
})

t.test('negative control: with a sync that does nothing, synced bytes are lost', async (t) => {
  let lost = 0
  for (const seed of SEEDS.slice(0, 50)) {
    const disk = await diskWith({ seed, syncIsANoOp: true, foldersAreDurable: true })
    await writeFile(disk, '/disk/a', bytesOf(512, 3))
    await syncFile(disk, '/disk/a')
    disk.crash(seed)
    if ((await disk.sizeOf('/disk/a')) !== 512) lost++
  }
  t.ok(lost > 0, `lost ${lost}`)
})

t.test('a buffer that changes while it is being written is found out', async (t) => {
  const disk = await diskWith()
  const file = await disk.open('/disk/a', 'create')
  const buffer = bytesOf(10, 1)
  const write = file.write([buffer], 0)
  buffer[0] = 9
  await t.rejects(write, /buffers changed/)
})

t.test('calls on what is not there fail as the contract says', async (t) => {
  const disk = await diskWith()
  t.equal(await codeOf(disk.open('/disk/none', 'read')), 'ENOENT')
  t.equal(await codeOf(disk.open('/none/a', 'create')), 'ENOENT')
  t.equal(await codeOf(disk.rename('/disk/none', '/disk/b')), 'ENOENT')
  t.equal(await disk.readWhole('/disk/none'), null)
  t.equal(await disk.sizeOf('/disk/none'), null)
  t.strictSame(await disk.list('/none'), [])
  await disk.remove('/disk/none')
  await writeFile(disk, '/disk/a', bytesOf(1, 1))
  t.equal(await codeOf(disk.open('/disk/a', 'create')), 'EEXIST')
})

const key = (text: string): Uint8Array => Buffer.from(text)
const put = (text: string, value = text) =>
  ({ type: 'put', key: key(text), value: key(value) }) as const

t.test('the key-value store keeps byte order, ranges, snapshots and seek', async (t) => {
  const store = new SimKeyValueStore({ seed: 1 }).open()
  await store.batch(
    ['b', 'a', 'd', 'c', '\u00e9'].map((text) => put(text)),
    { sync: false },
  )
  const names = async (range: Parameters<typeof store.iterate>[0]) =>
    (await store.iterate(range).next(99)).map(([name]) => Buffer.from(name).toString())
  t.strictSame(await names({}), ['a', 'b', 'c', 'd', '\u00e9'])
  t.strictSame(await names({ gte: key('b'), lt: key('d') }), ['b', 'c'])
  t.strictSame(await names({ gt: key('b'), lte: key('d'), reverse: true }), ['d', 'c'])
  const cursor = store.iterate({})
  await store.batch([{ type: 'del', key: key('a') }, put('aa')], { sync: true })
  cursor.seek(key('b'))
  t.strictSame(
    (await cursor.next(1)).map(([name]) => Buffer.from(name).toString()),
    ['b'],
  )
  t.strictSame(await names({ lt: key('b') }), ['aa'])
  const backwards = store.iterate({ reverse: true })
  backwards.seek(key('cc'))
  t.equal(Buffer.from((await backwards.next(1))[0]![0]).toString(), 'c')
  t.equal(store.getSync(key('a')), undefined)
})

t.test(
  'synced batches survive; the others are lost from a point on or in part, never split',
  async (t) => {
    const seen = { holes: 0, suffixes: 0, all: 0 }
    for (const seed of SEEDS) {
      const medium = new SimKeyValueStore({ seed })
      const store = medium.open()
      await store.batch([put('s1'), put('s2')], { sync: true })
      for (let batch = 0; batch < 5; batch++)
        await store.batch([put(`u${batch}`), put(`v${batch}`)], { sync: false })
      medium.crash(seed)
      t.equal(await codeOf(store.batch([], { sync: true })), 'ECRASHED')
      const after = medium.open()
      t.ok(after.getSync(key('s1')) && after.getSync(key('s2')), `seed ${seed}`)
      const kept: boolean[] = []
      for (let batch = 0; batch < 5; batch++) {
        kept.push(after.getSync(key(`u${batch}`)) !== undefined)
        t.equal(after.getSync(key(`v${batch}`)) !== undefined, kept[batch], 'whole batches')
      }
      const count = kept.filter(Boolean).length
      if (count === 5) seen.all++
      else if (kept.indexOf(false) === count) seen.suffixes++
      else seen.holes++
    }
    for (const [what, count] of Object.entries(seen)) t.ok(count > 0, `${what}: ${count}`)
  },
)

t.test('by option a synced batch vanishes, and an unsynced one before a synced one', async (t) => {
  let [dropped, earlierLost] = [0, 0]
  for (const seed of SEEDS.slice(0, 100)) {
    const medium = new SimKeyValueStore({ seed, syncCoversEarlier: false })
    const store = medium.open()
    await store.batch([put('u')], { sync: false })
    for (const name of ['s1', 's2', 's3']) await store.batch([put(name)], { sync: true })
    medium.crash(seed, { dropOneSynced: seed % 2 === 0 })
    const after = medium.open()
    if (!after.getSync(key('u'))) earlierLost++
    if (['s1', 's2', 's3'].some((name) => !after.getSync(key(name)))) dropped++
  }
  t.ok(dropped > 0 && dropped <= 50, `dropped ${dropped}`)
  t.ok(earlierLost > 0, `earlier lost ${earlierLost}`)
})

t.test('a failed batch happened or not; damage flips a value or loses a key', async (t) => {
  let happened = 0
  for (const seed of SEEDS.slice(0, 50)) {
    const medium = new SimKeyValueStore({ seed })
    const store = medium.open()
    medium.failBatch(2)
    await store.batch([put('a')], { sync: true })
    t.equal(await codeOf(store.batch([put('b')], { sync: true })), 'EIO')
    if (store.getSync(key('b'))) happened++
    medium.damage(key('a'), 'flip-value')
    t.not(Buffer.from(store.getSync(key('a'))!).toString(), 'a')
    medium.damage(key('a'), 'lose-key')
    t.equal(store.getSync(key('a')), undefined)
  }
  t.ok(happened > 0 && happened < 50, `happened ${happened}`)
})
