/**
 * A data folder of an earlier version opens with all that was acknowledged in it. fixtures/data-1.tar.gz was made by the
 * first version of the formats (index layout 1), killed twice (kill -9), the second time before the index was flushed:
 * 40 small objects, a blob, one deleted, overwrites, a POST, and ten objects and more after the first kill.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import {
  dataFolderOf,
  freePortOffset,
  runSwiftlet,
  signIn,
  startSwiftlet,
} from '../support/swiftlet-command.ts'

const FIXTURE = fileURLToPath(new URL('../fixtures/data-1.tar.gz', import.meta.url))
const BLOB = 'b'.repeat(200_000)
/** Deleted before and after the first kill. */
const DELETED = [2, 4]
const OVERWRITTEN: Readonly<Record<number, string>> = { 1: 'new body', 5: 'late body' }

function unpack(t: Test): string {
  const data = dataFolderOf(t)
  mkdirSync(data)
  const { status, stderr } = spawnSync('tar', ['xzf', FIXTURE, '-C', data])
  if (status !== 0) throw new Error(String(stderr))
  return data
}

async function hasEverything(t: Test, data: string): Promise<void> {
  const { send } = await signIn(data)
  const listing = await (await send('GET', '/photos')).text()
  const small = Array.from({ length: 50 }, (_, i) => i).filter((i) => !DELETED.includes(i))
  const names = [...small.map((i) => `small-${i}`), 'folder/blob', 'later', 'naïve']
  t.strictSame(listing.trimEnd().split('\n').sort(), names.sort(), 'the listing')
  for (const i of small) {
    const body = await (await send('GET', `/photos/small-${i}`)).text()
    if (body !== (OVERWRITTEN[i] ?? `body of ${i}`)) t.fail(`small-${i}: ${body}`)
  }
  for (const i of DELETED) t.equal((await send('GET', `/photos/small-${i}`)).status, 404)
  t.equal((await send('GET', '/photos/blob-gone')).status, 404)
  t.ok((await (await send('GET', '/photos/folder/blob')).text()) === BLOB, 'the blob')
  const posted = await send('GET', '/photos/small-3')
  t.equal(posted.headers.get('x-object-meta-shot'), '1926')
  t.equal(await posted.text(), 'body of 3')
  const later = await send('GET', '/photos/later')
  t.equal(later.headers.get('x-delete-at'), '4102444800')
  const container = await send('HEAD', '/photos')
  t.equal(container.headers.get('x-container-meta-color'), 'blue')
  t.equal(container.headers.get('x-container-object-count'), String(names.length))
  t.equal((await send('HEAD', '/empty')).status, 204)
  t.equal((await send('HEAD', '')).headers.get('x-account-meta-owner'), 'ann')
}

t.test('a data folder of the first version', async (t) => {
  const data = unpack(t)
  const up = ['--data', data, ...(await freePortOffset())]
  const first = await startSwiftlet(t, up)
  await hasEverything(t, data)
  const { send } = await signIn(data)
  t.equal((await send('PUT', '/photos/small-1', 'body of 1')).status, 201, 'it takes writes')
  t.equal((await send('PUT', '/photos/small-1', OVERWRITTEN[1])).status, 201)
  t.equal(await first.end('SIGTERM'), 0)
  const check = await runSwiftlet(['check', data])
  t.equal(check.code, 0, check.stdout + check.stderr)
  const second = await startSwiftlet(t, up)
  await hasEverything(t, data)
  t.equal(await second.end('SIGTERM'), 0)
})

t.test('an index of the first version that is lost does no harm either', async (t) => {
  const data = unpack(t)
  rmSync(join(data, 'disks/disk1/idx'), { recursive: true })
  const store = await startSwiftlet(t, ['--data', data, ...(await freePortOffset())])
  await hasEverything(t, data)
  t.equal(await store.end('SIGTERM'), 0)
})
