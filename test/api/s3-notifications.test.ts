/** Notifications of buckets over real sockets: what is told, to whom, and that none is lost. */
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetBucketNotificationConfigurationCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  RenameObjectCommand,
  type S3Client,
  type TopicConfiguration,
} from '@aws-sdk/client-s3'
import t, { type TAP } from 'tap'
import { systemClock } from '../../common/clock.ts'
import type { ListRow } from '../../common/storage-node.ts'
import { type EventRecord, startEventReceiver } from '../support/event-receiver.ts'
import { attributeParams, callSns, makeTopic } from '../support/sns-call.ts'
import {
  GUEST,
  MAIN,
  OTHER,
  openS3Rig,
  openS3Store,
  putInParts,
  s3Client,
  sendSigned,
  testCredentials,
} from './s3-store.ts'

/** Nothing waits longer than this for what is to happen, however slow the machine is. */
const WAIT_MS_MAX = 240_000
const receiver = await startEventReceiver()
t.teardown(() => receiver.close())
const DAY_MS = 200
const settings = {
  credentials: testCredentials,
  lifecycleDayMs: DAY_MS,
  notificationHosts: [receiver.host],
  partBytesMin: 1,
}
const { store, s3, signed, swift } = await openS3Rig(t, { s3: settings })
const hook = `http://${receiver.host}/hook`

