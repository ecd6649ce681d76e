/** Versions of objects over a real socket, on the real engine: by ids, and as they were of old. */
import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { ServiceError } from '../../common/errors.ts'
import type { Backend } from '../../proxy/backend/backend.ts'
import {
  parseVersionId,
  versionName,
  versionsContainerOf,
} from '../../proxy/swift/versions/version-names.ts'
import { type Answer, httpClient, signIn } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const store = await openTestStore(t.testdir(), { versionsSettle: false })
const client = httpClient(store.port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const { call } = client

const owner = await signIn(call, 'test:tester', 'testing')
const colleague = await signIn(call, 'test:tester3', 'testing3')
const ACCOUNT = '/v1/AUTH_test'
const md5 = (data: string | Buffer) => createHash('md5').update(data).digest('hex')
const idOf = (answer: Answer) => answer.headers['x-object-version-id']!
let made = 0

async function fresh(headers: Record<string, string> = {}): Promise<string> {
  const path = `${ACCOUNT}/v${++made}`
  t.equal((await owner('PUT', path, { headers })).status, 201)
  return path
}

interface Line {
  readonly name: string
  readonly version_id: string
  readonly is_latest: boolean
  readonly bytes: number
  readonly hash: string
}

async function versionsOf(path: string, more = ''): Promise<readonly Line[]> {
  return JSON.parse((await owner('GET', `${path}?versions${more}`)).body)
}

const VERSIONED = { 'x-versions-enabled': 'true' }

/** Where the version of the object `o` lies. */
function versionsName(container: string, version: string): string {
  return `${versionsContainerOf(container)}/${versionName('o', parseVersionId(version)!)}`
}

t.test('every write is a version, and the last one is current', async (t) => {
  const path = await fresh(VERSIONED)
  const one = await owner('PUT', `${path}/o`, {
    body: 'one',
    headers: { 'content-type': 'text/plain', 'x-object-meta-n': '1' },
  })
  t.equal(one.status, 201)
  t.equal(one.headers.etag, md5('one'))
  const big = randomBytes(200_000)
  const two = await owner('PUT', `${path}/o`, { body: big })
  t.ok(idOf(two) > idOf(one))
  const now = await owner('GET', `${path}/o`)
  t.ok(now.bytes.equals(big))
  t.equal(idOf(now), idOf(two))
  const old = await owner('GET', `${path}/o?version-id=${idOf(one)}`)
  t.equal(old.body, 'one')
  t.equal(old.headers['x-object-meta-n'], '1')
  const part = await owner('GET', `${path}/o`, { headers: { range: 'bytes=5-9' } })
  t.ok(part.bytes.equals(big.subarray(5, 10)))
  t.match(await versionsOf(path), [
    { name: 'o', version_id: idOf(two), is_latest: true, bytes: 200_000, hash: md5(big) },
    { name: 'o', version_id: idOf(one), is_latest: false, bytes: 3, hash: md5('one') },
  ])
  const [row] = JSON.parse((await owner('GET', `${path}?format=json`)).body)
  t.match(row, {
    name: 'o',
    bytes: 200_000,
    hash: md5(big),
    content_type: 'application/octet-stream',
  })
  const head = await owner('HEAD', path)
  t.equal(head.headers['x-versions-enabled'], 'True')
  t.equal(head.headers['x-container-object-count'], '1')
  t.equal(head.headers['x-container-bytes-used'], '200003')
  const posted = await owner('POST', `${path}/o`, { headers: { 'x-object-meta-n': '2' } })
  t.equal(posted.status, 202)
  t.equal((await owner('HEAD', `${path}/o`)).headers['x-object-meta-n'], '2')
  const bad = { headers: { 'x-object-meta-n': '3' } }
  t.equal((await owner('POST', `${path}/o?version-id=${idOf(one)}`, bad)).status, 400)
})

t.test(
  'a deletion is a version, too; versions are restored and deleted by their ids',
  async (t) => {
    const path = await fresh(VERSIONED)
    const one = idOf(await owner('PUT', `${path}/o`, { body: 'one' }))
    const two = idOf(await owner('PUT', `${path}/o`, { body: 'two' }))
    const gone = await owner('DELETE', `${path}/o`)
    t.equal(gone.status, 204)
    t.equal((await owner('GET', `${path}/o`)).status, 404)
    const marker = await owner('GET', `${path}/o?version-id=${idOf(gone)}`)
    t.equal(marker.status, 404)
    t.equal(idOf(marker), idOf(gone))
    t.equal((await owner('GET', path)).body, '')
    t.match(
      (await versionsOf(path)).map((line) => [line.version_id, line.is_latest]),
      [
        [idOf(gone), true],
        [two, false],
        [one, false],
      ],
    )
    t.equal((await owner('PUT', `${path}/o?version-id=${one}`, { body: 'x' })).status, 400)
    const restored = await owner('PUT', `${path}/o?version-id=${one}`)
    t.equal(restored.status, 201)
    t.equal((await owner('GET', `${path}/o`)).body, 'one')
    t.ok((await versionsOf(path)).find((line) => line.version_id === one)!.is_latest)
    t.equal((await owner('PUT', `${path}/o?version-id=0000000001.00000`)).status, 404)
    t.equal((await owner('PUT', `${path}/o?version-id=nonsense`)).status, 400)
    const older = await owner('DELETE', `${path}/o?version-id=${two}`)
    t.equal(older.status, 204)
    t.equal(older.headers['x-object-current-version-id'], one)
    t.equal((await owner('GET', `${path}/o`)).body, 'one')
    const current = await owner('DELETE', `${path}/o?version-id=${one}`)
    t.equal(current.headers['x-object-current-version-id'], 'null')
    t.equal((await owner('GET', `${path}/o`)).status, 404)
    t.equal((await owner('DELETE', `${path}/o?version-id=${one}`)).status, 404)
    const nothing = await owner('DELETE', `${path}/never-there`)
    t.equal(nothing.status, 404)
    t.ok(idOf(nothing))
  },
)

t.test('what was there before versioning is kept when it is replaced', async (t) => {
  const path = await fresh()
  const before = randomBytes(100_000)
  await owner('PUT', `${path}/o`, { body: before, headers: { 'x-object-meta-a': 'kept' } })
  await owner('PUT', `${path}/p`, { body: 'p' })
  t.equal((await owner('POST', path, { headers: VERSIONED })).status, 204)
  t.equal(idOf(await owner('HEAD', `${path}/o`)), 'null')
  t.match(await versionsOf(path), [
    { name: 'o', version_id: 'null', is_latest: true },
    { name: 'p', version_id: 'null', is_latest: true },
  ])
  await owner('PUT', `${path}/o`, { body: 'after' })
  await owner('DELETE', `${path}/p`)
  const [after, old, marker, oldP] = await versionsOf(path)
  t.match(after, { name: 'o', is_latest: true, bytes: 5 })
  const kept = await owner('GET', `${path}/o?version-id=${old!.version_id}`)
  t.ok(kept.bytes.equals(before))
  t.equal(kept.headers['x-object-meta-a'], 'kept')
  t.match(marker, { name: 'p', is_latest: true, bytes: 0 })
  t.equal((await owner('GET', `${path}/p?version-id=${oldP!.version_id}`)).body, 'p')
  t.equal((await owner('GET', `${path}/o?version-id=null`)).status, 404)
})

t.test('suspended, writes replace what is current and versions stay', async (t) => {
  const path = await fresh(VERSIONED)
  const one = idOf(await owner('PUT', `${path}/o`, { body: 'one' }))
  await owner('POST', path, { headers: { 'x-versions-enabled': 'false' } })
  await owner('PUT', `${path}/o`, { body: 'null one' })
  await owner('PUT', `${path}/o`, { body: 'null two' })
  const now = await owner('GET', `${path}/o`)
  t.equal(now.body, 'null two')
  t.equal(idOf(now), 'null')
  t.equal((await owner('GET', `${path}/o?version-id=${one}`)).body, 'one')
  t.equal((await owner('GET', `${path}/o?version-id=null`)).body, 'null two')
  t.equal((await owner('DELETE', path)).status, 409)
  t.equal((await owner('DELETE', `${path}/o`)).status, 204)
  t.equal((await owner('GET', `${path}/o?version-id=${one}`)).body, 'one')
  const refused = await owner('DELETE', path)
  t.equal(refused.status, 409)
  t.match(refused.body, 'Delete all versions')
  t.equal((await owner('DELETE', `${path}/o?version-id=${one}`)).status, 204)
  t.equal((await owner('DELETE', path)).status, 204)
  t.equal((await owner('HEAD', path)).status, 404)
})

t.test('conditions are about what is current', async (t) => {
  const path = await fresh(VERSIONED)
  const put = (headers: Record<string, string>, body: string) =>
    owner('PUT', `${path}/o`, { headers, body })
  t.equal((await put({ 'if-none-match': '*' }, 'one')).status, 201)
  t.equal((await put({ 'if-none-match': '*' }, 'two')).status, 412)
  t.equal((await put({ 'if-match': md5('one') }, 'three')).status, 201)
  t.equal((await put({ 'if-match': md5('one') }, 'four')).status, 412)
  t.equal((await versionsOf(path)).length, 2, 'what was refused is no version')
})

t.test('large objects, links and copies have versions like any other', async (t) => {
  const path = await fresh(VERSIONED)
  const name = path.slice(ACCOUNT.length)
  await owner('PUT', `${path}/part`, { body: 'part' })
  const manifest = JSON.stringify([{ path: `${name}/part` }, { path: `${name}/part` }])
  const slo = await owner('PUT', `${path}/o?multipart-manifest=put`, { body: manifest })
  t.equal(slo.status, 201)
  await owner('PUT', `${path}/o`, { headers: { 'x-symlink-target': `${name.slice(1)}/part` } })
  t.equal((await owner('GET', `${path}/o`)).body, 'part')
  t.equal((await owner('GET', `${path}/o?version-id=${idOf(slo)}`)).body, 'partpart')
  const [, line] = await versionsOf(path, '&prefix=o')
  t.match(line, { bytes: 8, slo_etag: slo.headers.etag })
  const copied = await owner('COPY', `${path}/o?version-id=${idOf(slo)}`, {
    headers: { destination: `${name}/copy` },
  })
  t.equal(copied.headers['x-copied-from-version-id'], idOf(slo))
  t.equal((await owner('GET', `${path}/copy`)).body, 'partpart')
})

t.test('versions by id are for the owner, current ones for whom the ACL lets in', async (t) => {
  const path = await fresh({ ...VERSIONED, 'x-container-read': 'test:tester3' })
  const one = idOf(await owner('PUT', `${path}/o`, { body: 'one' }))
  t.equal((await colleague('GET', `${path}/o`)).body, 'one')
  t.equal((await colleague('GET', `${path}/o?version-id=${one}`)).status, 403)
  const theirs = await fresh({
    'x-container-read': 'test:tester3',
    'x-container-write': 'test:tester3',
  })
  const [source, target] = [path, theirs].map((whole) => whole.slice(ACCOUNT.length + 1))
  const copyTo = { headers: { destination: `${target}/stolen` } }
  t.equal((await colleague('COPY', `${path}/o?version-id=${one}`, copyTo)).status, 403)
  const copyFrom = { headers: { 'x-copy-from': `${source}/o` } }
  t.equal((await colleague('PUT', `${theirs}/stolen?version-id=${one}`, copyFrom)).status, 403)
  t.equal((await colleague('COPY', `${path}/o`, copyTo)).status, 201, 'what is current is theirs')
  t.equal((await owner('COPY', `${path}/o?version-id=${one}`, copyTo)).status, 201)
  const plain = await fresh()
  await owner('PUT', `${plain}/o`, { body: 'x' })
  t.equal((await owner('GET', `${plain}/o?version-id=${one}`)).status, 400)
})

t.test("the containers that versions lie in are nobody's to see", async (t) => {
  const path = await fresh(VERSIONED)
  await owner('PUT', `${path}/o`, { body: '12345' })
  await store.runDaemons()
  for (const query of ['', '?reverse=true', '?prefix=%00', '?marker=%00versions', '?limit=3']) {
    const { body } = await owner('GET', ACCOUNT + query)
    t.notMatch(body, '\0', query)
  }
  const rows: readonly Line[] = JSON.parse((await owner('GET', `${ACCOUNT}?format=json`)).body)
  const name = path.slice(ACCOUNT.length + 1)
  t.equal(rows.find((row) => row.name === name)!.bytes, 5, 'their bytes count')
  const hidden = `${ACCOUNT}/%00versions%00${name}`
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
    t.equal((await owner(method, hidden)).status, 412, method)
  }
  const version = versionsName(name, (await versionsOf(path))[0]!.version_id)
  const manifest = JSON.stringify([{ path: version }])
  const slo = await owner('PUT', `${path}/slo?multipart-manifest=put`, { body: manifest })
  t.equal(slo.status, 400, 'not as a segment: with it the version would be deleted')
  const escaped = version.split('/').map(encodeURIComponent).join('/')
  const leads = [
    ['x-object-manifest', 400],
    ['x-symlink-target', 412],
    ['x-copy-from', 412],
  ] as const
  for (const [lead, status] of leads) {
    const answer = await owner('PUT', `${path}/lead`, { headers: { [lead]: escaped } })
    t.equal(answer.status, status, lead)
  }
  await owner('PUT', `${path}/dlo`, { headers: { 'x-object-manifest': `${name}/o` } })
  await owner('POST', `${path}/dlo`, { headers: { 'x-object-manifest': escaped } })
  t.equal((await owner('GET', `${path}/dlo`)).status, 404)
  const header = { 'x-container-sysmeta-versions-enabled': 'False' }
  await owner('POST', path, { headers: header })
  t.equal((await owner('HEAD', path)).headers['x-versions-enabled'], 'True', 'not for clients')
})

