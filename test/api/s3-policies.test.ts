/**
 * Policies of an account's own, over a real socket: what can be done to them, what they bind, and whom they bound. The store
 * remembers keys for ever, so that each change that binds has told it so.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { plainProject } from '../../auth/tables/plain-project.ts'
import { projects } from '../../auth/tables/tables.ts'
import { run } from '../support/client-tree.ts'
import { ADMIN_PASSWORD } from '../support/identity-rig.ts'
import { makeS3User, openKeystoneAdmin } from '../support/keystone-admin.ts'
import { element, iamClient, keyIn, policy, type SessionKey } from './iam-client.ts'
import { openKeystoneStore } from './s3-keystone-store.ts'
import { sendSigned } from './s3-store.ts'

const CLOUD = { id: 'c'.repeat(32), name: 'cloud' }
const { rig, store } = await openKeystoneStore(
  t,
  { cloudProjectId: CLOUD.id },
  { remembersKeys: true },
)
await rig.service.parts.state.transaction((tx) => projects.put(tx, plainProject(CLOUD)))
const admin = await openKeystoneAdmin({
  url: `${rig.url}/v3`,
  user: 'admin',
  password: ADMIN_PASSWORD,
  project: 'admin',
})
const keyOf = (user: { readonly accessKey: string; readonly secretKey: string }) => ({
  accessKeyId: user.accessKey,
  secretAccessKey: user.secretKey,
})
const owner = await makeS3User(admin, { name: 'owner', project: 'one', role: 'manager' })
const stranger = await makeS3User(admin, { name: 'stranger', project: 'two', role: 'manager' })
const cloud = await makeS3User(admin, { name: 'cloud', project: CLOUD.name, role: 'manager' })
const ROOT = keyOf(owner)
const THEIRS = keyOf(stranger)
const { call, s3, userKey } = iamClient(store, ROOT)

type Params = Readonly<Record<string, string>>

const arnOf = (type: string, name: string, { account } = owner) =>
  `arn:aws:iam::${account}:${type}/${name}`
const policyArn = (name: string) => arnOf('policy', name)
const BUCKET = ['arn:aws:s3:::policies', 'arn:aws:s3:::policies/*']
const READ = policy('s3:GetObject', BUCKET)
const ALL = policy('s3:*', '*')
const AWS_READ = 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess'
const DENIED = '403 AccessDenied'

/** What came of a call: `done`, or the code of its error. */
async function did(action: string, params: Params = {}, key?: SessionKey): Promise<string> {
  return (await call(action, params, key === undefined ? {} : { key })).outcome
}

/** A policy of the root's account; its ARN. */
async function create(PolicyName: string, PolicyDocument = READ, more: Params = {}) {
  const made = await call('CreatePolicy', { PolicyName, PolicyDocument, ...more })
  assert.equal(made.outcome, 'done', made.text)
  return element(made.text, 'Arn')
}

/** All elements of the name. */
const all = (text: string, name: string) =>
  [...text.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'))].map(([, value]) => value!)

const get = (key: SessionKey, name = 'o') => s3('GET', `/policies/${name}`, key)
const put = (key: SessionKey) => s3('PUT', '/policies/p', key, 'x')

async function roleKey(t: Test, role: string, key: SessionKey, more: Params = {}) {
  const asked = { RoleArn: arnOf('role', role), RoleSessionName: 'me', ...more }
  const answer = await call('AssumeRole', asked, { key, service: 'sts' })
  t.equal(answer.outcome, 'done', answer.text)
  return keyIn(answer.text)
}

const trust = (AWS: string, more: object = {}) =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { AWS }, ...more },
  })

assert.equal(await s3('PUT', '/policies', ROOT), '200')
assert.equal(await s3('PUT', '/policies/o', ROOT, 'secret'), '200')

t.test('a policy is what was sent, and is refused where AWS refuses it', async (t) => {
  const document = `{ "Version": "2012-10-17",\n "Statement": ${READ.slice(READ.indexOf('{"Effect'), -1)} }`
  const made = await call('CreatePolicy', {
    PolicyName: 'Reader',
    Path: '/team/',
    Description: 'reads, “only”',
    PolicyDocument: document,
    'Tags.member.1.Key': 'team',
    'Tags.member.1.Value': 'blue',
  })
  const PolicyArn = policyArn('team/Reader')
  t.equal(element(made.text, 'Arn'), PolicyArn)
  t.match(element(made.text, 'PolicyId'), /^ANPA[A-Z2-7]{17}$/)
  const known = await call('GetPolicy', { PolicyArn })
  t.equal(element(known.text, 'Description'), 'reads, “only”')
  t.equal(element(known.text, 'DefaultVersionId'), 'v1')
  t.equal(element(known.text, 'AttachmentCount'), '0')
  t.equal(element(known.text, 'PermissionsBoundaryUsageCount'), '0')
  t.match(known.text, /<Key>team<\/Key><Value>blue<\/Value>/)
  t.notMatch((await call('ListPolicies', { Scope: 'Local' })).text, /Description|<Tags>/)
  const version = await call('GetPolicyVersion', { PolicyArn, VersionId: 'v1' })
  t.equal(decodeURIComponent(element(version.text, 'Document')), document)

  const long = (count: number) => policy('s3:GetObject', `arn:aws:s3:::${'x'.repeat(count)}`)
  const room = 6144 - long(0).length
  const spaced = (text: string, count = 8000) => text.replaceAll(',', `,${' '.repeat(count)}\n`)
  const cases: readonly (readonly [string, Params, string])[] = [
    ['a name in another case', { PolicyName: 'READER' }, 'EntityAlreadyExists'],
    ['a name of 128', { PolicyName: 'n'.repeat(128) }, 'done'],
    ['a name of 129', { PolicyName: 'n'.repeat(129) }, 'ValidationError'],
    ['no name', { PolicyName: '' }, 'ValidationError'],
    ['a name with a slash', { PolicyName: 'a/b' }, 'ValidationError'],
    ['a path without an end', { PolicyName: 'q', Path: '/a' }, 'ValidationError'],
    ['a path of 513', { PolicyName: 'q', Path: `/${'p'.repeat(511)}/` }, 'ValidationError'],
    ['a long description', { PolicyName: 'q', Description: 'd'.repeat(1001) }, 'ValidationError'],
    ['no JSON', { PolicyName: 'q', PolicyDocument: '{' }, 'MalformedPolicyDocument'],
    ['JSON of another kind', { PolicyName: 'q', PolicyDocument: '[]' }, 'MalformedPolicyDocument'],
    ['a principal', { PolicyName: 'q', PolicyDocument: trust('*') }, 'MalformedPolicyDocument'],
    ['beyond Latin-1', { PolicyName: 'q', PolicyDocument: policy('s3:*', 'Ā') }, 'ValidationError'],
    ['6,144 characters', { PolicyName: 'fits', PolicyDocument: spaced(long(room)) }, 'done'],
    ['6,145', { PolicyName: 'q', PolicyDocument: spaced(long(room + 1)) }, 'LimitExceeded'],
    ['much white space', { PolicyName: 'q', PolicyDocument: spaced(READ, 9000) }, 'LimitExceeded'],
    [
      'white space in a text',
      { PolicyName: 'q', PolicyDocument: long(0).replace(':::', `:::${' '.repeat(7000)}`) },
      'LimitExceeded',
    ],
    [
      'a tag twice',
      { PolicyName: 'q', 'Tags.member.1.Key': 'k', 'Tags.member.2.Key': 'K' },
      'InvalidInput',
    ],
  ]
  for (const [what, params, outcome] of cases)
    t.equal(await did('CreatePolicy', { PolicyDocument: READ, ...params }), outcome, what)
  t.equal(await did('CreatePolicy', { PolicyName: 'q' }), 'ValidationError', 'no document')
  t.equal(await did('GetPolicy', { PolicyArn: policyArn('q') }), 'NoSuchEntity')
  for (const name of ['n'.repeat(128), 'fits', 'team/Reader'])
    t.equal(await did('DeletePolicy', { PolicyArn: policyArn(name) }), 'done')
})