async function until(
  t: Pick<TAP, 'pass' | 'fail'>,
  what: string,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX
  for (;;) {
    if (await isSo()) return t.pass(what) as unknown as undefined
    if (performance.now() > endMs) return t.fail(what) as unknown as undefined
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function notifiedBucket(
  name: string,
  rules: readonly (Partial<TopicConfiguration> & { readonly attributes?: object })[],
  client: S3Client = s3,
): Promise<string> {
  const arn = await makeTopic(store.url, MAIN, name, { 'push-endpoint': hook, OpaqueData: name })
  await client.send(new CreateBucketCommand({ Bucket: name }))
  await setRules(name, arn, rules)
  return arn
}

function setRules(
  Bucket: string,
  arn: string,
  rules: readonly Partial<TopicConfiguration>[],
  client: S3Client = s3,
) {
  const TopicConfigurations = rules.map(
    (rule, at): TopicConfiguration => ({
      Id: `rule ${at}`,
      TopicArn: arn,
      Events: ['s3:ObjectCreated:*'],
      ...rule,
    }),
  )
  const NotificationConfiguration = { TopicConfigurations }
  const command = { Bucket, NotificationConfiguration }
  return client.send(new PutBucketNotificationConfigurationCommand(command))
}

function toldOf(bucket: string): readonly EventRecord[] {
  return receiver.records.filter((record) => record.s3.bucket.name === bucket)
}

function names(bucket: string): readonly string[] {
  return toldOf(bucket).map(({ eventName, s3 }) => `${eventName} ${s3.object.key}`)
}

const ALL: TopicConfiguration['Events'] = [
  's3:ObjectCreated:*',
  's3:ObjectRemoved:*',
  's3:ObjectTagging:*',
  's3:ObjectAcl:Put',
  's3:LifecycleExpiration:*',
]

t.test('all changes are told, whichever API makes them', async (t) => {
  const Bucket = 'changes'
  await notifiedBucket(Bucket, [{ Events: ALL }])
  const { ETag } = await s3.send(new PutObjectCommand({ Bucket, Key: 'put me ü', Body: 'body' }))
  await s3.send(
    new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: encodeURI(`${Bucket}/put me ü`) }),
  )
  await putInParts(s3, { Bucket, Key: 'parts' }, ['part'])
  const tagged = { Bucket, Key: 'copy' }
  const Tagging = { TagSet: [{ Key: 'a', Value: 'b' }] }
  await s3.send(new PutObjectTaggingCommand({ ...tagged, Tagging }))
  await s3.send(new DeleteObjectTaggingCommand(tagged))
  await s3.send(new PutObjectAclCommand({ ...tagged, ACL: 'public-read' }))
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'put me ü' }))
  await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'parts' }] } }))
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'never there' }))
  await swift('PUT', `/${Bucket}/swift/name`, { body: 'swift' })
  await swift('COPY', `/${Bucket}/swift/name`, { headers: { destination: `${Bucket}/twice` } })
  await swift('PUT', `/${Bucket}/thrice`, { headers: { 'x-copy-from': `${Bucket}/twice` } })
  await swift('DELETE', `/${Bucket}/thrice`)
  const expected = [
    'ObjectCreated:Put put+me+%C3%BC',
    'ObjectCreated:Copy copy',
    'ObjectCreated:CompleteMultipartUpload parts',
    'ObjectTagging:Put copy',
    'ObjectTagging:Delete copy',
    'ObjectAcl:Put copy',
    'ObjectRemoved:Delete put+me+%C3%BC',
    'ObjectRemoved:Delete parts',
    'ObjectCreated:Put swift/name',
    'ObjectCreated:Copy twice',
    'ObjectCreated:Copy thrice',
    'ObjectRemoved:Delete thrice',
  ]
  await until(t, 'all of them came', () => names(Bucket).length >= expected.length)
  t.strictSame([...names(Bucket)].sort(), [...expected].sort())
  const [put] = toldOf(Bucket).filter(({ s3 }) => s3.object.key === 'put+me+%C3%BC')
  t.match(put, {
    eventVersion: '2.2',
    awsRegion: 'us-east-1',
    opaqueData: Bucket,
    userIdentity: { principalId: 'test:tester' },
    requestParameters: { sourceIPAddress: '127.0.0.1' },
    s3: {
      configurationId: 'rule 0',
      bucket: { arn: 'arn:aws:s3:::changes' },
      object: { size: 4, eTag: ETag!.replaceAll('"', '') },
    },
  })
  const parts = toldOf(Bucket).find(({ s3 }) => s3.object.key === 'parts')!
  t.match(parts.s3.object, { size: 4, eTag: /^[0-9a-f]{32}-1$/ }, 'as the whole object is')
  const ofCopy = toldOf(Bucket).filter(({ s3 }) => s3.object.key === 'copy')
  const sequence = [...ofCopy].sort((a, b) =>
    a.s3.object.sequencer < b.s3.object.sequencer ? -1 : 1,
  )
  t.strictSame(
    sequence.map(({ eventName }) => eventName),
    ['ObjectCreated:Copy', 'ObjectTagging:Put', 'ObjectTagging:Delete', 'ObjectAcl:Put'],
    'sequencers say what came after what',
  )
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(receiver.requests.every(({ headers }) => headers['content-type'] === 'application/json'))
})

t.test('versions, delete markers and lifecycle rules are told of by their names', async (t) => {
  const Bucket = 'versions'
  await notifiedBucket(Bucket, [{ Events: ALL }])
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  const { VersionId } = await s3.send(new PutObjectCommand({ Bucket, Key: 'a', Body: '1' }))
  const marker = await s3.send(new DeleteObjectCommand({ Bucket, Key: 'a' }))
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'a', VersionId }))
  await until(t, 'all of them came', () => names(Bucket).length >= 3)
  const told = toldOf(Bucket).map(
    ({ eventName, s3 }) => `${eventName} ${s3.object.key} ${s3.object.versionId}`,
  )
  t.strictSame(
    [...told].sort(),
    [
      `ObjectCreated:Put a ${VersionId}`,
      `ObjectRemoved:Delete a ${VersionId}`,
      `ObjectRemoved:DeleteMarkerCreated a ${marker.VersionId}`,
    ].sort(),
  )
  await s3.send(new PutObjectCommand({ Bucket, Key: 'old/a', Body: '1' }))
  const Rules = [
    { ID: 'x', Status: 'Enabled', Filter: { Prefix: 'old/' }, Expiration: { Days: 1 } } as const,
  ]
  const LifecycleConfiguration = { Rules }
  await s3.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration }))
  const expired = 'LifecycleExpiration:DeleteMarkerCreated old/a'
  await until(t, 'what went by a rule is told', () => names(Bucket).includes(expired))
})

