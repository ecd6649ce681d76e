/** Buckets' access logs over a real socket: who may set them up, what they say, and where they end up. */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  GetBucketLoggingCommand,
  GetObjectAclCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type LoggingEnabled,
  PutBucketLoggingCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import t, { type TAP } from 'tap'
import {
  MAIN,
  OTHER,
  openS3Rig,
  openS3Store,
  presign,
  s3Client,
  send,
  sendSigned,
  type TestKey,
  testCredentials,
} from './s3-store.ts'

const ROLL_MS = 50
/** Nothing waits longer than this for what is to happen, however slow the machine is. */
const WAIT_MS_MAX = 240_000
const OPTIONS = {
  credentials: testCredentials,
  domains: ['s3.localhost'],
  accessLogRollMs: ROLL_MS,
}
const { store, s3, signed } = await openS3Rig(t, { s3: OPTIONS })
const other = s3Client(store.port, OTHER)
t.teardown(() => other.destroy())

const FIELDS = [
  'owner',
  'bucket',
  'time',
  'address',
  'requester',
  'requestId',
  'operation',
  'key',
  'request',
  'status',
  'error',
  'sent',
  'size',
  'total',
  'turnAround',
  'referer',
  'agent',
  'version',
  'hostId',
  'signature',
  'cipher',
  'auth',
  'host',
  'tls',
  'accessPoint',
  'aclRequired',
] as const
type Line = Readonly<Record<(typeof FIELDS)[number], string>>

function readLine(line: string): Line {
  const found = [...line.matchAll(/\[([^\]]*)\]|"([^"]*)"|(\S+)/g)]
  const values = found.map(([, time, text, word]) => time ?? text ?? word ?? '')
  return Object.fromEntries(FIELDS.map((name, at) => [name, values[at] ?? ''])) as Line
}

interface Statement {
  readonly Principal?: unknown
  readonly Action?: unknown
  readonly Resource?: unknown
  readonly Condition?: unknown
  readonly Effect?: string
}

/** Lets the service write below `log/` of the bucket. */
async function letLogIn(bucket: string, ...more: readonly Statement[]): Promise<void> {
  await letLogInAs(MAIN, bucket, more)
}

async function letLogInAs(
  key: TestKey,
  bucket: string,
  more: readonly Statement[] = [],
): Promise<void> {
  const own = {
    Principal: { Service: 'logging.s3.amazonaws.com' },
    Action: 's3:PutObject',
    Resource: `arn:aws:s3:::${bucket}/log/*`,
  }
  const given = more.length === 0 ? [own] : more
  const policy = {
    Version: '2012-10-17',
    Statement: given.map((one) => ({ Effect: 'Allow', ...own, ...one })),
  }
  const path = `/${bucket}?policy`
  await signed({ method: 'PUT', path, key, body: JSON.stringify(policy) })
}

function setLog(
  Bucket: string,
  TargetBucket: string,
  more: Partial<LoggingEnabled> = {},
  client = s3,
): Promise<unknown> {
  const LoggingEnabled = { TargetBucket, TargetPrefix: 'log/', ...more }
  const BucketLoggingStatus = { LoggingEnabled }
  return client.send(new PutBucketLoggingCommand({ Bucket, BucketLoggingStatus }))
}

/** A bucket whose log goes to `NAME-log`. */
async function logged(name: string, more: Partial<LoggingEnabled> = {}): Promise<string> {
  for (const Bucket of [name, `${name}-log`]) await s3.send(new CreateBucketCommand({ Bucket }))
  await letLogIn(`${name}-log`)
  await setLog(name, `${name}-log`, more)
  return name
}

async function logKeys(bucket: string): Promise<readonly string[]> {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: `${bucket}-log` }))
  return Contents.map(({ Key }) => Key!)
}

/** All lines of the log, once there are so many. */
async function logOf(t: Pick<TAP, 'fail'>, name: string, count: number): Promise<readonly Line[]> {
  const endMs = Date.now() + WAIT_MS_MAX
  for (;;) {
    const lines: string[] = []
    for (const Key of await logKeys(name)) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: `${name}-log`, Key }))
      const text = await Body!.transformToString()
      lines.push(...text.trimEnd().split('\n'))
    }
    if (lines.length >= count) return lines.map(readLine)
    if (Date.now() > endMs) {
      t.fail(`${lines.length} of ${count} lines came`)
      return lines.map(readLine)
    }
    await sleep(20)
  }
}