t.test('tags of a policy: put in the place of others, taken away, listed by pages', async (t) => {
  const PolicyArn = await create('tagged')
  const tag = (key: string, value: string, at = 1): Params => ({
    [`Tags.member.${at}.Key`]: key,
    [`Tags.member.${at}.Value`]: value,
  })
  t.equal(await did('TagPolicy', { PolicyArn, ...tag('a', '1'), ...tag('b', '2', 2) }), 'done')
  t.equal(await did('TagPolicy', { PolicyArn, ...tag('a', '3') }), 'done')
  const page = await call('ListPolicyTags', { PolicyArn, MaxItems: '1' })
  t.strictSame(all(page.text, 'Value'), ['3'])
  const Marker = element(page.text, 'Marker')
  t.strictSame(all((await call('ListPolicyTags', { PolicyArn, Marker })).text, 'Value'), ['2'])
  const many = Object.assign(
    {},
    ...Array.from({ length: 49 }, (_, at) => tag(`k${at}`, '', at + 1)),
  )
  t.equal(await did('TagPolicy', { PolicyArn, ...many }), 'LimitExceeded')
  t.equal(await did('UntagPolicy', { PolicyArn, 'TagKeys.member.1': 'a' }), 'done')
  t.strictSame(all((await call('ListPolicyTags', { PolicyArn })).text, 'Key'), ['b'])
  t.equal(await did('TagPolicy', { PolicyArn: AWS_READ, ...tag('a', '1') }), 'AccessDenied')
  t.equal(await did('DeletePolicy', { PolicyArn }), 'done')
})

t.test('an attached policy binds, by its default version of the moment', async (t) => {
  const key = await userKey('ann')
  const PolicyArn = await create('binding')
  const at = { UserName: 'ann', PolicyArn }
  const version = (PolicyDocument: string, SetAsDefault = 'true') =>
    did('CreatePolicyVersion', { PolicyArn, PolicyDocument, SetAsDefault })
  t.equal(await get(key), DENIED)
  t.equal(await did('AttachUserPolicy', at), 'done')
  t.equal(await did('AttachUserPolicy', at), 'done', 'once more is as before')
  t.equal(await get(key), '200')
  t.equal(await put(key), DENIED)
  t.equal(await version(ALL, 'false'), 'done')
  t.equal(await put(key), DENIED, 'a version that is not the default one')
  t.equal(await did('SetDefaultPolicyVersion', { PolicyArn, VersionId: 'v2' }), 'done')
  t.equal(await put(key), '200')
  t.equal(await version(policy('s3:*', '*', 'Deny')), 'done')
  t.equal(await did('AttachUserPolicy', { ...at, PolicyArn: AWS_READ }), 'done')
  t.equal(await get(key), DENIED, 'a Deny wins')
  t.equal(await did('SetDefaultPolicyVersion', { PolicyArn, VersionId: 'v1' }), 'done')
  t.equal(await get(key), '200')
  t.equal(await did('DetachUserPolicy', { ...at, PolicyArn: AWS_READ }), 'done')

  t.equal(await did('DeletePolicy', { PolicyArn }), 'DeleteConflict', 'attached')
  t.equal(await did('DeleteUser', { UserName: 'ann' }), 'DeleteConflict')
  t.equal(await did('DetachUserPolicy', at), 'done')
  t.equal(await did('DetachUserPolicy', at), 'NoSuchEntity')
  t.equal(await get(key), DENIED)
  t.equal(await did('DeletePolicy', { PolicyArn }), 'DeleteConflict', 'further versions')
  t.equal(await did('DeletePolicyVersion', { PolicyArn, VersionId: 'v1' }), 'DeleteConflict')
  for (const VersionId of ['v2', 'v3'])
    t.equal(await did('DeletePolicyVersion', { PolicyArn, VersionId }), 'done')
  t.equal(await did('DeletePolicyVersion', { PolicyArn, VersionId: 'v3' }), 'NoSuchEntity')
  t.equal(await version(READ, 'no'), 'ValidationError')
  t.equal(await version('{}'), 'MalformedPolicyDocument')
  t.equal(await did('SetDefaultPolicyVersion', { PolicyArn, VersionId: '1' }), 'ValidationError')
  t.equal(await version(READ, 'false'), 'done')
  const versions = await call('ListPolicyVersions', { PolicyArn })
  t.strictSame(all(versions.text, 'VersionId'), ['v4', 'v1'], 'no number comes twice')
  t.strictSame(all(versions.text, 'IsDefaultVersion'), ['false', 'true'])
  const page = await call('ListPolicyVersions', { PolicyArn, MaxItems: '1' })
  const rest = { PolicyArn, Marker: element(page.text, 'Marker') }
  t.strictSame(all((await call('ListPolicyVersions', rest)).text, 'VersionId'), ['v1'])
  t.equal(await did('DeletePolicyVersion', { PolicyArn, VersionId: 'v4' }), 'done')
  t.equal(await did('DeletePolicy', { PolicyArn }), 'done')
  t.equal(await did('AttachUserPolicy', at), 'NoSuchEntity')
  t.equal(await create('binding', ALL), PolicyArn)
  t.equal(await get(key), DENIED, 'one of the same name is another')
  t.equal(await did('DeletePolicy', { PolicyArn }), 'done')
})

