/** Lifecycle rules over a real socket, with days of a second: what goes, what stays, and what is said of it. */
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketLifecycleCommand,
  DeleteObjectCommand,
  GetBucketLifecycleConfigurationCommand,
  HeadObjectCommand,
  type LifecycleRule,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import t, { type TAP } from 'tap'
import { openS3Rig, putInParts, testCredentials } from './s3-store.ts'

const DAY_MS = 1000
/** Nothing waits longer than this for what is to happen, however slow the machine is. */
const WAIT_MS_MAX = 240_000
const NEVER = 1_000_000

const { store, s3, signed, swift } = await openS3Rig(t, {
  s3: { credentials: testCredentials, lifecycleDayMs: DAY_MS },
})

async function bucket(
  Bucket: string,
  options: { readonly versions?: true; readonly lock?: true } = {},
): Promise<string> {
  await s3.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: options.lock }))
  if (options.versions) {
    const VersioningConfiguration = { Status: 'Enabled' } as const
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  }
  return Bucket
}

type Rule = Partial<LifecycleRule>

function rules(...given: readonly Rule[]): LifecycleRule[] {
  return given.map((rule, at) => ({ ID: `rule ${at}`, Status: 'Enabled', ...rule }))
}

async function setRules(Bucket: string, ...given: readonly Rule[]): Promise<void> {
  const LifecycleConfiguration = { Rules: rules(...given) }
  await s3.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration }))
}

/** Buckets that are done with would keep the others waiting. */
t.afterEach(async () => {
  for (const name of (await names('')).filter((known) => !known.includes('+'))) {
    await s3.send(new DeleteBucketLifecycleCommand({ Bucket: name }))
  }
})

async function put(Bucket: string, Key: string, more: object = {}): Promise<string | undefined> {
  const { VersionId } = await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'body', ...more }))
  return VersionId
}

/** Names in the order of a listing by Swift's API. */
async function names(container: string): Promise<readonly string[]> {
  const text = await (await swift('GET', container === '' ? '' : `/${container}`)).text()
  return text.split('\n').filter((line) => line !== '')
}

/** `key`, or `key (marker)`, the newest first. */
async function versions(Bucket: string): Promise<readonly string[]> {
  const page = await s3.send(new ListObjectVersionsCommand({ Bucket }))
  const kept = (page.Versions ?? []).map(({ Key, VersionId }) => `${Key} ${VersionId}`)
  return [...kept, ...(page.DeleteMarkers ?? []).map(({ Key }) => `${Key} (marker)`)]
}

