/** The pure parts of the layers: tables of cases. */
import { createHmac } from 'node:crypto'
import t from 'tap'
import { capped, loggedHeader, withoutSecrets } from '../access-log/log-secrets.ts'
import { compileTemplate, DEFAULT_TEMPLATE } from '../access-log/log-template.ts'
import { statsdLines } from '../statsd.ts'
import { headerOfPax } from './bulk/archive.ts'
import { pulse } from './bulk/pulse.ts'
import { isSignedBy, parseSignature } from './digest.ts'
import { isRemoved } from './header-rules.ts'
import { isInRange } from './ip-range.ts'
import { rateForSize } from './rate-limit.ts'
import { humanBytes, listingPage, noListingPage } from './static-web-page.ts'
import { expirySeconds, formatDisposition } from './temp-url.ts'
import { Turns } from './turns.ts'

t.test('signatures are read in hex and base64, and nothing else', async (t) => {
  for (const digest of ['sha1', 'sha256', 'sha512'] as const) {
    const bytes = createHmac(digest, 'key').update('message').digest()
    const forms = [
      bytes.toString('hex'),
      `${digest}:${bytes.toString('base64')}`,
      `${digest}:${bytes.toString('base64url')}`,
    ]
    for (const form of forms) {
      const signature = parseSignature(form)
      t.ok(signature !== null && isSignedBy(signature, 'key', 'message'), form)
      t.notOk(isSignedBy(signature!, 'other', 'message'))
      t.notOk(isSignedBy(signature!, 'key', 'another message'))
    }
  }
  const sha1 = 'a'.repeat(40)
  for (const bad of [
    '',
    'a',
    `${sha1}a`,
    'g'.repeat(40),
    `md5:${sha1}`,
    'sha1:',
    'sha1:AAAA',
    `sha256:${sha1}`,
    `sha1:${'!'.repeat(27)}`,
    `SHA1:${'A'.repeat(27)}`,
  ]) {
    t.equal(parseSignature(bad), null, bad)
  }
})

