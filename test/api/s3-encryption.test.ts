/** Encryption that clients of S3 ask for, over a real socket: by their own keys, by the store's, and by what a bucket says. */
import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketEncryptionCommand,
  GetBucketEncryptionCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutBucketEncryptionCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import type { RootSecrets } from '../../proxy/encryption/root-secrets.ts'
import {
  openS3Rig,
  openS3Store,
  type SignedRequest,
  sendSigned,
  testCredentials,
} from './s3-store.ts'

const KEYS: RootSecrets = {
  active: 'store-1',
  secrets: new Map([
    ['store-1', randomBytes(32)],
    ['accounts', randomBytes(32)],
  ]),
}
const s3Options = { credentials: testCredentials, domains: [], partBytesMin: 5 * 1024 * 1024 }
const folder = t.testdir()
const { s3, signed, swift } = await openS3Rig(
  { testdir: () => folder, teardown: t.teardown.bind(t) } as unknown as typeof t,
  { s3: { ...s3Options, keys: KEYS } },
)

function customer(seed: string) {
  const key = createHash('sha256').update(seed).digest()
  return {
    SSECustomerAlgorithm: 'AES256',
    SSECustomerKey: key.toString('base64'),
    SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
  }
}
const OURS = customer('ours')
const OTHERS = customer('others')
const SMALL = Buffer.from('a small secret that stands nowhere in the clear')
/** A text at every place of it, so that a piece anywhere would be found. */
const BIG = Buffer.from('another secret in many blocks; '.repeat(8000))
const CUSTOMER = 'x-amz-server-side-encryption-customer-'

function headersOf(key: ReturnType<typeof customer>): Record<string, string> {
  return {
    [`${CUSTOMER}algorithm`]: key.SSECustomerAlgorithm,
    [`${CUSTOMER}key`]: key.SSECustomerKey,
    [`${CUSTOMER}key-md5`]: key.SSECustomerKeyMD5,
  }
}

async function bucket(name: string): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket: name }))
  return name
}

async function bodyOf(input: GetObjectCommandInput): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand(input))
  return Buffer.from((await Body!.transformToByteArray()) as Uint8Array)
}

async function codeOf(asked: SignedRequest): Promise<string> {
  const { status, code } = await signed(asked)
  return `${status} ${code}`.trim()
}

async function onDisk(text: string): Promise<boolean> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    if ((await readFile(join(entry.parentPath, entry.name))).includes(text)) return true
  }
  return false
}

t.test('what a client enciphers with a key of its own is read with that key alone', async (t) => {
  const Bucket = await bucket('own-key')
  for (const [Key, Body] of [
    ['small', SMALL],
    ['big', BIG],
    ['empty', Buffer.alloc(0)],
  ] as const) {
    const made = await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...OURS }))
    t.equal(made.SSECustomerAlgorithm, 'AES256')
    t.equal(made.SSECustomerKeyMD5, OURS.SSECustomerKeyMD5)
    t.not(made.ETag, `"${createHash('md5').update(Body).digest('hex')}"`, 'the ETag tells nothing')
    t.ok((await bodyOf({ Bucket, Key, ...OURS })).equals(Body))
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key, ...OURS }))
    t.equal(head.ETag, made.ETag)
    t.equal(head.ContentLength, Body.length)
    const path = `/${Bucket}/${Key}`
    t.equal(await codeOf({ path }), '400 InvalidRequest', 'no key')
    t.equal(await codeOf({ path, headers: headersOf(OTHERS) }), '400 InvalidRequest', 'another')
    t.equal((await signed({ method: 'HEAD', path })).status, 400)
    t.equal((await signed({ method: 'HEAD', path, headers: headersOf(OTHERS) })).status, 400)
  }
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }))
  const { ETag } = await s3.send(new HeadObjectCommand({ Bucket, Key: 'small', ...OURS }))
  t.equal(Contents.find(({ Key }) => Key === 'small')?.ETag, ETag, 'listed by the same ETag')
  for (const Range of ['bytes=0-0', 'bytes=17-16399', 'bytes=65535-65552', 'bytes=-33']) {
    const [, from = '', to = ''] = /=(\d*)-(\d+)/.exec(Range)!
    const want =
      from === '' ? BIG.subarray(-Number(to)) : BIG.subarray(Number(from), Number(to) + 1)
    t.ok((await bodyOf({ Bucket, Key: 'big', Range, ...OURS })).equals(want), Range)
  }
  t.equal(await onDisk('stands nowhere in the clear'), false)
  t.equal(await onDisk('another secret in many blocks'), false)
  t.equal(await onDisk(OURS.SSECustomerKey), false)
  const key = Buffer.from(OURS.SSECustomerKey, 'base64').toString('latin1')
  t.notOk(await onDisk(key.slice(0, 16)))
})

