/** Features around the handlers, over a real socket and on the real engine: temporary URLs, forms, web sites, quotas. */
import { createHmac } from 'node:crypto'
import t from 'tap'
import { httpClient, signIn } from './http-client.ts'
import { openTestStore } from './swift-store.ts'

const store = await openTestStore(t.testdir())
const client = httpClient(store.port)
t.teardown(async () => {
  client.close()
  await store.close()
})
const { call } = client

const owner = await signIn(call, 'test:tester', 'testing')
const colleague = await signIn(call, 'test:tester3', 'testing3')
const ACCOUNT = '/v1/AUTH_test'
const LATER = Math.floor(Date.now() / 1000) + 3600
const NOW = Math.floor(Date.now() / 1000)
let made = 0

async function freshContainer(headers: Record<string, string> = {}): Promise<string> {
  const path = `${ACCOUNT}/layer${++made}`
  t.equal((await owner('PUT', path, { headers })).status, 201)
  return path
}

async function put(path: string, body: string, headers: Record<string, string> = {}) {
  const answer = await owner('PUT', path, { body, headers })
  t.equal(answer.status, 201, `PUT ${path}`)
}

const sign = (key: string, lines: readonly (string | number)[], digest = 'sha256') =>
  createHmac(digest, key).update(lines.join('\n')).digest('hex')

