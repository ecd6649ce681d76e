/** The `swiftlet` command from the outside: starting, stopping, and every way in which a start is refused. */
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import t from 'tap'
import { makeCertificate } from '../support/certificate.ts'
import {
  dataFolderOf,
  freePortOffset,
  runSwiftlet,
  signIn,
  startStorageNode,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

t.test(
  'a first start makes everything, a stop is clean, and the next start finds it',
  async (t) => {
    const data = dataFolderOf(t)
    const up = ['--data', data, ...(await freePortOffset())]
    const first = await startSwiftlet(t, up)
    const lastLine = first.stdout().trimEnd().split('\n').at(-1)
    t.match(
      lastLine,
      /^Swiftlet is ready \(\d+\.\d s\): object store http:\/\/127\.0\.0\.1:\d+\/v1/,
    )
    const secrets = ['credentials', 'clouds.yaml', 'cluster.key']
    const ofIdentity = ['identity/token-keys.json', 'identity/service-users.json']
    for (const file of [...secrets, ...ofIdentity]) {
      t.equal(statSync(join(data, file)).mode & 0o777, 0o600, `${file} is the owner's`)
    }
    const env = await swiftletEnv(data)
    t.equal(env.ST_AUTH_VERSION, '1')
    t.match(env.ST_KEY, /^[a-z2-9]{32}$/)
    t.notMatch(first.stdout(), env.ST_KEY, 'the password is not printed')

    const session = await signIn(data)
    t.equal((await session.send('PUT', '/c')).status, 201)
    t.equal((await session.send('PUT', '/c/o', 'hello')).status, 201)
    t.equal(await first.end('SIGTERM'), 0)
    t.notOk(existsSync(join(data, 'lock')))
    t.equal(first.stderr(), '')
    t.equal((await runSwiftlet(['check', data])).code, 0)

    const second = await startSwiftlet(t, up)
    t.strictSame(await swiftletEnv(data), env, 'the same password, and the same keys')
    const s3 = new S3Client({
      endpoint: env.AWS_ENDPOINT_URL!,
      region: env.AWS_REGION!,
      credentials: {
        accessKeyId: env.AWS_ACCESS_KEY_ID!,
        secretAccessKey: env.AWS_SECRET_ACCESS_KEY!,
      },
      forcePathStyle: true,
    })
    t.equal((await session.send('PUT', '/photos')).status, 201)
    t.equal((await session.send('PUT', '/photos/beach', 'hello')).status, 201)
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket: 'photos' }))
    s3.destroy()
    t.match(Contents, [{ Key: 'beach', Size: 5 }])
    t.equal(
      await (await session.send('GET', '/c/o')).text(),
      'hello',
      'and the token is still good',
    )
    t.match(await runSwiftlet(['check', data]), { code: 1, stderr: /in use by process \d+/ })

    t.equal(await second.end('SIGKILL'), 'SIGKILL')
    const third = await startSwiftlet(t, up)
    t.equal(await (await session.send('GET', '/c/o')).text(), 'hello', 'after kill -9 too')
    t.equal(await third.end('SIGINT'), 0)
  },
)

t.test('a stop lets a request in flight end; a second signal does not wait', async (t) => {
  const data = dataFolderOf(t)
  const up = ['--data', data, ...(await freePortOffset())]
  for (const second of [false, true]) {
    const swiftlet = await startSwiftlet(t, up)
    const session = await signIn(data)
    await session.send('PUT', '/c')
    const put = request(`${session.storageUrl}/c/slow`, {
      method: 'PUT',
      headers: { 'X-Auth-Token': session.token, 'Content-Length': '10' },
    })
    const answered = once(put, 'response')
    answered.catch(() => {})
    put.write('12345')
    await until('the upload is in flight, beside the question whether it is', async () => {
      const metrics = await (await fetch(`${swiftlet.origin}/metrics`)).text()
      const [inFlight = 0] = samplesOf(metrics, 'swiftlet_proxy_requests_in_flight')
      return inFlight >= 2
    })
    const exited = once(swiftlet.process, 'exit')
    swiftlet.process.kill('SIGINT')
    await new Promise((resolve) => setTimeout(resolve, 700))
    t.equal(swiftlet.process.exitCode, null, 'it waits for the request')
    if (second) {
      swiftlet.process.kill('SIGINT')
      t.strictSame(await exited, [130, null])
      await t.rejects(answered)
    } else {
      put.end('67890')
      const [response] = await answered
      t.equal(response.statusCode, 201)
      response.resume()
      t.strictSame(await exited, [0, null])
    }
  }
  const swiftlet = await startSwiftlet(t, up)
  const session = await signIn(data)
  t.equal(await (await session.send('GET', '/c/slow')).text(), '1234567890')
  await swiftlet.end('SIGTERM')
})

