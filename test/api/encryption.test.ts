/** Enciphered objects over a real socket, on the real engine, and what its files hold of them. */
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { parseRootSecrets } from '../../proxy/encryption/root-secrets.ts'
import { type Call, httpClient } from './http-client.ts'
import { openS3Store, s3Client } from './s3-store.ts'
import { openTestStore, type TestStore } from './swift-store.ts'

const ACCOUNT = '/v1/AUTH_test'
const md5 = (data: string | Buffer) => createHash('md5').update(data).digest('hex')
const first = randomBytes(32).toString('base64')
const second = randomBytes(48).toString('base64')
const OLD = parseRootSecrets(JSON.stringify({ active: 'old', secrets: { old: first } }))
const BOTH = parseRootSecrets(
  JSON.stringify({ active: 'new', secrets: { old: first, new: second } }),
)

async function opened(store: TestStore) {
  const client = httpClient(store.port)
  const answer = await client.call('GET', '/auth/v1.0', {
    headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
  })
  const token = answer.headers['x-auth-token']!
  const owner: Call = (method, path, options = {}) =>
    client.call(method, path, {
      ...options,
      headers: { 'x-auth-token': token, ...options.headers },
    })
  return {
    owner,
    async close() {
      client.close()
      await store.close()
    },
  }
}

/** Whether any file of the folder holds the bytes. */
function holds(folder: string, bytes: Buffer): boolean {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).some((entry) => {
    const path = join(entry.parentPath, entry.name)
    return entry.isFile() && statSync(path).size > 0 && readFileSync(path).includes(bytes)
  })
}

const SMALL = Buffer.from('a small body that nobody is to find on the disk')
const BIG = randomBytes(200_000)

t.test('objects are enciphered on disk and plain to their readers', async (t) => {
  const folder = t.testdir()
  const store = await openTestStore(folder, { encryption: OLD, versionsSettle: false })
  const { owner, close } = await opened(store)
  t.teardown(close)
  await owner('PUT', `${ACCOUNT}/c`)
  for (const [name, body] of [
    ['small', SMALL],
    ['big', BIG],
    ['empty', Buffer.alloc(0)],
  ] as const) {
    const made = await owner('PUT', `${ACCOUNT}/c/${name}`, {
      body,
      headers: { 'x-object-meta-color': 'ultramarine', etag: md5(body) },
    })
    t.equal(made.status, 201)
    t.equal(made.headers.etag, md5(body))
    const read = await owner('GET', `${ACCOUNT}/c/${name}`)
    t.ok(read.bytes.equals(body))
    t.equal(read.headers.etag, md5(body))
    t.equal(read.headers['x-object-meta-color'], 'ultramarine')
    t.notMatch(JSON.stringify(read.headers), 'crypto')
  }
  for (const range of ['0-0', '15-16', '65530-65550', '70001-199999', '-5']) {
    const part = await owner('GET', `${ACCOUNT}/c/big`, { headers: { range: `bytes=${range}` } })
    const [from, to] = range.startsWith('-') ? [199_995, 199_999] : range.split('-').map(Number)
    t.ok(part.bytes.equals(BIG.subarray(from, to! + 1)), range)
  }
  const rows = JSON.parse((await owner('GET', `${ACCOUNT}/c?format=json`)).body)
  t.same(
    rows.map((row: { hash: string }) => row.hash),
    [md5(BIG), md5(''), md5(SMALL)],
  )
  const posted = { headers: { 'x-object-meta-color': 'vermilion' } }
  t.equal((await owner('POST', `${ACCOUNT}/c/small`, posted)).status, 202)
  const after = await owner('GET', `${ACCOUNT}/c/small`)
  t.equal(after.headers['x-object-meta-color'], 'vermilion')
  t.ok(after.bytes.equals(SMALL))
  for (const secret of [
    SMALL,
    BIG.subarray(1000, 1040),
    Buffer.from('ultramarine'),
    Buffer.from('vermilion'),
    Buffer.from(md5(SMALL)),
    Buffer.from(md5(BIG)),
  ]) {
    t.notOk(holds(folder, secret), secret.toString('latin1').slice(0, 20))
  }
  t.ok(holds(folder, Buffer.from('/AUTH_test/c/small')), 'names can be found: the search works')
})

