/**
 * The counter-examples of the register protocol, message by message: three replicas, several proxies, and messages of one
 * proxy to one replica held back until the test lets them go.
 */
import t, { type Test } from 'tap'
import { ServiceError } from '../../common/errors.ts'
import { itemKey } from '../../common/item.ts'
import { systemRandom } from '../../common/random.ts'
import { compareStamps } from '../../common/stamp.ts'
import type { BodyReader, ItemWrite, StorageNode, Unconfirmed } from '../../common/storage-node.ts'
import type { BackendOutcome } from '../../proxy/backend/backend.ts'
import type { ClusterBackend } from '../../proxy/backend/cluster-backend.ts'
import { ClusterUnderTest, HASHING, pathOf, skewedClock, until } from '../support/cluster-nodes.ts'

const META = { headers: {} }
const ABSENT = { ifNoneMatch: ['*'] }

interface Rig {
  readonly cluster: ClusterUnderTest
  /** Two proxies, and one that only looks. */
  readonly a: ClusterBackend
  readonly b: ClusterBackend
  readonly reader: ClusterBackend
  /** What A and B send passes here first. */
  readonly ofA: Gate
  readonly ofB: Gate
  /** An object whose first primary is node 0. */
  readonly name: string
}

/** The way of one proxy to the nodes. */
class Gate {
  readonly #cluster: ClusterUnderTest
  readonly #cut = new Set<number>()
  #held: readonly number[] = []
  #waiting: (() => void)[] = []
  /** Writes of objects that were let through and are not answered yet. */
  #passing = 0

  constructor(cluster: ClusterUnderTest) {
    this.#cluster = cluster
  }

  backend(): ClusterBackend {
    return this.#cluster.backend({ nodeOf: (device) => this.#node(device.id) })
  }

  /** Holds what is written to objects at these nodes from now on. */
  hold(nodes: readonly number[]): void {
    this.#held = nodes
  }

  /** As many are held, and what was let through is where it was to go. */
  arrived(count: number): Promise<void> {
    return until(
      `${count} messages are held`,
      async () => this.#waiting.length >= count && this.#passing === 0,
    )
  }

