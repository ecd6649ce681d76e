/** What a request says of its signature, before anybody knows whether it is good. Pure. */
import { S3Error } from '../s3-error.ts'
import type { QueryPairs, SignableRequest } from './canonical.ts'
import type { SigningScope } from './signing-keys.ts'

export interface ClaimV4 {
  readonly version: 4
  /** In the query: a presigned URL. */
  readonly isPresigned: boolean
  readonly accessKey: string
  readonly scope: SigningScope
  /** Of the headers, in lower case and in order. */
  readonly signedHeaders: readonly string[]
  /** `20130524T000000Z` */
  readonly timestamp: string
  readonly signedAtMs: number
  /** Of a presigned URL. */
  readonly expiresSeconds: number | undefined
  readonly payloadHash: string
  readonly signature: string
}

export interface ClaimV2 {
  readonly version: 2
  readonly isPresigned: boolean
  readonly accessKey: string
  readonly signedAtMs: number | undefined
  /** Of a presigned URL: seconds since 1970, as they were signed. */
  readonly expires: string | undefined
  readonly signature: string
}

export type SignatureClaim = ClaimV4 | ClaimV2

export const EXPRESS = 's3express'

/** What the signature may be for. */
export interface ClaimScope {
  readonly services: readonly string[]
  /** The SHA-256 of the body, where no header has to say it. */
  readonly payloadHash?: string
}

/** `s3express` is how clients sign for directory buckets. */
const OF_OBJECTS: ClaimScope = { services: ['s3', EXPRESS] }

/** Of a presigned URL: a week. */
const EXPIRES_SECONDS_MAX = 604_800
/** The one of Version 4. */
export const ALGORITHM = 'AWS4-HMAC-SHA256'
const TIMESTAMP = /^\d{8}T\d{6}Z$/

/** The claim; null if the request is not signed at all. Throws S3's errors for what is not well-formed. */
export function readClaim(
  request: SignableRequest,
  query: QueryPairs,
  scope: ClaimScope = OF_OBJECTS,
): SignatureClaim | null {
  const authorization = request.headers.authorization
  const inQuery = (name: string) => query.some(([known]) => known === name)
  const isPresigned4 = inQuery('X-Amz-Algorithm') || inQuery('X-Amz-Signature')
  const isPresigned2 = inQuery('AWSAccessKeyId') && inQuery('Signature')
  if (authorization !== undefined && (isPresigned4 || isPresigned2)) {
    throw new S3Error(
      'InvalidArgument',
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
      { ArgumentName: 'Authorization', ArgumentValue: '' },
    )
  }
  if (authorization !== undefined) {
    if (authorization.startsWith('AWS ')) return headerClaimV2(request, authorization)
    if (authorization.startsWith('AWS4-')) return headerClaimV4(request, authorization, scope)
    throw new S3Error('InvalidArgument', 'Unsupported Authorization Type')
  }
  if (isPresigned4) return queryClaimV4(request, query)
  return isPresigned2 ? queryClaimV2(query) : null
}

function headerClaimV4(
  request: SignableRequest,
  authorization: string,
  within: ClaimScope,
): ClaimV4 {
  const at = authorization.lastIndexOf(SIGNATURE) + SIGNATURE.length
  const beginning = authorization.slice(0, at)
  const signer = signers.get(beginning)
  const signature = authorization.slice(at)
  if (signer === undefined || !isSignature(signature)) {
    return readHeaderV4(request, authorization, within)
  }
  const malformed = (message: string) => new S3Error('AuthorizationHeaderMalformed', message)
  const { timestamp, signedAtMs } = headerTimestamp(request)
  const payloadHash = payloadHashOf(request, within)
  checkScope(signer.scope, timestamp, malformed, within.services)
  return {
    version: 4,
    isPresigned: false,
    accessKey: signer.accessKey,
    scope: signer.scope,
    signedHeaders: signer.signedHeaders,
    timestamp,
    signedAtMs,
    expiresSeconds: undefined,
    payloadHash,
    signature,
  }
}

const SIGNATURE = 'Signature='
const SIGNATURE_CHARS = 64

/** Nothing but the last field's value: no other field begins in it. */
function isSignature(text: string): boolean {
  return text.length === SIGNATURE_CHARS && !text.includes(',')
}

type Signer = Pick<ClaimV4, 'accessKey' | 'scope' | 'signedHeaders'>

/** Beginnings remembered, all forgotten beyond it; longer ones are not remembered. */
const SIGNERS_MAX = 256
const BEGINNING_CHARS_MAX = 1024

/**
 * What well-formed headers say before their signatures: the same in all of a client's requests of a day. It says who claims
 * to have signed, and nothing of whether that is so.
 */
const signers = new Map<string, Signer>()

