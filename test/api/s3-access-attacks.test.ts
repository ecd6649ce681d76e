/** Ways to get in without rights, past lists, policies and what keeps buckets from being public: through both APIs. */
import { createHash, createHmac } from 'node:crypto'
import t from 'tap'
import { SUBRESOURCES } from '../../proxy/s3/routing/routes.ts'
import {
  GUEST,
  MAIN,
  OTHER,
  openS3Rig,
  putInParts,
  type SignedRequest,
  send,
  sendSigned,
  type TestKey,
} from './s3-store.ts'

const { store, s3, signed, swift, token } = await openS3Rig(t)
/** One of no account at all. */
const NOBODY = null

async function answer(asked: SignedRequest): Promise<string> {
  const { status, code, body } = await signed(asked)
  return status < 300 ? `${status} ${body.slice(0, 200)}`.trim() : `${status} ${code}`.trim()
}

/** A bucket of MAIN's with private objects, and what is set on it. */
async function bucket(name: string, policy?: readonly object[]): Promise<void> {
  t.equal((await signed({ method: 'PUT', path: `/${name}` })).status, 200)
  for (const key of ['secret', 'open/o']) {
    t.equal((await signed({ method: 'PUT', path: `/${name}/${key}`, body: key })).status, 200)
  }
  if (policy !== undefined) await setPolicy(name, policy)
}

async function setPolicy(name: string, statements: readonly object[]): Promise<void> {
  const body = JSON.stringify({ Version: '2012-10-17', Statement: statements })
  t.equal((await signed({ method: 'PUT', path: `/${name}?policy`, body })).status, 204)
}

const allow = (Action: string, Resource: string, more: object = {}) => ({
  Effect: 'Allow',
  Principal: '*',
  Action,
  Resource: `arn:aws:s3:::${Resource}`,
  ...more,
})
const deny = (Action: string, Resource: string, more: object = {}) => ({
  ...allow(Action, Resource, more),
  Effect: 'Deny',
})

const STRANGERS: readonly (readonly [string, TestKey | null])[] = [
  ['another account', OTHER],
  ['somebody of the account without a role', GUEST],
  ['nobody', NOBODY],
]

t.test('a private bucket is closed for strangers, whatever they ask for', async (t) => {
  await bucket('closed')
  const asks: readonly (readonly [string, string, string?])[] = [
    ['GET', '/closed'],
    ['GET', '/closed?acl'],
    ['PUT', '/closed?acl'],
    ['GET', '/closed?policy'],
    ['GET', '/closed/secret'],
    ['HEAD', '/closed/secret'],
    ['GET', '/closed/secret?versionId=null'],
    ['HEAD', '/closed/secret?versionId=null'],
    ['GET', '/closed/secret?acl'],
    ['GET', '/closed/secret?acl&versionId=null'],
    ['GET', '/closed/secret?tagging'],
    ['GET', '/closed/secret?tagging&versionId=null'],
    ['GET', '/closed/none'],
    ['GET', '/closed/none?acl'],
    ['PUT', '/closed/new', 'x'],
    ['DELETE', '/closed/secret'],
    ['DELETE', '/closed/secret?versionId=null'],
  ]
  for (const [who, key] of STRANGERS) {
    for (const [method, path, body = ''] of asks) {
      const headers =
        path.endsWith('?acl') && method === 'PUT' ? { 'x-amz-acl': 'public-read' } : {}
      t.equal(
        (await signed({ method, path, body, headers, key })).status,
        403,
        `${who}: ${method} ${path}`,
      )
    }
    const attrs = { 'x-amz-object-attributes': 'ETag' }
    const asked = { path: '/closed/secret?attributes&versionId=null', headers: attrs, key }
    t.equal((await signed(asked)).status, 403, `${who}: attributes of a version`)
    const opened = {
      method: 'PUT',
      path: '/closed/secret?acl',
      headers: { 'x-amz-acl': 'public-read' },
      key,
    }
    t.equal(await answer(opened), '403 AccessDenied', `${who}: PUT ?acl`)
  }
  t.equal(
    (await signed({ path: '/closed/secret', key: NOBODY })).status,
    403,
    'and nobody opened it',
  )
})

t.test('the right to write one key reads none of the bucket by a copy', async (t) => {
  await bucket('copied', [
    allow('s3:PutObject', 'copied/in/*'),
    allow('s3:GetObject', 'copied/in/*'),
  ])
  for (const [who, key] of STRANGERS) {
    const headers = { 'x-amz-copy-source': 'copied/secret' }
    t.equal(
      await answer({ method: 'PUT', path: '/copied/in/o', headers, key }),
      '403 AccessDenied',
      who,
    )
  }
})

t.test('the right to delete one key deletes no other in the same request', async (t) => {
  await bucket('deleted', [allow('s3:DeleteObject', 'deleted/open/*')])
  for (const [who, key] of STRANGERS) {
    const keys = ['open/1', 'secret'].map((name) => `<Object><Key>${name}</Key></Object>`)
    const body = `<Delete>${keys.join('')}</Delete>`
    const md5 = createHash('md5').update(body).digest('base64')
    const { status, body: text } = await signed({
      method: 'POST',
      path: '/deleted?delete',
      body,
      headers: { 'content-md5': md5 },
      key,
    })
    t.equal(status, 200)
    t.match(text, /<Error>.*secret.*AccessDenied|AccessDenied.*secret/s, who)
    t.equal((await signed({ path: '/deleted/secret' })).status, 200, who)
  }
})