const refused = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'taken',
    (error: Error) => error.name,
  )

t.test('a log’s configuration is set, shown and taken away', async (t) => {
  const Bucket = await logged('configured')
  const shown = async () => {
    const { LoggingEnabled } = await s3.send(new GetBucketLoggingCommand({ Bucket }))
    return LoggingEnabled
  }
  const plain = { TargetBucket: 'configured-log', TargetPrefix: 'log/' }
  t.strictSame(await shown(), { ...plain, TargetObjectKeyFormat: { SimplePrefix: {} } })
  for (const PartitionDateSource of ['EventTime', 'DeliveryTime'] as const) {
    const TargetObjectKeyFormat = { PartitionedPrefix: { PartitionDateSource } }
    await setLog(Bucket, 'configured-log', { TargetObjectKeyFormat })
    t.strictSame(await shown(), { ...plain, TargetObjectKeyFormat })
  }
  const grant = (ID: string) => ({
    Grantee: { ID, DisplayName: ID, Type: 'CanonicalUser' as const },
    Permission: 'READ' as const,
  })
  const TargetGrants = [grant('AUTH_test'), grant('AUTH_test2')]
  await setLog(Bucket, 'configured-log', { TargetGrants })
  t.strictSame((await shown())?.TargetGrants, [grant('AUTH_test2')], 'the owner needs no grant')
  for (const method of ['GET', 'PUT']) {
    const asked = { method, path: '/configured?logging', key: OTHER }
    t.equal((await signed(asked)).code, 'AccessDenied')
  }
  await s3.send(new PutBucketLoggingCommand({ Bucket, BucketLoggingStatus: {} }))
  t.equal(await shown(), undefined)
})

t.test('configurations that are none are refused', async (t) => {
  const Bucket = await logged('misconfigured')
  const target = '<TargetBucket>misconfigured-log</TargetBucket>'
  const prefix = '<TargetPrefix>log/</TargetPrefix>'
  const good = target + prefix
  const grant = (permission: string, grantee = '<ID>AUTH_test2</ID>') =>
    `${good}<TargetGrants><Grant><Grantee>${grantee}</Grantee><Permission>${permission}</Permission></Grant></TargetGrants>`
  const format = (text: string) => `${good}<TargetObjectKeyFormat>${text}</TargetObjectKeyFormat>`
  const cases: readonly (readonly [text: string, code: string])[] = [
    [target, 'MalformedXML'],
    [prefix, 'MalformedXML'],
    [`${good}<Other/>`, 'MalformedXML'],
    [`${target}<TargetPrefix>${'p'.repeat(513)}</TargetPrefix>`, 'InvalidArgument'],
    [`${target}<TargetPrefix>a&#10;b</TargetPrefix>`, 'InvalidArgument'],
    [format(''), 'MalformedXML'],
    [format('<SimplePrefix/><PartitionedPrefix/>'), 'MalformedXML'],
    [
      format(
        '<PartitionedPrefix><PartitionDateSource>kaboom</PartitionDateSource></PartitionedPrefix>',
      ),
      'MalformedXML',
    ],
    [grant('READ_ACP'), 'MalformedXML'],
    [grant('READ', '<ID>nobody</ID>'), 'InvalidArgument'],
    [`${good}<LoggingType>kaboom</LoggingType>`, 'MalformedXML'],
    [`${good}<LoggingType>Journal</LoggingType>`, 'NotImplemented'],
    [`${good}<ObjectRollTime>5</ObjectRollTime>`, 'NotImplemented'],
    [`${good}<LoggingType>Standard</LoggingType>`, ''],
  ]
  for (const [text, code] of cases) {
    const body = `<BucketLoggingStatus><LoggingEnabled>${text}</LoggingEnabled></BucketLoggingStatus>`
    const path = `/${Bucket}?logging`
    t.equal((await signed({ method: 'PUT', path, body })).code, code, text)
  }
  t.equal((await signed({ method: 'POST', path: `/${Bucket}?logging` })).code, 'NotImplemented')
})

