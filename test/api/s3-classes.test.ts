/** Storage classes: objects whose bytes lie in another storage policy than their container's, by both APIs over a real socket. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetBucketLifecycleConfigurationCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type TransitionStorageClass,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Registry } from 'prom-client'
import t, { type TAP } from 'tap'
import { ServiceError } from '../../common/errors.ts'
import type { ListRow } from '../../common/storage-node.ts'
import type { Backend, ObjectPath } from '../../proxy/backend/backend.ts'
import { Policies } from '../../proxy/policies.ts'
import { moveObject } from '../../proxy/s3/lifecycle/move-object.ts'
import type { S3Call } from '../../proxy/s3/s3-call.ts'
import { classBackend } from '../../proxy/storage-class/class-backend.ts'
import { classBook, OrphanBytes } from '../../proxy/storage-class/orphan-bytes.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { openS3Rig, type S3Rig, testCredentials } from './s3-store.ts'

const DAY_MS = 300
/** Nothing waits longer than this for what is to happen, however slow the machine is. */
const WAIT_MS_MAX = 240_000
const MIB = 1024 * 1024
const HOUR_MS = 3_600_000
/** Containers have policy 0. */
const CLASSES = [
  { name: 'GLACIER_IR', policy: 1 },
  { name: 'SAME', policy: 0 },
  { name: 'DEEP_ARCHIVE', policy: 1 },
]
type Class = TransitionStorageClass

const secret = Buffer.alloc(32, 7)
const roots = { active: 'one', secrets: new Map([['one', secret]]) }
const s3Options = {
  credentials: testCredentials,
  lifecycleDayMs: DAY_MS,
  transitionBytesMin: 0,
  storageClasses: CLASSES,
  partBytesMin: 1,
  keys: roots,
}
const rig = await openS3Rig(t, { s3: s3Options, versionsSettle: false })
const { store, s3, swift, signed } = rig
const { backend } = store.context

async function bucket(Bucket: string, versions = false): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket }))
  if (versions) {
    const VersioningConfiguration = { Status: 'Enabled' } as const
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  }
  return Bucket
}

function patterned(bytes: number, seed: number): Buffer {
  return Buffer.alloc(bytes, createHash('sha256').update(String(seed)).digest())
}

/** Rows of bytes that lie in policy 1 for the container, those that are let go left out. */
async function bytesOf(container: string, from: Backend = backend): Promise<readonly ListRow[]> {
  const name = `\0class\x001\0${container}`
  const page = await from.listContainer('AUTH_test', name, { limit: 1000 })
  const rows = (page?.entries ?? []) as readonly ListRow[]
  const kept = await Promise.all(
    rows.map(async (row) => {
      const path = { account: 'AUTH_test', container: name, object: row.name, policy: 1 }
      const read = await from.readObject(path, { head: true })
      return read?.info.meta.headers['x-delete-at'] === undefined ? [row] : []
    }),
  )
  return kept.flat()
}

async function read(Bucket: string, Key: string, more: object = {}): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, ...more }))
  return Buffer.from(await Body!.transformToByteArray())
}

async function classOf(Bucket: string, Key: string, more: object = {}) {
  return (await s3.send(new HeadObjectCommand({ Bucket, Key, ...more }))).StorageClass
}

