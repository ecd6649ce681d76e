/** Object lock over a real socket: what is locked stays as it is, whichever API is asked, and through whichever proxy. */
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  GetObjectLegalHoldCommand,
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import {
  defaultRetention,
  isLocked,
  mayRetain,
  type Retention,
} from '../../proxy/swift/versions/object-lock.ts'
import { OTHER, openS3Rig, putInParts, s3Client, sendSigned } from './s3-store.ts'

const DAY_MS = 86_400_000
const FAR = new Date('2140-01-01T00:00:00.000Z')
const FARTHER = new Date('2141-01-01T00:00:00.000Z')

const { store, s3, swift, token } = await openS3Rig(t, { versionsSettle: false })
let made = 0

async function lockable(): Promise<string> {
  const Bucket = `lock-${++made}`
  await s3.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }))
  return Bucket
}

async function put(Bucket: string, Key: string, more = {}): Promise<string> {
  const { VersionId } = await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'abc', ...more }))
  return VersionId!
}

function retain(Bucket: string, Key: string, Mode: Retention['mode'], until: Date, more = {}) {
  const Retention = { Mode, RetainUntilDate: until }
  return s3.send(new PutObjectRetentionCommand({ Bucket, Key, Retention, ...more }))
}

function hold(Bucket: string, Key: string, Status: 'ON' | 'OFF') {
  return s3.send(new PutObjectLegalHoldCommand({ Bucket, Key, LegalHold: { Status } }))
}

function remove(Bucket: string, Key: string, VersionId: string, more = {}) {
  return s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId, ...more }))
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

const BYPASS = { BypassGovernanceRetention: true }
const DENIED = '403 AccessDenied'

t.test('what is kept, and which retention may follow which', async (t) => {
  const nowMs = Date.UTC(2026, 1, 28)
  const plain = { nowMs, bypassesGovernance: false }
  const bypass = { nowMs, bypassesGovernance: true }
  const info = (headers: Record<string, string>) => ({ meta: { headers } })
  const retained = (mode: string, ms: number) =>
    info({ 'x-object-sysmeta-s3-retention': `${mode} ${nowMs + ms}` })
  t.notOk(isLocked(info({}), plain))
  t.ok(isLocked(retained('GOVERNANCE', 1), plain))
  t.notOk(isLocked(retained('GOVERNANCE', 1), bypass))
  t.ok(isLocked(retained('COMPLIANCE', 1), bypass))
  t.notOk(isLocked(retained('COMPLIANCE', 0), plain), 'its time is over')
  t.ok(isLocked(info({ 'x-object-sysmeta-s3-legal-hold': 'ON' }), bypass))
  t.notOk(isLocked(info({ 'x-object-sysmeta-s3-legal-hold': 'OFF' }), plain))
  const of = (mode: Retention['mode'], ms: number): Retention => ({ mode, untilMs: nowMs + ms })
  const [governance, compliance] = [of('GOVERNANCE', 10), of('COMPLIANCE', 10)]
  t.ok(mayRetain({ old: governance, next: of('GOVERNANCE', 11) }, plain))
  t.notOk(mayRetain({ old: governance, next: of('GOVERNANCE', 9) }, plain))
  t.ok(mayRetain({ old: governance, next: of('GOVERNANCE', 9) }, bypass))
  t.notOk(mayRetain({ old: governance, next: compliance }, plain))
  t.ok(mayRetain({ old: governance, next: undefined }, bypass))
  t.ok(mayRetain({ old: compliance, next: of('COMPLIANCE', 11) }, plain))
  t.notOk(mayRetain({ old: compliance, next: of('COMPLIANCE', 9) }, bypass))
  t.notOk(mayRetain({ old: compliance, next: governance }, bypass))
  t.notOk(mayRetain({ old: compliance, next: undefined }, bypass))
  t.ok(mayRetain({ old: of('COMPLIANCE', 0), next: undefined }, plain))
  const days = defaultRetention({ mode: 'GOVERNANCE', unit: 'Days', count: 2 }, nowMs)
  t.equal(days.untilMs, nowMs + 2 * DAY_MS)
  const years = defaultRetention({ mode: 'GOVERNANCE', unit: 'Years', count: 1 }, nowMs)
  t.equal(years.untilMs, Date.UTC(2027, 1, 28))
})

