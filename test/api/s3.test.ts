/** The S3 API over a real socket: by AWS's own SDK as it comes, and by hand where attackers would. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import t from 'tap'
import {
  GUEST,
  MAIN,
  OTHER,
  openS3Rig,
  presign,
  type SignedRequest,
  s3Client,
  send,
} from './s3-store.ts'

const MIB = 1024 * 1024
const ROUNDS = process.env.SWIFTLET_PROBE === 'long' ? 1000 : 8

const { store, s3, signed, swift } = await openS3Rig(t)

async function bucket(name: string): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket: name }))
  return name
}

async function refused(action: Promise<unknown>): Promise<string> {
  try {
    await action
  } catch (error) {
    const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } }
    return `${$metadata?.httpStatusCode} ${name}`
  }
  return 'done'
}

async function textOf(key: {
  Bucket: string
  Key: string
  Range?: string
  PartNumber?: number
}): Promise<string> {
  const { Body } = await s3.send(new GetObjectCommand(key))
  return Body!.transformToString()
}

function patterned(bytes: number, seed: number): Buffer {
  const out = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i += 4)
    out.writeUInt32LE(Math.imul(i + seed, 2654435761) >>> 0, Math.min(i, bytes - 4))
  return out
}

t.test('buckets are made, listed, looked at and deleted', async (t) => {
  const info = (await (await fetch(`${store.url}/info`)).json()) as object
  t.match(info, { s3api: { max_bucket_listing: 1000, min_segment_size: 5 * MIB, s3_acl: false } })
  await bucket('first-bucket')
  t.equal(await refused(bucket('first-bucket')), 'done', 'by its owner, in the default region')
  t.equal(
    await refused(
      s3Client(store.port, OTHER).send(new CreateBucketCommand({ Bucket: 'first-bucket' })),
    ),
    '409 BucketAlreadyExists',
  )
  const { Buckets, Owner } = await s3.send(new ListBucketsCommand({}))
  t.ok(
    Buckets?.some(
      ({ Name, CreationDate }) => Name === 'first-bucket' && CreationDate instanceof Date,
    ),
  )
  t.equal(Owner?.ID, 'AUTH_test')
  t.equal(
    (await s3.send(new HeadBucketCommand({ Bucket: 'first-bucket' }))).BucketRegion,
    'us-east-1',
  )
  t.equal(
    (await s3.send(new GetBucketLocationCommand({ Bucket: 'first-bucket' }))).LocationConstraint,
    undefined,
  )
  t.equal(
    await refused(s3.send(new HeadBucketCommand({ Bucket: 'no-such-bucket' }))),
    '404 NotFound',
  )
  t.equal(
    await refused(s3.send(new ListObjectsV2Command({ Bucket: 'no-such-bucket' }))),
    '404 NoSuchBucket',
  )
  for (const name of ['ab', 'Upper', 'under_score', '-dash', '10.1.1.1', 'a..b', 'x'.repeat(64)]) {
    const { status, code } = await signed({ method: 'PUT', path: `/${name}` })
    t.equal(`${status} ${code}`, '400 InvalidBucketName', name)
  }
  t.equal((await swift('PUT', '/first-bucket/o', { body: 'x' })).status, 201)
  t.equal(
    await refused(s3.send(new DeleteBucketCommand({ Bucket: 'first-bucket' }))),
    '409 BucketNotEmpty',
  )
  await s3.send(new DeleteObjectCommand({ Bucket: 'first-bucket', Key: 'o' }))
  await s3.send(new DeleteBucketCommand({ Bucket: 'first-bucket' }))
  t.equal(await refused(s3.send(new HeadBucketCommand({ Bucket: 'first-bucket' }))), '404 NotFound')
  await s3Client(store.port, OTHER).send(new CreateBucketCommand({ Bucket: 'first-bucket' }))
  t.equal(
    await refused(bucket('first-bucket')),
    '409 BucketAlreadyExists',
    'the name is free for others then',
  )
})

t.test('an object that one API wrote is the same by the other', async (t) => {
  const Bucket = await bucket('both-apis')
  const body = patterned(200_000, 1)
  const put = await s3.send(
    new PutObjectCommand({
      Bucket,
      Key: 'dir/from s3 ü+&?',
      Body: body,
      ContentType: 'image/x-test',
      CacheControl: 'no-cache',
      ContentDisposition: 'attachment',
      ContentEncoding: 'gzip',
      ContentLanguage: 'de',
      Metadata: { color: 'blue', under_score: 'kept' },
    }),
  )
  const md5 = createHash('md5').update(body).digest('hex')
  t.equal(put.ETag, `"${md5}"`)
  t.ok(put.ChecksumCRC32, 'the SDK’s default checksum comes back')
  const bySwift = await swift('GET', `/${Bucket}/${encodeURIComponent('dir/from s3 ü+&?')}`)
  t.equal(bySwift.headers.get('etag'), md5)
  t.equal(bySwift.headers.get('x-object-meta-color'), 'blue')
  t.equal(bySwift.headers.get('x-object-meta-under_score'), 'kept')
  t.equal(bySwift.headers.get('content-type'), 'image/x-test')
  t.equal(bySwift.headers.get('content-disposition'), 'attachment')
  t.notMatch([...bySwift.headers.keys()].join(), /sysmeta/)
  const head = await s3.send(
    new HeadObjectCommand({ Bucket, Key: 'dir/from s3 ü+&?', ChecksumMode: 'ENABLED' }),
  )
  t.match(head, {
    ContentLength: 200_000,
    ContentType: 'image/x-test',
    CacheControl: 'no-cache',
    ContentEncoding: 'gzip',
    ContentLanguage: 'de',
    ETag: `"${md5}"`,
    Metadata: { color: 'blue', under_score: 'kept' },
    ChecksumCRC32: put.ChecksumCRC32,
    ChecksumType: 'FULL_OBJECT',
  })
  const put2 = await swift('PUT', `/${Bucket}/from-swift`, {
    body: 'hello',
    headers: { 'x-object-meta-Shape': 'round', 'content-type': 'text/x-swift' },
  })
  t.equal(put2.status, 201)
  const read = await s3.send(new GetObjectCommand({ Bucket, Key: 'from-swift' }))
  t.equal(await read.Body!.transformToString(), 'hello')
  t.match(read, { ContentType: 'text/x-swift', Metadata: { shape: 'round' } })
  const slo = JSON.stringify([{ path: `/${Bucket}/from-swift` }, { path: `/${Bucket}/from-swift` }])
  t.equal(
    (await swift('PUT', `/${Bucket}/large?multipart-manifest=put`, { body: slo })).status,
    201,
  )
  t.equal(await textOf({ Bucket, Key: 'large' }), 'hellohello')
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'large' }))
  t.match(Contents, [{ Key: 'large', Size: 10, ETag: /^"[0-9a-f]{32}-N"$/ }])
})

t.test('bodies of any kind that the SDK sends are stored as they are', async (t) => {
  const Bucket = await bucket('bodies')
  for (const [name, bytes] of [
    ['empty', 0],
    ['small', 5],
    ['inline', 65_536],
    ['more', 65_537],
    ['large', 3 * MIB + 1],
  ] as const) {
    const body = patterned(bytes + 4, bytes).subarray(0, bytes)
    for (const ChecksumAlgorithm of [undefined, 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
      const Key = `${name}-${ChecksumAlgorithm}`
      if (ChecksumAlgorithm === 'CRC64NVME') continue
      await s3.send(new PutObjectCommand({ Bucket, Key, Body: body, ChecksumAlgorithm }))
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }))
      t.ok(body.equals(await Body!.transformToByteArray()), Key)
    }
    const Key = `${name}-stream`
    await s3.send(
      new PutObjectCommand({ Bucket, Key, Body: Readable.from([body]), ContentLength: bytes }),
    )
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }))
    t.ok(body.equals(await Body!.transformToByteArray()), Key)
  }
  const { Contents, KeyCount } = await s3.send(new ListObjectsV2Command({ Bucket, MaxKeys: 1000 }))
  t.equal(KeyCount, 25)
  t.equal(Contents?.find(({ Key }) => Key === 'large-stream')?.Size, 3 * MIB + 1)
})

t.test('ranges, conditions and overrides of reads', async (t) => {
  const Bucket = await bucket('reads')
  const { ETag } = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'hello world' }))
  t.equal(await textOf({ Bucket, Key: 'k', Range: 'bytes=0-4' }), 'hello')
  t.equal(await textOf({ Bucket, Key: 'k', Range: 'bytes=-5' }), 'world')
  t.equal(await textOf({ Bucket, Key: 'k', Range: 'bytes=6-' }), 'world')
  t.equal(await textOf({ Bucket, Key: 'k', PartNumber: 1 }), 'hello world')
  const get = (more: object) =>
    refused(s3.send(new GetObjectCommand({ Bucket, Key: 'k', ...more })))
  t.equal(await get({ Range: 'bytes=20-30' }), '416 InvalidRange')
  t.equal(await get({ PartNumber: 2 }), '400 InvalidPart')
  t.equal(await get({ IfMatch: ETag }), 'done')
  t.equal(await get({ IfMatch: ETag!.replaceAll('"', '') }), 'done', 'without quotes')
  t.equal(await get({ IfMatch: '"other"' }), '412 PreconditionFailed')
  t.match(await get({ IfNoneMatch: ETag }), /^304/)
  t.match(await get({ IfModifiedSince: new Date(Date.now() + 3_600_000) }), /^(304|done)/)
  t.equal(await get({ IfUnmodifiedSince: new Date(0) }), '412 PreconditionFailed')
  t.equal(await get({ IfMatch: ETag, IfUnmodifiedSince: new Date(0) }), 'done')
  t.equal(await get({ VersionId: 'abc' }), '404 NoSuchVersion')
  t.equal(await get({ Key: 'missing' }), '404 NoSuchKey')
  t.equal(await refused(s3.send(new HeadObjectCommand({ Bucket, Key: 'missing' }))), '404 NotFound')
  const read = await s3.send(
    new GetObjectCommand({
      Bucket,
      Key: 'k',
      ResponseContentType: 'a/b',
      ResponseCacheControl: 'no-store',
    }),
  )
  t.match(read, { ContentType: 'a/b', CacheControl: 'no-store' })
  const attributes = await s3.send(
    new GetObjectAttributesCommand({
      Bucket,
      Key: 'k',
      ObjectAttributes: ['ETag', 'ObjectSize', 'Checksum', 'StorageClass'],
    }),
  )
  t.match(attributes, {
    ObjectSize: 11,
    ETag: ETag!.replaceAll('"', ''),
    StorageClass: 'STANDARD',
    Checksum: { ChecksumType: 'FULL_OBJECT' },
  })
})

t.test('listings: prefix, delimiter, pages, encoding, versions', async (t) => {
  const Bucket = await bucket('listings')
  const keys = ['a', 'b/1', 'b/2', 'c d', 'c+e', 'dir/sub/x', 'dir/y', 'z\u0001']
  for (const Key of keys) await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key }))
  const all = await s3.send(new ListObjectsCommand({ Bucket, EncodingType: 'url' }))
  t.strictSame(
    all.Contents?.map(({ Key }) => decodeURIComponent(Key!)),
    keys,
  )
  const rolled = await s3.send(
    new ListObjectsV2Command({ Bucket, Delimiter: '/', FetchOwner: true }),
  )
  t.strictSame(
    rolled.CommonPrefixes?.map(({ Prefix }) => Prefix),
    ['b/', 'dir/'],
  )
  t.equal(rolled.Contents?.[0]?.Owner?.ID, 'AUTH_test')
  const found: string[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await s3.send(
      new ListObjectsV2Command({ Bucket, MaxKeys: 2, Delimiter: '/', ContinuationToken }),
    )
    t.ok(page.KeyCount! <= 2)
    found.push(
      ...(page.Contents ?? []).map(({ Key }) => Key!),
      ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!),
    )
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken !== undefined)
  t.strictSame(found.sort(), ['a', 'b/', 'c d', 'c+e', 'dir/', 'z\u0001'].sort())
  const first = await s3.send(new ListObjectsCommand({ Bucket, MaxKeys: 2, Delimiter: '/' }))
  t.match(first, { IsTruncated: true, NextMarker: 'b/' })
  const next = await s3.send(
    new ListObjectsCommand({ Bucket, Delimiter: '/', Marker: first.NextMarker }),
  )
  t.equal(next.Contents?.[0]?.Key, 'c d')
  t.equal(
    (await s3.send(new ListObjectsV2Command({ Bucket, StartAfter: 'b/1' }))).Contents?.[0]?.Key,
    'b/2',
  )
  t.equal((await s3.send(new ListObjectsV2Command({ Bucket, MaxKeys: 0 }))).KeyCount, 0)
  const versions = await s3.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'b/' }))
  t.match(versions.Versions, [{ Key: 'b/1', VersionId: 'null', IsLatest: true }, { Key: 'b/2' }])
  for (const query of [
    'max-keys=-1',
    'max-keys=x',
    'encoding-type=base64',
    'list-type=2&continuation-token=%21%21',
  ]) {
    t.equal((await signed({ path: `/${Bucket}?${query}` })).code, 'InvalidArgument', query)
  }
  const { Deleted, Errors } = await s3.send(
    new DeleteObjectsCommand({
      Bucket,
      Delete: {
        Objects: [
          ...keys.slice(0, 7).map((Key) => ({ Key })),
          { Key: 'never-there' },
          { Key: 'a', VersionId: 'x' },
        ],
      },
    }),
  )
  t.equal(Deleted?.length, 8)
  t.match(Errors, [{ Key: 'a', Code: 'NoSuchVersion' }])
  t.equal((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 1)
})

t.test(
  'writes are conditional: one of ten clients makes the object, one of ten replaces it',
  async (t) => {
    const Bucket = await bucket('conditions')
    const beside = await store.openBeside()
    const clients = [s3, s3Client(beside.port)]
    const race = async (Key: string, more: object) => {
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          refused(
            clients[i % 2]!.send(new PutObjectCommand({ Bucket, Key, Body: `${i}`, ...more })),
          ),
        ),
      )
      const winners = outcomes.filter((outcome) => outcome === 'done').length
      const losers = outcomes.filter((outcome) =>
        /^412 |^409 ConditionalRequestConflict/.test(outcome),
      ).length
      t.equal(`${winners} ${losers}`, '1 9', `${Key}: ${outcomes}`)
    }
    for (let round = 0; round < ROUNDS; round++) {
      await race(`k${round}`, { IfNoneMatch: '*' })
      const { ETag } = await s3.send(new HeadObjectCommand({ Bucket, Key: `k${round}` }))
      // What is written must differ, or the ETag that was there is there again.
      await s3.send(new PutObjectCommand({ Bucket, Key: `k${round}`, Body: 'base', IfMatch: ETag }))
      const base = `"${createHash('md5').update('base').digest('hex')}"`
      await race(`k${round}`, { IfMatch: base })
    }
    const put = (more: object) =>
      refused(s3.send(new PutObjectCommand({ Bucket, Key: 'k0', Body: 'x', ...more })))
    t.equal(await put({ IfMatch: '"other"' }), '412 PreconditionFailed')
    t.equal(await put({ Key: 'missing', IfMatch: '"other"' }), '404 NoSuchKey')
    t.equal(await put({ IfNoneMatch: '"other"' }), 'done')
    const { ETag } = await s3.send(new HeadObjectCommand({ Bucket, Key: 'k0' }))
    t.equal(await put({ IfNoneMatch: `"other", ${ETag}` }), '412 PreconditionFailed')
    t.equal(await put({ Key: 'none', IfNoneMatch: ETag }), 'done')
    t.equal(await put({ IfNoneMatch: '"other"', IfMatch: ETag }), 'done')
    t.equal(await put({ IfNoneMatch: ETag, IfMatch: '*' }), '412 PreconditionFailed')
    const remove = (IfMatch: string) =>
      refused(s3.send(new DeleteObjectCommand({ Bucket, Key: 'k0', IfMatch })))
    t.equal(await remove('"other"'), '412 PreconditionFailed')
    t.equal(await remove(ETag!), 'done')
    const copy = { Bucket, Key: 'k1', CopySource: `${Bucket}/k2`, IfNoneMatch: '*' }
    t.equal(await refused(s3.send(new CopyObjectCommand(copy))), '412 PreconditionFailed')
  },
)

t.test('copies: within and between buckets, with their own or new metadata', async (t) => {
  const Bucket = await bucket('copies')
  const to = await bucket('copies-2')
  const body = patterned(100_000, 3)
  const Key = 'söurce key+'
  const { ETag } = await s3.send(
    new PutObjectCommand({ Bucket, Key, Body: body, Metadata: { a: '1' }, ContentType: 'x/y' }),
  )
  const CopySource = `${Bucket}/${encodeURIComponent(Key)}`
  const copied = await s3.send(new CopyObjectCommand({ Bucket: to, Key: 'copy', CopySource }))
  t.equal(copied.CopyObjectResult?.ETag, ETag)
  t.match(await s3.send(new HeadObjectCommand({ Bucket: to, Key: 'copy' })), {
    Metadata: { a: '1' },
    ContentType: 'x/y',
  })
  await s3.send(
    new CopyObjectCommand({
      Bucket: to,
      Key: 'copy2',
      CopySource,
      MetadataDirective: 'REPLACE',
      Metadata: { b: '2' },
    }),
  )
  const head = await s3.send(new HeadObjectCommand({ Bucket: to, Key: 'copy2' }))
  t.strictSame(head.Metadata, { b: '2' })
  t.equal(head.ContentType, 'binary/octet-stream')
  t.equal(
    await refused(s3.send(new CopyObjectCommand({ Bucket, Key, CopySource }))),
    '400 InvalidRequest',
  )
  await s3.send(
    new CopyObjectCommand({
      Bucket,
      Key,
      CopySource,
      MetadataDirective: 'REPLACE',
      Metadata: { c: '3' },
    }),
  )
  const again = await s3.send(new GetObjectCommand({ Bucket, Key }))
  t.strictSame(again.Metadata, { c: '3' })
  t.ok(body.equals(await again.Body!.transformToByteArray()))
  const copy = (more: object) =>
    refused(s3.send(new CopyObjectCommand({ Bucket: to, Key: 'c', CopySource, ...more })))
  t.equal(await copy({ CopySourceIfMatch: '"x"' }), '412 PreconditionFailed')
  t.equal(await copy({ CopySourceIfNoneMatch: ETag }), '412 PreconditionFailed')
  t.equal(await copy({ CopySourceIfMatch: ETag }), 'done')
  t.equal(await copy({ CopySource: `${Bucket}/missing` }), '404 NoSuchKey')
  t.equal(await copy({ CopySource: 'no-such-bucket/k' }), '404 NoSuchBucket')
  t.equal(await copy({ CopySource: 'first-bucket/k' }), '403 AccessDenied', 'of somebody else')
})

t.test(
  'multipart uploads: parts, copies of parts, listings, whole and single parts, both APIs',
  async (t) => {
    const Bucket = await bucket('multipart')
    const parts = [patterned(5 * MIB, 1), patterned(5 * MIB + 3, 2), patterned(17, 3)] as const
    const Key = 'dir/large'
    await s3.send(new PutObjectCommand({ Bucket, Key: 'source', Body: parts[1] }))
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({
        Bucket,
        Key,
        ContentType: 'x/large',
        Metadata: { a: 'b' },
        ChecksumAlgorithm: 'CRC32',
      }),
    )
    const upload = { Bucket, Key, UploadId }
    const first = await s3.send(
      new UploadPartCommand({
        ...upload,
        PartNumber: 1,
        Body: parts[0],
        ChecksumAlgorithm: 'CRC32',
      }),
    )
    const second = await s3.send(
      new UploadPartCopyCommand({ ...upload, PartNumber: 2, CopySource: `${Bucket}/source` }),
    )
    const third = await s3.send(
      new UploadPartCommand({
        ...upload,
        PartNumber: 7,
        Body: Readable.from([parts[2]]),
        ContentLength: 17,
        ChecksumAlgorithm: 'CRC32',
      }),
    )
    await s3.send(
      new UploadPartCommand({
        ...upload,
        PartNumber: 9,
        Body: 'not used',
        ChecksumAlgorithm: 'CRC32',
      }),
    )
    const listed = await s3.send(new ListPartsCommand({ ...upload, MaxParts: 2 }))
    t.match(listed, {
      IsTruncated: true,
      NextPartNumberMarker: '2',
      ChecksumAlgorithm: 'CRC32',
      Parts: [
        { Size: 5 * MIB, ETag: first.ETag, ChecksumCRC32: first.ChecksumCRC32 },
        { PartNumber: 2 },
      ],
    })
    const underWay = await s3.send(new ListMultipartUploadsCommand({ Bucket, Delimiter: '/' }))
    t.match(underWay.CommonPrefixes, [{ Prefix: 'dir/' }])
    const account = { ID: 'AUTH_test', DisplayName: 'AUTH_test' }
    t.match((await s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'dir/' }))).Uploads, [
      { Key, UploadId, Initiator: account, Owner: account },
    ])
    const Parts = [
      { PartNumber: 1, ETag: first.ETag },
      { PartNumber: 2, ETag: second.CopyPartResult?.ETag },
      { PartNumber: 7, ETag: third.ETag },
    ]
    const complete = (list: object[], more: object = {}) =>
      s3.send(
        new CompleteMultipartUploadCommand({
          ...upload,
          MultipartUpload: { Parts: list },
          ...more,
        }),
      )
    t.equal(await refused(complete([Parts[1]!, Parts[0]!])), '400 InvalidPartOrder')
    t.equal(
      await refused(complete([Parts[0]!, { PartNumber: 3, ETag: first.ETag }])),
      '400 InvalidPart',
    )
    t.equal(await refused(complete([{ PartNumber: 1, ETag: '"x"' }])), '400 InvalidPart')
    t.equal(
      await refused(
        complete([
          Parts[2]!,
          { PartNumber: 9, ETag: `"${createHash('md5').update('not used').digest('hex')}"` },
        ]),
      ),
      '400 EntityTooSmall',
    )
    t.equal(await refused(complete(Parts, { IfMatch: '"x"' })), '404 NoSuchKey')
    const bad = { ChecksumCRC32: 'AAAAAA==-3', ChecksumType: 'COMPOSITE' }
    t.equal(await refused(complete(Parts, bad)), '400 BadDigest', 'of the object, not of the list')
    // A part that was sent twice may be listed twice: the last time counts.
    const twice = [{ PartNumber: 1, ETag: '"of before"' }, ...Parts]
    const done = await complete(twice, { IfNoneMatch: '*' })
    const digests = parts.map((part) => createHash('md5').update(part).digest())
    const etag = `"${createHash('md5').update(Buffer.concat(digests)).digest('hex')}-3"`
    t.match(done, { ETag: etag, ChecksumType: 'COMPOSITE', ChecksumCRC32: /-3$/ })
    t.match(await complete(Parts), { ETag: etag }, 'who asks again gets the same answer')
    t.equal(await refused(s3.send(new ListPartsCommand(upload))), '404 NoSuchUpload')
    const whole = Buffer.concat(parts)
    const read = await s3.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
    t.ok(whole.equals(await read.Body!.transformToByteArray()))
    t.match(read, {
      ContentType: 'x/large',
      Metadata: { a: 'b' },
      ETag: etag,
      ContentLength: whole.length,
    })
    const partNumber = { Bucket, Key, PartNumber: 3 }
    const part = await s3.send(new GetObjectCommand({ ...partNumber, ChecksumMode: 'ENABLED' }))
    t.match(part, {
      PartsCount: 3,
      ContentLength: 17,
      ChecksumCRC32: third.ChecksumCRC32,
      ChecksumType: 'COMPOSITE',
    })
    t.equal(
      await refused(s3.send(new GetObjectCommand({ Bucket, Key, PartNumber: 4 }))),
      '400 InvalidPart',
    )
    t.ok(parts[2]!.equals(await part.Body!.transformToByteArray()))
    t.match(await s3.send(new HeadObjectCommand({ Bucket, Key, PartNumber: 1 })), {
      PartsCount: 3,
      ContentLength: 5 * MIB,
    })
    const Range = `bytes=${5 * MIB - 3}-${5 * MIB + 2}`
    const middle = await s3.send(new GetObjectCommand({ Bucket, Key, Range }))
    t.ok(whole.subarray(5 * MIB - 3, 5 * MIB + 3).equals(await middle.Body!.transformToByteArray()))
    t.match(await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'dir' })), {
      Contents: [{ Size: whole.length, ETag: etag }],
    })
    t.match(
      await s3.send(
        new GetObjectAttributesCommand({
          Bucket,
          Key,
          ObjectAttributes: ['ObjectParts', 'ObjectSize'],
        }),
      ),
      {
        ObjectSize: whole.length,
        ObjectParts: { TotalPartsCount: 3, Parts: [{ Size: 5 * MIB }, {}, { Size: 17 }] },
      },
    )
    const bySwift = await swift('GET', `/${Bucket}/${Key}`)
    t.equal(bySwift.headers.get('x-object-meta-a'), 'b')
    t.equal(bySwift.headers.get('x-static-large-object'), 'True')
    t.ok(whole.equals(Buffer.from(await bySwift.arrayBuffer())))
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'small now', IfMatch: etag }))
    t.equal(await textOf({ Bucket, Key }), 'small now')
    const left = await swift('GET', `/${encodeURIComponent(`${Bucket}+segments`)}?format=json`)
    const names = ((await left.json()) as { name: string }[]).map(({ name }) => name)
    t.equal(names.length, 3, `only the parts that somebody may be reading: ${names}`)
    const segment = await swift('HEAD', `/${encodeURIComponent(`${Bucket}+segments`)}/${names[0]}`)
    t.ok(Number(segment.headers.get('x-delete-at')) > Date.now() / 1000)
    const { Buckets } = await s3.send(new ListBucketsCommand({}))
    t.notOk(Buckets?.some(({ Name }) => Name?.includes('+')))
  },
)

t.test('uploads that are aborted, and those of lib-storage', async (t) => {
  const Bucket = await bucket('uploads')
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }))
  const upload = { Bucket, Key: 'k', UploadId }
  const { ETag } = await s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'part' }))
  await s3.send(new AbortMultipartUploadCommand(upload))
  t.equal(await refused(s3.send(new AbortMultipartUploadCommand(upload))), '404 NoSuchUpload')
  t.equal(
    await refused(s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'part' }))),
    '404 NoSuchUpload',
  )
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
  t.equal(
    await refused(s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload }))),
    '404 NoSuchUpload',
  )
  const body = patterned(11 * MIB + 5, 9)
  async function* stream() {
    for (let at = 0; at < body.length; at += 300_000) yield body.subarray(at, at + 300_000)
  }
  for (const ChecksumAlgorithm of ['CRC32', 'SHA256'] as const) {
    const params = {
      Bucket,
      Key: `streamed-${ChecksumAlgorithm}`,
      Body: Readable.from(stream()),
      ChecksumAlgorithm,
    }
    const done = await new Upload({ client: s3, params }).done()
    t.match(done.ETag, /-3"$/)
    const { Body } = await s3.send(
      new GetObjectCommand({ Bucket, Key: params.Key, ChecksumMode: 'ENABLED' }),
    )
    t.ok(body.equals(await Body!.transformToByteArray()))
  }
  await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'left' }))
  for (const Key of ['streamed-CRC32', 'streamed-SHA256'])
    await s3.send(new DeleteObjectCommand({ Bucket, Key }))
  await s3.send(new DeleteBucketCommand({ Bucket }))
  t.equal(
    (await swift('HEAD', `/${encodeURIComponent(`${Bucket}+segments`)}`)).status,
    404,
    'nothing is left of it',
  )
})

t.test('only who may, may: by groups, ACLs and signatures', async (t) => {
  const Bucket = await bucket('rights')
  await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'secret' }))
  const [other, guest] = [s3Client(store.port, OTHER), s3Client(store.port, GUEST)]
  for (const client of [other, guest]) {
    t.equal(
      await refused(client.send(new GetObjectCommand({ Bucket, Key: 'k' }))),
      '403 AccessDenied',
    )
    t.equal(
      await refused(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))),
      '403 AccessDenied',
    )
    t.equal(
      await refused(client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }))),
      '403 AccessDenied',
    )
    t.equal(await refused(client.send(new ListObjectsV2Command({ Bucket }))), '403 AccessDenied')
    t.equal(await refused(client.send(new DeleteBucketCommand({ Bucket }))), '403 AccessDenied')
  }
  t.equal((await signed({ path: `/${Bucket}/k`, key: null })).code, 'AccessDenied')
  t.equal(
    (await signed({ path: '/', key: { ...MAIN, secretAccessKey: 'wrong' } })).code,
    'SignatureDoesNotMatch',
  )
  t.equal(
    (await signed({ path: '/', key: { accessKeyId: 'nobody', secretAccessKey: 'x' } })).code,
    'InvalidAccessKeyId',
  )
  t.equal(
    (await signed({ path: '/', at: new Date(Date.now() - 3_600_000) })).code,
    'RequestTimeTooSkewed',
  )
  const wrongOwner = { Bucket, Key: 'k', ExpectedBucketOwner: 'AUTH_test2' }
  t.equal(await refused(s3.send(new GetObjectCommand(wrongOwner))), '403 AccessDenied')
  await swift('POST', `/${Bucket}`, { headers: { 'x-container-read': '.r:*,test2:tester2' } })
  t.equal(
    (await signed({ path: `/${Bucket}/k`, key: null })).body,
    'secret',
    'anybody, once the container says so',
  )
  t.equal(await refused(other.send(new ListObjectsV2Command({ Bucket }))), 'done')
  t.equal(
    (await signed({ path: `/${Bucket}/k?response-content-type=a/b`, key: null })).code,
    'InvalidRequest',
  )
  const hosted = await send(store.port, {
    method: 'GET',
    path: '/k',
    headers: { host: `${Bucket}.s3.localhost` },
  })
  t.equal(hosted.body, 'secret', 'a bucket by its host')
  t.equal(
    (await fetch(`${store.url}/healthcheck`)).status,
    200,
    'and what is not S3’s stays what it is',
  )
})

t.test('presigned URLs give what was signed, and no more', async (t) => {
  const Bucket = await bucket('presigned')
  await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'content' }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'secret', Body: 'secret' }))
  const host = `127.0.0.1:${store.port}`
  const at = (method: string, path: string, more: object = {}) =>
    send(store.port, { method, path, headers: { host }, ...more })
  t.equal((await at('GET', presign('GET', `/${Bucket}/k`, host))).body, 'content')
  t.equal((await at('DELETE', presign('GET', `/${Bucket}/k`, host))).code, 'SignatureDoesNotMatch')
  t.equal(
    (await at('GET', presign('GET', `/${Bucket}/k`, host).replace('/k?', '/secret?'))).code,
    'SignatureDoesNotMatch',
  )
  const put = presign('PUT', `/${Bucket}/uploaded`, host)
  const body = 'by a stranger'
  t.equal((await at('PUT', put, { headers: { host, 'content-length': '13' }, body })).status, 200)
  t.equal(await textOf({ Bucket, Key: 'uploaded' }), body)
  const chunked = presign('PUT', `/${Bucket}/chunked`, host)
  const headers = { host, 'transfer-encoding': 'chunked' }
  t.equal((await at('PUT', chunked, { headers, body })).status, 200)
  t.equal(await textOf({ Bucket, Key: 'chunked' }), body, 'of a length that nobody has said')
  const stolen = await at('PUT', put, {
    headers: { host, 'x-amz-copy-source': `/${Bucket}/secret`, 'content-length': '0' },
  })
  t.equal(stolen.code, 'AccessDenied', 'a copy that nobody has signed')
  t.equal(await textOf({ Bucket, Key: 'uploaded' }), body)
  const typed = presign('GET', `/${Bucket}/k?response-content-type=text%2Fx`, host)
  t.equal((await at('GET', typed)).headers['content-type'], 'text/x')
})

const TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

t.test('bodies that are not what was signed or announced are not stored', async (t) => {
  const Bucket = await bucket('integrity')
  const path = `/${Bucket}/k`
  const put = async (asked: Omit<SignedRequest, 'path'>) => {
    const { status, code } = await signed({ method: 'PUT', path, ...asked })
    return `${status} ${code}`
  }
  const large = 'x'.repeat(100_000)
  const chunked = (body: string, headers: Record<string, string>) =>
    put({ body, payloadHash: TRAILER, headers: { 'content-encoding': 'aws-chunked', ...headers } })
  const decoded = (bytes: number) => ({ 'x-amz-decoded-content-length': String(bytes) })
  const crc = { 'x-amz-trailer': 'x-amz-checksum-crc32' }
  for (const body of ['hello', large]) {
    t.equal(await put({ body, payloadHash: 'a'.repeat(64) }), '400 XAmzContentSHA256Mismatch')
    t.equal(
      await put({ body, headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } }),
      '400 BadDigest',
    )
    t.equal(await put({ body, headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }), '400 BadDigest')
    const hex = body.length.toString(16)
    const whole = `${hex}\r\n${body}\r\n0\r\n`
    const wrong = `${whole}x-amz-checksum-crc32:AAAAAA==\r\n\r\n`
    t.equal(await chunked(wrong, { ...decoded(body.length), ...crc }), '400 BadDigest')
    t.equal(
      await chunked(`${whole}\r\n`, { ...decoded(body.length), ...crc }),
      '400 IncompleteBody',
    )
    t.equal(
      await chunked(`${whole}a:b\r\n\r\n`, { ...decoded(body.length), ...crc }),
      '400 MalformedTrailerError',
    )
    t.equal(await chunked(wrong, { ...decoded(body.length + 1), ...crc }), '400 IncompleteBody')
    t.equal(await chunked(wrong, { ...decoded(1), ...crc }), '400 IncompleteBody')
    t.equal(
      await chunked(`${hex}\r\n${body}`, { ...decoded(body.length), ...crc }),
      '400 IncompleteBody',
    )
    t.equal(
      await chunked(`${hex}\r\n${body}garbage\r\n`, { ...decoded(body.length), ...crc }),
      '400 InvalidRequest',
    )
    const both = { ...decoded(body.length), ...crc, 'x-amz-checksum-crc32': 'AAAAAA==' }
    t.equal(await chunked(wrong, both), '400 InvalidRequest')
    t.match(
      await put({
        body,
        payloadHash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
        headers: decoded(body.length),
      }),
      /^400 (InvalidRequest|IncompleteBody)$/,
      'chunks that are none',
    )
    const forged = `${hex};chunk-signature=${'0'.repeat(64)}\r\n${body}\r\n0;chunk-signature=${'0'.repeat(64)}\r\n\r\n`
    t.equal(
      await put({
        body: forged,
        payloadHash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
        headers: decoded(body.length),
      }),
      '403 SignatureDoesNotMatch',
    )
  }
  t.equal(await put({ body: 'hello', headers: { 'x-amz-checksum-crc32': 'bad' } }), '400 BadDigest')
  t.equal((await signed({ path })).code, 'NoSuchKey')
  for (const expect of ['', '200', '100-continue, x']) {
    t.equal(await put({ body: 'hello', headers: { expect } }), '200 ', 'S3 does not look at it')
  }
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' }))
  const cut = send(store.port, {
    method: 'PUT',
    path: presign('PUT', path, `127.0.0.1:${store.port}`),
    headers: { host: `127.0.0.1:${store.port}`, 'content-length': '1000000' },
    onRequest: (sent) => void sent.write(large, () => sent.destroy()),
  })
  await t.rejects(cut)
  t.equal((await signed({ path })).code, 'NoSuchKey', 'nor what was cut off')
})

t.test(
  'Swift’s control headers do nothing through S3, and what is not built says so',
  async (t) => {
    const Bucket = await bucket('controls')
    await s3.send(new PutObjectCommand({ Bucket, Key: 'other', Body: 'other' }))
    const headers = {
      'x-object-manifest': `${Bucket}/other`,
      'x-copy-from': `/${Bucket}/other`,
      'x-symlink-target': `${Bucket}/other`,
      'x-object-meta-a': 'b',
      'x-object-sysmeta-a': 'b',
      'x-object-sysmeta-s3-upload': 'b',
      'x-static-large-object': 'True',
      'x-backend-storage-policy-index': '1',
      'x-container-host': '127.0.0.1:1',
      'x-timestamp': '1',
      'x-auth-token': 'none',
    }
    t.equal(
      (
        await signed({
          method: 'PUT',
          path: `/${Bucket}/k?multipart-manifest=put`,
          headers,
          body: 'mine',
        })
      ).status,
      200,
    )
    t.equal(await textOf({ Bucket, Key: 'k' }), 'mine')
    const shown = [...(await swift('HEAD', `/${Bucket}/k`)).headers.keys()].join()
    t.notMatch(shown, /x-delete-at|x-object-meta-a|manifest|static-large/)
    const control = {
      'x-container-read': '.r:*',
      'x-container-meta-quota-bytes': '1',
      'x-versions-enabled': 'true',
    }
    t.equal((await signed({ method: 'PUT', path: '/controls-2', headers: control })).status, 200)
    t.notMatch(
      [...(await swift('HEAD', '/controls-2')).headers.keys()].join(),
      /x-container-read|quota|versions/,
    )
    t.equal((await signed({ path: `/${Bucket}%2Bsegments/x` })).code, 'InvalidBucketName')
    const bombs =
      '<!DOCTYPE x [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>'
    t.equal(
      (await signed({ method: 'POST', path: `/${Bucket}?delete`, body: bombs })).code,
      'MalformedXML',
    )
    const cases: readonly (readonly [
      method: string,
      path: string,
      headers?: Record<string, string>,
    ])[] = [
      ['GET', `/${Bucket}?metrics`],
      ['GET', `/${Bucket}?analytics`],
      ['DELETE', `/${Bucket}?intelligent-tiering`],
      ['POST', `/${Bucket}/k?restore`],
      ['GET', `/${Bucket}/k?torrent`],
      ['PUT', `/${Bucket}/k`, { 'x-amz-server-side-encryption': 'AES256' }],
    ]
    for (const [method, path, more] of cases) {
      const { status, code } = await signed({ method, path, ...(more && { headers: more }) })
      t.equal(`${status} ${code}`, '501 NotImplemented', `${method} ${path}`)
    }
    t.equal(await textOf({ Bucket, Key: 'k' }), 'mine', 'and nothing of it was done')
    const error = await signed({ path: `/${Bucket}/none` })
    t.match(
      error.body,
      /<Error><Code>NoSuchKey<\/Code><Message>.*<Key>none<\/Key>.*<Resource>.*<RequestId>tx.*<HostId>/,
    )
    t.match(error.headers['x-amz-request-id'], /^tx/)
  },
)