async function until<T>(
  t: Pick<TAP, 'pass' | 'fail'>,
  what: string,
  look: () => Promise<T>,
  isSo: (seen: T) => boolean,
): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX
  for (;;) {
    const seen = await look()
    const isOver = performance.now() > endMs
    if (isSo(seen)) t.pass(what)
    else if (isOver) t.fail(what, { seen })
    if (isSo(seen) || isOver) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test(
  'an object of a class is like any other, and its bytes lie in the other policy',
  async (t) => {
    const Bucket = await bucket('put-class')
    const cases = [
      ['empty', 0],
      ['inline', 1000],
      ['blob', 2 * MIB + 1],
    ] as const
    for (const [Key, bytes] of cases) {
      const Body = patterned(bytes, bytes)
      const put = { Bucket, Key, Body, StorageClass: 'GLACIER_IR', Metadata: { a: 'b' } } as const
      const { ETag } = await s3.send(new PutObjectCommand(put))
      t.equal(ETag, `"${createHash('md5').update(Body).digest('hex')}"`)
      const got = await s3.send(new GetObjectCommand({ Bucket, Key }))
      t.ok(Body.equals(await got.Body!.transformToByteArray()), Key)
      t.match(got, { StorageClass: 'GLACIER_IR', ETag, ContentLength: bytes, Metadata: { a: 'b' } })
      t.match(await s3.send(new HeadObjectCommand({ Bucket, Key })), { ContentLength: bytes })
      const bySwift = await swift('GET', `/${Bucket}/${Key}`)
      t.ok(Body.equals(Buffer.from(await bySwift.arrayBuffer())), 'by Swift')
      t.match(Object.fromEntries(bySwift.headers), {
        etag: ETag!.replaceAll('"', ''),
        'x-object-meta-a': 'b',
      })
      t.notMatch([...bySwift.headers.keys()].join(), /sysmeta/)
    }
    const range = await read(Bucket, 'blob', { Range: 'bytes=1048570-1048580' })
    t.ok(range.equals(patterned(2 * MIB, 2 * MIB + 1).subarray(1048570, 1048581)))
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }))
    t.match(
      Contents?.map(({ Key, Size, StorageClass }) => [Key, Size, StorageClass]),
      [
        ['blob', 2 * MIB + 1, 'GLACIER_IR'],
        ['empty', 0, 'GLACIER_IR'],
        ['inline', 1000, 'GLACIER_IR'],
      ],
    )
    const ObjectAttributes = ['StorageClass', 'ObjectSize'] as const
    t.match(
      await s3.send(
        new GetObjectAttributesCommand({
          Bucket,
          Key: 'blob',
          ObjectAttributes: [...ObjectAttributes],
        }),
      ),
      { StorageClass: 'GLACIER_IR', ObjectSize: 2 * MIB + 1 },
    )
    const rows = await (await swift('GET', `/${Bucket}?format=json`)).json()
    t.match(rows, [{ bytes: 2 * MIB + 1 }, { bytes: 0 }, { bytes: 1000 }])
    t.equal(
      (await bytesOf(Bucket)).reduce((sum, row) => sum + row.bytes, 0),
      2 * MIB + 1001,
    )
    t.match((await backend.readContainer('AUTH_test', Bucket))?.stats, { bytes: 0, objects: 3 })
    const head = await swift('HEAD', `/${Bucket}`)
    t.equal(head.headers.get('x-container-bytes-used'), String(2 * MIB + 1001))
    await store.runDaemons()
    const listing = (await (await swift('GET', '?format=json')).json()) as { name: string }[]
    const own = listing.filter(({ name }) => name.includes(Bucket))
    t.match(own, [{ name: Bucket, bytes: 2 * MIB + 1001, count: 3 }])
    const bad = { 'x-amz-storage-class': 'WARM' }
    const refused = await signed({ method: 'PUT', path: `/${Bucket}/k`, body: 'b', headers: bad })
    t.equal(`${refused.status} ${refused.code}`, '400 InvalidStorageClass')
    const cut = {
      Bucket,
      Key: 'streamed',
      StorageClass: 'DEEP_ARCHIVE',
      ContentLength: MIB,
    } as const
    await s3.send(new PutObjectCommand({ ...cut, Body: Readable.from([patterned(MIB, 3)]) }))
    t.ok((await read(Bucket, 'streamed')).equals(patterned(MIB, 3)))
    await s3.send(
      new PutObjectCommand({ Bucket, Key: 'same', StorageClass: 'SAME' as Class, Body: 'x' }),
    )
    t.equal(await classOf(Bucket, 'same'), 'SAME')
    t.notOk(
      (await bytesOf(Bucket)).some(({ name }) => name.startsWith('same')),
      'in its place',
    )
  },
)