t.test('a bucket is made lockable, for good', async (t) => {
  const name = await lockable()
  const get = async (Bucket: string) =>
    (await s3.send(new GetObjectLockConfigurationCommand({ Bucket }))).ObjectLockConfiguration
  t.same(await get(name), { ObjectLockEnabled: 'Enabled' })
  const suspend = (Bucket: string) =>
    s3.send(
      new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Suspended' } }),
    )
  t.equal(await refused(suspend(name)), '409 InvalidBucketState')
  const off = await swift('POST', `/${name}`, { headers: { 'x-versions-enabled': 'false' } })
  t.equal(off.status, 409)
  const plain = `lock-${++made}`
  await s3.send(new CreateBucketCommand({ Bucket: plain }))
  t.equal(await refused(get(plain)), '404 ObjectLockConfigurationNotFoundError')
  t.equal(await refused(put(plain, 'o', { ObjectLockLegalHoldStatus: 'ON' })), '400 InvalidRequest')
  await put(plain, 'o')
  t.equal(await refused(hold(plain, 'o', 'ON')), '400 InvalidRequest')
  const raw = (bucket: string, inner: string) =>
    sendSigned(store.port, {
      method: 'PUT',
      path: `/${bucket}?object-lock=`,
      body: `<ObjectLockConfiguration>${inner}</ObjectLockConfiguration>`,
    })
  const on = '<ObjectLockEnabled>Enabled</ObjectLockEnabled>'
  const rule = (text: string) =>
    `${on}<Rule><DefaultRetention><Mode>GOVERNANCE</Mode>${text}</DefaultRetention></Rule>`
  t.equal((await raw(plain, rule('<Days>1</Days>'))).code, 'InvalidBucketState')
  const bad: readonly (readonly [string, string])[] = [
    ['', 'MalformedXML'],
    [on.replace('>Enabled', '>On'), 'MalformedXML'],
    [rule(''), 'MalformedXML'],
    [rule('<Days>1</Days><Years>1</Years>'), 'MalformedXML'],
    [rule('<Days>x</Days>'), 'MalformedXML'],
    [rule('<Days>0</Days>'), 'InvalidRetentionPeriod'],
    [rule('<Days>36501</Days>'), 'InvalidRetentionPeriod'],
    [rule('<Years>-1</Years>'), 'InvalidRetentionPeriod'],
  ]
  for (const [inner, code] of bad) t.equal((await raw(name, inner)).code, code, inner)
  t.equal((await raw(name, rule('<Days>1</Days>'))).status, 200)
  t.match(await get(name), { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } } })
  const stranger = s3Client(store.port, OTHER)
  const stolen = new PutObjectLockConfigurationCommand({
    Bucket: name,
    ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled' },
  })
  t.equal(await refused(stranger.send(stolen)), DENIED)
  stranger.destroy()
})

