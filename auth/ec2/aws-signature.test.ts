import t from 'tap'
import { equalTexts, requestSignature, textSignature } from './aws-signature.ts'

/** Of AWS's documentation. */
const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const S3_SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const EMPTY_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

const VANILLA = {
  verb: 'GET',
  host: 'example.amazonaws.com',
  path: '/',
  params: {},
  headers: {
    Host: 'example.amazonaws.com',
    'X-Amz-Date': '20150830T123600Z',
    Authorization:
      'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ' +
      'SignedHeaders=host;x-amz-date, Signature=x',
  },
  bodyHash: EMPTY_HASH,
}

t.test('requests are signed as AWS documents it', async (t) => {
  const wanted = '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'
  t.equal(requestSignature(VANILLA, SECRET), wanted)
  const second = {
    verb: 'GET',
    host: 'elasticmapreduce.amazonaws.com',
    path: '/',
    headers: {},
    bodyHash: '',
    params: {
      Action: 'DescribeJobFlows',
      Version: '2009-03-31',
      AWSAccessKeyId: 'AKIAIOSFODNN7EXAMPLE',
      SignatureVersion: '2',
      SignatureMethod: 'HmacSHA256',
      Timestamp: '2011-10-03T15:19:30',
    },
  }
  const signed = requestSignature(second, S3_SECRET)
  t.equal(signed, 'i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs=')
})

t.test('what is signed in no known way has no signature', async (t) => {
  const { headers } = VANILLA
  const cases = {
    'no signature at all': { ...VANILLA, headers: {} },
    'an unknown version': { ...VANILLA, params: { SignatureVersion: '3' } },
    'another algorithm': { ...VANILLA, headers: { ...headers, Authorization: 'AWS5 x' } },
    'a date that is not that of the scope': {
      ...VANILLA,
      headers: { ...headers, 'X-Amz-Date': '20150831T123600Z' },
    },
    'no date': { ...VANILLA, headers: { Authorization: headers.Authorization } },
    'a scope of two parts': {
      ...VANILLA,
      headers: {
        ...headers,
        Authorization: 'AWS4-HMAC-SHA256 Credential=A/20150830, SignedHeaders=host',
      },
    },
  }
  for (const [name, request] of Object.entries(cases)) {
    t.equal(requestSignature(request, SECRET), null, name)
  }
})

t.test('texts are signed as clients of S3 do', async (t) => {
  const old = 'GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg'
  t.equal(textSignature(Buffer.from(old), S3_SECRET), 'qgk2+6Sv9/oM7G3qLEjTH1a1l1g=')
  const lines = [
    'AWS4-HMAC-SHA256',
    '20130524T000000Z',
    '20130524/us-east-1/s3/aws4_request',
    '7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972',
  ]
  t.equal(
    textSignature(Buffer.from(lines.join('\n')), S3_SECRET),
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  )
  const ec2 = lines.join('\n').replace('/s3/', '/ec2/')
  for (const bad of [
    ec2,
    lines.slice(1).join('\n').padStart(9, 'AWS4'),
    `${lines.join('\n')}\nx`,
  ]) {
    const signature = textSignature(Buffer.from(bad), S3_SECRET)
    t.ok(signature === null || !bad.startsWith('AWS4'), bad.slice(0, 40))
  }
  t.ok(equalTexts('a', 'a'))
  t.notOk(equalTexts('a', 'ab'))
})
