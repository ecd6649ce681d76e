/** PutObject with x-amz-write-offset-bytes over a real socket. */
import { createHash } from 'node:crypto'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { ServiceError } from '../../common/errors.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { openS3Rig, putInParts } from './s3-store.ts'

const BUCKET = 'append'
const { s3, swift, signed, store } = await openS3Rig(t)
await s3.send(new CreateBucketCommand({ Bucket: BUCKET }))

function append(Key: string, WriteOffsetBytes: number, Body: string | Buffer, more = {}) {
  const input = { Bucket: BUCKET, Key, Body, WriteOffsetBytes, ...more }
  return s3.send(new PutObjectCommand(input))
}

async function outcome(...given: Parameters<typeof append>): Promise<string> {
  try {
    const { Size } = await append(...given)
    return `${Size}`
  } catch (error) {
    return (error as Error).name
  }
}

/** The SDK compares the checksum of the whole. */
async function read(Key: string, more = {}): Promise<Buffer> {
  const input = { Bucket: BUCKET, Key, ChecksumMode: 'ENABLED' as const, ...more }
  const { Body } = await s3.send(new GetObjectCommand(input))
  return Buffer.from(await Body!.transformToByteArray())
}

t.test('an object begins and grows', async (t) => {
  t.equal(await outcome('log', 5, 'x'), 'InvalidWriteOffset', 'nothing is there')
  const first = await append('log', 0, 'one\n', {
    ContentType: 'text/plain',
    Metadata: { color: 'blue' },
    Tagging: 'a=b',
  })
  t.equal(first.Size, undefined)
  const second = await append('log', 4, 'two\n')
  t.equal(second.Size, 8)
  t.equal(second.ChecksumType, 'FULL_OBJECT')
  t.equal(`${await read('log')}`, 'one\ntwo\n')
  const head = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'log' }))
  t.match(head, { ETag: second.ETag, ContentLength: 8, ContentType: 'text/plain' })
  t.match(head.Metadata, { color: 'blue' })
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET }))
  t.match(Contents, [{ Key: 'log', Size: 8, ETag: second.ETag }])
  for (const offset of [0, 4, 7, 9])
    t.equal(await outcome('log', offset, 'x'), 'InvalidWriteOffset')
  t.equal(await outcome('log', 8, ''), '8', 'nothing is appended')
  t.equal(`${await read('log')}`, 'one\ntwo\n')
})

t.test('an object of any size grows by pieces of any size', async (t) => {
  const seed = 271_828
  t.comment(`seed ${seed}`)
  const random = seededRandom(seed)
  const sizes = [3, 70_000, 10, 1_500_000, 20, 30, 90_000, 5_000_000, 1, 200_000, 65_536, 65_537]
  const pieces: Buffer[] = []
  let bytes = 0
  for (const size of sizes) {
    const piece = Buffer.alloc(size, String.fromCharCode(97 + random.below(26)))
    const { Size = size } = await append('large', bytes, piece)
    pieces.push(piece)
    bytes += size
    t.equal(Size, bytes)
    t.ok(Buffer.concat(pieces).equals(await read('large')), `${size} more, ${bytes}`)
  }
  const whole = Buffer.concat(pieces)
  const range = { Range: 'bytes=69990-1580000', ChecksumMode: undefined }
  t.ok(whole.subarray(69_990, 1_580_001).equals(await read('large', range)))
  const seen = await swift('GET', `/${BUCKET}/large`)
  t.ok(whole.equals(Buffer.from(await seen.arrayBuffer())), 'Swift reads it, too')
  const ObjectAttributes = ['ObjectParts', 'ObjectSize'] as const
  const attributes = await s3.send(
    new GetObjectAttributesCommand({
      Bucket: BUCKET,
      Key: 'large',
      ObjectAttributes: [...ObjectAttributes],
    }),
  )
  const { ObjectSize, ObjectParts } = attributes
  t.equal(ObjectSize, bytes)
  const parts = ObjectParts!.Parts!
  t.strictSame(
    parts.map(({ PartNumber }) => PartNumber),
    parts.map((_, index) => index + 1),
  )
  t.equal(
    parts.reduce((sum, { Size }) => sum + Size!, 0),
    bytes,
  )
  const second = await read('large', { PartNumber: 2, ChecksumMode: undefined })
  t.equal(second.length, parts[1]!.Size)
  const CopySource = `${BUCKET}/large`
  await s3.send(new CopyObjectCommand({ Bucket: BUCKET, Key: 'copy', CopySource }))
  t.ok(whole.equals(await read('copy')))
  t.equal((await swift('DELETE', `/${BUCKET}/copy`)).status, 204)
})