t.test(
  'retention and legal hold are set, shown, and refused where they make no sense',
  async (t) => {
    const name = await lockable()
    const one = await put(name, 'o')
    const shown = async (Key = 'o') =>
      (await s3.send(new GetObjectRetentionCommand({ Bucket: name, Key }))).Retention
    t.equal(await refused(shown()), '404 NoSuchObjectLockConfiguration')
    await retain(name, 'o', 'GOVERNANCE', FAR)
    t.same(await shown(), { Mode: 'GOVERNANCE', RetainUntilDate: FAR })
    await retain(name, 'o', 'GOVERNANCE', FARTHER)
    t.equal(await refused(retain(name, 'o', 'GOVERNANCE', FAR)), DENIED)
    await retain(name, 'o', 'GOVERNANCE', FAR, BYPASS)
    t.equal(await refused(retain(name, 'o', 'COMPLIANCE', FAR)), DENIED)
    t.equal(
      await refused(retain(name, 'o', 'GOVERNANCE', new Date(1_000_000_000_000))),
      '400 InvalidArgument',
    )
    t.equal(await refused(retain(name, 'none', 'GOVERNANCE', FAR)), '404 NoSuchKey')
    await hold(name, 'o', 'ON')
    const head = await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o' }))
    t.match(head, {
      VersionId: one,
      ObjectLockMode: 'GOVERNANCE',
      ObjectLockRetainUntilDate: FAR,
      ObjectLockLegalHoldStatus: 'ON',
    })
    await hold(name, 'o', 'OFF')
    const held = await s3.send(new GetObjectLegalHoldCommand({ Bucket: name, Key: 'o' }))
    t.equal(held.LegalHold?.Status, 'OFF')
    // A copy is not bound by what binds its source; nor is what Swift copies.
    await s3.send(new CopyObjectCommand({ Bucket: name, Key: 'c', CopySource: `${name}/o` }))
    t.equal(await refused(shown('c')), '404 NoSuchObjectLockConfiguration')
    const swiftCopy = { headers: { destination: `${name}/c` } }
    t.equal((await swift('COPY', `/${name}/o`, swiftCopy)).status, 201)
    t.equal(await refused(shown('c')), '404 NoSuchObjectLockConfiguration')
    const date = { ObjectLockRetainUntilDate: FAR }
    t.equal(await refused(put(name, 'o', date)), '400 InvalidArgument', 'a date without a mode')
    const odd = { ...date, ObjectLockMode: 'ODD' }
    t.equal(await refused(put(name, 'o', odd)), '400 InvalidArgument')
    const raw = (query: string, body: string) =>
      sendSigned(store.port, { method: 'PUT', path: `/${name}/o?${query}=`, body })
    t.equal(
      (await raw('legal-hold', '<LegalHold><Status>on</Status></LegalHold>')).code,
      'MalformedXML',
    )
    const mode =
      '<Retention><Mode>governance</Mode><RetainUntilDate>2140-01-01</RetainUntilDate></Retention>'
    t.equal((await raw('retention', mode)).code, 'MalformedXML')
  },
)

t.test('a locked version stays, whoever asks and however', async (t) => {
  const name = await lockable()
  const beside = await store.openBeside()
  const through = (path: string, init: RequestInit) =>
    fetch(`http://127.0.0.1:${beside.port}/v1/AUTH_test${path}`, {
      ...init,
      headers: { 'x-auth-token': token, ...(init.headers as Record<string, string>) },
    })
  const locks = [
    { key: 'governed', lock: { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: FAR } },
    { key: 'compliant', lock: { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: FAR } },
    { key: 'held', lock: { ObjectLockLegalHoldStatus: 'ON' } },
  ]
  for (const { key, lock } of locks) {
    const id = await put(name, key, lock)
    t.equal(await refused(remove(name, key, id)), DENIED)
    const bypass = key === 'governed' ? 'done' : DENIED
    const Objects = [{ Key: key, VersionId: id }]
    const many = await s3.send(new DeleteObjectsCommand({ Bucket: name, Delete: { Objects } }))
    t.match(many.Errors, [{ Key: key, VersionId: id, Code: 'AccessDenied' }])
    // Swift's own words.
    const byId = `/${name}/${key}?version-id=${id}`
    t.equal((await swift('DELETE', byId)).status, 403)
    t.equal((await through(byId, { method: 'DELETE' })).status, 403, 'through another proxy')
    const posted = { headers: { 'x-object-meta-a': '1' } }
    t.equal((await swift('POST', `/${name}/${key}`, posted)).status, 403)
    const expiring = { headers: { 'x-delete-after': '1' } }
    t.equal((await swift('POST', `/${name}/${key}`, expiring)).status, 403)
    const bulk = await swift('POST', '?bulk-delete', {
      headers: { 'content-type': 'text/plain' },
      body: `/${name}/${key}\n`,
    })
    t.equal(bulk.status, 200)
    t.match((await bulk.text()).includes('Number Deleted: 1'), true, 'that leaves a marker')
    t.equal((await swift('PUT', `/${name}/${key}`, { body: 'new' })).status, 201)
    t.equal((await swift('DELETE', `/${name}/${key}`)).status, 204)
    t.equal((await swift('DELETE', `/${name}`)).status, 409)
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: name, Key: key, VersionId: id }))
    t.equal(await Body!.transformToString(), 'abc')
    t.equal(await refused(remove(name, key, id, BYPASS)), bypass)
  }
})

