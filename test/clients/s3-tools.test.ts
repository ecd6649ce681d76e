/**
 * S3's clients as Debian and npm have them, without a word on what kind of server this is: s3cmd, rclone, the aws cli, boto3,
 * the SDK, restic, s3fs, and the storage driver of the Docker registry. All against one store: over HTTP, and over HTTPS,
 * where they read what Swift's API has written, and it reads what they have.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  accessSync,
  constants,
  createReadStream,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { join } from 'node:path'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import t, { type Test } from 'tap'
import { freePort } from '../../bench/store-process.ts'
import { MAIN, openS3Store, sendSigned } from '../api/s3-store.ts'
import type { TestStore } from '../api/swift-store.ts'
import { type Certificate, makeCertificate } from '../support/certificate.ts'
import { difference, md5Of, missing, run } from '../support/client-tree.ts'

const timeout = 240_000
const work = t.testdir()
const tree = join(work, 'tree')
const big = join(tree, 'big.bin')
let store: TestStore
/** Null: there is no openssl. */
const certificate = makeCertificate(work)
const noTls = certificate === null && 'openssl is not installed'
const ca = certificate?.cert ?? ''
let httpsUrl = ''

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
  if (certificate !== null) httpsUrl = `https://127.0.0.1:${await openTls(certificate)}`
})

async function openTls({ cert, key }: Certificate): Promise<number> {
  const tls = { cert: readFileSync(cert), key: readFileSync(key) }
  return (await store.openBeside({ tls })).port
}

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
    const env = rcloneEnv(provider)
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

function rcloneEnv(provider: string): Readonly<Record<string, string>> {
  return {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_STORE_TYPE: 's3',
    RCLONE_CONFIG_STORE_PROVIDER: provider,
    RCLONE_CONFIG_STORE_ACCESS_KEY_ID: MAIN.accessKeyId,
    RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY: MAIN.secretAccessKey,
    RCLONE_CONFIG_STORE_ENDPOINT: store.url,
    RCLONE_CONFIG_STORE_UPLOAD_CUTOFF: '6M',
    RCLONE_CONFIG_STORE_CHUNK_SIZE: '5M',
    // This version of rclone cannot take certificates from there.
    AWS_CA_BUNDLE: '',
  }
}

/** For clients of AWS's family. */
const keys = {
  AWS_ACCESS_KEY_ID: MAIN.accessKeyId,
  AWS_SECRET_ACCESS_KEY: MAIN.secretAccessKey,
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_CA_BUNDLE: '',
  AWS_EC2_METADATA_DISABLED: 'true',
}
const awsEnv = {
  ...keys,
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
}
const PYTHON = '/usr/bin/python3'
const noBoto = spawnSync(PYTHON, ['-c', 'import boto3']).status !== 0 && 'boto3 is not installed'