t.test('of writes at the same moment through two proxies none is lost', async (t) => {
  const { port } = await store.openBeside()
  const other = httpClient(port)
  t.teardown(() => other.close())
  const token = (
    await call('GET', '/auth/v1.0', {
      headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
    })
  ).headers['x-auth-token']!
  const headers = { 'x-auth-token': token }
  const path = await fresh()
  await owner('PUT', `${path}/o`, { body: 'before' })
  await owner('POST', path, { headers: VERSIONED })
  const bodies = Array.from({ length: 40 }, (_, i) => `write ${i}`)
  const answers = await Promise.all(
    bodies.map((body, i) => {
      const { call: from } = i % 2 === 0 ? client : other
      return i % 8 === 7
        ? from('DELETE', `${path}/o`, { headers })
        : from('PUT', `${path}/o`, { headers, body })
    }),
  )
  const lines = await versionsOf(path)
  t.equal(new Set(lines.map((line) => line.version_id)).size, lines.length)
  t.equal(lines.length, 1 + answers.filter(({ status }) => status < 300 || status === 404).length)
  let kept = 0
  for (const [i, answer] of answers.entries()) {
    if (answer.status !== 201) continue
    kept++
    const read = await owner('GET', `${path}/o?version-id=${idOf(answer)}`)
    t.equal(read.body, bodies[i], `version of ${bodies[i]}`)
  }
  t.ok(kept >= 30, `${kept} of 35 writes acknowledged`)
  t.ok(
    lines.some((line) => line.hash === md5('before')),
    'and what was there before',
  )
  t.equal(lines.filter((line) => line.is_latest).length, 1)
  const latest = lines.find((line) => line.is_latest)!
  const now = await owner('GET', `${path}/o`)
  t.ok(now.status === 404 ? latest.bytes === 0 : now.headers.etag === latest.hash)
})

