/** What S3 keeps beside buckets and objects, over a real socket: tags and CORS rules; and forms. */
import { createHmac } from 'node:crypto'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketTaggingCommand,
  DeleteObjectTaggingCommand,
  GetBucketTaggingCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutBucketTaggingCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type Tag,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { signingKey } from '../../proxy/s3/signature/signing-keys.ts'
import { makeTopic } from '../support/sns-call.ts'
import {
  GUEST,
  MAIN,
  OTHER,
  openS3Rig,
  presign,
  putInParts,
  type RawAnswer,
  type SignedRequest,
  send,
} from './s3-store.ts'

const { store, s3, signed, swift } = await openS3Rig(t)

async function codeOf(asked: SignedRequest): Promise<string> {
  const { status, code } = await signed(asked)
  return `${status} ${code}`.trim()
}

async function bucket(name: string): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket: name }))
  return name
}

async function tagsOf(Bucket: string, Key: string): Promise<readonly Tag[]> {
  return (await s3.send(new GetObjectTaggingCommand({ Bucket, Key }))).TagSet ?? []
}

function tagging(tags: readonly (readonly [string, string])[]): string {
  const list = tags.map(([key, value]) => `<Tag><Key>${key}</Key><Value>${value}</Value></Tag>`)
  return `<Tagging><TagSet>${list.join('')}</TagSet></Tagging>`
}

const COLOUR = [{ Key: 'colour', Value: 'dark blue' }]
const SIGNS = [{ Key: 'a+b/ü', Value: 'x=1:@._- ' }]

t.test('the first bucket, rule and topic of a store are written at once', async (t) => {
  const { backend } = store.context
  const { putObject } = backend
  const refused: string[] = []
  Object.assign(backend, {
    async putObject(...given: Parameters<typeof putObject>) {
      try {
        return await putObject.apply(backend, given)
      } catch (error) {
        // It may stay for a moment, where the next one finds it.
        refused.push(given[0].container)
        throw error
      }
    },
  })
  const Bucket = await bucket('first-of-all')
  const rule =
    '<Rule><ID>a</ID><Status>Enabled</Status><Filter/><Expiration><Days>9</Days></Expiration></Rule>'
  const body = `<LifecycleConfiguration>${rule}</LifecycleConfiguration>`
  t.equal(await codeOf({ method: 'PUT', path: `/${Bucket}?lifecycle`, body }), '200')
  t.match(await makeTopic(store.url, MAIN, 'first'), /first$/)
  Object.assign(backend, { putObject })
  t.strictSame(refused, [])
})

t.test('an object’s tags are set, shown, counted, replaced and taken away', async (t) => {
  const Bucket = await bucket('tagged')
  const key = { Bucket, Key: 'o' }
  await s3.send(new PutObjectCommand({ ...key, Body: 'body', Metadata: { kept: 'yes' } }))
  t.strictSame(await tagsOf(Bucket, 'o'), [])
  t.equal((await signed({ path: '/tagged/o' })).headers['x-amz-tagging-count'], undefined)
  const { LastModified } = await s3.send(new HeadObjectCommand(key))
  await s3.send(new PutObjectTaggingCommand({ ...key, Tagging: { TagSet: [...COLOUR, ...SIGNS] } }))
  t.strictSame(await tagsOf(Bucket, 'o'), [...SIGNS, ...COLOUR])
  t.equal((await s3.send(new GetObjectCommand(key))).TagCount, 2)
  const head = await s3.send(new HeadObjectCommand(key))
  t.strictSame(head.Metadata, { kept: 'yes' }, 'all else stays')
  t.strictSame(head.LastModified, LastModified)
  await s3.send(new PutObjectTaggingCommand({ ...key, Tagging: { TagSet: COLOUR } }))
  t.strictSame(await tagsOf(Bucket, 'o'), COLOUR)
  t.equal((await swift('POST', '/tagged/o', { headers: { 'x-object-meta-new': '1' } })).status, 202)
  t.strictSame(await tagsOf(Bucket, 'o'), COLOUR, 'a POST of Swift’s leaves them')
  await s3.send(new DeleteObjectTaggingCommand(key))
  t.strictSame(await tagsOf(Bucket, 'o'), [])
  t.equal(await (await swift('GET', '/tagged/o')).text(), 'body')
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const body = method === 'PUT' ? tagging([]) : ''
    t.equal(await codeOf({ method, path: '/tagged/none?tagging', body }), '404 NoSuchKey')
    t.equal(
      await codeOf({ method, path: '/tagged/o?tagging', body, key: GUEST }),
      '403 AccessDenied',
    )
    t.equal(
      await codeOf({ method, path: '/tagged/o?tagging', body, key: null }),
      '403 AccessDenied',
    )
  }
})