t.test('temporary URLs', async (t) => {
  const container = await freshContainer({ 'x-container-meta-temp-url-key': 'of the container' })
  const other = await freshContainer()
  const account = { 'x-account-meta-temp-url-key': 'one', 'x-account-meta-temp-url-key-2': 'two' }
  t.equal((await owner('POST', ACCOUNT, { headers: account })).status, 204)
  const path = `${container}/folder/file.txt`
  await put(path, 'shared', { 'x-object-meta-color': 'red', 'x-object-meta-public-size': 'l' })
  await put(`${other}/private`, 'private')

  const url = (
    signed: string,
    given: { method?: string; key?: string; digest?: string; expires?: number | string } = {},
  ) => {
    const { method = 'GET', key = 'one', digest = 'sha256', expires = LATER } = given
    return `temp_url_sig=${sign(key, [method, expires, signed], digest)}&temp_url_expires=${expires}`
  }

  await t.test('whoever has one reads, and sees only public metadata', async (t) => {
    for (const key of ['one', 'two', 'of the container']) {
      for (const digest of ['sha1', 'sha256', 'sha512']) {
        const answer = await call('GET', `${path}?${url(path, { key, digest })}`)
        t.equal(answer.status, 200, `${key} ${digest}`)
        t.equal(answer.body, 'shared')
        t.equal(answer.headers['x-object-meta-color'], undefined)
        t.equal(answer.headers['x-object-meta-public-size'], 'l')
        t.equal(
          answer.headers['content-disposition'],
          `attachment; filename="file.txt"; filename*=UTF-8''file.txt`,
        )
        t.equal(answer.headers.expires, new Date(LATER * 1000).toUTCString())
      }
    }
    t.equal((await call('HEAD', `${path}?${url(path)}`)).status, 200, 'HEAD by a GET')
    t.equal((await call('GET', `${path}?${url(path, { method: 'HEAD' })}`)).status, 401)
    const range = await call('GET', `${path}?${url(path)}`, { headers: { range: 'bytes=2-4' } })
    t.equal(range.status, 206)
    t.equal(range.body, 'are')
  })

  await t.test(
    'a signature is good for its method, path and time, and for nothing else',
    async (t) => {
      const signature = url(path).split('&')[0]
      const iso = `${signature}&temp_url_expires=${new Date(LATER * 1000).toISOString().slice(0, 19)}Z`
      t.equal((await call('GET', `${path}?${iso}`)).status, 200, 'the same time in another form')
      const bad: Record<string, string> = {
        'another path': url(`${container}/folder/other`),
        'another key': url(path, { key: 'three' }),
        'an old one': url(path, { expires: NOW - 10 }),
        'another time': url(path).replace(/\d+$/, String(LATER + 1)),
        'no time': signature!,
        'no signature': `temp_url_expires=${LATER}`,
        'an empty one': `temp_url_sig=&temp_url_expires=${LATER}`,
        'a short one': `temp_url_sig=00&temp_url_expires=${LATER}`,
      }
      for (const [what, query] of Object.entries(bad)) {
        const answer = await call('GET', `${path}?${query}`)
        t.equal(answer.status, 401, what)
        t.equal(answer.body, '401 Unauthorized: Temp URL invalid\n')
      }
      t.equal((await call('PUT', `${path}?${url(path)}`, { body: 'x' })).status, 401)
      t.equal((await call('GET', `${container}?${url(container)}`)).status, 401, 'no listings')
      t.equal((await call('GET', `${container}/?${url(`${container}/`)}`)).status, 401)
      const strange = `${other}/private`
      t.equal(
        (await call('GET', `${strange}?${url(strange, { key: 'of the container' })}`)).status,
        401,
      )
      t.equal((await owner('GET', `${path}?${bad['another path']}`)).status, 401, 'whoever asks')
    },
  )

  await t.test('uploads and deletes, and never reaches beyond what it signs', async (t) => {
    const fresh = `${container}/upload`
    const signedPut = `${fresh}?${url(fresh, { method: 'PUT', key: 'of the container' })}`
    const send = (headers: Record<string, string>, body = '') =>
      call('PUT', signedPut, { headers, body })
    t.equal((await send({}, 'hello')).status, 201)
    t.equal((await owner('GET', fresh)).body, 'hello')
    for (const name of ['X-Object-Manifest', 'X-Symlink-Target', 'X-Copy-From']) {
      const answer = await send({ [name.toLowerCase()]: `${other.split('/').at(-1)}/private` })
      t.equal(answer.status, 400)
      t.equal(answer.body, `The header '${name}' is not allowed in this tempurl`)
    }
    const ofAccount = `${fresh}?${url(fresh, { method: 'PUT', key: 'one' })}`
    const copy = { headers: { 'x-copy-from': `${other.split('/').at(-1)}/private` } }
    t.equal((await call('PUT', ofAccount, copy)).status, 400, 'nor by the key of the account')
    t.equal((await call('DELETE', `${fresh}?${url(fresh, { method: 'DELETE' })}`)).status, 204)
    t.equal((await call('GET', `${fresh}?${url(fresh)}`)).status, 404)
  })

  await t.test('by prefix, by address, with a name to save it by', async (t) => {
    const prefix = `${container}/folder/`
    const byPrefix = url(`prefix:${prefix}`)
    t.equal((await call('GET', `${path}?${byPrefix}&temp_url_prefix=folder/`)).status, 200)
    t.equal(
      (await call('GET', `${container}/fold?${byPrefix}&temp_url_prefix=folder/`)).status,
      401,
    )
    t.equal((await call('GET', `${path}?${byPrefix}&temp_url_prefix=fold`)).status, 401)
    const ranged = (range: string) =>
      `${path}?temp_url_sig=${sign('one', [`ip=${range}`, 'GET', LATER, path])}` +
      `&temp_url_expires=${LATER}&temp_url_ip_range=${range}`
    t.equal((await call('GET', ranged('127.0.0.0/8'))).status, 200)
    t.equal((await call('GET', ranged('10.0.0.0/8'))).status, 401)
    t.equal((await call('GET', ranged('127.0.0.0/8').replace(/&temp_url_ip.*/, ''))).status, 401)
    const named = await call('GET', `${path}?${url(path)}&filename=my%20file%22.txt`)
    t.equal(
      named.headers['content-disposition'],
      `attachment; filename="my file%22.txt"; filename*=UTF-8''my%20file%22.txt`,
    )
    const inline = await call('GET', `${path}?${url(path)}&inline`)
    t.equal(inline.headers['content-disposition'], 'inline')
  })

  await t.test(
    "keys are the owner's alone, and neither they nor signatures are logged",
    async (t) => {
      t.equal((await owner('HEAD', ACCOUNT)).headers['x-account-meta-temp-url-key'], 'one')
      await owner('POST', container, { headers: { 'x-container-read': 'test:tester3' } })
      const seen = await colleague('HEAD', container)
      t.equal(seen.status, 204)
      t.equal(seen.headers['x-container-meta-temp-url-key'], undefined)
      const signature = /sig=(\w+)/.exec(url(path))![1]!
      const logged = JSON.stringify(store.lines)
      t.notMatch(logged, signature)
      t.notMatch(logged, 'of the container')
      t.match(logged, '"user":".wsgi.tempurl"')
    },
  )
})