t.test('who can delete nothing is told so before the keys are read', async (t) => {
  /** What comes before the body has. */
  const early = async (name: string, key: TestKey | null, query = 'delete') => {
    const length = String(8 * 1024 * 1024)
    const unsigned = { 'content-length': length, 'content-md5': 'CY9rzUYh03PK3k6DJie09g==' }
    const asked = {
      method: 'POST',
      path: `/${name}?${query}`,
      key,
      unsigned,
      withoutBody: true,
    } as const
    const { status, code } = await signed(asked)
    return `${status} ${code}`
  }
  await bucket('unread', [
    allow('s3:GetObject', 'unread/*'),
    allow('s3:DeleteObject', 'unread/*', { Principal: { AWS: 'AUTH_elsewhere' } }),
    deny('s3:DeleteObject', 'unread/*'),
  ])
  for (const [who, key] of STRANGERS) t.equal(await early('unread', key), '403 AccessDenied', who)
  t.equal(await early('unread-not-there', OTHER), '404 NoSuchBucket')
  const key = '<Delete><Object><Key>other</Key></Object></Delete>'
  const md5 = createHash('md5').update(key).digest('base64')
  const asked = {
    method: 'POST',
    path: '/unread?delete',
    body: key,
    headers: { 'content-md5': md5 },
  }
  const perKey = async (who: TestKey | null) => {
    const { status, body } = await signed({ ...asked, key: who })
    return `${status} ${/<(Deleted|Error)>/.exec(body)?.[1]}`
  }
  t.equal(await perKey(MAIN), '200 Error', 'the owner is judged by each key')
  await setPolicy('unread', [allow('s3:DeleteObject*', 'unread/open/*')])
  for (const [who, one] of STRANGERS) t.equal(await perKey(one), '200 Error', who)
  await signed({ method: 'DELETE', path: '/unread?policy' })
  for (const [who, one] of STRANGERS) t.equal(await early('unread', one), '403 AccessDenied', who)
  await swift('POST', '/unread', { headers: { 'x-container-write': 'test2:tester2' } })
  t.equal(await perKey(OTHER), '200 Deleted', 'whom Swift’s list lets write')
  t.equal(await early('unread', GUEST), '403 AccessDenied')
  const headers = { 'x-amz-acl': 'public-read-write' }
  t.equal((await signed({ method: 'PUT', path: '/unread?acl', headers })).status, 200)
  t.equal(await perKey(GUEST), '200 Deleted', 'whom a list lets')
})

t.test('a condition on what listings ask for says nothing of other requests', async (t) => {
  const home = { Condition: { StringEquals: { 's3:prefix': 'home/' } } }
  await bucket('prefixed', [allow('s3:*', 'prefixed*', home)])
  for (const [who, key] of STRANGERS) {
    t.equal(await answer({ path: '/prefixed/secret?prefix=home%2F', key }), '403 AccessDenied', who)
  }
})

t.test('whoever may delete versions may not bypass governance without the right to', async (t) => {
  const headers = { 'x-amz-bucket-object-lock-enabled': 'true' }
  t.equal((await signed({ method: 'PUT', path: '/locked', headers })).status, 200)
  const until = new Date(Date.now() + 3600_000).toISOString()
  const lock = {
    'x-amz-object-lock-mode': 'GOVERNANCE',
    'x-amz-object-lock-retain-until-date': until,
  }
  const put = await signed({
    method: 'PUT',
    path: '/locked/o',
    body: 'x',
    headers: { ...lock, 'content-md5': 'ndTkYWTEQCLbTGHvdLbZVQ==' },
  })
  const put2 =
    put.status === 200
      ? put
      : await signed({ method: 'PUT', path: '/locked/o', body: 'x', headers: lock })
  const version = put2.headers['x-amz-version-id']
  const body = JSON.stringify({
    Version: '2012-10-17',
    Statement: [allow('s3:DeleteObjectVersion', 'locked/*')],
  })
  t.equal((await signed({ method: 'PUT', path: '/locked?policy', body })).status, 204)
  for (const [who, key] of STRANGERS) {
    const bypass = { 'x-amz-bypass-governance-retention': 'true' }
    t.equal(
      await answer({
        method: 'DELETE',
        path: `/locked/o?versionId=${version}`,
        headers: bypass,
        key,
      }),
      '403 AccessDenied',
      who,
    )
  }
})

t.test('the days that a lock has left are not the client’s to say', async (t) => {
  const cond = {
    Condition: { NumericLessThan: { 's3:object-lock-remaining-retention-days': '1' } },
  }
  await bucket('days', [allow('s3:GetObject', 'days/*', cond)])
  const headers = { 'x-amz-object-lock-remaining-retention-days': '0' }
  for (const [who, key] of STRANGERS) {
    t.equal(await answer({ path: '/days/secret', headers, key }), '403 AccessDenied', who)
  }
})