t.test('an object has its tags from its first moment, however it is made', async (t) => {
  const Bucket = await bucket('tagged-at-once')
  const Tagging = 'colour=dark%20blue&a%2Bb%2F%C3%BC=x%3D1%3A%40._-+'
  await s3.send(new PutObjectCommand({ Bucket, Key: 'put', Body: '', Tagging }))
  t.strictSame(await tagsOf(Bucket, 'put'), [...SIGNS, ...COLOUR])
  const CopySource = `${Bucket}/put`
  await s3.send(new CopyObjectCommand({ Bucket, Key: 'copied', CopySource }))
  t.strictSame(await tagsOf(Bucket, 'copied'), [...SIGNS, ...COLOUR])
  const replaced = { Tagging: 'n=1', TaggingDirective: 'REPLACE' } as const
  await s3.send(new CopyObjectCommand({ Bucket, Key: 'replaced', CopySource, ...replaced }))
  t.strictSame(await tagsOf(Bucket, 'replaced'), [{ Key: 'n', Value: '1' }])
  await s3.send(
    new CopyObjectCommand({ Bucket, Key: 'bare', CopySource, TaggingDirective: 'REPLACE' }),
  )
  t.strictSame(await tagsOf(Bucket, 'bare'), [])
  await putInParts(s3, { Bucket, Key: 'parts', Tagging }, ['part'])
  t.strictSame(await tagsOf(Bucket, 'parts'), [...SIGNS, ...COLOUR])
  await s3.send(new PutObjectCommand({ Bucket, Key: 'put', Body: 'anew' }))
  t.strictSame(await tagsOf(Bucket, 'put'), [], 'and loses them with it')
})

t.test('tags that are none are refused', async (t) => {
  await bucket('bad-tags')
  await signed({ method: 'PUT', path: '/bad-tags/o' })
  const many = (count: number) => Array.from({ length: count }, (_, at) => [`k${at}`, ''] as const)
  const put = (path: string, body: string) => codeOf({ method: 'PUT', path, body })
  const longest = [['k'.repeat(128), 'v'.repeat(256)]] as const
  t.equal(await put('/bad-tags/o?tagging', tagging(longest)), '200')
  t.equal(await put('/bad-tags/o?tagging', tagging(many(10))), '200')
  t.equal(await put('/bad-tags?tagging', tagging(many(50))), '200')
  for (const [name, tags] of Object.entries({
    'eleven of an object': many(11),
    'a long key': [['k'.repeat(129), '']],
    'a long value': [['k', 'v'.repeat(257)]],
    'an empty key': [['', 'v']],
    'the system’s': [['aws:x', 'v']],
    'two of a key': [
      ['k', '1'],
      ['k', '2'],
    ],
    'other signs': [['k', 'a*b']],
    'half a sign': [['k', '&#xd800;']],
  } as Readonly<Record<string, readonly (readonly [string, string])[]>>)) {
    t.equal(await put('/bad-tags/o?tagging', tagging(tags)), '400 InvalidTag', name)
  }
  t.equal(await put('/bad-tags?tagging', tagging(many(51))), '400 InvalidTag')
  for (const body of [
    '',
    'no XML',
    '<Tagging/>',
    '<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>',
    '<Tagging><TagSet><Other/></TagSet></Tagging>',
    '<!DOCTYPE t [<!ENTITY e "v">]><Tagging><TagSet><Tag><Key>&e;</Key><Value/></Tag></TagSet></Tagging>',
  ]) {
    t.equal(await put('/bad-tags/o?tagging', body), '400 MalformedXML', body)
  }
  for (const [header, code] of [
    ['k=1&k=2', 'InvalidTag'],
    ['=v', 'InvalidTag'],
    [
      many(11)
        .map(([key]) => `${key}=`)
        .join('&'),
      'InvalidTag',
    ],
    ['k=%FF', 'InvalidArgument'],
  ] as const) {
    const headers = { 'x-amz-tagging': header }
    const answer = await codeOf({ method: 'PUT', path: '/bad-tags/new', headers })
    t.equal(answer, `400 ${code}`, header)
  }
  const headers = { 'x-amz-copy-source': '/bad-tags/o', 'x-amz-tagging-directive': 'MOVE' }
  const answer = await codeOf({ method: 'PUT', path: '/bad-tags/new', headers })
  t.equal(answer, '400 InvalidArgument')
  t.equal(await codeOf({ path: '/bad-tags/new' }), '404 NoSuchKey', 'nothing was written')
  t.equal((await tagsOf('bad-tags', 'o')).length, 10, 'and nothing changed')
})

