import { createHmac, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import t from 'tap'
import { decodeClaims, encodeClaims, type TokenClaims } from './claims.ts'
import { decodeKeySet, encodeKeySet, publishedKeys, rotated } from './key-set.ts'
import {
  decodeRevocation,
  encodeRevocation,
  type RevocationEvent,
  Revocations,
  voids,
} from './revocation.ts'
import { keyIdOf, signToken, TOKEN_CHARS_MAX, verifyToken } from './signed-token.ts'
import {
  generateTokenKey,
  importSigningKey,
  importVerifyingKeys,
  type PrivateJwk,
  parseJwks,
  publicHalf,
} from './token-keys.ts'
import { isCurrent, SKEW_ALLOWED_MS } from './token-time.ts'
import { VerifiedTokens } from './verified-tokens.ts'

const NOW_MS = Date.UTC(2026, 0, 1)
const id = (digit: string) => digit.repeat(32)
const DEFAULT = { id: 'default', name: 'Default' }

const CLAIMS: TokenClaims = {
  user: { id: id('a'), name: 'ann', domain: DEFAULT },
  methods: ['password'],
  auditIds: ['own-audit', 'first-audit'],
  issuedAtMs: NOW_MS + 123,
  expiresAtMs: NOW_MS + 3_600_000,
  scope: { kind: 'project', id: id('b'), name: 'demo', domain: { id: id('c'), name: 'Company' } },
  roles: [
    { id: id('1'), name: 'member' },
    { id: id('2'), name: 'reader' },
  ],
}

const TRUSTED: TokenClaims = {
  ...CLAIMS,
  trust: { id: 'trust', trustorId: 'trustor', trusteeId: id('a'), impersonation: true },
  applicationCredential: {
    id: 'credential',
    restricted: true,
    accessRules: [{ service: 'object-store', path: '/v1/**', method: 'GET' }],
  },
  oauth1: { consumerId: 'consumer', accessTokenId: 'access' },
}

const FORMS: readonly TokenClaims[] = [
  CLAIMS,
  TRUSTED,
  { ...CLAIMS, applicationCredential: { id: 'credential', restricted: false } },
  { ...CLAIMS, scope: { kind: 'unscoped' }, roles: [], auditIds: ['own-audit'] },
  { ...CLAIMS, scope: { kind: 'system' } },
  { ...CLAIMS, scope: { kind: 'domain', id: id('c'), name: 'Ünïcode 公司' } },
]

async function makeKeys() {
  const jwk = await generateTokenKey()
  return {
    jwk,
    signer: await importSigningKey(jwk),
    keys: await importVerifyingKeys({ keys: [jwk] }),
  }
}

/** A token as an attacker might make it, signed by whatever `signature` does. */
function forge(parts: {
  readonly head: object
  readonly payload?: unknown
  readonly signature: (input: string) => Buffer
}): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${encode(parts.head)}.${encode(parts.payload ?? encodeClaims(CLAIMS))}`
  return `${input}.${parts.signature(input).toString('base64url')}`
}

const signedBy = (jwk: PrivateJwk) => (input: string) =>
  sign('sha256', Buffer.from(input), {
    key: createPrivateKey({ key: { ...jwk }, format: 'jwk' }),
    dsaEncoding: 'ieee-p1363',
  })

t.test('a token says what was signed, in every form of claims', async (t) => {
  const { signer, keys } = await makeKeys()
  for (const claims of FORMS) {
    const token = await signToken(claims, signer)
    t.strictSame(await verifyToken(token, keys), claims)
    t.match(token, /^[\w.-]+$/, 'and passes through any header')
  }
  t.equal(keyIdOf(await signToken(CLAIMS, signer)), signer.id)
})

t.test('tokens are short, and one that no header could carry is not issued', async (t) => {
  const { signer } = await makeKeys()
  const { length } = await signToken(CLAIMS, signer)
  t.ok(length < 620, `${length} characters`)
  const roles = Array.from({ length: 200 }, (_, index) => ({ id: id('9'), name: `role${index}` }))
  await t.rejects(signToken({ ...CLAIMS, roles }, signer), { code: 'TokenTooLong', status: 403 })
})

t.test('a token that was altered or cut anywhere is refused', async (t) => {
  const { signer, keys } = await makeKeys()
  const token = await signToken(CLAIMS, signer)
  const bad: string[] = []
  for (let index = 0; index < token.length; index += 7) {
    const other = token[index] === 'A' ? 'B' : 'A'
    bad.push(token.slice(0, index) + other + token.slice(index + 1), token.slice(0, index))
  }
  const last = token.at(-1)!
  bad.push(`${token}A`, `${token}.A`, ` ${token}`, `${token}=`, token.slice(0, -1))
  // The last character has spare bits: only the text that was issued is the token.
  bad.push(token.slice(0, -1) + (last === 'A' ? 'B' : String.fromCharCode(last.charCodeAt(0) + 1)))
  for (const text of bad) t.equal(await verifyToken(text, keys), null, text)
  t.ok(await verifyToken(token, keys), 'and the token itself is good')
})

t.test('what is no token of ours is refused', async (t) => {
  const { jwk, keys } = await makeKeys()
  const { jwk: strange } = await makeKeys()
  const publicKey = createPublicKey({ key: { ...publicHalf(jwk) }, format: 'jwk' })
  const secrets = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'der' }),
    JSON.stringify(publicHalf(jwk)),
  ]
  const kid = jwk.kid
  const none = () => Buffer.alloc(0)
  const bad: Record<string, string> = {
    empty: '',
    garbage: 'garbage',
    dots: '..',
    'too long': `eyJ${'a'.repeat(TOKEN_CHARS_MAX)}.eyJ.${'a'.repeat(85)}A`,
    'a token of the v1 sign-in': `AUTH_tk${'a'.repeat(60)}`,
    'no algorithm': forge({ head: { alg: 'none', kid }, signature: none }),
    'no algorithm, signed': forge({ head: { alg: 'none', kid }, signature: signedBy(jwk) }),
    'no algorithm named': forge({ head: { kid }, signature: signedBy(jwk) }),
    'another algorithm named': forge({ head: { alg: 'ES384', kid }, signature: signedBy(jwk) }),
    'another key': forge({ head: { alg: 'ES256', kid }, signature: signedBy(strange) }),
    'a key that is not known': forge({
      head: { alg: 'ES256', kid: strange.kid },
      signature: signedBy(strange),
    }),
    'its own key in the head': forge({
      head: { alg: 'ES256', kid, jwk: publicHalf(strange) },
      signature: signedBy(strange),
    }),
    'no key named': forge({ head: { alg: 'ES256' }, signature: signedBy(jwk) }),
    'a key of another type': forge({ head: { alg: 'ES256', kid: 7 }, signature: signedBy(jwk) }),
    'a signature of zeros': forge({
      head: { alg: 'ES256', kid },
      signature: () => Buffer.alloc(64),
    }),
    'an extension that must be understood': forge({
      head: { alg: 'ES256', kid, crit: ['b64'], b64: false },
      signature: signedBy(jwk),
    }),
  }
  secrets.forEach((secret, index) => {
    bad[`HS256 with the public key ${index}`] = forge({
      head: { alg: 'HS256', kid },
      signature: (input) => createHmac('sha256', secret).update(input).digest(),
    })
    bad[`ES256 said, HMAC with the public key ${index}`] = forge({
      head: { alg: 'ES256', kid },
      signature: (input) => createHmac('sha512', secret).update(input).digest(),
    })
  })
  for (const [what, token] of Object.entries(bad))
    t.equal(await verifyToken(token, keys), null, what)
  const good = forge({ head: { alg: 'ES256', kid }, signature: signedBy(jwk) })
  t.strictSame(await verifyToken(good, keys), CLAIMS, 'and the forger can make a good one')
})

t.test('claims that are not in their form are refused, even signed', async (t) => {
  const { jwk, keys } = await makeKeys()
  const good = encodeClaims(TRUSTED)
  const wrong: Record<string, readonly unknown[]> = {
    iat: [undefined, null, '1', -1, 1e12],
    exp: [undefined, 'x', []],
    u: [undefined, null, 'x', [], ['a', 'b', 'c'], ['a', 'b', 'c', 4]],
    m: [undefined, 'password', [1]],
    a: [undefined, [], [7]],
    s: ['p', [], ['x'], ['p', 'id'], ['d', 'id'], ['s', 'x'], ['p', 1, 2, 3, 4]],
    r: [{}, ['x'], [['id']], [[1, 2]]],
    t: [[], ['a', 'b', 'c', true], ['a', 'b', 'c', 2], ['a', 'b', 3, 1]],
    c: [[], ['a'], ['a', 2], ['a', 1, 'x'], ['a', 1, [['x']]], ['a', 1, [], 1], [1, 1]],
    o: [[], ['a'], ['a', 2]],
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const payload = { ...good, [name]: value }
      const token = forge({
        head: { alg: 'ES256', kid: jwk.kid },
        payload,
        signature: signedBy(jwk),
      })
      t.equal(await verifyToken(token, keys), null, `${name}: ${JSON.stringify(value)}`)
    }
  }
  for (const payload of [null, 'text', [], 7]) t.equal(decodeClaims(payload), null)
})

t.test('a token is good until its end, and one from the future only within the skew', async (t) => {
  const { issuedAtMs, expiresAtMs } = CLAIMS
  t.ok(isCurrent(CLAIMS, issuedAtMs))
  t.ok(isCurrent(CLAIMS, expiresAtMs - 1))
  t.notOk(isCurrent(CLAIMS, expiresAtMs))
  t.ok(isCurrent(CLAIMS, issuedAtMs - SKEW_ALLOWED_MS))
  t.notOk(isCurrent(CLAIMS, issuedAtMs - SKEW_ALLOWED_MS - 1))
})

t.test('keys go from staged over primary and secondary to retired', async (t) => {
  const [one, two, three, four] = [
    await generateTokenKey(),
    await generateTokenKey(),
    await generateTokenKey(),
    await generateTokenKey(),
  ]
  const first = { primary: one, staged: two, secondaries: [] }
  const second = rotated(first, three, { secondariesKept: 1 })
  t.strictSame(second, { primary: two, staged: three, secondaries: [publicHalf(one)] })
  const third = rotated(second, four, { secondariesKept: 1 })
  t.strictSame(third.secondaries, [publicHalf(two)], 'the oldest is retired')
  t.strictSame(decodeKeySet(encodeKeySet(third)), third, 'and the file says the same')
  const published = parseJwks(JSON.parse(JSON.stringify(publishedKeys(third))))
  t.strictSame(
    published.keys.map(({ kid }) => kid),
    [three.kid, four.kid, two.kid],
  )
  t.notMatch(JSON.stringify(published), /"d"/, 'nothing private is published')

  const keys = await importVerifyingKeys(published)
  const old = await signToken(CLAIMS, await importSigningKey(one))
  t.equal(await verifyToken(old, keys), null, 'a token of a retired key is void')
  const kept = await signToken(CLAIMS, await importSigningKey(two))
  t.ok(await verifyToken(kept, keys), 'one of a secondary key is good')
})

t.test('what is not a list of keys is refused with the reason', async (t) => {
  const { jwk } = await makeKeys()
  const good = encodeKeySet({ primary: jwk, staged: jwk, secondaries: [] })
  const cases: [string, RegExp][] = [
    ['', /not JSON/],
    ['null', /format/],
    ['{"format":2}', /format 2/],
    [good.replace('"primary"', '"other"'), /not a key/],
    [good.replaceAll('"d"', '"e"'), /private half/],
    [good.replace('"secondaries": []', '"secondaries": {}'), /not a list/],
    [good.replaceAll('P-256', 'P-384'), /not a key on P-256/],
  ]
  for (const [text, message] of cases) {
    t.throws(() => decodeKeySet(text), { code: 'BadTokenKeys', message }, text)
  }
  for (const value of [null, {}, { keys: 'x' }, { keys: Array(33).fill(jwk) }]) {
    t.throws(() => parseJwks(value), { code: 'BadTokenKeys' })
  }
  const mixed = parseJwks({ keys: [{ kty: 'RSA', kid: 'x' }, null, jwk] })
  t.strictSame(mixed.keys, [publicHalf(jwk)], 'keys of other kinds are left out')
  const offCurve = { keys: [{ ...publicHalf(jwk), x: jwk.y }] }
  await t.rejects(importVerifyingKeys(offCurve), { code: 'BadTokenKeys' })
})

const event = (fields: Partial<RevocationEvent>): RevocationEvent => ({
  issuedBeforeMs: CLAIMS.issuedAtMs,
  revokedAtMs: CLAIMS.issuedAtMs,
  ...fields,
})

t.test('an event voids the tokens that have all that it names', async (t) => {
  const unscoped = FORMS[3]!
  const inDomain = FORMS[5]!
  const chained = { ...unscoped, auditIds: ['later', 'own-audit'] }
  const cases: [string, Partial<RevocationEvent>, TokenClaims, boolean][] = [
    ['nothing named: all', {}, CLAIMS, true],
    ['the user', { userId: id('a') }, CLAIMS, true],
    ['another user', { userId: id('b') }, CLAIMS, false],
    ['the trustor', { userId: 'trustor' }, TRUSTED, true],
    ['the project', { projectId: id('b') }, CLAIMS, true],
    ['a project, of an unscoped token', { projectId: id('b') }, unscoped, false],
    ['user and project', { userId: id('a'), projectId: id('b') }, CLAIMS, true],
    ['user and another project', { userId: id('a'), projectId: id('d') }, CLAIMS, false],
    [
      'user, project and role',
      { userId: id('a'), projectId: id('b'), roleId: id('2') },
      CLAIMS,
      true,
    ],
    ['a role it has not', { userId: id('a'), roleId: id('3') }, CLAIMS, false],
    ["the user's domain", { domainId: 'default' }, CLAIMS, true],
    ["the project's domain", { domainId: id('c') }, CLAIMS, true],
    ['the domain it is for', { domainId: id('c') }, inDomain, true],
    ['the scope of a domain', { domainScopeId: id('c') }, inDomain, true],
    ["the scope of a domain is not a project's", { domainScopeId: id('c') }, CLAIMS, false],
    ['the token', { auditId: 'own-audit' }, CLAIMS, true],
    ['the token it was got by', { auditId: 'first-audit' }, CLAIMS, false],
    ['its chain', { auditChainId: 'first-audit' }, CLAIMS, true],
    ['a chain that it began', { auditChainId: 'own-audit' }, unscoped, true],
    ['a chain that it is in', { auditChainId: 'own-audit' }, chained, true],
    ['not only itself of a chain', { auditChainId: 'own-audit' }, CLAIMS, false],
    ['the trust', { trustId: 'trust' }, TRUSTED, true],
    ['another trust', { trustId: 'other' }, TRUSTED, false],
    ['a trust, of a token without one', { trustId: 'trust' }, CLAIMS, false],
    ['the credential', { applicationCredentialId: 'credential' }, TRUSTED, true],
    ['another credential', { applicationCredentialId: 'other' }, TRUSTED, false],
    ['the consumer', { consumerId: 'consumer' }, TRUSTED, true],
    ['the access token', { accessTokenId: 'access' }, TRUSTED, true],
    ['a consumer, of a token without one', { consumerId: 'consumer' }, CLAIMS, false],
    ['issued later', { issuedBeforeMs: CLAIMS.issuedAtMs - 1 }, CLAIMS, false],
    ['the user, issued later', { userId: id('a'), issuedBeforeMs: 0 }, CLAIMS, false],
  ]
  const others = [event({ userId: 'nobody' }), event({ auditId: 'none', userId: id('a') })]
  for (const [what, fields, claims, wanted] of cases) {
    t.equal(voids(event(fields), claims), wanted, what)
    const list = new Revocations([...others, event(fields)])
    t.equal(list.voids(claims), wanted, `${what}, in a list`)
    t.strictSame(decodeRevocation(encodeRevocation(event(fields))), event(fields), 'as on the wire')
  }
  t.notOk(new Revocations(others).voids(CLAIMS))
})

t.test('a token issued in the fraction of a millisecond before an event is void', async (t) => {
  const { signer, keys } = await makeKeys()
  const issuedAtMs = NOW_MS + 5.9
  const token = await signToken({ ...CLAIMS, issuedAtMs }, signer)
  const seen = decodeRevocation(encodeRevocation(event({ issuedBeforeMs: NOW_MS + 5.95 })))
  t.ok(voids(seen, (await verifyToken(token, keys))!))
})

t.test('an event that is not understood is an error, not one that is skipped', async (t) => {
  const good = encodeRevocation(event({ userId: 'x' }))
  const bad: unknown[] = [
    null,
    'text',
    { ...good, issued_before: undefined },
    { ...good, issued_before: 'yesterday' },
    { ...good, revoked_at: 7 },
    { ...good, user_id: 7 },
    { ...good, flavor_id: 'x' },
  ]
  for (const value of bad) {
    t.throws(() => decodeRevocation(value), { code: 'BadRevocation' }, JSON.stringify(value))
  }
})

t.test('a signature is verified once, and again when the keys are others', async (t) => {
  const verified = new VerifiedTokens()
  const [ours, others] = [await makeKeys(), await makeKeys()]
  const token = await signToken(CLAIMS, ours.signer)
  const claims = await verified.verify(token, ours.keys)
  t.strictSame(claims, CLAIMS)
  t.equal(await verified.verify(token, ours.keys), claims, 'the same object')
  t.equal(await verified.verify(`${token.slice(0, -2)}AA`, ours.keys), null, 'another signature')
  t.equal(await verified.verify(token, others.keys), null, 'a key that is gone verifies nothing')
  const again = await verified.verify(token, ours.keys)
  t.strictSame(again, CLAIMS)
  t.not(again, claims, 'nothing outlives a change of keys')
})
