/** Tables for the pure rules of the Swift API. */
import t from 'tap'
import { ServiceError } from '../../common/errors.ts'
import type { ListEntry } from '../../common/storage-node.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { Policies } from '../policies.ts'
import { escapePath, fromWireOrRaw, toWire, unescapeUrl } from '../wire-text.ts'
import { acceptedType } from './accept.ts'
import { cleanAccountAcl, parseStoredAccountAcl, showAccountAcl } from './account-acl.ts'
import { cleanAcl, parseAcl, referrerAllowed } from './acl.ts'
import {
  type AccessRequest,
  grantByAccountAcl,
  grantByContainerAcl,
  grantByGroups,
} from './authorise.ts'
import { etagList, judgeForRead } from './condition-headers.ts'
import { contentTypeOf } from './content-type.ts'
import { isoTime, lastModified, parseHttpDate } from './http-date.ts'
import { listPath } from './list-path.ts'
import { renderAccount, renderContainer } from './listing-render.ts'
import {
  checkMergedMeta,
  isInternalHeader,
  listHeaders,
  objectHeaders,
  titleCase,
} from './metadata.ts'
import { parseSwiftPath } from './path.ts'
import { Query } from './query.ts'
import { planMultipart, rangesOf } from './range.ts'

function statusOf(action: () => unknown): number | string {
  try {
    action()
    return 'no error'
  } catch (error) {
    return error instanceof ServiceError ? error.status : String(error)
  }
}

t.test('paths are split after unescaping, with the errors of Swift', async (t) => {
  const good: [string, string, string?, string?][] = [
    ['/v1/a', 'a'],
    ['/v1/a/', 'a'],
    ['/v1.0/a/c', 'a', 'c'],
    ['/v1/a/c/', 'a', 'c'],
    ['/v1/a/c/o', 'a', 'c', 'o'],
    ['/v1/a/c//o/', 'a', 'c', '/o/'],
    ['/v1/a/c/../x', 'a', 'c', '../x'],
    ['/v1/a/c%2Fo', 'a', 'c', 'o'],
    ['/v1/a/c/%C3%A9%20%25', 'a', 'c', 'é %'],
    ['/v1/a/c/100%', 'a', 'c', '100%'],
    ['/v1/a/c/%zz%41', 'a', 'c', '%zzA'],
    ['/v1/a/c/\u00c3\u00a9', 'a', 'c', 'é'],
  ]
  for (const [url, account, container, object] of good) {
    t.same(parseSwiftPath(url), { account, container, object }, url)
  }
  const bad: [string, number][] = [
    ['/', 404],
    ['//a', 404],
    ['/v1', 412],
    ['/v1/', 412],
    ['/v1//c', 404],
    ['/v1/a//o', 404],
    ['/v1/a//', 404],
    ['/v1///o', 404],
    ['/v2/a', 400],
    ['/foo', 412],
    ['/v1/a/c/%00', 412],
    ['/v1/a/%FF', 412],
    ['/v1/a/%ed%a0%80', 412],
  ]
  for (const [url, status] of bad)
    t.equal(
      statusOf(() => parseSwiftPath(url)),
      status,
      url,
    )
})

t.test('wire text goes there and back', async (t) => {
  t.equal(unescapeUrl('a%2fb+c'), 'a/b+c')
  t.equal(escapePath("é/a b'(1)*"), '%C3%A9/a%20b%27%281%29%2A')
  t.equal(toWire('é'), '\u00c3\u00a9')
  t.equal(toWire(fromWireOrRaw('\xff\xfe')), '\xff\xfe', 'bytes that are no text are kept')
  t.equal(fromWireOrRaw('\u00c3\u00a9'), 'é')
})

t.test('query parameters', async (t) => {
  const query = new Query('a=1&b=x%20y+z&c&a=2&bad=%ff&d=%26')
  t.equal(query.get('a'), '2', 'the last counts')
  t.equal(query.get('b'), 'x y z')
  t.equal(query.get('c'), '')
  t.equal(query.get('d'), '&')
  t.equal(query.get('e'), undefined)
  t.equal(
    statusOf(() => query.get('bad')),
    400,
  )
})