t.test('a group’s and a role’s bind all who are in it, or take it on', async (t) => {
  const key = await userKey('bea')
  const PolicyArn = await create('shared')
  t.equal(await did('CreateGroup', { GroupName: 'readers' }), 'done')
  t.equal(await did('AddUserToGroup', { GroupName: 'readers', UserName: 'bea' }), 'done')
  t.equal(await did('AttachGroupPolicy', { GroupName: 'readers', PolicyArn }), 'done')
  t.equal(await get(key), '200')
  const trusted = trust(arnOf('user', 'bea'))
  t.equal(
    await did('CreateRole', { RoleName: 'shared', AssumeRolePolicyDocument: trusted }),
    'done',
  )
  const session = await roleKey(t, 'shared', key)
  t.equal(await get(session), DENIED)
  t.equal(await did('AttachRolePolicy', { RoleName: 'shared', PolicyArn }), 'done')
  t.equal(await get(session), '200')
  const sns = policy(['sns:CreateTopic', 'iam:GetUser'])
  const more = { PolicyArn, PolicyDocument: sns, SetAsDefault: 'true' }
  t.equal(await did('CreatePolicyVersion', more), 'done')
  for (const one of [key, session]) {
    t.equal(await get(one), DENIED)
    t.equal(await did('GetUser', { UserName: 'bea' }, one), 'done', 'IAM is bound by it, too')
    const topic = { Version: '2010-03-31', Name: 'shared' }
    t.equal((await call('CreateTopic', topic, { key: one, service: 'sns' })).outcome, 'done')
  }

  const listed = async (params: Params) => {
    const { text } = await call('ListEntitiesForPolicy', { PolicyArn, ...params })
    return ['UserName', 'GroupName', 'RoleName'].flatMap((name) => all(text, name))
  }
  t.equal(await did('AttachUserPolicy', { UserName: 'bea', PolicyArn }), 'done')
  t.strictSame(await listed({}), ['bea', 'readers', 'shared'])
  t.strictSame(await listed({ EntityFilter: 'Role' }), ['shared'])
  t.strictSame(await listed({ EntityFilter: 'AWSManagedPolicy' }), [])
  t.strictSame(await listed({ PathPrefix: '/x/' }), [])
  t.strictSame(await listed({ PolicyUsageFilter: 'PermissionsBoundary' }), [])
  const page = await call('ListEntitiesForPolicy', { PolicyArn, MaxItems: '2' })
  t.equal(element(page.text, 'IsTruncated'), 'true')
  t.strictSame(await listed({ Marker: element(page.text, 'Marker') }), ['bea'])
  t.equal(await did('ListEntitiesForPolicy', { PolicyArn, EntityFilter: 'X' }), 'ValidationError')
  t.equal(element((await call('GetPolicy', { PolicyArn })).text, 'AttachmentCount'), '3')

  t.equal(await did('DetachUserPolicy', { UserName: 'bea', PolicyArn }), 'done')
  t.equal(await did('DetachGroupPolicy', { GroupName: 'readers', PolicyArn }), 'done')
  t.equal(await did('DeleteRole', { RoleName: 'shared' }), 'DeleteConflict')
  t.equal(await did('DetachRolePolicy', { RoleName: 'shared', PolicyArn }), 'done')
  t.strictSame(await listed({}), [])
})

t.test('lists: by scope, path, and use, a page at a time; ten are attached at most', async (t) => {
  t.equal(await did('CreateUser', { UserName: 'cat' }), 'done')
  const names = Array.from({ length: 11 }, (_, at) => `many-${at + 10}`)
  for (const name of names) await create(name, READ, { Path: '/many/' })
  const attach = (PolicyArn: string) => did('AttachUserPolicy', { UserName: 'cat', PolicyArn })
  const arns = names.map((name) => policyArn(`many/${name}`))
  t.equal(await attach(AWS_READ), 'done')
  for (const arn of arns.slice(0, 9)) t.equal(await attach(arn), 'done')
  t.equal(await attach(arns[9]!), 'LimitExceeded')
  const attached = await call('ListAttachedUserPolicies', { UserName: 'cat', PathPrefix: '/many/' })
  t.strictSame(all(attached.text, 'PolicyName'), names.slice(0, 9))
  const first = await call('ListAttachedUserPolicies', { UserName: 'cat', MaxItems: '9' })
  const next = { UserName: 'cat', Marker: element(first.text, 'Marker') }
  const second = await call('ListAttachedUserPolicies', next)
  t.strictSame(all(second.text, 'PolicyName'), ['AmazonS3ReadOnlyAccess'])

  const listed = async (params: Params) => all((await call('ListPolicies', params)).text, 'Arn')
  t.strictSame(await listed({ Scope: 'Local', PathPrefix: '/many/' }), arns)
  t.ok((await listed({ Scope: 'AWS' })).every((arn) => arn.startsWith('arn:aws:iam::aws:policy/')))
  t.strictSame(await listed({ OnlyAttached: 'true', PathPrefix: '/many/' }), arns.slice(0, 9))
  t.ok((await listed({ OnlyAttached: 'true' })).includes(AWS_READ))
  t.strictSame(await listed({ PolicyUsageFilter: 'PermissionsBoundary' }), [])
  const paged: string[] = []
  for (let Marker = ''; ; ) {
    const params = {
      Scope: 'Local',
      PathPrefix: '/many/',
      MaxItems: '4',
      ...(Marker && { Marker }),
    }
    const { text } = await call('ListPolicies', params)
    paged.push(...all(text, 'Arn'))
    if (element(text, 'IsTruncated') === 'false') break
    Marker = element(text, 'Marker')
  }
  t.strictSame(paged, arns)
  for (const [name, value] of Object.entries({
    Scope: 'Mine',
    OnlyAttached: 'yes',
    PolicyUsageFilter: 'X',
    MaxItems: '0',
    PathPrefix: 'many',
  }))
    t.equal(await did('ListPolicies', { [name]: value }), 'ValidationError', name)
})