async function until<T>(
  t: Pick<TAP, 'pass' | 'fail'>,
  what: string,
  look: () => Promise<T>,
  isSo: (seen: T) => boolean,
): Promise<T> {
  const endMs = performance.now() + WAIT_MS_MAX
  for (;;) {
    const seen = await look()
    if (isSo(seen)) {
      t.pass(what)
      return seen
    }
    if (performance.now() > endMs) {
      t.fail(what, { seen })
      return seen
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function codeOf(asked: Parameters<typeof signed>[0]): Promise<string> {
  const { status, code } = await signed(asked)
  return `${status} ${code}`.trim()
}

t.test('rules are kept as they were sent, and taken away', async (t) => {
  const Bucket = await bucket('kept-rules')
  t.equal(await codeOf({ path: '/kept-rules?lifecycle' }), '404 NoSuchLifecycleConfiguration')
  const given = rules(
    { Prefix: 'old/', Expiration: { Days: NEVER } },
    { Filter: {}, Status: 'Disabled', Expiration: { ExpiredObjectDeleteMarker: true } },
    { Filter: { Prefix: '' }, AbortIncompleteMultipartUpload: { DaysAfterInitiation: NEVER } },
    { Filter: { Tag: { Key: 'a', Value: '' } }, Expiration: { Date: new Date('2099-01-01') } },
    {
      Filter: {
        And: {
          Prefix: 'x',
          Tags: [
            { Key: 'a', Value: 'b' },
            { Key: 'c', Value: 'd' },
          ],
          ObjectSizeGreaterThan: 5,
          ObjectSizeLessThan: 10,
        },
      },
      NoncurrentVersionExpiration: { NoncurrentDays: NEVER, NewerNoncurrentVersions: 3 },
    },
  )
  await setRules(Bucket, ...given)
  const got = await s3.send(new GetBucketLifecycleConfigurationCommand({ Bucket }))
  t.strictSame(got.Rules, given)
  t.equal(got.TransitionDefaultMinimumObjectSize, 'all_storage_classes_128K')
  await setRules(Bucket, { Prefix: '', Expiration: { Days: NEVER }, ID: undefined })
  const named = await s3.send(new GetBucketLifecycleConfigurationCommand({ Bucket }))
  t.match(named.Rules?.[0]?.ID, /^[0-9a-f]{32}$/, 'a rule without a name gets one')
  await s3.send(new DeleteBucketLifecycleCommand({ Bucket }))
  await s3.send(new DeleteBucketLifecycleCommand({ Bucket }))
  t.equal(await codeOf({ path: '/kept-rules?lifecycle' }), '404 NoSuchLifecycleConfiguration')
})

t.test('what are no rules is refused', async (t) => {
  await bucket('bad-rules')
  const rule = (inside: string, scope = '<Prefix>a</Prefix>', status = 'Enabled') =>
    `<Rule><ID>one</ID>${scope}<Status>${status}</Status>${inside}</Rule>`
  const days = '<Expiration><Days>1</Days></Expiration>'
  const filter = (inside: string) => `<Filter>${inside}</Filter>`
  const tag = '<Tag><Key>a</Key><Value>b</Value></Tag>'
  const marker =
    '<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>'
  const abort =
    '<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>'
  const cases: readonly (readonly [body: string, code: string])[] = [
    ['', '400 MalformedXML'],
    [rule(days).repeat(1001), '400 MalformedXML'],
    [rule(days).repeat(2), '400 InvalidArgument'],
    [rule(days).replace('one', 'a'.repeat(256)), '400 InvalidArgument'],
    [rule(days, '<Prefix>a</Prefix>', 'enabled'), '400 MalformedXML'],
    [rule(days, ''), '400 MalformedXML'],
    [rule(days, '<Prefix>a</Prefix><Filter/>'), '400 MalformedXML'],
    [rule(days, filter('<Size>1</Size>')), '400 MalformedXML'],
    [rule(days, filter('<And><Prefix>a</Prefix></And><Prefix>b</Prefix>')), '400 MalformedXML'],
    [rule(days, filter(`<And>${tag}${tag}</And>`)), '400 InvalidTag'],
    [rule(`${days}<Other/>`), '400 MalformedXML'],
    [rule(''), '400 InvalidRequest'],
    [rule('<Expiration><Days>0</Days></Expiration>'), '400 InvalidArgument'],
    [rule('<Expiration><Days>1.5</Days></Expiration>'), '400 MalformedXML'],
    [rule('<Expiration><Days>99999999999</Days></Expiration>'), '400 MalformedXML'],
    [rule('<Expiration><Days>1</Days><Date>2030-01-01</Date></Expiration>'), '400 MalformedXML'],
    [rule('<Expiration/>'), '400 MalformedXML'],
    [rule('<Expiration><Date>20300101</Date></Expiration>'), '400 MalformedXML'],
    [rule('<Expiration><Date>2030-01-01T01:00:00Z</Date></Expiration>'), '400 InvalidArgument'],
    [rule(marker, filter(tag)), '400 InvalidRequest'],
    [rule(abort, filter(tag)), '400 InvalidRequest'],
    [
      rule(
        '<NoncurrentVersionExpiration><NoncurrentDays>0</NoncurrentDays></NoncurrentVersionExpiration>',
      ),
      '400 InvalidArgument',
    ],
    [
      rule('<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>'),
      '400 InvalidStorageClass',
    ],
    [
      rule(
        '<Transition><Date>2030-01-01T01:00:00Z</Date><StorageClass>X</StorageClass></Transition>',
      ),
      '400 InvalidArgument',
    ],
  ]
  for (const [body, code] of cases) {
    const document = `<LifecycleConfiguration>${body}</LifecycleConfiguration>`
    const asked = { method: 'PUT', path: '/bad-rules?lifecycle', body: document }
    t.equal(await codeOf(asked), code, body.slice(0, 120))
  }
  const headers = { 'x-amz-transition-default-minimum-object-size': 'huge' }
  const body = `<LifecycleConfiguration>${rule(days)}</LifecycleConfiguration>`
  const asked = { method: 'PUT', path: '/bad-rules?lifecycle', body, headers }
  t.equal(await codeOf(asked), '400 InvalidArgument')
  t.equal(await codeOf({ path: '/bad-rules?lifecycle' }), '404 NoSuchLifecycleConfiguration')
})

t.test('objects go by prefix, tags and size, and all others stay', async (t) => {
  const Bucket = await bucket('going')
  await put(Bucket, 'log/one')
  await put(Bucket, 'log/two')
  await put(Bucket, 'keep/one')
  await put(Bucket, 'tagged/yes', { Tagging: 'a=b&c=d' })
  await put(Bucket, 'tagged/no', { Tagging: 'a=c' })
  await put(Bucket, 'size/4')
  await put(Bucket, 'size/6', { Body: '123456' })
  await put(Bucket, 'size/8', { Body: '12345678' })
  await swift('PUT', '/going/log/by-swift', { body: 'by Swift' })
  const sizes = { Prefix: 'size/', ObjectSizeGreaterThan: 4, ObjectSizeLessThan: 8 }
  await setRules(
    Bucket,
    { Prefix: 'log/', Expiration: { Date: new Date('2020-01-01') } },
    { Prefix: 'keep/', Expiration: { Days: NEVER } },
    { Prefix: 'keep/', Expiration: { Days: 1 }, Status: 'Disabled' },
    { Filter: { Tag: { Key: 'a', Value: 'b' } }, Expiration: { Date: new Date('2020-01-01') } },
    { Filter: { And: sizes }, Expiration: { Days: 1 } },
  )
  const left = ['keep/one', 'size/4', 'size/8', 'tagged/no']
  await until(
    t,
    'what is due has gone',
    () => names(Bucket),
    (seen) => seen.length <= left.length,
  )
  t.strictSame(await names(Bucket), left)
  t.equal((await swift('HEAD', '/going/log/one')).status, 404)
})

t.test('a multipart object goes, and an upload that nobody completes is aborted', async (t) => {
  const Bucket = await bucket('uploads')
  const begin = (Key: string) => s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
  await putInParts(s3, { Bucket, Key: 'whole' }, ['part'])
  const left = await begin('left/one')
  const part = { Bucket, Key: 'left/one', UploadId: left.UploadId, PartNumber: 1 }
  await s3.send(new UploadPartCommand({ ...part, Body: 'part' }))
  await begin('other')
  await setRules(
    Bucket,
    { Prefix: 'left/', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 } },
    { Prefix: 'whole', Expiration: { Date: new Date('2020-01-01') } },
  )
  const uploads = async () => {
    const page = await s3.send(new ListMultipartUploadsCommand({ Bucket }))
    return (page.Uploads ?? []).map(({ Key }) => Key)
  }
  await until(t, 'one is aborted', uploads, (seen) => seen.length < 2)
  t.strictSame(await uploads(), ['other'])
  await until(
    t,
    'the object is gone',
    () => names(Bucket),
    (seen) => seen.length === 0,
  )
  const parts = await names('uploads%2Bsegments')
  t.notOk(
    parts.some((name) => name.includes(left.UploadId!)),
    'its parts are gone',
  )
  await setRules(Bucket, {
    Prefix: '',
    AbortIncompleteMultipartUpload: { DaysAfterInitiation: NEVER },
  })
  const { AbortRuleId, AbortDate } = await begin('told')
  t.equal(AbortRuleId, 'rule%200')
  t.ok(AbortDate!.getTime() > Date.now())
})

t.test(
  'versions: a marker over the current one, the older ones go but for the newest',
  async (t) => {
    const Bucket = await bucket('versioned', { versions: true })
    await put(Bucket, 'hidden')
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push((await put(Bucket, 'many'))!)
    await put(Bucket, 'emptied')
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'emptied' }))
    await setRules(
      Bucket,
      { Prefix: 'hidden', Expiration: { Days: 1 } },
      {
        Prefix: 'many',
        NoncurrentVersionExpiration: { NoncurrentDays: 1, NewerNoncurrentVersions: 2 },
      },
      {
        Prefix: 'emptied',
        NoncurrentVersionExpiration: { NoncurrentDays: 1 },
        Expiration: { ExpiredObjectDeleteMarker: true },
      },
    )
    await until(
      t,
      'all is as the rules want it',
      () => versions(Bucket),
      (seen) => seen.length === 5 && seen.includes('hidden (marker)'),
    )
    const seen = await versions(Bucket)
    t.strictSame(
      seen.filter((line) => line.startsWith('many')),
      ids
        .slice(2)
        .reverse()
        .map((id) => `many ${id}`),
      'the current one and two more',
    )
    t.equal(
      seen.filter((line) => line.startsWith('hidden')).length,
      2,
      'the version is there still',
    )
    t.strictSame(await names(Bucket), ['many'])
  },
)