t.test('a folder in use and a taken port are refused with who has them', async (t) => {
  const data = dataFolderOf(t)
  const offset = await freePortOffset()
  const swiftlet = await startSwiftlet(t, ['--data', data, ...offset])
  const { pid } = swiftlet.process
  const inUse = await runSwiftlet(['--data', data, ...(await freePortOffset())])
  t.match(inUse, { code: 1, stdout: '', stderr: `is in use by process ${pid}` })
  t.equal(inUse.stderr.trimEnd().split('\n').length, 1, 'in one line')

  const other = join(data, '..', 'other')
  const taken = await runSwiftlet(['--data', other, ...offset])
  t.match(taken, { code: 1, stderr: `is taken by process ${pid} (` })
  t.match(taken.stderr, new URL(swiftlet.origin).port)
  t.notOk(existsSync(join(other, 'swiftlet.json')), 'and nothing was made')

  const disk = join(data, 'disks', 'disk1')
  t.match(await runSwiftlet(['check', disk]), {
    code: 1,
    stderr: `the disk ${disk} is in use by process ${pid}`,
  })
  const another = ['--data', join(data, '..', 'more'), ...(await freePortOffset())]
  t.match(await runSwiftlet([...another, '--disk', disk]), {
    code: 1,
    stderr: `${disk} holds the data of a Swiftlet: start that one`,
  })
})