function rememberSigner(authorization: string, { signature, ...claim }: ClaimV4): void {
  const beginning = authorization.slice(0, -signature.length)
  const last = authorization.slice(authorization.lastIndexOf(',') + 1).trimStart()
  if (last !== SIGNATURE + signature || !isSignature(signature)) return
  if (beginning.length > BEGINNING_CHARS_MAX) return
  if (signers.size >= SIGNERS_MAX) signers.clear()
  const { accessKey, scope, signedHeaders } = claim
  signers.set(flat(beginning), {
    accessKey: flat(accessKey),
    scope: {
      day: flat(scope.day),
      region: flat(scope.region),
      service: flat(scope.service),
      text: flat(scope.text),
    },
    signedHeaders: signedHeaders.map(flat),
  })
}

/** A text of its own: a part of another one would keep all of that, a whole head. */
function flat(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('latin1')
}

function readHeaderV4(
  request: SignableRequest,
  authorization: string,
  within: ClaimScope,
): ClaimV4 {
  const space = authorization.indexOf(' ')
  if (authorization.slice(0, space) !== ALGORITHM) throw otherAlgorithm()
  const fields = new Map<string, string>()
  for (const field of authorization.slice(space + 1).split(',')) {
    const equals = field.indexOf('=')
    fields.set(field.slice(0, equals).trim(), field.slice(equals + 1).trim())
  }
  const credential = fields.get('Credential')
  const signedHeaders = fields.get('SignedHeaders')
  const signature = fields.get('Signature')
  if (!credential || !signedHeaders || !signature) {
    throw new S3Error(
      'AuthorizationHeaderMalformed',
      'The authorization header requires three components: Credential, SignedHeaders, and Signature.',
    )
  }
  const malformed = (message: string) => new S3Error('AuthorizationHeaderMalformed', message)
  const { timestamp, signedAtMs } = headerTimestamp(request)
  const payloadHash = payloadHashOf(request, within)
  const claim: ClaimV4 = {
    version: 4,
    isPresigned: false,
    ...credentialOf(credential, timestamp, malformed, within.services),
    signedHeaders: headerNames(signedHeaders, malformed),
    timestamp,
    signedAtMs,
    expiresSeconds: undefined,
    payloadHash,
    signature,
  }
  rememberSigner(authorization, claim)
  return claim
}

function payloadHashOf(request: SignableRequest, { payloadHash: known }: ClaimScope): string {
  const payloadHash = header(request, 'x-amz-content-sha256') ?? known
  if (payloadHash !== undefined) return payloadHash
  throw new S3Error(
    'InvalidRequest',
    'Missing required header for this request: x-amz-content-sha256',
  )
}

function queryClaimV4(request: SignableRequest, query: QueryPairs): ClaimV4 {
  const get = (name: string) => query.find(([known]) => known === name)?.[1]
  const malformed = (message: string) => new S3Error('AuthorizationQueryParametersError', message)
  if (get('X-Amz-Algorithm') !== ALGORITHM) throw otherAlgorithm()
  const [credential, timestamp] = [get('X-Amz-Credential'), get('X-Amz-Date')]
  const [signedHeaders, expires] = [get('X-Amz-SignedHeaders'), get('X-Amz-Expires')]
  const signature = get('X-Amz-Signature')
  if (!credential || !timestamp || !signedHeaders || !expires || !signature) {
    throw malformed(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    )
  }
  const signedAtMs = timeOf(timestamp)
  if (signedAtMs === undefined) {
    throw malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
  }
  if (!/^-?\d{1,9}$/.test(expires)) throw malformed('X-Amz-Expires should be a number')
  if (Number(expires) < 1 || Number(expires) > EXPIRES_SECONDS_MAX) {
    throw new S3Error('AccessDenied', 'X-Amz-Expires must be between 1 and 604800 seconds')
  }
  return {
    version: 4,
    isPresigned: true,
    ...credentialOf(credential, timestamp, malformed),
    signedHeaders: headerNames(signedHeaders, malformed),
    timestamp,
    signedAtMs,
    expiresSeconds: Number(expires),
    payloadHash:
      get('X-Amz-Content-Sha256') ?? header(request, 'x-amz-content-sha256') ?? 'UNSIGNED-PAYLOAD',
    signature,
  }
}

function headerClaimV2(request: SignableRequest, authorization: string): ClaimV2 {
  const words = authorization.slice('AWS '.length).trim()
  const colon = words.lastIndexOf(':')
  if (colon < 1 || colon === words.length - 1) {
    throw new S3Error(
      'InvalidArgument',
      'AWS authorization header is invalid. Expected AwsAccessKeyId:signature',
    )
  }
  const date = header(request, 'x-amz-date') ?? header(request, 'date')
  const signedAtMs = date === undefined ? Number.NaN : (timeOf(date) ?? Date.parse(date))
  if (Number.isNaN(signedAtMs)) throw noDate()
  const [accessKey, signature] = [words.slice(0, colon), words.slice(colon + 1)]
  return { version: 2, isPresigned: false, accessKey, signedAtMs, expires: undefined, signature }
}

