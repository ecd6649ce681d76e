/** IAM and STS over a real socket, signed by hand: who may manage an account, and what keys, sessions and policies open. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, createServer } from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  GetObjectCommand,
  ListDirectoryBucketsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t from 'tap'
import { ADMIN_PASSWORD } from '../support/identity-rig.ts'
import { makeS3User, openKeystoneAdmin } from '../support/keystone-admin.ts'
import { element, iamClient, keyIn, policy, type SessionKey as Session } from './iam-client.ts'
import { openKeystoneStore } from './s3-keystone-store.ts'
import { s3Client, sendSigned, type TestKey } from './s3-store.ts'

const provider = createServer()
provider.listen(0, '127.0.0.1')
await once(provider, 'listening')
const host = `127.0.0.1:${(provider.address() as AddressInfo).port}`
const { rig, store } = await openKeystoneStore(t, { webIdentityHosts: [host] })
t.teardown(() => provider.close())

const admin = await openKeystoneAdmin({
  url: `${rig.url}/v3`,
  user: 'admin',
  password: ADMIN_PASSWORD,
  project: 'admin',
})
const keyOf = (user: { readonly accessKey: string; readonly secretKey: string }): TestKey => ({
  accessKeyId: user.accessKey,
  secretAccessKey: user.secretKey,
})
const owner = await makeS3User(admin, { name: 'owner', project: 'one', role: 'manager' })
const member = await makeS3User(admin, { name: 'member', project: 'one' })
const reader = await makeS3User(admin, { name: 'reader', project: 'one', role: 'reader' })
const stranger = await makeS3User(admin, { name: 'stranger', project: 'two', role: 'manager' })
const ROOT = keyOf(owner)
const AWS_READ = 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess'

const { call, s3, userKey } = iamClient(store, ROOT)

/** Every name is this machine's. */
const onLoopback: LookupFunction = (_host, options, done) => {
  if (options.all === true) done(null, [{ address: '127.0.0.1', family: 4 }])
  else done(null, '127.0.0.1', 4)
}

assert.equal(await s3('PUT', '/iam-bucket', ROOT), '200')
assert.equal(await s3('PUT', '/iam-bucket/o', ROOT, 'secret'), '200')
assert.equal(await s3('PUT', '/theirs', keyOf(stranger)), '200')

t.test('only managers of the project are the account’s root', async (t) => {
  const params = { UserName: 'intruder' }
  t.equal((await call('CreateUser', params, { key: keyOf(member) })).outcome, 'AccessDenied')
  t.equal((await call('CreateUser', params, { key: null })).outcome, 'MissingAuthenticationToken')
  const wrong = { accessKeyId: ROOT.accessKeyId, secretAccessKey: 'wrong' }
  t.equal((await call('CreateUser', params, { key: wrong })).outcome, 'SignatureDoesNotMatch')
  const unknown = { accessKeyId: 'AKIAUNKNOWN', secretAccessKey: 'x' }
  t.equal((await call('CreateUser', params, { key: unknown })).outcome, 'InvalidClientTokenId')
  const changed = await call('GetUser', {}, { body: 'Action=CreateUser&UserName=intruder' })
  t.equal(changed.outcome, 'SignatureDoesNotMatch', 'the body is signed')
  t.equal((await call('CreateUser', params)).outcome, 'done')
  t.equal((await call('GetUser', params, { key: keyOf(stranger) })).outcome, 'NoSuchEntity')
  t.equal((await call('DeleteUser', params)).outcome, 'done')
  t.equal((await call('CreateInstanceProfile')).status, 501)
})

