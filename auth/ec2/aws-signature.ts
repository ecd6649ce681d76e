import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** A request that was signed for EC2, as whoever got it passes it on. */
export interface SignedRequest {
  readonly verb: string
  readonly host: string
  readonly path: string
  readonly params: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  /** Of version 4: the SHA-256 of its body in hex. */
  readonly bodyHash: string
}

/**
 * What the signature has to be: AWS's versions 0, 1, 2 (by `SignatureVersion`) and 4 (by the Authorization header or
 * `X-Amz-Algorithm`). Null for a request that is signed in no such way, or whose date is not that of its scope.
 */
export function requestSignature(request: SignedRequest, secret: string): string | null {
  const { params } = request
  switch (params.SignatureVersion) {
    case '0':
      return hmac('sha1', secret, (params.Action ?? '') + (params.Timestamp ?? '')).toString(
        'base64',
      )
    case '1':
      return hmac('sha1', secret, sortedText(params)).toString('base64')
    case '2':
      return hmac('sha256', secret, textOfVersion2(request)).toString('base64')
    case undefined:
      return isVersion4(request) ? signatureOfVersion4(request, secret) : null
    default:
      return null
  }
}

/** Services whose requests of version 4 the S3 API passes on. */
const S3_SERVICES = ['s3', 'iam', 'sts']

/**
 * The signature of a text that a client of S3 had to sign: version 4 if it begins so, else version 2 (HMAC-SHA1). Null
 * if it is none of S3.
 */
export function textSignature(text: Buffer, secret: string): string | null {
  if (text.subarray(0, 4).toString('latin1') !== 'AWS4') {
    return hmac('sha1', secret, text).toString('base64')
  }
  const [algorithm, , scope = '', ...rest] = text.toString('latin1').split('\n')
  const [date, region, service = '', end, ...more] = scope.split('/')
  if (algorithm !== 'AWS4-HMAC-SHA256' || rest.length !== 1) return null
  if (end !== 'aws4_request' || more.length > 0 || !S3_SERVICES.includes(service)) return null
  return hmac('sha256', signingKey(secret, [date!, region!, service]), text).toString('hex')
}

/** Whether two texts are equal, in a time that does not tell where they differ. */
export function equalTexts(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

function sortedText(params: SignedRequest['params']): string {
  const lower = (text: string) => text.toLowerCase()
  const names = Object.keys(params).sort((a, b) => (lower(a) < lower(b) ? -1 : 1))
  return names.map((name) => name + params[name]).join('')
}

function textOfVersion2({ verb, host, path, params }: SignedRequest): string {
  const query = canonicalQuery({ ...params, SignatureMethod: 'HmacSHA256' })
  return [verb, host, path, query].join('\n')
}

function canonicalQuery(params: SignedRequest['params']): string {
  const names = Object.keys(params).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return names.map((name) => `${quoted(name)}=${quoted(params[name]!)}`).join('&')
}

/** As RFC 3986 has it: all but letters, digits and `-._~`. */
function quoted(text: string): string {
  const escaped = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(Buffer.from(text).toString()).replace(/[!'()*]/g, escaped)
}

const ALGORITHM = 'AWS4-HMAC-SHA256'

function isVersion4({ headers, params }: SignedRequest): boolean {
  const { Authorization: authorization } = headers
  if (authorization !== undefined) return authorization.startsWith(ALGORITHM)
  return params['X-Amz-Algorithm'] === ALGORITHM
}

function signatureOfVersion4(request: SignedRequest, secret: string): string | null {
  const { verb, path, params, headers, bodyHash } = request
  const parameter = (name: string): string | undefined => {
    const { Authorization: authorization } = headers
    if (authorization === undefined) return params[`X-Amz-${name}`]
    return new RegExp(`${name}=([^,]*)`).exec(authorization)?.[1]
  }
  const date = headers['X-Amz-Date'] ?? params['X-Amz-Date']
  const [, ...scope] = (parameter('Credential') ?? '').split('/')
  const signed = parameter('SignedHeaders')
  if (date === undefined || signed === undefined || scope.length !== 4) return null
  if (!date.startsWith(scope[0]!)) return null
  const canonical = [
    verb.toUpperCase(),
    path,
    verb.toUpperCase() === 'POST' ? '' : canonicalQuery(withoutSignature(params)),
    canonicalHeaders(headers, signed),
    signed,
    bodyHash,
  ].join('\n')
  const hash = createHash('sha256').update(canonical).digest('hex')
  const text = [ALGORITHM, date, scope.join('/'), hash].join('\n')
  return hmac('sha256', signingKey(secret, scope.slice(0, 3)), text).toString('hex')
}

/** Of a signed URL; what carries the signature is not signed itself. */
function withoutSignature(params: SignedRequest['params']): SignedRequest['params'] {
  return Object.fromEntries(Object.entries(params).filter(([name]) => name !== 'X-Amz-Signature'))
}

function canonicalHeaders(headers: SignedRequest['headers'], signed: string): string {
  const lower = new Map(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase().trim(), value.trim()]),
  )
  const lines = signed.split(';').filter((name) => lower.has(name))
  return `${lines.map((name) => `${name}:${lower.get(name)}`).join('\n')}\n`
}

function signingKey(secret: string, [date, region, service]: readonly string[]): Buffer {
  const dated = hmac('sha256', `AWS4${secret}`, date!)
  const placed = hmac('sha256', hmac('sha256', dated, region!), service!)
  return hmac('sha256', placed, 'aws4_request')
}

function hmac(algorithm: string, key: string | Buffer, text: string | Buffer): Buffer {
  return createHmac(algorithm, key).update(text).digest()
}