t.test('what is replaced or deleted by either API leaves no bytes', async (t) => {
  const Bucket = await bucket('replaced-class')
  const StorageClass = 'GLACIER_IR'
  const put = (Key: string, more: object = {}) =>
    s3.send(new PutObjectCommand({ Bucket, Key, StorageClass, Body: 'first', ...more }))
  const ends: readonly (() => Promise<unknown>)[] = [
    () => s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' })),
    () => swift('DELETE', `/${Bucket}/k`),
    () => put('k', { StorageClass: undefined }),
    () => swift('PUT', `/${Bucket}/k`, { body: 'swift' }),
    () => swift('PUT', `/${Bucket}/k`, { body: patterned(MIB, 1) }),
  ]
  for (const [at, end] of ends.entries()) {
    await put('k')
    t.equal((await bytesOf(Bucket)).length, 1)
    await end()
    t.equal((await bytesOf(Bucket)).length, 0, `${at}`)
  }
  t.equal(await classOf(Bucket, 'k'), undefined)
  await put('k')
  await put('k', { Body: 'second' })
  t.equal(String(await read(Bucket, 'k')), 'second')
  t.equal((await bytesOf(Bucket)).length, 1)
  const { ETag } = await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }))
  for (const condition of [{ IfNoneMatch: '*' }, { IfMatch: '"other"' }]) {
    await t.rejects(put('k', { Body: 'third', ...condition }), { name: 'PreconditionFailed' })
  }
  await put('k', { Body: 'fourth', IfMatch: ETag })
  t.equal(String(await read(Bucket, 'k')), 'fourth')
  t.equal((await bytesOf(Bucket)).length, 1)
  const posted = await swift('POST', `/${Bucket}/k`, { headers: { 'x-object-meta-z': '1' } })
  t.equal(posted.status, 202)
  await s3.send(
    new PutObjectTaggingCommand({
      Bucket,
      Key: 'k',
      Tagging: { TagSet: [{ Key: 'a', Value: '1' }] },
    }),
  )
  t.equal(String(await read(Bucket, 'k')), 'fourth', 'metadata changes, bytes stay')
  t.equal(await classOf(Bucket, 'k'), StorageClass)
})