t.test(
  'conditions, copies, large objects, links and versions work on what is enciphered',
  async (t) => {
    const store = await openTestStore(t.testdir(), { encryption: OLD, versionsSettle: false })
    const { owner, close } = await opened(store)
    t.teardown(close)
    await owner('PUT', `${ACCOUNT}/c`)
    const put = (headers: Record<string, string>, body: string) =>
      owner('PUT', `${ACCOUNT}/c/o`, { headers, body })
    t.equal((await put({ 'if-none-match': '*' }, 'one')).status, 201)
    t.equal((await put({ 'if-none-match': '*' }, 'two')).status, 412)
    t.equal((await put({ 'if-match': md5('other') }, 'two')).status, 412)
    t.equal((await put({ 'if-match': md5('one') }, 'two')).status, 201)
    const match = { headers: { 'if-none-match': md5('two') } }
    t.equal((await owner('GET', `${ACCOUNT}/c/o`, match)).status, 304)
    t.equal((await owner('DELETE', `${ACCOUNT}/c/o`, { headers: { 'if-match': 'x' } })).status, 412)
    await owner('COPY', `${ACCOUNT}/c/o`, { headers: { destination: 'c/copy' } })
    t.equal((await owner('GET', `${ACCOUNT}/c/copy`)).body, 'two', 'under a key of its own path')
    await owner('PUT', `${ACCOUNT}/c/link`, {
      headers: { 'x-symlink-target': 'c/o', 'x-symlink-target-etag': md5('two') },
    })
    t.equal((await owner('GET', `${ACCOUNT}/c/link`)).body, 'two')
    const manifest = JSON.stringify([{ path: '/c/o', etag: md5('two') }, { path: '/c/link' }])
    const slo = await owner('PUT', `${ACCOUNT}/c/slo?multipart-manifest=put`, { body: manifest })
    t.equal(slo.status, 201)
    t.equal((await owner('GET', `${ACCOUNT}/c/slo`)).body, 'twotwo')
    await owner('PUT', `${ACCOUNT}/c/dlo`, { headers: { 'x-object-manifest': 'c/o' } })
    const dlo = await owner('GET', `${ACCOUNT}/c/dlo`)
    t.equal(dlo.headers.etag, `"${md5(md5('two'))}"`)
    await owner('PUT', `${ACCOUNT}/v`, { headers: { 'x-versions-enabled': 'true' } })
    const one = await owner('PUT', `${ACCOUNT}/v/o`, { body: 'one' })
    await owner('PUT', `${ACCOUNT}/v/o`, { body: BIG })
    t.ok((await owner('GET', `${ACCOUNT}/v/o`)).bytes.equals(BIG))
    const id = one.headers['x-object-version-id']
    t.equal((await owner('GET', `${ACCOUNT}/v/o?version-id=${id}`)).body, 'one')
    const lines = JSON.parse((await owner('GET', `${ACCOUNT}/v?versions`)).body)
    t.same(
      lines.map((line: { hash: string }) => line.hash),
      [md5(BIG), md5('one')],
    )
    t.equal(
      (await owner('PUT', `${ACCOUNT}/v/o`, { headers: match.headers, body: 'x' })).status,
      400,
    )
  },
)

