/**
 * What Swift's users have programs for: files in segments, temporary URLs, quotas and versions by the official client, rclone
 * with chunks, and backups by restic and duplicity. What comes back is compared byte for byte.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  difference,
  isLong,
  makeBigFile,
  makeTree,
  md5Of,
  missing,
  run,
} from '../support/client-tree.ts'
import { SwiftShell } from '../support/swift-shell.ts'
import {
  freePortOffset,
  runSwiftlet,
  type StartedSwiftlet,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

t.setTimeout(900_000)
const timeout = 600_000
const BACKUP_FILES = isLong ? 2000 : 200
const work = t.testdir()
const big = join(work, 'big.bin')
const tree = join(work, 'tree')
const data = join(work, 'data')
let started: StartedSwiftlet
let env: Readonly<Record<string, string>> = {}
let swift: SwiftShell | null = null

t.before(async () => {
  makeBigFile(big)
  makeTree(tree, BACKUP_FILES)
  started = await startSwiftlet(t, ['--data', data, ...(await freePortOffset())])
  env = await swiftletEnv(data)
  if (!missing('swift')) swift = new SwiftShell(env, work)
})

t.teardown(async () => {
  await swift?.close()
  await started.end('SIGTERM')
})

t.test('swift: static and dynamic segments', { timeout, skip: missing('swift') }, async (t) => {
  const segmented = ['upload', 'c', 'big.bin', '--segment-size', '7M']
  for (const extra of [['--use-slo'], []]) {
    const name = `object-${extra.length}`
    await swift!.ok(t, ...segmented, ...extra, '--object-name', name)
    const stat = await swift!.ok(t, 'stat', 'c', name)
    t.match(stat, /Content Length: 67108864|Content Length: 1073741824/)
    t.match(stat, extra.length > 0 ? /X-Static-Large-Object: True/ : /Manifest: c_segments/)
    await swift!.ok(t, 'download', 'c', name, '--output', join(work, name))
    t.equal(await md5Of(join(work, name)), await md5Of(big))
    // The client knows the object by its manifest and does not send it again.
    const again = [...segmented, ...extra, '--object-name', name, '--skip-identical']
    t.notMatch(await swift!.ok(t, ...again), /segment/)
    await swift!.ok(t, 'delete', 'c', name)
  }
  t.equal((await swift!.ok(t, 'list', 'c_segments')).trim(), '', 'the segments went as well')
})

t.test('rclone: chunked files', { timeout, skip: missing('rclone') }, async (t) => {
  const rcloneEnv = {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_STORE_TYPE: 'swift',
    RCLONE_CONFIG_STORE_AUTH: env.ST_AUTH!,
    RCLONE_CONFIG_STORE_AUTH_VERSION: '1',
    RCLONE_CONFIG_STORE_USER: env.ST_USER!,
    RCLONE_CONFIG_STORE_KEY: env.ST_KEY!,
    RCLONE_CONFIG_STORE_CHUNK_SIZE: '5M',
  }
  const rclone = (...args: string[]) => run('rclone', args, { env: rcloneEnv })
  await ok(t, rclone('copy', big, 'store:chunked'))
  await ok(t, rclone('copy', 'store:chunked/big.bin', join(work, 'back')))
  t.equal(await md5Of(join(work, 'back', 'big.bin')), await md5Of(big))
  await ok(t, rclone('copyto', 'store:chunked/big.bin', 'store:chunked/copy.bin'))
  await ok(t, rclone('check', big, 'store:chunked', '--size-only', '--one-way'))
  await ok(t, rclone('deletefile', 'store:chunked/big.bin'))
  t.match((await rclone('lsf', 'store:chunked')).output, /^copy\.bin/)
})

t.test('swift: temporary URLs', { timeout, skip: missing('swift') }, async (t) => {
  await swift!.ok(t, 'post', 'shared', '-m', 'Temp-URL-Key:a key')
  const file = writeText('shared.txt', 'for who has the link')
  await swift!.ok(t, 'upload', 'shared', file, '--object-name', 'folder/shared.txt')
  const stat = await swift!.ok(t, 'stat', 'shared', '-v')
  const path = new URL(/URL: (\S+)/.exec(stat)![1]!).pathname
  const { origin } = new URL(env.ST_AUTH!)
  const url = async (...args: string[]) => {
    const printed = await swift!.ok(t, 'tempurl', ...args)
    return origin + printed.trim()
  }
  for (const digest of ['sha1', 'sha256', 'sha512']) {
    const link = await url('--digest', digest, 'GET', '600', `${path}/folder/shared.txt`, 'a key')
    t.equal(await textOf(fetch(link)), 'for who has the link', digest)
    t.equal((await fetch(link, { method: 'DELETE' })).status, 401, 'is for GET only')
  }
  const until = new Date(Date.now() + 600_000).toISOString().slice(0, 19)
  const iso = await url('--iso8601', 'PUT', `${until}Z`, `${path}/folder/new.txt`, 'a key')
  t.equal((await fetch(iso, { method: 'PUT', body: 'sent by the link' })).status, 201)
  const prefix = await url('--prefix-based', 'GET', '600', `${path}/folder/`, 'a key')
  const below = (name: string) => prefix.replace(/\/folder\/\?/, `/${name}?`)
  t.equal(await textOf(fetch(below('folder/new.txt'))), 'sent by the link')
  t.equal((await fetch(below('elsewhere.txt'))).status, 401, 'is for the folder only')
  const wrong = await url('GET', '600', `${path}/folder/shared.txt`, 'another key')
  t.equal((await fetch(wrong)).status, 401)
  const far = ['--ip-range', '192.0.2.0/24', 'GET', '600', `${path}/folder/shared.txt`, 'a key']
  t.equal((await fetch(await url(...far))).status, 401, 'is for other addresses')
  const near = far.map((word) => (word === '192.0.2.0/24' ? '127.0.0.0/8' : word))
  t.equal(await textOf(fetch(await url(...near))), 'for who has the link')
})

t.test('swift: quotas', { timeout, skip: missing('swift') }, async (t) => {
  const small = writeText('small.txt', 'x'.repeat(100))
  const long = writeText('long.txt', 'x'.repeat(2000))
  await swift!.ok(t, 'post', 'limited', '-m', 'Quota-Bytes:1000', '-m', 'Quota-Count:2')
  await swift!.ok(t, 'upload', 'limited', small, '--object-name', 'one')
  await swift!.fails(t, /413/, 'upload', 'limited', long)
  await swift!.ok(t, 'upload', 'limited', small, '--object-name', 'two')
  await swift!.fails(t, /413/, 'upload', 'limited', small, '--object-name', 'three')
  await swift!.fails(t, /400/, 'post', 'limited', '-m', 'Quota-Bytes:many')
  await swift!.ok(t, 'post', 'limited', '-m', 'Quota-Bytes:', '-m', 'Quota-Count:')
  await swift!.ok(t, 'upload', 'limited', long, '--object-name', 'three')
  t.equal(await swift!.ok(t, 'download', 'limited', 'three', '--output', '-'), 'x'.repeat(2000))
})

t.test('swift: quotas of an account', { timeout, skip: missing('swift') }, async (t) => {
  const added = ['user', 'add', 'ada:ada', '--key', 'secret', '--group', '.admin', '--data', data]
  t.equal((await runSwiftlet(added)).code, 0)
  const ada = ['-A', env.ST_AUTH!, '-U', 'ada:ada', '-K', 'secret']
  const stat = await untilKnown(t, ...ada, 'stat', '-v')
  const theirs = ['--os-storage-url', /StorageURL: (\S+)/.exec(stat)![1]!]
  await swift!.fails(t, /403/, ...ada, 'post', '-H', 'X-Account-Quota-Bytes: 10')
  // The first user is the reseller's.
  await swift!.ok(t, ...theirs, 'post', '-H', 'X-Account-Quota-Bytes: 1000')
  t.match(await swift!.ok(t, ...ada, 'stat'), /X-Account-Quota-Bytes: 1000/)
  const long = writeText('too-long.txt', 'x'.repeat(200_000))
  await swift!.ok(t, ...ada, 'post', 'full')
  await swift!.fails(t, /413/, ...ada, 'upload', 'full', long)
  await swift!.ok(t, ...theirs, 'post', '-H', 'X-Remove-Account-Quota-Bytes: x')
  await swift!.ok(t, ...ada, 'upload', 'full', long, '--object-name', 'long')
  const back = await swift!.ok(t, ...ada, 'download', 'full', 'long', '--output', '-')
  t.equal(back, 'x'.repeat(200_000))
})

t.test('swift: versions', { timeout, skip: missing('swift') }, async (t) => {
  await swift!.ok(t, 'post', 'kept', '-H', 'X-Versions-Enabled: true')
  for (const text of ['first', 'second']) {
    await swift!.ok(t, 'upload', 'kept', writeText('note.txt', text), '--object-name', 'note')
  }
  await swift!.ok(t, 'delete', 'kept', 'note')
  t.equal(await swift!.ok(t, 'list', 'kept'), '')
  const listed = await swift!.ok(t, 'list', '--versions', 'kept')
  const ids = Array.from(listed.matchAll(/(\d{10}\.\d{5}\S*) +(\S+) +note$/gm))
  t.equal(ids.length, 3, listed)
  const [, newest, oldest] = ids.map(([, id]) => id!)
  const show = (id: string) =>
    swift!.ok(t, 'download', 'kept', 'note', '--version-id', id, '--output', '-')
  t.equal(await show(newest!), 'second')
  t.equal(await show(oldest!), 'first')
  await swift!.ok(t, 'delete', 'kept', 'note', '--version-id', oldest!)
  const gone = ['download', 'kept', 'note', '--version-id', oldest!, '--output', '-']
  await swift!.fails(t, /404|not found/i, ...gone)
  await swift!.ok(t, 'delete', '--versions', 'kept')
})

t.test('swift: versions of old', { timeout, skip: missing('swift') }, async (t) => {
  await swift!.ok(t, 'post', 'archive')
  await swift!.ok(t, 'post', 'stack', '-H', 'X-Versions-Location: archive')
  for (const text of ['first', 'second']) {
    await swift!.ok(t, 'upload', 'stack', writeText('note.txt', text), '--object-name', 'note')
  }
  t.match(await swift!.ok(t, 'list', 'archive'), /^004note\/\d{10}\.\d{5}\n$/)
  await swift!.ok(t, 'delete', 'stack', 'note')
  t.equal(await swift!.ok(t, 'download', 'stack', 'note', '--output', '-'), 'first')
  await swift!.ok(t, 'delete', 'stack', 'note')
  await swift!.fails(t, /404|not found/i, 'download', 'stack', 'note', '--output', '-')
})

t.test('restic: a backup', { timeout, skip: missing('restic') }, async (t) => {
  const restic = (...args: string[]) =>
    run('restic', ['-r', 'swift:restic:/backups', ...args], {
      env: { ...env, RESTIC_PASSWORD: 'secret', RESTIC_CACHE_DIR: join(work, 'restic-cache') },
      cwd: work,
    })
  await ok(t, restic('init'))
  await ok(t, restic('backup', 'tree'))
  const more = join(tree, 'since-yesterday.txt')
  writeFileSync(more, 'more')
  await ok(t, restic('backup', 'tree'))
  t.equal((await restic('snapshots', '--json')).output.match(/"short_id"/g)?.length, 2)
  await ok(t, restic('check', '--read-data'))
  await ok(t, restic('restore', 'latest', '--target', join(work, 'restic')))
  t.equal(await difference(tree, join(work, 'restic', 'tree')), '')
  await ok(t, restic('forget', '--keep-last', '1', '--prune'))
  await ok(t, restic('check', '--read-data'))
})

t.test('duplicity: a backup', { timeout, skip: missing('duplicity') }, async (t) => {
  const options = ['--no-encryption', '--archive-dir', join(work, 'duplicity-cache')]
  const duplicity = (...args: string[]) =>
    run('duplicity', [...args, ...options], {
      // The file's size is asked for by swiftclient's service, which signs in by variables of its own.
      env: {
        ...env,
        SWIFT_AUTHURL: env.ST_AUTH!,
        SWIFT_AUTHVERSION: '1',
        SWIFT_USERNAME: env.ST_USER!,
        SWIFT_PASSWORD: env.ST_KEY!,
      },
      cwd: work,
    })
  // Volumes of 1 MB: there are several of them.
  await ok(t, duplicity('full', '--volsize', '1', tree, 'swift://duplicity'))
  writeFileSync(join(tree, 'since-yesterday.txt'), 'more than before')
  await ok(t, duplicity('incremental', '--volsize', '1', tree, 'swift://duplicity'))
  await ok(t, duplicity('verify', '--compare-data', 'swift://duplicity', tree))
  await ok(t, duplicity('restore', 'swift://duplicity', join(work, 'duplicity')))
  t.equal(await difference(tree, join(work, 'duplicity')), '')
})

/** A user that was just added is known when the identity service says so to the store. */
async function untilKnown(t: Test, ...args: readonly string[]): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await swift!.ok(t, ...args)
    } catch (error) {
      if (attempt === 60) throw error
    }
  }
}

function writeText(name: string, text: string): string {
  const folder = join(work, 'texts')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), text)
  return join('texts', name)
}

async function textOf(answering: Promise<Response>): Promise<string> {
  return (await answering).text()
}

async function ok(t: Test, running: ReturnType<typeof run>): Promise<void> {
  const { code, output } = await running
  t.equal(code, 0, output.slice(-2000))
}