t.test('two accounts know nothing of each other’s policies', async (t) => {
  const PolicyArn = await create('private', ALL, { Path: '/a/' })
  const here = { PolicyArn, UserName: 'dan', PermissionsBoundary: PolicyArn, VersionId: 'v1' }
  t.equal(await did('CreateUser', { UserName: 'dan' }, THEIRS), 'done')
  for (const action of [
    'GetPolicy',
    'DeletePolicy',
    'GetPolicyVersion',
    'ListPolicyVersions',
    'SetDefaultPolicyVersion',
    'DeletePolicyVersion',
    'ListPolicyTags',
    'TagPolicy',
    'ListEntitiesForPolicy',
    'AttachUserPolicy',
    'DetachUserPolicy',
    'PutUserPermissionsBoundary',
  ])
    t.equal(await did(action, here, THEIRS), 'NoSuchEntity', action)
  const more = { PolicyArn, PolicyDocument: READ }
  t.equal(await did('CreatePolicyVersion', more, THEIRS), 'NoSuchEntity')
  t.equal(await did('CreateUser', { ...here, UserName: 'eve' }, THEIRS), 'NoSuchEntity')
  t.notMatch((await call('ListPolicies', {}, { key: THEIRS })).text, /private/)
  const theirs = { PolicyName: 'private', PolicyDocument: READ }
  t.equal(await did('CreatePolicy', theirs, THEIRS), 'done', 'a name is one’s own')

  const at = { UserName: 'ann', PolicyArn }
  t.equal(await did('AttachUserPolicy', at), 'done')
  const id = element((await call('GetPolicy', { PolicyArn })).text, 'PolicyId')
  for (const [what, arn] of [
    ['another case', PolicyArn.replace('private', 'Private')],
    ['no path', policyArn('private')],
    ['another path', policyArn('b/private')],
    ['a path around', policyArn('a/../a/private')],
    ['another type', arnOf('user', 'a/private')],
    ['AWS’s', 'arn:aws:iam::aws:policy/a/private'],
    ['a wildcard', policyArn('a/priv*')],
    ['no account', 'arn:aws:iam:::policy/a/private'],
    ['its id', id],
  ] as const) {
    for (const action of ['GetPolicy', 'AttachUserPolicy', 'DetachUserPolicy'])
      t.equal(await did(action, { ...at, PolicyArn: arn }), 'NoSuchEntity', `${action} ${what}`)
  }
  t.equal(await did('DetachUserPolicy', at), 'done')
  t.equal(await did('GetPolicy', { PolicyArn: 'policy' }), 'ValidationError')
  for (const action of ['DeletePolicy', 'SetDefaultPolicyVersion'])
    t.equal(await did(action, { PolicyArn: AWS_READ, VersionId: 'v1' }), 'AccessDenied')
})

t.test('whoever may change some policies may not change others, by no name', async (t) => {
  const key = await userKey('fay')
  const weak = await create('weak', READ, { Path: '/dev/' })
  const strong = await create('strong', READ, { Path: '/ops/' })
  const may = policy(
    ['iam:CreatePolicy', 'iam:CreatePolicyVersion', 'iam:SetDefaultPolicyVersion', 'iam:GetPolicy'],
    policyArn('dev/*'),
  )
  const given = { UserName: 'fay', PolicyName: 'p', PolicyDocument: may }
  t.equal(await did('PutUserPolicy', given), 'done')
  const edit = (PolicyArn: string) =>
    did('CreatePolicyVersion', { PolicyArn, PolicyDocument: ALL, SetAsDefault: 'true' }, key)
  t.equal(await edit(weak), 'done')
  for (const arn of [
    strong,
    strong.replace('/ops/', '/OPS/'),
    policyArn('strong'),
    policyArn('dev/strong'),
    policyArn('dev/../ops/strong'),
  ])
    t.not(await edit(arn), 'done', arn)
  const default_ = { PolicyArn: strong, VersionId: 'v1' }
  t.equal(await did('SetDefaultPolicyVersion', default_, key), 'AccessDenied')
  t.equal(await did('GetPolicy', { PolicyArn: policyArn('ops/none') }, key), 'AccessDenied')
  const made = { PolicyName: 'STRONG', Path: '/dev/', PolicyDocument: ALL }
  t.equal(await did('CreatePolicy', made, key), 'EntityAlreadyExists')
  t.equal(element((await call('GetPolicy', { PolicyArn: strong })).text, 'DefaultVersionId'), 'v1')
  t.equal(await did('AttachUserPolicy', { UserName: 'fay', PolicyArn: weak }, key), 'AccessDenied')

  const only = JSON.stringify({
    Version: '2012-10-17',
    Statement: {
      Effect: 'Allow',
      Action: 'iam:*',
      Resource: '*',
      Condition: { ArnEquals: { 'iam:PolicyARN': weak } },
    },
  })
  t.equal(await did('PutUserPolicy', { ...given, PolicyDocument: only }), 'done')
  const self = { UserName: 'fay', PolicyArn: strong }
  t.equal(await did('AttachUserPolicy', self, key), 'AccessDenied')
  const sneaked = { ...given, PolicyName: 'q', PolicyDocument: ALL, PolicyArn: weak }
  t.equal(await did('PutUserPolicy', sneaked, key), 'AccessDenied', 'a parameter that says nothing')
  t.equal(await did('AttachUserPolicy', { ...self, PolicyArn: weak }, key), 'done')
  t.equal(await did('DetachUserPolicy', { ...self, PolicyArn: weak }, key), 'done')
})