t.test('quotas', async (t) => {
  const reseller = await signIn(call, 'admin:admin', 'admin')

  await t.test('of a container, in bytes and objects', async (t) => {
    const container = await freshContainer({ 'x-container-meta-quota-bytes': '10' })
    await put(`${container}/six`, 'six by')
    const over = await owner('PUT', `${container}/five`, { body: 'five!' })
    t.equal(over.status, 413)
    t.equal(over.body, 'Upload exceeds quota.')
    await put(`${container}/four`, 'four')
    async function* pieces() {
      yield Buffer.alloc(200_000)
    }
    const unknown = await owner('PUT', `${container}/chunked`, { body: pieces() })
    t.equal(unknown.status, 413, 'a body of unknown length ends where the quota does')
    t.equal((await owner('HEAD', `${container}/chunked`)).status, 404)
    const copy = { 'x-copy-from': `${container.split('/').at(-1)}/four` }
    t.equal((await owner('PUT', `${container}/copy`, { headers: copy })).status, 413)
    t.equal((await colleague('PUT', `${container}/no`, { body: 'x'.repeat(99) })).status, 403)

    const set = (headers: Record<string, string>) => owner('POST', container, { headers })
    t.equal((await set({ 'x-container-meta-quota-bytes': '' })).status, 204)
    t.equal((await set({ 'x-container-meta-quota-count': '2' })).status, 204)
    t.equal((await owner('PUT', `${container}/third`, { body: '' })).status, 413)
    t.equal((await owner('DELETE', `${container}/six`)).status, 204)
    await put(`${container}/third`, '')
    for (const bad of ['ten', '-1', '1.5', '1e3']) {
      const answer = await set({ 'x-container-meta-quota-bytes': bad })
      t.equal(answer.status, 400, bad)
      t.equal(answer.body, 'Invalid bytes quota.')
    }
  })

  await t.test('of an account and of a policy in it, set by reseller admins alone', async (t) => {
    const account = '/v1/AUTH_quota'
    const set = async (headers: Record<string, string>) =>
      (await reseller('POST', account, { headers })).status
    t.equal(await set({ 'x-account-quota-bytes': '10' }), 204)
    t.equal(
      (await owner('POST', ACCOUNT, { headers: { 'x-account-quota-bytes': '9' } })).status,
      403,
    )
    const old = { 'x-account-meta-quota-bytes': '' }
    t.equal((await owner('POST', ACCOUNT, { headers: old })).status, 403)
    t.equal(await set({ 'x-account-quota-count': 'many' }), 400)
    t.equal((await reseller('HEAD', account)).headers['x-account-quota-bytes'], '10')

    // Its owners are constrained, resellers are not: one who may write by ACL stands for them.
    const write = { 'x-container-write': 'test:tester' }
    t.equal((await reseller('PUT', `${account}/c`, { headers: write })).status, 201)
    const silver = { ...write, 'x-storage-policy': 'silver' }
    t.equal((await reseller('PUT', `${account}/s`, { headers: silver })).status, 201)
    await t.test('bytes', async (t) => {
      t.equal((await owner('PUT', `${account}/c/long`, { body: 'eleven byte' })).status, 413)
      t.equal((await owner('PUT', `${account}/c/o`, { body: 'ten  bytes' })).status, 201)
      await store.runDaemons()
      t.equal((await owner('PUT', `${account}/c/p`, { body: '1' })).status, 413)
      t.equal((await reseller('PUT', `${account}/c/p`, { body: '1' })).status, 201)
      t.equal(await set({ 'x-remove-account-quota-bytes': 'x' }), 204)
      t.equal((await owner('PUT', `${account}/c/p`, { body: '1' })).status, 201)
    })
    await t.test('objects, and those of one policy', async (t) => {
      await store.runDaemons()
      t.equal(await set({ 'x-account-quota-count': '2' }), 204)
      t.equal((await owner('PUT', `${account}/c/q`, { body: '1' })).status, 413)
      t.equal(await set({ 'x-account-quota-count': '' }), 204)
      t.equal(await set({ 'x-account-quota-bytes-policy-silver': '4' }), 204)
      const shown = (await reseller('HEAD', account)).headers
      t.equal(shown['x-account-quota-bytes-policy-silver'], '4')
      t.equal((await owner('PUT', `${account}/c/q`, { body: 'gold is free' })).status, 201)
      const over = await owner('PUT', `${account}/s/q`, { body: 'five!' })
      t.equal(over.status, 413)
      t.equal(over.body, 'Upload exceeds policy quota.')
      t.equal((await owner('PUT', `${account}/s/q`, { body: 'four' })).status, 201)
    })
  })
})