t.test('a log goes where its bucket takes it, and nowhere else', async (t) => {
  const bucket = async (Bucket: string) => {
    await s3.send(new CreateBucketCommand({ Bucket }))
    return Bucket
  }
  const [from, to] = [await bucket('taking'), await bucket('taking-log')]
  t.equal(await refused(setLog(from, 'nobodys')), 'NoSuchKey')
  t.equal(await refused(setLog(from, to)), 'AccessDenied', 'without a policy')
  const bad: Readonly<Record<string, readonly Statement[]>> = {
    everybody: [{ Principal: '*' }],
    'all of AWS': [{ Principal: { AWS: '*' } }],
    'another service': [{ Principal: { Service: 'logging.s3.amazonaws.com.evil' } }],
    'another action': [{ Action: 's3:GetObject' }],
    'another prefix': [{ Resource: `arn:aws:s3:::${to}/logs/*` }],
    'another source': [{ Condition: { ArnLike: { 'aws:SourceArn': 'arn:aws:s3:::another' } } }],
    'another account': [{ Condition: { StringEquals: { 'aws:SourceAccount': 'AUTH_test2' } } }],
    'a denial for everybody': [{}, { Effect: 'Deny', Principal: '*' }],
  }
  for (const [name, statements] of Object.entries(bad)) {
    await letLogIn(to, ...statements)
    t.equal(await refused(setLog(from, to)), 'AccessDenied', name)
  }
  const exact = { 'aws:SourceArn': `arn:aws:s3:::${from}` }
  const Condition = {
    ArnLike: exact,
    StringEquals: { 'aws:SourceAccount': 'AUTH_test' },
    Bool: { 'aws:SecureTransport': 'true' },
  }
  await letLogIn(to, { Condition })
  t.equal(await refused(setLog(from, to)), 'taken')
  await bucket('taking-2')
  t.equal(await refused(setLog('taking-2', to)), 'AccessDenied', 'of that bucket alone')
  await other.send(new CreateBucketCommand({ Bucket: 'taking-theirs' }))
  t.equal(await refused(setLog('taking-theirs', to, {}, other)), 'AccessDenied')
  await letLogIn(to, { Condition: { StringLike: { 'aws:SourceAccount': '*' } } })
  t.equal(await refused(setLog('taking-theirs', to, {}, other)), 'taken', 'of another account')
  const TargetGrants = [
    { Grantee: { ID: 'AUTH_test2', Type: 'CanonicalUser' as const }, Permission: 'READ' as const },
  ]
  const granting = setLog('taking-theirs', to, { TargetGrants }, other)
  t.equal(await refused(granting), 'InvalidArgument', 'but not with lists of theirs')
  await signed({ method: 'DELETE', path: `/${to}?policy` })
  const headers = { 'x-amz-acl': 'log-delivery-write' }
  await signed({ method: 'PUT', path: `/${to}?acl`, headers })
  t.equal(await refused(setLog(from, to)), 'taken', 'by its list')
  t.equal(await refused(setLog('taking-theirs', to, {}, other)), 'AccessDenied', 'in the account')
})

t.test('only people of the account set a log, and some buckets take none', async (t) => {
  const Bucket = await logged('owned')
  const policy = { Effect: 'Allow', Principal: '*', Action: 's3:PutBucketLogging' }
  const body = JSON.stringify({ Version: '2012-10-17', Statement: policy })
  t.equal((await signed({ method: 'PUT', path: '/owned?policy', body })).status, 204)
  t.equal(await refused(setLog(Bucket, 'owned-log', {}, other)), 'AccessDenied')
  const off = new PutBucketLoggingCommand({ Bucket, BucketLoggingStatus: {} })
  t.equal(await refused(other.send(off)), 'AccessDenied')
  await letLogIn(Bucket)
  t.equal(await refused(setLog(Bucket, Bucket)), 'InvalidArgument', 'its own')
  await s3.send(new CreateBucketCommand({ Bucket: 'owned-2' }))
  t.equal(await refused(setLog('owned-2', Bucket)), 'InvalidArgument', 'a chain')
  const payer =
    '<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>'
  await signed({ method: 'PUT', path: '/owned-log?requestPayment', body: payer })
  t.equal(await refused(setLog('owned-2', 'owned-log')), 'InvalidArgument', 'requesters pay')
})