t.test('copies have the class that their request says', async (t) => {
  const Bucket = await bucket('copied-class')
  const Body = patterned(MIB, 5)
  await s3.send(new PutObjectCommand({ Bucket, Key: 'a', Body, StorageClass: 'GLACIER_IR' }))
  const copy = (Key: string, more: object = {}) =>
    s3.send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/a`, ...more }))
  await copy('standard')
  await copy('cold', { StorageClass: 'DEEP_ARCHIVE' })
  await swift('PUT', `/${Bucket}/by-swift`, { headers: { 'x-copy-from': `/${Bucket}/a` } })
  await t.rejects(copy('a'), { name: 'InvalidRequest' })
  await copy('a', { StorageClass: 'STANDARD' })
  t.equal((await bytesOf(Bucket)).length, 1, 'of the one that is cold')
  for (const [Key, wanted] of [
    ['a', undefined],
    ['standard', undefined],
    ['cold', 'DEEP_ARCHIVE'],
    ['by-swift', undefined],
  ] as const) {
    t.ok(Body.equals(await read(Bucket, Key)), Key)
    t.equal(await classOf(Bucket, Key), wanted)
  }
  await copy('a', { StorageClass: 'DEEP_ARCHIVE' })
  t.equal(await classOf(Bucket, 'a'), 'DEEP_ARCHIVE', 'onto itself')
  t.ok(Body.equals(await read(Bucket, 'a')))
})

/** Of three parts, each of which is another. */
async function multipart(of: S3Rig, Bucket: string, Key: string, more: object = {}) {
  const { customer = {}, ...begin } = more as { customer?: object }
  const { UploadId } = await of.s3.send(
    new CreateMultipartUploadCommand({ Bucket, Key, ...begin, ...customer }),
  )
  const Parts = []
  for (const PartNumber of [1, 2, 3]) {
    const Body = patterned(PartNumber * 100_000, PartNumber)
    const part = { Bucket, Key, UploadId, PartNumber, Body, ...customer }
    Parts.push({ PartNumber, ETag: (await of.s3.send(new UploadPartCommand(part))).ETag })
  }
  return { Bucket, Key, UploadId, MultipartUpload: { Parts }, ...customer }
}

const WHOLE = Buffer.concat([1, 2, 3].map((number) => patterned(number * 100_000, number)))

t.test('of a multipart object the parts have the class', async (t) => {
  const Bucket = await bucket('parts-class')
  const upload = await multipart(rig, Bucket, 'k', { StorageClass: 'GLACIER_IR' })
  t.equal((await s3.send(new ListPartsCommand(upload))).StorageClass, 'GLACIER_IR')
  const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket }))
  t.match(Uploads, [{ StorageClass: 'GLACIER_IR' }])
  await s3.send(new CompleteMultipartUploadCommand(upload))
  t.equal((await bytesOf(Bucket)).length, 0, 'the manifest is in its place')
  t.equal((await bytesOf(`${Bucket}+segments`)).length, 3)
  t.ok(WHOLE.equals(await read(Bucket, 'k')))
  t.ok(
    WHOLE.subarray(99_990, 300_010).equals(
      await read(Bucket, 'k', { Range: 'bytes=99990-300009' }),
    ),
  )
  t.ok(patterned(200_000, 2).equals(await read(Bucket, 'k', { PartNumber: 2 })))
  t.ok(WHOLE.equals(Buffer.from(await (await swift('GET', `/${Bucket}/k`)).arrayBuffer())))
  t.equal(await classOf(Bucket, 'k'), 'GLACIER_IR')
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }))
  t.match(Contents, [{ Size: WHOLE.length, StorageClass: 'GLACIER_IR', ETag: /-3"$/ }])
  const left = await multipart(rig, Bucket, 'left', { StorageClass: 'GLACIER_IR' })
  await s3.send(new AbortMultipartUploadCommand(left))
  t.equal((await bytesOf(`${Bucket}+segments`)).length, 3, 'of an aborted one none stay')
})

t.test('what is appended has the class of what was there', async (t) => {
  const Bucket = await bucket('appended-class')
  const first = { Bucket, Key: 'k', StorageClass: 'GLACIER_IR' } as const
  const pieces = [1000, 500, 9 * MIB, 8 * MIB].map((bytes, at) => patterned(bytes, at))
  await s3.send(new PutObjectCommand({ ...first, Body: pieces[0]! }))
  let WriteOffsetBytes = pieces[0]!.length
  for (const Body of pieces.slice(1)) {
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body, WriteOffsetBytes }))
    WriteOffsetBytes += Body.length
  }
  t.ok(Buffer.concat(pieces).equals(await read(Bucket, 'k')))
  t.equal(await classOf(Bucket, 'k'), 'GLACIER_IR')
  const parts = await backend.listContainer('AUTH_test', `${Bucket}+segments`, { limit: 10 })
  t.match(parts?.info.stats, { bytes: 0 }, 'no part is in the bucket’s own policy')
  t.ok((await bytesOf(`${Bucket}+segments`)).length > 1)
  t.equal((await bytesOf(Bucket)).length, 0)
})

async function setRules(of: S3Rig, Bucket: string, rule: object): Promise<void> {
  const Rules = [{ ID: 'one', Status: 'Enabled', Filter: { Prefix: '' }, ...rule }] as const
  await of.s3.send(
    new PutBucketLifecycleConfigurationCommand({
      Bucket,
      LifecycleConfiguration: { Rules: [...Rules] },
    }),
  )
}

t.test('rules move objects as they are', async (t) => {
  const Bucket = await bucket('moved')
  const big = patterned(MIB, 8)
  await s3.send(new PutObjectCommand({ Bucket, Key: 'big', Body: big, Metadata: { a: 'b' } }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'small', Body: 'small' }))
  await s3.send(new CompleteMultipartUploadCommand(await multipart(rig, Bucket, 'parts')))
  const manifest = JSON.stringify([{ path: `/${Bucket}/small` }])
  await swift('PUT', `/${Bucket}/slo?multipart-manifest=put`, { body: manifest })
  const before = await s3.send(new HeadObjectCommand({ Bucket, Key: 'big' }))
  const swiftBefore = await swift('HEAD', `/${Bucket}/big`)
  const reading = await s3.send(new GetObjectCommand({ Bucket, Key: 'big' }))
  const Transitions = [
    { Days: 1, StorageClass: 'GLACIER_IR' },
    { Days: 1_000_000, StorageClass: 'DEEP_ARCHIVE' },
  ] as const
  await setRules(rig, Bucket, { Transitions, Expiration: { Days: 1_000_001 } })
  const { Rules } = await s3.send(new GetBucketLifecycleConfigurationCommand({ Bucket }))
  t.match(Rules, [{ Transitions }])
  const classes = async () => {
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }))
    return Contents!.map(({ Key, StorageClass }) => `${Key} ${StorageClass}`).join()
  }
  const wanted = 'big GLACIER_IR,parts GLACIER_IR,slo STANDARD,small GLACIER_IR'
  await until(
    t,
    'all are moved but what is put together of others',
    classes,
    (seen) => seen === wanted,
  )
  t.ok(big.equals(await reading.Body!.transformToByteArray()), 'who was reading reads on')
  t.ok(big.equals(await read(Bucket, 'big')))
  t.ok(WHOLE.equals(await read(Bucket, 'parts')))
  t.equal(String(await read(Bucket, 'slo')), 'small')
  t.equal((await bytesOf(Bucket)).length, 2)
  t.equal((await bytesOf(`${Bucket}+segments`)).length, 3)
  const after = await s3.send(new HeadObjectCommand({ Bucket, Key: 'big' }))
  for (const name of [
    'LastModified',
    'ETag',
    'Metadata',
    'ContentType',
    'ContentLength',
  ] as const) {
    t.strictSame(after[name], before[name], name)
  }
  const swiftAfter = await swift('HEAD', `/${Bucket}/big`)
  for (const name of ['last-modified', 'x-timestamp', 'etag', 'content-length']) {
    t.equal(swiftAfter.headers.get(name), swiftBefore.headers.get(name), name)
  }
  await setRules(rig, Bucket, { Transitions: [{ Days: 0, StorageClass: 'SAME' }] })
  await until(t, 'back to the own policy', classes, (seen) => !seen.includes('GLACIER_IR'))
  for (const name of [Bucket, `${Bucket}+segments`]) {
    await until(
      t,
      'bytes that were left are let go',
      () => bytesOf(name),
      (rows) => rows.length === 0,
    )
  }
  t.ok(WHOLE.equals(await read(Bucket, 'parts')))
  t.ok(big.equals(await read(Bucket, 'big')))
  const back = await s3.send(new HeadObjectCommand({ Bucket, Key: 'big' }))
  t.strictSame(back.LastModified, before.LastModified)
  const order = { Transitions: [{ Days: 5, StorageClass: 'GLACIER_IR' }], Expiration: { Days: 5 } }
  await t.rejects(setRules(rig, Bucket, order), { name: 'InvalidArgument' })
})

t.test('what is appended while a rule moves the object goes with it', async (t) => {
  const Bucket = await bucket('appended-moved')
  const pieces = [300_000, 1000, 2000].map((bytes, at) => patterned(bytes, at))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'plain', Body: pieces[0]! }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'parts', Body: pieces[0]! }))
  const grow = (Key: string, at: number) => {
    const WriteOffsetBytes = Buffer.concat(pieces.slice(0, at)).length
    return s3.send(new PutObjectCommand({ Bucket, Key, Body: pieces[at]!, WriteOffsetBytes }))
  }
  await grow('parts', 1)
  const { putObject } = backend
  /** When the new bytes are stored, and before the object has them. */
  const moveBefore = (Key: string) =>
    Object.assign(backend, {
      async putObject(...given: Parameters<typeof putObject>) {
        if (given[0].container !== Bucket || given[0].object !== Key)
          return putObject.apply(backend, given)
        Object.assign(backend, { putObject })
        const Filter = { Prefix: Key }
        const Transitions = [{ Days: 0, StorageClass: 'GLACIER_IR' }] as const
        await setRules(rig, Bucket, { Filter, Transitions })
        const look = () => classOf(Bucket, Key)
        await until(t, `${Key} is moved`, look, (seen) => seen === 'GLACIER_IR')
        return putObject.apply(backend, given)
      },
    })
  for (const [Key, at] of [
    ['plain', 1],
    ['parts', 2],
  ] as const) {
    moveBefore(Key)
    await grow(Key, at)
    t.equal(await classOf(Bucket, Key), 'GLACIER_IR')
    t.ok(Buffer.concat(pieces.slice(0, at + 1)).equals(await read(Bucket, Key)))
  }
  const left = await backend.listContainer('AUTH_test', `${Bucket}+segments`, { limit: 10 })
  t.match(left?.info.stats, { bytes: 0 }, 'no part stays behind')
  for (const Key of ['plain', 'parts']) await s3.send(new DeleteObjectCommand({ Bucket, Key }))
  const parts = (await (await swift('GET', `/${Bucket}+segments?format=json`)).json()) as ListRow[]
  t.ok(parts.length > 3)
  for (const { name } of parts) {
    const part = await swift('HEAD', `/${Bucket}+segments/${encodeURIComponent(name)}`)
    t.ok(part.headers.has('x-delete-at'), 'all go in the end')
  }
  t.equal((await bytesOf(Bucket)).length, 0)
})

t.test('versions are moved where they are, and stay what they are', async (t) => {
  const Bucket = await bucket('moved-versions')
  await s3.send(
    new PutObjectCommand({ Bucket, Key: 'k', Body: 'null', StorageClass: 'GLACIER_IR' }),
  )
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  const put = async (Body: string) =>
    (await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body }))).VersionId!
  const [one, two] = [await put('one'), await put('two')]
  t.equal(String(await read(Bucket, 'k', { VersionId: 'null' })), 'null')
  t.equal(await classOf(Bucket, 'k', { VersionId: 'null' }), 'GLACIER_IR', 'kept with its class')
  await setRules(rig, Bucket, {
    NoncurrentVersionTransitions: [{ NoncurrentDays: 1, StorageClass: 'GLACIER_IR' }],
    Transitions: [{ Days: 1, StorageClass: 'DEEP_ARCHIVE' }],
  })
  const listed = async () => {
    const { Versions } = await s3.send(new ListObjectVersionsCommand({ Bucket }))
    return Versions!.map(({ VersionId, StorageClass }) => `${VersionId} ${StorageClass}`).join()
  }
  const wanted = `${two} DEEP_ARCHIVE,${one} GLACIER_IR,null GLACIER_IR`
  await until(t, 'each by its rule', listed, (seen) => seen === wanted)
  t.equal((await bytesOf(`\0versions\0${Bucket}`)).length, 3)
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }))
  t.match(
    Contents,
    [{ Key: 'k', Size: 3, StorageClass: 'DEEP_ARCHIVE' }],
    'the name says so as well',
  )
  t.equal(String(await read(Bucket, 'k')), 'two')
  t.equal(String(await read(Bucket, 'k', { VersionId: one })), 'one')
  t.equal(await (await swift('GET', `/${Bucket}/k?version-id=${one}`)).text(), 'one')
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k', VersionId: two }))
  t.equal(String(await read(Bucket, 'k')), 'one', 'the one before is current again')
  await until(
    t,
    'its bytes are let go',
    () => bytesOf(`\0versions\0${Bucket}`),
    (rows) => rows.length === 2,
  )
  t.equal((await bytesOf(Bucket)).length, 0)
})

t.test('enciphered objects are moved as they lie, at rest and by their clients', async (t) => {
  const other = await openS3Rig(t, { s3: s3Options, encryption: roots })
  const Bucket = 'sealed'
  await other.s3.send(new CreateBucketCommand({ Bucket }))
  const key = Buffer.alloc(32, 'k')
  const customer = {
    SSECustomerAlgorithm: 'AES256',
    SSECustomerKey: key.toString('base64'),
    SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
  }
  const Body = patterned(200_000, 4)
  const objects = { plain: {}, store: { ServerSideEncryption: 'AES256' }, customer } as const
  for (const [Key, more] of Object.entries(objects)) {
    await other.s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
    const StorageClass = 'GLACIER_IR'
    const cold = { Bucket, Key: `cold-${Key}`, Body, StorageClass, ...more } as const
    await other.s3.send(new PutObjectCommand(cold))
  }
  const upload = await multipart(other, Bucket, 'parts', { customer })
  await other.s3.send(new CompleteMultipartUploadCommand(upload))
  await setRules(other, Bucket, { Transitions: [{ Days: 0, StorageClass: 'DEEP_ARCHIVE' }] })
  const classes = async () => {
    const { Contents } = await other.s3.send(new ListObjectsV2Command({ Bucket }))
    return new Set(Contents!.map(({ StorageClass }) => String(StorageClass)))
  }
  await until(t, 'all are moved', classes, (seen) => [...seen].join() === 'DEEP_ARCHIVE')
  for (const [Key, more] of Object.entries(objects)) {
    for (const name of [Key, `cold-${Key}`]) {
      const wanted = 'SSECustomerKey' in more ? more : {}
      const got = await other.s3.send(new GetObjectCommand({ Bucket, Key: name, ...wanted }))
      t.ok(Body.equals(await got.Body!.transformToByteArray()), name)
    }
  }
  const got = await other.s3.send(new GetObjectCommand({ Bucket, Key: 'parts', ...customer }))
  t.ok(WHOLE.equals(await got.Body!.transformToByteArray()))
  t.ok((await bytesOf(Bucket, other.store.context.backend)).length >= 6)
})

t.test('bytes are let go where the container has to be asked for first', async (t) => {
  const Bucket = await bucket('forgotten')
  const unknown = classBackend({
    ...store.context,
    classes: CLASSES,
    noteContainer: async () => {},
    backend: {
      ...backend,
      cachedContainer: async (account, container) => backend.cachedContainer(account, container),
    },
  })
  const at = (object: string): ObjectPath => {
    return { account: 'AUTH_test', container: Bucket, object, policy: 0 }
  }
  for (const Key of ['put', 'streamed', 'deleted']) {
    const StorageClass = 'GLACIER_IR'
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key, StorageClass }))
  }
  t.equal((await bytesOf(Bucket)).length, 3)
  const meta = { etag: '', headers: {} }
  await unknown.putObject(at('put'), { meta, body: Buffer.from('new') })
  t.equal((await bytesOf(Bucket)).length, 2)
  const writer = await unknown.openObject(at('streamed'))
  await writer.write(Buffer.from('new'))
  await writer.commit(meta)
  t.equal((await bytesOf(Bucket)).length, 1)
  await unknown.deleteObject(at('deleted'))
  t.equal((await bytesOf(Bucket)).length, 0)
})

t.test('what was written since it was judged is not moved', async (t) => {
  const Bucket = await bucket('judged')
  const put = (Body: string) => s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body }))
  const classed = classBackend({
    ...store.context,
    classes: CLASSES,
    noteContainer: async () => {},
  })
  const place: ObjectPath = { account: 'AUTH_test', container: Bucket, object: 'k', policy: 0 }
  const call = {
    exchange: { proxy: { ...store.context, backend: classed } },
    settings: { storageClasses: CLASSES },
  } as unknown as S3Call
  const judged = async () => ({
    place,
    info: (await classed.readObject(place, { head: true }))!.info,
  })
  await put('judged')
  const record = await judged()
  await put('written since')
  for (const storageClass of ['GLACIER_IR', 'SAME']) {
    t.equal(await moveObject(call, { record, storageClass }), false, storageClass)
  }
  const tagged = await judged()
  await swift('POST', `/${Bucket}/k`, { headers: { 'x-object-meta-a': 'b' } })
  t.equal(await moveObject(call, { record: tagged, storageClass: 'GLACIER_IR' }), false)
  t.equal(String(await read(Bucket, 'k')), 'written since')
  t.equal(await classOf(Bucket, 'k'), undefined)
  t.equal((await bytesOf(Bucket)).length, 0, 'and nothing is left of the try')
  t.equal(await moveObject(call, { record: await judged(), storageClass: 'GLACIER_IR' }), true)
  t.equal(String(await read(Bucket, 'k')), 'written since')
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }))
  t.match(head, { StorageClass: 'GLACIER_IR', Metadata: { a: 'b' } })
})

t.test('bytes that no record names are found, and no others', async (t) => {
  const Bucket = await bucket('orphans')
  const StorageClass = 'GLACIER_IR'
  const put = (Key: string) =>
    s3.send(new PutObjectCommand({ Bucket, Key, Body: Key, StorageClass }))
  await put('kept')
  const clock = new MovedClock()
  const policies = new Policies([
    { index: 0, name: 'gold', default: true },
    { index: 1, name: 'silver', default: false },
  ])
  const context = { ...store.context, clock, policies }
  const finder = new OrphanBytes(context, new Registry())
  const path: ObjectPath = { account: 'AUTH_test', container: Bucket, object: 'torn', policy: 0 }
  // The record's write fails without saying whether it was made: as if the process had ended there.
  const torn = classBackend({
    ...context,
    classes: CLASSES,
    noteContainer: async () => {},
    backend: {
      ...backend,
      putObject(at, given) {
        if (at.container !== Bucket) return backend.putObject(at, given)
        throw new ServiceError('NoQuorum', 'nobody knows', { status: 503 })
      },
    },
  })
  const meta = {
    etag: '',
    contentType: 'x/y',
    headers: { 'x-object-sysmeta-s3-class': StorageClass },
  }
  await t.rejects(torn.putObject(path, { meta, body: Buffer.from('torn') }), { code: 'NoQuorum' })
  // A deletion that nobody has told.
  await put('gone')
  await backend.deleteObject({ ...path, object: 'gone' })
  t.equal((await bytesOf(Bucket)).length, 3)
  await finder.pass()
  t.equal((await bytesOf(Bucket)).length, 3, 'what is young may belong to a write under way')
  clock.move(25 * HOUR_MS)
  await finder.pass()
  t.match(await bytesOf(Bucket), [{ name: /^kept/ }])
  t.equal(String(await read(Bucket, 'kept')), 'kept')
  await swift('DELETE', `/${Bucket}/kept`)
  t.equal((await swift('DELETE', `/${Bucket}`)).status, 204)
  await finder.pass()
  const hidden = await backend.readContainer('AUTH_test', `\0class\x001\0${Bucket}`)
  t.equal(hidden, null, 'with its container all of it goes')
  const left = []
  for await (const { bucket: name } of classBook({ ...context }).due()) left.push(name)
  t.notOk(left.includes(Bucket))
})

t.test(
  'a container of bytes that is taken away under a bucket made again is made anew',
  async (t) => {
    const Bucket = await bucket('made-again')
    const StorageClass = 'GLACIER_IR'
    const hidden = `\0class\x001\0${Bucket}`
    const bodies = { small: Buffer.from('small'), large: patterned(MIB, 2) }
    await s3.send(new PutObjectCommand({ Bucket, Key: 'first', Body: 'x', StorageClass }))
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'first' }))
    const takeAway = async () => {
      for (const { name: object } of (await backend.listContainer('AUTH_test', hidden, {
        limit: 10,
      }))!.entries as readonly ListRow[])
        await backend.deleteObject({ account: 'AUTH_test', container: hidden, object, policy: 1 })
      t.equal((await backend.deleteContainer('AUTH_test', hidden)).status, 'done')
    }
    for (const [Key, Body] of Object.entries(bodies)) {
      await takeAway()
      await s3.send(new PutObjectCommand({ Bucket, Key, Body, StorageClass }))
      t.ok(Body.equals(await read(Bucket, Key)), Key)
      await s3.send(new DeleteObjectCommand({ Bucket, Key }))
    }
    // Of the last seconds this proxy may not know yet.
    const info = (await backend.readContainer('AUTH_test', hidden))!
    const noted: string[] = []
    const late = classBackend({
      ...store.context,
      classes: CLASSES,
      noteContainer: async (_account, container) => void noted.push(container),
      backend: {
        ...backend,
        cachedContainer: (account, container) =>
          container === hidden ? info : backend.cachedContainer(account, container),
      },
    })
    const path: ObjectPath = { account: 'AUTH_test', container: Bucket, object: 'late', policy: 0 }
    const meta = { etag: '', headers: { 'x-object-sysmeta-s3-class': StorageClass } }
    await takeAway()
    t.match(await late.putObject(path, { meta, body: bodies.small }), { status: 'done' })
    t.strictSame(noted, [Bucket], 'and looked through for orphans')
    await takeAway()
    const send = async () => {
      const writer = await late.openObject(path, { storageClass: StorageClass })
      await writer.write(bodies.large)
      return writer.commit(meta)
    }
    await t.rejects(send(), { status: 503, code: 'BytesNotStored' })
    t.match(await send(), { status: 'done' })
    t.ok(bodies.large.equals(await read(Bucket, 'late')))
    await swift('DELETE', `/${Bucket}/late`)
    await takeAway()
    t.equal((await swift('DELETE', `/${Bucket}`)).status, 204)
    await t.rejects(late.putObject(path, { meta, body: bodies.small }), { code: 'NoSuchContainer' })
  },
)
