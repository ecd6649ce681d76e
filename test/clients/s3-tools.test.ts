/**
 * S3's clients as Debian has them, without a word on what kind of server this is: s3cmd, rclone, the aws cli, boto3, restic,
 * s3fs, and the storage driver of the Docker registry. All against one store.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../bench/store-process.ts'
import { MAIN, openS3Store, sendSigned } from '../api/s3-store.ts'
import type { TestStore } from '../api/swift-store.ts'
import { difference, md5Of, missing, run } from '../support/client-tree.ts'

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

/** For clients of AWS's family. */
const keys = {
  AWS_ACCESS_KEY_ID: MAIN.accessKeyId,
  AWS_SECRET_ACCESS_KEY: MAIN.secretAccessKey,
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_CA_BUNDLE: '',
  AWS_EC2_METADATA_DISABLED: 'true',
}
const PYTHON = '/usr/bin/python3'
const noBoto = spawnSync(PYTHON, ['-c', 'import boto3']).status !== 0 && 'boto3 is not installed'

t.test(
  'aws: a tree, multipart, copies, presigned URLs',
  { timeout, skip: missing('aws') },
  async (t) => {
    const env = { ...keys, AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' }
    const url = `http://127.0.0.1:${store.port}`
    const aws = (...args: string[]) => run('aws', ['--endpoint-url', url, ...args], { env })
    await ok(t, aws('s3', 'mb', 's3://aws-cli'))
    await ok(t, aws('s3', 'sync', tree, 's3://aws-cli/tree'))
    await ok(t, aws('s3', 'cp', 's3://aws-cli/tree/big.bin', 's3://aws-cli/copy'))
    await ok(t, aws('s3', 'sync', 's3://aws-cli/tree', join(work, 'from-aws')))
    t.equal(await difference(tree, join(work, 'from-aws')), '')
    const presigned = await aws('s3', 'presign', 's3://aws-cli/copy')
    const answer = await fetch(presigned.output.trim())
    t.equal(md5(Buffer.from(await answer.arrayBuffer())), await md5Of(big))
    const head = await aws('s3api', 'head-object', '--bucket', 'aws-cli', '--key', 'tree/big.bin')
    t.match(JSON.parse(head.output), { ContentLength: 13_000_000, ETag: /^"[0-9a-f]{32}-2"$/ })
    await ok(t, aws('s3', 'rb', '--force', 's3://aws-cli'))
  },
)

t.test(
  'boto3: files, streams, conditions, deletion of many',
  { timeout, skip: noBoto },
  async (t) => {
    const program = `
import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1])
s3.create_bucket(Bucket='boto')
s3.upload_file(sys.argv[2], 'boto', 'big', ExtraArgs={'Metadata': {'a': 'b'}, 'ContentType': 'x/y'})
s3.put_object(Bucket='boto', Key='file', Body=open(sys.argv[2], 'rb'))
s3.download_file('boto', 'big', sys.argv[3])
assert s3.head_object(Bucket='boto', Key='big')['Metadata'] == {'a': 'b'}
assert len(list(s3.get_paginator('list_objects_v2').paginate(Bucket='boto', PaginationConfig={'PageSize': 1}))) == 2
s3.copy({'Bucket': 'boto', 'Key': 'big'}, 'boto', 'copy')
gone = s3.delete_objects(Bucket='boto', Delete={'Objects': [{'Key': 'file'}, {'Key': 'copy'}]})
assert len(gone['Deleted']) == 2, gone
`
    const target = join(work, 'from-boto')
    const args = ['-c', program, `http://127.0.0.1:${store.port}`, big, target]
    await ok(t, run(PYTHON, args, { env: keys }))
    t.equal(await md5Of(target), await md5Of(big))
  },
)

t.test(
  'restic: a backup, checked whole and brought back',
  { timeout, skip: missing('restic') },
  async (t) => {
    const env = {
      ...keys,
      RESTIC_PASSWORD: 'secret',
      RESTIC_REPOSITORY: `s3:http://127.0.0.1:${store.port}/restic/backups`,
      RESTIC_CACHE_DIR: join(work, 'restic-cache'),
    }
    const restic = (...args: string[]) => run('restic', args, { env, cwd: work })
    await ok(t, restic('init'))
    await ok(t, restic('backup', 'tree'))
    await ok(t, restic('check', '--read-data'))
    await ok(t, restic('restore', 'latest', '--target', join(work, 'from-restic')))
    t.equal(await difference(tree, join(work, 'from-restic', 'tree')), '')
    await ok(t, restic('forget', '--prune', '--keep-last', '1'))
  },
)

t.test('s3fs: files as of a disk', { timeout, skip: missing('s3fs') || noFuse() }, async (t) => {
  const mounted = join(work, 'mounted')
  mkdirSync(mounted)
  const password = join(work, 's3fs-password')
  writeFileSync(password, `s3fs:${MAIN.accessKeyId}:${MAIN.secretAccessKey}`, { mode: 0o600 })
  // An access key with a colon cannot be told from its bucket in that file: it goes by the environment.
  const env = { AWSACCESSKEYID: MAIN.accessKeyId, AWSSECRETACCESSKEY: MAIN.secretAccessKey }
  await sendSigned(store.port, { method: 'PUT', path: '/s3fs' })
  const url = `url=http://127.0.0.1:${store.port}`
  await ok(t, run('s3fs', ['s3fs', mounted, '-o', url, '-o', 'use_path_request_style'], { env }))
  t.teardown(() => spawnSync('fusermount', ['-u', mounted]))
  await ok(t, run('cp', ['-r', `${tree}/.`, mounted]))
  await ok(t, run('chmod', ['600', join(mounted, 'empty')]))
  await ok(t, run('mv', [join(mounted, 'big.bin'), join(mounted, 'moved')]))
  t.equal(await md5Of(join(mounted, 'moved')), await md5Of(big))
  t.equal((await sendSigned(store.port, { path: '/s3fs/big.bin' })).status, 404)
  t.equal((await sendSigned(store.port, { path: '/s3fs/a/%C3%BC%20%2B%26/%2541' })).body, '%41')
})

t.test(
  'docker-registry: its storage driver',
  { timeout, skip: missing('docker-registry') },
  async (t) => {
    await sendSigned(store.port, { method: 'PUT', path: '/registry' })
    const port = await freePort()
    const config = join(work, 'registry.yml')
    writeFileSync(
      config,
      [
        'version: 0.1',
        'storage:',
        '  s3:',
        `    accesskey: "${MAIN.accessKeyId}"`,
        `    secretkey: "${MAIN.secretAccessKey}"`,
        '    region: us-east-1',
        `    regionendpoint: http://127.0.0.1:${store.port}`,
        '    bucket: registry',
        '    secure: false',
        '    chunksize: 5242880',
        '  delete: { enabled: true }',
        '  redirect: { disable: true }',
        `http: { addr: "127.0.0.1:${port}" }`,
      ].join('\n'),
    )
    const registry = spawn('docker-registry', ['serve', config], {
      stdio: 'ignore',
      env: { ...process.env, ...keys },
    })
    t.teardown(() => end(registry))
    const url = `http://127.0.0.1:${port}/v2/`
    while (
      !(await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      ))
    ) {
      if (registry.exitCode !== null) throw new Error('the registry has ended')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const image = readFileSync(big)
    const begun = await fetch(`${url}images/one/blobs/uploads/`, { method: 'POST' })
    t.equal(begun.status, 202)
    // Three pieces: the upload is found again by its name each time.
    let location = begun.headers.get('location')!
    for (const [start, stop] of [
      [0, 100],
      [100, 7_000_000],
      [7_000_000, image.length],
    ] as const) {
      const sent = await fetch(location, {
        method: 'PATCH',
        headers: {
          'content-type': 'application/octet-stream',
          'content-range': `${start}-${stop - 1}`,
        },
        body: image.subarray(start, stop),
      })
      t.equal(sent.status, 202, await sent.text())
      location = sent.headers.get('location')!
    }
    const digest = `sha256:${createHash('sha256').update(image).digest('hex')}`
    const ended = await fetch(`${location}&digest=${encodeURIComponent(digest)}`, { method: 'PUT' })
    t.equal(ended.status, 201, await ended.text())
    const read = await fetch(`${url}images/one/blobs/${digest}`)
    t.equal(md5(Buffer.from(await read.arrayBuffer())), await md5Of(big))
    t.equal((await fetch(`${url}images/one/blobs/${digest}`, { method: 'DELETE' })).status, 202)
  },
)

function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex')
}

function noFuse(): string | false {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
    return false
  } catch {
    return 'there is no FUSE'
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.kill()
  await once(child, 'exit')
}

async function ok(t: Test, running: ReturnType<typeof run>): Promise<void> {
  const { code, output } = await running
  t.equal(code, 0, output.slice(-2000))
}
