/** What is pure of access logs: their records, what their objects are called, and the bound on what waits. */
import t from 'tap'
import { LogBatches } from './log-batches.ts'
import { logOperation } from './log-operation.ts'
import { type LogRecord, renderRecord, withoutSecrets } from './log-record.ts'
import { dayOf, type LogSetting, logObjectKey } from './log-setting.ts'

const RECORD: LogRecord = {
  bucketOwner: 'AUTH_a',
  bucket: 'photos',
  receivedMs: Date.UTC(2019, 1, 6, 0, 0, 38, 999),
  remoteAddress: '192.0.2.3',
  requester: 'AUTH_b',
  requestId: 'tx1',
  operation: 'REST.GET.OBJECT',
  key: 'a b/ü.txt',
  method: 'GET',
  target: '/photos/a%20b/%C3%BC.txt',
  status: 206,
  errorCode: undefined,
  sentBytes: 113,
  objectBytes: 2662992,
  totalMs: 70.4,
  turnAroundMs: 10.5,
  referer: undefined,
  userAgent: 'curl/7.15.1',
  versionId: undefined,
  hostId: 'c3dpZnQ=',
  signature: 'SigV4',
  cipher: 'TLS_AES_128_GCM_SHA256',
  authentication: 'AuthHeader',
  host: 'photos.s3.example.com',
  tls: 'TLSv1.3',
}

/** As readers of such logs take a line apart. */
function fieldsOf(line: string): readonly string[] {
  return [...line.matchAll(/\[[^\]]*\]|"[^"]*"|\S+/g)].map(([field]) => field)
}

t.test('a record has the fields of AWS’s format, in their order', async (t) => {
  t.equal(
    renderRecord(RECORD),
    'AUTH_a photos [06/Feb/2019:00:00:38 +0000] 192.0.2.3 AUTH_b tx1 REST.GET.OBJECT a%20b/%C3%BC.txt "GET /photos/a%20b/%C3%BC.txt HTTP/1.1" 206 - 113 2662992 70 11 "-" "curl/7.15.1" - c3dpZnQ= SigV4 TLS_AES_128_GCM_SHA256 AuthHeader photos.s3.example.com TLSv1.3 - -',
  )
  const empty = renderRecord({
    ...RECORD,
    remoteAddress: undefined,
    requester: undefined,
    key: undefined,
    sentBytes: 0,
    objectBytes: undefined,
    userAgent: '',
    hostId: undefined,
    signature: undefined,
    cipher: undefined,
    authentication: undefined,
    host: undefined,
    tls: undefined,
  })
  t.equal(fieldsOf(empty).length, 26)
  t.match(empty, /\+0000\] - - tx1 REST\.GET\.OBJECT - /)
  t.match(empty, / 206 - - - 70 11 "-" "-" - - - - - - - - -$/)
})

t.test('what clients send makes no field, no quote and no line of its own', async (t) => {
  const evil = 'x" 200 -\r\nforged [1] \\ \xe9\0'
  const line = renderRecord({
    ...RECORD,
    key: evil,
    target: `/${evil}`,
    referer: evil,
    userAgent: evil,
    host: evil,
    versionId: evil,
    errorCode: evil,
    requester: evil,
  })
  t.match(line, /^[\x20-\x7e]+$/)
  t.equal(fieldsOf(line).length, 26)
  const long = 'u'.repeat(100_000)
  const bounded = renderRecord({ ...RECORD, userAgent: long, target: long, referer: long })
  t.ok(bounded.length < 16_384, `${bounded.length}`)
})

t.test('what is as good as a password is left out', async (t) => {
  const cases: readonly (readonly [url: string, shown: string])[] = [
    ['/b/k', '/b/k'],
    ['/b/k?versionId=1&X-Amz-Date=d', '/b/k?versionId=1&X-Amz-Date=d'],
    ['/b?X-Amz-Signature=s&x=1', '/b?X-Amz-Signature=REDACTED&x=1'],
    ['/b?x-amz-signature=s', '/b?x-amz-signature=REDACTED'],
    ['/b?X-Amz-%53ignature=s', '/b?X-Amz-%53ignature=REDACTED'],
    ['/b?X-Amz-Security-Token=a=b', '/b?X-Amz-Security-Token=REDACTED'],
    ['/b?X-Amz-Credential=AK/1', '/b?X-Amz-Credential=REDACTED'],
    ['/b?AWSAccessKeyId=a&Signature=b', '/b?AWSAccessKeyId=REDACTED&Signature=REDACTED'],
    ['/b?temp_url_sig=a;Signature=b', '/b?temp_url_sig=REDACTED;Signature=REDACTED'],
    [
      '/b?x-amz-server-side-encryption-customer-key=k',
      '/b?x-amz-server-side-encryption-customer-key=REDACTED',
    ],
    ['/b?a?Signature=s#Signature=s', '/b?a?Signature=REDACTED#Signature=REDACTED'],
  ]
  for (const [url, shown] of cases) t.equal(withoutSecrets(url), shown, url)
  const line = renderRecord({
    ...RECORD,
    target: '/b/k?X-Amz-Signature=topsecret',
    referer: 'https://h/b?Signature=topsecret',
  })
  t.notMatch(line, /topsecret/)
})

