import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Level } from 'level'
import t, { type Test } from 'tap'
import { stateContract } from '../../test/support/state-contract.ts'
import { openLevelState } from './level-state.ts'

async function newFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'level-state-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

t.test('LevelDB keeps the contract', (t) => {
  stateContract(t, {
    place: newFolder,
    open: (folder, clock) => openLevelState(folder, clock === undefined ? {} : { clock }),
  })
  t.end()
})

async function filled(folder: string, count: number): Promise<void> {
  const store = await openLevelState(folder)
  for (let id = 0; id < count; id++) {
    await store.transaction(async (tx) => tx.put('t', String(id), `value ${id} ${'x'.repeat(500)}`))
  }
  await store.close()
}

async function fileOf(folder: string, ending: string): Promise<string> {
  const name = (await readdir(folder)).find((one) => one.endsWith(ending))
  return join(folder, name!)
}

t.test('a store that another has, or a newer version wrote, is refused', async (t) => {
  const folder = await newFolder(t)
  const store = await openLevelState(folder)
  await t.rejects(openLevelState(folder), { code: 'StateInUse', status: 409 })
  await store.close()
  const database = new Level(folder)
  await database.put('!version', '2')
  await database.close()
  await t.rejects(openLevelState(folder), { code: 'StateTooNew', status: 409 })
  await database.open()
  await database.del('!version')
  await database.put('t!a', '1')
  await database.close()
  await t.rejects(openLevelState(folder), { code: 'StateDamaged' })
})

t.test('a log that is damaged in the middle is not taken for whole', async (t) => {
  const folder = await newFolder(t)
  await filled(folder, 200)
  const log = await fileOf(folder, '.log')
  const bytes = await readFile(log)
  bytes[bytes.length >> 1]! ^= 1
  await writeFile(log, bytes)
  await t.rejects(openLevelState(folder), { code: 'StateDamaged', message: folder })
})

t.test('a log that was torn at its end gives all before', async (t) => {
  const folder = await newFolder(t)
  await filled(folder, 20)
  const log = await fileOf(folder, '.log')
  const bytes = await readFile(log)
  await writeFile(log, bytes.subarray(0, bytes.length - 100))
  const store = await openLevelState(folder)
  t.teardown(() => store.close())
  t.equal((await store.scan('t')).length, 19)
  await store.transaction(async (tx) => tx.put('t', 'more', 1))
})

t.test('a row that is not what was written is an error, not a value', async (t) => {
  const folder = await newFolder(t)
  await filled(folder, 3)
  const database = new Level(folder)
  const stored = await database.get('t!1')
  await database.put('t!1', stored!.replace('value 1', 'value 7'))
  await database.put('t!3', stored!)
  await database.close()
  const store = await openLevelState(folder)
  t.teardown(() => store.close())
  await t.rejects(store.get('t', '1'), { code: 'StateDamaged', message: /t!1/ })
  await t.rejects(store.get('t', '3'), { code: 'StateDamaged' }, "another row's value")
  await t.rejects(store.scan('t'), { code: 'StateDamaged' })
  t.match(await store.get('t', '2'), /^value 2/, 'the others are read')
})

t.test('a store whose table is gone says so', async (t) => {
  const folder = await newFolder(t)
  await filled(folder, 20)
  // What is in the log goes into a table when it is opened.
  await (await openLevelState(folder)).close()
  await rm(await fileOf(folder, '.ldb'))
  await t.rejects(openLevelState(folder), { code: 'StateDamaged' })
})

t.test(
  'a change that could not be written is refused, and later ones go on behind it',
  async (t) => {
    const folder = await newFolder(t)
    const writer = fileURLToPath(new URL('../../test/support/state-limit.ts', import.meta.url))
    // Without the options that tap puts there, which end processes by the signal that is to be ignored.
    const command = `trap '' XFSZ; ulimit -S -f 64; NODE_OPTIONS= exec "$0" --import=tsx "$1" "$2"`
    const child = spawn('bash', ['-c', command, process.execPath, writer, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // Without what tap puts there, which ends processes by the signal that is to be ignored.
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    const exited = once(child, 'exit')
    const lines: string[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line)
      if (!line.startsWith('full')) continue
      const args = ['--pid', String(child.pid), '--fsize=unlimited:']
      t.equal(spawnSync('prlimit', args).status, 0, 'the limit is lifted')
      child.stdin.write('go on\n')
    }
    t.strictSame(await exited, [0, null])
    const [full, more] = lines.map((line) => line.split(' '))
    t.strictSame(full?.slice(0, 2), ['full', 'StateUnavailable'])
    const acknowledged = Number(full?.[2])
    t.ok(acknowledged > 5, `${acknowledged} fitted`)
    t.strictSame(more, ['more', '20'])
    const store = await openLevelState(folder)
    t.teardown(() => store.close())
    const rows = new Set((await store.scan('t')).map(({ key }) => key))
    for (let id = 0; id < acknowledged; id++) t.ok(rows.has(String(id)), `${id} is there`)
    for (let id = 0; id < 20; id++) t.ok(rows.has(`more-${id}`))
  },
)
