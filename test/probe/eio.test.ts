/**
 * A failing disk under the real server. A preloaded shim strikes the k-th sync, write or read of chosen files while
 * clients work: a write that hits it is refused (5xx), what was acknowledged stays through a restart, and no answer
 * ever carries wrong bytes. Then a small file system that runs full: PUT answers 507, DELETE works, and writing goes on
 * when space is back.
 */
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  buildFaultShim,
  type FaultShim,
  missingCompiler,
  type ShimRule,
} from '../support/eio-shim/fault-shim.ts'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { Ledger } from './support/ledger.ts'
import { bodyOf, runLoad, stateOf } from './support/load.ts'
import { makeLoopFs, missingForLoop } from './support/loop-fs.ts'
import { probeFolder } from './support/probe-folder.ts'
import { probeSeed, shortOrLong } from './support/scale.ts'
import { checkProblems, StoreUnderTest } from './support/store-under-test.ts'
import { countFindings, SETTLE_MS_MAX, verifyAll, verifyObjects } from './support/verify.ts'

const CONTAINER = 'eio'
const CLIENTS = 8
/** The index is flushed five seconds after the first change. */
const LOAD_MS_MAX = 15_000
const AFTERMATH_MS = 300

interface EioCase {
  readonly name: string
  readonly rule: Omit<ShimRule, 'atCall'>
  /** The k-th call is drawn below this. */
  readonly atCallMax: number
}

const CASES: readonly EioCase[] = [
  {
    name: 'fdatasync of a segment fails once',
    rule: { calls: ['sync'], path: '/seg/', error: 'EIO' },
    atCallMax: 40,
  },
  {
    name: 'a write to a segment fails once',
    rule: { calls: ['write'], path: '/seg/', error: 'EIO' },
    atCallMax: 40,
  },
  {
    name: 'fdatasync of a blob fails once',
    rule: { calls: ['sync'], path: '/blob/', error: 'EIO' },
    atCallMax: 5,
  },
  {
    name: 'a write to a blob fails once',
    rule: { calls: ['write'], path: '/blob/', error: 'EIO' },
    atCallMax: 8,
  },
  {
    name: 'all writes and syncs of the disk fail from some call on',
    rule: { calls: ['sync', 'write'], path: '/disk/', sticky: true, error: 'EIO' },
    atCallMax: 60,
  },
  {
    name: 'writes to a segment find no space from some call on',
    rule: { calls: ['write'], path: '/seg/', sticky: true, error: 'ENOSPC' },
    atCallMax: 60,
  },
  {
    name: 'a write to the index fails once',
    rule: { calls: ['write'], path: '/idx/', error: 'EIO' },
    atCallMax: 3,
  },
  {
    name: 'sync of the index fails once',
    rule: { calls: ['sync'], path: '/idx/', error: 'EIO' },
    atCallMax: 2,
  },
]

const noCompiler = (await missingCompiler()) ?? false

