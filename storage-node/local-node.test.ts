import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../common/clock.ts'
import { type ItemKey, itemKey } from '../common/item.ts'
import { randomWriteId, systemRandom } from '../common/random.ts'
import { StampClock } from '../common/stamp.ts'
import type { ItemWrite, ListRow, StorageNode } from '../common/storage-node.ts'
import { openLocalNode } from './local-node.ts'

const HASHING = { prefix: 'p', suffix: 's', placement: 'xxh64' } as const
const stamps = new StampClock({ nowMs: () => systemClock.nowMs(), proposer: 7 })

function put(item: ItemKey, extra: Partial<ItemWrite> = {}): ItemWrite {
  const stamp = stamps.next()
  return {
    item,
    action: 'put',
    stamp,
    ballot: stamp,
    writeId: randomWriteId(systemRandom),
    meta: { etag: 'e', contentType: 'text/plain', headers: { 'x-object-meta-a': 'b' } },
    ...extra,
  }
}

function row(name: string, extra: Partial<ListRow> = {}): ListRow {
  const stamp = stamps.next()
  return {
    name,
    stamp,
    metaStamp: stamp,
    ballot: stamp,
    deleted: false,
    bytes: 10,
    count: 1,
    etag: 'e',
    contentType: 'text/plain',
    policy: 0,
    confirmed: false,
    ...extra,
  }
}

const open = (path: string): Promise<StorageNode> =>
  openLocalNode({ devices: [{ name: 'd1', path }], clock: systemClock, random: systemRandom })

t.test('what was written is read back, also after a restart', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'swiftlet-'))
  let node = await open(path)
  const container = itemKey(HASHING, 'container', '/a/c')
  const object = itemKey(HASHING, 'object', '/a/c/o', 0)
  const big = itemKey(HASHING, 'object', '/a/c/big', 0)
  t.match(await node.write('d1', put(container), null), { status: 'done', existed: false })
  t.match(await node.write('d1', put(object), Buffer.from('hello')), { status: 'done' })
  const writer = await node.openBody('d1', big)
  const piece = Buffer.alloc(300_000, 7)
  for (let i = 0; i < 10; i++) await writer.write(piece)
  t.match(await writer.commit(put(big)), { status: 'done', info: { bytes: 3_000_000 } })
  for (let i = 0; i < 2500; i++) await Promise.all([node.putRow('d1', container, row(`o${i}`))])
  t.match(await node.putRow('d1', container, row('o7', { deleted: true })), { status: 'done' })
  for (let round = 0; round < 3; round++) {
    const read = await node.read('d1', object)
    t.equal(Buffer.from(read!.body as Uint8Array).toString(), 'hello')
    t.match(read!.info, { name: '/a/c/o', meta: { headers: { 'x-object-meta-a': 'b' } } })
    const blob = await node.read('d1', big)
    const body = blob!.body as {
      bytes: number
      stream(a: number, b: number): AsyncIterable<Uint8Array>
      close(): Promise<void>
    }
    let total = 0
    for await (const part of body.stream(5, 2_999_999)) {
      total += part.length
      t.ok(part.every((byte) => byte === 7))
    }
    await body.close()
    t.equal(total, 2_999_994)
    const page = await node.list('d1', container, { limit: 10_000 })
    t.equal(page!.entries.length, 2499)
    t.match(page!.info.stats, { rows: 2499, objects: 2499, bytes: 24990 })
    const some = await node.list('d1', container, {
      limit: 3,
      marker: 'o1',
      prefix: 'o1',
      delimiter: '9',
    })
    t.same(
      some!.entries.map((e) => ('subdir' in e ? `${e.subdir}/` : e.name)),
      ['o10', 'o100', 'o1000'],
    )
    if (round < 2) {
      await node.close()
      node = await open(path)
    }
  }
  t.match(await node.write('d1', put(container, { action: 'delete' }), null), {
    status: 'not-empty',
  })
  t.match(await node.write('d1', put(object, { action: 'delete' }), null), { status: 'done' })
  t.match((await node.read('d1', object))?.info, { deleted: true })
  t.match(await node.write('d1', put(object, { action: 'delete' }), null), { status: 'not-found' })
  await node.close()
})

t.test('a body whose commit is under way is not thrown away by an abort', async (t) => {
  const node = await open(mkdtempSync(join(tmpdir(), 'swiftlet-')))
  t.teardown(() => node.close())
  const item = itemKey(HASHING, 'object', '/a/c/o', 0)
  const writer = await node.openBody('d1', item)
  await writer.write(Buffer.alloc(100_000, 7))
  let isDone = false
  const committing = writer.commit(put(item)).finally(() => {
    isDone = true
  })
  // At every step of the commit, from the sync of the body to that of its record.
  const aborts: Promise<void>[] = []
  while (!isDone) {
    aborts.push(writer.abort())
    await new Promise(setImmediate)
  }
  await Promise.all(aborts)
  t.match(await committing, { status: 'done' })
  const { body } = (await node.read('d1', item))!
  if (body === null || body instanceof Uint8Array) throw new Error('expected a blob')
  let bytes = 0
  for await (const piece of body.stream(0, body.bytes)) bytes += piece.length
  await body.close()
  t.equal(bytes, 100_000)
})