t.test('filters say which events are told', async (t) => {
  const Bucket = 'filters'
  const FilterRules = [
    { Name: 'prefix', Value: 'in/' },
    { Name: 'suffix', Value: '.jpg' },
  ] as const
  const arn = await notifiedBucket(Bucket, [{ Filter: { Key: { FilterRules: [...FilterRules] } } }])
  const read = await s3.send(new GetBucketNotificationConfigurationCommand({ Bucket }))
  t.match(read.TopicConfigurations, [
    {
      Id: 'rule 0',
      TopicArn: arn,
      Events: ['s3:ObjectCreated:*'],
      Filter: { Key: { FilterRules: [...FilterRules] } },
    },
  ])
  for (const Key of ['in/a.jpg', 'in/a.png', 'out/a.jpg', 'in/b.jpg']) {
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }))
  }
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'in/a.jpg' }))
  await until(t, 'those came', () => names(Bucket).length >= 2)
  const byObject =
    '<NotificationConfiguration><TopicConfiguration><Id>o</Id><Event>s3:ObjectCreated:*</Event>' +
    `<Topic>${arn}</Topic><Filter><S3Metadata><FilterRule><Name>x-amz-meta-color</Name><Value>red` +
    '</Value></FilterRule></S3Metadata><S3Tags><FilterRule><Name>k</Name><Value>v</Value>' +
    '</FilterRule></S3Tags></Filter></TopicConfiguration></NotificationConfiguration>'
  const put = await signed({ method: 'PUT', path: `/${Bucket}?notification`, body: byObject })
  t.equal(put.status, 200)
  const Metadata = { color: 'red' }
  await s3.send(new PutObjectCommand({ Bucket, Key: 'red', Body: 'x', Metadata }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'both', Body: 'x', Metadata, Tagging: 'k=v' }))
  await until(t, 'what has both came', () => names(Bucket).includes('ObjectCreated:Put both'))
  t.notOk(names(Bucket).includes('ObjectCreated:Put red'), 'and not what has one')
  await setRules(Bucket, arn, [])
  await s3.send(new PutObjectCommand({ Bucket, Key: 'quiet', Body: 'x' }))
  const none = await s3.send(new GetBucketNotificationConfigurationCommand({ Bucket }))
  t.equal(none.TopicConfigurations, undefined, 'an empty configuration ends it')
  await setRules(Bucket, arn, [{}])
  await s3.send(new PutObjectCommand({ Bucket, Key: 'loud', Body: 'x' }))
  await until(t, 'and one that is set anew begins', () =>
    names(Bucket).includes('ObjectCreated:Put loud'),
  )
  t.strictSame(
    [...names(Bucket)].sort(),
    ['both', 'in/a.jpg', 'in/b.jpg', 'loud'].map((key) => `ObjectCreated:Put ${key}`),
  )
})

