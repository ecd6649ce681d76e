/** What comes in: coded bodies, checksums, XML. */
import t from 'tap'
import { seededRandom } from '../../../test/support/seeded-random.ts'
import {
  CHECKSUM_ALGORITHMS,
  type ChecksumAlgorithm,
  decodeChecksum,
  encodeChecksum,
  isChecksumValue,
} from '../checksum/checksum-algorithm.ts'
import { combineCrcs } from '../checksum/combine-crc.ts'
import { checksumOf, openHasher } from '../checksum/hasher.ts'
import { S3_ROUTES, SUBRESOURCES } from '../routing/routes.ts'
import { bucketOfHost, parseTarget } from '../routing/s3-target.ts'
import { S3Error } from '../s3-error.ts'
import { parseXml } from '../xml/xml-in.ts'
import { renderS3Xml } from '../xml/xml-out.ts'
import { planBody, storedEncoding } from './body-plan.ts'
import { ChunkedDecoder } from './chunked-decoder.ts'

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
  return 'none'
}

function decodeAll(
  body: string,
  hasTrailer: boolean,
  pieceBytes = 5,
): ChunkedDecoder & { text: string } {
  const decoder = new ChunkedDecoder({ verifier: null, hasTrailer })
  const bytes = Buffer.from(body, 'latin1')
  let text = ''
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    for (const part of decoder.decode(bytes.subarray(at, at + pieceBytes)))
      text += part.toString('latin1')
  }
  decoder.end()
  return Object.assign(decoder, { text })
}

t.test('unsigned chunks are put together, their trailers read', async (t) => {
  const body = '5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n'
  for (const pieceBytes of [1, 2, 3, 1000]) {
    const decoded = decodeAll(body, true, pieceBytes)
    t.equal(decoded.text, 'hello world')
    t.strictSame([...decoded.trailers], [['x-amz-checksum-crc32', 'DUoRhQ==']])
  }
  t.equal(decodeAll('0\r\n\r\n', false).text, '')
})

t.test('bodies that are not what they say end with an error, and never with a wait', async (t) => {
  const long = 'x'.repeat(2000)
  const cases: readonly (readonly [body: string, hasTrailer: boolean, code: string])[] = [
    ['', false, 'IncompleteBody'],
    ['5\r\nhel', false, 'IncompleteBody'],
    ['5\r\nhello\r\n', false, 'IncompleteBody'],
    ['5\r\nhello\r\n0\r\n', true, 'IncompleteBody'],
    ['5\r\nhello\r\n0\r\nx-amz-checksum-crc32:DU', true, 'IncompleteBody'],
    ['5\r\nhelloX\r\n0\r\n\r\n', false, 'InvalidRequest'],
    ['-5\r\nhello\r\n', false, 'InvalidRequest'],
    ['zz\r\n', false, 'InvalidRequest'],
    ['fffffffffffff\r\n', false, 'InvalidRequest'],
    ['\r\n\r\n', false, 'InvalidRequest'],
    [`${long}\r\n`, false, 'InvalidRequest'],
    [long, false, 'InvalidRequest'],
    ['5\nhello\r\n', false, 'InvalidRequest'],
    [`5;chunk-signature=${'0'.repeat(64)}\r\nhello\r\n`, false, 'InvalidRequest'],
    ['0\r\n\r\n0\r\n\r\n', false, 'InvalidRequest'],
    ['0\r\na:b\r\n\r\n', false, 'InvalidRequest'],
    ['0\r\nnothing\r\n\r\n', true, 'MalformedTrailerError'],
    ['0\r\na:b\r\na:c\r\n\r\n', true, 'MalformedTrailerError'],
    [
      `0\r\n${Array.from({ length: 20 }, (_, i) => `a${i}:b\r\n`).join('')}\r\n`,
      true,
      'MalformedTrailerError',
    ],
    [`0\r\na:${long}\r\n\r\n`, true, 'InvalidRequest'],
  ]
  for (const [body, hasTrailer, code] of cases) {
    for (const pieceBytes of [1, 1000]) {
      t.equal(
        codeOf(() => decodeAll(body, hasTrailer, pieceBytes)),
        code,
        JSON.stringify(body.slice(0, 60)),
      )
    }
  }
})

const TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

