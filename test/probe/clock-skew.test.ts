/**
 * Two proxies whose clocks are ten seconds apart, in turns: an overwrite through the one that is behind comes after one
 * through the one that is ahead, and must be what everybody reads. Debian's Swift beside (long form) shows that the
 * harness can fail: it orders writes by the proxies' clocks.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { missingDebianSwift, startDebianSwift } from '../../bench/peers/debian-swift.ts'
import { freePort, startStore, storeCredentials } from '../../bench/store-process.ts'
import { probeFolder } from './support/probe-folder.ts'
import { LONG, shortOrLong } from './support/scale.ts'

const AHEAD_SECONDS = 10
const NAMES = shortOrLong(4, 16)
const ROUNDS = shortOrLong(25, 250)
const ENTRY = fileURLToPath(new URL('../../bin/swiftlet.cjs', import.meta.url))

/** Two ways to one store. */
interface Pair {
  /** What paths of objects begin with, at the proxy whose clock is ahead and at the other. */
  readonly ahead: string
  readonly behind: string
  readonly headers: Readonly<Record<string, string>>
}

/** What became of the overwrites through the proxy that is behind. */
interface Tally {
  acknowledged: number
  /** The next read, by either proxy, showed what was there before. */
  lost: number
  refused: number
  readonly statuses: Record<string, number>
}

/** Preloaded instead of the `faketime` program, which would stand between the test and the proxy's end. */
const FAKETIME = readdirSync('/usr/lib')
  .map((name) => join('/usr/lib', name, 'faketime', 'libfaketimeMT.so.1'))
  .find((path) => existsSync(path))
const noFaketime = FAKETIME === undefined ? 'needs Debian’s faketime' : false

t.test(
  `proxies ${AHEAD_SECONDS} s apart: no overwrite is lost`,
  { skip: noFaketime, timeout: shortOrLong(120_000, 1_200_000) },
  async (t) => {
    const tally = await alternate(await startSwiftletPair(t))
    t.comment(JSON.stringify({ swiftlet: tally }))
    t.equal(tally.lost, 0)
    t.equal(tally.refused, 0, 'one client after the other: nobody is in the way')
    t.equal(tally.acknowledged, NAMES * ROUNDS)
  },
)

const noSwift = LONG
  ? noFaketime || ((await missingDebianSwift()) ?? false)
  : 'SWIFTLET_PROBE=long runs Debian’s Swift beside'

t.test(
  'Debian’s Swift beside loses some, so the probe can see it',
  { skip: noSwift, timeout: 1_200_000 },
  async (t) => {
    const folder = await probeFolder(t, 'clock-skew-swift')
    const options = { folder, replicas: 3, threads: 1, aheadSeconds: AHEAD_SECONDS }
    const swift = await startDebianSwift(options)
    t.teardown(() => swift.stop())
    const path = swift.pathPrefix(0, 'skew')
    const tally = await alternate({
      ahead: `http://127.0.0.1:${swift.aheadPort}${path}`,
      behind: `http://127.0.0.1:${swift.port}${path}`,
      headers: swift.headers,
    })
    t.comment(JSON.stringify({ swift: tally }))
    t.ok(tally.lost > 0, `${tally.lost} of ${tally.acknowledged} lost`)
  },
)

/** Each name by a client of its own, one request at a time: ahead, behind, then a read by each. */
async function alternate({ ahead, behind, headers }: Pair): Promise<Tally> {
  const tally: Tally = { acknowledged: 0, lost: 0, refused: 0, statuses: {} }
  const put = async (url: string, body: string): Promise<number> => {
    const answer = await fetch(url, { method: 'PUT', headers, body })
    await answer.arrayBuffer()
    return answer.status
  }
  const client = async (name: number): Promise<void> => {
    for (let round = 0; round < ROUNDS; round++) {
      await put(`${ahead}${name}`, `${round} ahead`)
      const status = await put(`${behind}${name}`, `${round} behind`)
      tally.statuses[status] = (tally.statuses[status] ?? 0) + 1
      if (status >= 300) tally.refused++
      if (status >= 300) continue
      tally.acknowledged++
      const seen = await Promise.all(
        [ahead, behind].map(async (way) => (await fetch(`${way}${name}`, { headers })).text()),
      )
      if (seen.some((body) => body !== `${round} behind`)) tally.lost++
    }
  }
  await Promise.all(Array.from({ length: NAMES }, (_, name) => client(name)))
  return tally
}

/** Three storage nodes with their proxy, and a second proxy under faketime. */
async function startSwiftletPair(t: Test): Promise<Pair> {
  const folder = await probeFolder(t, 'clock-skew')
  const dataFolder = join(folder, 'data')
  const store = await startStore({ dataFolder, port: await freePort(), nodes: 3 })
  t.teardown(() => store.stop())
  const port = await freePort()
  const config = join(folder, 'ahead', 'proxy.json')
  await mkdir(join(folder, 'ahead'))
  await writeFile(config, JSON.stringify({ host: '127.0.0.1', port, dataFolder }))
  const { NODE_OPTIONS: _options, ...env } = process.env
  const child = spawn(process.execPath, [ENTRY, 'proxy', '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: {
      ...env,
      LD_PRELOAD: FAKETIME!,
      FAKETIME: `+${AHEAD_SECONDS}s`,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  })
  t.teardown(async () => {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  for await (const line of createInterface({ input: child.stdout! })) {
    if (/^Proxy is ready/.test(line)) break
  }
  const { user, key } = await storeCredentials(dataFolder)
  const signIn = await fetch(`${store.origin}/auth/v1.0`, {
    headers: { 'x-auth-user': user, 'x-auth-key': key },
  })
  const headers = { 'x-auth-token': signIn.headers.get('x-auth-token') ?? '' }
  const path = `${new URL(signIn.headers.get('x-storage-url') ?? '').pathname}/skew`
  await fetch(`${store.origin}${path}`, { method: 'PUT', headers })
  const origins = [`http://127.0.0.1:${port}`, store.origin] as const
  const times = await Promise.all(origins.map((origin) => clockOf(origin)))
  t.ok(times[0]! - times[1]! > AHEAD_SECONDS - 2, 'the clocks are apart')
  return { ahead: `${origins[0]}${path}/o`, behind: `${origins[1]}${path}/o`, headers }
}

/** Seconds since 1970 at a proxy. */
async function clockOf(origin: string): Promise<number> {
  return Number(await (await fetch(`${origin}/recon/time`)).text())
}