t.test('static web sites', async (t) => {
  const site = { 'x-container-read': '.r:*,.rlistings', 'x-container-meta-web-index': 'index.html' }
  const container = await freshContainer(site)
  const set = async (headers: Record<string, string>) =>
    t.equal((await owner('POST', container, { headers })).status, 204)
  await put(`${container}/index.html`, '<h1>home</h1>', { 'content-type': 'text/html' })
  await put(`${container}/docs/index.html`, '<h1>docs</h1>')
  await put(`${container}/pictures/sun%20%26%20moon.png`, 'png')
  await put(`${container}/pictures/old/a.png`, 'png')
  await put(`${container}/marker`, '', { 'content-type': 'application/directory' })

  await t.test('show their index, and lead to it from paths without a slash', async (t) => {
    const home = await call('GET', `${container}/`)
    t.equal(home.status, 200)
    t.equal(home.body, '<h1>home</h1>')
    t.equal(home.headers['content-type'], 'text/html')
    const bare = await call('GET', container)
    t.equal(bare.status, 301)
    t.equal(bare.headers.location, `${store.url}${container}/`)
    t.equal((await call('GET', `${container}/docs/`)).body, '<h1>docs</h1>')
    const folder = await call('GET', `${container}/docs`)
    t.equal(folder.headers.location, `${store.url}${container}/docs/`)
    t.equal((await call('GET', `${container}/pictures`)).status, 301, 'a folder without index')
    t.equal((await call('HEAD', `${container}/`)).headers['content-length'], '13')
    const part = await call('GET', `${container}/`, { headers: { range: 'bytes=4-7' } })
    t.equal(part.body, 'home')
    t.equal((await call('GET', `${container}/nothing`)).status, 404)
  })

  await t.test('list a folder as links, if they may', async (t) => {
    const disabled = await call('GET', `${container}/pictures/`)
    t.equal(disabled.status, 404)
    t.match(disabled.body, 'Web Listing Disabled')
    await set({ 'x-container-meta-web-listings': 'true' })
    const listed = await call('GET', `${container}/pictures/`)
    t.equal(listed.status, 200)
    t.equal(listed.headers['content-type'], 'text/html; charset=UTF-8')
    t.match(listed.body, '<a href="./sun%20%26%20moon%2Epng">sun &amp; moon.png</a>')
    t.match(listed.body, '<a href="./old/">old/</a>')
    t.match(listed.body, '<a href="../">../</a>')
    t.equal((await call('GET', `${container}/marker/`)).status, 404)
    await set({ 'x-container-meta-web-index': '' })
    t.match((await call('GET', `${container}/`)).body, 'href="./docs/"')
    await set({ 'x-container-meta-web-listings-css': 'style.css' })
    t.match((await call('GET', `${container}/pictures/`)).body, 'href="../style.css"')
    await set({ 'x-container-meta-web-index': 'index.html' })
  })

  await t.test('have pages of their own for errors', async (t) => {
    await set({ 'x-container-meta-web-error': 'error.html' })
    await put(`${container}/404error.html`, 'lost?')
    await put(`${container}/401error.html`, 'go away')
    const lost = await call('GET', `${container}/nothing`)
    t.equal(lost.status, 404)
    t.equal(lost.body, 'lost?')
    await set({ 'x-container-read': '.r:*' })
    const refused = await call('GET', `${container}/`)
    t.equal(refused.status, 401, 'without .rlistings')
    t.equal(refused.body, 'go away')
    await set({ 'x-container-read': '' })
    const closed = await call('GET', `${container}/index.html`)
    t.equal(closed.status, 401)
    t.notMatch(closed.body, 'go away', 'a page that nobody may read is not shown either')
  })

  await t.test('are for people without a token, or who ask for them', async (t) => {
    t.equal((await owner('GET', container)).body.split('\n').length, 8, 'a listing')
    const asked = await owner('GET', `${container}/`, { headers: { 'x-web-mode': 'true' } })
    t.equal(asked.body, '<h1>home</h1>')
    const plain = await freshContainer()
    t.equal((await owner('GET', plain, { headers: { 'x-web-mode': 'true' } })).status, 404)
    t.equal((await call('GET', plain)).status, 401)
  })

  await t.test('open to a temporary URL as far as its prefix goes', async (t) => {
    await owner('POST', ACCOUNT, { headers: { 'x-account-meta-temp-url-key': 'one' } })
    const query = (prefix: string) =>
      `temp_url_sig=${sign('one', ['GET', LATER, `prefix:${container}/${prefix}`])}` +
      `&temp_url_expires=${LATER}&temp_url_prefix=${prefix}`
    const home = await call('GET', `${container}/?${query('')}`)
    t.equal(home.status, 200)
    t.equal(home.headers['content-disposition'], 'inline')
    const folder = await call('GET', `${container}/pictures/?${query('pictures/')}`)
    t.equal(folder.status, 200)
    t.match(folder.body, '?temp_url_prefix=pictures')
    t.notMatch(folder.body, '<a href="../', 'and not above it')
    t.equal((await call('GET', `${container}/?${query('pictures/')}`)).status, 401)
    await set({ 'x-container-meta-web-index': '', 'x-container-meta-web-listings': '' })
    t.equal((await call('GET', `${container}/?${query('')}`)).status, 401, 'it is no site')
  })
})

