/** Inventories over a real socket, with days of a second: configurations, and the reports that come of them. */
import { createHash, randomBytes } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import {
  CreateBucketCommand,
  DeleteBucketInventoryConfigurationCommand,
  DeleteObjectCommand,
  GetBucketInventoryConfigurationCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type InventoryConfiguration,
  ListBucketInventoryConfigurationsCommand,
  ListObjectsV2Command,
  PutBucketInventoryConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { type InventoryRule, isDue } from '../../proxy/s3/inventory/inventory-rule.ts'
import { OTHER, openS3Rig, s3Client, testCredentials } from './s3-store.ts'

/** Nothing waits longer than this for what is to happen, however slow the machine is. */
const WAIT_MS_MAX = 60_000

const { store, s3, signed } = await openS3Rig(t, {
  s3: {
    credentials: testCredentials,
    lifecycleDayMs: 1000,
    keys: { active: 'store-1', secrets: new Map([['store-1', randomBytes(32)]]) },
  },
})
const other = s3Client(store.port, OTHER)
t.teardown(() => other.destroy())

async function bucket(Bucket: string, by = s3): Promise<string> {
  await by.send(new CreateBucketCommand({ Bucket }))
  return Bucket
}

type Asked = Partial<Omit<InventoryConfiguration, 'Destination'>> & {
  readonly to: string
  readonly prefix?: string
  readonly encrypted?: true
}

function configuration({ to, prefix, encrypted, ...more }: Asked): InventoryConfiguration {
  return {
    Id: 'report',
    IsEnabled: true,
    IncludedObjectVersions: 'Current',
    Schedule: { Frequency: 'Daily' },
    Destination: {
      S3BucketDestination: {
        Bucket: `arn:aws:s3:::${to}`,
        Format: 'CSV',
        Prefix: prefix,
        ...(encrypted && { Encryption: { SSES3: {} } }),
      },
    },
    ...more,
  }
}

async function set(Bucket: string, asked: Asked): Promise<InventoryConfiguration> {
  const InventoryConfiguration = configuration(asked)
  const Id = InventoryConfiguration.Id
  await s3.send(new PutBucketInventoryConfigurationCommand({ Bucket, Id, InventoryConfiguration }))
  return InventoryConfiguration
}

async function unset(Bucket: string, Id = 'report'): Promise<void> {
  await s3.send(new DeleteBucketInventoryConfigurationCommand({ Bucket, Id }))
}

async function bytesOf(Bucket: string, Key: string, by = s3): Promise<Buffer> {
  const { Body } = await by.send(new GetObjectCommand({ Bucket, Key }))
  return Buffer.from(await Body!.transformToByteArray())
}

async function keysIn(Bucket: string, Prefix: string, by = s3): Promise<readonly string[]> {
  const { Contents = [] } = await by.send(new ListObjectsV2Command({ Bucket, Prefix }))
  return Contents.map(({ Key }) => Key!)
}

/** The first report there: its manifest, and its lines. */
async function reportIn(Bucket: string, Prefix: string, by = s3) {
  const end = Date.now() + WAIT_MS_MAX
  for (;;) {
    const found = (await keysIn(Bucket, Prefix, by)).find((key) => key.endsWith('.checksum'))
    if (found !== undefined) return readReport(Bucket, found.replace('.checksum', '.json'), by)
    if (Date.now() > end) throw new Error(`no report in ${Bucket}/${Prefix}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

interface Manifest {
  readonly fileSchema: string
  readonly files: readonly { key: string; size: number; MD5checksum: string }[]
}

async function readReport(Bucket: string, key: string, by: typeof s3) {
  const text = await bytesOf(Bucket, key, by)
  const manifest = JSON.parse(text.toString()) as Manifest
  let lines = ''
  for (const file of manifest.files) {
    const body = await bytesOf(Bucket, file.key, by)
    t.equal(body.length, file.size)
    t.equal(md5(body), file.MD5checksum)
    lines += gunzipSync(body).toString()
  }
  return { key, manifest, rows: lines.split('\n').slice(0, -1) }
}

/** Waits until the checksum is the manifest's: a round that was under way may write both once more. */
async function sealed(Bucket: string, key: string): Promise<void> {
  const end = Date.now() + WAIT_MS_MAX
  for (;;) {
    const checksum = await bytesOf(Bucket, key.replace('.json', '.checksum'))
    if (checksum.toString() === md5(await bytesOf(Bucket, key))) return
    if (Date.now() > end) throw new Error(`no checksum of ${key}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function md5(body: Buffer): string {
  return createHash('md5').update(body).digest('hex')
}

t.test('a report has what was asked for, in a folder of its time', async (t) => {
  const [Bucket, to] = [await bucket('stocked'), await bucket('reports')]
  for (const Key of ['in/a b+ü"', 'in/sub/x', 'out/y']) {
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'four' }))
  }
  const fields = [
    'ETag',
    'Size',
    'StorageClass',
    'IsMultipartUploaded',
    'LastModifiedDate',
  ] as const
  await set(Bucket, {
    to,
    prefix: 'of/all',
    Filter: { Prefix: 'in/' },
    OptionalFields: [...fields],
    encrypted: true,
  })
  const { key, manifest, rows } = await reportIn(to, 'of/all/stocked/report/')
  await unset(Bucket)
  t.match(key, /^of\/all\/stocked\/report\/\d{4}-\d\d-\d\dT\d\d-\d\dZ\/manifest\.json$/)
  t.match(manifest, {
    sourceBucket: Bucket,
    destinationBucket: 'arn:aws:s3:::reports',
    version: '2016-11-30',
    creationTimestamp: /^\d{13}$/,
    fileFormat: 'CSV',
    fileSchema: 'Bucket, Key, Size, LastModifiedDate, StorageClass, ETag, IsMultipartUploaded',
  })
  t.match(manifest.files[0]!.key, /^of\/all\/stocked\/report\/data\/[0-9a-f-]{36}\.csv\.gz$/)
  const facts = `"4","T","STANDARD","${md5(Buffer.from('four'))}","false"`
  t.strictSame(
    rows.map((row) => row.replace(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/, '"T"')),
    [`"stocked","in/a%20b%2B%C3%BC%22",${facts}`, `"stocked","in/sub/x",${facts}`],
  )
  await sealed(to, key)
  const { ServerSideEncryption } = await s3.send(new HeadObjectCommand({ Bucket: to, Key: key }))
  t.equal(ServerSideEncryption, 'AES256')
})

t.test('all versions are told apart, delete markers too', async (t) => {
  const Bucket = await bucket('versioned')
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'null' }))
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  const { VersionId: first } = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: '1' }))
  const { VersionId: gone } = await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' }))
  await set(Bucket, {
    to: await bucket('of-versions'),
    IncludedObjectVersions: 'All',
    OptionalFields: ['Size'],
  })
  const { manifest, rows } = await reportIn('of-versions', 'versioned/')
  await unset(Bucket)
  t.equal(manifest.fileSchema, 'Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size')
  t.strictSame(rows, [
    `"versioned","k","${gone}","true","true",""`,
    `"versioned","k","${first}","false","false","1"`,
    '"versioned","k","","false","false","4"',
  ])
})

