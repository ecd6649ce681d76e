/**
 * What comes in by the door that both APIs share: whole URLs as targets, and methods that there are not.
 */
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { rawExchange, statusesIn } from './http-client.ts'
import { MAIN, openS3Rig, signV4 } from './s3-store.ts'

const { store, s3, signed, token } = await openS3Rig(t)
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