t.test('container ACLs are cleaned, or refused', async (t) => {
  const good: [string, string][] = [
    ['bob, sue', 'bob,sue'],
    ['bob,,,sue', 'bob,sue'],
    ['.referrer : *', '.r:*'],
    ['.ref:*.example.com', '.r:.example.com'],
    ['.r: - bad.com', '.r:-bad.com'],
    ['.r:*, .rlistings', '.r:*,.rlistings'],
    ['test:tester , *:*', 'test:tester,*:*'],
    ['', ''],
  ]
  for (const [text, cleaned] of good) t.equal(cleanAcl('read', text), cleaned, text)
  for (const text of ['.r:', '.r:-', '.r:.', '.r:-*', '.unknown:x']) {
    const status = statusOf(() => cleanAcl('read', text))
    t.equal(status, text === '.r:-*' ? 'no error' : 400, text)
  }
  t.equal(
    statusOf(() => cleanAcl('write', '.r:*')),
    400,
  )
})

t.test('referrers: the last rule that fits decides', async (t) => {
  const cases: [string, string | undefined, boolean][] = [
    ['.r:*', undefined, true],
    ['', 'http://a.com/', false],
    ['.r:example.com', 'http://example.com:8080/x', true],
    ['.r:example.com', 'http://www.example.com/', false],
    ['.r:.example.com', 'http://www.example.com/', true],
    ['.r:*,.r:-bad.com', 'http://bad.com/', false],
    ['.r:*,.r:-.bad.com', 'https://x.bad.com/y', false],
    ['.r:-bad.com,.r:*', 'http://bad.com/', true],
    ['.r:example.com', 'not a url', false],
  ]
  for (const [acl, referer, allowed] of cases) {
    t.equal(referrerAllowed(referer, parseAcl(acl).referrers), allowed, `${acl} ${referer}`)
  }
})

