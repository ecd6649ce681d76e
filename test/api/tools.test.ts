/** Operators' tools as they run them, against one Swiftlet with three disks. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  type CommandResult,
  freePortOffset,
  runSwiftlet,
  signIn,
  startSwiftlet,
} from '../support/swiftlet-command.ts'

const work = t.testdir()
const data = join(work, 'data')
const disks = ['a', 'b', 'c'].map((name) => join(work, name))

/** All that Swift's recon answers. */
const RECON_KINDS = [
  ...['mem', 'load', 'async', 'replication', 'replication/account', 'replication/container'],
  ...['replication/object', 'devices', 'updater/container', 'updater/object', 'auditor/account'],
  ...['auditor/container', 'auditor/object', 'expirer/object', 'mounted', 'unmounted'],
  ...['diskusage', 'ringmd5', 'swiftconfmd5', 'quarantined', 'sockstat', 'version', 'driveaudit'],
  ...['time', 'sharding', 'relinker', 'reconstruction/object'],
]

async function tool(...args: string[]): Promise<CommandResult> {
  return runSwiftlet([...args, '--data', data])
}

const json = async (...args: string[]) => {
  const { code, stdout, stderr } = await tool(...args, '--json')
  return { code, found: JSON.parse(stdout.trim().split('\n').at(-1) ?? 'null'), stderr }
}