t.test('another account’s bucket takes a report if its policy says so', async (t) => {
  const [Bucket, to] = [await bucket('sent'), await bucket('taken-elsewhere', other)]
  await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))
  const barred = await bucket('barred')
  await set(Bucket, { to })
  const allow = (effect: string, name: string, account: string) => ({
    Bucket: name,
    Policy: JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: effect,
          Principal: { Service: 's3.amazonaws.com' },
          Action: 's3:PutObject',
          Resource: `arn:aws:s3:::${name}/*`,
          Condition: {
            StringEquals: {
              's3:x-amz-acl': 'bucket-owner-full-control',
              'aws:SourceAccount': account,
            },
            ArnLike: { 'aws:SourceArn': 'arn:aws:s3:::sent' },
          },
        },
      ],
    }),
  })
  await s3.send(new PutBucketPolicyCommand(allow('Deny', barred, 'AUTH_test')))
  await set(Bucket, { to: barred, Id: 'barred' })
  await set(Bucket, { to: await bucket('own'), Id: 'own' })
  await reportIn('own', 'sent/own/')
  t.strictSame(await keysIn(to, '', other), [], 'nothing without a policy')
  t.strictSame(await keysIn(barred, ''), [], 'nor against one')
  await other.send(new PutBucketPolicyCommand(allow('Allow', to, 'AUTH_test')))
  const { rows } = await reportIn(to, 'sent/report/', other)
  t.strictSame(rows, ['"sent","k"'])
  for (const id of ['report', 'barred', 'own']) await unset(Bucket, id)
})

