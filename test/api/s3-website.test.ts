/** Buckets as web sites, over a real socket: what browsers see of them, and what they must not see. */
import {
  CopyObjectCommand,
  CreateBucketCommand,
  GetBucketWebsiteCommand,
  HeadObjectCommand,
  PutBucketWebsiteCommand,
  PutObjectCommand,
  type WebsiteConfiguration,
} from '@aws-sdk/client-s3'
import t from 'tap'
import {
  MAIN,
  OTHER,
  openS3Rig,
  presign,
  putInParts,
  type RawAnswer,
  send,
  testCredentials,
} from './s3-store.ts'

const { store, s3, signed } = await openS3Rig(t, {
  s3: {
    credentials: testCredentials,
    domains: ['s3.localhost'],
    websiteDomains: ['web.localhost'],
  },
})

const INDEXED = {
  IndexDocument: { Suffix: 'index.html' },
  ErrorDocument: { Key: 'error.html' },
} satisfies WebsiteConfiguration

/** A bucket that everybody may read (not list), with these objects, each with its name as its body. */
async function site(
  Bucket: string,
  keys: readonly string[],
  WebsiteConfiguration: WebsiteConfiguration = INDEXED,
): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket }))
  for (const Key of keys) {
    const ContentType = Key.endsWith('.html') ? 'text/html' : 'text/plain'
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key, ContentType }))
  }
  const Policy = {
    Version: '2012-10-17',
    Statement: {
      Effect: 'Allow',
      Principal: '*',
      Action: 's3:GetObject',
      Resource: `arn:aws:s3:::${Bucket}/*`,
    },
  }
  await signed({ method: 'PUT', path: `/${Bucket}?policy`, body: JSON.stringify(Policy) })
  await s3.send(new PutBucketWebsiteCommand({ Bucket, WebsiteConfiguration }))
  return Bucket
}