t.test('through the Swift API it is refused, and never given out enciphered', async (t) => {
  for (const name of ['small', 'big', 'empty']) {
    const read = await swift('GET', `/own-key/${name}`)
    t.equal(read.status, 403)
    t.match(await read.text(), /key that only its owner has/)
    t.equal((await swift('HEAD', `/own-key/${name}`)).status, 200)
    const copied = await swift('COPY', `/own-key/${name}`, {
      headers: { destination: 'own-key/x' },
    })
    t.equal(copied.status, 403)
  }
})

t.test('requests that are not sure of their key are refused', async (t) => {
  const Bucket = await bucket('bad-keys')
  const path = `/${Bucket}/o`
  const all = headersOf(OURS)
  const put = (headers: Record<string, string>) =>
    codeOf({ method: 'PUT', path, headers, body: 'b' })
  const { [`${CUSTOMER}algorithm`]: _, ...noAlgorithm } = all
  const { [`${CUSTOMER}key`]: __, ...noKey } = all
  const { [`${CUSTOMER}key-md5`]: ___, ...noMd5 } = all
  for (const headers of [
    noAlgorithm,
    noKey,
    noMd5,
    { ...all, [`${CUSTOMER}key-md5`]: 'AAAAAAAAAAAAAAAAAAAAAA==' },
    { ...all, [`${CUSTOMER}key`]: 'c2hvcnQ=' },
    { ...all, 'x-amz-server-side-encryption': 'AES256' },
    { 'x-amz-server-side-encryption': 'ROT13' },
    { 'x-amz-server-side-encryption': 'aws:kms' },
    { 'x-amz-server-side-encryption-aws-kms-key-id': 'accounts' },
    {
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-aws-kms-key-id': 'accounts',
      'x-amz-server-side-encryption-context': 'e1s=',
    },
  ]) {
    t.equal(await put(headers), '400 InvalidArgument', Object.entries(headers).join(' '))
  }
  t.equal(
    await put({ ...all, [`${CUSTOMER}algorithm`]: 'AES128' }),
    '400 InvalidEncryptionAlgorithmError',
  )
  const none = {
    'x-amz-server-side-encryption': 'aws:kms',
    'x-amz-server-side-encryption-aws-kms-key-id': 'nobody',
  }
  const unknown = await signed({ method: 'PUT', path, headers: none, body: 'b' })
  t.equal(unknown.status, 400)
  t.match(unknown.body, '<Code>KMS.NotFoundException</Code>')
  t.equal(await codeOf({ path }), '404 NoSuchKey')
  await s3.send(new PutObjectCommand({ Bucket, Key: 'plain', Body: 'b' }))
  const plain = `/${Bucket}/plain`
  t.equal(await codeOf({ path: plain, headers: all }), '400 InvalidRequest', 'needs no key')
  const write = { 'x-amz-server-side-encryption': 'AES256' }
  t.equal(await codeOf({ path: plain, headers: write }), '400 InvalidArgument', 'a write’s header')
})

t.test('with the store’s keys both APIs read the plain object', async (t) => {
  const Bucket = await bucket('store-keys')
  const SSEKMSEncryptionContext = Buffer.from('{"for":"payroll"}').toString('base64')
  for (const [Key, Body, sse] of [
    ['s3', SMALL, { ServerSideEncryption: 'AES256' }],
    ['kms', SMALL, { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: 'accounts' }],
    [
      'kms-big',
      BIG,
      {
        ServerSideEncryption: 'aws:kms',
        SSEKMSKeyId: 'arn:aws:kms:us-east-1:1:key/accounts',
        SSEKMSEncryptionContext,
        BucketKeyEnabled: true,
      },
    ],
  ] as const) {
    const made = await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...sse }))
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key }))
    for (const told of [made, head]) {
      t.match(told, {
        ServerSideEncryption: sse.ServerSideEncryption,
        ETag: made.ETag,
        ...('SSEKMSKeyId' in sse && { SSEKMSKeyId: sse.SSEKMSKeyId }),
        ...('BucketKeyEnabled' in sse && { BucketKeyEnabled: true }),
      })
    }
    t.equal(made.ETag, `"${createHash('md5').update(Body).digest('hex')}"`)
    t.ok((await bodyOf({ Bucket, Key })).equals(Body))
    const read = await swift('GET', `/${Bucket}/${Key}`)
    t.ok(Buffer.from(await read.arrayBuffer()).equals(Body))
    const target = { destination: `${Bucket}/copy-of-${Key}` }
    t.equal((await swift('COPY', `/${Bucket}/${Key}`, { headers: target })).status, 201)
    const copy = await s3.send(new HeadObjectCommand({ Bucket, Key: `copy-of-${Key}` }))
    t.equal(copy.ServerSideEncryption, undefined, 'a copy by Swift is not enciphered, and says so')
    t.ok((await bodyOf({ Bucket, Key: `copy-of-${Key}` })).equals(Body))
  }
  const tags = { TagSet: [{ Key: 'a', Value: 'b' }] }
  await s3.send(new PutObjectTaggingCommand({ Bucket, Key: 'kms', Tagging: tags }))
  const posted = await swift('POST', `/${Bucket}/kms`, { headers: { 'x-object-meta-a': '1' } })
  t.equal(posted.status, 202)
  t.ok((await bodyOf({ Bucket, Key: 'kms' })).equals(SMALL), 'changes beside the body leave it')
})

