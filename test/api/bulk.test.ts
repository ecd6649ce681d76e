/** Bulk deletes and archives over a real socket; archives made by tar itself. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { pack } from 'tar-stream'
import { type Answer, type CallOptions, httpClient, signIn } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const folder = t.testdir({ store: {}, tree: {} })
const store = await openTestStore(join(folder, 'store'), {
  layers: { bulk: { failedDeletesMax: 20, failedExtractionsMax: 20, containersMax: 3 } },
  limits: { objectBytesMax: 20_000_000 },
})
const client = httpClient(store.port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const { call } = client

const owner = await signIn(call, 'test:tester', 'testing')
const colleague = await signIn(call, 'test:tester3', 'testing3')
const ACCOUNT = '/v1/AUTH_test'
const JSON_WANTED = { accept: 'application/json' }
let made = 0

async function freshContainer(headers: Record<string, string> = {}): Promise<string> {
  const name = `bulk${++made}`
  t.equal((await owner('PUT', `${ACCOUNT}/${name}`, { headers })).status, 201)
  return name
}

interface Report {
  readonly 'Response Status': string
  readonly 'Response Body': string
  readonly Errors: readonly (readonly [string, string])[]
  readonly 'Number Deleted'?: number
  readonly 'Number Not Found'?: number
  readonly 'Number Files Created'?: number
}

async function reportOf(asked: Promise<Answer>): Promise<Report> {
  const answer = await asked
  t.equal(answer.status, 200)
  t.equal(answer.headers['transfer-encoding'], 'chunked')
  return JSON.parse(answer.body) as Report
}

const remove = (body: CallOptions['body'] & {}, as = owner) =>
  reportOf(as('POST', `${ACCOUNT}?bulk-delete`, { headers: JSON_WANTED, body }))

t.test('bulk delete', async (t) => {
  await t.test('deletes objects, then containers, by escaped names', async (t) => {
    const name = await freshContainer()
    for (const object of ['a', 'b%20b', '%C3%A4/%25']) {
      await owner('PUT', `${ACCOUNT}/${name}/${object}`, { body: 'x' })
    }
    const names = [
      `/${name}`,
      `${name}/a`,
      `/${name}/b%20b`,
      '',
      `${name}/%C3%A4/%25`,
      `${name}/none`,
    ]
    const report = await remove(names.join('\n'))
    t.strictSame(report, {
      'Response Status': '200 OK',
      'Response Body': '',
      'Number Deleted': 4,
      'Number Not Found': 1,
      Errors: [],
    })
    t.equal((await owner('HEAD', `${ACCOUNT}/${name}`)).status, 404)
  })

  await t.test('says what failed, in the form that is wanted', async (t) => {
    const name = await freshContainer()
    await owner('PUT', `${ACCOUNT}/${name}/<o>`.replace(/[<>]/g, encodeURIComponent), { body: 'x' })
    const body = `${name}\n${name}/%FF\n${name}/%00`
    const json = await remove(body)
    t.equal(json['Response Status'], '400 Bad Request')
    t.strictSame(json.Errors, [
      [`${name}/%FF`, '412 Precondition Failed'],
      [`${name}/%00`, '412 Precondition Failed'],
      [name, '409 Conflict'],
    ])
    const text = await owner('DELETE', `${ACCOUNT}?bulk-delete`, { body })
    t.match(text.body, `Response Status: 400 Bad Request\nErrors:\n${name}/%FF, 412`)
    const xml = await owner('POST', `${ACCOUNT}?bulk-delete`, {
      headers: { accept: 'application/xml' },
      body,
    })
    t.match(xml.body, `<object><name>${name}</name><status>409 Conflict</status></object>`)
    const theirs = await remove(`${name}/%3Co%3E`, colleague)
    t.strictSame(theirs.Errors, [[`${name}/%3Co%3E`, '403 Forbidden']])
    t.equal((await remove(`${name}/%3Co%3E`))['Number Deleted'], 1)
  })

  await t.test('is bounded, and says no to what is no list of names', async (t) => {
    const none = { 'Number Deleted': 0, 'Number Not Found': 0, Errors: [] }
    const empty = await remove('\n\n')
    t.match(empty, {
      'Response Status': '400 Bad Request',
      'Response Body': 'Invalid bulk delete.',
    })
    const many = await remove('c/o\n'.repeat(10_001))
    t.match(many, { ...none, 'Response Status': '413 Request Entity Too Large' })
    t.equal(many['Response Body'], 'Maximum Bulk Deletes: 10000 per request')
    const long = await remove('x'.repeat(100_000))
    t.match(long, { ...none, 'Response Status': '400 Bad Request' })
    const typed = await owner('POST', `${ACCOUNT}?bulk-delete`, {
      headers: { ...JSON_WANTED, 'content-type': 'application/json' },
      body: '[]',
    })
    t.match(JSON.parse(typed.body), { 'Response Status': '406 Not Acceptable' })
    const strangers = await reportOf(
      call('POST', `${ACCOUNT}?bulk-delete`, { headers: JSON_WANTED, body: 'c/o' }),
    )
    t.strictSame(strangers.Errors, [['c/o', '401 Unauthorized']])
    const failing = await remove(
      Array.from({ length: 100 }, (_, i) => `c/o${i}`).join('\n'),
      colleague,
    )
    t.equal(failing['Response Body'], 'Max delete failures exceeded')
  })

  await t.test('takes as many names as come', async (t) => {
    const name = await freshContainer()
    async function* names() {
      for (let i = 0; i < 1_500; i++) yield Buffer.from(`/${name}/object-${i}\n`)
    }
    t.match(await remove(names()), { 'Number Not Found': 1_500, 'Response Status': '200 OK' })
  })
})

const unpack = (path: string, format: string, body: Buffer, headers = {}) =>
  reportOf(
    owner('PUT', `${path}?extract-archive=${format}`, {
      headers: { ...JSON_WANTED, ...headers },
      body,
    }),
  )

/** An archive of entries with any names and headers. */
async function archiveOf(
  entries: readonly {
    name: string
    body?: string
    pax?: Record<string, string>
    type?: 'directory'
  }[],
): Promise<Buffer> {
  const tar = pack()
  for (const { name, body = 'x', pax, type } of entries) {
    tar.entry(
      { name, ...(pax && { pax }), ...(type && { type }) } as { name: string },
      type ? '' : body,
    )
  }
  tar.finalize()
  const pieces: Buffer[] = []
  for await (const piece of tar) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

t.test('archives', async (t) => {
  const tree = join(folder, 'tree')
  const files: Record<string, Buffer> = {
    'one.txt': Buffer.from('one'),
    'deep/er/two.html': Buffer.from('<p>two'),
    empty: Buffer.alloc(0),
    'long.bin': Buffer.alloc(3_000_000, 'not so random'),
  }
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(join(tree, name, '..'), { recursive: true })
    writeFileSync(join(tree, name), bytes)
  }
  const tarOf = (option: string[]) =>
    execFileSync('tar', [...option, '-C', tree, '-cf', '-', '.'], { maxBuffer: 1e8 })

  await t.test('of every kind are unpacked below their path', async (t) => {
    const formats: readonly (readonly [string, Buffer])[] = [
      ['tar', tarOf([])],
      ['tar.gz', tarOf(['-z'])],
      ['tar.bz2', tarOf(['-j'])],
    ]
    for (const [format, body] of formats) {
      const name = await freshContainer()
      const report = await unpack(`${ACCOUNT}/${name}/sub`, format, body, {
        'x-object-meta-from': 'tar',
      })
      t.match(
        report,
        { 'Response Status': '201 Created', 'Number Files Created': 4, Errors: [] },
        format,
      )
      for (const [file, bytes] of Object.entries(files)) {
        const answer = await owner('GET', `${ACCOUNT}/${name}/sub/${file}`)
        t.equal(answer.status, 200, file)
        t.ok(answer.bytes.equals(bytes))
        t.equal(answer.headers['x-object-meta-from'], 'tar')
      }
    }
  })

  await t.test(
    'make the containers that they name, and take metadata from the archive',
    async (t) => {
      const body = await archiveOf([
        { name: './new-a/o', body: 'later is overwritten' },
        { name: 'new-a/o', body: 'ö', pax: { path: 'new-a/ö' } },
        { name: '/new-a/o', body: 'last', pax: { 'SCHILY.xattr.user.meta.lunch': 'Käse' } },
        { name: 'new-b/typed', pax: { 'LIBARCHIVE.xattr.user.mime_type': 'text/x-test' } },
        { name: 'new-b/folder/', type: 'directory' },
        { name: 'ignored, as it is in no container' },
      ])
      t.match(await unpack(ACCOUNT, 'tar', body), { 'Number Files Created': 4, Errors: [] })
      const last = await owner('GET', `${ACCOUNT}/new-a/o`)
      t.equal(last.body, 'last')
      t.equal(Buffer.from(last.headers['x-object-meta-lunch']!, 'latin1').toString(), 'Käse')
      t.equal((await owner('GET', `${ACCOUNT}/new-a/%C3%B6`)).body, 'ö')
      t.equal(
        (await owner('HEAD', `${ACCOUNT}/new-b/typed`)).headers['content-type'],
        'text/x-test',
      )
      const many = await archiveOf([
        { name: 'm1/o' },
        { name: 'm2/o' },
        { name: 'm3/o' },
        { name: 'm4/o' },
      ])
      const report = await unpack(ACCOUNT, 'tar', many)
      t.equal(report['Response Body'], 'More than 3 containers to create from tar.')
    },
  )

  await t.test('name objects, never places', async (t) => {
    const name = await freshContainer()
    const other = await freshContainer()
    const body = await archiveOf([
      { name: `../${other}/o` },
      { name: '/../../x' },
      { name: 'a/../b' },
    ])
    t.match(await unpack(`${ACCOUNT}/${name}`, 'tar', body), { 'Number Files Created': 3 })
    const listed = (await owner('GET', `${ACCOUNT}/${name}`)).body
    t.equal(listed, `../../x\n../${other}/o\na/../b\n`)
    t.equal((await owner('GET', `${ACCOUNT}/${other}`)).body, '')
  })

  await t.test('that are none, are cut, or unpack without end are refused', async (t) => {
    const name = await freshContainer()
    const path = `${ACCOUNT}/${name}`
    const whole = tarOf([])
    const cases: readonly (readonly [what: string, format: string, body: Buffer, words: RegExp])[] =
      [
        ['no tar', 'tar', Buffer.alloc(2048, 'x'), /Invalid Tar File/],
        ['no gzip', 'tar.gz', whole, /Invalid Tar File/],
        ['no bzip2', 'tar.bz2', whole, /Invalid Tar File/],
        ['a cut tar', 'tar', whole.subarray(0, -1_000_000), /Invalid Tar File/],
        ['a cut gzip', 'tar.gz', tarOf(['-z']).subarray(0, 2000), /Invalid Tar File/],
        ['a cut bzip2', 'tar.bz2', tarOf(['-j']).subarray(0, 100), /Invalid Tar File/],
        ['nothing', 'tar', Buffer.alloc(1024), /No Valid Files/],
        ['a bomb', 'tar.gz', gzipSync(Buffer.alloc(30_000_000)), /unpacks to more/],
      ]
    for (const [what, format, body, words] of cases) {
      const report = await unpack(path, format, body)
      t.match(report['Response Body'], words, what)
      t.match(report['Response Status'], /^4/)
    }
    const unknown = await owner('PUT', `${path}?extract-archive=zip`, { body: '' })
    t.match(unknown, { status: 400, body: 'Unsupported archive format' })
    const bomb = await archiveOf([{ name: 'big', body: 'x' }])
    // The size of the entry, in octal: more than an object may have.
    bomb.write('17777777777', 124)
    bomb.write('        ', 148)
    const sum = bomb.subarray(0, 512).reduce((total, byte) => total + byte, 0)
    bomb.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    t.match((await unpack(path, 'tar', bomb)).Errors, [
      [`${name}/big`, '413 Request Entity Too Large'],
    ])
  })

  await t.test('report files that could not be stored, and stop at too many', async (t) => {
    const name = await freshContainer({ 'x-container-meta-quota-bytes': '4' })
    const body = await archiveOf([
      { name: 'a', body: 'four' },
      { name: 'b', body: 'five!' },
    ])
    const over = await unpack(`${ACCOUNT}/${name}`, 'tar', body)
    t.match(over, { 'Number Files Created': 1, 'Response Status': '400 Bad Request' })
    t.strictSame(over.Errors, [[`${name}/b`, '413 Request Entity Too Large']])
    const anonymous = await reportOf(
      call('PUT', `${ACCOUNT}/${name}?extract-archive=tar`, { headers: JSON_WANTED, body }),
    )
    t.match(anonymous, { 'Response Status': '401 Unauthorized', 'Number Files Created': 0 })
    const long = 'n'.repeat(1100)
    const bad = await archiveOf(Array.from({ length: 50 }, (_, i) => ({ name: `${long}${i}` })))
    t.ok((await unpack(`${ACCOUNT}/${name}`, 'tar', bad)).Errors.length < 40)
  })
})