t.test('a bucket’s tags are set, shown and taken away by its owner', async (t) => {
  const Bucket = await bucket('tagged-bucket')
  const path = '/tagged-bucket?tagging'
  t.equal(await codeOf({ path }), '404 NoSuchTagSet')
  await s3.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet: COLOUR } }))
  t.strictSame((await s3.send(new GetBucketTaggingCommand({ Bucket }))).TagSet, COLOUR)
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const body = method === 'PUT' ? tagging([]) : ''
    t.equal(await codeOf({ method, path, body, key: GUEST }), '403 AccessDenied', method)
  }
  await s3.send(new DeleteBucketTaggingCommand({ Bucket }))
  t.equal(await codeOf({ path }), '404 NoSuchTagSet')
  t.equal(await codeOf({ path: '/no-such-bucket?tagging' }), '404 NoSuchBucket')
})

t.test('CORS rules are kept as they were sent, and bad ones refused', async (t) => {
  await bucket('cors-kept')
  const path = '/cors-kept?cors'
  const put = (rules: string) =>
    codeOf({ method: 'PUT', path, body: `<CORSConfiguration>${rules}</CORSConfiguration>` })
  const rule = (more: string) =>
    `<CORSRule><AllowedOrigin>http://a.b</AllowedOrigin><AllowedMethod>GET</AllowedMethod>${more}</CORSRule>`
  t.equal(await codeOf({ path }), '404 NoSuchCORSConfiguration')
  const full = rule(
    '<AllowedHeader>x-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><ID>one</ID><MaxAgeSeconds>60</MaxAgeSeconds>',
  )
  t.equal(await put(full), '200')
  const { body } = await signed({ path })
  for (const part of [
    '<ID>one</ID>',
    '<AllowedHeader>x-*</AllowedHeader>',
    '<AllowedMethod>GET</AllowedMethod>',
    '<AllowedOrigin>http://a.b</AllowedOrigin>',
    '<ExposeHeader>ETag</ExposeHeader>',
    '<MaxAgeSeconds>60</MaxAgeSeconds>',
  ])
    t.ok(body.includes(part), part)
  for (const [bad, code] of [
    ['', 'MalformedXML'],
    ['<CORSRule/>', 'MalformedXML'],
    [rule('<Other/>'), 'MalformedXML'],
    [rule('<MaxAgeSeconds>soon</MaxAgeSeconds>'), 'MalformedXML'],
    [rule('<AllowedMethod>PATCH</AllowedMethod>'), 'InvalidRequest'],
    [rule('<AllowedOrigin>*a*</AllowedOrigin>'), 'InvalidRequest'],
    [rule('<AllowedHeader>*-*</AllowedHeader>'), 'InvalidRequest'],
    [rule('<ExposeHeader>x-*</ExposeHeader>'), 'InvalidRequest'],
    [rule('<ExposeHeader>a&#13;&#10;b</ExposeHeader>'), 'MalformedXML'],
    [rule('').repeat(101), 'InvalidRequest'],
  ] as const) {
    t.equal(await put(bad), `400 ${code}`, bad.slice(0, 200))
  }
  for (const method of ['GET', 'PUT', 'DELETE']) {
    t.equal(await codeOf({ method, path, key: GUEST }), '403 AccessDenied', method)
  }
  t.ok((await signed({ path })).body.includes('<ID>one</ID>'), 'the good one is still there')
  t.equal(await codeOf({ method: 'DELETE', path }), '204')
  t.equal(await codeOf({ path }), '404 NoSuchCORSConfiguration')
})

