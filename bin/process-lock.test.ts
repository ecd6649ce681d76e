import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { checkPortFree, portHolders } from './ports.ts'
import { acquireLock, lockHolder } from './process-lock.ts'

t.test('a lock excludes, names its holder and is free after release', async (t) => {
  const path = join(t.testdir(), 'lock')
  const lock = acquireLock(path, 'the folder')
  t.equal(lockHolder(path), process.pid)
  t.throws(() => acquireLock(path, 'the folder'), {
    code: 'Locked',
    message: `the folder is in use by process ${process.pid}`,
  })
  lock.release()
  lock.release()
  t.notOk(existsSync(path))
  t.equal(lockHolder(path), null)
  acquireLock(path, 'the folder').release()
  t.strictSame(readdirSync(join(path, '..')), [], 'nothing is left beside it')
})

t.test('the lock of a process that is gone is taken over', async (t) => {
  const path = join(t.testdir(), 'lock')
  const { pid } = spawnSync('true')
  const own = acquireLock(path, 'x')
  const { started } = JSON.parse(readFileSync(path, 'utf8')) as { started: string }
  own.release()
  const stale = [
    JSON.stringify({ pid, started }),
    // The pid runs, but began at another time: it came round again, or the machine was started anew.
    JSON.stringify({ pid: process.pid, started: 'another-boot 1' }),
    JSON.stringify({ pid: 1, started: 'another-boot 1' }),
    'not json',
    '',
  ]
  for (const text of stale) {
    writeFileSync(path, text)
    t.equal(lockHolder(path), null, text)
    const lock = acquireLock(path, 'x')
    t.equal(lockHolder(path), process.pid, text)
    lock.release()
  }
  t.strictSame(readdirSync(join(path, '..')), [])
})

t.test('releasing a lock that another has taken over leaves it alone', async (t) => {
  const path = join(t.testdir(), 'lock')
  const lock = acquireLock(path, 'x')
  writeFileSync(path, '{"pid":1,"started":"theirs"}')
  lock.release()
  t.ok(existsSync(path))
})

t.test(
  'whoever listens on a port is found',
  { skip: !existsSync('/proc/net/tcp') && 'needs /proc' },
  async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { readonly port: number }
    t.match(portHolders(port), [{ pid: process.pid, command: /node/ }])
    await t.rejects(checkPortFree('127.0.0.1', port), {
      code: 'PortTaken',
      message: `port ${port} on 127.0.0.1 is taken by process ${process.pid} (`,
    })
    server.close()
    await once(server, 'close')
    t.strictSame(portHolders(port), [])
    await checkPortFree('127.0.0.1', port)
    await t.rejects(checkPortFree('192.0.2.1', port), { code: 'NoSuchAddress' })
  },
)
