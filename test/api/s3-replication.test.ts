/** Replication between two stores in this process, over real sockets. */
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketReplicationCommand,
  DeleteObjectCommand,
  DeleteObjectTaggingCommand,
  GetBucketReplicationCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketReplicationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type ReplicationRule,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { freePort } from '../../bench/store-process.ts'
import { systemClock } from '../../common/clock.ts'
import { ReplicationMarks } from '../../proxy/s3/replication/replication-marks.ts'
import type { ReplicationTarget } from '../../proxy/s3/replication/replication-target.ts'
import type { S3Options } from '../../proxy/s3/s3-options.ts'
import { MAIN, OTHER, openS3Rig, openS3Store, s3Client, testCredentials } from './s3-store.ts'

/** Nothing waits longer than this for what is to happen, however slow the machine is. */
const WAIT_MS_MAX = 240_000
const SECRET = MAIN.secretAccessKey
const MARKER_ROW = { IsLatest: true }

function target(name: string, port: number, more: Partial<ReplicationTarget> = {}) {
  return {
    name,
    endpoint: `http://127.0.0.1:${port}`,
    ...MAIN,
    accounts: ['AUTH_test'],
    isSwiftlet: true,
    isPrivate: true,
    ...more,
  }
}

function options(targets: readonly ReplicationTarget[], more: S3Options = {}) {
  const credentials = testCredentials
  return {
    s3: { credentials, replicationTargets: targets, replicationIntervalMs: 20, ...more },
  }
}

const folder = t.testdir({ here: {}, there: {} })

/** With a folder of its own in the file's. */
function openAt(at: string, ...more: readonly Parameters<typeof openS3Store>[1][]) {
  const testdir = () => `${folder}/${at}`
  return openS3Rig({ testdir, teardown: t.teardown.bind(t) } as typeof t, ...more)
}

/** To a store that is opened by the test that needs it. */
const backPort = await freePort()
const backTarget = target('back', backPort)
const there = await openAt('there')
const { port } = there.store
const here = await openAt(
  'here',
  options(
    [
      target('default', port),
      target('plain', port, { isSwiftlet: false }),
      target('others', port, { accounts: ['AUTH_test2'] }),
      target('few', port, { buckets: ['few'] }),
      backTarget,
    ],
    { lifecycleDayMs: 200 },
  ),
)

async function versioned(s3: S3Client, Bucket: string): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket }))
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  return Bucket
}

type Rule = Partial<ReplicationRule>

function setRules(s3: S3Client, Bucket: string, to: string, ...rules: readonly Rule[]) {
  const Rules = rules.map((rule, at) => ({
    ID: `rule ${at}`,
    Priority: at,
    Status: 'Enabled' as const,
    Filter: { Prefix: '' },
    DeleteMarkerReplication: { Status: 'Enabled' as const },
    Destination: { Bucket: to },
    ...rule,
  }))
  const ReplicationConfiguration = { Role: 'arn:aws:iam::1:role/any', Rules }
  return s3.send(new PutBucketReplicationCommand({ Bucket, ReplicationConfiguration }))
}

/** A bucket of that name in both, the one replicated to the other. */
async function pair(name: string, rules: readonly Rule[] = [{}], to = `arn:aws:s3:::${name}`) {
  await versioned(there.s3, name)
  await versioned(here.s3, name)
  await setRules(here.s3, name, to, ...rules)
  return name
}

async function put(Bucket: string, Key: string, Body: string, more: object = {}) {
  const { VersionId } = await here.s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
  return VersionId!
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const endMs = performance.now() + WAIT_MS_MAX
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > endMs) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function statusOf(s3: S3Client, Bucket: string, Key: string, VersionId?: string) {
  return s3
    .send(new HeadObjectCommand({ Bucket, Key, VersionId }))
    .then(({ ReplicationStatus }) => ReplicationStatus)
}

/** What it comes to. */
function settled(s3: S3Client, Bucket: string, Key: string, VersionId?: string) {
  return until(`${Key} is brought away`, async () => {
    const status = await statusOf(s3, Bucket, Key, VersionId)
    return status === 'PENDING' ? undefined : (status ?? 'none')
  })
}

/** All that has been put is through, once what is put now is. */
async function flush(Bucket: string, prefix = ''): Promise<void> {
  const key = `${prefix}flush-${Math.random()}`
  await put(Bucket, key, 'x')
  await settled(here.s3, Bucket, key)
}