t.test('who may do what', async (t) => {
  const prefixes = [{ prefix: 'AUTH_' }, { prefix: 'SERVICE_', requireGroup: 'service' }]
  const ask = (groups: string[], method: string, url: string): AccessRequest => ({
    groups,
    method,
    path: parseSwiftPath(url),
    referer: undefined,
  })
  const owner = ['test', 'test:tester', 'AUTH_test', 'SERVICE_test']
  const cases: [string[], string, string, boolean | null][] = [
    [owner, 'PUT', '/v1/AUTH_test/c', true],
    [owner, 'POST', '/v1/AUTH_test', true],
    [owner, 'PUT', '/v1/AUTH_test', null],
    [owner, 'DELETE', '/v1/AUTH_test', null],
    [owner, 'GET', '/v1/AUTH_test2/c', null],
    [owner, 'GET', '/v1/AUTH_tes/c', null],
    [owner, 'GET', '/v1/OTHER_test/c', null],
    [['test', 'test:tester3'], 'GET', '/v1/AUTH_test/c', null],
    [['a', 'a:b', '.reseller_admin'], 'PUT', '/v1/AUTH_test', true],
    [['a', 'a:b', '.reseller_admin'], 'GET', '/v1/AUTH_.hidden', null],
    [['a', 'a:b', '.reseller_admin'], 'GET', '/v1/AUTH_', null],
    [['a', 'a:b', '.reseller_reader'], 'GET', '/v1/AUTH_test/c/o', false],
    [['a', 'a:b', '.reseller_reader'], 'PUT', '/v1/AUTH_test/c/o', null],
    [owner, 'PUT', '/v1/SERVICE_test/c', null],
    [[...owner, 'service'], 'PUT', '/v1/SERVICE_test/c', true],
    [['service'], 'PUT', '/v1/SERVICE_test/c', null],
    [['AUTH_test', 'service'], 'PUT', '/v1/SERVICE_test/c', null],
    [[...owner, '.service SERVICE_'], 'PUT', '/v1/SERVICE_test/c', true],
    [[...owner, '.service OTHER_'], 'PUT', '/v1/SERVICE_test/c', null],
    [[], 'GET', '/v1/AUTH_test/c', null],
  ]
  for (const [groups, method, url, expected] of cases) {
    const grant = grantByGroups(ask(groups, method, url), prefixes)
    t.equal(grant === null ? null : grant.owner, expected, `${groups} ${method} ${url}`)
  }
  const byAcl = (groups: string[], url: string, acl: string) =>
    grantByContainerAcl(ask(groups, 'GET', url), parseAcl(acl)) !== null
  const user = ['acct', 'acct:bob']
  t.equal(byAcl(user, '/v1/AUTH_test/c/o', 'acct:bob'), true)
  t.equal(byAcl(user, '/v1/AUTH_test/c/o', 'acct'), true)
  t.equal(byAcl(user, '/v1/AUTH_test/c/o', '*:bob'), true)
  t.equal(byAcl(user, '/v1/AUTH_test/c/o', 'acct:*'), true)
  t.equal(byAcl(user, '/v1/AUTH_test/c/o', '*:*'), true)
  t.equal(byAcl(user, '/v1/AUTH_test/c/o', 'acct:bo'), false)
  t.equal(byAcl([], '/v1/AUTH_test/c/o', '*:*'), false, 'nobody is no user')
  t.equal(byAcl([], '/v1/AUTH_test/c/o', '.r:*'), true)
  t.equal(byAcl([], '/v1/AUTH_test/c', '.r:*'), false, 'objects only')
  t.equal(byAcl([], '/v1/AUTH_test/c', '.r:*,.rlistings'), true)
  t.equal(byAcl([], '/v1/AUTH_test/c', '.rlistings'), false)
  const acl = { admin: ['a:boss'], readWrite: ['a:rw'], readOnly: ['a:ro'] }
  const byAccount = (group: string, method: string, url: string) =>
    grantByAccountAcl(ask([group], method, url), acl)?.owner ?? null
  t.equal(byAccount('a:boss', 'POST', '/v1/AUTH_test'), true)
  t.equal(byAccount('a:rw', 'POST', '/v1/AUTH_test'), null)
  t.equal(byAccount('a:rw', 'GET', '/v1/AUTH_test'), false)
  t.equal(byAccount('a:rw', 'PUT', '/v1/AUTH_test/c'), false)
  t.equal(byAccount('a:ro', 'GET', '/v1/AUTH_test/c/o'), false)
  t.equal(byAccount('a:ro', 'PUT', '/v1/AUTH_test/c/o'), null)
  t.equal(byAccount('a:no', 'GET', '/v1/AUTH_test'), null)
})

t.test('account ACLs', async (t) => {
  const text = '{"read-only":["b:é"],"admin":["a:x"]}'
  t.equal(cleanAccountAcl(text), text)
  for (const bad of ['x', '[]', '{"admins":[]}', '{"admin":"a"}', '{"admin":[1]}', 'null']) {
    t.equal(
      statusOf(() => cleanAccountAcl(bad)),
      400,
      bad,
    )
  }
  t.equal(showAccountAcl(text), '{"admin":["a:x"],"read-only":["b:\\u00e9"]}')
  t.equal(showAccountAcl('{}'), undefined)
  const name = 'x-account-sysmeta-core-access-control'
  t.same(parseStoredAccountAcl({ [name]: text }), {
    admin: ['a:x'],
    readWrite: [],
    readOnly: ['b:é'],
  })
  t.equal(parseStoredAccountAcl({ [name]: '{}' }), null)
})