t.test('what object lock keeps stays, and goes when it is let go', async (t) => {
  const Bucket = await bucket('locked', { lock: true })
  const VersionId = await put(Bucket, 'held')
  const hold = (Status: 'ON' | 'OFF') =>
    s3.send(
      new PutObjectLegalHoldCommand({ Bucket, Key: 'held', VersionId, LegalHold: { Status } }),
    )
  await hold('ON')
  await put(Bucket, 'free')
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'held' }))
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'free' }))
  await setRules(Bucket, {
    Prefix: '',
    NoncurrentVersionExpiration: { NoncurrentDays: 1 },
    Expiration: { ExpiredObjectDeleteMarker: true },
  })
  await until(
    t,
    'the other one is gone',
    () => versions(Bucket),
    (seen) => seen.length === 2,
  )
  t.strictSame(await versions(Bucket), [`held ${VersionId}`, 'held (marker)'])
  await until(
    t,
    'it was met and left',
    async () => (await fetch(`${store.url}/metrics`)).text(),
    (text) => /swiftlet_lifecycle_due_total\{outcome="locked"\} [1-9]/.test(text),
  )
  t.strictSame(await versions(Bucket), [`held ${VersionId}`, 'held (marker)'])
  await hold('OFF')
  await until(
    t,
    'now it goes',
    () => versions(Bucket),
    (seen) => seen.length === 0,
  )
})