t.test('what an object is tagged with counts for policies of users', async (t) => {
  const of = (Effect: string, Action: string, Condition: object) => ({
    ...{ Effect, Action, Condition },
    Resource: 'arn:aws:s3:::iam-tagged/*',
  })
  const tag = 's3:ExistingObjectTag/team'
  const ours = { StringEquals: { [tag]: 'a' } }
  const Statement = [
    of('Allow', 's3:*Tagging', ours),
    of('Allow', 's3:GetObject', {}),
    of('Deny', 's3:GetObject', { StringNotEquals: { [tag]: 'a' } }),
  ]
  const key = await userKey('tagged')
  const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement })
  const own = { UserName: 'tagged', PolicyName: 'own', PolicyDocument }
  t.equal((await call('PutUserPolicy', own)).outcome, 'done')
  t.equal(await s3('PUT', '/iam-tagged', ROOT), '200')
  const put = (team: string) =>
    s3('PUT', `/iam-tagged/${team}`, ROOT, team, { 'x-amz-tagging': `team=${team}` })
  for (const team of ['a', 'b']) t.equal(await put(team), '200')
  const tags = '<Tagging><TagSet><Tag><Key>team</Key><Value>a</Value></Tag></TagSet></Tagging>'
  for (const [method, query, body] of [
    ['GET', ''],
    ['GET', '?tagging'],
    ['PUT', '?tagging', tags],
    ['DELETE', '?tagging'],
  ] as const) {
    const done = method === 'DELETE' ? '204' : '200'
    t.equal(await s3(method, `/iam-tagged/a${query}`, key, body), done, `${method} ${query}`)
    t.equal(await s3(method, `/iam-tagged/b${query}`, key, body), '403 AccessDenied')
    t.equal(await s3(method, `/iam-tagged/none${query}`, key, body), '403 AccessDenied')
  }
})

t.test('directory buckets: clients make sessions of one bucket by themselves', async (t) => {
  // By hosts: with the address of an endpoint of one's own the SDK makes paths with two slashes.
  const where = {
    endpoint: `http://s3.localhost:${store.port}`,
    forcePathStyle: false,
    requestHandler: { httpAgent: new Agent({ lookup: onLoopback }) },
  }
  const client = s3Client(store.port, ROOT, where)
  const Bucket = 'express--here--x-s3'
  const CreateBucketConfiguration = {
    Location: { Type: 'AvailabilityZone', Name: 'here' },
    Bucket: { Type: 'Directory', DataRedundancy: 'SingleAvailabilityZone' },
  } as const
  // At an endpoint of one's own the SDK wants a session of the bucket to make it, too.
  const plain = s3Client(store.port, ROOT, { ...where, disableS3ExpressSessionAuth: true })
  t.teardown(() => {
    client.destroy()
    plain.destroy()
  })
  await plain.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration }))
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'fast' }))
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'er', WriteOffsetBytes: 4 }))
  await client.send(new CopyObjectCommand({ Bucket, Key: 'c', CopySource: `${Bucket}/k` }))
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: 'c' }))
  t.equal(await Body!.transformToString(), 'faster')
  const { Buckets } = await plain.send(new ListDirectoryBucketsCommand({}))
  t.strictSame(
    Buckets!.map(({ Name }) => Name),
    [Bucket],
  )
})