t.test('object metadata: what is kept and what is too much', async (t) => {
  t.same(
    objectHeaders(
      {
        'x-object-meta-color': 'bl\u00c3\u00bc',
        'content-encoding': 'gzip',
        'x-object-sysmeta-secret': 'no',
        'x-backend-thing': 'no',
        'x-container-meta-a': 'no',
        'x-object-meta-empty': '',
        host: 'h',
      },
      DEFAULT_LIMITS,
    ),
    { 'x-object-meta-color': 'blü', 'content-encoding': 'gzip', 'x-object-meta-empty': '' },
  )
  const many = (count: number, bytes = 1) =>
    Object.fromEntries(
      [...Array(count).keys()].map((i) => [`x-object-meta-${100 + i}`, 'v'.repeat(bytes)]),
    )
  const cases: [string, Record<string, string>, number | string][] = [
    ['no name', { 'x-object-meta-': 'v' }, 400],
    ['longest name', { [`x-object-meta-${'n'.repeat(128)}`]: 'v' }, 'no error'],
    ['name too long', { [`x-object-meta-${'n'.repeat(129)}`]: 'v' }, 400],
    ['longest value', { 'x-object-meta-a': 'v'.repeat(256) }, 'no error'],
    ['value too long', { 'x-object-meta-a': 'v'.repeat(257) }, 400],
    ['90 items', many(90), 'no error'],
    ['91 items', many(91), 400],
    ['4096 bytes', many(16, 253), 'no error'],
    ['over 4096 bytes', many(16, 254), 400],
    ['a header too long', { 'content-disposition': 'x'.repeat(8193) }, 400],
  ]
  for (const [name, headers, expected] of cases) {
    t.equal(
      statusOf(() => objectHeaders(headers, DEFAULT_LIMITS)),
      expected,
      name,
    )
  }
})

t.test('container metadata: set, remove, merge', async (t) => {
  const headers = {
    'x-container-meta-a': '1',
    'x-container-meta-b': '',
    'x-remove-container-meta-c': 'x',
    'x-remove-container-meta-a': 'x',
    'x-remove-container-read': 'x',
    'x-container-write': 'w',
    'x-container-sysmeta-x': 'no',
    'x-remove-container-object-count': 'no',
  }
  t.same(listHeaders('container', headers, DEFAULT_LIMITS), {
    'x-container-meta-a': '1',
    'x-container-meta-b': '',
    'x-container-meta-c': '',
    'x-container-read': '',
    'x-container-write': 'w',
  })
  t.equal(
    statusOf(() => listHeaders('account', { 'x-account-meta-a': '\xff' }, DEFAULT_LIMITS)),
    400,
  )
  const current = Object.fromEntries([...Array(90).keys()].map((i) => [`x-account-meta-${i}`, 'v']))
  const merge = (changes: Record<string, string>) =>
    statusOf(() => checkMergedMeta('account', { current, changes, limits: DEFAULT_LIMITS }))
  t.equal(merge({ 'x-account-meta-0': 'w' }), 'no error')
  t.equal(merge({ 'x-account-meta-new': 'w' }), 400)
  t.equal(merge({ 'x-account-meta-new': 'w', 'x-account-meta-0': '' }), 'no error')
})

t.test('header names', async (t) => {
  t.equal(titleCase('x-object-meta-foo_bar2baz'), 'X-Object-Meta-Foo_Bar2Baz')
  for (const name of [
    'x-object-sysmeta-a',
    'x-backend-a',
    'x-object-transient-sysmeta-b',
    'x-delete-at-host',
  ]) {
    t.equal(isInternalHeader(name), true, name)
  }
  for (const name of ['x-object-meta-a', 'x-delete-at', 'content-encoding']) {
    t.equal(isInternalHeader(name), false, name)
  }
})