t.test('a write whose outcome was unclear is cleared up, or told as 503 and listed', async (t) => {
  const backend = store.context.backend as { -readonly [K in keyof Backend]: Backend[K] }
  const { putObject, deleteObject } = backend
  t.teardown(() => Object.assign(backend, { putObject, deleteObject }))
  const path = await fresh(VERSIONED)
  const name = path.slice(ACCOUNT.length + 1)
  const unclear = () => new ServiceError('NoQuorum', 'nobody can say', { status: 503 })
  /** Fails calls for the container's own record, or its versions', so many times: before or after it was done. */
  const failing = (what: { own: boolean; times: number; after: boolean }) => {
    let left = what.times
    const fails = (container: string) =>
      what.own === (container === name) && container.endsWith(name) && left-- > 0
    backend.putObject = async (place, put) => {
      if (!fails(place.container)) return putObject(place, put)
      if (what.after) await putObject(place, put)
      throw unclear()
    }
    backend.deleteObject = async (place, deletion) => {
      if (!fails(place.container)) return deleteObject(place, deletion)
      if (what.after) await deleteObject(place, deletion)
      throw unclear()
    }
  }
  const put = (body: string) => owner('PUT', `${path}/o`, { body })
  const listed = async () => (await versionsOf(path)).map((line) => [line.hash, line.is_latest])
  t.equal((await put('one')).status, 201)
  failing({ own: true, times: 1, after: true })
  t.equal((await put('two')).status, 201, 'it was done')
  failing({ own: true, times: 1, after: false })
  t.equal((await put('three')).status, 201, 'it is done now')
  failing({ own: false, times: 1, after: true })
  t.equal((await put('never')).status, 503)
  t.same(await listed(), [
    [md5('three'), true],
    [md5('two'), false],
    [md5('one'), false],
  ])
  failing({ own: true, times: 9, after: false })
  t.equal((await put('perhaps')).status, 503)
  t.equal((await owner('GET', `${path}/o`)).body, 'three')
  t.equal((await listed()).length, 4, 'nobody can say: it stays to be seen')
  failing({ own: true, times: 1, after: true })
  t.equal((await owner('DELETE', `${path}/o`)).status, 204)
  t.equal((await owner('GET', `${path}/o`)).status, 404)
  failing({ own: false, times: 1, after: true })
  t.equal((await owner('DELETE', `${path}/o`)).status, 503)
  t.equal((await listed()).length, 5, 'no marker of the deletion that failed')
})