t.test('calls of a failing disk', { skip: noCompiler, timeout: 600_000 }, async (t) => {
  const seed = probeSeed()
  const random = seededRandom(seed)
  t.comment(`seed ${seed}`)
  const folder = await probeFolder(t, 'eio')
  const shim = await buildFaultShim(folder)
  t.teardown(() => shim.close())
  const disk = join(folder, 'disk')
  const store = new StoreUnderTest({
    dataFolder: join(folder, 'data'),
    disks: [disk],
    env: shim.env,
  })
  t.teardown(() => store.kill())
  await store.start()
  t.equal(await store.client.send('PUT', `/${CONTAINER}`), 201)
  const ledger = new Ledger()

  for (let round = 0; round < shortOrLong(1, 5); round++) {
    for (const one of shortOrLong(drawn(CASES, 5, random), CASES)) {
      const name = `${one.name}, round ${round}`
      await t.test(name, (t) => strikeOnce(t, { store, shim, ledger, random, one, name, seed }))
    }
  }

  await t.test('reads that fail never give wrong bytes', async (t) => {
    const bodies = [100, 4096, 60_000, 200_000, 3_000_000].map((bytes) =>
      bodyOf(`body ${bytes}`, bytes),
    )
    for (const body of bodies) {
      const path = `/${CONTAINER}/${body.length}`
      t.equal(await store.client.send('PUT', path, { body }), 201)
      ledger.acknowledge(`${body.length}`, stateOf(body))
    }
    // A restart, so that nothing is in memory.
    t.equal(await store.stop(), 0)
    await store.start()
    let [right, failed, wrong] = [0, 0, 0]
    for (let atCall = 1; atCall <= shortOrLong(10, 60); atCall++) {
      shim.arm({ calls: ['read'], path: '/disk/', atCall, sticky: atCall % 2 === 0, error: 'EIO' })
      for (const body of bodies) {
        const seen = await store.client.get(`/${CONTAINER}/${body.length}`).catch(() => null)
        if (seen === null || seen.status >= 500) failed++
        else if (seen.status === 200 && body.equals(seen.body)) right++
        else wrong++
      }
      shim.disarm()
    }
    t.equal(wrong, 0, 'an answer is right, 5xx or cut')
    t.ok(failed > 0 && right > 0, `${failed} reads failed, ${right} were right`)
  })

  await store.kill()
  await store.start()
  const findings = await verifyAll(store.client, ledger, {
    container: CONTAINER,
    settleMsMax: SETTLE_MS_MAX,
  })
  t.strictSame(findings, [], `seed ${seed}: ${countFindings(findings)}`)
  t.equal(await store.stop(), 0)
  t.equal(await checkProblems([disk]), '', 'swiftlet check finds nothing wrong')
})

/** So many of them, each once, in their order: over the runs all come. */
function drawn<T>(all: readonly T[], count: number, random: SeededRandom): readonly T[] {
  const left = [...all]
  while (left.length > count) left.splice(random.below(left.length), 1)
  return left
}

interface Strike {
  readonly store: StoreUnderTest
  readonly shim: FaultShim
  readonly ledger: Ledger
  readonly random: SeededRandom
  readonly one: EioCase
  readonly name: string
  readonly seed: number
}

/** Load with a rule armed, then a restart; what was acknowledged is there and the disk takes writes again. */
async function strikeOnce(t: Test, strike: Strike): Promise<void> {
  const { store, shim, ledger, random, one, name } = strike
  const statuses = new Map<number, number>()
  const known = new Set(ledger.names())
  const [unknownBefore, atCall] = [ledger.unknown, 1 + random.below(one.atCallMax)]
  shim.arm({ ...one.rule, atCall })
  await loadFor(store, {
    ledger,
    random,
    statuses,
    names: name.replaceAll(/\W+/g, '-'),
    until: () => shim.counts().hits > 0,
  })
  const { hits, seen } = shim.counts()
  shim.disarm()
  const odd = [...statuses.keys()].filter(
    (status) => ![201, 204, 404].includes(status) && status < 500,
  )
  t.strictSame(odd, [], `answers are fine or 5xx: ${[...statuses].join(' ')}`)
  const refused = ledger.unknown - unknownBefore
  t.ok(hits > 0, `call ${atCall} of ${seen} was struck, ${refused} refused`)
  // The index is derived, and written in the background: clients do not notice.
  if (!one.rule.path?.includes('idx')) t.ok(refused > 0, 'the client is told')
  await store.kill()
  await store.start()
  const names = ledger.names().filter((name) => !known.has(name))
  const findings = await verifyObjects(store.client, ledger, { container: CONTAINER, names })
  t.strictSame(findings, [], `seed ${strike.seed}, call ${atCall}: ${countFindings(findings)}`)
  const after = bodyOf(name, 100)
  t.equal(await store.client.send('PUT', `/${CONTAINER}/after`, { body: after }), 201)
  ledger.acknowledge('after', stateOf(after))
}

const noLoop = (await missingForLoop('ext4')) ?? false