t.test('a running Swiftlet shows what it holds, and where', { timeout: 240_000 }, async (t) => {
  for (const disk of disks) mkdirSync(disk)
  const options = disks.flatMap((disk) => ['--disk', disk])
  await startSwiftlet(t, [
    'up',
    '--data',
    data,
    ...options,
    '--threads',
    '1',
    ...(await freePortOffset()),
  ])
  const { storageUrl, send, token } = await signIn(data)
  const { origin } = new URL(storageUrl)
  const account = storageUrl.split('/').at(-1)!
  await send('PUT', '/photos')
  await send('PUT', '/photos/a/b.png', 'picture')
  await send('PUT', '/empty')

  await t.test('get-nodes reads the rings, object-info asks the devices', async (t) => {
    const placed = await json('get-nodes', account, 'photos', 'a/b.png')
    t.equal(placed.code, 0)
    t.equal(placed.found.devices.length, 3)
    const info = await json('object-info', account, 'photos', 'a/b.png')
    t.equal(info.code, 0, info.stderr)
    t.equal(info.found.partition, placed.found.partition)
    t.equal(info.found.hash, placed.found.hash)
    for (const { role, record } of info.found.replicas) {
      t.match({ role, record }, { role: 'primary', record: { bytes: 7, deleted: false } })
    }
    const text = await tool('container-info', account, 'photos')
    t.match(text, { code: 0, stdout: new RegExp(`container: /${account}/photos`) })
    t.match(text.stdout, /rows: 1\n/)
    t.equal((await tool('account-info', account)).code, 0)
    t.match(await tool('object-info', account, 'photos', 'none'), { code: 1, stdout: /nothing/ })
    t.match(await tool('object-info', account, 'nowhere', 'o'), { code: 1, stderr: /404/ })
    t.equal((await tool('get-nodes')).code, 2)
    t.match(await tool('get-nodes', account, 'c', 'o', '--policy', 'none'), {
      code: 1,
      stderr: /no storage policy none/,
    })
  })

  await t.test('account-audit finds all of an account', async (t) => {
    const { code, found } = await json('account-audit', account)
    t.equal(code, 0)
    t.strictSame(found, { account: 1, containers: 2, objects: 1, problems: 0 })
    t.match(await json('account-audit', 'AUTH_nobody'), { code: 1, found: { problems: 1 } })
  })

  await t.test('dispersion puts a sample there and finds every copy', async (t) => {
    t.equal((await tool('dispersion', 'report')).code, 1, 'nothing to find yet')
    const made = await json('dispersion', 'populate', '--coverage', '1')
    t.ok(made.found.objects > 10, String(made.found.objects))
    const { code, found } = await json('dispersion', 'report')
    t.equal(code, 0)
    t.equal(found.object.items, made.found.objects)
    t.equal(found.object.found, made.found.objects * 3)
    t.equal(found.container.found, made.found.containers * 3)
  })

  await t.test('recon says how the proxy and the devices are', async (t) => {
    const { code, stdout } = await tool(
      'recon',
      'version',
      'time',
      'diskusage',
      'devices',
      'quarantined',
    )
    t.equal(code, 0)
    t.match(stdout, /^version: \d/m)
    t.equal(stdout.match(/^diskusage .*: .* of .* %$/gm)?.length, 3)
    t.equal(stdout.match(/^devices .*: online, weight 100, \d+ partitions$/gm)?.length, 3)
    t.equal((await tool('recon', 'everything')).code, 2)
  })

  await t.test("recon over HTTP answers all that Swift's does, operators only", async (t) => {
    const ask = (kind: string, headers: Record<string, string> = {}) =>
      fetch(`${origin}/recon/${kind}`, { headers })
    const found: Record<string, unknown> = {}
    for (const kind of RECON_KINDS) {
      const answer = await ask(kind, { 'X-Auth-Token': token })
      t.equal(answer.status, 200, kind)
      found[kind] = await answer.json()
    }
    t.match(found, {
      diskusage: [{ mounted: true }, { mounted: true }, { mounted: true }],
      unmounted: [],
      quarantined: { objects: 0, containers: 0, accounts: 0 },
      driveaudit: { drive_audit_errors: 0 },
      ringmd5: { 'account.ring': /^[0-9a-f]{32}$/, 'object-0.ring': /^[0-9a-f]{32}$/ },
      swiftconfmd5: { 'swiftlet.json': /^[0-9a-f]{32}$/ },
      async: { async_pending: Number },
      sockstat: { tcp_in_use: Number },
      mem: { MemTotal: /kB$/ },
      load: { '1m': Number, processes: Number },
      sharding: { sharding_stats: null },
    })
    const stranger = { 'X-Forwarded-For': '192.0.2.1' }
    t.equal((await ask('time', stranger)).status, 200)
    t.equal((await ask('devices', stranger)).status, 401)
    t.equal((await ask('sockstat', stranger)).status, 401)
    t.equal((await ask('devices')).status, 200, 'from this machine itself')
    for (const kind of ['everything', 'replication/everything', 'auditor', 'constructor']) {
      t.equal((await ask(kind, { 'X-Auth-Token': token })).status, 404, kind)
    }
  })

  await t.test('container-deleter empties a container', async (t) => {
    for (let i = 0; i < 30; i++) await send('PUT', `/photos/many/${i} %25`, 'x')
    t.equal((await tool('container-deleter', account, 'photos')).code, 2, 'without --yes')
    const some = await json('container-deleter', account, 'photos', '--prefix', 'many/', '--yes')
    t.strictSame(some.found, { deleted: 30 })
    t.equal(await (await send('GET', '/photos')).text(), 'a/b.png\n')
    const all = await json('container-deleter', account, 'photos', '--container', '--yes')
    t.strictSame(all.found, { deleted: 2 })
    t.equal((await send('HEAD', '/photos')).status, 404)
  })

  await t.test('form-signature signs what a browser may then upload', async (t) => {
    const key = { 'X-Container-Meta-Temp-URL-Key': 'form key' }
    const { token } = await signIn(data)
    await fetch(`${storageUrl}/forms`, {
      method: 'PUT',
      headers: { ...key, 'X-Auth-Token': token },
    })
    const path = `${new URL(storageUrl).pathname}/forms/`
    const { stdout } = await runSwiftlet(
      ['form-signature', path, '', '1000', '1', '600', '--key-stdin'],
      { input: 'form key\n' },
    )
    const [, expires, signature] = /Expires: (\d+)\nSignature: (\w+)/.exec(stdout)!
    const form = new FormData()
    const fields = { redirect: '', max_file_size: '1000', max_file_count: '1', expires, signature }
    for (const [name, value] of Object.entries(fields)) form.set(name, value!)
    form.set('file', new Blob(['hello']), 'hello.txt')
    const answer = await fetch(`${storageUrl}/forms/`, { method: 'POST', body: form })
    t.equal(answer.status, 201, await answer.text())
    t.equal(await (await send('GET', '/forms/hello.txt')).text(), 'hello')
    t.equal((await runSwiftlet(['form-signature', '/v1/a', '', '1', '1', '1', 'k'])).code, 1)
    t.equal((await runSwiftlet(['form-signature', '/v1/a/c', '', '-1', '1', '1', 'k'])).code, 2)
  })
})