t.test('bad configurations are refused', async (t) => {
  const Bucket = 'bad'
  const arn = await notifiedBucket(Bucket, [{}])
  const config = (inside: string) =>
    `<NotificationConfiguration>${inside}</NotificationConfiguration>`
  const topic = (inside: string, of = arn, event = 's3:ObjectCreated:*') =>
    config(
      `<TopicConfiguration><Topic>${of}</Topic><Event>${event}</Event>${inside}</TopicConfiguration>`,
    )
  const filter = (name: string) =>
    `<Filter><S3Key><FilterRule><Name>${name}</Name><Value>x</Value></FilterRule></S3Key></Filter>`
  const cases: readonly (readonly [string, string])[] = [
    ['not xml', '400 MalformedXML'],
    [config('<Other/>'), '400 MalformedXML'],
    [config('<QueueConfiguration><Queue>q</Queue></QueueConfiguration>'), '501 NotImplemented'],
    [config('<EventBridgeConfiguration/>'), '501 NotImplemented'],
    [topic('', arn, 's3:Nothing'), '400 InvalidArgument'],
    [topic('', `${arn}-not-there`), '400 InvalidArgument'],
    [topic('', 'arn:aws:sqs:us-east-1:a:b'), '400 InvalidArgument'],
    [topic('', arn.replace('AUTH_test', 'AUTH_test2')), '403 AccessDenied'],
    [topic(filter('infix')), '400 InvalidArgument'],
    [config(`<TopicConfiguration><Topic>${arn}</Topic></TopicConfiguration>`), '400 MalformedXML'],
    [topic('<Id>a</Id><Surprise/>'), '400 MalformedXML'],
  ]
  for (const [body, expected] of cases) {
    const answer = await signed({ method: 'PUT', path: `/${Bucket}?notification`, body })
    t.equal(`${answer.status} ${answer.code}`, expected, body.slice(0, 100))
  }
  const stranger = await sendSigned(store.port, { path: `/${Bucket}?notification`, key: OTHER })
  t.equal(`${stranger.status} ${stranger.code}`, '403 AccessDenied')
  const read = await s3.send(new GetBucketNotificationConfigurationCommand({ Bucket }))
  t.equal(read.TopicConfigurations?.length, 1, 'what was set before stays')
})