  release(): void {
    this.#held = []
    for (const resume of this.#waiting) resume()
    this.#waiting = []
  }

  /** The work without reaching one node. */
  async without<T>(node: number, work: () => Promise<T>): Promise<T> {
    this.#cut.add(node)
    try {
      return await work()
    } finally {
      this.#cut.delete(node)
    }
  }

  #node(index: number): StorageNode {
    return new Proxy(this.#cluster.node(index), {
      get: (target, method: keyof StorageNode) => {
        const call = target[method]!.bind(target) as (...parameters: unknown[]) => Promise<unknown>
        if (method === 'confirm') return call
        return async (...parameters: unknown[]) => {
          if (this.#cut.has(index)) throw new ServiceError('Unreachable', 'cut', { status: 503 })
          const isHeld = method === 'write' && this.#held.includes(index)
          const write = parameters[1] as ItemWrite | undefined
          if (method !== 'write' || write?.item.kind !== 'object') return call(...parameters)
          if (isHeld) {
            await new Promise<void>((resolve) => this.#waiting.push(resolve))
            return call(...parameters)
          }
          this.#passing++
          return call(...parameters).finally(() => this.#passing--)
        }
      },
    })
  }
}

async function open(t: Test): Promise<Rig> {
  const cluster = await ClusterUnderTest.open(t, { nodes: 3, replicas: 3, local: true })
  // The clock's timers do not keep a process alive that has no sockets.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const [ofA, ofB] = [new Gate(cluster), new Gate(cluster)]
  const [a, b, reader] = [ofA.backend(), ofB.backend(), cluster.backend()]
  await a.putAccount('a', META)
  await a.putContainer('a', 'c', { meta: META, policy: 0 })
  const { ring } = cluster
  let name = 'o'
  const first = () => ring.primaries(ring.partitionOf(keyOf(name).placement))[0]!.id
  while (first() !== 0) name += 'o'
  return { cluster, a, b, reader, ofA, ofB, name }
}

const keyOf = (name: string) => itemKey(HASHING, 'object', `/a/c/${name}`, 0)

function put(backend: ClusterBackend, name: string, body: string, condition = {}) {
  const meta = { etag: `etag of ${body}`, headers: {} }
  const isConditional = Object.keys(condition).length > 0
  return backend.putObject(pathOf(name), {
    meta,
    body: Buffer.from(body),
    ...(isConditional && { condition }),
  })
}

async function text(backend: ClusterBackend, name: string): Promise<string | null> {
  const read = await backend.readObject(pathOf(name))
  if (read === null) return null
  if (read.body instanceof Uint8Array) return Buffer.from(read.body).toString()
  const pieces: Uint8Array[] = []
  for await (const piece of (read.body as BodyReader).stream(0, read.info.bytes)) pieces.push(piece)
  await (read.body as BodyReader).close()
  return Buffer.concat(pieces).toString()
}

const settled = (outcome: Promise<BackendOutcome>): Promise<string> =>
  outcome.then(
    ({ status }) => status,
    (error) => String(error.code),
  )

const heldAt = async (cluster: ClusterUnderTest, node: number, name: string) => {
  const read = await cluster.node(node).read('d', keyOf(name))
  return read === null ? null : String(Buffer.from(read.body as Uint8Array))
}

t.test('v, w, v: what was read and outdone is not written a second time', async (t) => {
  const { cluster, a, b, reader, name, ofA } = await open(t)
  await put(b, name, 'u')
  ofA.hold([1, 2])
  const writing = settled(put(a, name, 'v'))
  await ofA.arrived(2)
  t.equal(await heldAt(cluster, 0, name), 'v', 'one replica has it')
  t.equal(await text(reader, name), 'v', 'and who reads it makes it hold')
  await put(b, name, 'w')
  ofA.release()
  // Whether w came before v began is not to be known without having asked; what counts is that v does not return.
  t.equal(await writing, 'NoQuorum')
  for (let read = 0; read < 5; read++) t.equal(await text(reader, name), 'w')
})

t.test('the same, asked beforehand: v was just before w', async (t) => {
  const { cluster, a, b, reader, name, ofA } = await open(t)
  // The name is known to be contested, so its writes ask first.
  ofA.hold([1, 2])
  const first = settled(put(a, name, 'first'))
  await ofA.arrived(2)
  await put(b, name, 'w')
  ofA.release()
  await first
  ofA.hold([1, 2])
  const writing = settled(put(a, name, 'v'))
  await ofA.arrived(2)
  await put(b, name, 'w2')
  ofA.release()
  t.equal(await writing, 'done')
  t.equal(await text(reader, name), 'w2')
  const list = await reader.listContainer('a', 'c', { limit: 10 })
  t.match(list!.entries, [{ name, etag: 'etag of w2' }])
  await until('all have it', async () => {
    await text(reader, name)
    const held = await Promise.all([0, 1, 2].map((node) => heldAt(cluster, node, name)))
    return held.every((body) => body === 'w2')
  })
})

t.test(
  'a conditional creation that slips in is not counted as coming after the write',
  async (t) => {
    const { a, b, reader, name, ofA, ofB } = await open(t)
    ofA.hold([1, 2])
    const writing = settled(put(a, name, 'v'))
    await ofA.arrived(2)
    // The creator reaches the two that have nothing.
    const apart = await ofB.without(0, () => settled(put(b, name, 'c', ABSENT)))
    t.equal(apart, 'done')
    ofA.release()
    t.equal(await writing, 'NoQuorum', 'v can neither have been before c nor after it')
    t.equal(await text(reader, name), 'c')
    t.equal(await settled(put(reader, name, 'd', ABSENT)), 'precondition-failed')
  },
)

t.test('consumed twice: what another write was made of is not proposed again', async (t) => {
  const { a, b, reader, name, ofA } = await open(t)
  await put(b, name, 'u')
  // A replaces u by v under a condition; one replica takes it, then others build on v and go back to u's ETag.
  ofA.hold([1, 2])
  const writing = settled(put(a, name, 'v', { ifMatch: ['etag of u'] }))
  await ofA.arrived(2)
  t.equal(await text(reader, name), 'v')
  t.equal(await settled(put(b, name, 'u', { ifMatch: ['etag of v'] })), 'done', 'v is consumed')
  ofA.release()
  t.equal(await writing, 'WriteConflict')
  t.equal(await text(reader, name), 'u', 'and u is not consumed a second time')
})

t.test('a creation that was completed by a reader is found to be one’s own', async (t) => {
  const { a, reader, name, ofA } = await open(t)
  ofA.hold([1, 2])
  const writing = settled(put(a, name, 'v', ABSENT))
  await ofA.arrived(2)
  t.equal(await text(reader, name), 'v')
  ofA.release()
  t.equal(await writing, 'done')
  t.equal(await text(reader, name), 'v')
})

t.test('a plain write is outdone by promises and finds its end', async (t) => {
  const { cluster, a, b, reader, name, ofA } = await open(t)
  await put(b, name, 'u')
  ofA.hold([1, 2])
  const writing = settled(put(a, name, 'v'))
  await ofA.arrived(2)
  // A creation that fails leaves promises, and completes what it has seen.
  t.equal(await settled(put(b, name, 'c', ABSENT)), 'precondition-failed')
  for (const node of [1, 2]) {
    const ballot = { ticks: Math.floor(Date.now() * 100) + 50_000, proposer: 77 << 8 }
    await cluster.node(node).prepare('d', keyOf(name), ballot)
  }
  ofA.release()
  t.equal(await writing, 'done')
  t.equal(await text(reader, name), 'v')
  t.ok(a.counters.contested > 0)
})

t.test('a proposer that died between the phases stops nobody', async (t) => {
  const { cluster, b, reader, name } = await open(t)
  const now = () => Math.floor(Date.now() * 100)
  const dead = (ahead: number) => ({ ticks: now() + ahead, proposer: 99 << 8 })
  for (const node of [0, 1, 2]) await cluster.node(node).prepare('d', keyOf(name), dead(100_000))
  t.equal(await settled(put(b, name, 'b', ABSENT)), 'done')
  for (const node of [0, 1]) await cluster.node(node).prepare('d', keyOf(name), dead(300_000))
  t.equal(await settled(put(b, name, 'plain')), 'done')
  t.equal(await text(reader, name), 'plain')
  for (const node of [1, 2]) await cluster.node(node).prepare('d', keyOf(name), dead(600_000))
  t.equal(await settled(b.deleteObject(pathOf(name))), 'done')
  t.equal(await text(reader, name), null)
})

t.test('what a replica that does not vote refuses as too old is written anew', async (t) => {
  const { cluster, a, name } = await open(t)
  t.equal(await settled(put(a, name, 'body')), 'done')
  const ballotAt = async (node: number) =>
    (await cluster.node(node).read('d', keyOf(name), { head: true }))!.info.ballot
  const before = await ballotAt(0)
  // Node 2 learns what it has lost: it refuses whatever is part of a quorum, so nobody hears of its promise.
  const voting = ['read', 'prepare', 'write']
  cluster.setFault(2, (method) => {
    if (voting.includes(method)) throw new ServiceError('Learning', 'learns', { status: 503 })
  })
  for (const [refused, rises] of [
    [false, false],
    [true, true],
  ] as const) {
    const { info } = (await cluster.node(0).read('d', keyOf(name), { head: true }))!
    const finding = { kind: 'item' as const, info, ...(refused && { refused }) }
    const backend = cluster.backend({
      nodeOf: ({ id }) => (id === 0 ? withFinding(cluster.node(0), finding) : cluster.faulty(id)),
    })
    await backend.settleAfterStart({ timeMsMax: 5_000 })
    for (const node of [0, 1]) {
      const order = compareStamps(await ballotAt(node), before)
      t.equal(order > 0, rises, `node ${node}, ${refused ? 'refused' : 'only in doubt'}`)
    }
  }
  t.equal(await text(a, name), 'body')
})

/** The node with one doubt, the first time it is asked. */
function withFinding(node: StorageNode, finding: Unconfirmed): StorageNode {
  const findings = [finding]
  return new Proxy(node, {
    get: (target, method: keyof StorageNode) => {
      if (method === 'unconfirmed') return async () => findings.splice(0)
      return target[method]!.bind(target)
    },
  })
}

t.test('a long body that one replica took is completed by copying it', async (t) => {
  const { cluster, a, reader, name } = await open(t)
  await put(a, name, 'old')
  const body = Buffer.from(systemRandom.bytes(700_000).map((byte) => 97 + (byte % 26)))
  const writer = await a.openObject(pathOf(name))
  await writer.write(body)
  // Two nodes stop taking commits: their bodies are thrown away with the proxy that dies.
  const node = cluster.node(0)
  const stamp = { ticks: Math.floor(Date.now() * 100) + 200_000, proposer: 99 << 8 }
  const staged = await node.openBody('d', keyOf(name))
  await staged.write(body)
  t.match(
    await staged.commit({
      item: keyOf(name),
      action: 'put',
      stamp,
      ballot: stamp,
      writeId: 'd'.repeat(16),
      meta: { etag: 'long', headers: {} },
    }),
    { status: 'done' },
  )
  // Promises of somebody who died stand in the way of sending the very same accept again.
  for (const other of [1, 2]) {
    const ballot = { ticks: stamp.ticks + 100_000, proposer: 98 << 8 }
    await cluster.node(other).prepare('d', keyOf(name), ballot)
  }
  t.equal(await text(reader, name), body.toString())
  t.ok(reader.counters.completions > 0, 'under a fresh ballot')
  cluster.setFault(0, () => {
    throw new Error('cut off by the test')
  })
  t.equal(await text(reader, name), body.toString(), 'another replica has it by now')
  const { info } = (await cluster.node(1).read('d', keyOf(name), { head: true }))!
  t.strictSame(info.stamp, stamp, 'X-Timestamp is what it was')
  t.match(info, { writeId: 'd'.repeat(16), meta: { etag: 'long' } })
  cluster.setFault(0, null)
  await writer.abort()
})

t.test('conditional bodies that stream: staged first, one of them wins', async (t) => {
  const { a, b, reader } = await open(t)
  for (let round = 0; round < 6; round++) {
    const name = `stream ${round}`
    const bodies = ['a', 'b', 'r'].map((letter) => letter.repeat(300_000 + round))
    const outcomes = await Promise.all(
      [a, b, reader].map(async (backend, index) => {
        const writer = await backend.openObject(pathOf(name))
        await writer.write(Buffer.from(bodies[index]!))
        return settled(writer.commit({ etag: `${index}`, headers: {} }, ABSENT))
      }),
    )
    const winners = bodies.filter((_, index) => outcomes[index] === 'done')
    t.ok(winners.length <= 1, String(outcomes))
    const found = await text(reader, name)
    if (winners.length === 1) t.equal(found, winners[0])
    else t.ok(outcomes.some((outcome) => outcome !== 'precondition-failed'))
  }
})

t.test('posts and puts at the same moment: data and metadata stay together', async (t) => {
  const { a, b, reader, name } = await open(t)
  await put(a, name, 'first')
  for (let round = 0; round < 10; round++) {
    const headers = { 'x-object-meta-round': String(round) }
    const outcomes = await Promise.all([
      settled(put(a, name, `body ${round}`)),
      settled(b.postObject(pathOf(name), { meta: { headers } })),
    ])
    const { info } = (await reader.readObject(pathOf(name), { head: true }))!
    const body = await text(reader, name)
    t.equal(info.meta.etag, `etag of ${body}`, String(outcomes))
  }
})

t.test('compare and set: one of many takes each step', async (t) => {
  const { a, b, reader, name } = await open(t)
  await put(a, name, '0')
  let done = 0
  for (let round = 0; round < 8; round++) {
    const { info } = (await reader.readObject(pathOf(name), { head: true }))!
    const outcomes = await Promise.all(
      [a, b, reader].map((backend, index) =>
        settled(put(backend, name, `${round} ${index}`, { ifWriteId: info.writeId })),
      ),
    )
    const winners = outcomes.filter((outcome) => outcome === 'done').length
    t.ok(winners <= 1, String(outcomes))
    done += winners
  }
  t.ok(done > 0)
  t.equal(await settled(put(a, 'none', 'x', { ifWriteId: 'f'.repeat(16) })), 'precondition-failed')
  t.equal(await settled(put(a, 'none', 'x', { ifWriteId: null })), 'done')
})

t.test('proxies whose clocks are ten seconds apart: no update is lost', async (t) => {
  const { cluster, a: behind, reader } = await open(t)
  const ahead = cluster.backend({ clock: skewedClock(10_000) })
  for (let round = 0; round < 30; round++) {
    const name = `skew ${round % 3}`
    await put(ahead, name, `ahead ${round}`)
    t.equal(await settled(put(behind, name, `behind ${round}`)), 'done')
    t.equal(await text(reader, name), `behind ${round}`)
    t.equal(await settled(behind.deleteObject(pathOf(name))), 'done')
    t.equal(await text(ahead, name), null)
  }
  const list = await ahead.listContainer('a', 'c', { limit: 10 })
  t.strictSame(list!.entries, [])
  await ahead.putContainer('a', 'made ahead', { meta: META, policy: 0 })
  await behind.readContainer('a', 'made ahead')
  const path = pathOf('o', 'made ahead')
  t.match(await behind.putObject(path, { meta: META, body: Buffer.from('x') }), { status: 'done' })
})

t.test('many plain writers of one name through several proxies', async (t) => {
  const { a, b, reader, name } = await open(t)
  const outcomes: string[] = []
  await Promise.all(
    [a, b, reader].map(async (backend, index) => {
      for (let round = 0; round < 20; round++) {
        outcomes.push(await settled(put(backend, name, `${index} ${round}`)))
      }
    }),
  )
  const done = outcomes.filter((outcome) => outcome === 'done').length
  t.comment(`${done} of ${outcomes.length} were acknowledged`)
  t.ok(done >= outcomes.length * 0.8)
  const last = await text(reader, name)
  for (const backend of [a, b]) t.equal(await text(backend, name), last)
})

t.test('a container is not deleted under an object that is being written', async (t) => {
  const { a, b, reader } = await open(t)
  for (let round = 0; round < 10; round++) {
    const container = `d${round}`
    await a.putContainer('a', container, { meta: META, policy: 0 })
    const [written, deleted] = await Promise.all([
      settled(a.putObject(pathOf('o', container), { meta: META, body: Buffer.from('x') })),
      settled(b.deleteContainer('a', container)),
    ])
    const isThere = (await reader.readContainer('a', container)) !== null
    t.notOk(written === 'done' && deleted === 'done', `${written}, ${deleted}`)
    if (written === 'done') t.ok(isThere, 'the container of an acknowledged object is there')
    if (deleted === 'done') t.notOk(isThere)
    if (!isThere) continue
    const page = await reader.listContainer('a', container, { limit: 10 })
    t.equal(page!.entries.length, written === 'done' ? 1 : 0)
  }
})

t.test('full devices are a 507 for conditional writes too', async (t) => {
  const { cluster, reader, name } = await open(t)
  await put(reader, name, 'old')
  const full = (method: string, [, write]: readonly unknown[]) => {
    const isDelete = (write as ItemWrite | undefined)?.record?.deleted === true
    if (method === 'write' && !isDelete) throw new ServiceError('DeviceFull', '', { status: 507 })
  }
  for (const node of [0, 1, 2]) cluster.setFault(node, full)
  t.equal(await settled(put(reader, name, 'new', { ifMatch: ['*'] })), 'DeviceFull')
  const condition = { ifMatch: ['etag of old'] }
  t.equal(await settled(reader.deleteObject(pathOf(name), { condition })), 'done', 'deletes work')
})

t.test('what an upload staged is thrown away when nobody takes it', async (t) => {
  const { a, b, name } = await open(t)
  await put(b, name, 'there')
  const writer = await a.openObject(pathOf(name))
  await writer.write(Buffer.alloc(200_000, 'x'))
  t.equal(await settled(writer.commit({ headers: {} }, ABSENT)), 'precondition-failed')
  await writer.abort()
  t.equal(await text(b, name), 'there')
})
