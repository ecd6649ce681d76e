import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import type { Clock } from '../../common/clock.ts'
import { createLog } from '../../common/log.ts'
import { KeyFile, rotateKeyFile } from './key-file.ts'

async function setUp(t: Test) {
  const path = join(t.testdir(), 'token-keys.json')
  const due: (() => void)[] = []
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    after(_delayMs, action) {
      due.push(action)
      return () => due.splice(due.indexOf(action), 1)
    },
  }
  const lines: string[] = []
  const log = createLog({ write: (text) => lines.push(text), nowMs: () => 0, component: 'test' })
  const open = () => KeyFile.open(path, { clock, log })
  const file = await open()
  t.teardown(() => file.close())
  const logged = () => {
    log.flush()
    return lines.splice(0).join('')
  }
  return { path, due, file, open, logged }
}

t.test('keys are made once, in a file that only its owner may read', async (t) => {
  const { path, file, open } = await setUp(t)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(readdirSync(dirname(path)), ['token-keys.json'], 'nothing is left beside it')
  const again = await open()
  t.teardown(() => again.close())
  t.strictSame(again.keys.published, file.keys.published)
  t.equal(file.keys.verifying.size, 2, 'a primary and a staged one')
  t.ok(file.keys.verifying.has(file.keys.signing.id))
})

t.test('a rotation by another process is seen at the next look', async (t) => {
  const { path, due, file, logged } = await setUp(t)
  const before = file.keys
  await rotateKeyFile(path)
  t.equal(statSync(path).mode & 0o777, 0o600)
  due.shift()!()
  while (due.length === 0) await new Promise((resolve) => setImmediate(resolve))
  t.not(file.keys.signing.id, before.signing.id)
  t.equal(file.keys.signing.id, before.published.keys[1]!.kid, 'what was staged signs now')
  t.ok(file.keys.verifying.has(before.signing.id), 'and the old tokens are good')
  t.match(logged(), /token keys changed/)
})

t.test('a damaged file is reported once and leaves the keys as they were', async (t) => {
  const { path, file, open, logged } = await setUp(t)
  const before = file.keys
  writeFileSync(path, '{')
  await file.refresh()
  await file.refresh()
  t.equal(logged().match(/unreadable/g)?.length, 1)
  t.equal(file.keys, before)
  await t.rejects(open(), { code: 'BadTokenKeys' }, 'nor is it opened, or written over')
  await t.rejects(rotateKeyFile(path), { code: 'BadTokenKeys' })
})

t.test('after close nothing is looked at', async (t) => {
  const { due, file } = await setUp(t)
  file.close()
  t.equal(due.length, 0)
})