t.test('what was written after the decision is never deleted', async (t) => {
  const Tagging = 'old=yes'
  for (const Bucket of [await bucket('raced'), await bucket('raced-v', { versions: true })]) {
    const Filter = { Tag: { Key: 'old', Value: 'yes' } }
    await setRules(Bucket, { Filter, Expiration: { Date: new Date('2020-01-01') } })
    let lost = 0
    for (let round = 0; round < 20; round++) {
      await put(Bucket, 'o', { Tagging })
      // Somewhere between two sweeps: it may be gone, or just about to.
      await new Promise((resolve) => setTimeout(resolve, 10 * round))
      await put(Bucket, 'o')
      const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'o' })).catch(() => null)
      if (head === null) lost++
    }
    t.equal(lost, 0, Bucket)
  }
})

t.test('answers say when an object goes, in days of the calendar', async (t) => {
  const Bucket = await bucket('told')
  await setRules(Bucket, { ID: 'a/b', Prefix: 'x', Expiration: { Days: NEVER } })
  const made = await s3.send(new PutObjectCommand({ Bucket, Key: 'x', Body: 'body' }))
  const text = /^expiry-date="\w{3}, \d\d \w{3} \d{4} 00:00:00 GMT", rule-id="a%2Fb"$/
  t.match(made.Expiration, text)
  t.match((await signed({ path: '/told/x' })).headers['x-amz-expiration'], text)
  t.match((await signed({ method: 'HEAD', path: '/told/x' })).headers['x-amz-expiration'], text)
  await put(Bucket, 'y')
  t.equal((await signed({ path: '/told/y' })).headers['x-amz-expiration'], undefined)
})