t.test('what expires gives its name away, not its version', async (t) => {
  const name = await lockable()
  const made = await swift('PUT', `/${name}/o`, {
    body: 'abc',
    headers: { 'x-delete-after': '1' },
  })
  const id = made.headers.get('x-object-version-id')!
  await retain(name, 'o', 'COMPLIANCE', FAR, { VersionId: id })
  const deadline = Date.now() + 60_000
  while ((await swift('HEAD', `/${name}/o`)).status !== 404 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await store.runDaemons()
  t.equal((await swift('HEAD', `/${name}/o`)).status, 404)
  const version = await s3.send(new GetObjectCommand({ Bucket: name, Key: 'o', VersionId: id }))
  t.equal(await version.Body!.transformToString(), 'abc')
})

t.test('a default is given to what either API writes, and to uploads', async (t) => {
  const name = await lockable()
  const ObjectLockConfiguration = {
    ObjectLockEnabled: 'Enabled' as const,
    Rule: { DefaultRetention: { Mode: 'COMPLIANCE' as const, Days: 1 } },
  }
  await s3.send(new PutObjectLockConfigurationCommand({ Bucket: name, ObjectLockConfiguration }))
  const before = Date.now()
  await put(name, 's3')
  await swift('PUT', `/${name}/swift`, { body: 'abc' })
  for (const Key of ['s3', 'swift']) {
    const head = await s3.send(new HeadObjectCommand({ Bucket: name, Key }))
    t.equal(head.ObjectLockMode, 'COMPLIANCE', Key)
    t.ok(head.ObjectLockRetainUntilDate!.getTime() >= before + DAY_MS)
    t.equal(await refused(remove(name, Key, head.VersionId!, BYPASS)), DENIED)
  }
  const own = { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: FAR }
  await put(name, 'own', own)
  t.match(await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'own' })), own)
})

t.test('the parts of a locked upload stay, too', async (t) => {
  const name = await lockable()
  const at = { Bucket: name, Key: 'big' }
  const begin = { ...at, ObjectLockLegalHoldStatus: 'ON' as const }
  const { VersionId } = await putInParts(s3, begin, ['part'])
  const [part] = (await (await swift('GET', `/${name}+segments?prefix=parts/`)).text()).split('\n')
  const path = `/${name}+segments/${part}`
  t.equal((await swift('DELETE', path)).status, 403)
  t.equal((await swift('PUT', path, { body: 'x' })).status, 403)
  t.equal((await swift('POST', path, { headers: { 'x-delete-after': '1' } })).status, 403)
  await swift('DELETE', `/${name}/big?multipart-manifest=delete`)
  const again = `/${name}/big?version-id=${VersionId}`
  t.equal((await swift('PUT', again, { body: '' })).status, 201)
  t.equal((await swift('DELETE', `/${name}/big?multipart-manifest=delete&async=true`)).status, 403)
  await swift('POST', `/${name}+segments`, { headers: { 'x-versions-enabled': 'true' } })
  t.equal((await swift('DELETE', path)).status, 403, 'nor by keeping versions there')
  const { Body } = await s3.send(new GetObjectCommand({ ...at, VersionId }))
  t.equal(await Body!.transformToString(), 'part')
  t.equal(await refused(remove(name, 'big', VersionId!, BYPASS)), DENIED)
  await hold(name, 'big', 'OFF')
  t.equal(await refused(remove(name, 'big', VersionId!)), 'done')
})

t.test('of a lock and a removal at once one wins, through two proxies', async (t) => {
  const name = await lockable()
  const other = s3Client((await store.openBeside()).port)
  for (let round = 0; round < 10; round++) {
    const Key = `o${round}`
    const id = await put(name, Key)
    const at = { Bucket: name, Key, VersionId: id }
    const Retention = { Mode: 'COMPLIANCE' as const, RetainUntilDate: FAR }
    const [locked, removed] = await Promise.all([
      refused(s3.send(new PutObjectRetentionCommand({ ...at, Retention }))),
      refused(other.send(new DeleteObjectCommand(at))),
    ])
    const isThere = (await refused(s3.send(new HeadObjectCommand(at)))) === 'done'
    t.equal(isThere, locked === 'done', `${locked}, ${removed}`)
    t.equal(removed, isThere ? DENIED : 'done')
    if (isThere)
      t.equal(await refused(s3.send(new HeadObjectCommand({ Bucket: name, Key }))), 'done')
  }
  other.destroy()
})
