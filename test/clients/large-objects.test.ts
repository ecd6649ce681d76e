/** Files in segments, as the official clients make them: `swift upload --segment-size`, rclone with chunks. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makeBigFile, md5Of, missing, run } from '../support/client-tree.ts'
import {
  freePortOffset,
  type StartedSwiftlet,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

const timeout = 240_000
const work = t.testdir()
const big = join(work, 'big.bin')
const data = join(work, 'data')
let started: StartedSwiftlet

t.before(async () => {
  makeBigFile(big)
  started = await startSwiftlet(t, ['--data', data, ...(await freePortOffset())])
})

t.teardown(() => started.end('SIGTERM'))

t.test('swift: static and dynamic segments', { timeout, skip: missing('swift') }, async (t) => {
  const env = await swiftletEnv(data)
  const swift = (...args: string[]) => run('swift', args, { cwd: work, env })
  const segmented = ['upload', 'c', 'big.bin', '--segment-size', '7M']
  for (const extra of [['--use-slo'], []]) {
    const name = `object-${extra.length}`
    await ok(t, swift(...segmented, ...extra, '--object-name', name))
    const stat = await swift('stat', 'c', name)
    t.match(stat.output, /Content Length: 67108864|Content Length: 1073741824/)
    await ok(t, swift('download', 'c', name, '--output', join(work, name)))
    t.equal(await md5Of(join(work, name)), await md5Of(big))
    // The client knows the object by its manifest and does not send it again.
    const again = await swift(...segmented, ...extra, '--object-name', name, '--skip-identical')
    t.equal(again.code, 0)
    t.notMatch(again.output, /segment/)
    await ok(t, swift('delete', 'c', name))
  }
  t.equal((await swift('list', 'c_segments')).output.trim(), '', 'the segments went as well')
})

t.test('rclone: chunked files', { timeout, skip: missing('rclone') }, async (t) => {
  const env = await swiftletEnv(data)
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

async function ok(t: Test, running: ReturnType<typeof run>): Promise<void> {
  const { code, output } = await running
  t.equal(code, 0, output.slice(-2000))
}
