/**
 * Ten clients of S3 race through all HTTP threads of a node, each over a connection of its own: If-None-Match: * on a new key,
 * then If-Match on what the winner wrote. Exactly one wins each time, and what it wrote is there. What several proxies
 * and nodes make of the same conditions is race.test.ts.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { type RawAnswer, sendSigned, type TestKey } from '../api/s3-store.ts'
import { makeS3User, openKeystoneAdmin } from '../support/keystone-admin.ts'
import { freePortOffset, startSwiftlet, swiftletEnv } from '../support/swiftlet-command.ts'
import { shortOrLong } from './support/scale.ts'

const ROUNDS = shortOrLong(10, 1_000)
const CLIENTS = 10
const THREADS = 4

t.test('one of ten clients wins, over all threads', { timeout: 3_600_000 }, async (t) => {
  const data = join(t.testdir(), 'data')
  const threads = ['--threads', String(THREADS)]
  const started = await startSwiftlet(t, ['--data', data, ...threads, ...(await freePortOffset())])
  const env = await swiftletEnv(data)
  const keystone = await openKeystoneAdmin({
    url: env.OS_AUTH_URL!,
    user: env.OS_USERNAME!,
    password: env.OS_PASSWORD!,
    project: env.OS_PROJECT_NAME!,
  })
  const user = await makeS3User(keystone, { name: 'racer', project: 'race' })
  const key: TestKey = { accessKeyId: user.accessKey, secretAccessKey: user.secretKey }
  const port = Number(new URL(started.origin).port)
  t.equal((await sendSigned(port, { method: 'PUT', path: '/race', key })).status, 200)

  /** Each client writes its own name; gives what the one winner wrote. */
  const race = async (path: string, condition: Readonly<Record<string, string>>) => {
    // Nobody writes again what was there: its ETag would be there again, too.
    const bodies = Array.from(
      { length: CLIENTS },
      (_, client) => `${client} ${Object.keys(condition)}`,
    )
    const answers = await Promise.all(
      bodies.map((body) =>
        sendSigned(port, { method: 'PUT', path, headers: condition, body, key }),
      ),
    )
    const winners = bodies.filter((_, client) => answers[client]!.status === 200)
    const others = answers.filter(({ status }) => status !== 200)
    t.equal(winners.length, 1, `${path}: ${answers.map(outcomeOf)}`)
    t.ok(others.every(isLost), `${path}: ${others.map(outcomeOf)}`)
    t.equal((await sendSigned(port, { path, key })).body, winners[0])
    return winners[0] ?? ''
  }
  for (let round = 0; round < ROUNDS; round++) {
    const first = await race(`/race/k${round}`, { 'if-none-match': '*' })
    const etag = createHash('md5').update(first).digest('hex')
    await race(`/race/k${round}`, { 'if-match': `"${etag}"` })
  }
  t.equal(await started.end('SIGTERM'), 0)
})

function outcomeOf({ status, code }: RawAnswer): string {
  return `${status} ${code}`
}

/** Too late, or in the middle of somebody else's write. */
function isLost(answer: RawAnswer): boolean {
  return /^412 PreconditionFailed|^409 ConditionalRequestConflict/.test(outcomeOf(answer))
}