t.test('a boundary lets through what it allows, and gives nothing', async (t) => {
  const bounds = await create('bounds', policy(['s3:GetObject', 'sts:*', 'iam:GetUser'], '*'))
  const key = await userKey('gil', { PermissionsBoundary: bounds })
  const shown = await call('GetUser', { UserName: 'gil' })
  t.equal(element(shown.text, 'PermissionsBoundaryArn'), bounds)
  t.notMatch((await call('ListUsers')).text, /PermissionsBoundary/)
  t.equal(await get(key), DENIED, 'it gives nothing')
  const give = (PolicyDocument: string) =>
    did('PutUserPolicy', { UserName: 'gil', PolicyName: 'p', PolicyDocument })
  t.equal(await give(policy('*')), 'done')
  t.equal(await get(key), '200')
  t.equal(await put(key), DENIED)
  t.equal(await did('GetUser', { UserName: 'gil' }, key), 'done')
  t.equal(await did('ListUsers', {}, key), 'AccessDenied')
  const topic = { Version: '2010-03-31', Name: 'bounded' }
  t.not((await call('CreateTopic', topic, { key, service: 'sns' })).outcome, 'done')
  const session = keyIn((await call('GetSessionToken', {}, { key, service: 'sts' })).text)
  t.equal(await put(session), DENIED, 'nor does a session of the user')
  const opened = await sendSigned(store.port, { path: '/policies?session', key })
  t.equal(await get(keyIn(opened.body)), '200')
  t.equal(await put(keyIn(opened.body)), DENIED, 'nor one of the bucket')

  const used = await call('GetPolicy', { PolicyArn: bounds })
  t.equal(element(used.text, 'PermissionsBoundaryUsageCount'), '1')
  t.equal(element(used.text, 'AttachmentCount'), '0')
  const listed = await call('ListPolicies', { PolicyUsageFilter: 'PermissionsBoundary' })
  t.strictSame(all(listed.text, 'Arn'), [bounds])
  t.equal(await did('DeletePolicy', { PolicyArn: bounds }), 'DeleteConflict')

  const wide = { PolicyArn: bounds, PolicyDocument: ALL, SetAsDefault: 'true' }
  t.equal(await did('CreatePolicyVersion', wide), 'done')
  t.equal(await put(key), '200', 'and so does its new version')
  const set = (PermissionsBoundary: string) =>
    did('PutUserPermissionsBoundary', { UserName: 'gil', PermissionsBoundary })
  t.equal(await set(AWS_READ), 'done')
  t.equal(await put(key), DENIED)
  t.equal(await get(key), '200')
  t.equal(await set(policyArn('none')), 'NoSuchEntity')
  t.equal(await did('DeleteUserPermissionsBoundary', { UserName: 'gil' }), 'done')
  t.equal(await put(key), '200')

  const denies = await create('denies', policy('s3:GetObject', '*', 'Deny'))
  const open = JSON.stringify({
    Version: '2012-10-17',
    Statement: {
      Effect: 'Allow',
      Principal: { AWS: arnOf('user', 'gil') },
      Action: ['s3:GetObject', 's3:PutObject'],
      Resource: 'arn:aws:s3:::policies/*',
    },
  })
  t.equal(await set(denies), 'done')
  t.equal(await s3('PUT', '/policies?policy', ROOT, open), '204')
  t.equal(await put(key), '200', 'what a bucket gives to the user goes past it')
  t.equal(await get(key), DENIED, 'but not what it denies')
  t.equal(await s3('DELETE', '/policies?policy', ROOT), '204')
  t.equal(await did('DeleteUserPolicy', { UserName: 'gil', PolicyName: 'p' }), 'done')
  t.equal(await did('DeletePolicy', { PolicyArn: denies }), 'DeleteConflict')
  const { accessKeyId: AccessKeyId } = key
  t.equal(await did('DeleteAccessKey', { UserName: 'gil', AccessKeyId }), 'done')
  t.equal(await did('DeleteUser', { UserName: 'gil' }), 'done', 'whatever bounds them')
  t.equal(await did('DeletePolicy', { PolicyArn: denies }), 'done')
})

t.test('in another account nothing goes past a boundary', async (t) => {
  const key = await userKey('guy', { PermissionsBoundary: AWS_READ })
  const give = { UserName: 'guy', PolicyName: 'p', PolicyDocument: policy('*') }
  t.equal(await did('PutUserPolicy', give), 'done')
  const open = JSON.stringify({
    Version: '2012-10-17',
    Statement: {
      Effect: 'Allow',
      Principal: { AWS: arnOf('user', 'guy') },
      Action: ['s3:GetObject', 's3:PutObject'],
      Resource: 'arn:aws:s3:::others/*',
    },
  })
  t.equal(await s3('PUT', '/others', THEIRS), '200')
  t.equal(await s3('PUT', '/others/o', THEIRS, 'x'), '200')
  t.equal(await s3('PUT', '/others?policy', THEIRS, open), '204')
  t.equal(await s3('GET', '/others/o', key), '200')
  t.equal(await s3('PUT', '/others/o', key, 'y'), DENIED)
  const roles = { named: trust(arnOf('user', 'guy')), any: trust('*') }
  const assumed = async (RoleName: string) => {
    const asked = { RoleArn: arnOf('role', RoleName, stranger), RoleSessionName: 'me' }
    return (await call('AssumeRole', asked, { key, service: 'sts' })).outcome
  }
  for (const [RoleName, AssumeRolePolicyDocument] of Object.entries(roles)) {
    t.equal(await did('CreateRole', { RoleName, AssumeRolePolicyDocument }, THEIRS), 'done')
    t.equal(await assumed(RoleName), 'AccessDenied', RoleName)
  }
  t.equal(await did('DeleteUserPermissionsBoundary', { UserName: 'guy' }), 'done')
  t.equal(await assumed('named'), 'done')
  t.equal(await s3('PUT', '/others/o', key, 'y'), '200')
})