t.test('requests are called as AWS calls them', async (t) => {
  const named = (method: string, hasKey: boolean, ...parameters: string[]) =>
    logOperation({ method, hasKey, isCopy: false, isWebsite: false, parameters })
  const cases: readonly (readonly [name: string, found: string])[] = [
    ['REST.GET.BUCKET', named('GET', false, 'list-type', 'prefix')],
    ['REST.GET.BUCKETVERSIONS', named('GET', false, 'versions')],
    ['REST.PUT.LOGGING_STATUS', named('PUT', false, 'logging')],
    ['REST.POST.MULTI_OBJECT_DELETE', named('POST', false, 'delete')],
    ['REST.PUT.OBJECT', named('PUT', true, 'x-id')],
    ['REST.GET.OBJECT', named('GET', true, 'partNumber', 'versionId')],
    ['REST.PUT.PART', named('PUT', true, 'partNumber', 'uploadId')],
    ['REST.POST.UPLOADS', named('POST', true, 'uploads')],
    ['REST.POST.UPLOAD', named('POST', true, 'uploadId')],
    ['REST.GET.BUCKET', named('GET', false, 'constructor')],
  ]
  for (const [name, found] of cases) t.equal(found, name)
  const copy = { method: 'PUT', hasKey: true, isCopy: true, isWebsite: false, parameters: [] }
  t.equal(logOperation(copy), 'REST.COPY.OBJECT')
  t.equal(logOperation({ ...copy, parameters: ['partNumber', 'uploadId'] }), 'REST.COPY.PART')
  t.equal(logOperation({ ...copy, method: 'GET', isWebsite: true }), 'WEBSITE.GET.OBJECT')
})

t.test('objects of the log are called by their format', async (t) => {
  const setting = (format: LogSetting['format']): LogSetting => ({
    account: 'AUTH_logs',
    bucket: 'logs',
    prefix: 'log/',
    format,
    grants: [],
  })
  const of = {
    source: { account: 'AUTH_a', bucket: 'photos' },
    region: 'us-east-1',
    eventMs: Date.UTC(2026, 0, 1, 23, 59, 59),
    nowMs: Date.UTC(2026, 0, 2, 0, 4, 9),
    unique: 'AB12',
  }
  t.equal(logObjectKey(setting('Simple'), of), 'log/2026-01-02-00-04-09-AB12')
  t.equal(
    logObjectKey(setting('DeliveryTime'), of),
    'log/AUTH_a/us-east-1/photos/2026/01/02/2026-01-02-00-04-09-AB12',
  )
  t.equal(
    logObjectKey(setting('EventTime'), of),
    'log/AUTH_a/us-east-1/photos/2026/01/01/2026-01-01-00-00-00-AB12',
  )
  t.equal(dayOf(setting('EventTime'), of.eventMs), '2026-01-01')
  t.equal(dayOf(setting('Simple'), of.eventMs), '')
})

t.test('batches roll by age and by size, and what waits is bounded', async (t) => {
  const route = {
    source: { account: 'a', bucket: 'b' },
    setting: { account: 'a', bucket: 'l', prefix: '', format: 'Simple' as const, grants: [] },
  }
  const batches = new LogBatches({ rollMs: 100, rollBytes: 3000, bytesMax: 8000 })
  const add = (name: string, nowMs: number, chars = 500) =>
    batches.add(name, 'x'.repeat(chars), nowMs, () => route)
  t.ok(add('one', 0))
  t.ok(add('one', 50))
  t.ok(add('two', 60))
  t.strictSame(batches.take(99), [])
  const [old, ...others] = batches.take(100)
  t.equal(old?.lines.length, 2, 'it is as old as its first record')
  t.strictSame(others, [])
  t.ok(add('one', 101, 2500), 'the next begins a batch of its own')
  t.equal(add('three', 102, 3000), false, 'there is no room beside what is being delivered')
  const [long] = batches.take(102)
  t.equal(long?.lines.length, 1, 'a long one does not wait')
  batches.again(old!, 1000)
  t.strictSame(batches.take(159), [])
  t.equal(batches.take(160).length, 1)
  batches.done(long!)
  t.ok(add('three', 161, 1000), 'what was delivered makes room')
  const [failed] = batches.take(1000).filter(({ failures }) => failures === 1)
  t.equal(failed?.lines.length, 2, 'what could not be delivered comes again')
  const many = new LogBatches({ rollMs: 100, rollBytes: 3000, bytesMax: 20_000 })
  let taken = 0
  for (let i = 0; i < 1000; i++) if (many.add(`name ${i}`, '', 0, () => route)) taken++
  t.ok(taken < 20, 'many batches of little count, too')
  for (const batch of many.take(100)) many.done(batch)
  t.equal(many.bytes, 0)
})
