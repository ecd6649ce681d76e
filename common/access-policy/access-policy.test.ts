import t from 'tap'
import { seededRandom } from '../../test/support/seeded-random.ts'
import { ServiceError } from '../errors.ts'
import { type Judgement, judgePolicy, type PolicyPrincipal } from './judge-policy.ts'
import { mentionsKey, type PolicyForm, parsePolicy } from './policy-document.ts'
import { fitsPattern, patternOf } from './text-pattern.ts'

const BUCKET: PolicyForm = { principal: 'required', resource: 'required', bytesMax: 20_480 }
const OWN: PolicyForm = { principal: 'forbidden', resource: 'required', bytesMax: 2048 }
const TRUST: PolicyForm = { principal: 'required', resource: 'forbidden', bytesMax: 2048 }

const ANN: PolicyPrincipal = {
  arns: ['arn:aws:iam::p1:user/ann'],
  accounts: ['p1'],
  canonicalIds: ['c1'],
  federated: [],
}

/** As it stands in a policy. */
const variable = (name: string) => `\${${name}}`

interface Asked {
  readonly action?: string
  readonly resource?: string
  readonly principal?: PolicyPrincipal | null
  readonly keys?: Readonly<Record<string, readonly string[]>>
}

function judge(statement: object | readonly object[], asked: Asked = {}, form = OWN): Judgement {
  const text = JSON.stringify({ Version: '2012-10-17', Statement: statement })
  const {
    action = 's3:GetObject',
    resource = 'arn:aws:s3:::b/k',
    principal = ANN,
    keys = {},
  } = asked
  return judgePolicy(parsePolicy(text, form), {
    action,
    resource,
    principal,
    keys: (name) => keys[name],
  })
}

const allow = (parts: object) => ({ Effect: 'Allow', Action: 's3:*', Resource: '*', ...parts })

t.test('actions are named in any case, with wildcards', async (t) => {
  const cases: [action: string | string[], judgement: Judgement][] = [
    ['*', 'allow'],
    ['s3:*', 'allow'],
    ['S3:getobject', 'allow'],
    ['s3:Get*', 'allow'],
    ['s3:Get?bject', 'allow'],
    [['s3:PutObject', 's3:GetObject'], 'allow'],
    ['s3:GetObjectAcl', null],
    ['s3:GetObjec', null],
    ['iam:*', null],
  ]
  for (const [Action, judgement] of cases) t.equal(judge(allow({ Action })), judgement, `${Action}`)
  const but = (NotAction: string) => judge({ Effect: 'Allow', NotAction, Resource: '*' })
  t.equal(but('s3:GetObject'), null)
  t.equal(but('s3:PutObject'), 'allow')
})

t.test('resources are named with wildcards, and differ by case', async (t) => {
  const cases: [resource: string, judgement: Judgement][] = [
    ['*', 'allow'],
    ['arn:aws:s3:::*', 'allow'],
    ['arn:aws:s3:::b/*', 'allow'],
    ['arn:aws:s3:::b/k', 'allow'],
    ['arn:aws:s3:::?/k', 'allow'],
    ['arn:aws:s3:::b', null],
    ['arn:aws:s3:::B/k', null],
    ['arn:aws:s3:::b/kk', null],
  ]
  for (const [Resource, judgement] of cases)
    t.equal(judge(allow({ Resource })), judgement, Resource)
  const but = { Effect: 'Allow', Action: '*', NotResource: 'arn:aws:s3:::b/*' }
  t.equal(judge(but), null)
  t.equal(judge(but, { resource: 'arn:aws:s3:::other/k' }), 'allow')
})

t.test('a Deny wins wherever it stands; what is not named is not decided', async (t) => {
  const deny = { Effect: 'Deny', Action: 's3:GetObject', Resource: '*' }
  t.equal(judge([allow({}), deny]), 'deny')
  t.equal(judge([deny, allow({})]), 'deny')
  t.equal(judge(deny, { action: 's3:PutObject' }), null)
})