async function versionsOf(s3: S3Client, Bucket: string, Prefix: string) {
  const page = await s3.send(new ListObjectVersionsCommand({ Bucket, Prefix }))
  const rows = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
  return rows.map(({ VersionId }) => VersionId!).sort()
}

async function refusal(sent: Promise<unknown>): Promise<string> {
  return sent.then(
    () => 'none',
    (error: Error) => error.name,
  )
}

t.test('a configuration is read, kept, shown and taken away', async (t) => {
  const { s3 } = here
  const name = 'config'
  const arn = 'arn:aws:s3:::config'
  await s3.send(new CreateBucketCommand({ Bucket: name }))
  t.equal(await refusal(setRules(s3, name, arn, {})), 'InvalidRequest', 'no versions')
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await s3.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration }))
  const get = new GetBucketReplicationCommand({ Bucket: name })
  t.equal(await refusal(s3.send(get)), 'ReplicationConfigurationNotFoundError')
  const Tag = { Key: 'k', Value: 'v' }
  const off = { Status: 'Disabled' } as const
  const on = { Status: 'Enabled' } as const
  const bad: readonly (readonly [name: string, rules: readonly Rule[], to?: string])[] = [
    ['InvalidRequest', [{}], 'arn:swiftlet:replication::nowhere:config'],
    ['InvalidRequest', [{}], 'arn:swiftlet:replication::others:config'],
    ['InvalidRequest', [{}], 'arn:swiftlet:replication::few:config'],
    ['InvalidRequest', [{}], 'http://127.0.0.1/config'],
    ['InvalidRequest', [{ Priority: 7 }, { Priority: 7 }]],
    ['InvalidRequest', [{ ID: 'x' }, { ID: 'x' }]],
    ['InvalidRequest', [{ Priority: undefined }]],
    ['InvalidRequest', [{ Filter: { Tag } }]],
    ['MalformedXML', [{ Status: 'On' as 'Enabled' }]],
    ['NotImplemented', [{}, { Destination: { Bucket: 'arn:aws:s3:::other' } }]],
    ['NotImplemented', [{ Destination: { Bucket: arn, StorageClass: 'GLACIER' } }]],
    ['NotImplemented', [{ SourceSelectionCriteria: { ReplicaModifications: on } }]],
    ['InvalidRequest', [{ SourceSelectionCriteria: { SseKmsEncryptedObjects: on } }]],
  ]
  for (const [code, rules, to = arn] of bad) {
    t.equal(await refusal(setRules(s3, name, to, ...rules)), code, JSON.stringify(rules))
  }
  t.equal(await refusal(setRules(s3Client(here.store.port, OTHER), name, arn, {})), 'AccessDenied')
  const And = { Prefix: 'a/', Tags: [Tag] }
  const rules = [{ Filter: { And }, DeleteMarkerReplication: off }, { Filter: { Prefix: 'b/' } }]
  await setRules(s3, name, arn, ...rules)
  const { ReplicationConfiguration } = await s3.send(get)
  t.match(ReplicationConfiguration, {
    Role: 'arn:aws:iam::1:role/any',
    Rules: [
      { ID: 'rule 0', Priority: 0, Filter: { And }, Destination: { Bucket: arn } },
      { ID: 'rule 1', Priority: 1, Filter: { Prefix: 'b/' }, DeleteMarkerReplication: on },
    ],
  })
  t.notMatch(JSON.stringify(ReplicationConfiguration), SECRET)
  const Status = 'Suspended' as const
  const suspend = { Bucket: name, VersioningConfiguration: { Status } }
  const suspending = s3.send(new PutBucketVersioningCommand(suspend))
  t.equal(await refusal(suspending), 'InvalidBucketState')
  await s3.send(new DeleteBucketReplicationCommand({ Bucket: name }))
  t.equal(await refusal(s3.send(get)), 'ReplicationConfigurationNotFoundError')
  const old = { Prefix: 'x', Filter: undefined, Priority: undefined }
  await setRules(s3, name, arn, { ...old, DeleteMarkerReplication: undefined })
  t.match((await s3.send(get)).ReplicationConfiguration, { Rules: [{ Prefix: 'x' }] })
})