t.test('what a policy denies is not done by a header of a write, either', async (t) => {
  await bucket('beside', [
    allow('s3:PutObject', 'beside/*'),
    deny('s3:PutObjectAcl', 'beside/*'),
    deny('s3:PutObjectTagging', 'beside/*'),
  ])
  const lock = {
    method: 'PUT',
    path: '/locked-by-others',
    headers: { 'x-amz-bucket-object-lock-enabled': 'true' },
  }
  t.equal((await signed(lock)).status, 200)
  const body = JSON.stringify({
    Version: '2012-10-17',
    Statement: [allow('s3:PutObject', 'locked-by-others/*')],
  })
  t.equal((await signed({ method: 'PUT', path: '/locked-by-others?policy', body })).status, 204)
  const md5 = { 'content-md5': 'nd35tRGAr8D4obHtPjNmxA==' }
  for (const [who, key] of STRANGERS) {
    const put = { method: 'PUT', path: '/beside/o', body: 'x', key }
    t.equal(await answer(put), '200', `${who} writes`)
    t.equal(
      await answer({ ...put, headers: { 'x-amz-acl': 'public-read' } }),
      '403 AccessDenied',
      who,
    )
    t.equal(await answer({ ...put, headers: { 'x-amz-tagging': 'a=b' } }), '403 AccessDenied', who)
    const held = { ...md5, 'x-amz-object-lock-legal-hold': 'ON' }
    const there = { ...put, path: '/locked-by-others/o' }
    t.equal(await answer(there), '200', `${who} writes there`)
    t.equal(await answer({ ...there, headers: held }), '403 AccessDenied', who)
    const until = new Date(Date.now() + 3600_000).toISOString()
    const kept = {
      'x-amz-object-lock-mode': 'COMPLIANCE',
      'x-amz-object-lock-retain-until-date': until,
    }
    t.equal(await answer({ ...there, headers: { ...md5, ...kept } }), '403 AccessDenied', who)
  }
})

t.test('tags and lists go along where policies let them, in copies and renamings', async (t) => {
  await bucket('tagged')
  await bucket('theirs-tagged')
  const tags = (x: string) => ({ 'x-amz-tagging': `x=${x}` })
  const put = (path: string, headers: Readonly<Record<string, string>> = {}, key = OTHER) =>
    answer({ method: 'PUT', path, headers, key, body: headers['x-amz-copy-source'] ? '' : 'x' })
  t.match(await put('/tagged/own', tags('1'), MAIN), /^200/)
  t.equal(await answer({ method: 'PUT', path: '/others-tagged', key: OTHER }), '200')
  t.match(await put('/others-tagged/own', tags('2')), /^200/)
  const copy = (from: string, to: string, more: Readonly<Record<string, string>> = {}) =>
    put(to, { 'x-amz-copy-source': from, ...more })
  const replace = { 'x-amz-tagging-directive': 'REPLACE' }
  await setPolicy('tagged', [allow('s3:GetObject', 'tagged/*')])
  t.equal(
    await copy('tagged/own', '/others-tagged/copy'),
    '403 AccessDenied',
    'who may not read tags',
  )
  t.match(await copy('tagged/own', '/others-tagged/copy', replace), /^200/)
  t.match(await copy('tagged/secret', '/others-tagged/copy'), /^200/, 'there are none')
  await setPolicy('tagged', [allow('s3:GetObject*', 'tagged/*')])
  t.match(await copy('tagged/own', '/others-tagged/copy'), /^200/)

  const writes = allow('s3:*', 'theirs-tagged/*')
  const wanted = { Condition: { StringEquals: { 's3:RequestObjectTag/x': '1' } } }
  await setPolicy('theirs-tagged', [{ ...writes, ...wanted }])
  t.match(
    await copy('tagged/own', '/theirs-tagged/a', tags('1')),
    /^403/,
    'the header does not count',
  )
  await setPolicy('theirs-tagged', [writes, deny('s3:PutObject', 'theirs-tagged/*', wanted)])
  t.equal(await copy('tagged/own', '/theirs-tagged/a'), '403 AccessDenied')
  t.match(await copy('others-tagged/own', '/theirs-tagged/a'), /^200/)
  await setPolicy('theirs-tagged', [writes, deny('s3:PutObjectTagging', 'theirs-tagged/shut/*')])
  t.equal(await copy('tagged/own', '/theirs-tagged/shut/a'), '403 AccessDenied')
  t.match(await copy('tagged/secret', '/theirs-tagged/shut/a'), /^200/)
  const rename = (from: string, to: string) =>
    put(`/theirs-tagged/${to}?renameObject`, { 'x-amz-rename-source': from })
  t.equal(await rename('a', 'shut/b'), '403 AccessDenied')
  t.equal(await answer({ path: '/theirs-tagged/shut/b' }), '404 NoSuchKey')
  t.equal(await rename('a', 'b'), '200')
  t.match(await put('/theirs-tagged/public', { 'x-amz-acl': 'public-read' }), /^200/)
  await setPolicy('theirs-tagged', [writes, deny('s3:PutObjectAcl', 'theirs-tagged/shut/*')])
  t.equal(await rename('public', 'shut/c'), '403 AccessDenied')
  t.equal(await rename('public', 'c'), '200')
})

t.test('a query reads the version that its rights were asked for', async (t) => {
  await bucket('queried')
  const versioning = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
  await signed({ method: 'PUT', path: '/queried?versioning', body: versioning })
  const put = (body: string) => signed({ method: 'PUT', path: '/queried/o', body })
  const { headers } = await put('old')
  const version = String(headers['x-amz-version-id'])
  await put('new')
  await setPolicy('queried', [
    allow('s3:GetObjectVersion', 'queried/*', {
      Condition: { StringEquals: { 's3:VersionId': version } },
    }),
  ])
  const body =
    '<SelectObjectContentRequest><Expression>select * from s3object</Expression><ExpressionType>SQL</ExpressionType><InputSerialization><CSV/></InputSerialization><OutputSerialization><CSV/></OutputSerialization></SelectObjectContentRequest>'
  const select = async (more: string) => {
    const path = `/queried/o?select&select-type=2${more}`
    const told = await signed({ method: 'POST', path, body, key: OTHER })
    return `${told.status} ${/(?:old|new)\n/.exec(told.body)?.[0].trim() ?? told.code}`
  }
  t.equal(await select(''), '403 AccessDenied')
  t.equal(await select(`&versionId=${version}`), '200 old')
})

