/** What every StorageNode must do, whether it is a function call or a request away. */
import type { Test } from 'tap'
import { acceptOf } from '../../common/accept.ts'
import { type ItemKey, itemKey } from '../../common/item.ts'
import { randomWriteId, systemRandom } from '../../common/random.ts'
import { StampClock, TICKS_PER_SECOND } from '../../common/stamp.ts'
import {
  type BodyReader,
  INLINE_BYTES_MAX,
  type ItemWrite,
  type ListQuery,
  type ListRow,
  type StorageNode,
} from '../../common/storage-node.ts'

/** A node under test: empty, with one device. */
export interface NodeUnderTest {
  readonly node: StorageNode
  readonly device: string
}

const HASHING = { prefix: 'p', suffix: 's', placement: 'xxh64' } as const
const stamps = new StampClock({ nowMs: () => Date.now(), proposer: 256 })

const container = (name: string) => itemKey(HASHING, 'container', `/a/${name}`)
const object = (name: string) => itemKey(HASHING, 'object', `/a/c/${name}`, 0)

function change(item: ItemKey, extra: Partial<ItemWrite> = {}): ItemWrite {
  const stamp = extra.stamp ?? stamps.next()
  return {
    item,
    action: 'put',
    stamp,
    ballot: stamp,
    writeId: randomWriteId(systemRandom),
    meta: { headers: {} },
    ...extra,
  }
}

function rowOf(name: string, extra: Partial<ListRow> = {}): ListRow {
  const stamp = extra.stamp ?? stamps.next()
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

/** The record that a write of a container makes. */
function recordOf({ stamp }: ItemWrite): Pick<ItemWrite, 'record'> {
  return { record: { metaStamp: stamp, deleted: false, bytes: 0, dependent: false } }
}

async function bytesOf(reader: BodyReader, start = 0, end = reader.bytes): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of reader.stream(start, end)) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

/** Waits until the condition holds; confirmations are lazy. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('the condition did not come to hold')
}

/** Runs the suite; `open` gives a fresh node each time and sees to its end. */
export function storageNodeContract(
  t: Test,
  open: (t: Test) => Promise<NodeUnderTest>,
): Promise<unknown> {
  return Promise.all(
    Object.entries(CASES).map(([name, run]) => t.test(name, async (t) => run(t, await open(t)))),
  )
}

type Case = (t: Test, under: NodeUnderTest) => Promise<void>

