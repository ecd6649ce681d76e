/** Enciphering: keys, counters, sealed texts and the key file. */
import { createCipheriv, randomBytes } from 'node:crypto'
import t from 'tap'
import { systemRandom } from '../../common/random.ts'
import {
  bodyCipher,
  drawBodyKey,
  etagMac,
  PathKeys,
  seal,
  unseal,
  unwrapBodyKey,
  wrapBodyKey,
} from './cipher.ts'
import { parseRootSecrets } from './root-secrets.ts'

const secret = () => randomBytes(32).toString('base64')
const first = secret()
const old = parseRootSecrets(JSON.stringify({ active: 'k1', secrets: { k1: first } }))
const both = parseRootSecrets(
  JSON.stringify({ active: 'k2', secrets: { k1: first, k2: secret() } }),
)

t.test('from any offset the bytes are those of AES-256-CTR', async (t) => {
  // The counter runs over: 2^128 - 1 is followed by 0.
  for (const iv of [randomBytes(16), Buffer.alloc(16, 0xff)]) {
    const key = randomBytes(32)
    const plain = randomBytes(1000)
    const reference = createCipheriv('aes-256-ctr', key, iv).update(plain)
    t.ok(bodyCipher({ key, iv }).update(plain).equals(reference))
    for (const offset of [0, 1, 15, 16, 17, 31, 32, 500, 999]) {
      const opened = bodyCipher({ key, iv }, offset).update(reference.subarray(offset))
      t.ok(opened.equals(plain.subarray(offset)), `${offset}`)
    }
    const pieces = bodyCipher({ key, iv })
    const joined = [plain.subarray(0, 7), plain.subarray(7, 700), plain.subarray(700)]
    t.ok(Buffer.concat(joined.map((piece) => pieces.update(piece))).equals(reference))
  }
})

t.test('keys are of a path and a secret; old secrets open what is old', async (t) => {
  const path = '/AUTH_a/c/ö'
  const body = drawBodyKey(systemRandom)
  const wrapped = wrapBodyKey(new PathKeys(old, path), body, systemRandom)
  const sealed = seal(new PathKeys(old, path), 'blau', systemRandom)
  t.notMatch(wrapped, Buffer.from(body.key).toString('base64url'))
  t.notMatch(sealed, 'blau')
  for (const roots of [old, both]) {
    const opened = unwrapBodyKey(new PathKeys(roots, path), wrapped)
    t.ok(Buffer.from(opened.key).equals(Buffer.from(body.key)))
    t.equal(unseal(new PathKeys(roots, path), sealed), 'blau')
  }
  t.not(unseal(new PathKeys(old, `${path}x`), sealed), 'blau', 'another path, another key')
  const renewed = seal(new PathKeys(both, path), 'blau', systemRandom)
  t.equal(unseal(new PathKeys(both, path), renewed), 'blau')
  t.throws(() => unseal(new PathKeys(old, path), renewed), { code: 'UnknownSecret' })
  t.equal(unseal(new PathKeys(old, path), 'plain'), 'plain', 'of what was never sealed')
  t.not(seal(new PathKeys(old, path), 'blau', systemRandom), sealed, 'never twice the same')
  const keys = new PathKeys(both, path)
  t.equal(etagMac(keys, 'k1', 'abc'), etagMac(new PathKeys(old, path), 'k1', 'abc'))
  t.not(etagMac(keys, 'k1', 'abc'), etagMac(keys, 'k2', 'abc'))
  t.match(etagMac(keys, 'k1', 'abc'), /^[0-9a-f]{32}$/)
})

t.test('a key file that is wrong is refused, and nothing of it is told', async (t) => {
  for (const text of [
    'SECRET',
    '"SECRET"',
    '{}',
    `{"active": "a", "secrets": {"a": "U0VDUkVU"}}`,
    `{"active": "b", "secrets": {"a": "${first}"}}`,
    `{"active": "a.b", "secrets": {"a.b": "${first}"}}`,
    `{"secrets": {"a": "${first}"}}`,
  ]) {
    try {
      parseRootSecrets(text)
      t.fail(text)
    } catch (error) {
      t.match(error, { code: 'BadKeyFile' })
      t.notMatch((error as Error).message, /SECRET|U0VD/)
      t.notOk((error as Error).message.includes(first))
    }
  }
})