t.test('a role’s boundary holds for its sessions, whatever lets them in', async (t) => {
  const key = await userKey('hal')
  const bounds = await create('role-bounds', policy(['s3:GetObject'], '*'))
  const made = {
    RoleName: 'bounded',
    AssumeRolePolicyDocument: trust(arnOf('user', 'hal')),
    PermissionsBoundary: bounds,
  }
  const role = await call('CreateRole', made)
  t.equal(element(role.text, 'PermissionsBoundaryArn'), bounds)
  t.equal(
    await did('CreateRole', {
      ...made,
      RoleName: 'x',
      PermissionsBoundary: arnOf('policy', 'none'),
    }),
    'NoSuchEntity',
  )
  const all = { RoleName: 'bounded', PolicyName: 'p', PolicyDocument: policy('*') }
  t.equal(await did('PutRolePolicy', all), 'done')
  const session = await roleKey(t, 'bounded', key)
  t.equal(await get(session), '200')
  t.equal(await put(session), DENIED)

  const open = (AWS: string) =>
    JSON.stringify({
      Version: '2012-10-17',
      Statement: {
        Effect: 'Allow',
        Principal: { AWS },
        Action: 's3:PutObject',
        Resource: 'arn:aws:s3:::policies/*',
      },
    })
  const me = `arn:aws:sts::${owner.account}:assumed-role/bounded/me`
  t.equal(await s3('PUT', '/policies?policy', ROOT, open(arnOf('role', 'bounded'))), '204')
  t.equal(await put(session), DENIED, 'what is the role’s is bounded')
  t.equal(await s3('PUT', '/policies?policy', ROOT, open(me)), '204')
  t.equal(await put(session), '200', 'what is the session’s is not')
  t.equal(await s3('DELETE', '/policies?policy', ROOT), '204')

  const next = (RoleName: string, AWS: string) =>
    did('CreateRole', { RoleName, AssumeRolePolicyDocument: trust(AWS) })
  const assume = async (RoleName: string, who: SessionKey) => {
    const asked = { RoleArn: arnOf('role', RoleName), RoleSessionName: 'me' }
    return (await call('AssumeRole', asked, { key: who, service: 'sts' })).outcome
  }
  t.equal(await next('by-role', arnOf('role', 'bounded')), 'done')
  t.equal(await next('by-session', me), 'done')
  t.equal(await next('by-account', owner.account), 'done')
  t.equal(await assume('by-role', session), 'AccessDenied')
  t.equal(await assume('by-session', session), 'done')
  t.equal(await assume('by-account', session), 'AccessDenied')
  const narrow = await roleKey(t, 'bounded', key, { Policy: policy('s3:GetObject') })
  t.equal(await did('DeleteRolePermissionsBoundary', { RoleName: 'bounded' }), 'done')
  t.equal(await assume('by-role', narrow), 'AccessDenied', 'nor past what narrows a session')
  t.equal(await assume('by-role', session), 'done')
  t.equal(await put(session), '200')
  const set = { RoleName: 'bounded', PermissionsBoundary: bounds }
  t.equal(await did('PutRolePermissionsBoundary', set), 'done')
  t.equal(await put(session), DENIED)
})

t.test('who may only make bounded users makes no other, by no parameter', async (t) => {
  const bounds = await create('must', policy('s3:GetObject', '*'))
  const key = await userKey('ivy')
  const statement = {
    Effect: 'Allow',
    Action: ['iam:*User', 'iam:*UserPolicy', 'iam:*UserPermissionsBoundary'],
    Resource: '*',
    Condition: { StringEquals: { 'iam:PermissionsBoundary': bounds } },
  }
  const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement: statement })
  t.equal(await did('PutUserPolicy', { UserName: 'ivy', PolicyName: 'p', PolicyDocument }), 'done')
  const bounded = { UserName: 'jan', PermissionsBoundary: bounds }
  t.equal(await did('CreateUser', { UserName: 'jan' }, key), 'AccessDenied')
  t.equal(
    await did('CreateUser', { ...bounded, PermissionsBoundary: AWS_READ }, key),
    'AccessDenied',
  )
  t.equal(await did('CreateUser', bounded, key), 'done')
  const give = { PolicyName: 'p', PolicyDocument: ALL }
  t.equal(await did('PutUserPolicy', { ...give, UserName: 'jan' }, key), 'done')
  const self = { ...give, UserName: 'ivy' }
  t.equal(await did('PutUserPolicy', self, key), 'AccessDenied')
  t.equal(await did('PutUserPolicy', { ...self, PermissionsBoundary: bounds }, key), 'AccessDenied')
  const wider = { UserName: 'jan', PermissionsBoundary: AWS_READ }
  t.equal(await did('PutUserPermissionsBoundary', wider, key), 'AccessDenied')
})

t.test('a session is narrowed by shared policies, as they are now', async (t) => {
  const key = await userKey('kai')
  const PolicyArn = await create('narrowing')
  const made = { RoleName: 'wide', AssumeRolePolicyDocument: trust(arnOf('user', 'kai')) }
  t.equal(await did('CreateRole', made), 'done')
  const give = { RoleName: 'wide', PolicyName: 'p', PolicyDocument: policy('s3:*') }
  t.equal(await did('PutRolePolicy', give), 'done')
  const both = { 'PolicyArns.member.1.arn': PolicyArn, 'PolicyArns.member.2.arn': AWS_READ }
  const session = await roleKey(t, 'wide', key, { 'PolicyArns.member.1.arn': PolicyArn })
  const wider = await roleKey(t, 'wide', key, both)
  t.equal(await get(session), '200')
  t.equal(await put(session), DENIED)
  t.equal(await s3('GET', '/policies', session), DENIED)
  t.equal(await s3('GET', '/policies', wider), '200')
  const version = { PolicyArn, PolicyDocument: policy('s3:PutObject'), SetAsDefault: 'true' }
  t.equal(await did('CreatePolicyVersion', version), 'done')
  t.equal(await get(session), DENIED)
  t.equal(await put(session), '200')
  t.equal(await did('DeletePolicyVersion', { PolicyArn, VersionId: 'v1' }), 'done')
  t.equal(await did('DeletePolicy', { PolicyArn }), 'done')
  t.equal(await put(session), DENIED, 'a policy that is gone opens nothing')
  t.equal(await s3('GET', '/policies', wider), DENIED, 'nor do the others without it')
  const again = { RoleArn: arnOf('role', 'wide'), RoleSessionName: 'me', ...both }
  const refused = await call('AssumeRole', again, { key, service: 'sts' })
  t.equal(refused.outcome, 'NoSuchEntity')
})