t.test('a statement means those whom it names', async (t) => {
  const root = 'arn:aws:iam::p1:root'
  const cases: [principal: unknown, who: PolicyPrincipal | null, judgement: Judgement][] = [
    ['*', ANN, 'allow'],
    ['*', null, 'allow'],
    [{ AWS: '*' }, null, 'allow'],
    [{ AWS: ['x', 'arn:aws:iam::p1:user/ann'] }, ANN, 'allow'],
    [{ AWS: root }, ANN, 'allow'],
    [{ AWS: 'p1' }, ANN, 'allow'],
    [{ AWS: root }, null, null],
    [{ AWS: 'arn:aws:iam::p2:root' }, ANN, null],
    [{ AWS: 'arn:aws:iam::p1:user/*' }, ANN, null],
    [{ AWS: 'c1' }, ANN, null],
    [{ CanonicalUser: 'c1' }, ANN, 'allow'],
    [{ CanonicalUser: 'c2' }, ANN, null],
    [{ Federated: 'idp' }, ANN, null],
    [{ Federated: 'idp' }, { ...ANN, federated: ['idp'] }, 'allow'],
    [{ Service: 'logging.s3.amazonaws.com' }, ANN, null],
  ]
  for (const [Principal, principal, judgement] of cases) {
    const statement = allow({ Principal })
    t.equal(judge(statement, { principal }, BUCKET), judgement, JSON.stringify(Principal))
  }
  const logs: PolicyPrincipal = {
    ...ANN,
    arns: [],
    accounts: [],
    canonicalIds: [],
    service: 'logs',
  }
  const toService = (Principal: unknown, more: object = {}) =>
    judge(allow({ Principal, ...more }), { principal: logs }, BUCKET)
  t.equal(toService({ Service: 'logs' }), 'allow')
  t.equal(toService({ Service: 'others' }), null)
  t.equal(toService('*'), null, 'everybody is people')
  t.equal(toService({ AWS: '*' }), null)
  t.equal(toService('*', { Effect: 'Deny' }), 'deny', 'but nobody is let past a denial')
  const allBut = { Effect: 'Deny', Action: '*', Resource: '*', NotPrincipal: { AWS: root } }
  t.equal(judge(allBut, {}, BUCKET), null)
  t.equal(judge(allBut, { principal: null }, BUCKET), 'deny')
  const trust = { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { AWS: root } }
  t.equal(judge(trust, { action: 'sts:AssumeRole' }, TRUST), 'allow')
})

t.test('conditions compare what the request says', async (t) => {
  const keys = {
    's3:prefix': ['a/b'],
    'aws:sourceip': ['192.168.7.9'],
    'aws:securetransport': ['false'],
    'aws:currenttime': ['2026-01-02T03:04:05Z'],
    'aws:epochtime': ['1767323045'],
    's3:max-keys': ['10'],
    'aws:principalarn': ['arn:aws:iam::p1:user/ann'],
    tags: ['red', 'green'],
  }
  const cases: [operator: string, key: string, value: unknown, holds: boolean][] = [
    ['StringEquals', 's3:prefix', 'a/b', true],
    ['StringEquals', 'S3:Prefix', ['x', 'a/b'], true],
    ['StringEquals', 's3:prefix', 'A/b', false],
    ['StringEquals', 's3:prefix', 'a/*', false],
    ['StringEqualsIgnoreCase', 's3:prefix', 'A/B', true],
    ['StringNotEquals', 's3:prefix', ['x', 'a/b'], false],
    ['StringNotEquals', 's3:prefix', ['x', 'y'], true],
    ['StringLike', 's3:prefix', 'a/*', true],
    ['StringNotLike', 's3:prefix', 'a/*', false],
    ['StringEquals', 'absent', 'x', false],
    ['StringNotEquals', 'absent', 'x', true],
    ['StringEqualsIfExists', 'absent', 'x', true],
    ['StringEqualsIfExists', 's3:prefix', 'x', false],
    ['Null', 'absent', 'true', true],
    ['Null', 's3:prefix', true, false],
    ['Null', 's3:prefix', false, true],
    ['NumericLessThan', 's3:max-keys', 11, true],
    ['NumericLessThanEquals', 's3:max-keys', '9', false],
    ['NumericEquals', 's3:prefix', 10, false],
    ['NumericGreaterThanEquals', 's3:max-keys', '1e1', true],
    ['Bool', 'aws:SecureTransport', 'False', true],
    ['Bool', 'aws:SecureTransport', true, false],
    ['DateGreaterThan', 'aws:CurrentTime', '2026-01-01T00:00:00Z', true],
    ['DateLessThan', 'aws:EpochTime', '2026-01-01T00:00:00Z', false],
    ['DateEquals', 'aws:CurrentTime', '1767323045', true],
    ['IpAddress', 'aws:SourceIp', '192.168.0.0/16', true],
    ['IpAddress', 'aws:SourceIp', ['10.0.0.0/8', '2001:db8::/32'], false],
    ['NotIpAddress', 'aws:SourceIp', '192.168.7.9', false],
    ['ArnLike', 'aws:PrincipalArn', 'arn:aws:iam::*:user/a*', true],
    ['ArnNotEquals', 'aws:PrincipalArn', 'arn:aws:iam::p2:*', true],
    ['StringEquals', 'tags', 'red', true],
    ['StringNotEquals', 'tags', 'red', false],
    ['ForAllValues:StringEquals', 'tags', ['red', 'green', 'blue'], true],
    ['ForAllValues:StringEquals', 'tags', 'red', false],
    ['ForAllValues:StringEquals', 'absent', 'red', true],
    ['ForAnyValue:StringEquals', 'tags', ['blue', 'green'], true],
    ['ForAnyValue:StringEquals', 'absent', 'red', false],
    ['ForAnyValue:StringNotEquals', 'tags', 'red', true],
    ['ForAnyValue:StringNotEquals', 'absent', 'red', false],
    ['ForAllValues:StringLikeIfExists', 'tags', '*e*', true],
  ]
  for (const [operator, key, value, holds] of cases) {
    const statement = allow({ Condition: { [operator]: { [key]: value } } })
    const shown = `${operator} ${key} ${JSON.stringify(value)}`
    t.equal(judge(statement, { keys }), holds ? 'allow' : null, shown)
  }
  const both = { StringEquals: { 's3:prefix': 'a/b' }, Bool: { 'aws:SecureTransport': 'true' } }
  t.equal(judge(allow({ Condition: both }), { keys }), null, 'all have to hold')
})