t.test(
  'a session opens its own bucket only, for what it was asked for, and no more than before',
  async (t) => {
    const session = async (key: Session, bucket = 'iam-bucket', mode = 'ReadWrite') => {
      const { token } = key
      const headers = {
        'x-amz-create-session-mode': mode,
        ...(token !== undefined && { 'x-amz-security-token': token }),
      }
      const answer = await sendSigned(store.port, { path: `/${bucket}?session`, key, headers })
      return answer.status === 200 ? { ...answer, key: keyIn(answer.body) } : { ...answer, key }
    }
    assert.equal(await s3('PUT', '/iam-other', ROOT), '200')
    const { key } = await session(ROOT)
    t.match(key.accessKeyId, /^ASIA/)
    t.equal(await s3('GET', '/iam-bucket/o', key), '200')
    t.equal(await s3('PUT', '/iam-bucket/by-session', key, 'x'), '200')
    const denied = '403 AccessDenied'
    t.equal(await s3('GET', '/iam-other', key), denied)
    t.equal(await s3('PUT', '/iam-other/o', key, 'x'), denied)
    t.equal(await s3('PUT', '/iam-new', key), denied)
    t.equal(await s3('GET', '/', key), denied)
    const source = { 'x-amz-copy-source': '/iam-other/o' }
    t.equal(await s3('PUT', '/iam-bucket/copy', key, '', source), denied)
    t.equal((await session(key)).code, 'AccessDenied', 'no session of a session')
    t.equal((await call('CreateUser', { UserName: 'by-session' }, { key })).outcome, 'AccessDenied')
    t.equal((await call('GetSessionToken', {}, { key, service: 'sts' })).outcome, 'AccessDenied')
    const sns = (action: string, who: Session) => {
      const topic = { Name: 'by-session', TopicArn: `arn:aws:sns::${owner.account}:by-session` }
      const params = { Version: '2010-03-31', ...topic }
      return call(action, params, { key: who, service: 'sns' })
    }
    t.equal((await sns('CreateTopic', ROOT)).outcome, 'done')
    for (const action of ['CreateTopic', 'GetTopicAttributes', 'ListTopics', 'DeleteTopic'])
      t.equal((await sns(action, key)).outcome, 'AuthorizationError', action)
    t.equal((await sns('DeleteTopic', ROOT)).outcome, 'done')

    const { key: reader } = await session(ROOT, 'iam-bucket', 'ReadOnly')
    t.equal(await s3('GET', '/iam-bucket/o', reader), '200')
    t.equal(await s3('PUT', '/iam-bucket/o', reader, 'x'), denied)
    t.equal(await s3('DELETE', '/iam-bucket/o', reader), denied)
    t.equal(await s3('POST', '/iam-bucket?delete', reader, '<Delete/>'), denied)
    const all = '<Delete><Object><Key>o</Key></Object></Delete>'
    t.equal(await s3('POST', '/iam-bucket?delete&select', reader, all), denied)
    t.equal(await s3('POST', '/iam-bucket/o?select&uploads', reader), '501 NotImplemented')
    t.equal(await s3('GET', '/iam-bucket/o', reader), '200')
    t.equal(
      await s3('POST', '/iam-bucket/o?select&select-type=2', reader, '<a/>'),
      '400 MalformedXML',
    )

    const weak = await userKey('weak')
    const { key: weaker } = await session(weak)
    t.equal(await s3('GET', '/iam-bucket/o', weaker), denied, 'nothing that was closed is open')
    t.equal((await session(keyOf(stranger), 'theirs')).status, 200)
    t.equal((await session(ROOT, 'iam-bucket', 'All')).code, 'InvalidArgument')
    t.equal((await session(ROOT, 'no-such-bucket')).code, 'NoSuchBucket')
    t.equal(
      (await sendSigned(store.port, { path: '/iam-bucket?session', key: null })).code,
      'AccessDenied',
    )
    const other = { ...key, token: `${key.token!.slice(0, -2)}AA` }
    t.match(await s3('GET', '/iam-bucket/o', other), /^400 InvalidToken/)
  },
)

t.test('a user has what policies give, and nothing of Swift’s or Keystone’s', async (t) => {
  const key = await userKey('ann')
  t.equal(await s3('GET', '/', key), '403 AccessDenied')
  t.equal(await s3('GET', '/iam-bucket/o', key), '403 AccessDenied')
  t.equal(await s3('PUT', '/anns-bucket', key), '403 AccessDenied')
  const give = (document: string) =>
    call('PutUserPolicy', { UserName: 'ann', PolicyName: 'p', PolicyDocument: document })
  t.equal((await give('{')).outcome, 'MalformedPolicyDocument')
  t.equal((await give(policy('s3:GetObject', 'arn:aws:s3:::iam-bucket/*'))).outcome, 'done')
  t.equal(await s3('GET', '/iam-bucket/o', key), '200')
  t.equal(await s3('GET', '/iam-bucket/none', key), '403 AccessDenied', 'who may not list')
  t.equal(await s3('PUT', '/iam-bucket/o', key, 'x'), '403 AccessDenied')
  t.equal((await give(policy('s3:*'))).outcome, 'done')
  t.equal(await s3('PUT', '/iam-bucket/p', key, 'x'), '200')
  t.equal(await s3('DELETE', '/iam-bucket/p', key), '204')
  t.equal(await s3('PUT', '/anns-bucket', key), '200')
  t.equal(await s3('DELETE', '/anns-bucket', key), '204')
  t.equal(await s3('GET', '/theirs', key), '403 AccessDenied', 'another account')
  t.equal((await call('CreateUser', { UserName: 'x' }, { key })).outcome, 'AccessDenied')
  const tokens = await fetch(`${rig.url}/v3/ec2tokens`, { method: 'POST', body: '{}' })
  t.not(tokens.status, 200)
  const status = (Status: string) =>
    call('UpdateAccessKey', { UserName: 'ann', AccessKeyId: key.accessKeyId, Status })
  t.equal((await status('Inactive')).outcome, 'done')
  t.equal(await s3('GET', '/iam-bucket/o', key), '403 InvalidAccessKeyId')
  t.equal((await status('Active')).outcome, 'done')
  t.equal((await call('DeleteUser', { UserName: 'ann' })).outcome, 'DeleteConflict')
})