t.test('what was put in parts grows, and keeps its tags', async (t) => {
  const of = { Bucket: BUCKET, Key: 'parts' }
  const start = { ...of, ChecksumAlgorithm: 'CRC32' as const, ChecksumType: 'FULL_OBJECT' as const }
  const bodies = ['x'.repeat(5 * 1024 * 1024), 'the end']
  await putInParts(s3, { ...start, Tagging: 'a=b' }, bodies)
  const bytes = bodies.join('').length
  const other = { ChecksumAlgorithm: 'SHA256' as const }
  t.equal(await outcome('parts', bytes, ' not', other), 'InvalidRequest', 'another checksum')
  t.equal(await outcome('parts', bytes, ' yet'), `${bytes + 4}`)
  t.equal(`${await read('parts')}`, `${bodies.join('')} yet`)
  const head = await s3.send(new HeadObjectCommand(of))
  t.equal(head.TagCount, 1)
  t.equal((await signed({ method: 'DELETE', path: `/${BUCKET}/parts` })).status, 204)
})

t.test('of ten who append to one place one does', async (t) => {
  await append('raced', 0, 'begin')
  const bodies = Array.from({ length: 10 }, (_, index) => `${index}`.repeat(70_000))
  let expected = 'begin'
  for (let round = 0; round < 4; round++) {
    const at = expected.length
    const seen = await Promise.all(bodies.map((body) => outcome('raced', at, body)))
    const winners = bodies.filter((_, index) => /^\d+$/.test(seen[index]!))
    t.equal(winners.length, 1, `${seen}`)
    t.ok(seen.every((one) => /^(?:\d+|InvalidWriteOffset|OperationAborted)$/.test(one)))
    expected += winners[0]
    t.ok(`${await read('raced')}` === expected)
  }
})

t.test('metadata that is changed meanwhile is not lost', async (t) => {
  const body = 'y'.repeat(100_000)
  await append('tagged', 0, body)
  let bytes = body.length
  for (let round = 0; round < 5; round++) {
    const TagSet = [{ Key: 'round', Value: `${round}` }]
    const tag = new PutObjectTaggingCommand({ Bucket: BUCKET, Key: 'tagged', Tagging: { TagSet } })
    const [seen] = await Promise.all([outcome('tagged', bytes, body), s3.send(tag)])
    t.match(seen, /^(?:\d+|OperationAborted)$/)
    if (/^\d/.test(seen)) bytes += body.length
    const tags = await signed({ path: `/${BUCKET}/tagged?tagging` })
    t.match(tags.body, `<Value>${round}</Value>`)
  }
  t.equal((await read('tagged')).length, bytes)
})

t.test('a write that is not clear leaves what the object may be made of', async (t) => {
  const body = 'z'.repeat(100_000)
  await append('unclear', 0, body)
  const { backend } = store.context
  const { putObject } = backend
  Object.assign(backend, {
    async putObject(...given: Parameters<typeof putObject>) {
      const done = await putObject.apply(backend, given)
      if (given[0].object !== 'unclear') return done
      throw Object.assign(new Error('no answer'), { status: 503 })
    },
  })
  t.notMatch(await outcome('unclear', body.length, 'more'), /^\d/)
  Object.assign(backend, { putObject })
  t.equal(`${await read('unclear')}`, `${body}more`)
})

t.test('a write that is not clear, and was not made, leaves no parts', async (t) => {
  const body = 'z'.repeat(100_000)
  await append('not-made', 0, body)
  const partsNow = async () =>
    (await store.context.backend.listContainer('AUTH_test', `${BUCKET}+segments`, { limit: 1000 }))!
      .entries.length
  const before = await partsNow()
  const { backend } = store.context
  const { putObject } = backend
  let tries = 0
  Object.assign(backend, {
    putObject(...given: Parameters<typeof putObject>) {
      if (given[0].object !== 'not-made') return putObject.apply(backend, given)
      tries++
      throw new ServiceError('NoQuorum', 'nobody knows', { status: 503 })
    },
  })
  t.equal(await outcome('not-made', body.length, 'more'), 'ServiceUnavailable')
  Object.assign(backend, { putObject })
  t.equal(tries, 1)
  t.equal(await partsNow(), before)
  t.equal(await outcome('not-made', body.length, ' more'), `${body.length + 5}`)
  t.ok(`${await read('not-made')}` === `${body} more`)
})