t.test('browsers are told what scripts of other origins may do', async (t) => {
  await bucket('cors-asked')
  await signed({ method: 'PUT', path: '/cors-asked/o', body: 'body' })
  const ask = async (headers: Record<string, string>, method = 'OPTIONS') => {
    const answer = await send(store.port, { method, path: '/cors-asked/o', headers })
    const allowed = answer.headers['access-control-allow-origin']
    return `${answer.status} ${answer.code} ${allowed ?? '-'}`
  }
  const get = { 'access-control-request-method': 'GET' }
  t.equal(await ask({ origin: 'http://a.b', ...get }), '403 AccessForbidden -', 'without rules')
  const rules = `<CORSRule><AllowedOrigin>http://*.b</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>x-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod></CORSRule>`
  await signed({
    method: 'PUT',
    path: '/cors-asked?cors',
    body: `<CORSConfiguration>${rules}</CORSConfiguration>`,
  })
  const wanting = (names: string) => ({ 'access-control-request-headers': names })
  t.equal(await ask({ origin: 'http://a.b', ...get }), '200  http://a.b')
  t.equal(
    await ask({ origin: 'http://a.b', ...get, ...wanting('X-One, x-two') }),
    '200  http://a.b',
  )
  t.equal(await ask({ origin: 'http://a.b', ...get, ...wanting('y-one') }), '403 AccessForbidden -')
  t.equal(await ask({ origin: 'http://a.c', ...get }), '403 AccessForbidden -')
  t.equal(await ask({ origin: 'http://.b.c', ...get }), '403 AccessForbidden -')
  t.equal(await ask({ origin: 'x', 'access-control-request-method': 'PUT' }), '200  *')
  t.equal(
    await ask({ origin: 'x', 'access-control-request-method': 'PATCH' }),
    '403 AccessForbidden -',
  )
  t.equal(await ask({ origin: 'http://a.b' }), '400 BadRequest -')
  t.equal(await ask(get), '400 BadRequest -')
  t.equal(
    await ask({ origin: 'http://a.b' }, 'GET'),
    '403 AccessDenied http://a.b',
    'of errors, too',
  )
  const answer = await signed({ path: '/cors-asked/o', headers: { origin: 'http://a.b' } })
  t.match(answer.headers, {
    'access-control-allow-origin': 'http://a.b',
    'access-control-expose-headers': 'ETag',
    'access-control-max-age': '60',
    vary: /Origin/,
  })
  const other = await signed({ path: '/cors-asked/o', headers: { origin: 'http://a.c' } })
  t.equal(other.headers['access-control-allow-origin'], undefined)
  const { 'access-control-allow-origin': ofSwift } = Object.fromEntries(
    (await swift('GET', '/cors-asked/o', { headers: { origin: 'http://a.b' } })).headers,
  )
  t.equal(ofSwift, undefined, 'each API has its own rules')
})

interface FormOptions {
  readonly fields?: Readonly<Record<string, string>>
  readonly conditions?: readonly unknown[]
  readonly expiration?: string
  readonly file?: string
  /** In place of what is signed. */
  readonly policy?: string
  readonly sign?: 2 | 4 | null
  readonly secret?: string
  readonly accessKey?: string
  readonly cut?: number
}

const SOON = () => new Date(Date.now() + 600_000).toISOString()