t.test('ranges', async (t) => {
  const cases: [string | undefined, number, [number, number][] | null][] = [
    [undefined, 10, null],
    ['bytes=0-4', 10, [[0, 5]]],
    ['bytes=5-', 10, [[5, 10]]],
    ['bytes=-3', 10, [[7, 10]]],
    ['bytes=-30', 10, [[0, 10]]],
    ['bytes=-0', 10, []],
    ['bytes=10-', 10, []],
    ['bytes=9-100', 10, [[9, 10]]],
    ['BYTES = 0 - 1', 10, [[0, 2]]],
    [
      'bytes=0-1,8-9',
      10,
      [
        [0, 2],
        [8, 10],
      ],
    ],
    ['bytes=0-1,20-', 10, [[0, 2]]],
    ['bytes=5-3', 10, null],
    ['bytes=-', 10, null],
    ['bytes=45', 10, null],
    ['bytes=a-b', 10, null],
    ['bytes=0-1,x', 10, null],
    ['parsecs=8-12', 10, null],
    ['bytes=-5', 0, null],
    ['bytes=0-5', 0, []],
    ['bytes=0-6,3-9,2-8', 10, []],
    ['bytes=9-9,8-8,7-7,6-6,5-5,4-4,3-3,2-2', 10, []],
    [`bytes=${[...Array(51).keys()].map((i) => `${i}-${i}`).join(',')}`, 100, []],
  ]
  for (const [header, bytes, expected] of cases) {
    const found = rangesOf(header, bytes)
    t.same(
      found === null ? null : found.map(({ start, end }) => [start, end]),
      expected,
      header ?? 'none',
    )
  }
  const plan = planMultipart(
    [
      { start: 0, end: 2 },
      { start: 8, end: 10 },
    ],
    {
      bytes: 10,
      contentType: 'text/plain; x=é',
      boundary: 'bb',
    },
  )
  const body = `${plan.parts.map(({ head, range }) => head + 'x'.repeat(range.end - range.start)).join('')}${plan.tail}`
  t.equal(plan.bytes, Buffer.byteLength(body))
  t.match(
    body,
    /^--bb\r\nContent-Type: text\/plain; x=é\r\nContent-Range: bytes 0-1\/10\r\n\r\nxx\r\n--bb\r\n/,
  )
  t.match(body, /\r\n--bb--$/)
})

t.test('the Accept header chooses the listing', async (t) => {
  const cases: [string | undefined, string | number][] = [
    [undefined, 'text/plain'],
    ['*/*', 'text/plain'],
    ['application/json', 'application/json'],
    ['application/*', 'application/json'],
    ['text/xml', 'text/xml'],
    ['application/json;q=0.4, text/xml;q=0.9', 'text/xml'],
    ['*/*;q=0.9, application/xml', 'application/xml'],
    ['image/png', 406],
    ['nonsense', 400],
    ['text/plain;q=1;q=2', 400],
    ['text/plain;q=x', 400],
  ]
  for (const [accept, expected] of cases) {
    let found: string | number
    try {
      found = acceptedType(accept)
    } catch (error) {
      found = (error as ServiceError).status
    }
    t.equal(found, expected, accept ?? 'none')
  }
})

t.test('dates', async (t) => {
  t.equal(lastModified(100_000 * 1_000_000_000 + 1), 'Sun, 09 Sep 2001 01:46:41 GMT', 'rounded up')
  t.equal(isoTime(123_456_789_012_345), '2009-02-13T23:31:30.123450')
  t.equal(parseHttpDate('Sun, 06 Nov 1994 08:49:37 GMT'), 784_111_777)
  t.equal(parseHttpDate('Sun Nov  6 08:49:37 1994'), 784_111_777, 'asctime is UTC')
  t.equal(parseHttpDate('0'), undefined)
  t.equal(parseHttpDate('yesterday'), undefined)
})

t.test('conditions of a reader', async (t) => {
  const subject = { etag: 'aa', ticks: 100_000 * 1000 }
  const cases: [Parameters<typeof judgeForRead>[0], string][] = [
    [{ ifMatch: ['aa'] }, 'holds'],
    [{ ifMatch: ['bb'] }, 'precondition-failed'],
    [{ ifNoneMatch: ['aa'] }, 'not-modified'],
    [{ ifNoneMatch: ['*'] }, 'not-modified'],
    [{ ifModifiedSince: 1000 }, 'not-modified'],
    [{ ifModifiedSince: 999 }, 'holds'],
    [{ ifUnmodifiedSince: 1000 }, 'holds'],
    [{ ifUnmodifiedSince: 999 }, 'precondition-failed'],
    [{ ifMatch: ['aa'], ifUnmodifiedSince: 999 }, 'precondition-failed'],
    [{ ifNoneMatch: ['bb'], ifModifiedSince: 1000 }, 'not-modified'],
  ]
  for (const [condition, expected] of cases) {
    t.equal(judgeForRead(condition, subject), expected, JSON.stringify(condition))
  }
  t.same(etagList('"a", W/"b" ,c,,*'), ['a', 'b', 'c', '*'])
})