t.test('forms of browsers', async (t) => {
  const container = await freshContainer({ 'x-container-meta-temp-url-key': 'form key' })
  interface File {
    readonly name: string
    readonly body: string | Buffer
    readonly type?: string
  }
  interface Form {
    readonly path?: string
    readonly key?: string
    readonly digest?: string
    readonly redirect?: string
    readonly size?: number | string
    readonly count?: number | string
    readonly expires?: number | string
    readonly more?: Record<string, string>
    readonly files?: readonly File[]
    readonly after?: Record<string, string>
  }
  const fields = (form: Form): Record<string, string> => {
    const { path = `${container}/up/`, redirect = '', size = 100_000, count = 2 } = form
    const { expires = LATER, key = 'form key', digest = 'sha256' } = form
    const signature = sign(key, [path, redirect, size, count, expires], digest)
    const limits = { max_file_size: String(size), max_file_count: String(count) }
    return { redirect, ...limits, expires: String(expires), signature, ...form.more }
  }
  const encode = (form: Form): Buffer => {
    const parts: (string | Buffer)[] = []
    const field = ([name, value]: [string, string]) =>
      parts.push(`--BOUND\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
    Object.entries(fields(form)).forEach(field)
    for (const { name, body, type } of form.files ?? [{ name: 'a.txt', body: 'hello' }]) {
      const disposition = `Content-Disposition: form-data; name="file"; filename="${name}"\r\n`
      parts.push(
        `--BOUND\r\n${disposition}${type === undefined ? '' : `Content-Type: ${type}\r\n`}\r\n`,
      )
      parts.push(body, '\r\n')
    }
    Object.entries(form.after ?? {}).forEach(field)
    parts.push('--BOUND--\r\n')
    return Buffer.concat(parts.map((part) => Buffer.from(part)))
  }
  const headers = { 'content-type': 'multipart/form-data; boundary=BOUND' }
  const post = (form: Form, path = form.path ?? `${container}/up/`) =>
    call('POST', path, { headers, body: encode(form) })

  await t.test('put their files below the path that was signed', async (t) => {
    const long = Buffer.alloc(90_000, 'long')
    const answer = await post({
      files: [
        { name: 'ä b.txt', body: 'hello', type: 'text/plain' },
        { name: 'sub/long.bin', body: long },
      ],
      more: { x_delete_after: '3600' },
    })
    t.equal(answer.status, 201, answer.body)
    t.equal(answer.body, '201 Created')
    const small = await owner('GET', `${container}/up/%C3%A4%20b.txt`)
    t.equal(small.body, 'hello')
    t.equal(small.headers['content-type'], 'text/plain')
    t.ok(Number(small.headers['x-delete-at']) > NOW + 3000)
    t.ok((await owner('GET', `${container}/up/sub/long.bin`)).bytes.equals(long))
    for (const digest of ['sha1', 'sha512']) t.equal((await post({ digest })).status, 201, digest)
    t.equal((await post({ path: container })).status, 201)
    t.equal((await owner('GET', `${container}/a.txt`)).body, 'hello')
    t.equal((await owner('GET', `${container}/up/a.txt`)).body, 'hello')
  })

  await t.test('are refused when anything is not as it was signed', async (t) => {
    const cases: Record<string, [form: Form, status: number, words: RegExp]> = {
      'another key': [{ key: 'guessed' }, 401, /Invalid Signature/],
      'an old one': [{ expires: NOW - 1 }, 401, /Form Expired/],
      'another size': [{ more: { max_file_size: '100001' } }, 401, /Invalid Signature/],
      'another count': [{ more: { max_file_count: '3' } }, 401, /Invalid Signature/],
      'another redirect': [
        { more: { redirect: 'https://evil.example' } },
        401,
        /Invalid Signature/,
      ],
      'no signature': [{ more: { signature: '' } }, 401, /Invalid Signature/],
      'too long': [{ size: 4 }, 400, /max_file_size exceeded/],
      'too many': [{ count: 0 }, 400, /Max File Count Exceeded/],
      'no file': [{ files: [] }, 400, /No Files To Process/],
      'no number': [{ count: 'many' }, 400, /max_file_count not an integer/],
      'no time': [{ expires: 'never' }, 400, /expires not an integer/],
      'bad expiry': [{ more: { x_delete_at: 'soon' } }, 400, /x_delete_at not an integer/],
    }
    for (const [what, [form, status, words]] of Object.entries(cases)) {
      const file = { name: `never ${what}`, body: 'never' }
      const answer = await post({ files: [file], ...form })
      t.equal(answer.status, status, what)
      t.match(answer.body, words)
    }
    t.equal((await post({}, `${container}/elsewhere/`)).status, 401, 'another path')
    t.equal((await post({ path: ACCOUNT })).status, 401, 'an account')
    const bad = (body: string) => call('POST', `${container}/up/`, { headers, body })
    t.match(await bad('hello'), { status: 400, body: /invalid starting boundary/ })
    t.match(await bad(''), { status: 400 })
    const cut = encode({ files: [{ name: 'never', body: 'never cut' }] })
      .toString()
      .slice(0, -20)
    t.equal((await bad(cut)).status, 400, 'a form without end')
    t.equal((await bad(`--BOUND\r\nno header\r\n--BOUND--\r\n`)).status, 400)
    const listed = (await owner('GET', container)).body
    t.notMatch(listed, 'never', 'and nothing of it is stored')
  })

  await t.test('send the browser only where the signature says', async (t) => {
    const redirect = 'https://example.com/done?x="1"'
    const done = await post({ redirect })
    t.equal(done.status, 303)
    t.equal(done.headers.location, `${redirect}&status=201&message=`)
    t.match(done.body, 'href="https://example.com/done?x=&quot;1&quot;&amp;status=201')
    const many = await post({ redirect, count: 0 })
    t.equal(many.headers.location, `${redirect}&status=400&message=max%20file%20count%20exceeded`)
    const late = await post({ after: { redirect: 'https://evil.example' } })
    t.equal(late.status, 201, 'a word after the files does not count')
    const none = await post({ files: [], more: { redirect: 'https://evil.example' } })
    t.equal(none.status, 400)
    t.equal(none.headers.location, undefined)
    const split = await post({ redirect: 'https://example.com/\r\nX-Evil: 1' })
    t.equal(split.status, 400)
  })

  await t.test(
    'bring nothing that would not stay in its header, or name what is the store’s',
    async (t) => {
      for (const type of [
        'text/plain\r\nX-Evil: 1',
        'text/plain\0bytes=1;symlink_target=x',
        'a\x7fb',
      ]) {
        const answer = await post({
          files: [{ name: 'evil', body: 'x' }],
          more: { 'content-type': type },
        })
        t.equal(answer.status, 400, JSON.stringify(type))
      }
      const encoded = await post({ more: { 'content-encoding': 'gzip\nX-Evil: 1' } })
      t.equal(encoded.status, 400)
      t.equal((await post({ files: [{ name: '\0evil', body: 'x' }] })).status, 400)
      t.notMatch((await owner('GET', container)).body, 'evil')
      const good = await post({
        files: [{ name: 'fine', body: 'x' }],
        more: { 'content-type': 'text/ä' },
      })
      t.equal(good.status, 201)
      t.equal((await owner('GET', `${container}/up/fine`)).status, 200)
    },
  )

  await t.test(
    'answer what the store says, and let scripts of allowed origins read it',
    async (t) => {
      await owner('POST', container, { headers: { 'x-container-meta-quota-count': '1' } })
      t.match(await post({}), { status: 413, body: 'Upload exceeds quota.' })
      const cors = {
        'x-container-meta-quota-count': '',
        'x-container-meta-access-control-allow-origin': 'https://app.example',
      }
      await owner('POST', container, { headers: cors })
      const scripted = await call('POST', `${container}/up/`, {
        headers: { ...headers, origin: 'https://app.example' },
        body: encode({}),
      })
      t.equal(scripted.status, 201)
      t.equal(scripted.headers['access-control-allow-origin'], 'https://app.example')
      t.equal((await post({ path: `${ACCOUNT}/nowhere` })).status, 401, 'no keys, no container')
      t.notMatch(JSON.stringify(store.lines), 'form key')
    },
  )
})