t.test('a simulation says what a request would be told, and to whom it is nothing', async (t) => {
  const own = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: 's3:*', Resource: `arn:aws:s3:::\${aws:username}/*` },
      {
        Effect: 'Deny',
        Action: 's3:Delete*',
        Resource: '*',
        Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } },
      },
    ],
  })
  const PolicyArn = await create('simulated', own)
  const bounds = await create('simulated-bounds', policy(['s3:GetObject', 's3:DeleteObject']))
  const key = await userKey('max')
  t.equal(await did('AttachUserPolicy', { UserName: 'max', PolicyArn }), 'done')
  const actions = { 'ActionNames.member.1': 's3:GetObject', 'ActionNames.member.2': 's3:PutObject' }
  const mine = { 'ResourceArns.member.1': 'arn:aws:s3:::max/o' }
  const PolicySourceArn = arnOf('user', 'max')
  const asked = async (params: Params, action = 'SimulatePrincipalPolicy') => {
    const given = action === 'SimulatePrincipalPolicy' ? { PolicySourceArn } : {}
    const answer = await call(action, { ...actions, ...mine, ...given, ...params })
    return { ...answer, decisions: all(answer.text, 'EvalDecision').join() || answer.code }
  }
  const two = await asked({ 'ResourceArns.member.2': 'arn:aws:s3:::other/o' })
  t.equal(two.decisions, 'allowed,implicitDeny,allowed,implicitDeny')
  t.equal(element(two.text, 'SourcePolicyId'), 'simulated')
  t.equal(element(two.text, 'SourcePolicyType'), 'user-managed')
  const first = await asked({ MaxItems: '1' })
  t.equal(first.decisions, 'allowed')
  const rest = await asked({ Marker: element(first.text, 'Marker') })
  t.strictSame(all(rest.text, 'EvalActionName'), ['s3:PutObject'])

  const deletes = {
    'ActionNames.member.1': 's3:DeleteObject',
    'ActionNames.member.2': 's3:GetObject',
  }
  const context = (value: string) => ({
    'ContextEntries.member.1.ContextKeyName': 'aws:SourceIp',
    'ContextEntries.member.1.ContextKeyType': 'ip',
    'ContextEntries.member.1.ContextKeyValues.member.1': value,
  })
  t.equal((await asked({ ...deletes, ...context('10.1.2.3') })).decisions, 'explicitDeny,allowed')
  t.equal((await asked({ ...deletes, ...context('11.1.2.3') })).decisions, 'allowed,allowed')
  const names = await call('GetContextKeysForPrincipalPolicy', { PolicySourceArn })
  t.match(names.text, /<member>aws:sourceip<\/member><member>aws:username<\/member>/)
  const none = { 'PolicyInputList.member.1': READ }
  t.match((await call('GetContextKeysForCustomPolicy', none)).text, /<ContextKeyNames\/>/)
  const theirs = await call(
    'GetContextKeysForPrincipalPolicy',
    { PolicySourceArn },
    { key: THEIRS },
  )
  t.equal(theirs.outcome, 'NoSuchEntity')
  const unsaid = await asked(deletes)
  t.match(unsaid.text, /<MissingContextValues><member>aws:sourceip<\/member>/)
  const set = { UserName: 'max', PermissionsBoundary: bounds }
  t.equal(await did('PutUserPermissionsBoundary', set), 'done')
  const bounded = await asked({})
  t.equal(bounded.decisions, 'allowed,implicitDeny')
  t.strictSame(all(bounded.text, 'AllowedByPermissionsBoundary'), ['true', 'false'])
  t.equal(await s3('PUT', '/max', ROOT), '200')
  t.equal(await s3('PUT', '/max/o', key, 'x'), DENIED)
  const custom = { 'PolicyInputList.member.1': policy('s3:PutObject') }
  t.equal((await asked(custom, 'SimulateCustomPolicy')).decisions, 'implicitDeny,allowed')

  const long = policy('s3:GetObject', `arn:aws:s3:::${'x'.repeat(40_000)}`)
  for (const [what, params, outcome] of [
    ['no policy', {}, 'InvalidInput'],
    ['a bad one', { 'PolicyInputList.member.1': '{}' }, 'InvalidInput'],
    ['too much', { 'PolicyInputList.member.1': long }, 'LimitExceeded'],
    ['a wildcard', { ...custom, 'ActionNames.member.1': 's3:*' }, 'InvalidInput'],
    ['a bad marker', { ...custom, Marker: 'x' }, 'ValidationError'],
    ['much context', { ...custom, ...context('x'.repeat(5000)) }, 'LimitExceeded'],
    ['a bucket’s policy', { ...custom, ResourcePolicy: READ }, 'NotImplemented'],
  ] as const)
    t.equal((await asked(params, 'SimulateCustomPolicy')).decisions, outcome, what)
  for (const [what, arn] of [
    ['another path', arnOf('user', 'x/max')],
    ['another account', arnOf('user', 'dan', stranger)],
    ['a policy', PolicyArn],
  ] as const)
    t.equal((await asked({ PolicySourceArn: arn })).decisions, 'NoSuchEntity', what)
  const source = { ...actions, PolicySourceArn }
  t.equal(await did('SimulatePrincipalPolicy', source, key), 'AccessDenied')
  t.equal(await did('SimulatePrincipalPolicy', source, THEIRS), 'NoSuchEntity')
})

const PYTHON = '/usr/bin/python3'
const noBoto = spawnSync(PYTHON, ['-c', 'import boto3']).status !== 0 && 'boto3 is not installed'