t.test('content types by name', async (t) => {
  const cases: [string, string][] = [
    ['a/b.html', 'text/html'],
    ['photo.JPG', 'image/jpeg'],
    ['x.tar.gz', 'application/x-tar'],
    ['x.tgz', 'application/x-tar'],
    ['x.gz', 'application/octet-stream'],
    ['dir.html/none', 'application/octet-stream'],
    ['constructor.constructor', 'application/octet-stream'],
    ['noending', 'application/octet-stream'],
  ]
  for (const [name, type] of cases) t.equal(contentTypeOf(name), type, name)
})

const stamp = { ticks: 170_000_000_012_345, proposer: 1 }
function row(name: string): ListEntry {
  return {
    name,
    stamp,
    metaStamp: stamp,
    ballot: stamp,
    deleted: false,
    bytes: 5,
    count: 2,
    etag: 'ee',
    contentType: 'text/x-<t>',
    policy: 0,
    confirmed: true,
  }
}

t.test('listings are rendered as Swift does', async (t) => {
  const entries = [row('a&b'), { subdir: 'd"/' }]
  t.equal(renderContainer({ account: 'a', container: 'c' }, entries, 'text/plain'), 'a&b\nd"/\n')
  t.same(
    JSON.parse(renderContainer({ account: 'a', container: 'c' }, entries, 'application/json')),
    [
      {
        name: 'a&b',
        hash: 'ee',
        bytes: 5,
        content_type: 'text/x-<t>',
        last_modified: '2023-11-14T22:13:20.123450',
      },
      { subdir: 'd"/' },
    ],
  )
  t.equal(
    renderContainer({ account: 'a', container: 'c<' }, entries, 'text/xml'),
    '<?xml version="1.0" encoding="UTF-8"?>\n<container name="c&lt;"><object><name>a&amp;b</name><hash>ee</hash>' +
      '<bytes>5</bytes><content_type>text/x-&lt;t&gt;</content_type><last_modified>2023-11-14T22:13:20.123450' +
      '</last_modified></object><subdir name="d&quot;/"><name>d"/</name></subdir></container>',
  )
  const policies = new Policies([{ index: 0, name: 'gold', default: true }])
  t.same(JSON.parse(renderAccount('a', entries, { type: 'application/json', policies })), [
    {
      name: 'a&b',
      count: 2,
      bytes: 5,
      last_modified: '2023-11-14T22:13:20.123450',
      storage_policy: 'gold',
    },
    { subdir: 'd"/' },
  ])
  t.equal(renderAccount('a', [], { type: 'text/plain', policies }), '')
})

t.test('path= lists a folder: its objects and the markers in it, page after page', async (t) => {
  const names = ['p', 'p/', 'p/a', 'p/d/', 'p/d/x', 'p/e/x', 'p/f', 'q']
  const info = { name: '/a/c' } as never
  const list = async (query: {
    limit: number
    prefix?: string
    delimiter?: string
    marker?: string
  }) => {
    const found: ListEntry[] = []
    for (const name of names) {
      const { prefix = '', delimiter, marker, limit } = query
      if (!name.startsWith(prefix) || (marker !== undefined && name <= marker)) continue
      if (found.length === limit) break
      const end = delimiter === undefined ? -1 : name.indexOf(delimiter, prefix.length)
      if (end < 0) {
        found.push(row(name))
        continue
      }
      const subdir = name.slice(0, end + 1)
      const last = found.at(-1)
      const isNew = !(last !== undefined && 'subdir' in last && last.subdir === subdir)
      if (isNew && subdir !== marker) found.push({ subdir })
    }
    return { info, entries: found }
  }
  for (const limit of [1, 2, 3, 100]) {
    const page = await listPath(list, 'p', { limit })
    const expected = ['p/a', 'p/d/', 'p/f'].slice(0, limit)
    t.same(
      page?.entries.map((entry) => ('name' in entry ? entry.name : entry.subdir)),
      expected,
      `limit ${limit}`,
    )
  }
})
