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
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'
import t from 'tap'
import type { ItemInfo } from '../../common/storage-node.ts'
import { BUCKET_SETTINGS } from '../../proxy/s3/bucket/bucket-settings.ts'
import type { VersionLine } from '../../proxy/s3/bucket/version-page.ts'
import { inventoryColumns } from '../../proxy/s3/inventory/inventory-columns.ts'
import {
  INVENTORY_FIELDS,
  type InventoryRule,
  isDue,
} from '../../proxy/s3/inventory/inventory-rule.ts'
import { ParquetFile } from '../../proxy/s3/inventory/parquet-file.ts'
import { S3_REPLICATION } from '../../proxy/swift/foreign-meta.ts'
import { OTHER, openS3Rig, s3Client, testCredentials } from './s3-store.ts'

/** As AWS documents it for all fields. */
const PARQUET_SCHEMA =
  'message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); ' +
  'optional binary version_id (UTF8); optional boolean is_latest; optional boolean is_delete_marker; ' +
  'optional int64 size; optional int64 last_modified_date (TIMESTAMP_MILLIS); ' +
  'optional binary e_tag (UTF8); optional binary storage_class (UTF8); ' +
  'optional boolean is_multipart_uploaded; optional binary replication_status (UTF8); ' +
  'optional binary encryption_status (UTF8); ' +
  'optional int64 object_lock_retain_until_date (TIMESTAMP_MILLIS); ' +
  'optional binary object_lock_mode (UTF8); optional binary object_lock_legal_hold_status (UTF8); ' +
  'optional binary intelligent_tiering_access_tier (UTF8); optional binary bucket_key_status (UTF8); ' +
  'optional binary checksum_algorithm (UTF8); optional binary object_access_control_list (UTF8); ' +
  'optional binary object_owner (UTF8); ' +
  'optional int64 lifecycle_expiration_date (TIMESTAMP_MILLIS); }'

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
  readonly format?: 'Parquet' | 'ORC'
  readonly prefix?: string
  readonly encrypted?: true
}