t.test('what the store is told to do by itself gives no rights to who tells it', async (t) => {
  const key = await userKey('mover')
  const give = async (PolicyName: string, PolicyDocument: string) => {
    const params = { UserName: 'mover', PolicyName, PolicyDocument }
    t.equal((await call('PutUserPolicy', params)).outcome, 'done')
  }
  const denied = '403 AccessDenied'
  t.equal(await s3('PUT', '/iam-reports', ROOT), '200')
  await give('own', policy('s3:*', ['arn:aws:s3:::iam-bucket', 'arn:aws:s3:::iam-bucket/*']))
  const inventory = (to: string) =>
    `<InventoryConfiguration><Id>i</Id><IsEnabled>true</IsEnabled><IncludedObjectVersions>Current</IncludedObjectVersions><Schedule><Frequency>Weekly</Frequency></Schedule><Destination><S3BucketDestination><Bucket>arn:aws:s3:::${to}</Bucket><Format>CSV</Format><Prefix>in</Prefix></S3BucketDestination></Destination></InventoryConfiguration>`
  const report = (to: string, who = key) =>
    s3('PUT', '/iam-bucket?inventory&id=i', who, inventory(to))
  t.equal(await report('iam-reports'), denied, 'into a bucket that is closed for him')
  t.equal(await report('iam-reports', ROOT), '200')
  t.equal(await report('iam-bucket'), '200')
  await give('reports', policy('s3:PutObject', 'arn:aws:s3:::iam-reports/in/iam-bucket/i/*'))
  t.equal(await report('iam-reports'), '200')

  const role = `arn:aws:iam::${owner.account}:role/mover`
  const rules = `<ReplicationConfiguration><Role>${role}</Role><Rule><ID>r</ID><Status>Enabled</Status><Prefix></Prefix><Destination><Bucket>arn:aws:s3:::away</Bucket></Destination></Rule></ReplicationConfiguration>`
  const replicate = (who: Session) => s3('PUT', '/iam-bucket?replication', who, rules)
  t.equal(await replicate(key), denied, 'read by rights that are not his')
  await give('pass', policy('iam:PassRole', `${role}s`))
  t.equal(await replicate(key), denied, 'another role')
  await give('pass', policy('iam:PassRole', role))
  t.equal(await replicate(key), '400 InvalidRequest', 'there are no versions')
  t.equal(await replicate(ROOT), '400 InvalidRequest')
  const theirs = {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Principal: '*', Action: 's3:*', Resource: 'arn:aws:s3:::theirs' },
    ],
  }
  t.equal(await s3('PUT', '/theirs?policy', keyOf(stranger), JSON.stringify(theirs)), '204')
  t.equal(await s3('PUT', '/theirs?replication', ROOT, rules), denied, 'whatever a policy says')
  t.equal(await s3('DELETE', '/theirs?policy', keyOf(stranger)), '204')

  const topic = async (push: string, who?: Session) => {
    const attribute = { key: 'push-endpoint', value: `https://${push}.example.com/` }
    const params = {
      Version: '2010-03-31',
      Name: 'told',
      'Attributes.entry.1.key': attribute.key,
      'Attributes.entry.1.value': attribute.value,
    }
    return (await call('CreateTopic', params, { key: who ?? ROOT, service: 'sns' })).outcome
  }
  await give('topics', policy('sns:CreateTopic', '*'))
  t.equal(await topic('owners'), 'done')
  t.equal(await topic('owners', key), 'done', 'nothing changes')
  t.equal(await topic('movers', key), 'AuthorizationError')
  await give('topics', policy(['sns:CreateTopic', 'sns:SetTopicAttributes'], '*'))
  t.equal(await topic('movers', key), 'done')
})

