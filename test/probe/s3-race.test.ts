/**
 * Ten clients of S3 race, each over a connection of its own: If-None-Match: * on a new key, then If-Match on what the winner
 * wrote; through all HTTP threads of a node, and through two proxies to three storage nodes. Exactly one wins each time,
 * and what it wrote is there. What dying proxies and nodes make of the same conditions is race.test.ts.
 */
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../bench/store-process.ts'
import { type RawAnswer, sendSigned, type TestKey } from '../api/s3-store.ts'
import { makeS3User, openKeystoneAdmin } from '../support/keystone-admin.ts'
import { freePortOffset, startSwiftlet, swiftletEnv } from '../support/swiftlet-command.ts'
import { shortOrLong } from './support/scale.ts'

const ROUNDS = shortOrLong(10, 1_000)
const CLIENTS = 10
const THREADS = 4
/** A client that is told to try again does so; all of them at once, ever again, is a defect. */
const TRIES_MAX = 50

const data = join(t.testdir(), 'data')
const node = await startSwiftlet(t, [
  'up',
  ...['--data', data, '--threads', String(THREADS)],
  ...(await freePortOffset()),
])
const env = await swiftletEnv(data)
const keystone = await openKeystoneAdmin({
  url: env.OS_AUTH_URL!,
  user: env.OS_USERNAME!,
  password: env.OS_PASSWORD!,
  project: env.OS_PROJECT_NAME!,
})
const user = await makeS3User(keystone, { name: 'racer', project: 'race' })
const key: TestKey = { accessKeyId: user.accessKey, secretAccessKey: user.secretKey }

t.test('one of ten clients wins, over all threads of a node', { timeout: 3_600_000 }, async (t) => {
  await race(t, [portOf(node.origin)])
})

t.test('one of ten clients wins, over two proxies', { timeout: 3_600_000 }, async (t) => {
  await race(t, await startCluster(t))
})

t.test('the node stops in order', async (t) => {
  t.equal(await node.end('SIGTERM'), 0)
})

/** Three storage nodes with a replica each, whose users are those of the node; the ports of two proxies. */
async function startCluster(t: Test): Promise<readonly number[]> {
  const folder = join(t.testdir(), 'cluster')
  const shape = ['--nodes', '3', '--replicas', '3', '--part-power', '4']
  const command = ['cluster', '--data', folder, ...shape, ...(await freePortOffset())]
  const first = await startSwiftlet(t, command)
  t.equal(await first.end('SIGTERM'), 0)
  const settings = JSON.parse(readFileSync(join(folder, 'swiftlet.json'), 'utf8'))
  const serviceUsersFile = join(data, 'identity', 'service-users.json')
  const identity = { url: env.OS_AUTH_URL, serviceUsersFile }
  writeFileSync(join(folder, 'swiftlet.json'), JSON.stringify({ ...settings, identity }))
  const cluster = await startSwiftlet(t, command)
  const other = join(folder, 'other')
  mkdirSync(other)
  for (const name of ['swiftlet.json', 'rings', 'cluster.key', 'credentials'])
    cpSync(join(folder, name), join(other, name), {
      recursive: true,
      // The keeper writes it anew meanwhile, and what it was is gone when it is looked at.
      filter: (from) => !from.includes('movement.json'),
    })
  const config = join(other, 'proxy.json')
  writeFileSync(config, JSON.stringify({ port: await freePort(), dataFolder: '.' }))
  const proxy = await startSwiftlet(t, ['proxy', '--config', config])
  return [portOf(cluster.origin), portOf(proxy.origin)]
}

function portOf(origin: string): number {
  return Number(new URL(origin).port)
}

/** All rounds; the clients take the ports in turns. */
async function race(t: Test, ports: readonly number[]): Promise<void> {
  t.equal((await sendSigned(ports[0]!, { method: 'PUT', path: '/race', key })).status, 200)
  let conflicts = 0
  for (let round = 0; round < ROUNDS; round++) {
    const first = await heat(`/race/k${round}`, { 'if-none-match': '*' })
    const etag = createHash('md5').update(first).digest('hex')
    await heat(`/race/k${round}`, { 'if-match': `"${etag}"` })
  }
  t.comment(`${conflicts} were told to try again`)

  /** Each client writes its own name; gives what the one winner wrote. */
  async function heat(path: string, condition: Readonly<Record<string, string>>): Promise<string> {
    // Nobody writes again what was there: its ETag would be there again, too.
    const bodies = Array.from(
      { length: CLIENTS },
      (_, client) => `${client} ${Object.keys(condition)}`,
    )
    const answers = await Promise.all(
      bodies.map((body, client) => write(ports[client % ports.length]!, { path, condition, body })),
    )
    const winners = bodies.filter((_, client) => answers[client]!.status === 200)
    const others = answers.filter(({ status }) => status !== 200)
    t.equal(winners.length, 1, `${path}: ${answers.map(outcomeOf)}`)
    t.ok(others.every(isLost), `${path}: ${others.map(outcomeOf)}`)
    for (const port of ports) t.equal((await sendSigned(port, { path, key })).body, winners[0])
    return winners[0] ?? ''
  }

  /** Until it is decided, as clients of S3 do. */
  async function write(
    port: number,
    put: {
      readonly path: string
      readonly condition: Readonly<Record<string, string>>
      readonly body: string
    },
  ): Promise<RawAnswer> {
    const { path, condition, body } = put
    for (let tries = 1; ; tries++) {
      const answer = await sendSigned(port, { method: 'PUT', path, headers: condition, body, key })
      if (outcomeOf(answer) !== '409 ConditionalRequestConflict' || tries === TRIES_MAX)
        return answer
      conflicts++
    }
  }
}

function outcomeOf({ status, code }: RawAnswer): string {
  return `${status} ${code}`
}

function isLost(answer: RawAnswer): boolean {
  return outcomeOf(answer) === '412 PreconditionFailed'
}
