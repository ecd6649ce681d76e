/** `swiftlet backup` and `restore`: what a data folder holds beside its disks. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  dataFolderOf,
  freePortOffset,
  runSwiftlet,
  signIn,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

t.test('all is lost but the disk and the backup', async (t) => {
  const data = dataFolderOf(t)
  const archive = join(t.testdirName, 'state.tar.gz')
  const port = await freePortOffset()
  const store = await startSwiftlet(t, ['--data', data, ...port])
  const session = await signIn(data)
  t.equal((await session.send('PUT', '/c')).status, 201)
  t.equal((await session.send('PUT', '/c/o', 'hello')).status, 201)
  // As `swiftlet cluster` lays its nodes out.
  mkdirSync(join(data, 'nodes/node1/disk1/seg'), { recursive: true })
  writeFileSync(join(data, 'nodes/node1/storage-node.json'), '{}')
  writeFileSync(join(data, 'nodes/node1/disk1/seg/00-00000001.seg'), 'x')
  const backup = await runSwiftlet(['backup', archive, '--data', data])
  t.equal(backup.code, 0, backup.stderr)
  const listed = String(spawnSync('tar', ['tzf', archive]).stdout)
  t.match(listed, 'nodes/node1/storage-node.json')
  t.match(listed, 'rings/object.builder')
  t.notMatch(listed, /disk1|\block\b/, 'no disks in it')
  t.equal(statSync(archive).mode & 0o777, 0o600, 'it holds keys')
  const again = await runSwiftlet(['backup', archive, '--data', data])
  t.match(again, { code: 1, stderr: /is there already/ }, 'no archive is written over')
  t.equal((await session.send('PUT', '/c/later', 'too')).status, 201)
  const env = await swiftletEnv(data)
  t.match(
    await runSwiftlet(['restore', archive, '--data', data]),
    { code: 1, stderr: /is in use by process/ },
    'not under a running store',
  )
  t.equal(await store.end('SIGTERM'), 0)
  t.match(
    await runSwiftlet(['restore', archive, '--data', data]),
    { code: 1, stderr: /swiftlet\.json is there already/ },
    'nor over settings',
  )

  const fresh = join(t.testdirName, 'fresh')
  mkdirSync(fresh)
  renameSync(join(data, 'disks'), join(fresh, 'disks'))
  const restored = await runSwiftlet(['restore', archive, '--data', fresh])
  t.equal(restored.code, 0, restored.stderr)
  t.strictSame(leftovers(fresh), [], 'nothing of the unpacking stays')
  const last = await startSwiftlet(t, ['--data', fresh, ...port])
  t.equal((await swiftletEnv(fresh)).ST_KEY, env.ST_KEY)
  t.equal(await (await session.send('GET', '/c/o')).text(), 'hello', 'the old token is good')
  t.equal(await (await session.send('GET', '/c/later')).text(), 'too')
  t.equal(await last.end('SIGTERM'), 0)
})

t.test('what is no backup is not unpacked', async (t) => {
  const folder = t.testdir()
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  t.match(await runSwiftlet(['backup', join(folder, 'a.tgz'), '--data', empty]), {
    code: 1,
    stderr: /no Swiftlet was started here yet/,
  })
  t.notOk(existsSync(join(folder, 'a.tgz')))

  const target = join(folder, 'target')
  const refused = async (archive: string, why: RegExp) => {
    const { code, stderr } = await runSwiftlet(['restore', archive, '--data', target])
    t.equal(code, 1)
    t.match(stderr, why)
    t.notOk(existsSync(join(target, 'swiftlet.json')))
  }
  writeFileSync(join(folder, 'noise.tgz'), Buffer.alloc(1000, 7))
  await refused(join(folder, 'noise.tgz'), /is no backup of a Swiftlet/)
  await refused(join(folder, 'missing.tgz'), /missing\.tgz/)
  await refused(archiveOf(t, 'other', ['rings']), /no swiftlet\.json in it/)
  await refused(archiveOf(t, 'strange', ['swiftlet.json', 'evil']), /evil does not belong there/)
  await refused(archiveOf(t, 'linked', ['swiftlet.json'], 'users.json'), /users\.json does not/)
})

/** An archive of files of these names, and perhaps a link. */
function archiveOf(t: Test, name: string, files: readonly string[], link?: string): string {
  const folder = join(t.testdirName, name)
  mkdirSync(folder)
  for (const file of files) writeFileSync(join(folder, file), '{}')
  if (link !== undefined) symlinkSync('/etc/hostname', join(folder, link))
  const names = link === undefined ? files : [...files, link]
  spawnSync('tar', ['czf', `${folder}.tgz`, '-C', folder, ...names])
  return `${folder}.tgz`
}

function leftovers(folder: string): string[] {
  const { stdout } = spawnSync('find', [folder, '-name', '*.tmp'])
  return String(stdout).split('\n').filter(Boolean)
}