t.test('a Deny wins over all that groups and policies allow', async (t) => {
  const key = await userKey('bob')
  const named = { UserName: 'bob' }
  t.equal((await call('CreateGroup', { GroupName: 'all' })).outcome, 'done')
  t.equal((await call('AddUserToGroup', { GroupName: 'ALL', ...named })).outcome, 'done')
  const PolicyArn = 'arn:aws:iam::aws:policy/AmazonS3FullAccess'
  t.equal((await call('AttachGroupPolicy', { GroupName: 'all', PolicyArn })).outcome, 'done')
  t.equal(await s3('GET', '/iam-bucket/o', key), '200')
  const deny = { ...named, PolicyName: 'd', PolicyDocument: policy('s3:GetObject', '*', 'Deny') }
  t.equal((await call('PutUserPolicy', deny)).outcome, 'done')
  t.equal(await s3('GET', '/iam-bucket/o', key), '403 AccessDenied')
  t.equal(await s3('GET', '/iam-bucket', key), '200')
})

t.test(
  'a role is taken on by those whom it trusts, for a time, and no wider than the session',
  async (t) => {
    const key = await userKey('eve')
    const arn = `arn:aws:iam::${owner.account}:user/eve`
    const trust = (AWS: string) =>
      JSON.stringify({
        Version: '2012-10-17',
        Statement: { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { AWS } },
      })
    const role = { RoleName: 'reader', AssumeRolePolicyDocument: trust(arn) }
    const made = await call('CreateRole', role)
    const RoleArn = element(made.text, 'Arn')
    const grant = { RoleName: 'reader', PolicyName: 'p', PolicyDocument: policy('s3:*') }
    t.equal((await call('PutRolePolicy', grant)).outcome, 'done')
    const assume = (who: Session, more: Readonly<Record<string, string>> = {}) =>
      call('AssumeRole', { RoleArn, RoleSessionName: 'me', ...more }, { key: who, service: 'sts' })
    t.equal((await assume(keyOf(stranger))).outcome, 'AccessDenied')
    const whole = keyIn((await assume(key)).text)
    const asAccount = async (name: string, Principal: object, operators = 'AccessDenied') => {
      const document = JSON.parse(trust(arn))
      document.Statement.Principal = Principal
      const changed = { RoleName: 'reader', PolicyDocument: JSON.stringify(document) }
      t.equal((await call('UpdateAssumeRolePolicy', changed)).outcome, 'done')
      for (const [who, wanted] of [
        [ROOT, 'done'],
        [keyOf(member), operators],
        [keyOf(reader), 'AccessDenied'],
        [key, 'AccessDenied'],
      ] as const)
        t.equal((await assume(who)).outcome, wanted, `${name} is trusted`)
    }
    const { account } = owner
    await asAccount('the root', { AWS: `arn:aws:iam::${account}:root` })
    await asAccount('the account', { AWS: account })
    await asAccount('the canonical id', { CanonicalUser: account })
    await asAccount('the project', { AWS: `arn:aws:iam:::user/${account}` }, 'done')
    const back = { RoleName: 'reader', PolicyDocument: trust(arn) }
    t.equal((await call('UpdateAssumeRolePolicy', back)).outcome, 'done')
    for (const name of [
      'PolicyArns.member.1',
      'PolicyArns.member.1.Arn',
      'PolicyArns.1.arn',
      'policy',
    ])
      t.equal((await assume(key, { [name]: AWS_READ })).outcome, 'ValidationError', name)
    t.equal(await s3('GET', '/iam-bucket/o', whole), '200')
    t.equal(await s3('GET', '/theirs', whole), '403 AccessDenied')
    const narrow = keyIn((await assume(key, { Policy: policy('s3:ListBucket') })).text)
    t.equal(await s3('GET', '/iam-bucket', narrow), '200')
    t.equal(await s3('GET', '/iam-bucket/o', narrow), '403 AccessDenied')
    const { token: _token, ...bare } = whole
    t.equal(await s3('GET', '/iam-bucket/o', bare), '403 InvalidAccessKeyId')
    t.equal(
      await s3('GET', '/iam-bucket/o', { ...whole, token: narrow.token! }),
      '400 InvalidToken',
    )
    t.equal(await s3('GET', '/iam-bucket/o', { ...whole, token: 'forged' }), '400 InvalidToken')
    const who = await call('GetCallerIdentity', {}, { key: whole, service: 'sts' })
    t.match(element(who.text, 'Arn'), /^arn:aws:sts::AUTH_\w+:assumed-role\/reader\/me$/)
    t.equal((await assume(key, { DurationSeconds: '43200' })).outcome, 'ValidationError')
    t.equal(
      (await call('DeleteRolePolicy', { RoleName: 'reader', PolicyName: 'p' })).outcome,
      'done',
    )
    t.equal(
      await s3('GET', '/iam-bucket/o', whole),
      '403 AccessDenied',
      'its policies are those of now',
    )
    t.equal((await call('DeleteRole', { RoleName: 'reader' })).outcome, 'done')
    t.equal(await s3('GET', '/iam-bucket/o', whole), '403 InvalidAccessKeyId')
  },
)

