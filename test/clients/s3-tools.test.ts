/** S3's clients as Debian has them, without a word on what kind of server this is: s3cmd, rclone. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MAIN, openS3Store } from '../api/s3-store.ts'
import type { TestStore } from '../api/swift-store.ts'
import { md5Of, missing, run } from '../support/client-tree.ts'

const timeout = 240_000
const work = t.testdir()
const tree = join(work, 'tree')
const big = join(tree, 'big.bin')
let store: TestStore

t.before(async () => {
  mkdirSync(join(tree, 'a', 'ü +&'), { recursive: true })
  for (const name of ['one', 'two words', 'a+b', '%41']) {
    writeFileSync(join(tree, 'a', 'ü +&', name), name)
  }
  writeFileSync(join(tree, 'empty'), '')
  writeFileSync(big, Buffer.alloc(13_000_000, 'some bytes, again and again; '))
  const folder = join(work, 'store')
  mkdirSync(folder)
  store = await openS3Store(folder)
})

t.teardown(() => store.close())

t.test(
  's3cmd: multipart, copies, listings, deletion',
  { timeout, skip: missing('s3cmd') },
  async (t) => {
    const host = `127.0.0.1:${store.port}`
    const config = join(work, 's3cfg')
    writeFileSync(
      config,
      `[default]\naccess_key = ${MAIN.accessKeyId}\nsecret_key = ${MAIN.secretAccessKey}\nhost_base = ${host}\nhost_bucket = ${host}\nuse_https = False\n`,
    )
    const s3cmd = (...args: string[]) => run('s3cmd', ['--config', config, ...args], { cwd: work })
    await ok(t, s3cmd('mb', 's3://s3cmd'))
    await ok(t, s3cmd('put', big, 's3://s3cmd/dir/big', '--multipart-chunk-size-mb=5'))
    t.match(
      (await s3cmd('ls', '--recursive', 's3://s3cmd')).output,
      /13000000\s+s3:\/\/s3cmd\/dir\/big/,
    )
    await ok(t, s3cmd('get', 's3://s3cmd/dir/big', join(work, 'from-s3cmd')))
    t.equal(await md5Of(join(work, 'from-s3cmd')), await md5Of(big))
    await ok(t, s3cmd('info', 's3://s3cmd/dir/big'))
    await ok(t, s3cmd('cp', 's3://s3cmd/dir/big', 's3://s3cmd/copy'))
    await ok(t, s3cmd('mv', 's3://s3cmd/copy', 's3://s3cmd/moved'))
    await ok(t, s3cmd('sync', `${tree}/`, 's3://s3cmd/tree/'))
    await ok(t, s3cmd('rm', '--recursive', '--force', 's3://s3cmd/'))
    await ok(t, s3cmd('rb', 's3://s3cmd'))
  },
)

for (const provider of ['Minio', 'Other']) {
  const options = { timeout, skip: missing('rclone') }
  t.test(`rclone: a tree there and back, provider ${provider}`, options, async (t) => {
    const env = {
      RCLONE_CONFIG: '/dev/null',
      RCLONE_CONFIG_STORE_TYPE: 's3',
      RCLONE_CONFIG_STORE_PROVIDER: provider,
      RCLONE_CONFIG_STORE_ACCESS_KEY_ID: MAIN.accessKeyId,
      RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY: MAIN.secretAccessKey,
      RCLONE_CONFIG_STORE_ENDPOINT: `http://127.0.0.1:${store.port}`,
      RCLONE_CONFIG_STORE_UPLOAD_CUTOFF: '6M',
      RCLONE_CONFIG_STORE_CHUNK_SIZE: '5M',
      // This version of rclone cannot take certificates from there.
      AWS_CA_BUNDLE: '',
    }
    const rclone = (...args: string[]) => run('rclone', args, { env })
    const bucket = `store:rclone-${provider.toLowerCase()}`
    await ok(t, rclone('sync', tree, bucket))
    await ok(t, rclone('check', tree, bucket))
    const again = await rclone('sync', tree, bucket, '--verbose')
    t.notMatch(again.output, /Copied/, 'and nothing is sent twice')
    await ok(t, rclone('sync', bucket, join(work, provider)))
    await ok(t, rclone('check', tree, join(work, provider)))
    await ok(t, rclone('moveto', `${bucket}/big.bin`, `${bucket}/moved.bin`))
    await ok(t, rclone('touch', `${bucket}/empty`))
    await ok(t, rclone('purge', bucket))
  })
}

async function ok(t: Test, running: ReturnType<typeof run>): Promise<void> {
  const { code, output } = await running
  t.equal(code, 0, output.slice(-2000))
}