t.test('boto3 reads every answer', { skip: noBoto }, async (t) => {
  const program = `
import boto3, json, sys
iam = boto3.client('iam', endpoint_url=sys.argv[1])
def document(action):
    return {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': [action], 'Resource': '*'}]}
made = iam.create_policy(PolicyName='boto', Path='/boto/', Description='d', Tags=[{'Key': 'a', 'Value': 'b'}],
    PolicyDocument=json.dumps(document('s3:GetObject')))['Policy']
arn = made['Arn']
iam.get_waiter('policy_exists').wait(PolicyArn=arn)
known = iam.get_policy(PolicyArn=arn)['Policy']
assert known == {**made, 'Description': 'd'}, known
assert known['CreateDate'].year >= 2024 and known['IsAttachable'] is True, known
two = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document('s3:*')), SetAsDefault=True)['PolicyVersion']
assert (two['VersionId'], two['IsDefaultVersion']) == ('v2', True), two
assert iam.get_policy_version(PolicyArn=arn, VersionId='v1')['PolicyVersion']['Document'] == document('s3:GetObject')
pages = iam.get_paginator('list_policy_versions').paginate(PolicyArn=arn, PaginationConfig={'PageSize': 1})
assert list(pages.search('Versions[].VersionId')) == ['v2', 'v1']
iam.create_user(UserName='boto', PermissionsBoundary=arn)
iam.attach_user_policy(UserName='boto', PolicyArn=arn)
user = iam.get_user(UserName='boto')['User']
assert user['PermissionsBoundary']['PermissionsBoundaryArn'] == arn, user
names = iam.get_paginator('list_policies').paginate(PathPrefix='/boto/', PaginationConfig={'PageSize': 1})
assert list(names.search('Policies[].[AttachmentCount, PermissionsBoundaryUsageCount]')) == [[1, 1]]
assert iam.list_entities_for_policy(PolicyArn=arn)['PolicyUsers'][0]['UserId'] == user['UserId']
said = iam.simulate_principal_policy(PolicySourceArn=user['Arn'], ActionNames=['s3:PutObject', 'iam:GetUser'])
assert [one['EvalDecision'] for one in said['EvaluationResults']] == ['allowed', 'implicitDeny'], said
try:
    iam.delete_policy(PolicyArn=arn)
    raise AssertionError('it is attached')
except iam.exceptions.DeleteConflictException:
    pass
iam.untag_policy(PolicyArn=arn, TagKeys=['a'])
assert iam.list_policy_tags(PolicyArn=arn)['Tags'] == []
`
  const env = {
    AWS_ACCESS_KEY_ID: ROOT.accessKeyId,
    AWS_SECRET_ACCESS_KEY: ROOT.secretAccessKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  }
  const { code, output } = await run(PYTHON, ['-c', program, store.url], { env })
  t.equal(code, 0, output)
})

t.test('whoever changes at the same moment leaves no more than there may be', async (t) => {
  const PolicyArn = await create('raced')
  const asked = { PolicyArn, PolicyDocument: READ, SetAsDefault: 'true' }
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, () => did('CreatePolicyVersion', asked)),
  )
  t.equal(outcomes.filter((outcome) => outcome === 'done').length, 4)
  t.equal(outcomes.filter((outcome) => outcome === 'LimitExceeded').length, 4)
  const versions = await call('ListPolicyVersions', { PolicyArn })
  t.strictSame(all(versions.text, 'VersionId'), ['v5', 'v4', 'v3', 'v2', 'v1'])
  t.equal(all(versions.text, 'IsDefaultVersion').filter((value) => value === 'true').length, 1)

  const made = await Promise.all(
    Array.from({ length: 4 }, () =>
      did('CreatePolicy', { PolicyName: 'twin', PolicyDocument: READ }),
    ),
  )
  t.strictSame(
    [...made].sort().slice(0, 3),
    Array.from({ length: 3 }, () => 'EntityAlreadyExists'),
  )
  const twin = policyArn('twin')
  const key = await userKey('lea')
  const at = { UserName: 'lea', PolicyArn: twin }
  for (let round = 0; round < 5; round++) {
    const [attached, deleted] = await Promise.all([
      did('AttachUserPolicy', at),
      did('DeletePolicy', { PolicyArn: twin }),
    ])
    const isThere = attached === 'done'
    t.equal(deleted, isThere ? 'DeleteConflict' : 'done')
    t.equal(await get(key), isThere ? '200' : DENIED, 'nobody keeps what is gone')
    if (isThere) t.equal(await did('DetachUserPolicy', at), 'done')
    else await create('twin')
  }
})

/** A policy of the cloud's account. */
const CLOUDS = 'arn:aws:iam:::policy/whole'
const WHOLE = { UserName: owner.account, PolicyArn: CLOUDS }
const asCloud = (action: string, params: Params) => did(action, params, keyOf(cloud))

t.test('the cloud’s policies bind whole projects; those bound have no part in them', async (t) => {
  const denies = policy('s3:GetObject', '*', 'Deny')
  const made = { PolicyName: 'whole', PolicyDocument: denies }
  t.equal(await asCloud('CreatePolicy', made), 'done')
  t.equal(await get(ROOT), '200')
  t.equal(await asCloud('AttachUserPolicy', WHOLE), 'done')
  t.equal(await get(ROOT), DENIED)
  const bound = { UserName: owner.account, PermissionsBoundary: CLOUDS }
  t.equal(await asCloud('PutUserPermissionsBoundary', bound), 'NoSuchEntity', 'not by boundaries')
  for (const [action, params, outcome] of [
    ['GetPolicy', {}, 'NoSuchEntity'],
    ['CreatePolicyVersion', { PolicyDocument: ALL, SetAsDefault: 'true' }, 'NoSuchEntity'],
    ['AttachUserPolicy', { UserName: 'ann' }, 'NoSuchEntity'],
    ['DetachUserPolicy', WHOLE, 'AccessDenied'],
  ] as const)
    t.equal(await did(action, { PolicyArn: CLOUDS, ...params }), outcome, action)
  const opens = { PolicyArn: CLOUDS, PolicyDocument: policy('iam:*'), SetAsDefault: 'true' }
  t.equal(await asCloud('CreatePolicyVersion', opens), 'done')
  t.equal(await get(ROOT), '200')
})

/** Rows of others, when the project is gone: a policy of another account's, and one of the cloud's with two versions. */
const LEFT: Readonly<Record<string, number>> = {
  'iam-policies': 2,
  'iam-policy-versions': 3,
  'iam-entities.policy': 1,
}

t.test('policies go with the project', async (t) => {
  const left = async () => {
    const { text } = await call('ListPolicies', { Scope: 'Local' }, { key: THEIRS })
    return all(text, 'PolicyName')
  }
  t.strictSame(await left(), ['private'])
  await admin.call('DELETE', `/projects/${owner.projectId}`)
  t.strictSame(await left(), ['private'], 'those of others stay')
  t.equal(await did('GetPolicy', { PolicyArn: policyArn('raced') }), 'InvalidClientTokenId')
  for (const table of Object.keys(LEFT)) {
    const rows = await rig.service.parts.state.scan(table)
    t.equal(rows.length, LEFT[table], table)
  }
  t.equal(await asCloud('DeletePolicyVersion', { ...WHOLE, VersionId: 'v1' }), 'done')
  t.equal(await asCloud('DeletePolicy', WHOLE), 'DeleteConflict')
  t.equal(await asCloud('DetachUserPolicy', WHOLE), 'done', 'of a project that is gone')
  t.equal(await asCloud('DeletePolicy', WHOLE), 'done')
})