t.test('folders that cannot be used are refused in one line, without a trace', async (t) => {
  const dir = t.testdir({
    foreign: { 'holiday.jpg': 'x' },
    file: 'x',
    newer: { 'swiftlet.json': '{"format":2}' },
    older: { 'swiftlet.json': '{"format":0}' },
    damaged: { 'swiftlet.json': '{"format":1' },
    half: { disks: { disk1: { FORMAT: '{}' } } },
  })
  const cases: [folder: string, message: RegExp][] = [
    ['foreign', /holds other files \(holiday\.jpg\)/],
    ['file', /is not a folder/],
    ['newer', /made by a newer Swiftlet \(format 2/],
    ['older', /made by an older Swiftlet \(format 0/],
    ['damaged', /swiftlet\.json: not JSON/],
    ['half', /swiftlet\.json is gone/],
  ]
  const offset = await freePortOffset()
  for (const [folder, message] of cases) {
    const { code, stderr } = await runSwiftlet(['--data', join(dir, folder), ...offset])
    t.equal(code, 1, folder)
    t.match(stderr, message, folder)
    t.equal(stderr.trimEnd().split('\n').length, 1, `${folder}: one line`)
  }
  t.equal(readFileSync(join(dir, 'foreign', 'holiday.jpg'), 'utf8'), 'x')
})

t.test(
  'a folder that this user may not write is refused',
  { skip: process.getuid?.() === 0 && !existsSync('/proc/sys') && 'needs a read-only place' },
  async (t) => {
    const folder = join(t.testdir({ locked: {} }), 'locked')
    chmodSync(folder, 0o500)
    // For root no mode is a hindrance, but /proc takes no folders from anyone.
    const data = process.getuid?.() === 0 ? '/proc/sys/swiftlet' : join(folder, 'data')
    const { code, stderr } = await runSwiftlet(['--data', data, ...(await freePortOffset())])
    t.equal(code, 1)
    t.match(stderr, /(may not be written|read-only|cannot be made).*--data/)
  },
)

t.test('a wrong command line ends with 2 and says what is wrong', async (t) => {
  const cases: [args: string[], message: RegExp][] = [
    [['--port-offset', 'many'], /Not a whole number/],
    [['--port-offset', '60000'], /Not a whole number/],
    [['--segment-size', '1'], /Not a size from 4 MiB/],
    [['--replicas', '0'], /Not a whole number/],
    [['--no-such-option'], /unknown option/],
    [['storage-node'], /required option '--config/],
    [['user', 'add'], /missing required argument/],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = await runSwiftlet(args)
    t.equal(code, 2, args.join(' '))
    t.match(stderr, message, args.join(' '))
  }
  t.match(await runSwiftlet(['--help']), { code: 0, stdout: /storage-node/ })
  t.match(await runSwiftlet(['version']), { code: 0, stdout: /^swiftlet \d/ })
})

t.test('SWIFTLET_ADMIN_PASSWORD is the password, at the first start and later', async (t) => {
  const data = dataFolderOf(t)
  const up = ['--data', data, ...(await freePortOffset())]
  for (const password of ['first-one', "sec'ond $x"]) {
    const swiftlet = await startSwiftlet(t, up, { env: { SWIFTLET_ADMIN_PASSWORD: password } })
    const session = await signIn(data, { name: 'admin:admin', key: password })
    t.equal((await session.send('HEAD', '')).status, 204)
    const { stdout } = await runSwiftlet(['env', '--data', data])
    const shell = execFileSync('sh', ['-c', `${stdout}\nprintf %s "$ST_KEY"`], { encoding: 'utf8' })
    t.equal(shell, password, 'quoted for the shell')
    await swiftlet.end('SIGTERM')
  }
})

t.test('users come and go while it runs', async (t) => {
  const data = dataFolderOf(t)
  await startSwiftlet(t, ['--data', data, ...(await freePortOffset())])
  const user = (args: string[], input = '') =>
    runSwiftlet(['user', ...args, '--data', data], { input })
  const statusOf = async (key: string) => {
    const { ST_AUTH } = await swiftletEnv(data)
    const headers = { 'X-Auth-User': 'test:tester', 'X-Auth-Key': key }
    return (await fetch(ST_AUTH!, { headers })).status
  }
  /** The users file is looked at every second, by each thread on its own: a few answers in a row come from all. */
  const settled = async (wanted: number, ask: () => Promise<number>) => {
    let inARow = 0
    let status = 0
    for (let attempt = 0; attempt < 100 && inARow < 4; attempt++) {
      status = await ask()
      inARow = status === wanted ? inARow + 1 : 0
      if (inARow === 0) await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return status
  }
  const until = (key: string, status: number) => settled(status, () => statusOf(key))
  t.match(await user(['add', 'test:tester', '--group', '.admin', '--key', 'testing']), { code: 0 })
  t.equal(await until('testing', 200), 200)
  const session = await signIn(data, { name: 'test:tester', key: 'testing' })
  t.equal((await session.send('PUT', '/c')).status, 201)
  t.equal((await session.send('PUT', '/c/o', 'hello')).status, 201)
  const account = (...args: string[]) => runSwiftlet(['account', ...args, '--data', data])
  let listed = ''
  for (let attempt = 0; attempt < 100 && !listed.includes('objects 1'); attempt++) {
    listed = (await account('list')).stdout
  }
  t.equal(listed, 'AUTH_test containers 1 objects 1 bytes 5 B\n')
  t.match(JSON.parse((await account('list', '--json')).stdout), { name: 'AUTH_test', objects: 1 })
  t.equal((await account('list', '--prefix', 'x')).stdout, '')
  t.match((await account('show', 'AUTH_test')).stdout, /^object-count: 1$/m)
  t.match(await account('show', 'BAD_test'), { code: 1, stderr: /answered with 403/ })
  t.match(await account('delete', 'AUTH_test'), { code: 2, stderr: /--yes/ })
  t.match(await account('delete', 'AUTH_test', '--yes'), { code: 0, stdout: /^deleted AUTH_test/ })
  t.match(await account('delete', 'AUTH_test', '--yes'), { code: 1, stderr: /deleted already/ })
  t.match((await account('show', 'AUTH_test')).stdout, /^status: Deleted$/m)
  t.match(await user(['add', 'test:tester']), { code: 1, stderr: /there already/ })
  t.match(await user(['add', 'tester']), { code: 1, stderr: /ACCOUNT:NAME/ })
  t.match((await user(['list'])).stdout, /^test:tester AUTH_test member$/m)

  t.match(await user(['passwd', 'test:tester', '--key-stdin'], 'changed\n'), { code: 0 })
  t.equal(await until('changed', 200), 200)
  t.equal(await until('testing', 401), 401)
  const tokenStatus = await settled(401, async () => (await session.send('HEAD', '/c')).status)
  t.equal(tokenStatus, 401, 'tokens of the old key are void')

  t.match(await user(['remove', 'test:tester']), { code: 0 })
  t.equal(await until('changed', 401), 401)
  t.match(await user(['remove', 'test:tester']), { code: 1, stderr: /no user/ })
  const made = /key ([a-z2-9]{32})/.exec((await user(['passwd', 'admin:admin'])).stdout)?.[1]
  t.equal((await swiftletEnv(data)).ST_KEY, made, 'env prints the new password')
})

t.test('three disks hold three replicas, and none of them is left out later', async (t) => {
  const dir = t.testdir()
  const data = join(dir, 'data')
  const disks = ['a', 'b', 'c'].map((name) => join(dir, name))
  const options = (names: readonly string[]) => names.flatMap((name) => ['--disk', name])
  const offset = await freePortOffset()
  const swiftlet = await startSwiftlet(t, ['--data', data, ...offset, ...options(disks)])
  t.match(swiftlet.stdout(), /\(3 disks, 3 replicas\)/)
  const session = await signIn(data)
  await session.send('PUT', '/c')
  t.equal((await session.send('PUT', '/c/o', 'x'.repeat(100_000))).status, 201)
  await swiftlet.end('SIGTERM')
  for (const disk of disks)
    t.match(await runSwiftlet(['check', disk]), { code: 0, stdout: /1 blobs/ })

  const start = (...args: string[]) => runSwiftlet(['--data', data, ...offset, ...args])
  t.match(await start(...options(disks.slice(1))), {
    code: 1,
    stderr: /disk1\) holds data and is not/,
  })
  t.match(await start('--replicas', '4'), { code: 1, stderr: /4 replicas need as many disks/ })
  renameSync(disks[1]!, join(dir, 'gone'))
  mkdirSync(disks[1]!)
  t.match(await start(), { code: 1, stderr: /disk2 at .* holds no device: is it mounted\?/ })
  t.notOk(existsSync(join(disks[1]!, 'FORMAT')), 'nothing was written below the mount point')
  rmSync(disks[1]!, { recursive: true })
  renameSync(join(dir, 'gone'), disks[1]!)

  const again = await startSwiftlet(t, ['--data', data, ...offset, ...options(disks.toReversed())])
  t.equal((await (await session.send('GET', '/c/o')).text()).length, 100_000)
  await again.end('SIGTERM')
  const twice = ['--data', join(dir, 'other'), ...offset, ...options([disks[0]!, disks[0]!])]
  t.match(await runSwiftlet(twice), { code: 1, stderr: /named twice/ })
})

t.test('storage policies: by a flag at the first start, by the settings later', async (t) => {
  const data = dataFolderOf(t)
  const args = ['--data', data, '--threads', '1', ...(await freePortOffset())]
  const disks = ['a', 'b', 'c'].flatMap((name) => ['--disk', join(data, 'disks', name)])
  const silver = ['--policy', 'silver,replicas=2,consistency=swift']
  t.match(await runSwiftlet(['up', ...args, '--policy', 'x,replicas=0']), { code: 2 })
  const tooMany = await runSwiftlet(['up', ...args, '--policy', 'x,replicas=2'])
  t.match(tooMany, { code: 1, stderr: /2 replicas of policy x need as many disks/ })
  const first = await startSwiftlet(t, [...args, ...disks, ...silver])
  const session = await signIn(data)
  const put = (path: string, policy: string) =>
    fetch(session.storageUrl + path, {
      method: 'PUT',
      headers: { 'x-auth-token': session.token, 'x-storage-policy': policy },
    })
  t.equal((await put('/c', 'Silver')).status, 201)
  t.equal((await session.send('PUT', '/c/o', 'in silver')).status, 201)
  t.equal((await put('/d', 'bronze')).status, 400)
  await first.end('SIGTERM')
  const path = join(data, 'swiftlet.json')
  const settings = JSON.parse(readFileSync(path, 'utf8'))
  t.match(settings.policies[1], { index: 1, name: 'silver', replicaCount: 2, consistency: 'swift' })
  const silverRing = readFileSync(join(data, 'rings', 'object-1.ring'))

  const unknown = await runSwiftlet(['up', ...args, '--policy', 'bronze'])
  t.match(unknown, { code: 1, stderr: /add it to "policies" in / })
  settings.policies.push({ index: 7, name: 'bronze', replicaCount: 1 })
  writeFileSync(path, JSON.stringify(settings))
  const second = await startSwiftlet(t, args)
  t.equal((await put('/d', 'bronze')).status, 201)
  t.equal((await session.send('PUT', '/d/o', 'in bronze')).status, 201)
  t.equal(await (await session.send('GET', '/d/o')).text(), 'in bronze')
  t.equal(await (await session.send('GET', '/c/o')).text(), 'in silver')
  t.strictSame(readFileSync(join(data, 'rings', 'object-1.ring')), silverRing, 'rings stay')
  const info = (await (await fetch(`${second.origin}/info`)).json()) as Record<string, unknown>
  const names = [{ name: 'Policy-0', default: true }, { name: 'silver' }, { name: 'bronze' }]
  t.match(info, { swift: { policies: names } })
  const head = await session.send('HEAD', '')
  t.equal(head.headers.get('x-account-storage-policy-bronze-container-count'), '1')
  await second.end('SIGTERM')

  const builder = join(data, 'rings', 'object-1.builder')
  const ring = async (command: string) => {
    t.match(await runSwiftlet(['ring', builder, command]), { code: 0 }, command)
    t.match(await runSwiftlet(['ring', builder, 'write_ring']), { code: 0 })
  }
  for (const step of ['prepare_increase', 'increase', 'finish_increase']) {
    await ring(`${step}_partition_power`)
  }
  t.notSame(readFileSync(join(data, 'rings', 'object-1.ring')), silverRing)
  const third = await startSwiftlet(t, args)
  t.equal(await (await session.send('GET', '/c/o')).text(), 'in silver', 'in twice the partitions')
  t.equal((await session.send('PUT', '/c/p', 'x')).status, 201)
  await third.end('SIGTERM')
})

const certificate = makeCertificate(t.testdir())
t.test('HTTPS', { skip: certificate === null && 'openssl is not installed' }, async (t) => {
  const dir = t.testdir()
  const { cert, key } = certificate!
  const data = join(dir, 'data')
  const offset = await freePortOffset()
  const swiftlet = await startSwiftlet(t, [
    '--data',
    data,
    ...offset,
    '--tls-cert',
    cert,
    '--tls-key',
    key,
  ])
  t.match(swiftlet.origin, /^https:/)
  const { stdout } = spawnSync(
    'curl',
    ['-sS', '--cacert', cert, `${swiftlet.origin}/healthcheck`],
    {
      encoding: 'utf8',
    },
  )
  t.equal(stdout, 'OK', { skip: spawnSync('curl', ['-V']).status !== 0 && 'curl is not installed' })
  t.equal(await swiftlet.end('SIGTERM'), 0)
  t.match(await runSwiftlet(['--data', data, ...offset, '--tls-cert', cert]), {
    code: 1,
    stderr: /go together/,
  })
})

t.test('a request is logged where asked for, without its token', async (t) => {
  const data = dataFolderOf(t)
  const file = join(t.testdir({ log: '' }), 'log')
  const swiftlet = await startSwiftlet(t, [
    '--data',
    data,
    ...(await freePortOffset()),
    '--access-log',
    file,
  ])
  const session = await signIn(data)
  await session.send('PUT', '/logged')
  await swiftlet.end('SIGTERM')
  const log = readFileSync(file, 'utf8')
  const lines = log
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.match(
    lines.find((line) => String(line.path).endsWith('/logged')),
    { event: 'request', method: 'PUT', status: 201, user: 'admin:admin' },
  )
  t.notMatch(log, session.token)
  t.notMatch(log, (await swiftletEnv(data)).ST_KEY!)
})

t.test('a cluster goes on when a node is killed, and takes it back', async (t) => {
  const data = dataFolderOf(t)
  const cluster = await startSwiftlet(t, ['cluster', '--data', data, ...(await freePortOffset())])
  const session = await signIn(data)
  t.equal((await session.send('PUT', '/c')).status, 201)
  t.equal((await session.send('PUT', '/c/before', 'one')).status, 201)
  const pid = Number(/^node2: process (\d+)$/m.exec(cluster.stdout())![1])
  process.kill(pid, 'SIGKILL')
  t.equal((await session.send('PUT', '/c/after', 'two')).status, 201)
  t.equal(await (await session.send('GET', '/c/before')).text(), 'one')
  t.equal(await (await session.send('GET', '/c/after')).text(), 'two')
  const ended = /node2 \(process \d+\) has ended; to start it again: npx swiftlet/
  await until('the cluster says that the node has ended', async () => ended.test(cluster.stdout()))
  const endNode = await startStorageNode(t, join(data, 'nodes/node2/storage-node.json'))
  await until('the others have sent it what it missed', async () => {
    const metrics = await Promise.all(['node1', 'node3'].map((name) => nodeMetrics(data, name)))
    const sent = metrics.flatMap((of) => samplesOf(of, 'swiftlet_replication_records_sent_total'))
    return sent.some((count) => count > 0) && metrics.every((of) => behindOf(of) === 0)
  })
  await endNode()
  t.equal(await cluster.end('SIGTERM'), 0)

  const again = await startSwiftlet(t, ['cluster', '--data', data, ...(await freePortOffset())])
  t.equal(await (await (await signIn(data)).send('GET', '/c/after')).text(), 'two')
  t.equal(await again.end('SIGTERM'), 0)
  t.match(await runSwiftlet(['--data', data, ...(await freePortOffset())]), {
    code: 1,
    stderr: /belongs to `swiftlet cluster`/,
  })
})

t.test('a disk that begins empty is filled by the others, by all threads', async (t) => {
  const data = dataFolderOf(t)
  const disks = ['d1', 'd2', 'd3'].map((name) => join(data, '..', name))
  const up = ['--data', data, '--threads', '2', ...disks.flatMap((disk) => ['--disk', disk])]
  const names = Array.from({ length: 30 }, (_, index) => `/c/o${index}`)
  const big = 'x'.repeat(200_000)
  let swiftlet = await startSwiftlet(t, [...up, ...(await freePortOffset())])
  let session = await signIn(data)
  await session.send('PUT', '/c')
  for (const name of names) t.equal((await session.send('PUT', name, name)).status, 201)
  t.equal((await session.send('PUT', '/c/big', big)).status, 201)
  // One after the other is lost: in the end nothing is left of what was written first, only what was filled in. Then two at
  // once: they must not outvote the third, nor have what only that one holds removed.
  for (const lost of [[1], [0], [2], [0, 1]]) {
    t.equal(await swiftlet.end('SIGTERM'), 0)
    const seen = JSON.parse(readFileSync(join(data, 'disks.json'), 'utf8'))
    for (const disk of lost) {
      rmSync(disks[disk]!, { recursive: true })
      mkdirSync(disks[disk]!)
      delete seen[`disk${disk + 1}`]
    }
    writeFileSync(join(data, 'disks.json'), JSON.stringify(seen))
    swiftlet = await startSwiftlet(t, [...up, ...(await freePortOffset())])
    session = await signIn(data)
    const early = await Promise.all(names.map((name) => session.send('GET', name)))
    const gone = early.filter(({ status }) => status === 404)
    t.equal(gone.length, 0, 'nobody says that it never was')
    await until('the disks hold the same partitions', async () => {
      const metrics = await (await fetch(`${swiftlet.origin}/metrics`)).text()
      const compared = samplesOf(metrics, 'swiftlet_replication_compared')
      const inStepAt = samplesOf(metrics, 'swiftlet_replication_in_step_at_seconds')
      const isEven = compared.length === 3 && new Set(compared).size === 1
      return isEven && Math.min(...inStepAt) > 0 && behindOf(metrics) === 0
    })
  }
  for (const name of names) t.equal(await (await session.send('GET', name)).text(), name)
  t.equal(await (await session.send('GET', '/c/big')).text(), big)
  const rows = await (await session.send('GET', '/c')).text()
  t.equal(rows.split('\n').filter(Boolean).length, names.length + 1)
  t.equal(await swiftlet.end('SIGTERM'), 0)
  t.match(await runSwiftlet(['check', data]), { code: 0 })
})

t.test('wrong configuration files are refused with the setting', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { readonly port: number }
  const dir = t.testdir({ 'cluster.key': `${'ab'.repeat(32)}\n`, disk: {} })
  const good = { port, clusterKeyFile: 'cluster.key', devices: [{ name: 'd', path: 'disk' }] }
  const cases: [command: string, config: object, message: RegExp][] = [
    ['storage-node', { ...good, prot: 1 }, /unknown setting prot/],
    ['storage-node', { ...good, port: 'x' }, /port must be a whole number/],
    ['storage-node', { ...good, clusterKeyFile: 'none' }, /none: must hold keys/],
    ['storage-node', good, new RegExp(`port ${port} .* is taken by process ${process.pid}`)],
    ['proxy', { port, dataFolder: '.' }, /swiftlet\.json: there is no such file/],
  ]
  const file = join(dir, 'config.json')
  for (const [command, config, message] of cases) {
    writeFileSync(file, JSON.stringify(config))
    const { code, stderr } = await runSwiftlet([command, '--config', file])
    t.equal(code, 1, stderr)
    t.match(stderr, message)
  }
  t.match(await runSwiftlet(['proxy', '--config', join(dir, 'no.json')]), {
    code: 1,
    stderr: /there is no such file/,
  })
})

async function nodeMetrics(data: string, name: string): Promise<string> {
  const config = readFileSync(join(data, 'nodes', name, 'storage-node.json'), 'utf8')
  const { port } = JSON.parse(config) as { readonly port: number }
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
}

/** The values of a metric, one for each set of labels. */
function samplesOf(metrics: string, name: string): readonly number[] {
  const lines = metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, 'gm'))
  return Array.from(lines, ([, value]) => Number(value))
}

/** Partitions that were not in step, or could not be compared, in the last passes. */
function behindOf(metrics: string): number {
  const fields = ['differing', 'unreachable', 'handoffs']
  const counts = fields.flatMap((field) => samplesOf(metrics, `swiftlet_replication_${field}`))
  return counts.reduce((sum, count) => sum + count, 0)
}

/** Waits for what nodes bring about by themselves, in their own time. */
async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const late = AbortSignal.timeout(90_000)
  while (!(await condition())) {
    if (late.aborted) throw new Error(`did not come to hold: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}