/** As a browser asks. */
function browse(
  bucket: string,
  path: string,
  asked: { readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<RawAnswer> {
  const { method = 'GET', headers = {} } = asked
  const host = `${bucket}.s3-website.s3.localhost:${store.port}`
  return send(store.port, { method, path, headers: { host, ...headers } })
}

const shown = ({ status, body }: RawAnswer) => `${status} ${body}`
const sentTo = ({ status, headers }: RawAnswer) => `${status} ${headers.location}`

t.test('a site’s configuration is set, shown and taken away', async (t) => {
  const Bucket = 'configured'
  await s3.send(new CreateBucketCommand({ Bucket }))
  const none = () => signed({ path: `/${Bucket}?website` })
  t.equal((await none()).code, 'NoSuchWebsiteConfiguration')
  const whole: WebsiteConfiguration = {
    ...INDEXED,
    RoutingRules: [
      {
        Condition: { KeyPrefixEquals: 'old/', HttpErrorCodeReturnedEquals: '404' },
        Redirect: { ReplaceKeyPrefixWith: 'new/', HttpRedirectCode: '302', Protocol: 'https' },
      },
      { Redirect: { HostName: 'example.com:8080', ReplaceKeyWith: 'a?b=ü' } },
    ],
  }
  const all: WebsiteConfiguration = {
    RedirectAllRequestsTo: { HostName: 'example.com', Protocol: 'https' },
  }
  for (const WebsiteConfiguration of [INDEXED, whole, all]) {
    await s3.send(new PutBucketWebsiteCommand({ Bucket, WebsiteConfiguration }))
    const { $metadata, ...found } = await s3.send(new GetBucketWebsiteCommand({ Bucket }))
    t.strictSame(found, WebsiteConfiguration)
  }
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const denied = await signed({ method, path: `/${Bucket}?website`, key: OTHER })
    t.equal(denied.code, 'AccessDenied', method)
  }
  t.equal((await signed({ method: 'DELETE', path: `/${Bucket}?website` })).status, 204)
  t.equal((await none()).code, 'NoSuchWebsiteConfiguration')
  t.match(await browse(Bucket, '/'), { status: 404, body: /Code: NoSuchWebsiteConfiguration/ })
})

t.test('configurations that are none are refused', async (t) => {
  const Bucket = 'misconfigured'
  await s3.send(new CreateBucketCommand({ Bucket }))
  const index = '<IndexDocument><Suffix>i</Suffix></IndexDocument>'
  const rule = (text: string) => `${index}<RoutingRules>${text}</RoutingRules>`
  const redirect = (text: string) => rule(`<RoutingRule><Redirect>${text}</Redirect></RoutingRule>`)
  const when = (text: string) =>
    rule(
      `<RoutingRule><Condition>${text}</Condition><Redirect><HostName>h</HostName></Redirect></RoutingRule>`,
    )
  const bad: Readonly<Record<string, string>> = {
    nothing: '',
    'an unknown part': `${index}<Other/>`,
    'no index': '<ErrorDocument><Key>e</Key></ErrorDocument>',
    'an empty index': '<IndexDocument><Suffix/></IndexDocument>',
    'an index elsewhere': '<IndexDocument><Suffix>a/i</Suffix></IndexDocument>',
    'an index that no key can be': `<IndexDocument><Suffix>${'i'.repeat(1025)}</Suffix></IndexDocument>`,
    'an empty error page': `${index}<ErrorDocument><Key/></ErrorDocument>`,
    'all and an index': `${index}<RedirectAllRequestsTo><HostName>h</HostName></RedirectAllRequestsTo>`,
    'all to nowhere': '<RedirectAllRequestsTo><Protocol>http</Protocol></RedirectAllRequestsTo>',
    'another protocol':
      '<RedirectAllRequestsTo><HostName>h</HostName><Protocol>javascript</Protocol></RedirectAllRequestsTo>',
    'a user in the host': redirect('<HostName>good.com@evil.com</HostName>'),
    'a line in the host': redirect('<HostName>h&#13;&#10;X-A: b</HostName>'),
    'a redirection that says nothing': redirect(''),
    'no redirection': rule('<RoutingRule/>'),
    'both replacements': redirect(
      '<ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith>',
    ),
    'a line in a key': redirect('<ReplaceKeyWith>a&#10;b</ReplaceKeyWith>'),
    'half a character': redirect('<ReplaceKeyWith>&#xd800;</ReplaceKeyWith>'),
    'a code that is no redirection': redirect('<HttpRedirectCode>200</HttpRedirectCode>'),
    'an empty condition': when(''),
    'an error that is none': when('<HttpErrorCodeReturnedEquals>200</HttpErrorCodeReturnedEquals>'),
    'too many rules': rule(
      '<RoutingRule><Redirect><HostName>h</HostName></Redirect></RoutingRule>'.repeat(51),
    ),
  }
  for (const [name, text] of Object.entries(bad)) {
    const body = `<WebsiteConfiguration>${text}</WebsiteConfiguration>`
    const { status, code } = await signed({ method: 'PUT', path: `/${Bucket}?website`, body })
    t.equal(status, 400, `${name}: ${code}`)
  }
  t.equal((await signed({ path: `/${Bucket}?website` })).status, 404, 'and nothing was kept')
  const longest = 'k'.repeat(1024)
  const RoutingRules = Array.from({ length: 38 }, () => ({
    Condition: { KeyPrefixEquals: longest },
    Redirect: { HostName: `h/${'p'.repeat(1024)}`, ReplaceKeyPrefixWith: longest },
  }))
  const WebsiteConfiguration = { ...INDEXED, RoutingRules }
  await s3.send(new PutBucketWebsiteCommand({ Bucket, WebsiteConfiguration }))
  const largest = await s3.send(new GetBucketWebsiteCommand({ Bucket }))
  t.strictSame(largest.RoutingRules, RoutingRules, 'a very large one is kept')
})

t.test('folders show their index, errors the site’s page', async (t) => {
  const keys = ['index.html', 'a.txt', 'sub/index.html', 'ü b/index.html', 'error.html']
  const bucket = await site('pages', keys)
  const index = await browse(bucket, '/')
  t.match(index, { status: 200, body: 'index.html', headers: { 'content-type': 'text/html' } })
  t.match(index.headers, { etag: /"/, 'x-amz-request-id': /^tx/ })
  t.equal(
    shown(await browse(bucket, '/a.txt?versionId=x&acl')),
    '200 a.txt',
    'a query says nothing',
  )
  t.equal(shown(await browse(bucket, '/sub/')), '200 sub/index.html')
  t.equal(shown(await browse(bucket, '/%C3%BC%20b/')), '200 ü b/index.html')
  const host = `http://${bucket}.s3-website.s3.localhost:${store.port}`
  t.equal(sentTo(await browse(bucket, '/sub')), `302 ${host}/sub/`)
  t.equal(sentTo(await browse(bucket, '/%C3%BC%20b')), `302 ${host}/%C3%BC%20b/`)
  const none = await browse(bucket, '/none')
  // Who may not list the bucket is not told that there is none.
  t.match(none, { status: 403, body: 'error.html', headers: { 'content-type': 'text/html' } })
  const conditions = { range: 'bytes=0-1', 'if-none-match': none.headers.etag! }
  const headers = { ...conditions, 'if-match': '"other"' }
  t.equal(shown(await browse(bucket, '/none', { headers })), '403 error.html')
  t.equal(shown(await browse(bucket, '/a.txt', { headers: { range: 'bytes=2-' } })), '206 txt')
  const etag = index.headers.etag!
  t.equal((await browse(bucket, '/', { headers: { 'if-none-match': etag } })).status, 304)
  const head = await browse(bucket, '/none', { method: 'HEAD' })
  t.match(head, { status: 403, body: '', headers: { 'content-length': '10' } })
  for (const method of ['PUT', 'POST', 'DELETE']) {
    const answer = await browse(bucket, '/a.txt', { method, headers: { 'content-length': '0' } })
    t.match(answer, { status: 405, headers: { allow: /GET/, 'content-type': /html/ } }, method)
  }
  t.equal(shown(await browse(bucket, '/a.txt')), '200 a.txt', 'and nothing was done')
  const both = ['web.localhost', 's3-website-us-east-1.s3.localhost', 'WEB.localhost']
  for (const domain of both) {
    const asked = { method: 'GET', path: '/sub/', headers: { host: `${bucket}.${domain}` } }
    t.equal(shown(await send(store.port, asked)), '200 sub/index.html', domain)
  }
  const bare = await send(store.port, {
    method: 'GET',
    path: '/',
    headers: { host: 'web.localhost' },
  })
  t.not(bare.status, 200, 'the domain itself is no site')
  t.match(await browse('nobodys', '/'), { status: 404, body: /Code: NoSuchBucket/ })
})

t.test('a site shows what everybody may read, to whoever asks', async (t) => {
  const bucket = await site('rights', ['index.html', 'open.txt', 'error.html'])
  const deny = {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: '*',
        Action: 's3:GetObject',
        Resource: `arn:aws:s3:::rights/o*`,
      },
      { Effect: 'Allow', Principal: '*', Action: 's3:ListBucket', Resource: 'arn:aws:s3:::rights' },
    ],
  }
  await signed({ method: 'PUT', path: '/rights?policy', body: JSON.stringify(deny) })
  t.equal(shown(await browse(bucket, '/open.txt')), '200 open.txt')
  const closed = await browse(bucket, '/')
  t.match(closed, { status: 403, body: /Code: AccessDenied/ }, 'nor its error page')
  t.match(await browse(bucket, '/o<b>'), { status: 404, body: /Code: NoSuchKey/ })
  const host = `${bucket}.s3-website.s3.localhost`
  const path = presign('GET', '/index.html', host, MAIN)
  const asSigned = await send(store.port, { method: 'GET', path, headers: { host } })
  t.equal(asSigned.status, 403, 'a signature opens nothing')
  const payment =
    '<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>'
  await signed({ method: 'PUT', path: '/rights?requestPayment', body: payment })
  const pays = { headers: { 'x-amz-request-payer': 'requester' } }
  t.equal((await browse(bucket, '/open.txt', pays)).status, 403, 'nobody pays for a browser')
})

t.test('paths that climb are refused', async (t) => {
  const bucket = await site('climbing', ['index.html', 'sub/index.html', 'a..b', '...'])
  await signed({ method: 'PUT', path: '/climbing/..', body: 'no page' })
  await signed({ method: 'PUT', path: '/climbing/sub/../x', body: 'no page' })
  for (const path of [
    '/..',
    '/../other/key',
    '/sub/../x',
    '/sub/..',
    '/./index.html',
    '/%2e%2e/x',
    '/sub/%2E%2e%2fx',
    '/sub%2F..%2Fx',
    '/..%5Cx',
    '/%00',
    '/%ff',
  ]) {
    t.match(await browse(bucket, path), { status: 400, body: /Code: InvalidURI/ }, path)
  }
  for (const path of ['/a..b', '/...'])
    t.equal(shown(await browse(bucket, path)), `200 ${path.slice(1)}`)
  t.equal((await browse(bucket, '/%252e%252e')).status, 403, 'unescaped once')
})

t.test('rules send requests elsewhere', async (t) => {
  const bucket = await site('ruled', ['index.html', 'old/kept', '/evil.com/index.html'], {
    ...INDEXED,
    RoutingRules: [
      { Condition: { KeyPrefixEquals: 'docs/' }, Redirect: { ReplaceKeyPrefixWith: 'documents/' } },
      {
        Condition: { KeyPrefixEquals: 'old/', HttpErrorCodeReturnedEquals: '403' },
        Redirect: {
          HostName: 'archive.example.com',
          Protocol: 'https',
          HttpRedirectCode: '307',
        },
      },
      { Condition: { KeyPrefixEquals: 'one' }, Redirect: { ReplaceKeyWith: 'page?n=1#ü top' } },
      {
        Condition: { HttpErrorCodeReturnedEquals: '403' },
        Redirect: { ReplaceKeyPrefixWith: '#!/' },
      },
    ],
  })
  const host = `http://${bucket}.s3-website.s3.localhost:${store.port}`
  const cases: readonly (readonly [path: string, to: string])[] = [
    ['/docs/a%20b', `301 ${host}/documents/a%20b`],
    ['/docs/%0d%0aX-Evil:%201', `301 ${host}/documents/%0D%0AX-Evil%3A%201`],
    ['/old/gone', '307 https://archive.example.com/old/gone'],
    ['/one', `301 ${host}/page?n=1#%C3%BC%20top`],
    ['/app/view', `301 ${host}/#!/app/view`],
    ['//evil.com', `302 ${host}//evil.com/`],
  ]
  for (const [path, to] of cases) t.equal(sentTo(await browse(bucket, path)), to, path)
  t.equal(shown(await browse(bucket, '/old/kept')), '200 old/kept', 'what is there is shown')
  t.equal((await browse(bucket, '/one', { method: 'HEAD' })).status, 301)
  await site('all-elsewhere', ['index.html'], {
    RedirectAllRequestsTo: { HostName: 'example.com', Protocol: 'https' },
  })
  t.equal(sentTo(await browse('all-elsewhere', '/a/b')), '301 https://example.com/a/b')
})

t.test('an object can say where its reader is sent', async (t) => {
  const Bucket = await site('located', ['index.html'])
  const location = async (Key: string) =>
    (await s3.send(new HeadObjectCommand({ Bucket, Key }))).WebsiteRedirectLocation
  const put = { Bucket, Body: 'text', WebsiteRedirectLocation: 'https://example.com/x?y#z' }
  await s3.send(new PutObjectCommand({ ...put, Key: 'away' }))
  t.equal(await location('away'), 'https://example.com/x?y#z')
  t.equal(sentTo(await browse(Bucket, '/away')), '301 https://example.com/x?y#z')
  t.equal((await signed({ path: '/located/away' })).body, 'text', 'S3 itself shows the object')
  await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: 'located/away' }))
  t.equal(await location('copy'), undefined, 'no copy takes it along')
  const moved = { Bucket, Key: 'away', CopySource: 'located/away', WebsiteRedirectLocation: '/' }
  await s3.send(new CopyObjectCommand(moved))
  t.equal(sentTo(await browse(Bucket, '/away')), '301 /', 'and one on itself changes it')
  const upload = { Bucket, Key: 'parts', WebsiteRedirectLocation: '/index.html' }
  await putInParts(s3, upload, ['part'])
  t.equal(sentTo(await browse(Bucket, '/parts')), '301 /index.html')
  for (const bad of ['x', 'javascript:alert(1)', 'ftp://h/', '/a b', `/${'a'.repeat(2048)}`]) {
    const headers = { 'x-amz-website-redirect-location': bad }
    const { code } = await signed({ method: 'PUT', path: '/located/bad', headers })
    t.equal(code, 'InvalidRedirectLocation', bad.slice(0, 20))
  }
})

t.test('browsers are told what scripts of others may read', async (t) => {
  const bucket = await site('shared', ['index.html'])
  const origin = 'https://example.com'
  const rule = `<CORSRule><AllowedOrigin>${origin}</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>`
  const body = `<CORSConfiguration>${rule}</CORSConfiguration>`
  await signed({ method: 'PUT', path: '/shared?cors', body })
  const allowed = 'access-control-allow-origin'
  t.equal((await browse(bucket, '/', { headers: { origin } })).headers[allowed], origin)
  const headers = { origin, 'access-control-request-method': 'GET' }
  const preflight = await browse(bucket, '/', { method: 'OPTIONS', headers })
  t.match(preflight, { status: 200, headers: { [allowed]: origin } })
  const other = { headers: { origin: 'https://other.org' } }
  t.equal((await browse(bucket, '/', other)).headers[allowed], undefined)
})