t.test('an object whose tag is right is not denied for lacking it', async (t) => {
  const untagged = { Condition: { StringNotEquals: { 's3:ExistingObjectTag/ok': 'yes' } } }
  await bucket('tags', [allow('s3:GetObject', 'tags/*'), deny('s3:GetObject', 'tags/*', untagged)])
  t.equal(
    (
      await signed({
        method: 'PUT',
        path: '/tags/good',
        body: 'good',
        headers: { 'x-amz-tagging': 'ok=yes' },
      })
    ).status,
    200,
  )
  t.equal(await answer({ path: '/tags/good', key: OTHER }), '200 good')
  t.equal(await answer({ path: '/tags/good' }), '200 good', 'nor is the owner')
  t.equal(await answer({ path: '/tags/secret', key: OTHER }), '403 AccessDenied')
})

t.test('tags of an object count for what AWS says, and for no deletion or new data', async (t) => {
  const secret = { Condition: { StringEquals: { 's3:ExistingObjectTag/class': 'secret' } } }
  await bucket('by-tag')
  const versions = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
  await signed({ method: 'PUT', path: '/by-tag?versioning', body: versions })
  const put = (tag: string) => {
    const headers = { 'x-amz-tagging': `class=${tag}` }
    return signed({ method: 'PUT', path: `/by-tag/${tag}`, body: 'o', headers })
  }
  const ids = { secret: '', open: '' }
  for (const tag of ['secret', 'open'] as const)
    ids[tag] = `${(await put(tag)).headers['x-amz-version-id']}`
  await setPolicy('by-tag', [deny('s3:*', 'by-tag/*', secret)])
  const tags = '<Tagging><TagSet><Tag><Key>class</Key><Value>open</Value></Tag></TagSet></Tagging>'
  const acl = { 'x-amz-acl': 'private' }
  const asks: readonly (Partial<SignedRequest> & { readonly query?: string })[] = [
    {},
    { method: 'HEAD' },
    { query: 'acl' },
    { query: 'attributes', headers: { 'x-amz-object-attributes': 'ETag' } },
    { query: 'tagging' },
    { method: 'PUT', query: 'acl', headers: acl },
    { method: 'PUT', query: 'tagging', body: tags },
  ]
  for (const { query = '', ...asked } of asks) {
    const what = `${asked.method ?? 'GET'} ${query}`
    for (const tag of ['secret', 'open'] as const) {
      for (const version of ['', `versionId=${ids[tag]}`]) {
        const parameters = [query, version].filter((one) => one !== '').join('&')
        const { status } = await signed({ ...asked, path: `/by-tag/${tag}?${parameters}` })
        t.equal(status, tag === 'open' ? 200 : 403, `${what} ${tag} ${version}`)
      }
    }
  }
  const headers = { 'x-amz-copy-source': 'by-tag/secret' }
  t.equal((await signed({ method: 'PUT', path: '/by-tag/copy', headers })).status, 403)
  t.equal((await signed({ method: 'DELETE', path: '/by-tag/secret?tagging' })).status, 403)
  t.equal((await signed({ method: 'DELETE', path: '/by-tag/open?tagging' })).status, 204)
  t.equal((await put('secret')).status, 200)
  t.equal((await signed({ method: 'DELETE', path: '/by-tag/secret' })).status, 204)
  const old = `/by-tag/secret?versionId=${ids.secret}`
  t.equal((await signed({ method: 'DELETE', path: old })).status, 204)
})

t.test('what IgnorePublicAcls ignores is so for Swift’s ACLs, by both APIs', async (t) => {
  await bucket('blocked')
  t.equal(
    (await swift('POST', '/blocked', { headers: { 'x-container-read': '.r:*' } })).status,
    204,
  )
  const open = `${store.url}/v1/AUTH_test/blocked/secret`
  t.equal((await fetch(open)).status, 200)
  const body =
    '<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>'
  t.equal((await signed({ method: 'PUT', path: '/blocked?publicAccessBlock', body })).status, 200)
  for (const [who, key] of STRANGERS) {
    t.equal(await answer({ path: '/blocked/secret', key }), '403 AccessDenied', `S3: ${who}`)
  }
  t.equal((await fetch(open)).status, 401, 'IgnorePublicAcls, for nobody by Swift')
})

t.test('a policy binds the owner, who can always take it back', async (t) => {
  await bucket('shut', [deny('s3:*', 'shut*')])
  t.equal(await answer({ path: '/shut/secret', key: MAIN }), '403 AccessDenied')
  t.equal(await answer({ method: 'DELETE', path: '/shut?policy' }), '204')
  t.equal(await answer({ path: '/shut/secret', key: MAIN }), '200 secret')
})