function plan(headers: Readonly<Record<string, string>>, payloadHash?: string) {
  return planBody((name) => headers[name], Object.keys(headers), payloadHash)
}

t.test('checksums are sent once, and by the name that is announced', async (t) => {
  t.match(plan({ 'content-length': '5' }, 'UNSIGNED-PAYLOAD'), {
    coding: { kind: 'plain' },
    bytes: 5,
  })
  const decoded = { 'x-amz-decoded-content-length': '5' }
  t.match(plan({ ...decoded, 'x-amz-trailer': 'x-amz-checksum-crc32' }, TRAILER), {
    coding: { kind: 'chunked', isSigned: false, hasTrailer: true },
    bytes: 5,
    checksum: { algorithm: 'CRC32' },
  })
  const crc = { 'x-amz-checksum-crc32': 'DUoRhQ==' }
  const cases: readonly (readonly [Readonly<Record<string, string>>, string, string])[] = [
    [{ ...decoded, 'x-amz-trailer': 'x-amz-checksum-crc32', ...crc }, TRAILER, 'InvalidRequest'],
    [
      { ...crc, 'x-amz-checksum-sha1': 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=' },
      EMPTY_HASH,
      'InvalidRequest',
    ],
    [{ 'x-amz-trailer': 'x-amz-checksum-crc32' }, EMPTY_HASH, 'InvalidRequest'],
    [{ ...decoded, 'x-amz-trailer': 'x-amz-meta-a' }, TRAILER, 'InvalidRequest'],
    [{ 'x-amz-checksum-crc32': 'AA==' }, EMPTY_HASH, 'BadDigest'],
    [{ ...crc, 'x-amz-sdk-checksum-algorithm': 'SHA1' }, EMPTY_HASH, 'InvalidRequest'],
    [{ 'x-amz-sdk-checksum-algorithm': 'CRC32' }, EMPTY_HASH, 'InvalidRequest'],
    [{ ...crc, 'x-amz-sdk-checksum-algorithm': 'ROT13' }, EMPTY_HASH, 'InvalidRequest'],
    [{}, TRAILER, 'MissingContentLength'],
    [{ 'content-md5': 'short' }, EMPTY_HASH, 'InvalidDigest'],
    [{}, 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD', 'NotImplemented'],
    [{}, 'STREAMING-UNSIGNED-PAYLOAD', 'InvalidArgument'],
    [{}, 'anything', 'InvalidArgument'],
  ]
  for (const [headers, hash, code] of cases) {
    t.equal(
      codeOf(() => plan(headers, hash)),
      code,
      JSON.stringify(headers),
    )
  }
  t.equal(storedEncoding('aws-chunked'), undefined)
  t.equal(storedEncoding('gzip, aws-chunked'), 'gzip')
  t.equal(storedEncoding('gzip,br'), 'gzip,br')
  t.equal(storedEncoding('gzip, br'), 'gzip, br')
  t.equal(storedEncoding('gzip,aws-chunked,br'), 'gzip, br')
})

const EMPTY_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** Check values of the CRC catalogue, of the RFCs, and of xxHash itself, for `123456789`. */
const CHECKS: Readonly<Record<ChecksumAlgorithm, string>> = {
  CRC32: 'cbf43926',
  CRC32C: 'e3069283',
  CRC64NVME: 'ae8b14860a799888',
  MD5: '25f9e794323b453885f5181f1b624d0b',
  SHA1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
  SHA256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  SHA512:
    'd9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85',
  XXHASH64: '8cb841db40e6ae83',
  XXHASH3: '72dcb18b67a17dff',
  XXHASH128: '33119477ede5dcd5e9716427681d5860',
}

t.test('checksums have their published check values, in pieces and side by side', async (t) => {
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    t.equal(
      (await checksumOf(algorithm, Buffer.from('123456789'))).toString('hex'),
      CHECKS[algorithm],
    )
    const [one, other] = [await openHasher(algorithm), await openHasher(algorithm)]
    one.update(Buffer.from('1234'))
    other.update(Buffer.from('something else'))
    one.update(Buffer.from('56789'))
    t.equal(one.digest().toString('hex'), CHECKS[algorithm], `${algorithm} beside another`)
    other.close()
    other.close()
    const value = Buffer.from(CHECKS[algorithm], 'hex').toString('base64')
    t.ok(isChecksumValue(algorithm, value))
    t.notOk(isChecksumValue(algorithm, `${value}=`))
    const checksum = { algorithm, value, type: 'COMPOSITE' as const }
    t.strictSame(decodeChecksum(encodeChecksum(checksum)), checksum)
  }
  t.equal(decodeChecksum('ROT13 FULL_OBJECT x'), undefined)
  t.equal(decodeChecksum(undefined), undefined)
})

t.test('CRCs of parts come to that of the whole', async (t) => {
  const random = seededRandom(20260301)
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
    for (const lengths of [[0], [1], [0, 5], [5, 0], [1, 1, 1], [1000, 65_536, 3], [7, 100_000]]) {
      const parts = lengths.map((length) => Buffer.from(random.bytes(length)))
      const stretches = await Promise.all(
        parts.map(async (part) => ({ crc: await checksumOf(algorithm, part), bytes: part.length })),
      )
      const whole = await checksumOf(algorithm, Buffer.concat(parts))
      t.strictSame(combineCrcs(algorithm, stretches), whole, `${algorithm} of ${lengths}`)
    }
  }
})