t.test('of old: uploads that stream by at the same moment are all kept', async (t) => {
  const old = await fresh()
  const path = await fresh({ 'x-versions-location': old.slice(ACCOUNT.length + 1) })
  const bodies = Array.from({ length: 8 }, (_, i) => Buffer.alloc(200_000 + i, `body ${i} `))
  const writes = await Promise.all(bodies.map((body) => owner('PUT', `${path}/o`, { body })))
  t.same(
    writes.map(({ status }) => status),
    bodies.map(() => 201),
  )
  const names = (await owner('GET', old)).body.trim().split('\n')
  const kept = [...names.map((name) => `${old}/${name}`), `${path}/o`]
  const hashes = await Promise.all(kept.map(async (one) => md5((await owner('GET', one)).bytes)))
  t.same(hashes.sort(), bodies.map(md5).sort())
})

t.test('of old: a stack of what was overwritten', async (t) => {
  const old = await fresh()
  const location = old.slice(ACCOUNT.length + 1)
  const path = await fresh({ 'x-versions-location': location })
  t.equal((await owner('HEAD', path)).headers['x-versions-location'], location)
  const big = randomBytes(150_000)
  await owner('PUT', `${path}/o`, { body: 'one' })
  await owner('PUT', `${path}/o`, { body: big })
  await owner('PUT', `${path}/o`, { body: 'three' })
  const names = (await owner('GET', old)).body.trim().split('\n')
  t.equal(names.length, 2)
  t.match(names[0], /^001o\/\d{10}\.\d{5}$/)
  t.equal((await owner('GET', `${old}/${names[0]}`)).body, 'one')
  t.equal((await owner('DELETE', `${path}/o`)).status, 204)
  t.ok((await owner('GET', `${path}/o`)).bytes.equals(big))
  t.equal((await owner('DELETE', `${path}/o`)).status, 204)
  t.equal((await owner('GET', `${path}/o`)).body, 'one')
  t.equal((await owner('DELETE', `${path}/o`)).status, 204)
  t.equal((await owner('GET', `${path}/o`)).status, 404)
  t.equal((await owner('DELETE', `${path}/o`)).status, 404)
  t.equal((await owner('GET', old)).body, '')
  const writes = await Promise.all(
    Array.from({ length: 12 }, (_, i) => owner('PUT', `${path}/p`, { body: `p${i}` })),
  )
  const kept = new Set<string>()
  for (const name of (await owner('GET', `${old}?prefix=001p/`)).body.trim().split('\n')) {
    kept.add((await owner('GET', `${old}/${name}`)).body)
  }
  kept.add((await owner('GET', `${path}/p`)).body)
  const acknowledged = writes.flatMap((answer, i) => (answer.status === 201 ? [`p${i}`] : []))
  t.ok(acknowledged.length > 0)
  t.ok(
    acknowledged.every((body) => kept.has(body)),
    'none that was acknowledged is lost',
  )
})