t.test(
  'a Deny binds Swift’s API, too: for the owner, for who has an ACL, and for nobody',
  async (t) => {
    await bucket('both')
    const acl = { 'x-container-read': '.r:*,.rlistings' }
    t.equal((await swift('POST', '/both', { headers: acl })).status, 204, 'before the policy')
    await setPolicy('both', [
      deny('s3:GetObject', 'both/secret'),
      deny('s3:DeleteObject', 'both/*'),
      deny('s3:PutObject', 'both/kept/*'),
      deny('s3:PutBucketAcl', 'both'),
      deny('s3:DeleteBucket', 'both'),
      deny('s3:ListBucket', 'both', { Condition: { StringNotLike: { 's3:prefix': 'open/*' } } }),
    ])
    await swift('PUT', '/elsewhere')
    const link = { 'x-symlink-target': 'both/secret' }
    t.equal((await swift('PUT', '/elsewhere/link', { headers: link })).status, 201)
    const manifest = { 'x-object-manifest': 'both/sec' }
    t.equal((await swift('PUT', '/elsewhere/dlo', { headers: manifest })).status, 201)
    const from = (source: string) => ({ 'x-copy-from': source })
    const soon = { 'x-delete-after': '1' }
    const asks: readonly (readonly [number, string, string, Record<string, string>?])[] = [
      [403, 'GET', '/both/secret'],
      [403, 'HEAD', '/both/secret'],
      [200, 'GET', '/both/open/o'],
      [403, 'DELETE', '/both/open/o'],
      [403, 'POST', '/both/open/o', soon],
      [202, 'POST', '/both/open/o', { 'x-object-meta-a': 'b' }],
      [403, 'PUT', '/both/open/o', soon],
      [403, 'PUT', '/both/kept/o'],
      [403, 'POST', '/both/kept/o'],
      [403, 'COPY', '/both/secret', { destination: 'elsewhere/copy' }],
      [403, 'COPY', '/both/open/o', { destination: 'both/kept/o' }],
      [403, 'PUT', '/elsewhere/copy', from('both/secret')],
      [201, 'PUT', '/elsewhere/copy', from('both/open/o')],
      [403, 'GET', '/elsewhere/link'],
      [403, 'GET', '/elsewhere/dlo'],
      [403, 'GET', '/both'],
      [403, 'HEAD', '/both'],
      [200, 'GET', '/both?prefix=open/'],
      [403, 'POST', '/both', { 'x-container-write': '*:*' }],
      [403, 'POST', '/both', { 'x-container-meta-temp-url-key': 'mine' }],
      [403, 'PUT', '/both', { 'x-container-read': '' }],
      [204, 'POST', '/both', { 'x-container-meta-colour': 'red' }],
      [403, 'DELETE', '/both'],
    ]
    for (const [status, method, path, headers = {}] of asks) {
      const init = { headers, ...(method === 'PUT' && { body: '' }) }
      t.equal((await swift(method, path, init)).status, status, `${method} ${path}`)
    }
    const url = `${store.url}/v1/AUTH_test/both`
    t.equal((await fetch(`${url}/secret`)).status, 401, 'for nobody')
    t.equal((await fetch(`${url}/open/o`)).status, 200, 'who may read what is not denied')
    t.equal((await fetch(url)).status, 401, 'a list for nobody')
    const bulk = await fetch(`${store.url}/v1/AUTH_test?bulk-delete`, {
      method: 'POST',
      headers: { 'x-auth-token': token, 'content-type': 'text/plain', accept: 'application/json' },
      body: '/both/open/o',
    })
    t.match(await bulk.text(), /403 Forbidden/, 'many at once')
    t.equal((await signed({ method: 'DELETE', path: '/both?policy' })).status, 204)
    t.equal(
      (await swift('GET', '/both/secret')).status,
      200,
      'and what is taken back is so at once',
    )
  },
)

t.test('a Deny by address, by person and by signed URLs is the same for Swift’s API', async (t) => {
  const here = { Condition: { IpAddress: { 'aws:SourceIp': ['127.0.0.0/8', '::1/128'] } } }
  const away = { Condition: { NotIpAddress: { 'aws:SourceIp': ['127.0.0.0/8', '::1/128'] } } }
  await bucket('places', [deny('s3:GetObject', 'places/secret', here)])
  t.equal((await swift('GET', '/places/secret')).status, 403)
  const key = { 'x-account-meta-temp-url-key': 'k' }
  t.equal((await swift('POST', '', { headers: key })).status, 204)
  const expires = String(Math.floor(Date.now() / 1000) + 600)
  const path = '/v1/AUTH_test/places/secret'
  const sig = createHmac('sha256', 'k').update(`GET\n${expires}\n${path}`).digest('hex')
  const tempUrl = `${store.url}${path}?temp_url_sig=${sig}&temp_url_expires=${expires}`
  t.equal((await fetch(tempUrl)).status, 401, 'a temporary URL')
  await setPolicy('places', [deny('s3:GetObject', 'places/secret', away)])
  t.equal((await swift('GET', '/places/secret')).status, 200, 'from where it is let')
  t.equal((await fetch(tempUrl)).status, 200)
  const others = deny('s3:*', 'places/*', { Principal: { AWS: 'arn:aws:iam::AUTH_test2:root' } })
  await setPolicy('places', [others])
  t.equal((await swift('GET', '/places/secret')).status, 200, 'who is not meant')
  await setPolicy('places', [{ ...others, Principal: { AWS: 'AUTH_test' } }])
  t.equal((await swift('GET', '/places/secret')).status, 403, 'who is')
  t.equal((await fetch(tempUrl)).status, 401, 'and whoever has the account’s key')
})