t.test('copies go from any key to any other, and parts with them', async (t) => {
  const Bucket = await bucket('copies')
  const from = {
    CopySourceSSECustomerAlgorithm: 'AES256',
    CopySourceSSECustomerKey: OURS.SSECustomerKey,
    CopySourceSSECustomerKeyMD5: OURS.SSECustomerKeyMD5,
  }
  const CopySource = `${Bucket}/source`
  await s3.send(new PutObjectCommand({ Bucket, Key: 'source', Body: BIG, ...OURS }))
  await t.rejects(s3.send(new CopyObjectCommand({ Bucket, Key: 'no', CopySource })), {
    name: 'InvalidRequest',
  })
  for (const [Key, to, by] of [
    ['plain', {}, {}],
    ['other', OTHERS, OTHERS],
    ['store', { ServerSideEncryption: 'AES256' }, {}],
  ] as const) {
    await s3.send(new CopyObjectCommand({ Bucket, Key, CopySource, ...from, ...to }))
    t.ok((await bodyOf({ Bucket, Key, ...by })).equals(BIG), Key)
  }
  const { UploadId } = await s3.send(
    new CreateMultipartUploadCommand({ Bucket, Key: 'parts', ...OTHERS }),
  )
  const upload = { Bucket, Key: 'parts', UploadId }
  const first = randomBytes(5 * 1024 * 1024)
  for (const key of [{}, OURS]) {
    const part = { ...upload, PartNumber: 1, Body: 'x', ...key }
    await t.rejects(s3.send(new UploadPartCommand(part)), { name: 'InvalidRequest' })
  }
  const one = await s3.send(
    new UploadPartCommand({ ...upload, PartNumber: 1, Body: first, ...OTHERS }),
  )
  t.equal(one.SSECustomerKeyMD5, OTHERS.SSECustomerKeyMD5)
  const two = await s3.send(
    new UploadPartCopyCommand({ ...upload, PartNumber: 2, CopySource, ...from, ...OTHERS }),
  )
  const Parts = [
    { PartNumber: 1, ETag: one.ETag },
    { PartNumber: 2, ETag: two.CopyPartResult?.ETag },
  ]
  const complete = { ...upload, MultipartUpload: { Parts } }
  await t.rejects(s3.send(new CompleteMultipartUploadCommand(complete)), { name: 'InvalidRequest' })
  const made = await s3.send(new CompleteMultipartUploadCommand({ ...complete, ...OTHERS }))
  t.match(made.ETag, /-2"$/)
  const whole = Buffer.concat([first, BIG])
  t.ok((await bodyOf({ Bucket, Key: 'parts', ...OTHERS })).equals(whole))
  const Range = `bytes=${first.length - 21}-${first.length + 40}`
  t.ok(
    (await bodyOf({ Bucket, Key: 'parts', Range, ...OTHERS })).equals(
      whole.subarray(first.length - 21, first.length + 41),
    ),
  )
  t.ok((await bodyOf({ Bucket, Key: 'parts', PartNumber: 2, ...OTHERS })).equals(BIG))
  t.equal(await codeOf({ path: `/${Bucket}/parts` }), '400 InvalidRequest')
  t.equal(
    await codeOf({ path: `/${Bucket}/parts`, headers: headersOf(OURS) }),
    '400 InvalidRequest',
  )
  t.equal((await swift('GET', `/${Bucket}/parts`)).status, 403)
  const attributes = { Bucket, Key: 'parts', ObjectAttributes: ['ObjectSize'] as const }
  await t.rejects(
    s3.send(new GetObjectAttributesCommand({ ...attributes, ObjectAttributes: ['ObjectSize'] })),
  )
  const told = await s3.send(
    new GetObjectAttributesCommand({ ...attributes, ObjectAttributes: ['ObjectSize'], ...OTHERS }),
  )
  t.equal(told.ObjectSize, whole.length)
})

t.test('versions keep the key that they were written with', async (t) => {
  const Bucket = await bucket('versioned-keys')
  await s3.send(new PutObjectCommand({ Bucket, Key: 'o', Body: 'plain before' }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'p', Body: BIG, ...OURS }))
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  const second = await s3.send(new PutObjectCommand({ Bucket, Key: 'o', Body: BIG, ...OURS }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'o', Body: 'third', ...OTHERS }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'p', Body: 'plain after' }))
  const read = async (input: Omit<GetObjectCommandInput, 'Bucket'>) =>
    (await bodyOf({ Bucket, ...input })).toString()
  t.equal(await read({ Key: 'o', ...OTHERS }), 'third')
  t.equal(await read({ Key: 'o', VersionId: 'null' }), 'plain before')
  t.equal(await read({ Key: 'o', VersionId: second.VersionId!, ...OURS }), BIG.toString())
  t.equal(await read({ Key: 'p' }), 'plain after')
  t.equal(await read({ Key: 'p', VersionId: 'null', ...OURS }), BIG.toString())
  t.equal(await codeOf({ path: `/${Bucket}/p?versionId=null` }), '400 InvalidRequest')
  t.equal((await swift('GET', `/${Bucket}/o`)).status, 403)
})