t.test('what cannot be appended says why, and changes nothing', async (t) => {
  await append('kept', 0, 'abc')
  const put = async (path: string, headers: Record<string, string>, body = 'x', more = {}) =>
    (await signed({ method: 'PUT', path, headers, body, ...more })).code
  const at = (offset: string) => ({ 'x-amz-write-offset-bytes': offset })
  const kept = `/${BUCKET}/kept`
  t.equal(await put(kept, at('three')), 'InvalidArgument')
  t.equal(await put(kept, at('-1')), 'InvalidArgument')
  t.equal(await put(kept, { ...at('3'), 'x-amz-meta-a': 'b' }), 'InvalidRequest')
  t.equal(await put(kept, { ...at('3'), 'x-amz-acl': 'public-read' }), 'InvalidRequest')
  t.equal(await put(kept, { ...at('3'), 'if-match': '"no"' }), 'PreconditionFailed')
  t.equal(await put(kept, { ...at('3'), 'if-none-match': '*' }), 'PreconditionFailed')
  t.equal(await put(kept, { ...at('3'), 'content-md5': 'CY9rzUYh03PK3k6DJie09g==' }), 'BadDigest')
  t.equal(await put(kept, { ...at('3'), 'x-amz-checksum-crc32': 'AAAAAA==' }), 'BadDigest')
  const long = {
    body: 'x'.repeat(100_000),
    headers: { ...at('3'), 'x-amz-checksum-crc32': 'AAAAAA==' },
  }
  t.equal((await signed({ method: 'PUT', path: kept, ...long })).code, 'BadDigest')
  t.equal(await put(kept, at('3'), 'x', { key: null }), 'AccessDenied')
  const key = Buffer.alloc(32, 1)
  const sse = {
    'x-amz-server-side-encryption-customer-algorithm': 'AES256',
    'x-amz-server-side-encryption-customer-key': key.toString('base64'),
    'x-amz-server-side-encryption-customer-key-md5': createHash('md5').update(key).digest('base64'),
  }
  t.equal(await put(kept, { ...at('3'), ...sse }), 'NotImplemented')
  t.equal(`${await read('kept')}`, 'abc')
  t.equal(
    (
      await swift('PUT', `/${BUCKET}/dynamic`, {
        headers: { 'x-object-manifest': `${BUCKET}/log` },
      })
    ).status,
    201,
  )
  t.equal(await put(`/${BUCKET}/dynamic`, at('0')), 'InvalidRequest')
  const Bucket = 'append-versions'
  await s3.send(new CreateBucketCommand({ Bucket }))
  const VersioningConfiguration = { Status: 'Enabled' as const }
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  t.equal(await put(`/${Bucket}/o`, at('0')), 'InvalidBucketState')
})

t.test('parts that cannot be let go now take none of the new ones along', async (t) => {
  const body = 'p'.repeat(70_000)
  await append('kept-parts', 0, 'a')
  await append('kept-parts', 1, body)
  await append('kept-parts', 70_001, 'b'.repeat(1000))
  const { backend } = store.context
  const { postObject } = backend
  let refused = 0
  Object.assign(backend, {
    async postObject(...given: Parameters<typeof postObject>) {
      if (!given[0].container.endsWith('+segments')) return postObject.apply(backend, given)
      refused++
      throw Object.assign(new Error('busy'), { status: 503 })
    },
  })
  const seen = await outcome('kept-parts', 71_001, 'c'.repeat(1000))
  Object.assign(backend, { postObject })
  t.ok(refused > 0, 'a part was to be let go')
  t.equal(seen, '72001')
  const whole = `a${body}${'b'.repeat(1000)}${'c'.repeat(1000)}`
  t.ok(`${await read('kept-parts')}` === whole)
})

t.test('versioning that is switched on meanwhile keeps what was there', async (t) => {
  const Bucket = 'append-late-versions'
  await s3.send(new CreateBucketCommand({ Bucket }))
  const body = 'v'.repeat(100_000)
  await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: body }))
  const { backend } = store.context
  const { openObject, putObject } = backend
  const VersioningConfiguration = { Status: 'Enabled' as const }
  /** When the part has been written. */
  const switchOn = async () => {
    Object.assign(backend, { openObject, putObject })
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  }
  Object.assign(backend, {
    async putObject(...given: Parameters<typeof putObject>) {
      const done = await putObject.apply(backend, given)
      if (given[0].container === `${Bucket}+segments`) await switchOn()
      return done
    },
  })
  const { code } = await signed({
    method: 'PUT',
    path: `/${Bucket}/k`,
    headers: { 'x-amz-write-offset-bytes': '100000' },
    body: 'more',
  })
  t.equal(code, 'OperationAborted')
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }))
  t.ok((await Body!.transformToString()) === body)
})
