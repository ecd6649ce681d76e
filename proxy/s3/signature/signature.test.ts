/** Signatures against AWS's published examples, and against what attackers make of them. */
import { createHmac, randomBytes } from 'node:crypto'
import t from 'tap'
import { ChunkedDecoder } from '../body/chunked-decoder.ts'
import { S3Error } from '../s3-error.ts'
import { queryPairs, type SignableRequest } from './canonical.ts'
import { ChunkSignatures } from './chunk-signatures.ts'
import { HmacSha256 } from './hmac-sha256.ts'
import { type ClaimV2, type ClaimV4, readClaim } from './signature-claim.ts'
import { SigningKeys } from './signing-keys.ts'
import { stringToSignV2 } from './string-to-sign-v2.ts'
import { type GoodSignature, verifyV2, verifyV4 } from './verify.ts'

const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const HOST = 'examplebucket.s3.amazonaws.com'
const AT = Date.UTC(2013, 4, 24)
const MINUTE = 60_000

function authorization(signedHeaders: string, signature: string): string {
  return `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signedHeaders},Signature=${signature}`
}

function verify(
  request: SignableRequest,
  options: { secret?: string; nowMs?: number } = {},
): GoodSignature {
  const query = queryPairs(request.url.split('?')[1] ?? '')
  const claim = readClaim(request, query) as ClaimV4
  const { secret = SECRET, nowMs = AT } = options
  return verifyV4(request, claim, { secret, query, keys: new SigningKeys(), nowMs })
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
  return 'none'
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and …/sigv4-query-string-auth.html */
const EXAMPLES: Readonly<Record<string, SignableRequest>> = {
  'GET of an object with a range': {
    method: 'GET',
    url: '/test.txt',
    headers: {
      host: HOST,
      range: 'bytes=0-9',
      'x-amz-date': '20130524T000000Z',
      'x-amz-content-sha256': EMPTY,
      authorization: authorization(
        'host;range;x-amz-content-sha256;x-amz-date',
        'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
      ),
    },
  },
  'PUT of an object with a name to escape, and a Date': {
    method: 'PUT',
    url: '/test$file.text',
    headers: {
      host: HOST,
      date: 'Fri, 24 May 2013 00:00:00 GMT',
      'x-amz-date': '20130524T000000Z',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      authorization: authorization(
        'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
        '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
      ),
    },
  },
  'GET of a subresource': {
    method: 'GET',
    url: '/?lifecycle',
    headers: {
      host: HOST,
      'x-amz-date': '20130524T000000Z',
      'x-amz-content-sha256': EMPTY,
      authorization: authorization(
        'host;x-amz-content-sha256;x-amz-date',
        'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
      ),
    },
  },
  'GET of a listing': {
    method: 'GET',
    url: '/?max-keys=2&prefix=J',
    headers: {
      host: HOST,
      'x-amz-date': '20130524T000000Z',
      'x-amz-content-sha256': EMPTY,
      authorization: authorization(
        'host;x-amz-content-sha256;x-amz-date',
        '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
      ),
    },
  },
  'a presigned URL': {
    method: 'GET',
    url: '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
    headers: { host: HOST },
  },
}

t.test('signatures of Version 4 are those of the published examples', async (t) => {
  for (const [name, request] of Object.entries(EXAMPLES)) {
    t.doesNotThrow(() => verify(request), name)
    t.equal(
      codeOf(() => verify(request, { secret: `${SECRET}x` })),
      'SignatureDoesNotMatch',
      name,
    )
    const other = { ...request, method: request.method === 'GET' ? 'DELETE' : 'GET' }
    t.equal(
      codeOf(() => verify(other)),
      'SignatureDoesNotMatch',
      `${name}, another method`,
    )
    const moved = { ...request, url: request.url.replace(/^\/\w*/, '/other') }
    t.equal(
      codeOf(() => verify(moved)),
      'SignatureDoesNotMatch',
      `${name}, another path`,
    )
  }
})

t.test('a signature is good for its time only', async (t) => {
  const [header, url] = [EXAMPLES['GET of a listing']!, EXAMPLES['a presigned URL']!]
  for (const [minutes, code] of [
    [14, 'none'],
    [-14, 'none'],
    [16, 'RequestTimeTooSkewed'],
    [-16, 'RequestTimeTooSkewed'],
  ] as const) {
    const nowMs = AT + minutes * MINUTE
    t.equal(
      codeOf(() => verify(header, { nowMs })),
      code,
      `headers, ${minutes} minutes later`,
    )
  }
  for (const [minutes, code] of [
    [23 * 60, 'none'],
    [24 * 60 + 1, 'AccessDenied'],
    [-16, 'AccessDenied'],
  ] as const) {
    const nowMs = AT + minutes * MINUTE
    t.equal(
      codeOf(() => verify(url, { nowMs })),
      code,
      `a URL, ${minutes} minutes later`,
    )
  }
})

t.test('headers that nobody has signed are refused, whatever they ask for', async (t) => {
  for (const [name, request] of Object.entries(EXAMPLES)) {
    const headers = { ...request.headers, 'x-amz-copy-source': '/secret/object' }
    t.equal(
      codeOf(() => verify({ ...request, headers })),
      'AccessDenied',
      name,
    )
  }
})

t.test('what is no signature is refused in S3’s words', async (t) => {
  const base = EXAMPLES['GET of a listing']!
  const claim = (headers: Record<string, string | undefined>, url = '/') => {
    const all = Object.entries({ ...base.headers, ...headers }).filter(
      ([, value]) => value !== undefined,
    )
    const request = { method: 'GET', url, headers: Object.fromEntries(all) }
    return () => readClaim(request, queryPairs(url.split('?')[1] ?? ''))
  }
  const good = base.headers.authorization!
  const cases: readonly (readonly [() => unknown, string])[] = [
    [claim({ authorization: 'AWS4-HMAC-SHA256 Credential=x' }), 'AuthorizationHeaderMalformed'],
    [claim({ authorization: good.replace('/s3/', '/sts/') }), 'AuthorizationHeaderMalformed'],
    [
      claim({ authorization: good.replace('20130524', '20130525') }),
      'AuthorizationHeaderMalformed',
    ],
    [claim({ authorization: good.replace('=host;', '=') }), 'AuthorizationHeaderMalformed'],
    [claim({ authorization: good.replace('HMAC', 'ECDSA-P256') }), 'NotImplemented'],
    [claim({ authorization: 'Basic abc' }), 'InvalidArgument'],
    [claim({ authorization: 'AWS nothing' }), 'InvalidArgument'],
    [claim({ 'x-amz-date': 'yesterday' }), 'AccessDenied'],
    [claim({ 'x-amz-date': undefined }), 'AccessDenied'],
    [claim({ 'x-amz-content-sha256': undefined }), 'InvalidRequest'],
    [claim({}, EXAMPLES['a presigned URL']!.url), 'InvalidArgument'],
  ]
  for (const [action, code] of cases) t.equal(codeOf(action), code)
  const url = EXAMPLES['a presigned URL']!.url
  for (const [from, to] of [
    ['X-Amz-Expires=86400', 'X-Amz-Expires=x'],
    ['&X-Amz-Expires=86400', ''],
    ['20130524T000000Z', '20130524'],
  ] as const) {
    const action = claim({ authorization: undefined }, url.replace(from, to))
    t.equal(codeOf(action), 'AuthorizationQueryParametersError', `${from} -> ${to}`)
  }
  for (const seconds of [604_801, 0, -1]) {
    const asked = url.replace('X-Amz-Expires=86400', `X-Amz-Expires=${seconds}`)
    t.equal(codeOf(claim({ authorization: undefined }, asked)), 'AccessDenied', `${seconds} s`)
  }
  t.equal(readClaim({ method: 'GET', url: '/', headers: { host: HOST } }, []), null)
})

t.test('what a header says before its signature is remembered, and nothing else', async (t) => {
  const base = EXAMPLES['GET of a listing']!
  const good = base.headers.authorization!
  const [beginning] = good.split(/[0-9a-f]{64}$/)
  const claim = (text: string, headers: Record<string, string> = {}) =>
    readClaim({ ...base, headers: { ...base.headers, ...headers, authorization: text } }, [])
  const first = claim(good)
  t.same(claim(good), first)
  for (let i = 0; i < 20; i++) {
    const signature = randomBytes(32).toString('hex')
    t.same(claim(`${beginning}${signature}`), { ...first, signature })
  }
  const other = 'Credential=OTHER/20130524/us-east-1/s3/aws4_request'
  const padding = 'a'.repeat(64 - other.length - 1)
  t.match(claim(`${beginning}${padding},${other}`), { accessKey: 'OTHER', signature: padding })
  t.match(claim(`${good},${other}`), { accessKey: 'OTHER' })
  t.match(claim(`${good},SignedHeaders=host`), { signedHeaders: ['host'] })
  t.match(claim(`${beginning} short `), { signature: 'short' })
  const twice = claim(`${beginning}${'b'.repeat(64)},Old Signature=${'b'.repeat(64)}`)
  t.match(twice, { signature: 'b'.repeat(64) })
  t.match(claim(`${beginning}${'b'.repeat(64)},Old Signature=${'c'.repeat(64)}`), twice!)
  t.match(claim(good, { 'x-amz-date': '20130524T235959Z' }), { timestamp: '20130524T235959Z' })
  for (const headers of [
    { 'x-amz-date': '20130525T000000Z' },
    { 'x-amz-date': '20130230T000000Z' },
  ])
    t.not(
      codeOf(() => claim(good, headers)),
      'none',
    )
  t.equal(
    codeOf(() => readClaim(base, [], { services: ['iam', 'sts'] })),
    'AuthorizationHeaderMalformed',
    'one of another service',
  )
  // More than are remembered.
  for (let i = 0; i < 600; i++) {
    const one = claim(good.replace('AKIAIOSFODNN7EXAMPLE', `KEY${i}`))
    t.equal((one as ClaimV4).accessKey, `KEY${i}`)
  }
  t.same(claim(good), first)
})

t.test('signing keys are kept for a bounded number of days and credentials', async (t) => {
  const keys = new SigningKeys({ keysMax: 3 })
  const first = keys.get('a', SCOPE)
  t.equal(keys.get('a', SCOPE), first, 'made once')
  t.not(keys.get('b', SCOPE).hex(''), first.hex(''))
  const tomorrow = { ...SCOPE, day: '20130525', text: SCOPE.text.replace('24', '25') }
  t.not(keys.get('b', tomorrow).hex(''), keys.get('b', SCOPE).hex(''))
  for (const secret of ['c', 'd', 'e', 'f']) keys.get(secret, SCOPE)
  t.equal(keys.size, 3)
})

t.test('HMACs by two digests are those of node:crypto, whatever is between them', async (t) => {
  const [key, other] = [randomBytes(32), randomBytes(64)]
  const [mine, others] = [new HmacSha256(key), new HmacSha256(other)]
  const wanted = (by: Uint8Array, text: string) =>
    createHmac('sha256', by).update(text, 'latin1').digest('hex')
  for (const length of [0, 1, 55, 56, 63, 64, 64, 65, 200, 200, 70_000, 70_000, 200, 0]) {
    const text = randomBytes(length).toString('latin1')
    t.equal(mine.hex(text), wanted(key, text), `${length} bytes`)
    t.equal(others.hex(text), wanted(other, text), `${length} bytes, a key of a block`)
  }
  t.throws(() => new HmacSha256(randomBytes(65)), /longer than a block/)
})

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html */
t.test('texts to sign of Version 2 are those of the published examples', async (t) => {
  const bucket = 'awsexamplebucket1'
  const text = (request: SignableRequest, host: string | undefined, expires?: string) =>
    stringToSignV2(request, {
      query: queryPairs(request.url.split('?')[1] ?? ''),
      bucket: host,
      expires,
    })
  const date = 'Tue, 27 Mar 2007 19:36:42 +0000'
  t.equal(
    text({ method: 'GET', url: '/photos/puppy.jpg', headers: { date } }, bucket),
    `GET\n\n\n${date}\n/awsexamplebucket1/photos/puppy.jpg`,
  )
  t.equal(
    text(
      { method: 'GET', url: '/?prefix=photos&max-keys=50&marker=puppy', headers: { date } },
      bucket,
    ),
    `GET\n\n\n${date}\n/awsexamplebucket1/`,
  )
  t.equal(
    text({ method: 'GET', url: '/?acl', headers: { date } }, bucket),
    `GET\n\n\n${date}\n/awsexamplebucket1/?acl`,
  )
  const upload = {
    method: 'PUT',
    url: '/db-backup.dat.gz',
    headers: {
      date: 'Tue, 27 Mar 2007 21:06:08 +0000',
      'x-amz-acl': 'public-read',
      'content-type': 'application/x-download',
      'content-md5': '4gJE4saaMU4BqNR0kLY+lw==',
      'x-amz-meta-reviewedby': 'joe@example.com,jane@example.com',
      'x-amz-meta-filechecksum': '0x02661779',
      'x-amz-meta-checksumalgorithm': 'crc32',
    },
  }
  t.equal(
    text(upload, 'static.example.com'),
    [
      'PUT',
      '4gJE4saaMU4BqNR0kLY+lw==',
      'application/x-download',
      'Tue, 27 Mar 2007 21:06:08 +0000',
      'x-amz-acl:public-read',
      'x-amz-meta-checksumalgorithm:crc32',
      'x-amz-meta-filechecksum:0x02661779',
      'x-amz-meta-reviewedby:joe@example.com,jane@example.com',
      '/static.example.com/db-backup.dat.gz',
    ].join('\n'),
  )
  t.equal(
    text(
      { method: 'GET', url: '/photos/puppy.jpg?Expires=1175139620', headers: {} },
      bucket,
      '1175139620',
    ),
    'GET\n\n\n1175139620\n/awsexamplebucket1/photos/puppy.jpg',
  )
  t.equal(
    text(
      { method: 'GET', url: '/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re', headers: { date } },
      undefined,
    ),
    `GET\n\n\n${date}\n/dictionary/fran%C3%A7ais/pr%C3%A9f%C3%A8re`,
  )
})

t.test('a signature of Version 2 is good for its request, its secret and its time', async (t) => {
  const sign = (text: string) => createHmac('sha1', SECRET).update(text).digest('base64')
  const date = 'Fri, 24 May 2013 00:00:00 GMT'
  const signature = sign(`GET\n\n\n${date}\n/b/k`)
  const request = (url: string) => ({
    method: 'GET',
    url,
    headers: { date, authorization: `AWS AKID:${signature}` },
  })
  const check = (asked: SignableRequest, nowMs = AT, secret = SECRET) =>
    codeOf(() => {
      const query = queryPairs(asked.url.split('?')[1] ?? '')
      const claim = readClaim(asked, query) as ClaimV2
      verifyV2(asked, claim, { secret, query, bucket: undefined, nowMs })
    })
  t.equal(check(request('/b/k')), 'none')
  t.equal(check(request('/b/k'), AT, 'other'), 'SignatureDoesNotMatch')
  for (const [signed, good, bad] of [
    ['/b', '/b', '/b/k'],
    ['/b/', '/b', '/b/k'],
    ['/b/', '/b/', '/c'],
    ['/b/?acl', '/b?acl', '/b?policy'],
  ] as const) {
    const headers = { date, authorization: `AWS AKID:${sign(`PUT\n\n\n${date}\n${signed}`)}` }
    t.equal(check({ method: 'PUT', url: good, headers }), 'none', `${good} signed as ${signed}`)
    t.equal(check({ method: 'PUT', url: bad, headers }), 'SignatureDoesNotMatch')
  }
  const before = 'Tue, 07 Jul 1950 21:53:04 GMT'
  const early = { date: before, authorization: `AWS AKID:${sign(`GET\n\n\n${before}\n/b`)}` }
  t.equal(check({ method: 'GET', url: '/b', headers: early }), 'AccessDenied')
  t.equal(check(request('/b/k?acl')), 'SignatureDoesNotMatch')
  t.equal(check(request('/b/k'), AT + 16 * MINUTE), 'RequestTimeTooSkewed')
  const expires = String(AT / 1000 + 60)
  const inQuery = encodeURIComponent(sign(`GET\n\n\n${expires}\n/b/k`))
  const url = `/b/k?AWSAccessKeyId=AKID&Expires=${expires}&Signature=${inQuery}`
  t.equal(check({ method: 'GET', url, headers: {} }), 'none')
  t.equal(check({ method: 'GET', url, headers: {} }, AT + 2 * MINUTE), 'AccessDenied')
  const moved = `GET\n\n\n${expires}\nx-amz-security-token:t/+\n/b/k`
  const withToken = (more: string) =>
    `/b/k?AWSAccessKeyId=AKID&Expires=${expires}&x-amz-security-token=t%2F%2B&Signature=${encodeURIComponent(sign(moved))}${more}`
  t.equal(check({ method: 'GET', url: withToken(''), headers: {} }), 'none', 'as boto3 has it')
  for (const more of ['&x-amz-security-token=u', '&x-amz-acl=public-read', '&select']) {
    const refused = check({ method: 'GET', url: withToken(more), headers: {} })
    t.equal(refused, 'SignatureDoesNotMatch', more)
  }
  const copy = { 'x-amz-copy-source': '/secret/object' }
  t.equal(check({ method: 'GET', url, headers: copy }), 'SignatureDoesNotMatch')
  const signed = (asked: string, resource: string) => {
    const authorization = `AWS AKID:${sign(`GET\n\n\n${date}\n${resource}`)}`
    return check({ method: 'GET', url: asked, headers: { date, authorization } })
  }
  t.equal(signed('/b', '/b/'), 'none', 'a bucket as boto3 signs it')
  t.equal(signed('/b?acl', '/b/?acl'), 'none')
  t.equal(signed('/b?acl', '/b/'), 'SignatureDoesNotMatch')
  t.equal(signed('/b/k', '/b/k/'), 'SignatureDoesNotMatch', 'no object is another one')
  t.equal(signed('/b/', '/b'), 'SignatureDoesNotMatch')
})

const SCOPE = {
  day: '20130524',
  region: 'us-east-1',
  service: 's3',
  text: '20130524/us-east-1/s3/aws4_request',
}

const CHUNKS = {
  key: new SigningKeys().get(SECRET, SCOPE),
  scope: SCOPE.text,
  timestamp: '20130524T000000Z',
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html */
const SIGNED_STREAMS = [
  {
    name: 'chunks',
    seed: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    chunks: [
      'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
    ],
    trailer: '',
  },
  {
    name: 'chunks and a trailer',
    seed: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
    chunks: [
      'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
      '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
      '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
    ],
    trailer:
      'x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n',
  },
]

function signedStream({ chunks: [first, second, last], trailer }: (typeof SIGNED_STREAMS)[number]) {
  return Buffer.from(
    `10000;chunk-signature=${first}\r\n${'a'.repeat(65_536)}\r\n400;chunk-signature=${second}\r\n${'a'.repeat(1024)}\r\n0;chunk-signature=${last}\r\n${trailer}\r\n`,
  )
}

t.test('signed chunks and trailers are those of the published examples', async (t) => {
  for (const example of SIGNED_STREAMS) {
    const decode = (body: Buffer, pieceBytes: number) => {
      const verifier = new ChunkSignatures({ ...CHUNKS, signature: example.seed })
      const decoder = new ChunkedDecoder({ verifier, hasTrailer: example.trailer !== '' })
      let bytes = 0
      for (let at = 0; at < body.length; at += pieceBytes) {
        for (const part of decoder.decode(body.subarray(at, at + pieceBytes))) bytes += part.length
      }
      decoder.end()
      return bytes
    }
    const body = signedStream(example)
    for (const pieceBytes of [1, 7, 1024, 65_536, 1_000_000]) {
      t.equal(decode(body, pieceBytes), 66_560, `${example.name} in pieces of ${pieceBytes}`)
    }
    const forged = Buffer.from(body)
    forged[30_000] = 0x62
    t.equal(
      codeOf(() => decode(forged, 4096)),
      'SignatureDoesNotMatch',
      `${example.name}, a byte changed`,
    )
    const text = body.toString('latin1')
    const swapped = Buffer.from(text.replace('sOO8/Q==', 'sOO8/A=='))
    if (example.trailer !== '')
      t.equal(
        codeOf(() => decode(swapped, 4096)),
        'SignatureDoesNotMatch',
      )
    const unsigned = Buffer.from(text.replaceAll(/;chunk-signature=[0-9a-f]+/g, ''))
    t.equal(
      codeOf(() => decode(unsigned, 4096)),
      'InvalidRequest',
      `${example.name}, not signed`,
    )
    for (const bytes of [0, 10, 100, 65_000, body.length - 3]) {
      t.equal(
        codeOf(() => decode(body.subarray(0, bytes), 4096)),
        'IncompleteBody',
        `cut after ${bytes}`,
      )
    }
  }
})