t.test('variables are what the request says, never wildcards', async (t) => {
  const statement = allow({ Resource: `arn:aws:s3:::b/${variable('aws:username')}/*` })
  const asks = (name: string | undefined, key: string) =>
    judge(statement, {
      resource: `arn:aws:s3:::b/${key}`,
      keys: name === undefined ? {} : { 'aws:username': [name] },
    })
  t.equal(asks('ann', 'ann/x'), 'allow')
  t.equal(asks('ann', 'bob/x'), null)
  t.equal(asks('*', 'ann/x'), null, 'a user named * is not everybody')
  t.equal(asks('*', '*/x'), 'allow')
  t.equal(asks('a?n', 'ann/x'), null)
  t.equal(asks(undefined, 'ann/x'), null)
  t.equal(asks(variable('*'), '*/x'), null, 'a name is not read a second time')
  const like = (value: string, actual: string, keys = {}) =>
    judge(allow({ Condition: { StringLike: { 's3:prefix': value } } }), {
      keys: { 's3:prefix': [actual], ...keys },
    })
  t.equal(like(`${variable('aws:username')}/*`, 'x/1', { 'aws:username': ['*'] }), null)
  t.equal(like(`a${variable('*')}b`, 'a*b'), 'allow')
  t.equal(like(`a${variable('*')}b`, 'acb'), null)
  t.equal(like(variable("aws:PrincipalTag/team, 'none'"), 'none'), 'allow')
  t.equal(
    like(variable("aws:PrincipalTag/team, 'none'"), 'none', {
      'aws:principaltag/team': ['a'],
    }),
    null,
  )
  const teams = { 'aws:principaltag/team': ['a', 'b*'] }
  const team = variable('aws:PrincipalTag/team')
  t.equal(like(team, 'b*', teams), 'allow', 'each value of a tag that has several')
  t.equal(like(team, 'bc', teams), null, 'which is no wildcard')
  t.equal(like(team, 'c', teams), null)
  t.equal(like(`${team}/*`, 'a/1', teams), null, 'where it stands alone')
  const old = JSON.stringify({
    Version: '2008-10-17',
    Statement: allow({ Resource: `arn:${variable('aws:username')}` }),
  })
  const keys = () => ['ann']
  const asked = { action: 's3:GetObject', principal: ANN, keys }
  t.equal(judgePolicy(parsePolicy(old, OWN), { ...asked, resource: 'arn:ann' }), null)
  t.equal(
    judgePolicy(parsePolicy(old, OWN), { ...asked, resource: `arn:${variable('aws:username')}` }),
    'allow',
  )
})