t.test('an address is in a range only if the range is one', async (t) => {
  const cases: readonly (readonly [address: string, range: string, isIn: boolean])[] = [
    ['10.1.2.3', '10.0.0.0/8', true],
    ['::ffff:10.1.2.3', '10.0.0.0/8', true],
    ['11.1.2.3', '10.0.0.0/8', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.4', '10.1.2.3', false],
    ['10.1.2.3', '0.0.0.0/0', true],
    ['10.1.2.3', '10.0.0.1/8', false],
    ['10.1.2.3', '10.0.0.0/33', false],
    ['10.1.2.3', '10.0.0.0/', false],
    ['10.1.2.3', '10.0.0.0/8/8', false],
    ['10.1.2.3', '10.0.0/8', false],
    ['10.1.2.3', 'any', false],
    ['10.1.2.3', '::/0', false],
    ['2001:db8::1', '2001:db8::/32', true],
    ['2001:db9::1', '2001:db8::/32', false],
    ['2001:db8::1', '2001:db8::1/32', false],
    ['::1', '::1', true],
    ['::1', '0.0.0.0/0', false],
    ['', '0.0.0.0/0', false],
  ]
  for (const [address, range, isIn] of cases) {
    t.equal(isInRange(address, range), isIn, `${address} in ${range}`)
  }
})

t.test('headers go by name and by prefix, unless they are allowed', async (t) => {
  const rules = { remove: ['x-object-meta-*', 'x-timestamp'], allow: ['x-object-meta-public-*'] }
  t.ok(isRemoved('X-Object-Meta-Color', rules))
  t.ok(isRemoved('x-timestamp', rules))
  t.notOk(isRemoved('X-Object-Meta-Public-Color', rules))
  t.notOk(isRemoved('x-timestamp-2', rules))
})

t.test('the time of a temporary URL is a number or ISO 8601, and not over', async (t) => {
  const nowMs = Date.UTC(2026, 0, 1)
  const now = nowMs / 1000
  t.equal(expirySeconds(String(now + 60), nowMs), now + 60)
  t.equal(expirySeconds('2026-01-01T00:01:00Z', nowMs), now + 60)
  for (const bad of [
    String(now - 1),
    '2025-12-31T23:59:59Z',
    '',
    'never',
    '1e12',
    '-1',
    '9999999999.5',
    '2026-13-01T00:00:00Z',
    '2027-01-01',
    `${now + 60}x`,
  ]) {
    t.equal(expirySeconds(bad, nowMs), 0, bad)
  }
})

t.test('a name for the browser to save cannot end its quotes', async (t) => {
  t.equal(
    formatDisposition('attachment', 'a b"\r\nX: é.txt'),
    `attachment; filename="a b%22%0D%0AX%3A %C3%A9.txt"; filename*=UTF-8''a%20b%22%0D%0AX%3A%20%C3%A9.txt`,
  )
})

t.test('pages of a web site say names as text, never as HTML', async (t) => {
  const stamp = { ticks: Date.UTC(2026, 0, 2, 3, 4, 5) * 100, proposer: 0 }
  const name = `<img src=x onerror=alert(1)> "q" 'a' & ..`
  const row = {
    name: `dir/${name}`,
    bytes: 2048,
    etag: '',
    contentType: 'text/<b>',
    stamp,
    metaStamp: stamp,
    ballot: stamp,
    policy: 0,
    deleted: false,
    confirmed: true,
    count: 0,
  }
  const page = listingPage({
    label: '/v1/a/c/<script>',
    prefix: 'dir/',
    entries: [{ subdir: 'dir/<i>/' }, row],
    css: '"><script>',
    query: '?a="&b',
    hasParent: true,
  })
  t.notMatch(page, /<script>|<img|<i>|<b>|"q"/)
  t.match(page, '&lt;img src=x onerror=alert(1)&gt; &quot;q&quot; &#x27;a&#x27; &amp; ..')
  t.match(page, '<td class="colsize">2Ki</td>')
  t.match(page, '<td class="coldate">2026-01-02 03:04:05</td>')
  t.match(page, 'href="../%22%3E%3Cscript%3E"')
  t.match(page, '<a href="../?a=&quot;&amp;b">../</a>')
  t.match(page, /href="\.\/%3Cimg[^"]*%2E%2E\?a/, 'a name of dots leads nowhere else')
  const none = noListingPage({ label: '<script>', prefix: '', css: '', index: '<script>' })
  t.notMatch(none, /<script>/)
  for (const [bytes, text] of [
    [0, '0'],
    [1023, '1023'],
    [1024, '1Ki'],
    [1536, '2Ki'],
    [2560, '2Ki'],
    [1024 ** 3, '1Gi'],
  ] as const) {
    t.equal(humanBytes(bytes), text)
  }
})

t.test('extended attributes become headers only where they can be ones', async (t) => {
  t.equal(headerOfPax('SCHILY.xattr.user.mime_type'), 'content-type')
  t.equal(headerOfPax('LIBARCHIVE.xattr.user.meta.Lunch'), 'x-object-meta-lunch')
  for (const key of [
    'mtime',
    'SCHILY.xattr.user.other',
    'SCHILY.xattr.user.meta.',
    'SCHILY.xattr.user.meta.a b',
    'SCHILY.xattr.user.meta.a\r\nx',
    'SCHILY.xattr.trusted.meta.a',
  ]) {
    t.equal(headerOfPax(key), null, key)
  }
})