t.test('what is done is told, by whom and with what outcome', async (t) => {
  const Bucket = await logged('told')
  const Key = 'a b/ü'
  await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'body' }))
  await s3
    .send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=1-2' }))
    .then(({ Body }) => Body!.transformToString())
  await s3.send(new HeadObjectCommand({ Bucket, Key }))
  await signed({ path: '/told/none', headers: { referer: 'https://e.com/?Signature=topsecret' } })
  await signed({ path: '/told/none', key: null, headers: { 'user-agent': 'a "quoted" agent' } })
  await signed({ path: '/told?versions' })
  const host = `127.0.0.1:${store.port}`
  const path = presign('GET', '/told/none', host, OTHER)
  await send(store.port, { method: 'GET', path, headers: { host } })
  const forged = presign('GET', '/told/none', host)
  await send(store.port, { method: 'GET', path: `${forged}00`, headers: { host } })
  const lines = await logOf(t, Bucket, 7)
  t.equal(lines.length, 7, 'what was not signed well is nobody’s request')
  // Objects of one second come in no order.
  const line = (wanted: Partial<Line>) =>
    lines.find((one) => FIELDS.every((name) => [undefined, one[name]].includes(wanted[name])))
  const of = (operation: string) => line({ operation: `REST.${operation}` })
  const missing = line({ error: 'NoSuchKey' })
  const anonymous = line({ requester: '-' })
  const presigned = line({ auth: 'QueryString' })
  const common = { owner: 'AUTH_test', bucket: 'told', address: '127.0.0.1', error: '-', host }
  t.match(of('PUT.OBJECT'), {
    ...common,
    time: /^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/,
    requester: 'AUTH_test',
    requestId: /^tx/,
    operation: 'REST.PUT.OBJECT',
    key: 'a%20b/%C3%BC',
    request: /^PUT \/told\/a%20b\/%C3%BC\S* HTTP\/1\.1$/,
    status: '200',
    sent: '-',
    size: '4',
    total: /^\d+$/,
    turnAround: /^\d+$/,
    agent: /aws-sdk-js/,
    hostId: /=|\w/,
    signature: 'SigV4',
    auth: 'AuthHeader',
    tls: '-',
  })
  t.match(line({ status: '206' }), {
    ...common,
    operation: 'REST.GET.OBJECT',
    status: '206',
    sent: '2',
    size: '4',
  })
  t.match(of('HEAD.OBJECT'), {
    ...common,
    operation: 'REST.HEAD.OBJECT',
    status: '200',
    sent: '-',
    size: '4',
  })
  t.match(missing, { status: '404', error: 'NoSuchKey', key: 'none', size: '-' })
  t.equal(missing?.referer, 'https://e.com/?Signature=REDACTED')
  t.match(anonymous, { requester: '-', status: '403', error: 'AccessDenied', signature: '-' })
  t.equal(anonymous?.agent, 'a %22quoted%22 agent')
  t.match(of('GET.BUCKETVERSIONS'), {
    operation: 'REST.GET.BUCKETVERSIONS',
    key: '-',
    status: '200',
  })
  t.match(presigned, { requester: 'AUTH_test2', status: '403', auth: 'QueryString' })
  t.match(presigned?.request, /X-Amz-Signature=REDACTED/)
  const signature = /X-Amz-Signature=(\w+)/.exec(path)![1]!
  t.notMatch(presigned?.request, new RegExp(signature))
})

t.test('copies, deletions of many and web sites are told, too', async (t) => {
  await logged('told-source')
  await logged('told-more')
  await s3.send(new PutObjectCommand({ Bucket: 'told-source', Key: 'o', Body: 'body' }))
  const copied = { Bucket: 'told-more', Key: 'copy', CopySource: 'told-source/o' }
  await s3.send(new CopyObjectCommand(copied))
  const Objects = [{ Key: 'copy' }, { Key: 'none' }]
  await s3.send(new DeleteObjectsCommand({ Bucket: 'told-more', Delete: { Objects } }))
  const headers = { host: 'told-more.s3-website.s3.localhost' }
  await send(store.port, { method: 'GET', path: '/', headers })
  const more = await logOf(t, 'told-more', 5)
  t.strictSame(
    more
      .map(({ operation, key, status, error }) => [operation, key, status, error].join(' '))
      .sort(),
    [
      'BATCH.DELETE.OBJECT copy 204 -',
      'BATCH.DELETE.OBJECT none 204 -',
      'REST.COPY.OBJECT copy 200 -',
      'REST.POST.MULTI_OBJECT_DELETE - 200 -',
      'WEBSITE.GET.OBJECT - 404 NoSuchWebsiteConfiguration',
    ],
  )
  const source = await logOf(t, 'told-source', 2)
  const read = source.find(({ operation }) => operation === 'REST.COPY.OBJECT_GET')
  t.match(read, { key: 'o', bucket: 'told-source', status: '200' })
})

