/** The proxy's small parts that need no socket. */
import { Registry } from 'prom-client'
import t from 'tap'
import { ChangeMarks } from '../common/change-marks.ts'
import type { Clock } from '../common/clock.ts'
import { systemRandom } from '../common/random.ts'
import { isNoPath, readAbsoluteTarget } from './absolute-target.ts'
import { BUFFER_BYTES, BufferPool, SMALL_BUFFER_BYTES } from './buffer-pool.ts'
import { isObjectUrl } from './hot-path.ts'
import { parserRefusal, refusedRequest } from './parser-refusal.ts'
import { Policies } from './policies.ts'
import { RequestMetrics } from './request-metrics.ts'
import { AccountAclCache } from './swift/account-acl-cache.ts'
import { TransIds } from './trans-id.ts'

function manualClock(): Clock & { ms: number } {
  return {
    ms: 1_700_000_000_000,
    nowMs() {
      return this.ms
    },
    monotonicMs() {
      return this.ms
    },
    after: () => () => {},
  }
}

t.test('transaction ids have the form of Swift and differ', async (t) => {
  const ids = new TransIds({ clock: manualClock(), random: systemRandom })
  const seen = new Set(Array.from({ length: 1000 }, () => ids.next()))
  t.equal(seen.size, 1000)
  for (const id of seen) {
    if (!/^tx[0-9a-f]{21}-006553f100$/.test(id)) t.fail(id)
  }
  t.match(ids.next(`${'é'.repeat(40)}`), /-(%E9){32}$/)
})

t.test('buffers are bounded, and small when many are out', async (t) => {
  const pool = new BufferPool({ fullMax: 2, keepMax: 1 })
  const taken = [pool.take(), pool.take(), pool.take()]
  t.same(
    taken.map((buffer) => buffer.length),
    [BUFFER_BYTES, BUFFER_BYTES, SMALL_BUFFER_BYTES],
  )
  t.equal(pool.out, 2)
  for (const buffer of taken) pool.give(buffer)
  t.equal(pool.out, 0)
  t.equal(pool.take(), taken[0], 'one is kept for the next')
  t.not(pool.take(), taken[1])
})

t.test('policies', async (t) => {
  const gold = { index: 0, name: 'Gold', aliases: ['yellow'], default: true }
  const old = { index: 1, name: 'old', default: false, deprecated: true }
  const policies = new Policies([gold, old])
  t.equal(policies.requested('YELLOW'), gold)
  t.equal(policies.byIndex(1), old)
  t.throws(() => policies.requested('old'), { code: 'BadPolicy' })
  t.throws(() => policies.requested('new'), { code: 'BadPolicy' })
  t.throws(() => new Policies([old]), { code: 'BadConfiguration' })
  t.throws(() => new Policies([gold, { ...old, index: 0 }]), { code: 'BadConfiguration' })
  t.throws(() => new Policies([gold, { ...old, name: 'YELLOW' }]), { code: 'BadConfiguration' })
})

t.test('which requests take the short way', async (t) => {
  for (const url of ['/v1/a/c/o', '/v1/a/c//', '/v1/a/c/o?x=/y']) t.ok(isObjectUrl(url), url)
  const others = [
    '/v1/a/c',
    '/v1/a/c/',
    '/v1/a//o',
    '/v1//c/o',
    '/v1.0/a/c/o',
    '/info',
    '/v1/a/c?p=/x/y',
  ]
  for (const url of others) t.notOk(isObjectUrl(url), url)
})

t.test('what the parser stumbles over', async (t) => {
  const packet = (text: string, at = 0) => ({
    rawPacket: Buffer.from(text, 'latin1'),
    bytesParsed: at,
  })
  const cases: [string, Parameters<typeof parserRefusal>[0], boolean, number][] = [
    ['too large', { code: 'HPE_HEADER_OVERFLOW' }, false, 431],
    ['too slow', { code: 'ERR_HTTP_REQUEST_TIMEOUT' }, false, 408],
    ['cut off', { code: 'HPE_INVALID_EOF_STATE' }, true, 499],
    ['cut off in the head', { code: 'HPE_INVALID_EOF_STATE' }, false, 400],
    ['a verb', { code: 'HPE_INVALID_METHOD', ...packet('LICK / HTTP/1.1\r\n', 2) }, false, 405],
    ['rubbish', { code: 'HPE_INVALID_METHOD', ...packet('xyz', 1) }, false, 400],
    [
      'rubbish after a request',
      { code: 'HPE_INVALID_METHOD', ...packet('PUT / HTTP/1.1\r\n\r\nabcd', 20) },
      false,
      400,
    ],
    ['UTF-8', { code: 'HPE_INVALID_URL', ...packet('GET /\xc3\xa9 HTTP/1.1\r\n', 6) }, false, 400],
    ['no UTF-8', { code: 'HPE_INVALID_URL', ...packet('GET /\xe9 HTTP/1.1\r\n', 6) }, false, 412],
    ['anything else', { code: 'HPE_UNEXPECTED_CONTENT_LENGTH' }, false, 400],
  ]
  for (const [name, error, inBody, status] of cases) {
    t.equal(parserRefusal(error, inBody).status, status, name)
  }
  const fields = 'Host: a\r\nAuthorization:  AWS x \r\nHOST: b\r\nbad line\r\nx-late: 1\r\n\r\n'
  t.same(
    refusedRequest(packet(`LICK /b?c HTTP/1.1\r\n${fields}`, 2)),
    { method: 'LICK', url: '/b?c', headers: { host: 'a', authorization: 'AWS x' } },
    'who asks is read as far as it can be',
  )
  t.equal(refusedRequest(packet('LICK http://a/ HTTP/1.1\r\n\r\n', 2)), null)
  t.equal(refusedRequest({}), null)
  const lures = refusedRequest(packet('LICK / HTTP/1.1\r\n__proto__: x\r\n\r\n', 2))!.headers
  t.same(Object.keys(lures), ['__proto__'])
})