t.test('versions come with their ids, metadata and tags, whichever API wrote them', async (t) => {
  const name = await pair('objects', [{ Filter: { Prefix: 'go/' } }])
  const first = await put(name, 'go/a ü+', 'one', {
    Metadata: { color: 'blue' },
    ContentType: 'text/plain',
    CacheControl: 'no-store',
    Tagging: 'a=1&b=%C3%BC',
  })
  const second = await put(name, 'go/a ü+', 'x'.repeat(200_000), { ChecksumAlgorithm: 'SHA256' })
  await put(name, 'stays', 'here')
  const swift = await here.swift('PUT', `/${name}/go/swift`, {
    body: 'by swift',
    headers: { 'x-object-meta-color': 'red' },
  })
  t.equal(swift.status, 201)
  for (const id of [first, second]) {
    t.equal(await settled(here.s3, name, 'go/a ü+', id), 'COMPLETED')
    t.equal(await statusOf(there.s3, name, 'go/a ü+', id), 'REPLICA')
  }
  t.equal(await settled(here.s3, name, 'go/swift'), 'COMPLETED')
  const of = { Bucket: name, Key: 'go/a ü+', VersionId: first }
  const copy = await there.s3.send(new GetObjectCommand({ ...of, ChecksumMode: 'ENABLED' }))
  t.equal(await copy.Body!.transformToString(), 'one')
  t.match(copy, {
    Metadata: { color: 'blue' },
    ContentType: 'text/plain',
    CacheControl: 'no-store',
  })
  const tags = (await there.s3.send(new GetObjectTaggingCommand(of))).TagSet
  t.match(tags, [
    { Key: 'a', Value: '1' },
    { Key: 'b', Value: 'ü' },
  ])
  const current = { Bucket: name, Key: 'go/a ü+', ChecksumMode: 'ENABLED' as const }
  const newest = await there.s3.send(new GetObjectCommand(current))
  t.equal((await newest.Body!.transformToByteArray()).length, 200_000)
  t.match(newest, { VersionId: second })
  t.type(newest.ChecksumSHA256, 'string')
  const bySwift = await there.swift('GET', `/${name}/go/swift`)
  t.equal(await bySwift.text(), 'by swift')
  t.equal(bySwift.headers.get('x-object-meta-color'), 'red')
  t.equal(await statusOf(here.s3, name, 'stays'), undefined)
  t.same(await versionsOf(there.s3, name, 'stays'), [])
})

t.test('deletions come as markers, and removals of versions stay here', async (t) => {
  const name = await pair('markers')
  const id = await put(name, 'key', 'body')
  await settled(here.s3, name, 'key')
  const of = { Bucket: name, Key: 'key' }
  const { VersionId: marker } = await here.s3.send(new DeleteObjectCommand(of))
  await until('the marker is there', async () =>
    (await versionsOf(there.s3, name, 'key')).length === 2 ? true : undefined,
  )
  t.same(await versionsOf(there.s3, name, 'key'), [id, marker!].sort())
  t.equal(await refusal(there.s3.send(new HeadObjectCommand(of))), 'NotFound')
  await here.s3.send(new DeleteObjectCommand({ ...of, VersionId: id }))
  await here.s3.send(new DeleteObjectCommand({ ...of, VersionId: marker }))
  await flush(name)
  t.same(await versionsOf(there.s3, name, 'key'), [id, marker!].sort())
  t.equal((await versionsOf(here.s3, name, 'key')).length, 0)

  const without = await pair('no-markers', [{ DeleteMarkerReplication: { Status: 'Disabled' } }])
  const kept = await put(without, 'key', 'body')
  await settled(here.s3, without, 'key')
  t.equal((await here.swift('DELETE', `/${without}/key`)).status, 204)
  await flush(without)
  t.same(await versionsOf(there.s3, without, 'key'), [kept])
})

