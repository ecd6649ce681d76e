/**
 * What comes in by the door that both APIs share: whole URLs as targets, methods that there are not, bodies that nobody wants,
 * and the three headers of Swift's own that S3 lets through.
 */
import { createHmac } from 'node:crypto'
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { rawExchange, statusesIn } from './http-client.ts'
import {
  MAIN,
  OTHER,
  openS3Rig,
  presign,
  type RawAnswer,
  type SignedRequest,
  send,
  signV4,
} from './s3-store.ts'

const { store, s3, signed, swift, token } = await openS3Rig(t)
const { port } = store
const HOST = `127.0.0.1:${port}`
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

async function bucket(name: string): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket: name }))
  return name
}

/** The head of a request that is signed for `host` and `path`, and says `target` and `hostSent`. */
function signedHead(asked: {
  readonly method: string
  readonly target: string
  readonly path: string
  readonly host: string
  readonly hostSent: string
}): string {
  const { method, target, path, host, hostSent } = asked
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const headers = { host, 'x-amz-date': timestamp, 'x-amz-content-sha256': EMPTY_SHA256 }
  const of = { method, path, headers, payloadHash: EMPTY_SHA256, timestamp, key: MAIN }
  return [
    `${method} ${target} HTTP/1.1`,
    `Host: ${hostSent}`,
    `x-amz-date: ${timestamp}`,
    `x-amz-content-sha256: ${EMPTY_SHA256}`,
    `Authorization: ${signV4(of)}`,
    'Content-Length: 0',
    'Connection: close',
    '\r\n',
  ].join('\r\n')
}

/** Signs with Version 2, which does not look at plain headers. */
function sendV2(asked: {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly isPresigned?: boolean
}): Promise<RawAnswer> {
  const { method, path, headers, isPresigned = false } = asked
  const { accessKeyId, secretAccessKey } = MAIN
  const date = isPresigned ? String(Math.floor(Date.now() / 1000) + 300) : new Date().toUTCString()
  const text = `${method}\n\n\n${date}\n${path}`
  const signature = createHmac('sha1', secretAccessKey).update(text).digest('base64')
  if (!isPresigned) {
    const authorization = `AWS ${accessKeyId}:${signature}`
    const all = { ...headers, date, authorization, 'content-length': '0' }
    return send(port, { method, path, headers: all })
  }
  const query = new URLSearchParams({
    AWSAccessKeyId: accessKeyId,
    Signature: signature,
    Expires: date,
  })
  const all = { ...headers, 'content-length': '0' }
  return send(port, { method, path: `${path}?${query}`, headers: all })
}

t.test('a whole URL as the target: its host counts, in signatures, too', async (t) => {
  await bucket('absolute')
  await signed({ method: 'PUT', path: '/absolute/k', body: 'hello' })
  const get = { method: 'GET', path: '/absolute/k', host: HOST, hostSent: HOST }
  const cases: readonly (readonly [string, string, number])[] = [
    ['S3, signed', signedHead({ ...get, target: `http://${HOST}/absolute/k` }), 200],
    [
      'whatever Host says',
      signedHead({ ...get, target: `http://${HOST}/absolute/k`, hostSent: 'x' }),
      200,
    ],
    ['not what was signed for Host', signedHead({ ...get, target: 'http://x/absolute/k' }), 403],
    ['nor another path', signedHead({ ...get, target: `http://${HOST}/absolute/l` }), 403],
    [
      'a bucket in the host of the target',
      signedHead({
        ...get,
        path: '/k',
        host: 'absolute.s3.localhost',
        target: 'http://absolute.s3.localhost/k',
      }),
      200,
    ],
    [
      'not that of Host',
      signedHead({
        ...get,
        ...{ path: '/k', host: 'none.s3.localhost', target: 'http://none.s3.localhost/k' },
        hostSent: 'absolute.s3.localhost',
      }),
      404,
    ],
    ['with a user', signedHead({ ...get, target: `http://a@${HOST}/absolute/k` }), 400],
    ['of another scheme', signedHead({ ...get, target: `ftp://${HOST}/absolute/k` }), 400],
  ]
  for (const [name, head, status] of cases) {
    t.same(statusesIn(await rawExchange(port, head)), [status], name)
  }
  const swiftly = (target: string, fields = `Host: ${HOST}\r\n`) =>
    `GET ${target} HTTP/1.1\r\n${fields}X-Auth-Token: ${token}\r\nConnection: close\r\n\r\n`
  const whole = `http://${HOST}/v1/AUTH_test/absolute`
  t.match(await rawExchange(port, swiftly(`${whole}/k`)), /200 OK[\s\S]*\r\n\r\nhello$/)
  t.match(await rawExchange(port, swiftly(`${whole}?prefix=k`)), /\r\n\r\nk\n$/)
  const bad: readonly (readonly [string, string])[] = [
    ['a user', swiftly(`http://a@${HOST}/v1/AUTH_test/absolute/k`)],
    ['two Hosts', swiftly(`${whole}/k`, 'Host: a\r\nHost: b\r\n')],
    ['no Host', swiftly(`${whole}/k`, '')],
    ['another scheme', swiftly('ftp://a/v1/AUTH_test/absolute/k')],
  ]
  for (const [name, head] of bad) t.same(statusesIn(await rawExchange(port, head)), [400], name)
  // Behind a plain request on the same connection, and a plain one behind it.
  const plain = swiftly('/v1/AUTH_test/absolute/k')
  const kept = (head: string) => head.replace('Connection: close\r\n', '')
  const three = kept(plain) + kept(swiftly(`${whole}/k`)) + plain
  t.same(statusesIn(await rawExchange(port, three)), [200, 200, 200])
})

