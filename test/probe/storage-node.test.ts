import { createServer, request } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { MessageChannel } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { systemClock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import { itemKey } from '../../common/item.ts'
import { systemRandom } from '../../common/random.ts'
import type { BodyReader, ItemWrite, StorageNode } from '../../common/storage-node.ts'
import { encodeMessage, messageHead } from '../../common/wire/frames.ts'
import {
  CHANNEL_PATH,
  CHANNEL_PROTOCOL,
  NONCE_HEADER,
  nodeProof,
  PROOF_HEADER,
} from '../../common/wire/handshake.ts'
import { signRequest } from '../../common/wire/signature.ts'
import { createRemoteNode } from '../../proxy/backend/remote-node.ts'
import { openLocalNode } from '../../storage-node/local-node.ts'
import { type NodeServer, serveStorageNode } from '../../storage-node/server/node-server.ts'
import { Peers } from '../../storage-node/threads/peers.ts'
import { until } from '../support/cluster-nodes.ts'
import { storageNodeContract } from '../support/storage-node-contract.ts'

const CLUSTER_KEY = 'a key that all nodes of the test share'
const device = 'd1'

async function openLocal(t: Test): Promise<StorageNode> {
  const node = await openLocalNode({
    devices: [{ name: device, path: t.testdir() }],
    clock: systemClock,
    random: systemRandom,
  })
  t.teardown(() => node.close())
  return node
}

interface Served {
  readonly local: StorageNode
  readonly server: NodeServer
  readonly node: StorageNode
}

async function openRemote(t: Test): Promise<Served> {
  return openServed(t, await openLocal(t))
}

async function openServed(t: Test, local: StorageNode): Promise<Served> {
  const server = await serveStorageNode(local, {
    host: '127.0.0.1',
    port: 0,
    clusterKey: CLUSTER_KEY,
  })
  const node = createRemoteNode({ ip: '127.0.0.1', port: server.port, clusterKey: CLUSTER_KEY })
  t.teardown(async () => {
    await node.close()
    await server.close()
  })
  return { local, server, node }
}

t.test('a local node', async (t) => {
  await storageNodeContract(t, async (t) => ({ node: await openLocal(t), device }))
})

t.test('a node on the other side of a socket', async (t) => {
  await storageNodeContract(t, async (t) => ({ node: (await openRemote(t)).node, device }))
})

/** Half of the shards are another node's, reached by messages; what only their owner knows is asked of both. */
async function openThreads(t: Test): Promise<StorageNode> {
  const path = t.testdir()
  const { port1, port2 } = new MessageChannel()
  const open = (index: number, port: typeof port1) => {
    const peers = new Peers({ index, count: 2, clock: systemClock })
    peers.connect(1 - index, port)
    const options = { clock: systemClock, random: systemRandom, shards: 2, peers }
    return openLocalNode({ ...options, devices: [{ name: device, path }] })
  }
  const nodes = [await open(0, port1), await open(1, port2)] as const
  const close = async () => {
    for (const node of nodes) await node.close()
    port1.close()
  }
  t.teardown(close)
  return Object.assign(Object.create(nodes[0]) as StorageNode, {
    ...forwarded(nodes[0], ['write', 'prepare', 'openBody', 'read', 'putRow', 'confirm', 'list']),
    ...forwarded(nodes[0], ['putRows', 'totals']),
    digests: async (...asked: Parameters<StorageNode['digests']>) =>
      (await Promise.all(nodes.map((node) => node.digests(...asked)))).flat(),
    held: async (...asked: Parameters<StorageNode['held']>) => {
      const [one, other] = [await nodes[0].held(...asked), await nodes[1].held(...asked)]
      return one.map((item, i) => item ?? other[i]!)
    },
    rowDigests: (...asked: Parameters<StorageNode['rowDigests']>) =>
      nodes[0].rowDigests(...asked).catch(() => nodes[1].rowDigests(...asked)),
    heldRows: (...asked: Parameters<StorageNode['heldRows']>) =>
      nodes[0].heldRows(...asked).catch(() => nodes[1].heldRows(...asked)),
    expired: async (...asked: Parameters<StorageNode['expired']>) =>
      (await Promise.all(nodes.map((node) => node.expired(...asked))))
        .flat()
        .slice(0, asked[1].limit),
    unconfirmed: async (...asked: Parameters<StorageNode['unconfirmed']>) =>
      (await Promise.all(nodes.map((node) => node.unconfirmed(...asked)))).flat(),
    takeChangedContainers: async (...asked: Parameters<StorageNode['takeChangedContainers']>) =>
      (await Promise.all(nodes.map((node) => node.takeChangedContainers(...asked)))).flat(),
    status: () => nodes[0].status(),
    close,
  })
}

function forwarded(node: StorageNode, methods: readonly Exclude<keyof StorageNode, 'readNow'>[]) {
  return Object.fromEntries(methods.map((method) => [method, node[method].bind(node)]))
}

t.test('a node whose shards belong to two threads', async (t) => {
  await storageNodeContract(t, async (t) => ({ node: await openThreads(t), device }))
})

const HASHING = { prefix: '', suffix: '', placement: 'xxh64' } as const
const item = itemKey(HASHING, 'object', '/a/c/o')
const stamp = { ticks: Math.floor(Date.now() * 100), proposer: 256 }
const write: ItemWrite = {
  item,
  action: 'put',
  stamp,
  ballot: stamp,
  writeId: '0'.repeat(16),
  meta: { headers: {} },
}

interface Posted {
  readonly status: number | undefined
  readonly text: string
}

function post(
  port: number,
  options: {
    readonly path?: string
    readonly body: Buffer
    readonly headers: Readonly<Record<string, string>>
  },
): Promise<Posted> {
  const { path = '/v3/status', headers, body } = options
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', method: 'POST', path, headers }, (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode, text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

t.test('requests that are not signed with the key are refused', async (t) => {
  const { server } = await openRemote(t)
  const body = encodeMessage({})
  const signed = (path: string, key: string, nowMs: number) =>
    signRequest({ path, headBytes: messageHead(body) }, key, nowMs)
  const now = Date.now()
  const cases: readonly (readonly [string, string | undefined, number])[] = [
    ['signed', signed('/v3/status', CLUSTER_KEY, now), 200],
    ['no signature', undefined, 401],
    ['nonsense', 'Bearer x', 401],
    ['another key', signed('/v3/status', `${CLUSTER_KEY}!`, now), 401],
    ['another path', signed('/v3/write', CLUSTER_KEY, now), 401],
    ['too old', signed('/v3/status', CLUSTER_KEY, now - 10 * 60_000), 401],
    ['too new', signed('/v3/status', CLUSTER_KEY, now + 10 * 60_000), 401],
  ]
  for (const [name, authorization, status] of cases) {
    const headers = { 'x-swiftlet-wire': '3', ...(authorization && { authorization }) }
    t.equal((await post(server.port, { body, headers })).status, status, name)
  }
  const stranger = createRemoteNode({
    ip: '127.0.0.1',
    port: server.port,
    clusterKey: 'some other key, long enough',
  })
  await t.rejects(stranger.read(device, item), { code: 'Unauthorized' })
  await t.rejects(stranger.openBody(device, item), { code: 'Unauthorized' })
  await stranger.close()
  await t.rejects(
    serveStorageNode({} as StorageNode, { host: '127.0.0.1', port: 0, clusterKey: 'short' }),
    { code: 'BadClusterKey' },
  )
})

t.test('what is not understood is refused', async (t) => {
  const { server } = await openRemote(t)
  const send = (path: string, body: Buffer, version = '3') => {
    const headBytes = body.length > 5 ? body.subarray(5, 5 + body.readUInt32LE(1)) : body
    const authorization = signRequest({ path, headBytes }, CLUSTER_KEY, Date.now())
    return post(server.port, { path, body, headers: { 'x-swiftlet-wire': version, authorization } })
  }
  const good = encodeMessage({})
  const cases: readonly (readonly [string, Promise<Posted>, number, string])[] = [
    ['version', send('/v3/status', good, '1'), 400, 'WireVersion'],
    ['path', send('/v3/nothing', good), 404, 'NoSuchOperation'],
    ['not frames', send('/v3/status', Buffer.from('{}')), 400, 'BadFrame'],
    ['cut short', send('/v3/status', good.subarray(0, 6)), 400, 'BadFrame'],
    ['two heads', send('/v3/status', Buffer.concat([good, good])), 400, 'BadFrame'],
    ['no fields', send('/v3/read', good), 400, 'BadRequest'],
    [
      'a bad key',
      send('/v3/read', encodeMessage({ device, head: false, item: { ...item, hash: '1' } })),
      400,
      'BadRequest',
    ],
    ['too long', send('/v3/write', Buffer.alloc(3_000_000)), 413, 'TooLong'],
  ]
  for (const [name, answer, status, code] of cases) {
    const { status: got, text } = await answer.catch((error) => ({ status: 0, text: `${error}` }))
    // A request that is cut off may fail before its answer is read.
    if (name === 'too long' && got === 0) continue
    t.equal(got, status, name)
    t.match(text, code, name)
  }
})

t.test('a node that is away is unreachable, one that breaks off gives no answer', async (t) => {
  const { server, node } = await openRemote(t)
  t.match(await node.write(device, write, Buffer.from('x')), { status: 'done' })
  await server.close()
  // What was sent before the end of the connection was noticed may have arrived.
  await node.status().catch(() => {})
  await t.rejects(node.read(device, item), { code: 'Unreachable', status: 503 })
  await t.rejects(node.openBody(device, item), { code: 'Unreachable', status: 503 })
  await t.rejects(node.putRow(device, item, {} as never), { code: 'Unreachable' })
})

t.test('a body whose connection breaks is thrown away', async (t) => {
  const { server, local } = await openRemote(t)
  const head = encodeMessage({ device, item })
  const authorization = signRequest(
    { path: '/v3/open-body', headBytes: messageHead(head) },
    CLUSTER_KEY,
    Date.now(),
  )
  const socket = connect(server.port, '127.0.0.1')
  socket.write(
    `POST /v3/open-body HTTP/1.1\r\nhost: x\r\nx-swiftlet-wire: 3\r\nauthorization: ${authorization}\r\n` +
      'transfer-encoding: chunked\r\n\r\n',
  )
  socket.write(`${head.length.toString(16)}\r\n`)
  socket.write(Buffer.concat([head, Buffer.from('\r\n')]))
  const answer = await new Promise<string>((resolve) => {
    socket.on('data', (chunk) => {
      if (String(chunk).includes('opened')) resolve(String(chunk))
    })
  })
  t.match(answer, '200 OK')
  socket.destroy()
  await server.close()
  t.equal(await local.read(device, item), null)
})

t.test('a failing body is reported while it is being sent', async (t) => {
  const local = await openLocal(t)
  const failing: StorageNode = Object.assign(Object.create(local) as StorageNode, {
    openBody: async () => ({
      write: async () => {
        throw new ServiceError('DeviceFull', 'no space', { status: 507 })
      },
      commit: () => Promise.reject(new Error('never')),
      abort: async () => {},
    }),
  })
  const { node } = await openServed(t, failing)
  const writer = await node.openBody(device, item)
  const piece = Buffer.alloc(1024 * 1024)
  const writing = async () => {
    for (let count = 0; count < 200; count++) await writer.write(piece)
    return writer.commit(write)
  }
  await t.rejects(writing(), { code: 'DeviceFull', status: 507 })
  await writer.abort()
})

t.test('a slow reader does not make the node run ahead', async (t) => {
  const pieces = 200
  let produced = 0
  const reader: BodyReader = {
    bytes: pieces * 1024 * 1024,
    async *stream() {
      for (; produced < pieces; produced++) yield Buffer.alloc(1024 * 1024, 1)
    },
    close: async () => {},
  }
  const stub = { read: async () => ({ info: {}, body: reader }) } as unknown as StorageNode
  const { node } = await openServed(t, stub)
  const body = (await node.read(device, item))!.body as BodyReader
  let bytes = 0
  for await (const part of body.stream(0, body.bytes)) {
    if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, 300))
    if (bytes === 0) t.ok(produced < 32, `${produced} pieces are ahead of the reader`)
    bytes += part.length
  }
  t.equal(bytes, reader.bytes)
  await body.close()
})