t.test(
  'aws: a tree, multipart, copies, presigned URLs',
  { timeout, skip: missing('aws') },
  async (t) => {
    const env = awsEnv
    const url = `http://127.0.0.1:${store.port}`
    const aws = (...args: string[]) => run('aws', ['--endpoint-url', url, ...args], { env })
    await sendSigned(store.port, { method: 'PUT', path: '/aws-cli' })
    await ok(t, aws('s3', 'sync', tree, 's3://aws-cli/tree'))
    await ok(t, aws('s3', 'cp', 's3://aws-cli/tree/big.bin', 's3://aws-cli/copy'))
    await ok(t, aws('s3', 'sync', 's3://aws-cli/tree', join(work, 'from-aws')))
    t.equal(await difference(tree, join(work, 'from-aws')), '')
    const presigned = await aws('s3', 'presign', 's3://aws-cli/copy')
    const answer = await fetch(presigned.output.trim())
    t.equal(md5(Buffer.from(await answer.arrayBuffer())), await md5Of(big))
    const head = await sendSigned(store.port, { method: 'HEAD', path: '/aws-cli/tree/big.bin' })
    t.match(head.headers, { 'content-length': '13000000', etag: /^"[0-9a-f]{32}-2"$/ })
    const table = join(work, 'table.csv')
    writeFileSync(table, 'name,age\nAnn,31\nBob,7\n')
    await ok(t, aws('s3', 'cp', table, 's3://aws-cli/table.csv'))
    const query = [
      ['--expression', 'SELECT s.name FROM S3Object s WHERE CAST(s.age AS INT) > 30'],
      ['--input-serialization', '{"CSV":{"FileHeaderInfo":"USE"}}'],
      ['--output-serialization', '{"JSON":{}}'],
      ['--bucket', 'aws-cli', '--key', 'table.csv', '--expression-type', 'SQL'],
    ].flat()
    const found = join(work, 'found.json')
    await ok(t, aws('s3api', 'select-object-content', ...query, found))
    t.equal(readFileSync(found, 'utf8'), '{"name":"Ann"}\n')
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

for (const scheme of ['http', 'https']) {
  const skip = missing('docker-registry') || (scheme === 'https' && noTls)
  t.test(`docker-registry: its storage driver over ${scheme}`, { timeout, skip }, async (t) => {
    await sendSigned(store.port, { method: 'PUT', path: `/registry-${scheme}` })
    const port = await freePort()
    const config = join(work, `registry-${scheme}.yml`)
    writeFileSync(
      config,
      [
        'version: 0.1',
        'storage:',
        '  s3:',
        `    accesskey: "${MAIN.accessKeyId}"`,
        `    secretkey: "${MAIN.secretAccessKey}"`,
        '    region: us-east-1',
        `    regionendpoint: ${scheme === 'https' ? httpsUrl : store.url}`,
        `    bucket: registry-${scheme}`,
        `    secure: ${scheme === 'https'}`,
        '    chunksize: 5242880',
        '  delete: { enabled: true }',
        '  redirect: { disable: true }',
        `http: { addr: "127.0.0.1:${port}" }`,
      ].join('\n'),
    )
    const registry = spawn('docker-registry', ['serve', config], {
      stdio: 'ignore',
      env: { ...process.env, ...keys, SSL_CERT_FILE: ca },
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
  })
}

type Doing = Promise<void> | ReturnType<typeof run>

/** What a client does in the bucket `both`, over HTTPS. */
interface Swap {
  readonly skip: string | false
  /**
   * Sends the big file under the name, as `image/x-test` with `color: blue` where the client can say so, and fetches the
   * object `slo` to the file: one after the other.
   */
  readonly steps: (name: string, file: string) => readonly (() => Doing)[]
  readonly saysNothing?: true
}

const CLIENTS: Readonly<Record<string, Swap>> = {
  s3cmd: {
    skip: missing('s3cmd'),
    steps: (name, file) => [
      () =>
        s3cmdTls(
          ...['put', big, `s3://both/${name}`, '--multipart-chunk-size-mb=5'],
          ...['--mime-type=image/x-test', '--add-header=x-amz-meta-color:blue'],
        ),
      () => s3cmdTls('get', 's3://both/slo', file),
    ],
  },
  rclone: {
    skip: missing('rclone'),
    steps: (name, file) => [
      () =>
        rcloneTls(
          ...['copyto', big, `store:both/${name}`, '--header-upload', 'Content-Type: image/x-test'],
          ...['--metadata', '--metadata-set', 'color=blue'],
        ),
      () => rcloneTls('copyto', 'store:both/slo', file),
    ],
  },
  aws: {
    skip: missing('aws'),
    steps: (name, file) => [
      () =>
        awsTls(
          ...[big, `s3://both/${name}`, '--content-type', 'image/x-test'],
          ...['--metadata', 'color=blue'],
        ),
      () => awsTls('s3://both/slo', file),
    ],
  },
  boto3: { skip: noBoto, steps: (name, file) => [() => botoTls(name, file)] },
  'lib-storage': { skip: false, steps: (name, file) => [() => sdkTls(name, file)] },
  s3fs: {
    skip: missing('s3fs') || noFuse(),
    saysNothing: true,
    steps: (name, file) => [() => s3fsTls(name, file)],
  },
}

for (const [client, { skip, steps, saysNothing }] of Object.entries(CLIENTS)) {
  const options = { timeout, skip: skip || noTls }
  t.test(`${client} over HTTPS, and Swift's API on the same objects`, options, async (t) => {
    await bothBucket()
    const file = join(work, `both-${client}`)
    for (const step of steps(client, file)) {
      const result = await step()
      if (result !== undefined) t.equal(result.code, 0, result.output.slice(-2000))
    }
    t.equal(await md5Of(file), await md5Of(big), 'a large object of Swift’s')
    const read = await bySwift('GET', `/both/${client}`)
    t.equal(md5(Buffer.from(await read.arrayBuffer())), await md5Of(big))
    t.equal(read.headers.get('x-static-large-object'), 'True', 'it came in parts')
    if (saysNothing === true) return
    t.equal(read.headers.get('content-type'), 'image/x-test')
    t.equal(read.headers.get('x-object-meta-color'), 'blue')
  })
}

t.test(
  'restic: a repository that was written over HTTPS is read by the Swift API',
  { timeout, skip: missing('restic') || noTls },
  async (t) => {
    const s3 = `s3:${httpsUrl}/restic-tls/backups`
    await sendSigned(store.port, { method: 'PUT', path: '/restic-tls' })
    const env = {
      ...keys,
      RESTIC_PASSWORD: 'secret',
      RESTIC_CACHE_DIR: join(work, 'restic-tls-cache'),
      ST_AUTH: `${store.url}/auth/v1.0`,
      ST_USER: 'test:tester',
      ST_KEY: 'testing',
    }
    const restic = (repository: string, ...args: string[]) =>
      run('restic', ['--repo', repository, '--cacert', ca, ...args], { env, cwd: work })
    await ok(t, restic(s3, 'init'))
    await ok(t, restic(s3, 'backup', 'tree'))
    await ok(t, restic('swift:restic-tls:/backups', 'check', '--read-data'))
  },
)

let making: Promise<void> | undefined

/** The bucket of all, with a large object that Swift's API has made of segments. */
function bothBucket(): Promise<void> {
  making ??= makeBoth()
  return making
}

async function makeBoth(): Promise<void> {
  const bytes = readFileSync(big)
  await sendSigned(store.port, { method: 'PUT', path: '/both' })
  const segments = [bytes.subarray(0, 6_000_000), bytes.subarray(6_000_000)]
  for (const [index, body] of segments.entries()) {
    await bySwift('PUT', `/both/segments/${index}`, { body })
  }
  const manifest = JSON.stringify(segments.map((_, index) => ({ path: `/both/segments/${index}` })))
  const made = await bySwift('PUT', '/both/slo?multipart-manifest=put', { body: manifest })
  if (made.status !== 201) throw new Error(`the large object was answered ${made.status}`)
}

async function bySwift(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  const signedIn = await fetch(`${store.url}/auth/v1.0`, {
    headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
  })
  const headers = { 'x-auth-token': signedIn.headers.get('x-auth-token')! }
  return fetch(`${store.url}/v1/AUTH_test${path}`, { ...init, method, headers })
}

function s3cmdTls(...args: string[]): ReturnType<typeof run> {
  const config = join(work, 's3cfg-tls')
  const host = new URL(httpsUrl).host
  writeFileSync(
    config,
    `[default]\naccess_key = ${MAIN.accessKeyId}\nsecret_key = ${MAIN.secretAccessKey}\nhost_base = ${host}\nhost_bucket = ${host}\nca_certs_file = ${ca}\n`,
  )
  return run('s3cmd', ['--config', config, ...args])
}

function rcloneTls(...args: string[]): ReturnType<typeof run> {
  const env = { ...rcloneEnv('Other'), RCLONE_CONFIG_STORE_ENDPOINT: httpsUrl, RCLONE_CA_CERT: ca }
  return run('rclone', args, { env })
}

function awsTls(...args: string[]): ReturnType<typeof run> {
  const env = { ...awsEnv, AWS_CA_BUNDLE: ca }
  return run('aws', ['--endpoint-url', httpsUrl, 's3', 'cp', ...args], { env })
}

function botoTls(name: string, file: string): ReturnType<typeof run> {
  const program = `
import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1])
s3.upload_file(sys.argv[2], 'both', sys.argv[3], ExtraArgs={'Metadata': {'color': 'blue'}, 'ContentType': 'image/x-test'})
s3.download_file('both', 'slo', sys.argv[4])
`
  const env = { ...keys, AWS_CA_BUNDLE: ca }
  return run(PYTHON, ['-c', program, httpsUrl, big, name, file], { env })
}

/** The SDK as it is: its checksums, and a stream that has no length. */
async function sdkTls(Key: string, file: string): Promise<void> {
  const client = new S3Client({
    endpoint: httpsUrl,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: MAIN,
    requestHandler: { httpsAgent: new Agent({ ca: readFileSync(ca) }) },
  })
  const object = { Bucket: 'both', ContentType: 'image/x-test', Metadata: { color: 'blue' } }
  await new Upload({ client, params: { ...object, Key, Body: createReadStream(big) } }).done()
  const { Body } = await client.send(new GetObjectCommand({ Bucket: 'both', Key: 'slo' }))
  await writeFile(file, await Body!.transformToByteArray())
  client.destroy()
}

/** With the bucket as a file system. */
async function s3fsTls(name: string, file: string): ReturnType<typeof run> {
  const mounted = join(work, 'mounted-tls')
  mkdirSync(mounted)
  const env = {
    AWSACCESSKEYID: MAIN.accessKeyId,
    AWSSECRETACCESSKEY: MAIN.secretAccessKey,
    CURL_CA_BUNDLE: ca,
  }
  const options = [`url=${httpsUrl}`, 'use_path_request_style', 'multipart_size=5']
  const mount = ['both', mounted, ...options.flatMap((option) => ['-o', option])]
  const mounting = await run('s3fs', mount, { env })
  if (mounting.code !== 0) return mounting
  try {
    const copied = await run('cp', [big, join(mounted, name)])
    return copied.code === 0 ? await run('cp', [join(mounted, 'slo'), file]) : copied
  } finally {
    await run('fusermount', ['-u', mounted])
  }
}

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