t.test('a method that there is not is refused in the words of whose request it is', async (t) => {
  const line = (target: string, fields: string) =>
    rawExchange(port, `GETPUT ${target} HTTP/1.1\r\nHost: ${HOST}\r\n${fields}\r\n`)
  const document =
    /405 Method Not Allowed[\s\S]*x-amz-request-id: tx[\s\S]*<Code>MethodNotAllowed<\/Code>[\s\S]*<Method>GETPUT<\/Method>/
  const asS3 = await line('/a-b/c&d', 'Authorization: AWS x:y\r\n')
  t.match(asS3, document)
  t.match(asS3, /<ResourceType>OBJECT<[\s\S]*<Resource>\/a-b\/c&amp;d</)
  t.match(await line('/a-b?X-Amz-Signature=x', ''), document)
  t.match(await line('/a-b', ''), document, 'as anybody’s request')
  t.match(await line('/a-b/%ff', 'Authorization: AWS x:y\r\n'), /400[\s\S]*<Code>InvalidURI</)
  const asSwift = await line('/v1/AUTH_test/c', `X-Auth-Token: ${token}\r\n`)
  t.same(statusesIn(asSwift), [405])
  t.notMatch(asSwift, /<Error>/)
  t.same(statusesIn(await rawExchange(port, 'GETPUT')), [400])
})

t.test('a document that is too long is refused, and its sender reads why', async (t) => {
  await bucket('long')
  const object = `<Object><Key>${'a'.repeat(100_000)}</Key></Object>`
  const body = `<Delete>${object.repeat(200)}</Delete>`
  const answer = await signed({ method: 'POST', path: '/long?delete', body })
  t.equal(`${answer.status} ${answer.code}`, '400 MalformedXML')
  const keys = '<Object><Key>a</Key></Object>'.repeat(1001)
  const many = await signed({
    method: 'POST',
    path: '/long?delete',
    body: `<Delete>${keys}</Delete>`,
  })
  t.equal(`${many.status} ${many.code}`, '400 MalformedXML')
})

t.test('a listing of uploads names a prefix if it was asked for one', async (t) => {
  await bucket('uploads')
  await s3.send(new CreateMultipartUploadCommand({ Bucket: 'uploads', Key: 'a/b' }))
  const list = async (query: string) => (await signed({ path: `/uploads?uploads${query}` })).body
  const bare = await list('=')
  t.match(bare, /<Key>a\/b</)
  t.notMatch(bare, /<Prefix/)
  t.match(await list('=&prefix=a'), /<Prefix>a<\/Prefix>/)
  t.match(await list('=&delimiter=%2F'), /<\/Delimiter><MaxUploads>/)
})

const FAR = 4_000_000_000
const FAR_TEXT = 'expiry-date="Tue, 02 Oct 2096 07:06:40 GMT", rule-id="swift-object-expiration"'

t.test(
  'the three headers of Swift’s that S3 lets through count where they are signed',
  async (t) => {
    await bucket('words')
    const headers = { 'x-delete-at': String(FAR), 'x-robots-tag': 'noindex' }
    /** What the object has then, as Swift shows it. */
    const after = async (name: string, answer: Promise<RawAnswer>) => {
      t.equal((await answer).status, 200, name)
      const head = await swift('HEAD', `/words/${name}`)
      return [head.headers.get('x-delete-at'), head.headers.get('x-robots-tag')]
    }
    const put = (name: string, more: Omit<SignedRequest, 'path'>) =>
      after(name, signed({ method: 'PUT', path: `/words/${name}`, body: 'x', ...more }))
    const all = [String(FAR), 'noindex']
    const none = [null, null]
    t.same(await put('signed', { headers }), all)
    t.same(await put('unsigned', { unsigned: headers }), none)
    const { 'x-robots-tag': robots } = headers
    t.same(
      await put('partly', {
        headers: { 'x-robots-tag': robots },
        unsigned: { 'x-delete-at': '1' },
      }),
      [null, 'noindex'],
      'what is not signed is not even looked at',
    )
    const path = presign('PUT', '/words/presigned', HOST)
    const sent = { ...headers, host: HOST, 'content-length': '0' }
    t.same(await after('presigned', send(port, { method: 'PUT', path, headers: sent })), none)
    const v2 = (name: string, isPresigned: boolean) =>
      after(name, sendV2({ method: 'PUT', path: `/words/${name}`, headers, isPresigned }))
    t.same(await v2('v2', false), all)
    t.same(await v2('v2-presigned', true), none)

    for (const method of ['GET', 'HEAD']) {
      const shown = await signed({ method, path: '/words/signed' })
      t.equal(shown.headers['x-amz-expiration'], FAR_TEXT, method)
      t.equal(shown.headers['x-robots-tag'], 'noindex')
    }
    const again = await signed({ method: 'PUT', path: '/words/signed', body: 'y' })
    t.equal(again.headers['x-amz-expiration'], undefined)
    t.equal((await signed({ path: '/words/signed' })).headers['x-amz-expiration'], undefined)

    const copied = { ...headers, 'x-amz-copy-source': '/words/v2' }
    t.same(await put('copy', { headers: copied, body: '' }), [null, 'noindex'])
    const begun = await signed({ method: 'POST', path: '/words/parts?uploads', headers })
    t.equal(begun.status, 200)
    const post = await signed({ method: 'PUT', path: '/words/v2?tagging', headers, body: TAGGING })
    t.equal(post.status, 200)
    t.equal((await swift('HEAD', '/words/v2')).headers.get('x-delete-at'), String(FAR))
  },
)

