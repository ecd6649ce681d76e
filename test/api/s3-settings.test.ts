/** What S3 keeps beside buckets and objects, over a real socket: tags. */
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
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
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { GUEST, openS3Rig, type SignedRequest } from './s3-store.ts'

const { s3, signed, swift } = await openS3Rig(t)

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

t.test('an object’s tags are set, shown, counted, replaced and taken away', async (t) => {
  const Bucket = await bucket('tagged')
  const key = { Bucket, Key: 'o' }
  await s3.send(new PutObjectCommand({ ...key, Body: 'body', Metadata: { kept: 'yes' } }))
  t.strictSame(await tagsOf(Bucket, 'o'), [])
  t.equal((await signed({ path: '/tagged/o' })).headers['x-amz-tagging-count'], undefined)
  const { LastModified } = await s3.send(new HeadObjectCommand(key))
  await s3.send(new PutObjectTaggingCommand({ ...key, Tagging: { TagSet: [...COLOUR, ...SIGNS] } }))
  t.strictSame(await tagsOf(Bucket, 'o'), [...COLOUR, ...SIGNS])
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
  t.strictSame(await tagsOf(Bucket, 'put'), [...COLOUR, ...SIGNS])
  const CopySource = `${Bucket}/put`
  await s3.send(new CopyObjectCommand({ Bucket, Key: 'copied', CopySource }))
  t.strictSame(await tagsOf(Bucket, 'copied'), [...COLOUR, ...SIGNS])
  const replaced = { Tagging: 'n=1', TaggingDirective: 'REPLACE' } as const
  await s3.send(new CopyObjectCommand({ Bucket, Key: 'replaced', CopySource, ...replaced }))
  t.strictSame(await tagsOf(Bucket, 'replaced'), [{ Key: 'n', Value: '1' }])
  await s3.send(
    new CopyObjectCommand({ Bucket, Key: 'bare', CopySource, TaggingDirective: 'REPLACE' }),
  )
  t.strictSame(await tagsOf(Bucket, 'bare'), [])
  const upload = { Bucket, Key: 'parts' }
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ ...upload, Tagging }))
  const part = { ...upload, UploadId, PartNumber: 1 }
  const { ETag } = await s3.send(new UploadPartCommand({ ...part, Body: 'part' }))
  const MultipartUpload = { Parts: [{ ETag, PartNumber: 1 }] }
  await s3.send(new CompleteMultipartUploadCommand({ ...upload, UploadId, MultipartUpload }))
  t.strictSame(await tagsOf(Bucket, 'parts'), [...COLOUR, ...SIGNS])
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
  t.equal(await put('/bad-tags?tagging', tagging(many(50))), '204')
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