t.test('digests in system metadata and in listings are enciphered, too', async (t) => {
  const folder = t.testdir()
  const store = await openS3Store(folder, { encryption: OLD, versionsSettle: false })
  const { owner, close } = await opened(store)
  t.teardown(close)
  const s3 = s3Client(store.port)
  t.teardown(() => s3.destroy())
  const Bucket = 'sealed'
  await s3.send(new CreateBucketCommand({ Bucket }))
  const Key = 'o'
  await s3.send(new PutObjectCommand({ Bucket, Key, Body: SMALL, ChecksumAlgorithm: 'SHA256' }))
  const shown = await s3.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
  const checksum = shown.ChecksumSHA256 ?? shown.ChecksumCRC64NVME
  t.ok(checksum, 'S3 shows a checksum')
  const upload = { Bucket, Key: 'parts' }
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand(upload))
  const part = { ...upload, UploadId, PartNumber: 1 }
  const { ETag } = await s3.send(new UploadPartCommand({ ...part, Body: BIG }))
  const Parts = [{ PartNumber: 1, ETag }]
  const whole = { ...upload, UploadId, MultipartUpload: { Parts } }
  const completed = await s3.send(new CompleteMultipartUploadCommand(whole))
  const multipart = completed.ETag!.replaceAll('"', '').split('-')[0]!
  const listed = await s3.send(new ListObjectsV2Command({ Bucket }))
  t.same(
    listed.Contents?.map((row) => row.ETag),
    [`"${md5(SMALL)}"`, completed.ETag],
  )
  await owner('PUT', `${ACCOUNT}/c`)
  await owner('PUT', `${ACCOUNT}/c/segment`, { body: SMALL })
  const pin = { 'x-symlink-target': 'c/segment', 'x-symlink-target-etag': md5(SMALL) }
  await owner('PUT', `${ACCOUNT}/c/link`, { headers: pin })
  const manifest = JSON.stringify([{ path: '/c/segment' }])
  await owner('PUT', `${ACCOUNT}/c/slo?multipart-manifest=put`, { body: manifest })
  const rows = JSON.parse((await owner('GET', `${ACCOUNT}/c?format=json`)).body)
  t.match(rows, [
    { name: 'link', symlink_path: '/v1/AUTH_test/c/segment', symlink_etag: md5(SMALL) },
    { name: 'segment', hash: md5(SMALL) },
    { name: 'slo', bytes: SMALL.length, slo_etag: `"${md5(md5(SMALL))}"` },
  ])
  t.equal((await owner('GET', `${ACCOUNT}/c/link`)).body, SMALL.toString())
  t.equal((await owner('GET', `${ACCOUNT}/c/slo`)).body, SMALL.toString())
  await owner('PUT', `${ACCOUNT}/v`, { headers: { 'x-versions-enabled': 'true' } })
  await owner('PUT', `${ACCOUNT}/v/o`, { body: SMALL })
  const plain = [
    SMALL,
    Buffer.from(checksum!),
    Buffer.from(checksum!, 'base64'),
    ...[md5(SMALL), md5(BIG), md5(md5(SMALL)), multipart].flatMap((digest) => [
      Buffer.from(digest),
      Buffer.from(digest, 'hex'),
      Buffer.from(Buffer.from(digest, 'hex').toString('base64')),
    ]),
  ]
  for (const secret of plain) t.notOk(holds(folder, secret), secret.toString('latin1'))
  t.ok(holds(folder, Buffer.from('/AUTH_test/c/slo')), 'names can be found: the search works')
})

t.test('secrets are rotated, and what was plain before stays readable', async (t) => {
  const folder = t.testdir()
  const read = async (owner: Call, names: readonly string[]) => {
    for (const name of names) {
      const answer = await owner('GET', `${ACCOUNT}/c/${name}`)
      t.ok(answer.bytes.equals(BIG), name)
      t.equal(answer.headers['x-object-meta-from'], name)
      const match = { headers: { 'if-match': md5(BIG), 'x-object-meta-from': name } }
      t.equal((await owner('POST', `${ACCOUNT}/c/${name}`, match)).status, 202, `${name} matches`)
    }
    const rows = JSON.parse((await owner('GET', `${ACCOUNT}/c?format=json`)).body)
    t.ok(rows.every((row: { hash: string }) => row.hash === md5(BIG)))
  }
  const names: string[] = []
  for (const [name, options] of [
    ['plain', {}],
    ['old', { encryption: OLD }],
    ['new', { encryption: BOTH }],
  ] as const) {
    const { owner, close } = await opened(await openTestStore(folder, options))
    await owner('PUT', `${ACCOUNT}/c`)
    await owner('PUT', `${ACCOUNT}/c/${name}`, {
      body: BIG,
      headers: { 'x-object-meta-from': name },
    })
    names.push(name)
    await read(owner, names)
    await close()
  }
  const { owner, close } = await opened(await openTestStore(folder, { encryption: OLD }))
  t.teardown(close)
  t.equal(
    (await owner('GET', `${ACCOUNT}/c/new`)).status,
    500,
    'without its secret there is no way',
  )
})