t.test('long work gives signs of life, short work none', async (t) => {
  const due: (() => void)[] = []
  const clock = {
    after(_ms: number, run: () => void) {
      due.push(run)
      return () => {}
    },
  }
  const read = async (beats: number) => {
    let finish: (text: string) => void = () => {}
    const run = () =>
      new Promise<string>((resolve) => {
        finish = resolve
      })
    const pieces = pulse(run, { clock: clock as never, everyMs: 10, first: '<xml>' })
    let text = ''
    for (let i = 0; i < beats; i++) {
      const next = pieces.next()
      due.pop()!()
      text += Buffer.from((await next).value!).toString()
    }
    const last = pieces.next()
    finish('done')
    text += Buffer.from((await last).value!).toString()
    t.ok((await pieces.next()).done)
    return text
  }
  t.equal(await read(0), 'done')
  t.equal(await read(1), '<xml>\r\n\r\ndone')
  t.equal(await read(3), '<xml>  \r\n\r\ndone')
})

t.test('a rate falls evenly from size to size', async (t) => {
  const rates = [
    { objects: 200, perSecond: 50 },
    { objects: 100, perSecond: 100 },
    { objects: 1000, perSecond: 0 },
  ]
  for (const [objects, perSecond] of [
    [0, null],
    [99, null],
    [100, 100],
    [150, 75],
    [200, 50],
    [600, 25],
    [1000, 0],
    [5000, 0],
  ] as const) {
    t.equal(rateForSize(rates, objects), perSecond, String(objects))
  }
  t.equal(rateForSize([], 10), null)
})

t.test(
  'turns are waited for at their rate, made up for after a pause, and refused when too far off',
  async (t) => {
    const start = Date.UTC(2026, 0, 1)
    const own = new Turns({ waitSecondsMax: 1, bufferSeconds: 5 })
    const turns = {
      take: (key: string, rate: number, sinceMs: number) => own.take(key, rate, start + sinceMs),
    }
    t.equal(turns.take('a', 10, 1000), 0)
    t.equal(turns.take('a', 10, 1000), 100)
    t.equal(turns.take('a', 10, 1000), 200)
    t.equal(turns.take('b', 10, 1000), 0, 'each key for itself')
    for (let i = 3; i < 10; i++) t.equal(turns.take('a', 10, 1000), i * 100)
    t.equal(turns.take('a', 10, 1000), null, 'a second is too long')
    t.equal(turns.take('a', 10, 1100), 900, 'and took no turn')
    for (let i = 0; i < 20; i++)
      t.equal(turns.take('a', 10, 5000), 0, 'three seconds were not used')
    t.equal(turns.take('a', 10, 60_000), 0)
    t.equal(turns.take('a', 10, 60_000), 100, 'of a long pause nothing is left')
  },
)

t.test(
  'turns are those of all threads, of thousands of keys, and of a clock that jumps',
  async (t) => {
    const limits = { waitSecondsMax: 1, bufferSeconds: 5 }
    const memory = Turns.memory()
    const [one, other] = [new Turns(limits, memory), new Turns(limits, memory)]
    const now = Date.UTC(2030, 0, 1)
    t.equal(one.take('a', 10, now), 0)
    t.equal(other.take('a', 10, now), 100, 'the other thread has taken one')
    t.equal(one.take('a', 10, now), 200)
    t.equal(one.take('slow', 0.5, now), 0)
    t.equal(other.take('slow', 0.5, now), null)
    t.equal(other.take('a', 10, now - 3_600_000), 0, 'an hour back nobody waits an hour')
    t.equal(one.take('a', 10, now - 3_600_000), 100)
    t.equal(one.take('fast', 100_000, now), 0)
    t.equal(one.take('fast', 100_000, now)?.toFixed(2), '0.01')
    let early = 0
    for (let i = 0; i < 4000; i++) one.take(`key ${i}`, 2, now + 1000)
    for (let i = 0; i < 4000; i++) if (other.take(`key ${i}`, 2, now + 1000) !== 500) early++
    t.ok(early < 200, `of 4,000 keys nearly all are known: ${early} were not`)
    for (let i = 0; i < 100_000; i++) one.take(`more ${i}`, 2, now + 2000)
    t.equal(one.take('one more', 2, now + 60_000), 0, 'and more do not keep others out')
  },
)