t.test('configurations are set, shown, listed by pages and taken away', async (t) => {
  const [Bucket, to] = [await bucket('configured'), await bucket('configured-to')]
  const wanted = await set(Bucket, {
    to,
    prefix: 'p',
    IsEnabled: false,
    Filter: { Prefix: 'a&b' },
    OptionalFields: ['Size'],
    Schedule: { Frequency: 'Weekly' },
    encrypted: true,
  })
  const got = await s3.send(new GetBucketInventoryConfigurationCommand({ Bucket, Id: 'report' }))
  t.match(got.InventoryConfiguration, wanted)
  for (let i = 100; i < 201; i++) await set(Bucket, { to, Id: `n${i}`, IsEnabled: false })
  const names: string[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await s3.send(
      new ListBucketInventoryConfigurationsCommand({ Bucket, ContinuationToken }),
    )
    names.push(...page.InventoryConfigurationList!.map(({ Id }) => Id!))
    ContinuationToken = page.NextContinuationToken
    t.equal(page.IsTruncated, ContinuationToken !== undefined)
  } while (ContinuationToken !== undefined)
  t.equal(new Set(names).size, 102)
  t.equal(names.length, 102)
  await unset(Bucket, 'n150')
  const gone = new GetBucketInventoryConfigurationCommand({ Bucket, Id: 'n150' })
  await t.rejects(s3.send(gone), { name: 'NoSuchConfiguration' })
  await t.rejects(unset(Bucket, 'n150'), { name: 'NoSuchConfiguration' })
})

t.test('what is no configuration, or nobody’s to set, is refused', async (t) => {
  const [Bucket, to] = [await bucket('refusing'), await bucket('refusing-to')]
  const refused = async (asked: Asked, name: string) =>
    t.rejects(set(Bucket, asked), { name }, JSON.stringify(asked))
  await refused({ to: 'not-there' }, 'InvalidS3DestinationBucket')
  await refused({ to, Id: 'a/b' }, 'InvalidArgument')
  await refused({ to, OptionalFields: ['EncryptionStatus'] }, 'NotImplemented')
  await refused({ to, prefix: 'x'.repeat(513) }, 'InvalidArgument')
  const raw = async (body: string) =>
    (await signed({ method: 'PUT', path: `/${Bucket}?id=x&inventory`, body })).code
  t.equal(await raw('<InventoryConfiguration><Id>x</Id></InventoryConfiguration>'), 'MalformedXML')
  t.equal(
    await raw('<InventoryConfiguration><Id>y</Id></InventoryConfiguration>'),
    'InvalidArgument',
  )
  const InventoryConfiguration = configuration({ to })
  const put = new PutBucketInventoryConfigurationCommand({
    Bucket,
    Id: 'report',
    InventoryConfiguration,
  })
  await t.rejects(other.send(put), { name: 'AccessDenied' })
  const list = new ListBucketInventoryConfigurationsCommand({ Bucket })
  await t.rejects(other.send(list), { name: 'AccessDenied' })
})

t.test('weekly reports are of Sundays, and of the day that they were asked for', async (t) => {
  const rule = { isEnabled: true, frequency: 'Weekly', setMs: Date.UTC(2026, 10, 25, 9) }
  const due = (...day: readonly [number, number, number]) =>
    isDue(rule as InventoryRule, Date.UTC(...day, 1))
  t.strictSame(
    [22, 23, 24, 25, 26, 27, 28, 29, 30].filter((day) => due(2026, 10, day)),
    [22, 25, 29],
  )
  t.notOk(isDue({ ...rule, isEnabled: false } as InventoryRule, rule.setMs))
})