t.test('topics are made, shown, listed, changed and deleted by whom they belong to', async (t) => {
  const sns = (action: string, params?: Record<string, string>, key = MAIN) =>
    callSns(store.url, key, action, params)
  const secret = `http://user:secret@${receiver.host}/`
  const arn = await makeTopic(store.url, MAIN, 'mine', { 'push-endpoint': secret })
  t.equal(arn, 'arn:aws:sns:us-east-1:AUTH_test:mine')
  const shown = await sns('GetTopicAttributes', { TopicArn: arn })
  t.match(shown.text, /<key>Owner<\/key><value>AUTH_test<\/value>/)
  t.notMatch(shown.text, /secret/, 'a password is not shown')
  t.match((await sns('ListTopics')).text, new RegExp(`<TopicArn>${arn}</TopicArn>`))
  t.notMatch((await sns('ListTopics', {}, OTHER)).text, /mine/)
  for (const key of [OTHER, GUEST]) {
    for (const action of ['GetTopicAttributes', 'SetTopicAttributes', 'DeleteTopic']) {
      const params = { TopicArn: arn, AttributeName: 'Policy', AttributeValue: '' }
      const answer = await sns(action, params, key)
      t.equal(`${answer.status} ${answer.code}`, '403 AuthorizationError', action)
    }
  }
  const set = (AttributeName: string, AttributeValue: string) =>
    sns('SetTopicAttributes', { TopicArn: arn, AttributeName, AttributeValue })
  t.equal((await set('OpaqueData', 'opaque')).status, 200)
  t.match((await sns('GetTopicAttributes', { TopicArn: arn })).text, /opaque/)
  const wrong: readonly (readonly [string, string])[] = [
    ['push-endpoint', 'kafka://broker'],
    ['push-endpoint', 'file:///etc/passwd'],
    ['push-endpoint', 'amqp://127.0.0.1/'],
    ['max_retries', '-1'],
    ['persistent', 'perhaps'],
    ['amqp-ack-level', 'loud'],
    ['Policy', '{"Statement": 1}'],
    ['surprise', 'x'],
  ]
  for (const [name, value] of wrong) {
    t.equal((await set(name, value)).code, 'InvalidParameter', `${name} ${value}`)
  }
  t.equal((await sns('CreateTopic', { Name: 'a b' })).code, 'InvalidParameter')
  t.equal((await sns('Publish', { TopicArn: arn, Message: 'x' })).status, 501)
  t.equal((await sns('Subscribe', { TopicArn: arn })).status, 501)

  const policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Principal: { AWS: 'AUTH_test2' }, Action: 'sns:Publish', Resource: arn },
    ],
  })
  const other = s3Client(store.port, OTHER)
  t.teardown(() => other.destroy())
  await other.send(new CreateBucketCommand({ Bucket: 'of-another' }))
  const theirs = () => setRules('of-another', arn, [{}], other)
  await t.rejects(theirs(), { name: 'AccessDenied' }, 'topics of others are not for everybody')
  t.equal((await set('Policy', policy)).status, 200)
  await theirs()
  t.pass('but for whom their policies let')
  const put = (Key: string) =>
    other.send(new PutObjectCommand({ Bucket: 'of-another', Key, Body: 'x' }))
  const told = ['ObjectCreated:Put let', 'ObjectCreated:Put let+again']
  await put('let')
  await until(t, 'told, as long as they do', () => names('of-another').includes(told[0]!))
  const dropped = async () => {
    const metrics = await (await fetch(`${store.url}/metrics`)).text()
    return Number(
      /^swiftlet_notifications_total\{fate="dropped-denied"\} (\d+)$/m.exec(metrics)?.[1],
    )
  }
  const policies = ['', policy.replace('"Allow"', '"Deny"'), policy.replace('test2', 'elsewhere')]
  for (const [at, changed] of policies.entries()) {
    t.equal((await set('Policy', changed)).status, 200)
    await put(`kept back ${at}`)
    await until(t, 'and no longer', async () => (await dropped()) === at + 1)
  }
  t.equal((await set('Policy', policy)).status, 200)
  await put('let again')
  await until(t, 'and again', () => names('of-another').includes(told[1]!))
  t.strictSame([...new Set(names('of-another'))], told)
  t.equal((await sns('DeleteTopic', { TopicArn: arn })).status, 200)
  t.equal((await sns('DeleteTopic', { TopicArn: arn })).status, 200, 'twice is once')
  t.equal((await sns('GetTopicAttributes', { TopicArn: arn })).code, 'NotFound')
  await other.send(new PutObjectCommand({ Bucket: 'of-another', Key: 'a', Body: 'x' }))
  t.pass('a bucket that tells nobody any more is written to all the same')
})

t.test('what leads into the own network is not called', async (t) => {
  const inside = await startEventReceiver()
  t.teardown(() => inside.close())
  const make = (endpoint: string) =>
    callSns(store.url, MAIN, 'CreateTopic', {
      Name: 'inside',
      ...attributeParams({ 'push-endpoint': endpoint, 'amqp-exchange': 'x' }),
    })
  for (const host of [
    inside.host,
    `127.1:${inside.port}`,
    `0x7f000001:${inside.port}`,
    `[::1]:${inside.port}`,
    `[::ffff:127.0.0.1]:${inside.port}`,
    '169.254.169.254',
    '10.0.0.1',
    '192.168.1.1',
  ]) {
    t.equal((await make(`http://${host}/`)).code, 'InvalidParameter', host)
    t.equal((await make(`amqp://${host}/`)).code, 'InvalidParameter', `amqp ${host}`)
  }
  // A name says nothing: what it leads to is judged when the connection is made.
  for (const endpoint of [`http://localhost:${inside.port}/`, `amqp://localhost:${inside.port}/`]) {
    t.equal((await make(endpoint)).status, 200, endpoint)
    const arn = 'arn:aws:sns:us-east-1:AUTH_test:inside'
    const Bucket = `inside-${new URL(endpoint).protocol.slice(0, -1)}`
    await s3.send(new CreateBucketCommand({ Bucket }))
    await setRules(Bucket, arn, [{}])
    const refusals = () =>
      store.lines.filter(
        (line) =>
          line.event === 'event not taken' &&
          JSON.stringify(line).includes('no host of the internet'),
      ).length
    const before = refusals()
    await s3.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'x' }))
    await until(t, 'it was tried, and refused', () => refusals() > before)
  }
  t.equal(inside.requests.length, 0, 'nobody was called')
})