t.test('of old: a history, deletions included', async (t) => {
  const old = await fresh()
  const location = old.slice(ACCOUNT.length + 1)
  const path = await fresh({ 'x-history-location': location })
  t.equal((await owner('HEAD', path)).headers['x-history-location'], location)
  await owner('PUT', `${path}/o`, { body: 'one' })
  t.equal((await owner('DELETE', `${path}/o`)).status, 204)
  t.equal((await owner('GET', `${path}/o`)).status, 404)
  const rows = JSON.parse((await owner('GET', `${old}?format=json`)).body)
  t.match(
    rows.map((row: Line & { content_type: string }) => row.content_type),
    ['application/octet-stream', 'application/x-deleted;swift_versions_deleted=1'],
  )
  for (const headers of [
    { 'x-versions-location': 'a', 'x-history-location': 'b' },
    { 'x-versions-enabled': 'true' },
  ] as Record<string, string>[]) {
    t.equal((await owner('POST', path, { headers })).status, 400)
  }
  t.equal((await owner('POST', path, { headers: { 'x-history-location': 'a/b' } })).status, 412)
  const both = await fresh(VERSIONED)
  t.equal((await owner('POST', both, { headers: { 'x-versions-location': 'a' } })).status, 400)
  await owner('POST', path, { headers: { 'x-remove-history-location': 'x' } })
  t.notOk((await owner('HEAD', path)).headers['x-history-location'])
  await owner('PUT', `${path}/o`, { body: 'two' })
  await owner('PUT', `${path}/o`, { body: 'three' })
  t.equal(JSON.parse((await owner('GET', `${old}?format=json`)).body).length, 2, 'no more of them')
  const lost = await fresh({ 'x-versions-location': 'nowhere' })
  t.equal((await owner('PUT', `${lost}/o`, { body: 'one' })).status, 201)
  t.equal((await owner('PUT', `${lost}/o`, { body: 'two' })).status, 412)
  t.equal((await owner('GET', `${lost}/o`)).body, 'one')
})