const TAGGING = '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>'

t.test('a time that is none, or is over, is an argument that is wrong', async (t) => {
  await bucket('times')
  const cases: readonly (readonly [string, string, string])[] = [
    ['x-delete-at', '1', 'X-Delete-At in past'],
    ['x-delete-at', 'soon', 'Non-integer X-Delete-At'],
    ['x-delete-at', '', 'Non-integer X-Delete-At'],
    ['x-delete-after', '-1', 'X-Delete-After in past'],
    ['x-delete-after', '0', 'X-Delete-After in past'],
    ['x-delete-after', '1e9', 'Non-integer X-Delete-After'],
  ]
  for (const [name, value, message] of cases) {
    const headers = { [name]: value }
    const answer = await signed({ method: 'PUT', path: '/times/k', headers, body: 'x' })
    t.equal(`${answer.status} ${answer.code}`, '400 InvalidArgument', `${name}: ${value}`)
    t.match(answer.body, `<Message>${message}</Message>`)
  }
  t.equal((await signed({ path: '/times/k' })).code, 'NoSuchKey', 'and nothing was written')
})

t.test('whoever may write and not delete gives no time at which the name is free', async (t) => {
  await bucket('writers')
  const statement = (Action: string) => ({
    Effect: 'Allow',
    Principal: '*',
    Action,
    Resource: 'arn:aws:s3:::writers/*',
  })
  const allow = async (...actions: readonly string[]) => {
    const body = JSON.stringify({ Version: '2012-10-17', Statement: actions.map(statement) })
    t.equal((await signed({ method: 'PUT', path: '/writers?policy', body })).status, 204)
  }
  const put = async (headers: Readonly<Record<string, string>>) => {
    const asked = { method: 'PUT', path: '/writers/k', headers, key: OTHER, body: 'x' }
    const { status, code } = await signed(asked)
    return `${status} ${code}`
  }
  await allow('s3:PutObject')
  t.equal(await put({ 'x-robots-tag': 'noindex' }), '200 ')
  t.equal(await put({ 'x-delete-at': String(FAR) }), '403 AccessDenied')
  t.equal(await put({ 'x-delete-after': '60' }), '403 AccessDenied')
  await allow('s3:PutObject', 's3:DeleteObject')
  t.equal(await put({ 'x-delete-at': String(FAR) }), '200 ')
})

t.test('a locked version outlives the time that S3 gave to its name', async (t) => {
  const Bucket = 'locked'
  await s3.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }))
  const headers = {
    'x-delete-after': '1',
    'x-amz-object-lock-mode': 'COMPLIANCE',
    'x-amz-object-lock-retain-until-date': '2140-01-01T00:00:00Z',
  }
  const made = await signed({ method: 'PUT', path: '/locked/k', headers, body: 'abc' })
  t.equal(made.status, 200)
  t.match(made.headers['x-amz-expiration'], /swift-object-expiration/)
  const VersionId = String(made.headers['x-amz-version-id'])
  const deadline = Date.now() + 60_000
  while ((await signed({ path: '/locked/k' })).status !== 404 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await store.runDaemons()
  t.equal((await signed({ path: '/locked/k' })).code, 'NoSuchKey')
  const kept = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId }))
  t.equal(await kept.Body!.transformToString(), 'abc')
  const removed = await signed({ method: 'DELETE', path: `/locked/k?versionId=${VersionId}` })
  t.equal(removed.code, 'AccessDenied')
  const Retention = { Mode: 'COMPLIANCE' as const, RetainUntilDate: new Date('2141-01-01') }
  await s3.send(new PutObjectRetentionCommand({ Bucket, Key: 'k', VersionId, Retention }))
})