/** A store with its one disk on a file system of its own, small logs, and the container. */
async function storeOnSmallDisk(t: Test, mebibytes: number) {
  const folder = await probeFolder(t, 'small-disk')
  const fs = await makeLoopFs('ext4', { folder, bytes: mebibytes * 2 ** 20 })
  t.teardown(() => fs.dispose())
  const disk = join(fs.folder, 'disk')
  await mkdir(disk)
  const store = new StoreUnderTest({
    dataFolder: join(folder, 'data'),
    disks: [disk],
    extraArguments: ['--segment-size', String(4 * 2 ** 20)],
  })
  t.teardown(() => store.kill())
  await store.start()
  t.equal(await store.client.send('PUT', `/${CONTAINER}`), 201)
  return { store, disk, fs }
}

for (const kind of ['blobs', 'small objects'] as const) {
  t.test(`a disk that runs full of ${kind}`, { skip: noLoop, timeout: 300_000 }, async (t) => {
    const { store, disk } = await storeOnSmallDisk(t, shortOrLong(64, 512))
    const ledger = new Ledger()
    const written = await putUntilFull(store, ledger, kind)
    t.ok(written.length > 50, `${written.length} objects fit`)
    const first = written[0]!
    t.strictSame(
      await store.client.read(`/${CONTAINER}/${first}`),
      stateOf(fillBody(first, kind)),
      'reads go on',
    )

    let refused = 0
    const doomed = written.filter((_, index) => index % 4 !== 0)
    const deleter = async (): Promise<void> => {
      for (let name = doomed.pop(); name !== undefined; name = doomed.pop()) {
        ledger.begin(name, null)
        const status = await store.client.send('DELETE', `/${CONTAINER}/${name}`)
        if (status === 204) ledger.acknowledge(name, null)
        else refused++
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, deleter))
    t.equal(refused, 0, 'every DELETE on the full disk works')
    const waitedMs = await untilWritable(store, ledger, kind)
    t.ok(waitedMs < 60_000, `writable again after ${waitedMs.toFixed(0)} ms`)
    await store.kill()
    await store.start()
    const findings = await verifyAll(store.client, ledger, {
      container: CONTAINER,
      settleMsMax: SETTLE_MS_MAX,
    })
    t.strictSame(findings, [], countFindings(findings))
    t.equal(await store.stop(), 0)
    t.equal(await checkProblems([disk]), '', 'swiftlet check finds nothing wrong')
  })
}

t.test('a disk that somebody else fills', { skip: noLoop, timeout: 300_000 }, async (t) => {
  const { store, disk, fs } = await storeOnSmallDisk(t, 128)
  const ledger = new Ledger()
  await putSome(store, ledger, { names: 'before', count: 300 })

  const ballast = join(fs.folder, 'ballast')
  await fillWith(ballast)
  // Deletes are not refused, so that log and index both run into the wall.
  const refused = await deleteUntilRefused(store, ledger, ledger.names())
  t.ok(refused > 0, `${refused} deletes did not find room`)
  const reading = ledger.names().at(-1)!
  t.equal((await store.client.get(`/${CONTAINER}/${reading}`)).status, 200, 'reads go on')

  await untilLogged(store, 'device-flush')
  await rm(ballast)
  await untilLogged(store, 'index-reopen')
  const waitedMs = await untilWritable(store, ledger, 'small objects')
  t.ok(waitedMs < 60_000, `writable again after ${waitedMs.toFixed(0)} ms, without a restart`)
  await putSome(store, ledger, { names: 'after', count: 100 })
  const options = { container: CONTAINER, settleMsMax: SETTLE_MS_MAX }
  const findings = await verifyAll(store.client, ledger, options)
  t.strictSame(findings, [], countFindings(findings))
  t.equal(await store.stop(), 0)
  t.equal(await checkProblems([disk]), '', 'swiftlet check finds nothing wrong')
})

async function putSome(
  store: StoreUnderTest,
  ledger: Ledger,
  wanted: { readonly names: string; readonly count: number },
): Promise<void> {
  for (let i = 0; i < wanted.count; i++) {
    const name = `${wanted.names}-${i}`
    const body = bodyOf(name, 4096)
    ledger.begin(name, stateOf(body))
    const status = await store.client.send('PUT', `/${CONTAINER}/${name}`, { body })
    if (status !== 201) throw new Error(`PUT answered ${status}`)
    ledger.acknowledge(name, stateOf(body))
  }
}