const CASES: Readonly<Record<string, Case>> = {
  async 'digests, registers and rows are told as a replica compares them'(t, { node, device }) {
    const query = { kind: 'object', policy: 0, partPower: 0 } as const
    t.strictSame(await node.digests(device, query), [])
    const write = change(object('o'))
    await node.write(device, write, Buffer.from('x'))
    const [first] = await node.digests(device, query)
    t.match(first, { partition: 0, items: 1 })
    t.equal(first!.leaves.length, 16)
    await node.write(device, change(object('o'), { action: 'delete' }), null)
    t.notSame(await node.digests(device, { ...query, partitions: [0] }), [first])
    const { hash, placement } = object('o')
    const items = [
      { hash, placement },
      { hash: 'x'.repeat(16), placement: 1 },
    ]
    t.match(await node.held(device, { kind: 'object', policy: 0, items }), [
      { deleted: true },
      null,
    ])

    const list = container('c')
    await node.write(device, change(list), null)
    const before = await node.held(device, { kind: 'container', policy: 0, items: [list] })
    const rows = ['a', 'b', 'c'].map((name) => rowOf(name, { confirmed: true }))
    await node.putRows(device, list, rows)
    await node.putRows(device, list, rows)
    t.notSame(await node.held(device, { kind: 'container', policy: 0, items: [list] }), before)
    t.strictSame(await node.heldRows(device, list, ['b', 'x']), [rows[1]!.ballot, null])
    const ranges = [{ after: '' }, { after: 'a', upTo: 'b' }, { after: 'c' }]
    const digests = await node.rowDigests(device, list, ranges)
    t.strictSame(
      digests.map((digest) => digest.rows),
      [3, 1, 0],
    )
    await node.putRow(device, list, rowOf('b', { deleted: true }))
    t.notSame(await node.rowDigests(device, list, ranges), digests)
    t.strictSame(
      (await node.list(device, list, { limit: 10 }))!.entries.map(
        (entry) => 'name' in entry && entry.name,
      ),
      ['a', 'c'],
    )
  },

  async 'an expired object is changed by a post that says so'(t, { node, device }) {
    const item = object('o')
    const expired = { headers: { 'x-delete-at': '1' } }
    await node.write(device, change(item, { meta: expired }), Buffer.from('body'))
    const post = { action: 'post', meta: { headers: { 'x-object-meta-a': 'b' } } } as const
    t.strictSame(await node.write(device, change(item, post), null), { status: 'not-found' })
    const opened = await node.write(device, change(item, { ...post, openExpired: true }), null)
    t.match(opened, { status: 'done', info: { meta: { headers: { 'x-object-meta-a': 'b' } } } })
    const read = await node.read(device, item)
    t.equal(Buffer.from(read!.body as Uint8Array).toString(), 'body')
    t.match(await node.write(device, change(item, post), null), { status: 'done' }, 'it is back')
    const never = change(object('never'), { ...post, openExpired: true })
    t.strictSame(await node.write(device, never, null), { status: 'not-found' })
  },

  async 'totals are told as of then, with the rows of others'(t, { node, device }) {
    const list = container('c')
    t.equal(await node.totals(device, list, { rows: [] }), null)
    await node.write(device, change(list), null)
    const [a, b, c] = ['a', 'b', 'c'].map((name) => rowOf(name))
    await node.putRow(device, list, a!)
    const then = (await node.totals(device, list, { rows: [] }))!
    t.match(then, { stats: { rows: 1 }, recent: [{ name: 'a', deleted: false }] })
    await node.putRow(device, list, b!)
    await node.putRow(device, list, rowOf('a', { deleted: true }))
    const asOf = then.changes
    const again = (await node.totals(device, list, { asOf, rows: [] }))!
    t.strictSame(again.stats, then.stats, 'what came since is taken out')
    t.strictSame(
      again.recent.map(({ name, deleted }) => [name, deleted]),
      [
        ['a', true],
        ['b', false],
      ],
    )
    const [now, other] = await Promise.all([
      node.totals(device, list, { rows: [c!] }),
      node.totals(device, list, { asOf, rows: [...again.recent, c!] }),
    ])
    t.strictSame(now!.stats, other!.stats, 'the same rows, whatever each had')
    t.match(now!.stats, { rows: 2, objects: 2 })
    t.strictSame((await node.totals(device, list, { rows: [a!] }))!.stats.rows, 1, 'older rows')
    t.equal(await node.totals(device, list, { asOf: asOf + 100, rows: [] }), null)
  },

  async 'an inline object is read as it was written'(t, { node, device }) {
    const item = object('naïve 名前 \u{1f600}')
    const meta = {
      etag: 'abc',
      contentType: 'text/plain; charset=utf-8',
      headers: { 'x-object-meta-färbe': 'grün \u{1f600}', 'x-delete-at': '99999999999' },
    }
    const write = change(item, { meta })
    const outcome = await node.write(device, write, Buffer.from('hello'))
    t.match(outcome, { status: 'done', existed: false, info: { name: item.name, meta } })
    const read = (await node.read(device, item))!
    t.equal(Buffer.from(read.body as Uint8Array).toString(), 'hello')
    t.strictSame(read.info.meta, meta)
    t.match(read.info, {
      name: item.name,
      policy: 0,
      deleted: false,
      bytes: 5,
      stamp: write.stamp,
      metaStamp: write.stamp,
      ballot: write.ballot,
      writeId: write.writeId,
    })
    const head = (await node.read(device, item, { head: true }))!
    t.equal(head.body, null)
    t.strictSame(head.info, read.info)
  },

  async 'bodies of all inline sizes'(t, { node, device }) {
    for (const bytes of [0, 1, 4096, INLINE_BYTES_MAX]) {
      const item = object(`size ${bytes}`)
      const body = Buffer.alloc(bytes, bytes % 251)
      t.match(await node.write(device, change(item), body), { info: { bytes } })
      const read = (await node.read(device, item))!
      t.ok(body.equals(read.body as Uint8Array), `${bytes} bytes`)
    }
  },

  async 'what is not there'(t, { node, device }) {
    t.equal(await node.read(device, object('none')), null)
    t.equal(await node.list(device, container('none'), { limit: 10 }), null)
    t.same(await node.putRow(device, container('none'), rowOf('o')), { status: 'not-found' })
    t.same(await node.write(device, change(object('none'), { action: 'post' }), null), {
      status: 'not-found',
    })
    const unknown = { code: 'UnknownDevice', status: 404 }
    await t.rejects(node.read('nope', object('o')), unknown)
    await t.rejects(node.write('nope', change(object('o')), null), unknown)
    await t.rejects(node.putRow('nope', container('c'), rowOf('o')), unknown)
    await t.rejects(node.list('nope', container('c'), { limit: 1 }), unknown)
    await t.rejects(node.openBody('nope', object('o')), unknown)
  },

  async 'a write may be repeated'(t, { node, device }) {
    const write = change(object('o'))
    t.match(await node.write(device, write, Buffer.from('1')), { status: 'done' })
    t.match(await node.write(device, write, Buffer.from('1')), { status: 'done' })
    t.match(await node.read(device, write.item), { info: { writeId: write.writeId } })
  },

  async 'an older ballot is refused and told of the newer one'(t, { node, device }) {
    const older = change(object('o'))
    const newer = change(object('o'))
    await node.write(device, newer, Buffer.from('new'))
    t.same(await node.write(device, older, Buffer.from('old')), {
      status: 'superseded',
      ballot: newer.ballot,
    })
    t.equal(String((await node.read(device, newer.item))!.body), 'new')
  },

  async 'a write keeps stamp and ballot apart'(t, { node, device }) {
    const ballot = stamps.next()
    const stamp = { ticks: 12345, proposer: 1 }
    await node.write(device, change(object('o'), { stamp, ballot }), Buffer.from('x'))
    t.match(await node.read(device, object('o')), { info: { stamp, ballot } })
  },

  async 'a deleted object leaves a tombstone'(t, { node, device }) {
    const item = object('o')
    await node.write(device, change(item), Buffer.from('x'))
    const deletion = change(item, { action: 'delete' })
    t.match(await node.write(device, deletion, null), { status: 'done', existed: true })
    t.match(await node.read(device, item), {
      info: { deleted: true, stamp: deletion.stamp, ballot: deletion.ballot },
      body: null,
    })
    const again = change(item, { action: 'delete' })
    t.match(await node.write(device, again, null), { status: 'not-found' })
    t.match(await node.read(device, item), { info: { ballot: again.ballot } }, 'recorded')
    t.match(await node.write(device, change(item), Buffer.from('y')), { existed: false })
  },

  async 'a post replaces user metadata and keeps the rest'(t, { node, device }) {
    const item = object('o')
    const put = change(item, {
      meta: {
        etag: 'abc',
        contentType: 'a/b',
        headers: { 'x-object-meta-old': '1', 'x-object-sysmeta-kept': '2' },
      },
    })
    await node.write(device, put, Buffer.from('body'))
    const post = change(item, { action: 'post', meta: { headers: { 'x-object-meta-new': '3' } } })
    t.match(await node.write(device, post, null), { status: 'done', existed: true })
    const read = (await node.read(device, item))!
    t.equal(String(read.body), 'body')
    t.strictSame(read.info.meta, {
      etag: 'abc',
      contentType: 'a/b',
      headers: { 'x-object-sysmeta-kept': '2', 'x-object-meta-new': '3' },
    })
    t.match(read.info, { stamp: put.stamp, metaStamp: post.stamp, ballot: post.ballot, bytes: 4 })
  },

  async 'conditions are judged on the current object'(t, { node, device }) {
    const item = object('o')
    const put = (condition: ItemWrite['condition']) =>
      node.write(
        device,
        change(item, { meta: { etag: 'e1', headers: {} }, ...(condition && { condition }) }),
        Buffer.from('x'),
      )
    t.match(await put({ ifMatch: ['*'] }), { status: 'precondition-failed', current: null })
    t.match(await put({ ifNoneMatch: ['*'] }), { status: 'done' })
    t.match(await put({ ifNoneMatch: ['*'] }), {
      status: 'precondition-failed',
      current: { name: item.name },
    })
    t.match(await put({ ifMatch: ['other'] }), { status: 'precondition-failed' })
    t.match(await put({ ifMatch: ['e1'] }), { status: 'done', existed: true })
  },

  async 'of many conditional creations at once one succeeds'(t, { node, device }) {
    const writes = Array.from({ length: 20 }, () =>
      change(object('o'), { condition: { ifNoneMatch: ['*'] } }),
    )
    const outcomes = await Promise.all(
      writes.map((write) => node.write(device, write, Buffer.from('x'))),
    )
    t.equal(outcomes.filter(({ status }) => status === 'done').length, 1)
  },

  async 'a promise keeps older ballots out'(t, { node, device }) {
    const item = object('o')
    const [early, ballot, late] = [stamps.next(), stamps.next(), stamps.next()]
    const promised = { status: 'promised', current: null }
    t.strictSame(await node.prepare(device, item, ballot), promised, 'of what is not there')
    t.equal(await node.read(device, item), null, 'and still is not there')
    const refused = { status: 'superseded', ballot }
    const older = change(item, { stamp: early })
    t.strictSame(await node.write(device, older, Buffer.from('x')), refused)
    t.strictSame(await node.write(device, change(item, { action: 'delete', stamp: early }), null), {
      ...refused,
    })
    t.strictSame(await node.prepare(device, item, early), refused)
    t.strictSame(await node.prepare(device, item, ballot), promised, 'the same once more')
    t.match(await node.write(device, change(item, { stamp: ballot }), Buffer.from('1')), {
      status: 'done',
      existed: false,
    })
    t.match(await node.prepare(device, item, ballot), { status: 'promised', current: { ballot } })
    t.match(await node.write(device, change(item, { stamp: late }), Buffer.from('2')), {
      status: 'done',
    })
    t.strictSame(await node.prepare(device, item, ballot), { status: 'superseded', ballot: late })
  },

  async 'a promise says what was accepted last'(t, { node, device }) {
    const item = object('o')
    const put = change(item, { meta: { etag: 'e', headers: { 'x-object-meta-a': 'b' } } })
    await node.write(device, put, Buffer.from('body'))
    const { info } = (await node.read(device, item))!
    const first = await node.prepare(device, item, stamps.next())
    t.strictSame(first, { status: 'promised', current: info })
    const deletion = change(item, { action: 'delete' })
    t.match(await node.write(device, deletion, null), { status: 'done' })
    t.match(await node.prepare(device, item, stamps.next()), {
      current: { deleted: true, ballot: deletion.ballot, writeId: deletion.writeId },
    })
    const list = container('c')
    await node.write(device, change(list), null)
    await node.putRow(device, list, rowOf('o'))
    const ofList = await node.prepare(device, list, stamps.next())
    t.match(ofList, { current: { name: '/a/c', deleted: false } })
    t.notOk(ofList.status === 'promised' && ofList.current && 'stats' in ofList.current)
    const [page] = (await node.list(device, list, { limit: 9 }))!.entries
    t.match(page, { name: 'o' }, 'a promised container keeps its listing')
  },

  async 'writes on their way count for a promise, and promises for them'(t, { node, device }) {
    const rounds = Array.from({ length: 30 }, (_, index) => object(`race ${index}`))
    await Promise.all(
      rounds.map(async (item) => {
        const [low, high] = [stamps.next(), stamps.next()]
        const [write, promise] = await Promise.all([
          node.write(device, change(item, { stamp: low }), Buffer.from('x')),
          node.prepare(device, item, high),
        ])
        // Whichever came first: what was accepted, the promise has seen.
        const seen = promise.status === 'promised' && promise.current !== null
        t.equal(write.status === 'done', seen, `${write.status}, ${promise.status}`)
      }),
    )
  },

  async 'a record is accepted again under a new ballot as it was'(t, { node, device }) {
    const item = object('o')
    const meta = {
      etag: 'e',
      contentType: 'a/b',
      headers: { 'x-object-meta-a': 'b', 'x-delete-at': '99999999999' },
    }
    const long = Buffer.alloc(200_000, 3)
    const streamed = object('long')
    const put = change(item, { meta })
    await node.write(device, put, Buffer.from('body'))
    const writer = await node.openBody(device, streamed)
    await writer.write(long)
    await writer.commit(change(streamed, { meta }))
    for (const [key, bytes] of [
      [item, 4],
      [streamed, long.length],
    ] as const) {
      const before = (await node.read(device, key, { head: true }))!.info
      const ballot = stamps.next()
      await node.prepare(device, key, ballot)
      t.match(await node.write(device, acceptOf(key, before, ballot), null), { status: 'done' })
      const after = (await node.read(device, key))!
      t.strictSame(after.info, { ...before, ballot }, 'all but the ballot is as it was')
      const body = after.body instanceof Uint8Array ? after.body : await bytesOf(after.body!)
      t.equal(Buffer.from(body).length, bytes)
      if (after.body !== null && !(after.body instanceof Uint8Array)) await after.body.close()
      t.match(await node.write(device, acceptOf(key, before, ballot), null), { status: 'done' })
      t.strictSame(await node.write(device, acceptOf(key, before, before.ballot), null), {
        status: 'superseded',
        ballot,
      })
    }
    const posted = { ...(await node.read(device, item, { head: true }))!.info }
    const newMeta = { etag: 'e', headers: { 'x-object-meta-new': '1' } }
    const ballot = stamps.next()
    const changed = { ...posted, metaStamp: ballot, meta: newMeta, dependent: true as const }
    t.match(await node.write(device, acceptOf(item, changed, ballot), null), { status: 'done' })
    const { info, body } = (await node.read(device, item))!
    t.strictSame(info, { ...changed, ballot }, 'nothing is merged')
    t.equal(Buffer.from(body as Uint8Array).toString(), 'body')
  },

  async 'an accept without a body needs that very body here'(t, { node, device }) {
    const item = object('o')
    const put = change(item)
    await node.write(device, put, Buffer.from('body'))
    const { info } = (await node.read(device, item))!
    const missing = { status: 'body-missing' }
    const other = { ...info, stamp: stamps.next() }
    t.strictSame(await node.write(device, acceptOf(item, other, stamps.next()), null), missing)
    t.strictSame(
      await node.write(device, acceptOf(object('none'), info, stamps.next()), null),
      missing,
    )
    t.equal(String((await node.read(device, item))!.body), 'body')
    t.match(await node.write(device, acceptOf(item, other, stamps.next()), Buffer.from('new!')), {
      status: 'done',
    })
    t.match(await node.read(device, item), { info: { stamp: other.stamp, writeId: put.writeId } })
    const empty = { ...info, bytes: 0 }
    t.match(await node.write(device, acceptOf(object('empty'), empty, stamps.next()), null), {
      status: 'done',
      info: { bytes: 0 },
    })
    const dead = { ...info, deleted: true, bytes: 0, meta: { headers: {} } }
    const ballot = stamps.next()
    t.match(await node.write(device, acceptOf(item, dead, ballot), null), { existed: true })
    t.match(await node.read(device, item), {
      info: { deleted: true, stamp: info.stamp, ballot },
      body: null,
    })
  },

  async 'a body waits for the ballot that wins'(t, { node, device }) {
    const item = object('o')
    const writer = await node.openBody(device, item)
    const body = Buffer.from(systemRandom.bytes(300_000))
    await writer.write(body)
    const late = change(item)
    const ballot = stamps.next()
    await node.prepare(device, item, ballot)
    t.strictSame(await writer.commit(late), { status: 'superseded', ballot })
    t.ok(writer.canRecommit)
    const record = { ...late, metaStamp: late.stamp, deleted: false, bytes: body.length }
    t.match(await writer.commit(acceptOf(item, record, stamps.next())), {
      status: 'done',
      info: { stamp: late.stamp, writeId: late.writeId },
    })
    await writer.abort()
    const reader = (await node.read(device, item))!.body as BodyReader
    t.ok(body.equals(await bytesOf(reader)))
    await reader.close()
    const second = await node.openBody(device, item)
    await second.write(body)
    t.match(await second.commit(late), { status: 'superseded' })
    await second.abort()
    t.match(await node.read(device, item, { head: true }), { info: { writeId: late.writeId } })
  },

  async 'a container is accepted as it is, and not deleted over its rows'(t, { node, device }) {
    const list = container('c')
    const put = change(list, { meta: { headers: { 'x-container-meta-a': '1' } } })
    await node.write(device, put, null)
    await node.putRow(device, list, rowOf('o'))
    const { stats: _, ...info } = (await node.read(device, list))!.info
    const dead = { ...info, deleted: true, meta: { headers: {} } }
    const tombstone = acceptOf(list, dead, stamps.next())
    t.strictSame(await node.write(device, tombstone, null), { status: 'not-empty' })
    const meta = { headers: { 'x-container-meta-b': '2' } }
    const ballot = stamps.next()
    t.match(await node.write(device, acceptOf(list, { ...info, meta }, ballot), null), {
      status: 'done',
    })
    t.strictSame((await node.read(device, list))!.info.meta, meta)
    t.equal((await node.list(device, list, { limit: 9 }))!.entries.length, 1)
    await node.putRow(device, list, rowOf('o', { deleted: true, bytes: 0, count: 0 }))
    const again = acceptOf(list, dead, stamps.next())
    t.match(await node.write(device, again, null), { status: 'done' })
    t.equal(await node.list(device, list, { limit: 9 }), null)
  },

  async 'a row of a container that was deleted does not enter the next one'(t, { node, device }) {
    const list = container('c')
    await node.write(device, change(list), null)
    const late = rowOf('late')
    await node.write(device, change(list, { action: 'delete' }), null)
    const [again] = await Promise.all([
      node.write(device, change(list), null),
      node.putRow(device, list, late),
    ])
    t.match(again, { status: 'done' })
    t.strictSame(await node.putRow(device, list, late), { status: 'not-found' })
    t.strictSame((await node.list(device, list, { limit: 9 }))!.entries, [])
    t.strictSame(await node.putRow(device, list, rowOf('new')), { status: 'done' })
    const meta = { headers: { 'x-container-meta-a': '1' } }
    const between = rowOf('between')
    await node.write(device, change(list, { action: 'post', meta }), null)
    t.strictSame(await node.putRow(device, list, between), { status: 'done' }, 'a POST is no birth')
  },

  async 'a row made under older settings than the container has is refused'(t, { node, device }) {
    const list = container('c')
    const made = change(list)
    await node.write(device, made, null)
    const row = rowOf('o')
    t.strictSame(await node.putRow(device, list, row, made.stamp), { status: 'done' })
    t.strictSame(await node.putRow(device, list, row, made.stamp), { status: 'done' }, 'again')
    const changed = change(list, { meta: { headers: { 'x-container-meta-a': '1' } } })
    const accept = { ...changed, action: 'accept', ...recordOf(changed) } as const
    const late = rowOf('late')
    // Also while the change is on its way to the disk.
    const [, judged] = await Promise.all([
      node.write(device, accept, null),
      node.putRow(device, list, late, made.stamp),
    ])
    t.strictSame(judged, { status: 'stale-settings' })
    const deletion = rowOf('o', { deleted: true })
    const old = { status: 'stale-settings' }
    t.strictSame(await node.putRow(device, list, deletion, made.stamp), old, 'deletions too')
    t.match((await node.list(device, list, { limit: 9 }))!.entries, [{ name: 'o' }])
    t.strictSame(await node.putRow(device, list, late, changed.stamp), { status: 'done' })
    const newer = stamps.next()
    t.strictSame(await node.putRow(device, list, rowOf('p'), newer), { status: 'done' }, 'it lags')
    t.strictSame(await node.putRow(device, list, rowOf('q')), { status: 'done' }, 'none given')
    await node.write(device, { ...accept, ballot: stamps.next() }, null)
    t.strictSame(
      await node.putRow(device, list, rowOf('r'), changed.stamp),
      { status: 'done' },
      'accepted anew',
    )
  },

  async 'stamps from far in the future are refused'(t, { node, device }) {
    const now = Math.floor(Date.now() * 100)
    const far = { ticks: now + 6 * 60 * TICKS_PER_SECOND, proposer: 1 }
    const near = { ticks: now + 4 * 60 * TICKS_PER_SECOND, proposer: 1 }
    const refusal = { code: 'StampAhead', status: 503 }
    await t.rejects(node.write(device, change(object('o'), { stamp: far }), null), refusal)
    await t.rejects(node.prepare(device, object('o'), far), refusal)
    t.match(await node.write(device, change(object('o'), { stamp: near }), null), {
      status: 'done',
    })
  },

  async 'a long body is streamed in and out'(t, { node, device }) {
    const item = object('blob')
    const body = Buffer.from(systemRandom.bytes(3 * 1024 * 1024 + 17))
    const writer = await node.openBody(device, item)
    const piece = Buffer.alloc(700_001)
    for (let at = 0; at < body.length; at += piece.length) {
      const length = body.copy(piece, 0, at, at + piece.length)
      await writer.write(piece.subarray(0, length))
      // The piece is the caller's again: what it is filled with now must not be stored.
      piece.fill(0xee)
    }
    const write = change(item, { meta: { etag: 'e', headers: { 'x-object-meta-a': 'b' } } })
    t.match(await writer.commit(write), { status: 'done', info: { bytes: body.length } })
    await writer.abort()
    const reader = (await node.read(device, item))!.body as BodyReader
    t.equal(reader.bytes, body.length)
    t.ok(body.equals(await bytesOf(reader)), 'whole')
    for (const [start, end] of [
      [0, 1],
      [body.length - 1, body.length],
      [262_143, 262_145],
      [1_000_000, 2_000_003],
      [5, 5],
    ] as const) {
      t.ok(body.subarray(start, end).equals(await bytesOf(reader, start, end)), `${start}-${end}`)
    }
    // A reader that stops in the middle leaves nothing behind that would stop the next one.
    for await (const _ of reader.stream(0, body.length)) break
    await node.write(device, change(item), Buffer.from('small'))
    t.ok(body.equals(await bytesOf(reader)), 'readable after it was replaced, until it is closed')
    await reader.close()
    await reader.close()
    t.equal(String((await node.read(device, item))!.body), 'small')
  },

  async 'a short body may be streamed too, and an aborted one leaves nothing'(t, { node, device }) {
    const empty = await node.openBody(device, object('empty'))
    t.match(await empty.commit(change(object('empty'))), { status: 'done', info: { bytes: 0 } })
    t.match(await node.read(device, object('empty'), { head: true }), { info: { bytes: 0 } })
    const writer = await node.openBody(device, object('gone'))
    await writer.write(Buffer.alloc(100_000))
    await writer.abort()
    await writer.abort()
    t.equal(await node.read(device, object('gone')), null)
  },

  async 'a refused commit of a body leaves the object as it was'(t, { node, device }) {
    const item = object('o')
    const late = change(item)
    await node.write(device, change(item), Buffer.from('newer'))
    const writer = await node.openBody(device, item)
    await writer.write(Buffer.alloc(200_000))
    t.match(await writer.commit(late), { status: 'superseded' })
    if (writer.canRecommit) {
      t.match(await writer.commit(change(item)), { status: 'done', info: { bytes: 200_000 } })
      await node.write(device, change(item), Buffer.from('newer'))
    }
    await writer.abort()
    t.equal(String((await node.read(device, item))!.body), 'newer')
  },

  async 'rows and totals of a container'(t, { node, device }) {
    const list = container('c')
    t.match(await node.write(device, change(list), null), { status: 'done', existed: false })
    const row = rowOf('b', { bytes: 5, policy: 1 })
    t.same(await node.putRow(device, list, row), { status: 'done' })
    t.same(await node.putRow(device, list, row), { status: 'done' }, 'again')
    await node.putRow(device, list, rowOf('a', { bytes: 7 }))
    const page = (await node.list(device, list, { limit: 10 }))!
    t.match(page.entries, [{ name: 'a', bytes: 7 }, row])
    t.match(page.info, {
      name: '/a/c',
      stats: { rows: 2, bytes: 12, byPolicy: { 0: { bytes: 7 }, 1: { bytes: 5 } } },
    })
    t.match(await node.read(device, list, { head: true }), { info: { stats: { rows: 2 } } })

    t.same(await node.putRow(device, list, { ...row, ballot: { ticks: 1, proposer: 1 } }), {
      status: 'superseded',
    })
    t.match(await node.write(device, change(list, { action: 'delete' }), null), {
      status: 'not-empty',
    })
    for (const name of ['a', 'b']) {
      await node.putRow(device, list, rowOf(name, { deleted: true, count: 0, bytes: 0 }))
    }
    t.match(await node.list(device, list, { limit: 10 }), {
      entries: [],
      info: { stats: { rows: 0, bytes: 0 } },
    })
    t.match(await node.write(device, change(list, { action: 'delete' }), null), { status: 'done' })
    t.equal(await node.list(device, list, { limit: 10 }), null)
    t.same(await node.putRow(device, list, rowOf('a')), { status: 'not-found' })
  },

  async 'an existing container keeps its listing and merges metadata'(t, { node, device }) {
    const list = container('c')
    const headers = { 'x-container-meta-a': '1', 'x-container-meta-b': '2' }
    await node.write(device, change(list, { meta: { headers } }), null)
    await node.putRow(device, list, rowOf('o'))
    const more = { 'x-container-meta-b': '', 'x-container-meta-c': '3' }
    const put = change(list, { meta: { headers: more } })
    t.match(await node.write(device, put, null), { status: 'done', existed: true })
    const post = change(list, { action: 'post', meta: { headers: { 'x-container-meta-d': '4' } } })
    t.match(await node.write(device, post, null), { status: 'done' })
    const page = (await node.list(device, list, { limit: 10 }))!
    t.equal(page.entries.length, 1)
    t.strictSame(page.info.meta.headers, {
      'x-container-meta-a': '1',
      'x-container-meta-c': '3',
      'x-container-meta-d': '4',
    })
  },

  async 'listing parameters'(t, { node, device }) {
    const list = container('c')
    await node.write(device, change(list), null)
    const names = ['a', 'b/1', 'b/2', 'b/c/3', 'd', '\uffee', '\u{1f600}']
    for (const name of names) await node.putRow(device, list, rowOf(name))
    const cases: readonly (readonly [Omit<ListQuery, 'limit'> & { limit?: number }, string[]])[] = [
      [{}, names],
      [{ limit: 0 }, []],
      [{ limit: 2 }, ['a', 'b/1']],
      [{ marker: 'b/1' }, names.slice(2)],
      [{ endMarker: 'b/2' }, ['a', 'b/1']],
      [{ prefix: 'b/' }, ['b/1', 'b/2', 'b/c/3']],
      [{ delimiter: '/' }, ['a', '>b/', 'd', '\uffee', '\u{1f600}']],
      [{ delimiter: '/', prefix: 'b/' }, ['b/1', 'b/2', '>b/c/']],
      [{ delimiter: '/', marker: 'b/' }, ['d', '\uffee', '\u{1f600}']],
      [{ reverse: true }, names.toReversed()],
      [{ reverse: true, marker: 'd', limit: 2 }, ['b/c/3', 'b/2']],
      [{ reverse: true, delimiter: '/', marker: 'd' }, ['>b/', 'a']],
    ]
    for (const [query, expected] of cases) {
      const page = (await node.list(device, list, { limit: 100, ...query }))!
      const found = page.entries.map((entry) =>
        'subdir' in entry ? `>${entry.subdir}` : entry.name,
      )
      t.strictSame(found, expected, JSON.stringify(query))
    }
  },

  async 'a listing of many rows'(t, { node, device }) {
    const list = container('c')
    await node.write(device, change(list), null)
    const rows = Array.from({ length: 3000 }, (_, index) =>
      rowOf(`${'n'.repeat(200)} ${String(index).padStart(6, '0')}`),
    )
    await Promise.all(rows.map((row) => node.putRow(device, list, row)))
    const page = (await node.list(device, list, { limit: 10_000 }))!
    t.strictSame(
      page.entries.map((entry) => 'name' in entry && entry.name),
      rows.map(({ name }) => name),
    )
  },

  async 'rows and items are unconfirmed until they are confirmed'(t, { node, device }) {
    const list = container('c')
    const put = change(list)
    await node.write(device, put, null)
    const write = change(object('o'))
    await node.write(device, write, Buffer.from('x'))
    const row = rowOf('o', { stamp: write.stamp })
    await node.putRow(device, list, row)
    const unconfirmed = async () =>
      (await node.unconfirmed(device, { ageMs: 0, limit: 10 }))
        .map((found) => (found.kind === 'row' ? `row ${found.row.name}` : found.info.name))
        .sort()
    t.strictSame(await unconfirmed(), ['/a/c', '/a/c/o', 'row o'])
    t.strictSame(await node.unconfirmed(device, { ageMs: 60_000, limit: 10 }), [], 'too young')
    t.match(await node.list(device, list, { limit: 1 }), { entries: [{ confirmed: false }] })
    node.confirm(device, { kind: 'item', item: list, ballot: put.ballot })
    node.confirm(device, { kind: 'item', item: write.item, ballot: write.ballot })
    node.confirm(device, { kind: 'row', list, name: 'o', ballot: { ticks: 1, proposer: 1 } })
    await until(async () => (await unconfirmed()).length === 1)
    t.strictSame(await unconfirmed(), ['row o'], 'another ballot is another row')
    node.confirm(device, { kind: 'row', list, name: 'o', ballot: row.ballot })
    await until(async () => (await unconfirmed()).length === 0)
    t.match(await node.list(device, list, { limit: 1 }), { entries: [{ confirmed: true }] })
  },

  async 'containers whose totals changed are reported once'(t, { node, device }) {
    const list = container('c')
    await node.write(device, change(list), null)
    await node.putRow(device, list, rowOf('o', { bytes: 3 }))
    t.match(await node.takeChangedContainers(device, { limit: 10 }), [
      { name: '/a/c', stats: { rows: 1, bytes: 3 } },
    ])
    t.strictSame(await node.takeChangedContainers(device, { limit: 10 }), [])
    await node.putRow(device, list, rowOf('p', { bytes: 4 }))
    t.match(await node.takeChangedContainers(device, { limit: 10 }), [{ stats: { bytes: 7 } }])
  },

  async 'objects that expired are found, oldest first'(t, { node, device }) {
    for (const [name, at] of [
      ['late', 3000],
      ['first', 1000],
      ['second', 2000],
      ['never', 0],
    ] as const) {
      const headers: Record<string, string> = at === 0 ? {} : { 'x-delete-at': String(at) }
      await node.write(device, change(object(name), { meta: { headers } }), Buffer.from('x'))
    }
    t.strictSame(await node.expired(device, { beforeSeconds: 2500, limit: 10 }), [
      { name: '/a/c/first', policy: 0, deleteAt: 1000 },
      { name: '/a/c/second', policy: 0, deleteAt: 2000 },
    ])
    t.equal((await node.expired(device, { beforeSeconds: 2500, limit: 1 })).length, 1)
    await node.write(device, change(object('first'), { action: 'delete' }), null)
    t.equal((await node.expired(device, { beforeSeconds: 2500, limit: 10 })).length, 1)
  },

  async 'many writers at once'(t, { node, device }) {
    const names = Array.from({ length: 300 }, (_, index) => `many ${index}`)
    await Promise.all(
      names.map((name) => node.write(device, change(object(name)), Buffer.from(name))),
    )
    const reads = await Promise.all(names.map((name) => node.read(device, object(name))))
    t.strictSame(
      reads.map((read) => String(read!.body)),
      names,
    )
  },

  async 'a node says how its devices are'(t, { node, device }) {
    const [status] = await node.status()
    t.match(status, { device, state: 'online', reason: '', damage: [] })
    t.ok(status!.bytesTotal > 0 && status!.bytesFree > 0)
  },

  async 'a closed node refuses'(t, { node, device }) {
    await node.close()
    await node.close()
    const calls = [
      node.read(device, object('o')),
      node.write(device, change(object('o')), null),
      node.putRow(device, container('c'), rowOf('o')),
    ]
    for (const call of calls) {
      const error = await call.then(
        () => null,
        (reason: unknown) => reason,
      )
      t.match(error, { name: 'ServiceError', status: 503 })
    }
  },
}