t.test('what lifecycle rules hide stays where it is', async (t) => {
  const name = await pair('hidden')
  const ids = [await put(name, 'key', 'body')]
  await settled(here.s3, name, 'key')
  const Rules = [
    { ID: 'one', Status: 'Enabled', Filter: { Prefix: 'key' }, Expiration: { Days: 1 } },
  ] as const
  const LifecycleConfiguration = { Rules: [...Rules] }
  await here.s3.send(
    new PutBucketLifecycleConfigurationCommand({ Bucket: name, LifecycleConfiguration }),
  )
  const of = { Bucket: name, Key: 'key' }
  await until('it is hidden here', async () =>
    (await refusal(here.s3.send(new HeadObjectCommand(of)))) === 'NotFound' ? true : undefined,
  )
  t.equal((await versionsOf(here.s3, name, 'key')).length, 2)
  await flush(name)
  t.same(await versionsOf(there.s3, name, 'key'), ids)
  const existing = { ExistingObjectReplication: { Status: 'Enabled' as const } }
  await here.s3.send(new DeleteBucketReplicationCommand({ Bucket: name }))
  const later = await put(name, 'zz-later', 'x')
  await setRules(here.s3, name, `arn:aws:s3:::${name}`, existing)
  t.equal(await settled(here.s3, name, 'zz-later', later), 'COMPLETED')
  t.same(await versionsOf(there.s3, name, 'key'), ids, 'nor comes with what was there before')
  t.equal((await there.s3.send(new HeadObjectCommand(of))).VersionId, ids[0])
})

t.test('the rule of the highest priority counts, and tags choose', async (t) => {
  const off = { Status: 'Disabled' } as const
  const chosen = { Filter: { Tag: { Key: 'go', Value: 'yes' } }, DeleteMarkerReplication: off }
  const name = await pair('chosen', [chosen])
  await put(name, 'no', 'x', { Tagging: 'go=no' })
  await put(name, 'yes', 'x', { Tagging: 'go=yes' })
  t.equal(await settled(here.s3, name, 'yes'), 'COMPLETED')
  t.equal(await statusOf(here.s3, name, 'no'), undefined)
  await until('the mark is done with', () => noMarks(name))
  t.same(await versionsOf(there.s3, name, ''), await versionsOf(here.s3, name, 'yes'))
})

function marksOf(rig: typeof here): ReplicationMarks {
  return new ReplicationMarks({ ...rig.store.context, policy: 0 })
}

async function noMarks(bucket: string): Promise<true | undefined> {
  const left = await marksOf(here).names({ account: 'AUTH_test', bucket }, '', 1)
  return left.length === 0 ? true : undefined
}

t.test('tags that change are changed there', async (t) => {
  const name = await pair('tags')
  const of = { Bucket: name, Key: 'key' }
  const VersionId = await put(name, 'key', 'body', { Tagging: 'a=1' })
  await put(name, 'key', 'newer')
  t.equal(await settled(here.s3, name, 'key', VersionId), 'COMPLETED')
  const tagsThere = async () =>
    (await there.s3.send(new GetObjectTaggingCommand({ ...of, VersionId }))).TagSet
  const Tagging = { TagSet: [{ Key: 'b', Value: 'two = @more' }] }
  await here.s3.send(new PutObjectTaggingCommand({ ...of, VersionId, Tagging }))
  await until('the tags are new', async () =>
    (await tagsThere())?.[0]?.Key === 'b' ? true : undefined,
  )
  t.match(await tagsThere(), Tagging.TagSet)
  await here.s3.send(new DeleteObjectTaggingCommand({ ...of, VersionId }))
  await until('the tags are gone', async () =>
    (await tagsThere())?.length === 0 ? true : undefined,
  )
})

t.test('multipart objects come in their parts', async (t) => {
  const name = await pair('parts')
  for (const [Key, ChecksumAlgorithm] of [
    ['default', undefined],
    ['sha', 'SHA256'],
  ] as const) {
    const of = { Bucket: name, Key }
    const begin = new CreateMultipartUploadCommand({ ...of, ChecksumAlgorithm })
    const { UploadId } = await here.s3.send(begin)
    const Parts = []
    for (const PartNumber of [3, 7]) {
      const Body = Buffer.alloc(PartNumber === 3 ? 5 * 1024 * 1024 : 77, `${PartNumber}`)
      const part = { ...of, UploadId, PartNumber, Body, ChecksumAlgorithm }
      const { ETag, ChecksumSHA256 } = await here.s3.send(new UploadPartCommand(part))
      Parts.push({ PartNumber, ETag, ChecksumSHA256 })
    }
    const MultipartUpload = { Parts }
    const end = { ...of, UploadId, MultipartUpload }
    await here.s3.send(new CompleteMultipartUploadCommand(end))
    t.equal(await settled(here.s3, name, Key), 'COMPLETED')
    const head = new HeadObjectCommand({ ...of, ChecksumMode: 'ENABLED' })
    const [source, copy] = [await here.s3.send(head), await there.s3.send(head)]
    const { ETag, VersionId, ChecksumSHA256, ContentLength, ChecksumType } = source
    t.match(copy, { ETag, VersionId, ContentLength, ReplicationStatus: 'REPLICA' })
    t.match([copy.ChecksumSHA256, copy.ChecksumType], [ChecksumSHA256, ChecksumType])
    const read = await there.s3.send(new GetObjectCommand({ ...of, PartNumber: 2 }))
    t.equal(await read.Body!.transformToString(), '7'.repeat(77))
  }
})