/** Waits until the server's log has the word. */
async function untilLogged(store: StoreUnderTest, word: string): Promise<void> {
  const endMs = performance.now() + 60_000
  while (!store.process.output().includes(word)) {
    if (performance.now() > endMs) throw new Error(`no ${word} in the log`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Takes every free block of the file system. */
async function fillWith(path: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    for (let bytes = 2 ** 20; bytes >= 512; ) {
      const written = await file.write(Buffer.alloc(bytes, 1)).catch(() => null)
      if (written === null) bytes /= 2
    }
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Deletes all but the last name; how many were refused. */
async function deleteUntilRefused(
  store: StoreUnderTest,
  ledger: Ledger,
  names: readonly string[],
): Promise<number> {
  let refused = 0
  for (const name of names.slice(0, -1)) {
    ledger.begin(name, null)
    const status = await store.client.send('DELETE', `/${CONTAINER}/${name}`)
    if (status === 204) ledger.acknowledge(name, null)
    else refused++
  }
  return refused
}

async function loadFor(
  store: StoreUnderTest,
  run: {
    readonly ledger: Ledger
    readonly random: SeededRandom
    readonly names: string
    readonly statuses: Map<number, number>
    /** The load goes on for a moment after it holds. */
    readonly until: () => boolean
  },
): Promise<void> {
  let endMs = performance.now() + LOAD_MS_MAX
  const stopped = (): boolean => {
    if (run.until()) endMs = Math.min(endMs, performance.now() + AFTERMATH_MS)
    return performance.now() > endMs
  }
  await runLoad({
    client: store.client,
    ledger: run.ledger,
    container: CONTAINER,
    random: run.random,
    names: run.names,
    clients: CLIENTS,
    stopped,
    onAnswer: (status) => run.statuses.set(status, (run.statuses.get(status) ?? 0) + 1),
  })
}

type FillKind = 'blobs' | 'small objects'

function fillBody(name: string, kind: FillKind): Buffer {
  return bodyOf(name, kind === 'blobs' ? 500_000 : 30_000)
}

/** Clients fill the disk, each until it is refused twice in a row; names of the objects that were stored. */
async function putUntilFull(
  store: StoreUnderTest,
  ledger: Ledger,
  kind: FillKind,
): Promise<string[]> {
  const written: string[] = []
  let next = 0
  const client = async (): Promise<void> => {
    for (let refused = 0; refused < 2; ) {
      const name = `fill-${next++}`
      const body = fillBody(name, kind)
      ledger.begin(name, stateOf(body))
      const status = await store.client.send('PUT', `/${CONTAINER}/${name}`, { body })
      if (status === 201) {
        ledger.acknowledge(name, stateOf(body))
        written.push(name)
        refused = 0
      } else {
        if (status !== 507) throw new Error(`a full disk answered ${status}`)
        ledger.leaveOpen()
        refused++
      }
      if (next > 100_000) throw new Error('the disk does not get full')
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return written
}

/** Milliseconds until ten in a row are accepted again. */
async function untilWritable(
  store: StoreUnderTest,
  ledger: Ledger,
  kind: FillKind,
): Promise<number> {
  const startMs = performance.now()
  for (let accepted = 0; ; ) {
    const name = `again-${accepted}`
    const body = fillBody(name, kind)
    ledger.begin(name, stateOf(body))
    // A start of the index ends the connections of that moment.
    const sending = store.client.send('PUT', `/${CONTAINER}/${name}`, { body })
    const status = await sending.catch(() => 0)
    if (status === 201) ledger.acknowledge(name, stateOf(body))
    accepted = status === 201 ? accepted + 1 : 0
    const waitedMs = performance.now() - startMs
    if (accepted === 10 || waitedMs > 60_000) return waitedMs
    if (status !== 201) await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