t.test('what a receiver does not take is told again, until it does', async (t) => {
  const Bucket = 'again'
  await notifiedBucket(Bucket, [{}])
  await makeTopic(store.url, MAIN, Bucket, { retry_sleep_duration: '0' })
  receiver.answer = 302
  t.teardown(() => {
    receiver.answer = 200
  })
  const seen = receiver.requests.length
  for (const Key of ['a', 'b']) await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }))
  await until(t, 'it is tried again', () => receiver.requests.length >= seen + 6)
  t.notOk(
    receiver.requests.some(({ url }) => url === '/elsewhere'),
    'redirections are not followed',
  )
  receiver.answer = 500
  const failing = receiver.requests.length
  await until(t, 'and again', () => receiver.requests.length >= failing + 4)
  receiver.answer = 204
  await until(t, 'and is taken', () => names(Bucket).length >= 2)
  t.strictSame([...names(Bucket)].sort(), ['ObjectCreated:Put a', 'ObjectCreated:Put b'])

  await makeTopic(store.url, MAIN, Bucket, { max_retries: '2' })
  receiver.answer = 500
  const before = receiver.requests.length
  await s3.send(new PutObjectCommand({ Bucket, Key: 'c', Body: 'x' }))
  const dropped = () =>
    store.lines.some((line) => line.why === 'dropped-too-many-tries' && line.name === Bucket)
  await until(t, 'what was tried often enough is dropped, and that is said', dropped)
  t.equal(receiver.requests.length - before, 3, 'after one try and two more')
})

/** A store in its own folder, which may be closed and opened again. */
function reopened(folder: string, options: Parameters<typeof openS3Store>[1] = {}) {
  return openS3Store(folder, { s3: settings, ...options })
}

t.test('what was not told when a store ended is told when it is there again', async (t) => {
  const folder = t.testdir()
  const Bucket = 'restarted'
  const target = await startEventReceiver()
  target.close()
  const s3Options = { ...settings, notificationHosts: ['127.0.0.1'] }
  const first = await reopened(folder, { s3: s3Options })
  const client = s3Client(first.port)
  const endpoint = `http://${target.host}/`
  const attributes = { 'push-endpoint': endpoint, retry_sleep_duration: '1' }
  const arn = await makeTopic(first.url, MAIN, Bucket, attributes)
  await client.send(new CreateBucketCommand({ Bucket }))
  await setRules(Bucket, arn, [{ Events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:*'] }], client)
  await client.send(new PutObjectCommand({ Bucket, Key: 'told late', Body: 'x' }))
  await client.send(new PutObjectCommand({ Bucket, Key: 'gone', Body: 'x' }))
  // From here on nobody can say what came of a change: as if the proxy died between the change and its word.
  const { backend } = first.context
  const { putObject } = backend
  const noted: string[] = []
  backend.putObject = (path, put) => {
    const isReady = put.meta.contentType === 'application/x-event;ready'
    if (isReady) {
      noted.push(path.object)
      return Promise.reject(new Error('the proxy has died'))
    }
    return putObject(path, put)
  }
  await client.send(new PutObjectCommand({ Bucket, Key: 'written', Body: 'body' }))
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'gone' }))
  t.equal(noted.length, 2, 'both changes were acknowledged, without a word of them')
  const failed = client.send(new PutObjectCommand({ Bucket, Key: 'no', Body: 'x', IfMatch: '"x"' }))
  await t.rejects(failed, 'and one was refused')
  client.destroy()
  await first.close()

  const again = await startEventReceiver(target.port)
  t.teardown(() => again.close())
  const later = { ...systemClock, nowMs: () => systemClock.nowMs() + 60_000 }
  const second = await reopened(folder, { s3: s3Options, clock: later })
  t.teardown(() => second.close())
  const told = () => again.records.map(({ eventName, s3 }) => `${eventName} ${s3.object.key}`)
  const expected = [
    'ObjectCreated:Put told+late',
    'ObjectCreated:Put gone',
    'ObjectCreated:Put written',
    'ObjectRemoved:Delete gone',
  ]
  await until(t, 'all of them came', () => expected.every((one) => told().includes(one)))
  t.strictSame([...new Set(told())].sort(), [...expected].sort(), 'and nothing else')
  const written = again.records.find(({ s3 }) => s3.object.key === 'written')
  t.equal(written?.s3.object.size, 4, 'told as the object is')
})