t.test('what was there before comes where a rule says so', async (t) => {
  const name = 'existing'
  await versioned(there.s3, name)
  await here.s3.send(new CreateBucketCommand({ Bucket: name }))
  await put(name, 'old', 'from before versions').catch(() => {})
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await here.s3.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration }))
  const ids = [await put(name, 'key', 'one'), await put(name, 'key', 'two')]
  const arn = `arn:aws:s3:::${name}`
  await setRules(here.s3, name, arn, {})
  await flush(name)
  t.equal(await statusOf(here.s3, name, 'key'), undefined)
  const existing = { ExistingObjectReplication: { Status: 'Enabled' as const } }
  await setRules(here.s3, name, arn, existing)
  for (const id of ids) t.equal(await settled(here.s3, name, 'key', id), 'COMPLETED')
  t.same(await versionsOf(there.s3, name, 'key'), ids.sort())
  t.equal(await settled(here.s3, name, 'old'), 'COMPLETED')
  const old = await there.s3.send(new GetObjectCommand({ Bucket: name, Key: 'old' }))
  t.equal(await old.Body!.transformToString(), 'from before versions')
})

t.test("objects of clients' own keys stay", async (t) => {
  const name = await pair('sse-c')
  const SSECustomerKey = Buffer.alloc(32, 7).toString('base64')
  const SSECustomerAlgorithm = 'AES256'
  const key = { SSECustomerKey, SSECustomerAlgorithm }
  await put(name, 'sealed', 'secret', key)
  const head = await here.s3.send(new HeadObjectCommand({ Bucket: name, Key: 'sealed', ...key }))
  t.equal(head.ReplicationStatus, undefined)
  await until('the mark is done with', () => noMarks(name))
  t.same(await versionsOf(there.s3, name, 'sealed'), [])
})

t.test(
  "Swift's copies go, its static large objects are put together, and what points elsewhere stays",
  async (t) => {
    const name = await pair('swift-made')
    await here.swift('PUT', '/segments')
    await here.swift('PUT', '/segments/part1', { body: 'x'.repeat(100_000) })
    await here.swift('PUT', '/segments/part2', { body: 'y' })
    await put(name, 'key', 'body')
    t.equal(await settled(here.s3, name, 'key'), 'COMPLETED')
    const made = [
      ['PUT', 'copy', { 'x-copy-from': `${name}/key` }],
      ['COPY', 'key', { destination: `${name}/copied` }],
      ['PUT', 'dynamic', { 'x-object-manifest': 'segments/part' }],
      ['PUT', 'link', { 'x-symlink-target': 'segments/part2' }],
    ] as const
    for (const [method, key, headers] of made) {
      const { status } = await here.swift(method, `/${name}/${key}`, { headers })
      t.equal(status, 201, key)
    }
    const body = JSON.stringify([{ path: '/segments/part1' }, { path: '/segments/part2' }])
    const put201 = await here.swift('PUT', `/${name}/static?multipart-manifest=put`, { body })
    t.equal(put201.status, 201)
    for (const key of ['copy', 'copied', 'static']) {
      t.equal(await settled(here.s3, name, key), 'COMPLETED', key)
      t.same(await versionsOf(there.s3, name, key), await versionsOf(here.s3, name, key))
    }
    const whole = await there.swift('GET', `/${name}/static`)
    t.equal(await whole.text(), `${'x'.repeat(100_000)}y`)
    await until('the marks are done with', () => noMarks(name))
    for (const key of ['dynamic', 'link']) {
      t.equal(await statusOf(here.s3, name, key), undefined)
      t.same(await versionsOf(there.s3, name, key), [])
    }
  },
)