/** Fills in a form for the bucket `forms` and sends it. */
async function post(options: FormOptions = {}): Promise<RawAnswer> {
  const { sign = 4, secret = MAIN.secretAccessKey, accessKey = MAIN.accessKeyId } = options
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const day = timestamp.slice(0, 8)
  const text = `${day}/us-east-1/s3/aws4_request`
  const scope = { day, region: 'us-east-1', service: 's3', text }
  const credential = `${accessKey}/${scope.day}/us-east-1/s3/aws4_request`
  const version4 = {
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': credential,
    'x-amz-date': timestamp,
  }
  const document = {
    expiration: options.expiration ?? SOON(),
    conditions: [
      { bucket: 'forms' },
      ['starts-with', '$key', 'up/'],
      ['content-length-range', 2, 10],
      ...(sign === 4 ? Object.entries(version4).map(([name, value]) => ({ [name]: value })) : []),
      ...(options.conditions ?? []),
    ],
  }
  const policy = Buffer.from(options.policy ?? JSON.stringify(document)).toString('base64')
  const hmac = (algorithm: string, key: Buffer | string) =>
    createHmac(algorithm, key).update(policy)
  const signatures = {
    2: { AWSAccessKeyId: accessKey, signature: hmac('sha1', secret).digest('base64'), policy },
    4: {
      ...version4,
      'x-amz-signature': hmac('sha256', signingKey(secret, scope)).digest('hex'),
      policy,
    },
  }
  const fields = {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is what forms write.
    key: 'up/${filename}',
    ...(sign === null ? {} : signatures[sign]),
    ...options.fields,
  }
  const parts = Object.entries(fields).map(
    ([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  const file = `--b\r\nContent-Disposition: form-data; name="file"; filename="C:\\dir\\a.txt"\r\nContent-Type: text/plain\r\n\r\n${options.file ?? 'hello'}\r\n--b--\r\n`
  const body = Buffer.from(parts.join('') + file)
  const cut = body.subarray(0, body.length - (options.cut ?? 0))
  const headers = {
    'content-type': 'multipart/form-data; boundary=b',
    'content-length': String(cut.length),
  }
  return send(store.port, { method: 'POST', path: '/forms', headers, body: cut })
}

async function postCode(options: FormOptions = {}): Promise<string> {
  const { status, code } = await post(options)
  return `${status} ${code}`.trim()
}

t.test('a form uploads what its policy allows, and nothing else', async (t) => {
  await bucket('forms')
  const stored = async (name = 'a.txt') => (await signed({ path: `/forms/up/${name}` })).body
  t.equal(await postCode(), '204')
  t.equal(await stored(), 'hello')
  t.equal(await postCode({ sign: 2, file: 'v2' }), '204')
  t.equal(await stored(), 'v2')
  const meta = { 'x-amz-meta-a': 'é', 'Content-Type': 'text/x', tagging: tagging([['k', 'v']]) }
  const free = ['x-amz-meta-a', 'content-type', 'tagging'].map((name) => [
    'starts-with',
    `$${name}`,
    '',
  ])
  t.equal(await postCode({ fields: meta, conditions: free }), '204')
  const head = await s3.send(new HeadObjectCommand({ Bucket: 'forms', Key: 'up/a.txt' }))
  t.match(head, { ContentType: 'text/x', TagCount: 1 })
  const created = await post({
    fields: { success_action_status: '201' },
    conditions: [{ success_action_status: '201' }],
  })
  t.equal(created.status, 201)
  t.match(created.body, '<Key>up/a.txt</Key>')
  const away = 'http://elsewhere/?x=1'
  const sent = await post({
    fields: { success_action_redirect: away },
    conditions: [{ success_action_redirect: away }],
  })
  t.equal(sent.status, 303)
  t.match(
    sent.headers.location,
    /^http:\/\/elsewhere\/\?x=1&bucket=forms&key=up%2Fa\.txt&etag=%22[0-9a-f]{32}%22$/,
  )
  const nowhere = 'javascript:alert(1)'
  const stayed = await post({
    fields: { success_action_redirect: nowhere },
    conditions: [{ success_action_redirect: nowhere }],
  })
  t.equal(stayed.status, 204, 'no browser is sent anywhere but to http')

  for (const [name, options, wanted] of [
    ['another key', { fields: { key: 'down/x' } }, '403 AccessDenied'],
    ['no key', { fields: { key: '' } }, '400 InvalidArgument'],
    [
      'a field that the policy does not know',
      { fields: { 'x-amz-meta-a': '1' } },
      '403 AccessDenied',
    ],
    [
      'a field with another value',
      { fields: { acl: 'public-read' }, conditions: [{ acl: 'private' }] },
      '403 AccessDenied',
    ],
    ['a field that is missing', { conditions: [{ acl: 'private' }] }, '403 AccessDenied'],
    ['another bucket', { conditions: [{ bucket: 'other' }] }, '403 AccessDenied'],
    ['too long', { file: 'x'.repeat(11) }, '400 EntityTooLarge'],
    ['too short', { file: 'x' }, '400 EntityTooSmall'],
    ['expired', { expiration: '2020-01-01T00:00:00Z' }, '403 AccessDenied'],
    ['no date', { expiration: 'tomorrow' }, '400 InvalidPolicyDocument'],
    ['no JSON', { policy: '{' }, '400 InvalidPolicyDocument'],
    [
      'no conditions',
      { policy: JSON.stringify({ expiration: SOON() }) },
      '400 InvalidPolicyDocument',
    ],
    [
      'names in capitals',
      { policy: JSON.stringify({ EXPIRATION: SOON(), conditions: [] }) },
      '400 InvalidPolicyDocument',
    ],
    ['an empty condition', { conditions: [{}] }, '400 InvalidPolicyDocument'],
    [
      'an unknown condition',
      { conditions: [['ends-with', '$key', 'x']] },
      '400 InvalidPolicyDocument',
    ],
    [
      'a length without its end',
      { conditions: [['content-length-range', 1]] },
      '400 InvalidPolicyDocument',
    ],
    [
      'a negative length',
      { conditions: [['content-length-range', -1, 5]] },
      '400 InvalidPolicyDocument',
    ],
    ['a wrong secret', { secret: 'wrong' }, '403 SignatureDoesNotMatch'],
    ['a wrong secret, Version 2', { sign: 2, secret: 'wrong' }, '403 SignatureDoesNotMatch'],
    ['an unknown key', { accessKey: 'nobody' }, '403 InvalidAccessKeyId'],
    [
      'somebody without rights',
      { accessKey: GUEST.accessKeyId, secret: GUEST.secretAccessKey },
      '403 AccessDenied',
    ],
    ['nobody', { sign: null }, '403 AccessDenied'],
    ['half a signature', { fields: { 'x-amz-signature': '' } }, '400 InvalidArgument'],
    [
      'a policy that nobody has signed',
      { sign: null, fields: { policy: 'e30=' } },
      '400 InvalidArgument',
    ],
    [
      'a checksum that is not the file’s',
      { fields: { 'x-amz-checksum-crc32': 'AAAAAA==' } },
      '400 BadDigest',
    ],
    ['a checksum that is none', { fields: { 'x-amz-checksum-crc32': 'A' } }, '400 InvalidRequest'],
    [
      'a header within a field',
      { fields: { 'x-amz-meta-a': 'a\r\nb' }, conditions: [['starts-with', '$x-amz-meta-a', '']] },
      '400 InvalidArgument',
    ],
    [
      'very long fields',
      { fields: { 'x-ignore-a': 'x'.repeat(70_000) } },
      '400 MaxPostPreDataLengthExceeded',
    ],
    ['a form that ends early', { cut: 6, file: 'never' }, '400 MalformedPOSTRequest'],
  ] as readonly (readonly [string, FormOptions, string])[]) {
    t.equal(await postCode(options), wanted, name)
  }
  t.equal(await stored(), 'hello', 'nothing of that was stored')
  const headers = { 'content-type': 'text/plain' }
  t.equal(
    (await send(store.port, { method: 'POST', path: '/forms', headers })).code,
    'PreconditionFailed',
  )
  t.equal(await codeOf({ method: 'POST', path: '/forms', body: 'x' }), '400 InvalidRequest')
})

t.test('who asks pays where the bucket’s owner does not', async (t) => {
  await bucket('paid')
  await signed({ method: 'PUT', path: '/paid/o', headers: { 'x-amz-acl': 'public-read' } })
  const policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: {
      Effect: 'Allow',
      Principal: '*',
      Action: ['s3:ListBucket', 's3:PutObject', 's3:DeleteObject', 's3:GetBucketRequestPayment'],
      Resource: ['arn:aws:s3:::paid', 'arn:aws:s3:::paid/*'],
    },
  })
  t.equal(await codeOf({ method: 'PUT', path: '/paid?policy', body: policy }), '204')
  const payer = (text: string) =>
    `<RequestPaymentConfiguration><Payer>${text}</Payer></RequestPaymentConfiguration>`
  const setting = { path: '/paid?requestPayment' }
  t.match((await signed(setting)).body, /<Payer>BucketOwner<\/Payer>/)
  const set = (body: string, key = MAIN) => codeOf({ ...setting, method: 'PUT', body, key })
  for (const body of ['', payer('Somebody'), payer(''), '<RequestPaymentConfiguration/>'])
    t.equal(await set(body), '400 MalformedXML', body)
  t.equal(await set(payer('Requester'), OTHER), '403 AccessDenied')
  t.equal(await codeOf({ path: '/paid/o', key: null }), '200')
  t.equal(await set(payer('Requester')), '200')
  t.match((await signed(setting)).body, /<Payer>Requester<\/Payer>/)
  const pays = { 'x-amz-request-payer': 'requester' }
  const deletion = '<Delete><Object><Key>gone</Key></Object></Delete>'
  const asked: readonly Pick<SignedRequest, 'method' | 'path' | 'body' | 'headers'>[] = [
    { path: '/paid/o' },
    { method: 'HEAD', path: '/paid/o' },
    { path: '/paid?list-type=2' },
    { method: 'PUT', path: '/paid/theirs', body: 'x' },
    { method: 'POST', path: '/paid?delete', body: deletion },
  ]
  for (const request of asked) {
    const name = `${request.method ?? 'GET'} ${request.path}`
    t.equal((await signed({ ...request, key: OTHER })).status, 403, name)
    t.equal((await signed({ ...request, key: null, headers: pays })).status, 403, name)
    const other = { 'x-amz-request-payer': 'somebody' }
    t.equal((await signed({ ...request, key: OTHER, headers: other })).status, 403, name)
    const charged = await signed({ ...request, key: OTHER, headers: pays })
    t.equal(charged.status, 200, name)
    t.equal(charged.headers['x-amz-request-charged'], 'requester', name)
    const own = await signed({ ...request, headers: pays })
    t.equal(own.status, 200, name)
    t.equal(own.headers['x-amz-request-charged'], undefined, 'the owner is charged for nothing')
  }
  const missing = await signed({ path: '/paid/none', key: OTHER, headers: pays })
  t.equal(missing.status, 404)
  t.equal(missing.headers['x-amz-request-charged'], undefined)
  await signed({ method: 'PUT', path: '/payers-own', key: OTHER })
  const copied = (headers: Readonly<Record<string, string>>) =>
    signed({
      method: 'PUT',
      path: '/payers-own/copy',
      key: OTHER,
      headers: { 'x-amz-copy-source': '/paid/o', ...headers },
    })
  t.equal((await copied({})).code, 'AccessDenied', 'and a copy’s source')
  t.equal((await copied(pays)).headers['x-amz-request-charged'], 'requester')
  const host = `127.0.0.1:${store.port}`
  const presigned = (path: string) =>
    send(store.port, { method: 'GET', path: presign('GET', path, host, OTHER), headers: { host } })
  t.equal((await presigned('/paid/o')).status, 403)
  t.equal((await presigned('/paid/o?x-amz-request-payer=requester')).status, 200)
  t.equal(await set(payer('BucketOwner')), '200')
  t.equal(await codeOf({ path: '/paid/o', key: null }), '200')
})