function configuration({ to, format, prefix, encrypted, ...more }: Asked): InventoryConfiguration {
  return {
    Id: 'report',
    IsEnabled: true,
    IncludedObjectVersions: 'Current',
    Schedule: { Frequency: 'Daily' },
    Destination: {
      S3BucketDestination: {
        Bucket: `arn:aws:s3:::${to}`,
        Format: format ?? 'CSV',
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

/** The first report there: its manifest, and its lines of CSV. */
async function reportIn(Bucket: string, Prefix: string, by = s3) {
  const { key, manifest, bodies } = await filesIn(Bucket, Prefix, by)
  const lines = bodies.map((body) => gunzipSync(body).toString()).join('')
  return { key, manifest, rows: lines.split('\n').slice(0, -1) }
}

async function filesIn(Bucket: string, Prefix: string, by = s3) {
  const end = Date.now() + WAIT_MS_MAX
  for (;;) {
    const found = (await keysIn(Bucket, Prefix, by)).find((key) => key.endsWith('.checksum'))
    if (found !== undefined) return readFiles(Bucket, found.replace('.checksum', '.json'), by)
    if (Date.now() > end) throw new Error(`no report in ${Bucket}/${Prefix}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

interface Manifest {
  readonly fileSchema: string
  readonly files: readonly { key: string; size: number; MD5checksum: string }[]
}

async function readFiles(Bucket: string, key: string, by: typeof s3) {
  const text = await bytesOf(Bucket, key, by)
  const manifest = JSON.parse(text.toString()) as Manifest
  const bodies: Buffer[] = []
  for (const file of manifest.files) {
    const body = await bytesOf(Bucket, file.key, by)
    t.equal(body.length, file.size)
    t.equal(md5(body), file.MD5checksum)
    bodies.push(body)
  }
  return { key, manifest, bodies }
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
    fileSchema: 'Bucket, Key, Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded',
  })
  t.match(manifest.files[0]!.key, /^of\/all\/stocked\/report\/data\/[0-9a-f-]{36}\.csv\.gz$/)
  const facts = `"4","T","${md5(Buffer.from('four'))}","STANDARD","false"`
  t.strictSame(
    rows.map((row) => row.replace(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/, '"T"')),
    [`"stocked","in/a%20b%2B%C3%BC%22",${facts}`, `"stocked","in/sub/x",${facts}`],
  )
  const [links] = await keysIn(to, 'of/all/stocked/report/hive/')
  t.match(links, /^of\/all\/stocked\/report\/hive\/dt=\d{4}-\d\d-\d\d-\d\d-\d\d\/symlink\.txt$/)
  const link = /^s3:\/\/reports\/of\/all\/stocked\/report\/data\/[0-9a-f-]{36}\.csv\.gz$/
  t.match((await bytesOf(to, links!)).toString(), link)
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

/** What each of the fields says of objects that have something to say, and of what has nothing. */
const FULL = {
  encryption: { enciphered: 'SSE-KMS', owned: 'SSE-C', plain: 'NOT-SSE' },
  bucketKey: { enciphered: 'ENABLED', owned: 'DISABLED', plain: 'DISABLED' },
  checksum: { enciphered: 'SHA256', owned: 'CRC32', plain: 'CRC64NVME' },
} as const
const NAMES = ['enciphered', 'owned', 'plain'] as const
const UNTIL = '2099-06-01T10:20:30.000Z'
const EXPIRES = '2099-01-01T00:00:00.000Z'

/** Their ETags. */
async function stockWithAll(Bucket: string) {
  await s3.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }))
  const key = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: 'k'.repeat(32) }
  const kms = {
    ServerSideEncryption: 'aws:kms',
    SSEKMSKeyId: 'store-1',
    BucketKeyEnabled: true,
    ChecksumAlgorithm: 'SHA256',
    ObjectLockMode: 'GOVERNANCE',
    ObjectLockRetainUntilDate: new Date(UNTIL),
  } as const
  const put = async (Key: (typeof NAMES)[number], more: object) => {
    const made = await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'four', ...more }))
    return made.ETag!.slice(1, -1)
  }
  const etags = {
    enciphered: await put('enciphered', kms),
    owned: await put('owned', { ...key, ObjectLockLegalHoldStatus: 'ON', Tagging: 'goes=soon' }),
    plain: await put('plain', { ACL: 'public-read', ChecksumAlgorithm: 'CRC64NVME' }),
  }
  await s3.send(new PutObjectCommand({ Bucket, Key: 'removed', Body: 'x' }))
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'removed' }))
  const goes = {
    ID: 'goes',
    Status: 'Enabled',
    Filter: { Tag: { Key: 'goes', Value: 'soon' } },
    Expiration: { Date: new Date(EXPIRES) },
  } as const
  const LifecycleConfiguration = { Rules: [goes] }
  await s3.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration }))
  return etags
}

const ownGrant = { canonicalId: 'AUTH_test', type: 'CanonicalUser', permission: 'FULL_CONTROL' }
const everybody = {
  uri: 'http://acs.amazonaws.com/groups/global/AllUsers',
  type: 'Group',
  permission: 'READ',
}

function aclText(grants: readonly object[]): string {
  const document = { version: '2022-11-10', status: 'AVAILABLE', grants }
  return Buffer.from(JSON.stringify(document)).toString('base64')
}

t.test('a report in Parquet has all fields, by the types of its schema', async (t) => {
  const [Bucket, to] = ['everything', await bucket('of-everything')]
  const etags = await stockWithAll(Bucket)
  const asked = {
    to,
    IncludedObjectVersions: 'All',
    OptionalFields: [...INVENTORY_FIELDS],
  } satisfies Asked
  await set(Bucket, { ...asked, format: 'Parquet' })
  await set(Bucket, { ...asked, Id: 'text' })
  const { manifest, bodies } = await filesIn(to, 'everything/report/')
  const text = await reportIn(to, 'everything/text/')
  await unset(Bucket)
  await unset(Bucket, 'text')
  t.match(manifest, { fileFormat: 'Parquet', files: [{ key: /\/data\/[0-9a-f-]{36}\.parquet$/ }] })
  t.equal(manifest.fileSchema, PARQUET_SCHEMA)
  const [body] = bodies
  const file = new Uint8Array(body!).buffer
  const rows = (await parquetReadObjects({ file })) as Record<string, unknown>[]
  t.strictSame(
    rows.map(({ key, is_latest, is_delete_marker }) => [key, is_latest, is_delete_marker]),
    [
      ...NAMES.map((name) => [name, true, false]),
      ['removed', true, true],
      ['removed', false, false],
    ],
  )
  for (const name of NAMES) {
    const { last_modified_date, version_id, ...row } = rows.find(({ key }) => key === name)!
    t.ok(
      last_modified_date instanceof Date &&
        Math.abs(last_modified_date.getTime() - Date.now()) < 3_600_000,
    )
    t.match(version_id, /^\S{10,}$/)
    t.strictSame(row, {
      ...{ bucket: Bucket, key: name, is_latest: true, is_delete_marker: false, size: 4n },
      e_tag: etags[name],
      storage_class: 'STANDARD',
      is_multipart_uploaded: false,
      replication_status: null,
      encryption_status: FULL.encryption[name],
      object_lock_retain_until_date: name === 'enciphered' ? new Date(UNTIL) : null,
      object_lock_mode: name === 'enciphered' ? 'GOVERNANCE' : null,
      object_lock_legal_hold_status: name === 'owned' ? 'On' : 'Off',
      intelligent_tiering_access_tier: null,
      bucket_key_status: FULL.bucketKey[name],
      checksum_algorithm: FULL.checksum[name],
      object_access_control_list: aclText(name === 'plain' ? [everybody, ownGrant] : [ownGrant]),
      object_owner: 'AUTH_test',
      lifecycle_expiration_date: name === 'owned' ? new Date(EXPIRES) : null,
    })
  }
  const marker = rows.find((row) => row.is_delete_marker)!
  t.match(marker, { size: null, encryption_status: null, object_access_control_list: null })
  t.equal(marker.object_owner, 'AUTH_test')
  t.equal(
    text.manifest.fileSchema,
    ['Bucket, Key, VersionId, IsLatest, IsDeleteMarker', ...INVENTORY_FIELDS].join(', '),
  )
  const owned = text.rows
    .find((row) => row.includes('"owned"'))!
    .split(',')
    .slice(7)
  t.strictSame(
    owned.map((cell) => cell.slice(1, -1)),
    [
      ...[etags.owned, 'STANDARD', 'false', '', 'SSE-C', '', '', 'On', '', 'DISABLED'],
      ...['CRC32', aclText([ownGrant]), 'AUTH_test', EXPIRES],
    ],
  )
})

t.test(
  'a Parquet file is a row group after the other, and ends before it is too long',
  async (t) => {
    const info = { meta: { headers: {} } } as ItemInfo
    const source = { account: 'AUTH_a', bucket: 'big', info }
    const columns = inventoryColumns({ versions: 'Current', fields: ['Size'] }, source)
    const file = new ParquetFile(columns)
    let rows = 0
    const keyOf = (row: number) => `${randomBytes(400).toString('hex')}${row}`
    for (; !file.isFull; rows++) file.add(['big', keyOf(rows), rows % 7 === 0 ? null : rows])
    const bytes = new Uint8Array(await file.finish()).buffer
    const { row_groups: groups, num_rows: all } = parquetMetadata(bytes)
    t.equal(Number(all), rows)
    t.ok(groups.every(({ num_rows: count }) => count <= 1_400n))
    t.ok(bytes.byteLength < 6 * 1024 * 1024, `${bytes.byteLength} bytes`)
    const read = await parquetReadObjects({ file: bytes, rowStart: rows - 8, rowEnd: rows })
    t.strictSame(
      read.map(({ size }) => size),
      Array.from({ length: 8 }, (_, i) => rows - 8 + i).map((row) =>
        row % 7 === 0 ? null : BigInt(row),
      ),
    )
  },
)

t.test('a version says how far its replication has come', (t) => {
  const rule = { id: 'r', isEnabled: true, priority: 1, prefix: 'go/', tags: [], existing: true }
  const replication = JSON.stringify({ role: '', destination: '', rules: [rule], sinceTicks: 0 })
  const info = {
    meta: { headers: { [BUCKET_SETTINGS.replication]: replication } },
  } as unknown as ItemInfo
  const source = { account: 'AUTH_a', bucket: 'b', info }
  const columns = inventoryColumns({ versions: 'Current', fields: ['ReplicationStatus'] }, source)
  const status = (key: string, kept: string) => {
    const head = { meta: { headers: { [S3_REPLICATION]: kept } } } as unknown as ItemInfo
    const row = { name: key, stamp: { ticks: 5 }, contentType: '' }
    const line = { key, version: 'null', row, isLatest: true, isMarker: false }
    return columns.at(-1)!.cell({ line: line as unknown as VersionLine, head })
  }
  t.equal(status('go/x', ''), 'PENDING')
  t.equal(status('go/x', 'COMPLETED 17'), 'COMPLETED')
  t.equal(status('stays', ''), null)
  t.equal(status('stays', 'REPLICA'), 'REPLICA')
  t.end()
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
  await refused({ to, format: 'ORC' }, 'NotImplemented')
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