t.test('a store that is no Swiftlet gets versions in their order', async (t) => {
  const name = 'plain'
  await pair(name, [{}], `arn:swiftlet:replication::plain:${name}`)
  const bodies = Array.from({ length: 5 }, (_, at) => `body ${at}`)
  for (const body of bodies) await put(name, 'key', body)
  t.equal(await settled(here.s3, name, 'key'), 'COMPLETED')
  const page = await there.s3.send(new ListObjectVersionsCommand({ Bucket: name }))
  const read = []
  for (const { Key, VersionId } of page.Versions!.reverse()) {
    const got = await there.s3.send(new GetObjectCommand({ Bucket: name, Key, VersionId }))
    read.push(await got.Body!.transformToString())
    t.equal(got.ReplicationStatus, undefined)
  }
  t.same(read, bodies)
})

t.test(
  'a replica takes a right, a signature and an id of today; older ones stay older',
  async (t) => {
    const name = await versioned(there.s3, 'replicas')
    const header = 'x-amz-replication-source-version-id'
    const path = `/${name}/key`
    const id = (offset: number) =>
      `${Math.floor(Date.now() / 1000) + offset}.00000_00000000000000aa`
    const send = (asked: object) => there.signed({ method: 'PUT', path, body: 'x', ...asked })
    const [middle, older, newer] = [id(-100), id(-200), id(-50)]
    t.match(await send({ headers: { [header]: middle }, key: OTHER }), { code: 'AccessDenied' })
    t.match(await send({ unsigned: { [header]: middle } }), { code: 'AccessDenied' })
    t.match(await send({ headers: { [header]: 'no id' } }), { code: 'InvalidArgument' })
    t.match(await send({ headers: { [header]: id(200_000) } }), { code: 'InvalidArgument' })
    t.same(await versionsOf(there.s3, name, ''), [])
    const ask = { body: '', headers: { [header]: middle, 'x-amz-replication-is-here': 'true' } }
    t.match(await send(ask), { status: 404, code: 'NoSuchVersion' })
    t.match(await send({ ...ask, key: OTHER }), { code: 'AccessDenied' })
    t.match(await send({ headers: { [header]: middle } }), { status: 200 })
    t.match(await send(ask), { status: 200 })
    t.match(await send({ headers: { [header]: middle } }), {
      status: 409,
      code: 'OperationAborted',
    })
    const remove = { method: 'DELETE', body: '', headers: { [header]: newer } }
    t.match(await send(remove), { status: 204 })
    t.match(await send({ headers: { [header]: older } }), { status: 200 })
    const of = { Bucket: name, Key: 'key' }
    t.equal(await refusal(there.s3.send(new HeadObjectCommand(of))), 'NotFound', 'still deleted')
    t.same(await versionsOf(there.s3, name, ''), [older, middle, newer])
    const page = await there.s3.send(new ListObjectVersionsCommand({ Bucket: name }))
    t.match(page.DeleteMarkers, [{ VersionId: newer, ...MARKER_ROW }])
    const plain = 'replicas-unversioned'
    await there.s3.send(new CreateBucketCommand({ Bucket: plain }))
    const unversioned = { path: `/${plain}/key`, headers: { [header]: middle } }
    t.match(await send(unversioned), { code: 'InvalidRequest' })
  },
)

t.test('what waits goes on after restarts of either side', async (t) => {
  const folders = [t.testdir({ here: {}, there: {} })].flatMap((at) => [
    `${at}/here`,
    `${at}/there`,
  ])
  let other = await openS3Store(folders[1]!)
  const listenPort = other.port
  const targets = options([target('default', listenPort)])
  let own = await openS3Store(folders[0]!, targets)
  let [s3, far] = [s3Client(own.port), s3Client(other.port)]
  const name = 'restarted'
  await versioned(far, name)
  await versioned(s3, name)
  await setRules(s3, name, `arn:aws:s3:::${name}`, {})
  await other.close()
  const ids: string[] = []
  for (let at = 0; at < 20; at++) {
    const sent = new PutObjectCommand({ Bucket: name, Key: `key ${at}`, Body: `${at}` })
    ids.push((await s3.send(sent)).VersionId!)
  }
  t.equal(await statusOf(s3, name, 'key 3'), 'PENDING')
  await own.close()
  own = await openS3Store(folders[0]!, targets)
  s3 = s3Client(own.port)
  other = await openS3Store(folders[1]!, { listenPort })
  far = s3Client(other.port)
  await settled(s3, name, 'key 0')
  // In the middle.
  await own.close()
  own = await openS3Store(folders[0]!, targets)
  s3 = s3Client(own.port)
  for (let at = 0; at < 20; at++) t.equal(await settled(s3, name, `key ${at}`), 'COMPLETED')
  t.same(await versionsOf(far, name, ''), ids.sort(), 'each once')
  const seen = JSON.stringify(own.lines)
  t.notMatch(seen, `"${SECRET}"`)
  await own.close()
  await other.close()
})