t.test('a policy that is none is refused with what is wrong', async (t) => {
  const refusal = (text: string, form: PolicyForm = OWN): string => {
    try {
      parsePolicy(text, form)
      return 'taken'
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== 'MalformedPolicy') throw error
      return error.message
    }
  }
  const of = (statement: unknown, form?: PolicyForm, more: object = {}) =>
    refusal(JSON.stringify({ Version: '2012-10-17', ...more, Statement: statement }), form)
  t.equal(of(allow({})), 'taken')
  t.match(refusal('{'), /valid JSON/)
  t.match(refusal('[]'), /no object/)
  t.match(refusal('{"Version":"2012-10-17"}'), /Statement/)
  t.match(of(allow({}), OWN, { Version: '2010-10-17' }), /Version/)
  t.match(of(allow({}), OWN, { Extra: 1 }), /unknown field Extra/)
  t.match(of([]), /empty/)
  t.match(of('x'), /no object/)
  t.match(of(allow({ Extra: 1 })), /unknown field Extra/)
  t.match(of(allow({ Effect: 'allow' })), /Effect/)
  t.match(of(allow({ Action: undefined })), /Action/)
  t.match(of(allow({ Action: 'GetObject' })), /invalid action/)
  t.match(of(allow({ Action: [] })), /Action/)
  t.match(of(allow({ NotAction: '*' })), /exclude/)
  t.match(of(allow({ Resource: undefined })), /Resource/)
  t.match(of(allow({ Resource: 'b/k' })), /invalid resource/)
  t.match(of(allow({ Resource: 7 })), /Resource/)
  t.match(of([allow({ Sid: 'a' }), allow({ Sid: 'a' })]), /unique/)
  t.match(of(allow({ Principal: '*' })), /Principal/)
  const whole = { Principal: '*', Resource: undefined }
  t.match(of(allow(whole), BUCKET), /Resource/)
  t.equal(of(allow(whole), { ...BUCKET, resource: 'optional' }), 'taken')
  t.match(of(allow({}), BUCKET), /Principal/)
  t.match(of(allow({ Principal: 'somebody' }), BUCKET), /Principal/)
  t.match(of(allow({ Principal: { Nobody: 'x' } }), BUCKET), /Nobody/)
  t.match(of(allow({ Principal: {} }), BUCKET), /principal/)
  t.match(of(allow({ Principal: '*' }), TRUST), /Resource/)
  t.match(of(allow({ Condition: { Equals: { a: 'b' } } })), /operator/)
  t.match(of(allow({ Condition: { constructor: { a: 'b' } } })), /operator/)
  t.match(of(allow({ Condition: { IpAddress: { 'aws:SourceIp': '1.2.3.4/33' } } })), /IpAddress/)
  t.match(of(allow({ Condition: { NumericEquals: { a: 'one' } } })), /NumericEquals/)
  t.match(of(allow({ Condition: { StringEquals: { a: {} } } })), /Condition/)
  t.match(of(Array.from({ length: 1000 }, () => allow({}))), /limited/)
  t.equal(of(allow({ Principal: { AWS: 'x' } }), { ...OWN, principal: 'ignored' }), 'taken')
})

t.test('it is told whether a key is spoken of', async (t) => {
  const document = (parts: object) =>
    parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: allow(parts) }), OWN)
  const condition = { StringEquals: { 's3:ExistingObjectTag/colour': 'red' } }
  t.ok(mentionsKey(document({ Condition: condition }), 's3:existingobjecttag/'))
  t.notOk(mentionsKey(document({ Condition: condition }), 's3:requestobjecttag/'))
  const resource = document({ Resource: `arn:aws:s3:::b/${variable('s3:ExistingObjectTag/x')}` })
  t.ok(mentionsKey(resource, 's3:existingobjecttag/'))
})

t.test('patterns take no more than pattern times text steps', async (t) => {
  const pattern = patternOf(`${'*a'.repeat(500)}b`)
  t.notOk(fitsPattern(pattern, 'a'.repeat(2000)))
  t.ok(fitsPattern(patternOf('*'), ''))
  t.notOk(fitsPattern(patternOf('?'), ''))
  t.ok(fitsPattern(patternOf('a*'), 'a😀'))
  t.ok(fitsPattern(patternOf('a?'), 'a😀'))
})

t.test('patterns fit what regular expressions of the same meaning fit', (t) => {
  const seed = 20_261
  const random = seededRandom(seed)
  const textOf = (alphabet: string, length: number) =>
    Array.from({ length }, () => random.pick([...alphabet])).join('')
  // Few characters, so that much almost fits; now and then longer than a word of bits, with stars that cover what was cut out.
  for (let round = 0; round < 5000; round++) {
    const text = textOf('aab', random.below(round % 10 === 0 ? 150 : 9))
    const cut = random.below(text.length + 1)
    const holed = [...text].map((one) => (random.chance(0.1) ? '?' : one)).join('')
    const made = `*${holed.slice(0, cut)}*${holed.slice(cut + random.below(5))}`
    const pattern = random.chance(0.5) ? made : textOf('aab*?', random.below(9))
    const wanted = new RegExp(`^${pattern.replaceAll('*', '[^]*').replaceAll('?', '[^]')}$`, 'u')
    if (fitsPattern(patternOf(pattern), text) !== wanted.test(text))
      t.fail(`${pattern} and ${text}, seed ${seed}`)
  }
  const long = 'a'.repeat(1000)
  t.ok(fitsPattern(patternOf(`*${long}*b*`), `${long}${long}b`))
  t.notOk(fitsPattern(patternOf(`*${long}b*`), `${long}${long}`))
  t.end()
})