/** Passes connections on to a node, and cuts as many of them as it is told to when the first call comes. */
async function cutter(t: Test, nodePort: number) {
  const state = { port: 0, calls: 0, cutsLeft: 0, swallows: false }
  const proxy = createTcpServer((client) => {
    const upstream = connect(nodePort, '127.0.0.1')
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
    upstream.pipe(client)
    let isOpen = false
    client.on('data', (chunk) => {
      // The first piece is the request for the channel.
      if (isOpen) state.calls++
      if (isOpen && state.cutsLeft-- > 0) return end()
      if (state.swallows) return
      isOpen = true
      upstream.write(chunk)
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => proxy.close())
  state.port = (proxy.address() as AddressInfo).port
  return state
}

t.test('a connection that ends before any answer is tried once more, and only once', async (t) => {
  const { server } = await openRemote(t)
  const between = await cutter(t, server.port)
  const open = () => {
    const node = createRemoteNode({
      ip: '127.0.0.1',
      port: between.port,
      clusterKey: CLUSTER_KEY,
    })
    t.teardown(() => node.close())
    return node
  }
  between.cutsLeft = 1
  t.match(await open().status(), [{ device }])
  t.equal(between.calls, 2)
  Object.assign(between, { calls: 0, cutsLeft: 5 })
  await t.rejects(open().status(), { code: 'NoAnswer', status: 503 })
  t.equal(between.calls, 2)
})

t.test('calls that cross are answered as they end, and none waits for another', async (t) => {
  const local = await openLocal(t)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow = Object.assign(Object.create(local) as StorageNode, {
    status: () => held.then(() => local.status()),
    read: (...asked: Parameters<StorageNode['read']>) => local.read(...asked),
  })
  const { node } = await openServed(t, slow)
  const first = node.status()
  t.equal(await node.read(device, item), null, 'overtakes')
  const many = Array.from({ length: 500 }, () => node.read(device, item))
  t.strictSame(new Set(await Promise.all(many)), new Set([null]))
  release()
  t.match(await first, [{ device }])
})

t.test(
  'a node that says nothing is given up, and everybody who waits for it is told',
  async (t) => {
    const local = await openLocal(t)
    const dumb = Object.assign(Object.create(local) as StorageNode, {
      status: () => new Promise(() => {}),
    })
    const server = await serveStorageNode(dumb, {
      host: '127.0.0.1',
      port: 0,
      clusterKey: CLUSTER_KEY,
      closeGraceMs: 100,
    })
    const node = createRemoteNode({
      ip: '127.0.0.1',
      port: server.port,
      clusterKey: CLUSTER_KEY,
      answerMs: 200,
    })
    const answers = await Promise.allSettled([node.status(), node.status()])
    for (const answer of answers) t.match(answer, { reason: { code: 'NoAnswer', status: 503 } })
    await node.close()
    await server.close()
  },
)

t.test(
  'a call that takes too long is given up alone, not with all that share its channel',
  async (t) => {
    const local = await openLocal(t)
    let reads = 0
    const half = Object.assign(Object.create(local) as StorageNode, {
      status: () => new Promise(() => {}),
      async read(...asked: Parameters<StorageNode['read']>) {
        reads++
        await new Promise((resolve) => setTimeout(resolve, 300))
        return local.read(...asked)
      },
    })
    const server = await serveStorageNode(half, {
      host: '127.0.0.1',
      port: 0,
      clusterKey: CLUSTER_KEY,
      closeGraceMs: 100,
    })
    const node = createRemoteNode({
      ip: '127.0.0.1',
      port: server.port,
      clusterKey: CLUSTER_KEY,
      answerMs: 1_000,
    })
    t.teardown(async () => {
      await node.close()
      await server.close()
    })
    let isGivenUp = false
    const lost = t.rejects(node.status(), { code: 'NoAnswer', status: 503 }).then(() => {
      isGivenUp = true
    })
    let asked = 0
    while (!isGivenUp) {
      t.equal(await node.read(device, item), null)
      asked++
    }
    await lost
    t.equal(reads, asked, 'none was broken off and sent again')
  },
)

t.test('a node that is slow is waited for, one that is gone without a word is not', async (t) => {
  const local = await openLocal(t)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow = Object.assign(Object.create(local) as StorageNode, {
    status: () => held.then(() => local.status()),
    read: (...asked: Parameters<StorageNode['read']>) => local.read(...asked),
  })
  const { server } = await openServed(t, slow)
  const between = await cutter(t, server.port)
  const node = createRemoteNode({
    ip: '127.0.0.1',
    port: between.port,
    clusterKey: CLUSTER_KEY,
    connectMs: 200,
    pingMs: 20,
  })
  t.teardown(() => node.close())
  const waiting = node.status()
  // Many more pings than a dead node would get.
  await until('signs of life', async () => between.calls > 10)
  release()
  t.match(await waiting, [{ device }])

  between.swallows = true
  const startMs = performance.now()
  await t.rejects(node.read(device, item), { code: 'NoAnswer', status: 503 })
  t.ok(performance.now() - startMs < 10_000, 'long before the 15 s of a call without an answer')
  between.swallows = false
  t.equal(await node.read(device, item), null, 'back by itself')
})

t.test('bodies that a node does not take do not queue up without end', async (t) => {
  const local = await openLocal(t)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow = Object.assign(Object.create(local) as StorageNode, {
    openBody: (...asked: Parameters<StorageNode['openBody']>) =>
      held.then(() => local.openBody(...asked)),
  })
  const { server } = await openServed(t, slow)
  const node = createRemoteNode({
    ip: '127.0.0.1',
    port: server.port,
    clusterKey: CLUSTER_KEY,
    connectionsMax: 2,
    bodiesMax: 3,
  })
  t.teardown(() => node.close())
  const three = [1, 2, 3].map(() => node.openBody(device, item))
  await t.rejects(node.openBody(device, item), { code: 'Busy', retryAfterSeconds: 1 })
  release()
  // The third waits for a connection of the first two.
  for (const body of three) await (await body).abort()
  await (await node.openBody(device, item)).abort()
})

t.test('a channel is opened only by who has the key, on both sides', async (t) => {
  const { server } = await openRemote(t)
  const nonce = 'ab'.repeat(32)
  const upgrade = (headers: Readonly<Record<string, string>>, path = CHANNEL_PATH) =>
    new Promise<number>((resolve, reject) => {
      const asking = request({
        host: '127.0.0.1',
        port: server.port,
        path,
        headers: { connection: 'Upgrade', upgrade: CHANNEL_PROTOCOL, ...headers },
      })
      asking.on('response', (response) => resolve(response.statusCode ?? 0))
      asking.on('upgrade', (_response, socket) => {
        socket.destroy()
        resolve(101)
      })
      asking.on('error', reject)
      asking.end()
    })
  const good = {
    'x-swiftlet-wire': '3',
    [NONCE_HEADER]: nonce,
    authorization: signRequest(
      { path: CHANNEL_PATH, headBytes: Buffer.from(nonce) },
      CLUSTER_KEY,
      Date.now(),
    ),
  }
  t.equal(await upgrade(good), 101)
  t.equal(await upgrade({ ...good, authorization: '' }), 401)
  t.equal(await upgrade({ ...good, [NONCE_HEADER]: 'cd'.repeat(32) }), 401, 'of another nonce')
  t.equal(await upgrade({ ...good, [NONCE_HEADER]: 'short' }), 400)
  t.equal(await upgrade({ ...good, 'x-swiftlet-wire': '1' }), 400)
  t.equal(await upgrade(good, '/v3/status'), 400)
  t.equal(await upgrade({ ...good, upgrade: 'websocket' }), 400)

  // Somebody who listens in a node's place and does not have the key.
  const impostor = createServer().on('upgrade', (_request, socket) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${CHANNEL_PROTOCOL}\r\n` +
        `${NONCE_HEADER}: ${nonce}\r\n${PROOF_HEADER}: ${'0'.repeat(64)}\r\n\r\n`,
    )
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve))
  const { port } = impostor.address() as AddressInfo
  const node = createRemoteNode({ ip: '127.0.0.1', port, clusterKey: CLUSTER_KEY })
  await t.rejects(node.status(), { code: 'Unauthorized' })
  await node.close()
  impostor.close()
})

t.test('a node that talks nonsense after the handshake is not waited for', async (t) => {
  const babbler = createServer().on('upgrade', (upgrade, socket) => {
    const nonces = { client: String(upgrade.headers[NONCE_HEADER]), node: 'cd'.repeat(32) }
    const head =
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${CHANNEL_PROTOCOL}\r\n` +
      `${NONCE_HEADER}: ${nonces.node}\r\n${PROOF_HEADER}: ${nodeProof(CLUSTER_KEY, nonces)}\r\n\r\n`
    socket.write(head + 'x'.repeat(100))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => babbler.listen(0, '127.0.0.1', resolve))
  const { port } = babbler.address() as AddressInfo
  const node = createRemoteNode({ ip: '127.0.0.1', port, clusterKey: CLUSTER_KEY })
  const noAnswer = { code: 'NoAnswer', status: 503 }
  await t.rejects(node.status(), noAnswer)
  await t.rejects(node.status(), noAnswer, 'and again: the dead channel is not kept')
  await node.close()
  babbler.close()
})

t.test('changed containers that were lost on the way are sent again', async (t) => {
  const { server, node } = await openRemote(t)
  const container = itemKey(HASHING, 'container', '/a/c')
  await node.write(device, { ...write, item: container }, null)
  const row = { name: 'o', stamp, metaStamp: stamp, ballot: stamp, deleted: false, confirmed: true }
  const values = { bytes: 1, count: 1, etag: '', contentType: '', policy: 0 }
  await node.putRow(device, container, { ...row, ...values })
  const names = async (from: StorageNode) =>
    (await from.takeChangedContainers(device, { limit: 10 })).map(({ name }) => name)
  t.strictSame(await names(node), ['/a/c'])
  const other = createRemoteNode({ ip: '127.0.0.1', port: server.port, clusterKey: CLUSTER_KEY })
  t.teardown(() => other.close())
  t.strictSame(await names(other), ['/a/c'], 'nobody has said yet that it arrived')
  t.strictSame(await names(node), [])
  t.strictSame(await names(other), [])
})