t.test('a bucket’s default holds for what says nothing of its own', async (t) => {
  const Bucket = await bucket('by-default')
  const path = `/${Bucket}?encryption`
  const missing = '404 ServerSideEncryptionConfigurationNotFoundError'
  t.equal(await codeOf({ path }), missing)
  const rule = (SSEAlgorithm: 'AES256' | 'aws:kms', KMSMasterKeyID?: string) => ({
    Bucket,
    ServerSideEncryptionConfiguration: {
      Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm, KMSMasterKeyID } }],
    },
  })
  await s3.send(new PutBucketEncryptionCommand(rule('aws:kms', 'accounts')))
  const { ServerSideEncryptionConfiguration: told } = await s3.send(
    new GetBucketEncryptionCommand({ Bucket }),
  )
  t.match(told?.Rules?.[0]?.ApplyServerSideEncryptionByDefault, {
    SSEAlgorithm: 'aws:kms',
    KMSMasterKeyID: 'accounts',
  })
  const made = await s3.send(new PutObjectCommand({ Bucket, Key: 'o', Body: 'by default' }))
  t.equal(made.ServerSideEncryption, 'aws:kms')
  t.equal(made.SSEKMSKeyId, 'accounts')
  t.equal((await bodyOf({ Bucket, Key: 'o' })).toString(), 'by default')
  const own = await s3.send(
    new PutObjectCommand({ Bucket, Key: 'p', Body: 'b', ServerSideEncryption: 'AES256' }),
  )
  t.equal(own.ServerSideEncryption, 'AES256')
  await t.rejects(s3.send(new PutBucketEncryptionCommand(rule('aws:kms', 'nobody'))))
  await t.rejects(s3.send(new PutBucketEncryptionCommand(rule('aws:kms'))))
  await t.rejects(s3.send(new PutBucketEncryptionCommand(rule('AES256', 'accounts'))))
  t.equal(await codeOf({ method: 'PUT', path, body: '<a/>' }), '400 MalformedXML')
  await s3.send(new DeleteBucketEncryptionCommand({ Bucket }))
  t.equal(await codeOf({ path }), missing)
  const after = await s3.send(new PutObjectCommand({ Bucket, Key: 'q', Body: 'b' }))
  t.equal(after.ServerSideEncryption, undefined)
})

t.test(
  'a store without keys of its own says so, and takes clients’ by TLS alone if it is told to',
  async (t) => {
    const store = await openS3Store(t.testdir(), {
      s3: { ...s3Options, customerKeysNeedTls: true },
    })
    t.teardown(() => store.close())
    const ask = async (headers: Record<string, string>) => {
      const asked = { method: 'PUT', path: '/without/o', headers, body: 'b' }
      const { status, code } = await sendSigned(store.port, asked)
      return `${status} ${code}`.trim()
    }
    await sendSigned(store.port, { method: 'PUT', path: '/without' })
    t.equal(await ask({ 'x-amz-server-side-encryption': 'AES256' }), '501 NotImplemented')
    t.equal(await ask(headersOf(OURS)), '400 InvalidRequest')
    t.equal(await ask({}), '200')
  },
)