t.test('a change whose maker has died is found', async (t) => {
  let aheadMs = 0
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs }
  const rig = await openS3Rig(t, { clock, ...options([target('default', port)]) })
  const name = await versioned(there.s3, 'orphaned')
  await versioned(rig.s3, name)
  const arn = `arn:aws:s3:::${name}`
  await setRules(rig.s3, name, arn, { Filter: { Prefix: 'not yet' } })
  const of = { account: 'AUTH_test', bucket: name }
  await marksOf(rig).begin(of, { kind: 'version', key: 'key' })
  const sent = new PutObjectCommand({ Bucket: name, Key: 'key', Body: 'written, and not told' })
  const { VersionId } = await rig.s3.send(sent)
  await setRules(rig.s3, name, arn, {})
  t.equal(await statusOf(rig.s3, name, 'key'), 'PENDING')
  aheadMs = 60_000
  t.equal(await settled(rig.s3, name, 'key', VersionId), 'COMPLETED')
  t.same(await versionsOf(there.s3, name, 'key'), [VersionId])
})

t.test('what cannot be brought away fails; the own network is not looked into', async (t) => {
  const closed = { isPrivate: false }
  const targets = [
    target('address', port, closed),
    target('host', port, { ...closed, endpoint: `http://localhost:${port}` }),
    target('default', port),
  ]
  const rig = await openS3Rig(t, options(targets, { replicationGiveUpMs: 0 }))
  const name = await versioned(there.s3, 'guarded')
  for (const [bucket, arn] of [
    ['to-address', `arn:swiftlet:replication::address:${name}`],
    ['to-host', `arn:swiftlet:replication::host:${name}`],
    ['to-nothing', 'arn:aws:s3:::there-is-no-such-bucket'],
  ] as const) {
    await versioned(rig.s3, bucket)
    await setRules(rig.s3, bucket, arn, {})
    await rig.s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'key', Body: 'x' }))
    t.equal(await settled(rig.s3, bucket, 'key'), 'FAILED', bucket)
  }
  t.same(await versionsOf(there.s3, name, ''), [])
  const why = JSON.stringify(rig.store.lines)
  t.match(why, 'is no host of the internet')
})

t.test('two that replicate to each other come to rest', async (t) => {
  const listenPort = backPort
  const rig = await openS3Rig(t, { listenPort, ...options([target('default', here.store.port)]) })
  const name = await versioned(here.s3, 'both')
  await versioned(rig.s3, name)
  const arn = `arn:aws:s3:::${name}`
  await setRules(here.s3, name, `arn:swiftlet:replication::back:${name}`, {})
  await setRules(rig.s3, name, arn, {})
  const ids: string[] = []
  for (const [from, to] of [
    [here, rig],
    [rig, here],
  ] as const) {
    const sent = new PutObjectCommand({ Bucket: name, Key: 'key', Body: 'once' })
    const { VersionId } = await from.s3.send(sent)
    ids.push(VersionId!)
    t.equal(await settled(from.s3, name, 'key', VersionId), 'COMPLETED')
    t.equal(await statusOf(to.s3, name, 'key', VersionId), 'REPLICA')
    t.same(await versionsOf(to.s3, name, ''), await versionsOf(from.s3, name, ''))
  }
  const of = { account: 'AUTH_test', bucket: name }
  for (const one of [here, rig]) {
    await until('nothing waits', async () =>
      (await marksOf(one).names(of, '', 1)).length === 0 ? true : undefined,
    )
    t.same(await versionsOf(one.s3, name, ''), ids.sort())
  }
})
