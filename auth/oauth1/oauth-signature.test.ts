import t from 'tap'
import {
  baseString,
  type OAuthRequest,
  oauthSignatures,
  parseOAuthHeader,
} from './oauth-signature.ts'

/** The example of RFC 5849, section 3.4.1, without the body's parameters. */
const HEADER =
  'OAuth realm="Example", oauth_consumer_key="9djdj82h48djs9d2", oauth_token="kkk9d7dh3k39sjv7", ' +
  'oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131201", oauth_nonce="7d8f3e4a", ' +
  'oauth_signature="bYT5CMsGcbgUdFHObYMEfcx6bsw%3D"'
const REQUEST: OAuthRequest = {
  method: 'post',
  urls: ['http://example.com/request'],
  query: [
    ['b5', '=%3D'],
    ['a3', 'a'],
    ['c@', ''],
    ['a2', 'r b'],
    ['c2', ''],
    ['a3', '2 q'],
  ],
  parameters: parseOAuthHeader(HEADER)!,
}

t.test('what is signed is as RFC 5849 has it', async (t) => {
  t.equal(
    baseString(REQUEST, REQUEST.urls[0]!),
    'POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540' +
      '%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC' +
      '-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7',
  )
})

t.test('the well-known example has the well-known signature', async (t) => {
  // https://developer.twitter.com/en/docs/authentication/oauth-1-0a/creating-a-signature, of the first edition.
  const header =
    'OAuth oauth_consumer_key="dpf43f3p2l4k3l03", oauth_token="nnch734d00sl2jdk", oauth_nonce="kllo9940pd9333jh", ' +
    'oauth_timestamp="1191242096", oauth_signature_method="HMAC-SHA1", oauth_version="1.0", oauth_signature="x"'
  const request = {
    method: 'GET',
    urls: ['http://photos.example.net/photos'],
    query: [
      ['file', 'vacation.jpg'],
      ['size', 'original'],
    ] as const,
    parameters: parseOAuthHeader(header)!,
  }
  const secrets = { consumer: 'kd94hf93k423kf44', token: 'pfkkdhi9sl3r4s00' }
  t.strictSame(oauthSignatures(request, secrets), ['tR3+Ty81lMeYAr/Fid0kMTYa/WM='])
})

t.test('what is no header of OAuth is refused', async (t) => {
  for (const header of [
    '',
    'Basic abc',
    'OAuth',
    'OAuth a',
    'OAuth a=b',
    'OAuth a="b" c="d"',
    'OAuth a="b",, c="d"',
    'OAuth a="%zz"',
    'OAuth a="1", a="2"',
    `OAuth ${'a="b",'.repeat(1000)}`,
  ]) {
    t.equal(parseOAuthHeader(header), null, header.slice(0, 30))
  }
  const odd = new Map([['oauth_signature_method', 'PLAINTEXT']])
  t.strictSame(oauthSignatures({ ...REQUEST, parameters: odd }, { consumer: 'a', token: 'b' }), [])
})