t.test('where a queue is full, changes that would have to be told are refused', async (t) => {
  const Bucket = 'full'
  const broken = await startEventReceiver()
  t.teardown(() => broken.close())
  broken.answer = 500
  const s3Options = { ...settings, notificationHosts: [broken.host], notificationEventsMax: 2 }
  const small = await reopened(t.testdir(), { s3: s3Options })
  const client = s3Client(small.port)
  t.teardown(async () => {
    client.destroy()
    await small.close()
  })
  const attributes = { 'push-endpoint': `http://${broken.host}/`, retry_sleep_duration: '1' }
  const arn = await makeTopic(small.url, MAIN, Bucket, attributes)
  await client.send(new CreateBucketCommand({ Bucket }))
  await setRules(
    Bucket,
    arn,
    [{ Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: 'a' }] } } }],
    client,
  )
  const segments = async (which: 'all' | 'kept' = 'all') => {
    const names = []
    const container = `${Bucket}+segments`
    const page = await small.context.backend.listContainer('AUTH_test', container, { limit: 1000 })
    for (const row of (page?.entries ?? []) as readonly ListRow[]) {
      const place = { account: 'AUTH_test', container, object: row.name, policy: 0 }
      const read = await small.context.backend.readObject(place, { head: true })
      if (which === 'all' || read?.info.meta.headers['x-delete-at'] === undefined)
        names.push(row.name)
    }
    return names
  }
  await putInParts(client, { Bucket, Key: 'b parts' }, ['part', 'another'])
  const old = 'z'.repeat(100_000)
  const appended = { Bucket, Key: 'a log', Body: ' more', WriteOffsetBytes: old.length }
  await client.send(new PutObjectCommand({ Bucket, Key: 'a log', Body: old }))
  const renamed = { Bucket, Key: 'a parts', RenameSource: 'b%20parts' }
  let code = ''
  await until(t, 'the queue fills, as its count is known', async () => {
    const put = client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'x' }))
    code = await put.then(
      () => '',
      (error: Error) => error.name,
    )
    return code !== ''
  })
  t.equal(code, 'ServiceUnavailable')
  await client.send(new PutObjectCommand({ Bucket, Key: 'b', Body: 'x' }))
  t.pass('what nobody wants to be told of is written')
  const before = await segments()
  const refusal = { name: 'ServiceUnavailable' }
  await t.rejects(client.send(new PutObjectCommand(appended)), refusal)
  await t.rejects(client.send(new RenameObjectCommand(renamed)), refusal)
  t.strictSame(await segments(), before, 'no part is left of a refused append')
  await client.send(new RenameObjectCommand({ ...renamed, Key: 'b moved' }))
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'b moved' }))
  t.strictSame(
    await segments('kept'),
    [],
    'and no mark of a refused renaming: its parts were its own',
  )
  broken.answer = 200
  await until(t, 'and when they were told, all is', async () =>
    client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'x' })).then(
      () => true,
      () => false,
    ),
  )
})
