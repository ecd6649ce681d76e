import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { Agent, type Dispatcher, request } from 'undici'
import { readCredentials } from '../../bin/data-folder.ts'
import type { StoreThreads } from '../../bin/threads/store-threads.ts'
import { startUp } from '../../bin/up.ts'
import { systemClock as clock } from '../../common/clock.ts'
import { systemRandom as random } from '../../common/random.ts'

const log = { info: () => {}, warn: () => {}, error: (...all: unknown[]) => console.error(...all) }
const PORT_OFFSET = 21_000 + (process.pid % 2000)

/** A store on two threads in a folder that goes with the test. */
async function start(t: Test) {
  const data = mkdtempSync(join(tmpdir(), 'swiftlet-threads-'))
  const running = await startUp(
    {
      data,
      disks: [],
      host: '127.0.0.1',
      portOffset: PORT_OFFSET,
      threads: 2,
      logs: { component: 'test', level: 'error' },
      onFatal: (error) => t.fail(String(error)),
    },
    { clock, random, log },
  )
  const { user, password } = await readCredentials(running.folder.paths)
  // A connection each: the kernel spreads them over the threads.
  const agent = new Agent({ pipelining: 0, connections: 8 })
  const signIn = await request(running.endpoints.signIn, {
    headers: { 'x-auth-user': user, 'x-auth-key': password },
    dispatcher: agent,
  })
  await signIn.body.dump()
  const token = String(signIn.headers['x-auth-token'])
  const base = String(signIn.headers['x-storage-url'])
  t.teardown(async () => {
    await agent.destroy()
    await running.close()
    rmSync(data, { recursive: true, force: true })
  })
  const call = async (
    method: Dispatcher.HttpMethod,
    path: string,
    body?: Buffer,
    more: Readonly<Record<string, string>> = {},
  ) => {
    const headers = { 'x-auth-token': token, connection: 'close', ...more }
    const options = { method, headers, dispatcher: agent, ...(body !== undefined && { body }) }
    const answer = await request(`${base}${path}`, options)
    return { status: answer.statusCode, body: Buffer.from(await answer.body.arrayBuffer()) }
  }
  return { store: running.store as StoreThreads, call }
}

t.test('whichever thread is asked, it answers for the shards of all', async (t) => {
  const { call } = await start(t)
  t.equal((await call('PUT', '/c')).status, 201)
  const names = Array.from({ length: 60 }, (_, i) => `o${i}`)
  const sizes = [0, 10, 4096, 65_536, 200_000]
  const bodyOf = (i: number) => Buffer.alloc(sizes[i % sizes.length]!, i)
  for (const [i, name] of names.entries()) {
    t.equal((await call('PUT', `/c/${name}`, bodyOf(i))).status, 201)
  }
  for (const [i, name] of names.entries()) {
    const { status, body } = await call('GET', `/c/${name}`)
    t.ok(status === 200 && body.equals(bodyOf(i)), `${name} is read back`)
  }
  const listing = await call('GET', '/c')
  t.equal(listing.body.toString().trim().split('\n').length, names.length)
  t.equal((await call('DELETE', '/c')).status, 409)
})

t.test('what one thread changes of a container or an account, all know at once', async (t) => {
  const { call } = await start(t)
  t.equal((await call('PUT', '/c')).status, 201)
  const puts = async () => {
    const body = Buffer.from('ten bytes!')
    const answers = await Promise.all([0, 1, 2, 3, 4, 5].map((n) => call('PUT', `/c/${n}`, body)))
    return new Set(answers.map(({ status }) => status))
  }
  for (let round = 0; round < 10; round++) {
    await call('POST', '/c', undefined, { 'x-container-meta-quota-bytes': '9' })
    t.strictSame(await puts(), new Set([413]), 'the quota holds')
    await call('POST', '/c', undefined, { 'x-container-meta-quota-bytes': '' })
    t.strictSame(await puts(), new Set([201]), 'and ends')
  }
})

t.test('a thread that dies takes nothing acknowledged with it, and the others go on', async (t) => {
  const { store, call } = await start(t)
  t.equal((await call('PUT', '/c')).status, 201)
  const acked: string[] = []
  let refused = 0
  let isOver = false
  const load = async (worker: number) => {
    for (let n = 0; !isOver; n++) {
      const name = `w${worker}-${n}`
      const status = await call('PUT', `/c/${name}`, Buffer.from(name)).then(
        (answer) => answer.status,
        () => 0,
      )
      if (status === 201) acked.push(name)
      else refused++
      if (status !== 201) await sleep(20)
    }
  }
  const workers = [0, 1, 2, 3].map(load)
  const until = async (count: number) => {
    for (const deadline = Date.now() + 60_000; acked.length < count; await sleep(5)) {
      if (Date.now() > deadline) throw new Error(`only ${acked.length} of ${count} acknowledged`)
    }
  }
  for (const [round, thread] of [0, 1, 1].entries()) {
    await until(100 * (round + 1))
    await store.kill(thread)
  }
  await until(acked.length + 200)
  isOver = true
  await Promise.all(workers)
  let lost = 0
  for (const name of acked) {
    const { status, body } = await call('GET', `/c/${name}`)
    if (status !== 200 || body.toString() !== name) lost++
  }
  const listing = new Set((await call('GET', '/c')).body.toString().trim().split('\n'))
  const unlisted = acked.filter((name) => !listing.has(name)).length
  t.equal(lost, 0, `${acked.length} acknowledged, ${refused} refused, ${lost} lost`)
  t.equal(unlisted, 0, 'all of them are listed')
})

t.test('a thread may end while others read the same index', async (t) => {
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, ['--import=tsx', program, ...args], { encoding: 'utf8' })
  const program = fileURLToPath(new URL('support/shared-index.ts', import.meta.url))
  const folder = t.testdir()
  const stays = run(join(folder, 'one'), 'first-stays')
  t.equal(stays.status, 0, `the first handle is closed last ${stays.stderr}`)
  // Should this no longer crash, classic-level has been mended, and the supervisor need not open the index.
  t.equal(run(join(folder, 'two')).signal, 'SIGSEGV', 'control: the first handle is closed first')
})