t.test('a Deny by tags of objects, and of parts of uploads, holds for Swift’s API', async (t) => {
  const secret = { Condition: { StringEquals: { 's3:ExistingObjectTag/class': 'secret' } } }
  await bucket('classes', [deny('s3:GetObject', 'classes/*', secret)])
  const tagged = { 'x-amz-tagging': 'class=secret' }
  await signed({ method: 'PUT', path: '/classes/t', body: 't', headers: tagged })
  t.equal((await swift('GET', '/classes/secret')).status, 200, 'without the tag')
  t.equal((await swift('GET', '/classes/t')).status, 403)
  t.equal((await swift('HEAD', '/classes/t')).status, 403)
  t.equal(
    (await swift('COPY', '/classes/t', { headers: { destination: 'elsewhere/t' } })).status,
    403,
  )
  const begun = await signed({ method: 'POST', path: '/classes/big?uploads' })
  const id = /<UploadId>(\w+)</.exec(begun.body)![1]
  const part = await signed({
    method: 'PUT',
    path: `/classes/big?partNumber=1&uploadId=${id}`,
    body: 'part',
  })
  t.equal(part.status, 200)
  const done = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers.etag}</ETag></Part></CompleteMultipartUpload>`
  const body = { method: 'POST', path: `/classes/big?uploadId=${id}`, body: done }
  t.equal((await signed(body)).status, 200)
  const partPath = `/classes%2Bsegments/parts/${id}/00001`
  t.equal((await swift('GET', '/classes/big')).status, 200, 'the whole')
  t.equal((await swift('GET', partPath)).status, 200, 'a part, which nothing denies')
  await setPolicy('classes', [deny('s3:GetObject', 'classes/other')])
  t.equal((await swift('GET', partPath)).status, 403, 'it may be of what is denied')
  const to = { 'x-symlink-target': partPath.slice(1) }
  await swift('PUT', '/elsewhere/part', { headers: to })
  t.equal((await swift('GET', '/elsewhere/part')).status, 403, 'by a link')
  t.equal((await swift('GET', '/classes/big')).status, 200, 'the whole is read as before')
  await swift('PUT', '/elsewhere/mix-1', { headers: { 'x-symlink-target': 'classes/big' } })
  await swift('PUT', '/elsewhere/mix-2', { headers: to })
  await swift('PUT', '/elsewhere/mixed', { headers: { 'x-object-manifest': 'elsewhere/mix-' } })
  t.not(
    await swift('GET', '/elsewhere/mixed')
      .then((res) => res.text())
      .catch(() => 'cut'),
    'partpart',
    'nor behind a link to a whole that may be seen',
  )
  const copied = {
    method: 'PUT',
    path: '/classes/copied',
    headers: { 'x-amz-copy-source': 'elsewhere/part' },
  }
  t.equal(await answer(copied), '403 AccessDenied', 'nor by a copy of S3’s into the bucket')
  t.equal(await answer({ path: '/classes/big' }), '200 part', 'by S3, too')
  await setPolicy('classes', [
    deny('s3:PutObject', 'classes/other'),
    deny('s3:ListBucket', 'classes'),
  ])
  t.equal((await swift('GET', '/classes%2Bsegments')).status, 403, 'what lists them')
  t.equal((await swift('PUT', partPath, { body: 'other' })).status, 403, 'what writes them')
  const again = await signed({ method: 'POST', path: '/classes/big-2?uploads' })
  const second = /<UploadId>(\w+)</.exec(again.body)![1]
  const path = `/classes/big-2?partNumber=1&uploadId=${second}`
  t.equal((await signed({ method: 'PUT', path, body: 'part' })).status, 200, 'S3 writes its own')
  await setPolicy('classes', [deny('s3:GetObject', 'classes/big')])
  t.equal((await swift('GET', '/classes/big')).status, 403)
})

t.test('what a public access block refuses is refused to Swift’s API', async (t) => {
  await bucket('unopened')
  const body =
    '<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>'
  t.equal((await signed({ method: 'PUT', path: '/unopened?publicAccessBlock', body })).status, 200)
  const asks: readonly (readonly [number, Record<string, string>])[] = [
    [403, { 'x-container-read': '.r:*' }],
    [403, { 'x-container-read': '.r:.example.com,.rlistings' }],
    [403, { 'x-container-write': '*:*' }],
    [204, { 'x-container-read': 'test2:tester2' }],
    [204, { 'x-container-read': '.r:-example.com' }],
    [204, { 'x-remove-container-read': 'x' }],
  ]
  for (const [status, headers] of asks) {
    t.equal((await swift('POST', '/unopened', { headers })).status, status, JSON.stringify(headers))
  }
  const put = await swift('PUT', '/unopened', { headers: { 'x-container-read': '.r:*' } })
  t.equal(put.status, 403, 'nor by a PUT')
})

t.test(
  'a condition on a version is about the one that is meant: of a source, of each key',
  async (t) => {
    await bucket('dated')
    const versioning = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
    t.equal(
      (await signed({ method: 'PUT', path: '/dated?versioning', body: versioning })).status,
      200,
    )
    const ids: string[] = []
    for (const text of ['one', 'two', 'three']) {
      const put = await signed({ method: 'PUT', path: '/dated/o', body: text })
      ids.push(put.headers['x-amz-version-id'] as string)
    }
    const only = { Condition: { StringEquals: { 's3:VersionId': ids[0] } } }
    await setPolicy('dated', [
      allow('s3:GetObjectVersion', 'dated/*', only),
      allow('s3:DeleteObjectVersion', 'dated/*', only),
      allow('s3:PutObject', 'dated/in/*'),
    ])
    const copy = (id: string, query = '') => ({
      method: 'PUT',
      path: `/dated/in/copy${query}`,
      headers: { 'x-amz-copy-source': `dated/o?versionId=${id}` },
      key: OTHER,
    })
    t.match(await answer(copy(ids[0]!)), /^200/)
    t.equal(await answer(copy(ids[1]!)), '403 AccessDenied')
    const keys = ids.map((id) => `<Object><Key>o</Key><VersionId>${id}</VersionId></Object>`)
    const body = `<Delete>${keys.join('')}</Delete>`
    const md5 = createHash('md5').update(body).digest('base64')
    const asked = { method: 'POST', path: '/dated?delete', body, headers: { 'content-md5': md5 } }
    const { body: text } = await signed({ ...asked, key: OTHER })
    t.equal(text.match(/<Deleted>/g)?.length, 1, text)
    t.equal(text.match(/AccessDenied/g)?.length, 2)
    t.equal((await signed({ path: `/dated/o?versionId=${ids[1]}` })).status, 200)
  },
)

t.test('the tags of a form are asked about as a header’s are', async (t) => {
  await bucket('formed', [
    allow('s3:PutObject', 'formed/*', {
      Condition: { StringEqualsIfExists: { 's3:RequestObjectTag/class': 'open' } },
    }),
    deny('s3:PutObjectTagging', 'formed/untagged/*'),
  ])
  const form = (key: string, tag?: string) => {
    const data = new FormData()
    data.set('key', key)
    if (tag !== undefined) {
      const pair = `<Tag><Key>class</Key><Value>${tag}</Value></Tag>`
      data.set('tagging', `<Tagging><TagSet>${pair}</TagSet></Tagging>`)
    }
    data.set('file', 'x')
    return fetch(`${store.url}/formed`, { method: 'POST', body: data })
  }
  t.equal((await form('o')).status, 204, 'without tags')
  t.equal((await form('o', 'open')).status, 204)
  t.equal((await form('o', 'secret')).status, 403)
  t.equal((await form('untagged/o')).status, 204)
  t.equal((await form('untagged/o', 'open')).status, 403)
})

t.test(
  'whoever confirms it is shut out of the policy by it, and can still delete the bucket',
  async (t) => {
    const locked = deny('s3:*BucketPolicy', 'confirmed')
    const body = JSON.stringify({ Version: '2012-10-17', Statement: [locked] })
    t.equal((await signed({ method: 'PUT', path: '/confirmed' })).status, 200)
    const put = (headers: Record<string, string>) =>
      answer({ method: 'PUT', path: '/confirmed?policy', body, headers })
    const header = 'x-amz-confirm-remove-self-bucket-access'
    t.equal(await put({}), '204')
    t.equal(await put({ [header]: 'false' }), '204', 'not shut out')
    t.equal(await put({ [header]: 'true' }), '204')
    t.equal(await answer({ path: '/confirmed?policy' }), '403 AccessDenied')
    t.equal(await put({}), '403 AccessDenied')
    t.equal(await answer({ method: 'DELETE', path: '/confirmed?policy' }), '403 AccessDenied')
    t.equal(await answer({ method: 'DELETE', path: '/confirmed' }), '204')
    t.equal(await answer({ method: 'PUT', path: '/confirmed' }), '200')
    t.equal(
      await answer({ path: '/confirmed?policy' }),
      '404 NoSuchBucketPolicy',
      'and begins anew',
    )
  },
)

t.test('an account before a bucket’s name says whose it is, and opens nothing', async (t) => {
  await bucket('named', [allow('s3:ListBucket', 'named'), allow('s3:GetObject', 'named/open/*')])
  await bucket('private-one')
  t.equal(await answer({ method: 'PUT', path: '/theirs', key: OTHER }), '200')
  const asks: readonly (readonly [string, string, TestKey])[] = [
    ['/AUTH_test%3Anamed/open/o', '200 open/o', OTHER],
    ['/%3Anamed/open/o', '200 open/o', OTHER],
    ['/AUTH_test%3Anamed/open/o', '200 open/o', MAIN],
    ['/AUTH_test%3Anamed/secret', '403 AccessDenied', OTHER],
    ['/AUTH_test%3Aprivate-one/secret', '403 AccessDenied', OTHER],
    ['/%3Aprivate-one/secret', '403 AccessDenied', OTHER],
    ['/AUTH_test2%3Anamed/open/o', '404 NoSuchBucket', MAIN],
    ['/AUTH_none%3Anamed/open/o', '404 NoSuchBucket', MAIN],
    ['/.s3%3Abuckets/named', '404 NoSuchBucket', MAIN],
    ['/AUTH_.test%3Anamed/open/o', '404 NoSuchBucket', MAIN],
    ['/AUTH_%3Anamed/open/o', '404 NoSuchBucket', MAIN],
    ['/a%3Ab%3Anamed/open/o', '400 InvalidBucketName', MAIN],
  ]
  for (const [path, wanted, key] of asks) t.equal(await answer({ path, key }), wanted, path)
  t.equal(
    await answer({ method: 'PUT', path: '/AUTH_test%3Afresh', key: OTHER }),
    '400 InvalidBucketName',
  )
  t.equal(await answer({ method: 'PUT', path: '/AUTH_test2%3Afresh', key: OTHER }), '200')
  t.equal(
    await answer({ method: 'DELETE', path: '/AUTH_test%3Anamed', key: OTHER }),
    '403 AccessDenied',
  )
})

/** What follows a path: a URL of Version 2 of MAIN's, good for five minutes. */
function presigned2(method: string, path: string): string {
  const expires = Math.floor(Date.now() / 1000) + 300
  const text = `${method}\n\n\n${expires}\n${path}`
  const signature = createHmac('sha1', MAIN.secretAccessKey).update(text).digest('base64')
  return `${path}?AWSAccessKeyId=${MAIN.accessKeyId}&Expires=${expires}&Signature=${encodeURIComponent(signature)}`
}

t.test('whoever has a URL of Version 2 makes no other request of it', async (t) => {
  await bucket('given-out')
  const ask = async (method: string, path: string, more = '', body = '') => {
    const headers = { host: `127.0.0.1:${store.port}`, 'content-length': String(body.length) }
    const asked = { method, path: `${presigned2(method, path)}${more}`, headers, body }
    const { status, code } = await send(store.port, asked)
    return `${status} ${code}`.trim()
  }
  t.equal(await ask('PUT', '/given-out/dropped', '', 'x'), '200')
  for (const more of [
    'x-amz-copy-source=given-out/secret',
    'renameObject&x-amz-rename-source=secret',
    'x-amz-write-offset-bytes=1',
    'x-amz-acl=public-read',
    'x-amz-storage-class=STANDARD',
    'x-amz-tagging=a%3Db',
    'x-amz-meta-a=b',
    'x-amz-replication-is-here=true',
  ]) {
    const told = await ask('PUT', '/given-out/dropped', `&${more}`, 'y')
    t.equal(told, '403 SignatureDoesNotMatch', more)
  }
  for (const [subject, names] of Object.entries(SUBRESOURCES)) {
    const path = subject === 'object' ? '/given-out/secret' : '/given-out'
    for (const name of names)
      t.equal(await ask('PUT', path, `&${name}`), '403 SignatureDoesNotMatch', `${path}?${name}`)
  }
  t.equal(await answer({ path: '/given-out/secret' }), '200 secret')
  t.equal(await answer({ path: '/given-out/dropped' }), '200 x')
})

t.test('a manifest that Swift’s clients copy takes no parts of another object along', async (t) => {
  await bucket('in-parts')
  await putInParts(s3, { Bucket: 'in-parts', Key: 'whole' }, ['x'.repeat(5 * 1024 * 1024), 'end'])
  const copy = async (name: string) => {
    const headers = { 'x-copy-from': '/in-parts/whole' }
    const path = `/in-parts/${name}?multipart-manifest=get`
    t.equal((await swift('PUT', path, { headers, body: '' })).status, 201, name)
  }
  const parts = async () => {
    const listing = await (await swift('GET', '/in-parts%2Bsegments')).text()
    const names = listing.split('\n').filter((name) => name !== '')
    const heads = names.map((name) => swift('HEAD', `/in-parts%2Bsegments/${name}`))
    const leaving = (await Promise.all(heads)).map(({ headers }) => headers.has('x-delete-at'))
    return leaving.map((one) => (one ? 'goes' : 'stays'))
  }
  await copy('copy')
  t.equal((await answer({ path: '/in-parts/copy' })).slice(0, 5), '200 x')
  t.equal(await answer({ method: 'DELETE', path: '/in-parts/copy' }), '204')
  t.strictSame(await parts(), ['stays', 'stays'])
  await copy('again')
  t.equal(await answer({ method: 'PUT', path: '/in-parts/again', body: 'x' }), '200')
  t.strictSame(await parts(), ['stays', 'stays'])
  await copy('whole')
  t.strictSame(await parts(), ['stays', 'stays'], 'onto itself')
  t.equal(await answer({ method: 'DELETE', path: '/in-parts/whole' }), '204')
  t.strictSame(await parts(), ['goes', 'goes'], 'they are still its own')
})

t.test('what was taken away is so through every proxy once that is answered', async (t) => {
  const { store, signed, swift } = await openS3Rig(t, { versionsSettle: true })
  const beside = await store.openBeside()
  const there = (path: string, key: TestKey | null = null) => sendSigned(beside.port, { path, key })
  for (const name of ['open-one', 'open-two']) {
    await signed({ method: 'PUT', path: `/${name}` })
    await signed({ method: 'PUT', path: `/${name}/o`, body: 'o' })
    await swift('POST', `/${name}`, { headers: { 'x-container-read': '.r:*' } })
    t.equal((await there(`/${name}/o`)).status, 200, 'the other proxy remembers the bucket')
  }
  const policy = { Version: '2012-10-17', Statement: [deny('s3:GetObject', 'open-one/*')] }
  const block =
    '<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>'
  await Promise.all([
    signed({ method: 'PUT', path: '/open-one?policy', body: JSON.stringify(policy) }),
    signed({ method: 'PUT', path: '/open-two?publicAccessBlock', body: block }),
  ])
  t.equal((await there('/open-one/o', MAIN)).status, 403, 'a policy, for the owner')
  t.equal((await there('/open-one/o')).status, 403)
  t.equal((await there('/open-two/o')).status, 403, 'a public access block')
  t.equal((await fetch(`http://127.0.0.1:${beside.port}/v1/AUTH_test/open-two/o`)).status, 401)
})