t.test('StatsD is told by names as Swift has them', async (t) => {
  const request = {
    method: 'GET',
    kind: 'object',
    status: 200,
    durationMs: 1.5,
    bytesIn: 2,
    bytesOut: 3,
  } as const
  t.equal(
    statsdLines(request, { prefix: '', sampleRate: 1 }),
    'proxy-server.object.GET.200.timing:1.500|ms\nproxy-server.object.GET.200.xfer:5|c',
  )
  t.equal(
    statsdLines(
      { ...request, method: 'EVIL:1|c', kind: 'other' },
      { prefix: 'a.b', sampleRate: 0.5 },
    ),
    'a.b.proxy-server.UNKNOWN.BAD_METHOD.200.timing:1.500|ms|@0.5\na.b.proxy-server.UNKNOWN.BAD_METHOD.200.xfer:5|c|@0.5',
  )
})

t.test('access log lines follow their template', (t) => {
  const plain = { method: 'MD5', salt: '' }
  const at = Date.UTC(2026, 0, 4, 15, 6, 7, 89)
  const values = {
    start_time: at - 1_500,
    end_time: at,
    client_ip: '1.2.3.4',
    path: '/v1/a/é o?x={y}&z=1',
    method: 'GET',
  }
  const line = (template: string, how = plain) => compileTemplate(template, how)(values)
  t.equal(
    line('{client_ip} {path} {method} {referer} {{x}}'),
    '1.2.3.4 /v1/a/%C3%A9%20o%3Fx%3D{y}%26z%3D1 GET - {x}',
  )
  t.equal(line('{end_time} {end_time.datetime}'), '1767539167.088999987 04/Jan/2026/15/06/07')
  t.equal(
    line('{start_time.iso8601} {end_time.ms} {end_time.s}'),
    '2026-01-04T15:06:05 089 1767539167',
  )
  t.equal(line('{end_time.U} {end_time.W} {end_time.j} {end_time.I}{end_time.p}'), '01 00 004 03PM')
  t.equal(line('{end_time.asctime}'), 'Sun%20Jan%20%204%2015:06:07%202026')
  // As Swift's own formatter writes all of these.
  t.equal(line('{client_ip.anonymized}'), '{MD5}6465ec74397c9126916786bbcd6d7601')
  t.equal(
    line('{client_ip.anonymized}', { method: 'SHA256', salt: 'salt' }),
    '{SSHA256}63c9490119d110b7d3806c2e447108a85046a9072c5bca243587b95b9ddf02e8',
  )
  t.equal(line('{referer.anonymized}'), '-')
  for (const bad of [
    '{nobody}',
    '{method.anonymized}',
    '{end_time.q}',
    '{path',
    'path}',
    '{path!r}',
  ]) {
    t.throws(() => compileTemplate(bad, plain), RangeError, bad)
  }
  t.throws(() => compileTemplate('', { method: 'rot13', salt: '' }), RangeError)
  t.doesNotThrow(() => compileTemplate(DEFAULT_TEMPLATE, plain))
  t.end()
})

t.test('secrets are not logged, or only how they begin', (t) => {
  const token = 'x'.repeat(40)
  t.equal(capped(token, 16), `${'x'.repeat(16)}...`)
  t.equal(capped('short', 16), '...')
  t.equal(capped(token, 0), '...')
  t.equal(withoutSecrets(`/o?a=b&temp_url_sig=${token}&c=d`, 2), '/o?a=b&temp_url_sig=xx...&c=d')
  t.equal(withoutSecrets('X-Amz-Signature=abc'), 'X-Amz-Signature=...')
  t.equal(loggedHeader('x-auth-key', 'secret', 16), '...')
  t.equal(loggedHeader('accept', '*/*', 16), '*/*')
  t.end()
})