t.test('a log’s objects are the bucket owner’s, named and granted as was asked', async (t) => {
  const TargetGrants = [
    { Grantee: { ID: 'AUTH_test2', Type: 'CanonicalUser' as const }, Permission: 'READ' as const },
  ]
  const TargetObjectKeyFormat = {
    PartitionedPrefix: { PartitionDateSource: 'EventTime' as const },
  }
  const Bucket = await logged('named', { TargetGrants, TargetObjectKeyFormat })
  await signed({ path: '/named' })
  await logOf(t, Bucket, 1)
  const [Key] = await logKeys(Bucket)
  const name =
    /^log\/AUTH_test\/us-east-1\/named\/\d{4}\/\d\d\/\d\d\/\d{4}-\d\d-\d\d-00-00-00-[0-9A-F]{16}$/
  t.match(Key, name)
  const at = { Bucket: 'named-log', Key }
  const { Owner, Grants = [] } = await s3.send(new GetObjectAclCommand(at))
  t.equal(Owner?.ID, 'AUTH_test')
  t.strictSame(Grants.map(({ Grantee, Permission }) => `${Grantee?.ID} ${Permission}`).sort(), [
    'AUTH_test FULL_CONTROL',
    'AUTH_test2 READ',
  ])
  t.equal((await other.send(new GetObjectCommand(at))).ContentType, 'text/plain')
})

/** Records that did not get into that bucket, once there are so many. */
async function refusedFor(bucket: string, count: number): Promise<number> {
  const endMs = Date.now() + WAIT_MS_MAX
  for (;;) {
    const told = store.lines.filter(
      (line) => line.event === 'access log refused' && line.bucket === bucket,
    )
    const records = told.reduce((sum, line) => sum + Number(line.records), 0)
    if (records >= count || Date.now() > endMs) return records
    await sleep(20)
  }
}

t.test('what a bucket takes no more is not delivered, and counted', async (t) => {
  const Bucket = await logged('closed')
  await signed({ method: 'DELETE', path: '/closed-log?policy' })
  await signed({ path: '/closed' })
  t.equal(await refusedFor('closed-log', 1), 1)
  t.strictSame(await logKeys(Bucket), [])
  const metrics = await (await fetch(`${store.url}/metrics`)).text()
  t.match(metrics, /swiftlet_s3_access_log_records_total\{outcome="refused"\} [1-9]/)
})

t.test('a bucket that is made anew by others gets nothing', async (t) => {
  const Bucket = await logged('taken')
  await signed({ method: 'DELETE', path: '/taken-log' })
  t.equal((await signed({ method: 'PUT', path: '/taken-log', key: OTHER })).status, 200)
  await letLogInAs(OTHER, 'taken-log')
  await signed({ path: `/${Bucket}` })
  t.equal(await refusedFor('taken-log', 1), 1)
  const theirs = await other.send(new ListObjectsV2Command({ Bucket: 'taken-log' }))
  t.equal(theirs.KeyCount, 0)
})

t.test('what waits when the proxy is stopped is delivered', async (t) => {
  const hour = { s3: { ...OPTIONS, accessLogRollMs: 3_600_000 } }
  const folder = t.testdir()
  const first = await openS3Store(folder, hour)
  const client = s3Client(first.port)
  for (const Bucket of ['kept', 'kept-log']) await client.send(new CreateBucketCommand({ Bucket }))
  const headers = { 'x-amz-acl': 'log-delivery-write' }
  await sendSigned(first.port, { method: 'PUT', path: '/kept-log?acl', headers })
  await setLog('kept', 'kept-log', {}, client)
  await client.send(new PutObjectCommand({ Bucket: 'kept', Key: 'o', Body: 'x' }))
  client.destroy()
  await first.close()
  const second = await openS3Store(folder, hour)
  const again = s3Client(second.port)
  const { Contents = [] } = await again.send(new ListObjectsV2Command({ Bucket: 'kept-log' }))
  again.destroy()
  await second.close()
  t.equal(Contents.length, 1)
})