t.test('a whole URL as a target names host and path, and nobody else’s', async (t) => {
  const cases: readonly (readonly [string, string | null, string?])[] = [
    ['http://a/b?c=d', 'a', '/b?c=d'],
    ['http://a:80/b', 'a:80', '/b'],
    ['HTTPS://a.B:/', 'a.B:', '/'],
    ['http://a', 'a', '/'],
    ['http://a?b', 'a', '/?b'],
    ['http://a//b', 'a', '//b'],
    ['http://[::1]:80/b', '[::1]:80', '/b'],
    ['http://a/http://b/c', 'a', '/http://b/c'],
    ['http:///b', null],
    ['http://?b', null],
    ['http://a@b/c', null],
    ['http://a:b@c/d', null],
    ['http://a:b/c', null],
    ['http://a:1:2/c', null],
    ['http://a#b', null],
    ['http://a b/', null],
    ['http://a\\b/', null],
    ['http://[::1/', null],
    ['ftp://a/b', null],
    ['a:80', null],
    ['http:/a/b', null],
    ['xhttp://a/b', null],
  ]
  for (const [target, host, url] of cases) {
    t.same(readAbsoluteTarget(target), host === null ? null : { host, url }, target)
    t.ok(isNoPath(target), target)
  }
  for (const path of ['/', '//a/b', '/http://a/b', '*']) t.notOk(isNoPath(path), path)
})

t.test('requests are counted by method, kind and status', async (t) => {
  const registry = new Registry()
  const metrics = new RequestMetrics(registry)
  const request = { method: 'PUT', kind: 'object', status: 201, bytesIn: 10, bytesOut: 0 } as const
  metrics.count({ ...request, durationMs: 3 })
  metrics.count({ ...request, durationMs: 40_000 })
  metrics.count({ ...request, method: 'EVIL"}', durationMs: 1 })
  const text = await registry.metrics()
  const labels = 'method="PUT",type="object",status="201"'
  for (const line of [
    `swiftlet_proxy_requests_total{${labels}} 2`,
    `swiftlet_proxy_received_bytes_total{${labels}} 20`,
    `swiftlet_proxy_request_seconds_bucket{${labels},le="0.002"} 0`,
    `swiftlet_proxy_request_seconds_bucket{${labels},le="0.005"} 1`,
    `swiftlet_proxy_request_seconds_bucket{${labels},le="30"} 1`,
    `swiftlet_proxy_request_seconds_bucket{${labels},le="+Inf"} 2`,
    `swiftlet_proxy_request_seconds_sum{${labels}} 40.003`,
    `swiftlet_proxy_request_seconds_count{${labels}} 2`,
  ]) {
    t.ok(text.includes(`${line}\n`), line)
  }
  t.ok(text.includes('method="other"'), 'verbs that clients make up do not become labels')
})

t.test('account ACLs are remembered for five seconds, or until they change', async (t) => {
  const clock = manualClock()
  let reads = 0
  const marks = new ChangeMarks()
  const backend = {
    marks,
    async readAccount() {
      reads++
      return null
    },
  }
  const cache = new AccountAclCache({ backend: backend as never, clock })
  t.equal(await cache.get('a'), null)
  await cache.get('a')
  t.equal(reads, 1)
  clock.ms += 5001
  await cache.get('a')
  t.equal(reads, 2)
  marks.note('a')
  await cache.get('a')
  t.equal(reads, 3)
  for (let i = 0; i < 1000; i++) await cache.get(`b${i}`)
  await cache.get('a')
  t.equal(reads, 1004, 'the oldest makes room')
})