t.test('XML is read as text, and refused where it is more than that', async (t) => {
  const body =
    '<?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key> a&amp;b&#x20;&lt;ü </Key></Object><Object><Key>007</Key></Object><Quiet/></Delete>'
  const root = parseXml(Buffer.from(body), 'Delete')
  t.strictSame(
    root.children('Object').map((node) => node.textOf('Key')),
    [' a&b <ü ', '007'],
  )
  t.equal(root.textOf('Quiet'), '')
  t.equal(root.textOf('Missing'), undefined)
  const deep = '<a>'.repeat(40) + '</a>'.repeat(40)
  for (const bad of [
    '',
    'text',
    '<Other/>',
    '<Delete>',
    '<Delete></Other>',
    '<!DOCTYPE Delete [<!ENTITY a "b">]><Delete>&a;</Delete>',
    '<!doctype x><Delete/>',
    '<Delete><![CDATA[x]]></Delete>',
    `<Delete>${deep}</Delete>`,
    // Each character is looked at once: otherwise these would take hours.
    '<a'.repeat(1 << 20),
    '<'.repeat(1 << 21),
    '<?'.repeat(1 << 20),
    `${'<a'.repeat(1 << 20)}>`,
    `${'<?'.repeat(1 << 20)}>`,
  ]) {
    t.equal(
      codeOf(() => parseXml(Buffer.from(bad), 'Delete')),
      'MalformedXML',
      bad.slice(0, 50),
    )
  }
  t.equal(
    codeOf(() => parseXml(Buffer.from([0x3c, 0xff, 0x3e]), 'Delete')),
    'MalformedXML',
  )
  t.equal(
    renderS3Xml('A', { B: '<&>"\'\x01\r', C: [{ D: 1 }, { D: 2 }], E: '', F: undefined }),
    '<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><B>&lt;&amp;&gt;&quot;&apos;&#x1;&#xd;</B><C><D>1</D></C><C><D>2</D></C><E/></A>',
  )
})

t.test('the table of actions names each once, and overlooks no parameter', async (t) => {
  const names = S3_ROUTES.map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  for (const { on, query } of S3_ROUTES) {
    if (query !== undefined && !query.includes('='))
      t.ok(SUBRESOURCES[on].has(query), `${on} ?${query}`)
  }
})

t.test('hosts and paths name buckets and keys', async (t) => {
  const domains = ['s3.example.com']
  t.strictSame(parseTarget('/b%2Fc/d%20e/', 'localhost:80', []), {
    bucket: 'b',
    key: 'c/d e/',
    isVirtualHost: false,
  })
  t.strictSame(parseTarget('/a//b', 'My.Bucket.S3.example.com:8080', domains), {
    bucket: 'my.bucket',
    key: 'a//b',
    isVirtualHost: true,
  })
  t.strictSame(parseTarget('/', 's3.example.com', domains), {
    bucket: undefined,
    key: undefined,
    isVirtualHost: false,
  })
  t.equal(bucketOfHost('evils3.example.com', domains), undefined)
  for (const path of ['/%ff', '/a%00', '//key']) {
    t.match(
      codeOf(() => parseTarget(path, undefined, [])),
      /InvalidURI|InvalidBucketName/,
      path,
    )
  }
})