function queryClaimV2(query: QueryPairs): ClaimV2 {
  const get = (name: string) => query.find(([known]) => known === name)?.[1]
  const expires = get('Expires')
  if (expires === undefined || !/^\d{1,12}$/.test(expires)) {
    throw new S3Error(
      'AccessDenied',
      'Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters',
    )
  }
  if (Number(expires) >= 2 ** 31) {
    throw new S3Error('AccessDenied', `Invalid date (should be seconds since epoch): ${expires}`)
  }
  const [accessKey, signature] = [get('AWSAccessKeyId')!, get('Signature')!]
  return { version: 2, isPresigned: true, accessKey, signedAtMs: undefined, expires, signature }
}

/** `AKID/20130524/us-east-1/s3/aws4_request`; the access key may hold slashes. */
export function credentialOf(
  credential: string,
  timestamp: string,
  malformed: (message: string) => S3Error,
  services: readonly string[] = OF_OBJECTS.services,
): { readonly accessKey: string; readonly scope: SigningScope } {
  const parts = credential.split('/')
  const [day, region, service, end] = parts.slice(-4)
  const accessKey = parts.slice(0, -4).join('/')
  if (accessKey === '' || end !== 'aws4_request' || region === undefined) {
    throw malformed(
      'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
    )
  }
  const text = `${day}/${region}/${service}/${end}`
  const scope = { day: day!, region, service: service!, text }
  checkScope(scope, timestamp, malformed, services)
  return { accessKey, scope }
}

function checkScope(
  { day, service }: SigningScope,
  timestamp: string,
  malformed: (message: string) => S3Error,
  services: readonly string[],
): void {
  if (!services.includes(service))
    throw malformed(`incorrect service "${service}". This endpoint belongs to "${services[0]}".`)
  if (day !== timestamp.slice(0, 8)) {
    throw malformed(`Invalid credential date "${day}". This date is not the same as X-Amz-Date.`)
  }
}

/** One or more, between semicolons. */
const HEADER_NAMES = /^[!#$%&'*+\-.^_`|~0-9a-z]+(?:;[!#$%&'*+\-.^_`|~0-9a-z]+)*$/

function headerNames(text: string, malformed: (message: string) => S3Error): readonly string[] {
  const names = text.split(';')
  if (!names.includes('host')) throw malformed('SignedHeaders must name the Host header')
  if (!HEADER_NAMES.test(text)) {
    throw malformed('SignedHeaders is not a list of header names in lower case')
  }
  return names
}

function headerTimestamp(request: SignableRequest): Pick<ClaimV4, 'timestamp' | 'signedAtMs'> {
  const text = header(request, 'x-amz-date') ?? header(request, 'date')
  const longMs = text === undefined ? undefined : timeOf(text)
  if (longMs !== undefined) return { timestamp: text!, signedAtMs: longMs }
  if (text === undefined || header(request, 'x-amz-date') !== undefined) throw noDate()
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw noDate()
  const timestamp = new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, '')
  return { timestamp, signedAtMs: timeOf(timestamp)! }
}

/** The time read last: the requests of a second share theirs. */
let lastTime = { text: '', ms: 0 }

/** Milliseconds since 1970; undefined if it is no such time. */
function timeOf(timestamp: string): number | undefined {
  if (timestamp === lastTime.text) return lastTime.ms
  const ms = readTime(timestamp)
  if (ms !== undefined) lastTime = { text: timestamp, ms }
  return ms
}

function readTime(timestamp: string): number | undefined {
  if (!TIMESTAMP.test(timestamp)) return undefined
  const pair = (at: number) => Number(timestamp.slice(at, at + 2))
  const [month, day, hour, minute, second] = [pair(4), pair(6), pair(9), pair(11), pair(13)]
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return undefined
  const ms = Date.UTC(Number(timestamp.slice(0, 4)), month - 1, day, hour, minute, second)
  // The second of March is no 30th of February.
  return new Date(ms).getUTCDate() === day ? ms : undefined
}

function header({ headers }: SignableRequest, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.join(',')
}

function noDate(): S3Error {
  return new S3Error(
    'AccessDenied',
    'AWS authentication requires a valid Date or x-amz-date header',
  )
}

function otherAlgorithm(): S3Error {
  return new S3Error(
    'NotImplemented',
    `The only signature algorithm of Version 4 here is ${ALGORITHM}.`,
  )
}
