/** Ways to get in without rights, past lists, policies and what keeps buckets from being public: through both APIs. */
import t from 'tap'
import { GUEST, MAIN, OTHER, openS3Rig, type SignedRequest, type TestKey } from './s3-store.ts'

const { store, signed, swift } = await openS3Rig(t)
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
  if (policy === undefined) return
  const body = JSON.stringify({ Version: '2012-10-17', Statement: policy })
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
    const md5 = (await import('node:crypto')).createHash('md5').update(body).digest('base64')
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

t.test('a Deny binds Swift’s API, too', { todo: 'not built' }, async (t) => {
  await bucket('both', [deny('s3:GetObject', 'both/*')])
  t.equal((await swift('POST', '/both', { headers: { 'x-container-read': '.r:*' } })).status, 204)
  const url = `${store.url}/v1/AUTH_test/both/secret`
  t.equal((await fetch(url)).status, 401, 'a Deny, for nobody')
  t.equal((await swift('GET', '/both/secret')).status, 403, 'a Deny, for the owner')
})