t.test('a web identity is whom its provider says, and nobody else', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('RS256')
  const stolen = await generateKeyPair('RS256')
  const issuer = `http://${host}`
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'RS256' }] }
  provider.on('request', (req, res) => {
    const known = req.url === '/keys' ? keys : { issuer, jwks_uri: `${issuer}/keys` }
    res.setHeader('content-type', 'application/json').end(JSON.stringify(known))
  })
  const jwt = (key: typeof privateKey, claims: object = {}, expires = '1h') =>
    new SignJWT({ team: 'a', ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'k' })
      .setIssuer(issuer)
      .setAudience('app')
      .setSubject('somebody')
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(key)
  const made = await call('CreateOpenIDConnectProvider', {
    Url: issuer,
    'ClientIDList.member.1': 'app',
  })
  const Federated = element(made.text, 'OpenIDConnectProviderArn')
  const statement = {
    Effect: 'Allow',
    Action: 'sts:AssumeRoleWithWebIdentity',
    Principal: { Federated },
    Condition: { StringEquals: { [`${host}:team`]: 'a' } },
  }
  const trust = JSON.stringify({ Version: '2012-10-17', Statement: statement })
  const role = await call('CreateRole', { RoleName: 'web', AssumeRolePolicyDocument: trust })
  const RoleArn = element(role.text, 'Arn')
  const grant = { RoleName: 'web', PolicyName: 'p', PolicyDocument: policy('s3:GetObject') }
  t.equal((await call('PutRolePolicy', grant)).outcome, 'done')
  const assume = (WebIdentityToken: string) =>
    call(
      'AssumeRoleWithWebIdentity',
      { RoleArn, RoleSessionName: 'me', WebIdentityToken },
      { key: null, service: 'sts' },
    )
  const session = keyIn((await assume(await jwt(privateKey))).text)
  t.equal(await s3('GET', '/iam-bucket/o', session), '200')
  t.equal(await s3('PUT', '/iam-bucket/o', session, 'x'), '403 AccessDenied')
  t.equal((await assume(await jwt(privateKey, { team: 'b' }))).outcome, 'AccessDenied')
  t.equal((await assume(await jwt(stolen.privateKey))).outcome, 'InvalidIdentityToken')
  t.equal((await assume(await jwt(privateKey, {}, '-2m'))).outcome, 'ExpiredToken')
  t.equal((await assume('a.b.c')).outcome, 'InvalidIdentityToken')
  t.equal(
    (await assume((await jwt(privateKey)).replace(/\.[^.]*$/, '.'))).outcome,
    'InvalidIdentityToken',
  )
  await call('CreateOpenIDConnectProvider', { Url: 'http://127.0.0.1:1' })
  const inner = new SignJWT({})
    .setProtectedHeader({ alg: 'RS256', kid: 'k' })
    .setIssuer('http://127.0.0.1:1')
  const asked = await assume(await inner.setExpirationTime('1h').sign(privateKey))
  t.match(asked.text, /not on the internet/, 'nobody is asked who is not on the internet')
})

t.test('all goes with the project', async (t) => {
  const key = await userKey('kim')
  const give = { UserName: 'kim', PolicyName: 'p', PolicyDocument: policy('s3:*') }
  t.equal((await call('PutUserPolicy', give)).outcome, 'done')
  t.equal(await s3('GET', '/iam-bucket/o', key), '200')
  const set = (enabled: boolean) =>
    admin.call('PATCH', `/projects/${owner.projectId}`, { project: { enabled } })
  await set(false)
  t.equal(await s3('GET', '/iam-bucket/o', key), '403 InvalidAccessKeyId')
  await set(true)
  t.equal(await s3('GET', '/iam-bucket/o', key), '200')
  await admin.call('DELETE', `/projects/${owner.projectId}`)
  t.equal(await s3('GET', '/iam-bucket/o', key), '403 InvalidAccessKeyId')
})
