/** Whether a request's signature is that of the secret: pure, and in constant time. */
import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { S3Error } from '../s3-error.ts'
import { canonicalRequest, type QueryPairs, type SignableRequest } from './canonical.ts'
import type { HmacSha256 } from './hmac-sha256.ts'
import { ALGORITHM, type ClaimV2, type ClaimV4 } from './signature-claim.ts'
import type { SigningKeys } from './signing-keys.ts'
import { stringToSignV2 } from './string-to-sign-v2.ts'

/** How far a client's clock may be from ours. */
const SKEW_MS_MAX = 15 * 60_000

/** A request that is as its signer sent it, and what its chunks are signed with. */
export interface GoodSignature {
  readonly key: HmacSha256
  /** `20130524/us-east-1/s3/aws4_request` */
  readonly scope: string
  readonly timestamp: string
  readonly signature: string
}

/** Throws SignatureDoesNotMatch, RequestTimeTooSkewed or AccessDenied unless all is well. */
export function verifyV4(
  request: SignableRequest,
  claim: ClaimV4,
  by: {
    readonly secret: string
    readonly query: QueryPairs
    readonly keys: SigningKeys
    readonly nowMs: number
  },
): GoodSignature {
  checkTimeV4(claim, by.nowMs)
  checkAllSigned(request.headers, claim.signedHeaders)
  const canonical = canonicalRequest(request, {
    headers: claim.signedHeaders,
    payloadHash: claim.payloadHash,
    query: by.query,
    without: claim.isPresigned ? 'X-Amz-Signature' : undefined,
  })
  const { text: scope } = claim.scope
  const text = `${ALGORITHM}\n${claim.timestamp}\n${scope}\n${sha256Hex(canonical)}`
  const key = by.keys.get(by.secret, claim.scope)
  if (!isEqualText(key.hex(text), claim.signature)) {
    throw wrongSignature(claim, text)
  }
  return { key, scope, timestamp: claim.timestamp, signature: claim.signature }
}

/** The same for Version 2, which signs neither body nor plain headers. `bucket` is that of the request's Host, if any. */
export function verifyV2(
  request: SignableRequest,
  claim: ClaimV2,
  by: {
    readonly secret: string
    readonly query: QueryPairs
    readonly bucket: string | undefined
    readonly nowMs: number
  },
): void {
  if (claim.signedAtMs !== undefined && claim.signedAtMs < 0) throw noTime()
  if (claim.signedAtMs !== undefined) checkSkew(claim.signedAtMs, by.nowMs)
  if (claim.expires !== undefined && Number(claim.expires) * 1000 < by.nowMs) throw expired()
  const options = { query: by.query, bucket: by.bucket, expires: claim.expires }
  const text = stringToSignV2(request, options)
  const texts =
    by.bucket === undefined && isBareBucket(request)
      ? [text, stringToSignV2({ ...request, url: withSlash(request.url) }, options)]
      : [text]
  const isGood = texts.some((signed) => {
    const signature = createHmac('sha1', by.secret).update(signed, 'latin1').digest('base64')
    return isEqualText(signature, claim.signature)
  })
  if (!isGood) throw wrongSignature(claim, text)
}

/** `/bucket`: boto3 signs it as if it ended with a slash. */
function isBareBucket({ url }: SignableRequest): boolean {
  return /^\/[^/?]+(?:\?|$)/.test(url)
}

function withSlash(url: string): string {
  return url.replace(/(?=\?)|$/, '/')
}

/** Whether the texts are the same, in a time that does not tell where they differ. */
export function isEqualText(a: string, b: string): boolean {
  const [first, second] = [Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')]
  return first.length === second.length && timingSafeEqual(first, second)
}

export function sha256Hex(bytes: string | Uint8Array): string {
  return hash('sha256', typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, 'hex')
}

function checkTimeV4(claim: ClaimV4, nowMs: number): void {
  const { expiresSeconds, signedAtMs } = claim
  if (expiresSeconds === undefined) {
    checkSkew(signedAtMs, nowMs)
  } else if (signedAtMs > nowMs + SKEW_MS_MAX) {
    throw new S3Error('AccessDenied', 'Request is not valid yet')
  } else if (signedAtMs + expiresSeconds * 1000 < nowMs) {
    throw expired()
  }
}

function checkSkew(signedAtMs: number, nowMs: number): void {
  if (Math.abs(signedAtMs - nowMs) <= SKEW_MS_MAX) return
  throw new S3Error('RequestTimeTooSkewed', undefined, {
    RequestTime: new Date(signedAtMs).toISOString(),
    ServerTime: new Date(nowMs).toISOString(),
    MaxAllowedSkewMilliseconds: String(SKEW_MS_MAX),
  })
}

/**
 * What a signer has not signed, somebody else may have added: an x-amz-copy-source on a presigned PUT would copy whatever
 * the signer may read (CVE-2026-71191).
 */
function checkAllSigned(headers: IncomingHttpHeaders, signed: readonly string[]): void {
  const unsigned: string[] = []
  for (const name in headers)
    if (name.startsWith('x-amz-') && !signed.includes(name)) unsigned.push(name)
  if (unsigned.length === 0) return
  throw new S3Error(
    'AccessDenied',
    'There were headers present in the request which were not signed',
    {
      HeadersNotSigned: unsigned.join(', '),
    },
  )
}

function noTime(): S3Error {
  return new S3Error('AccessDenied', 'The Date or x-amz-date header is before 1970.')
}

function expired(): S3Error {
  return new S3Error('AccessDenied', 'Request has expired')
}

function wrongSignature(claim: ClaimV4 | ClaimV2, text: string): S3Error {
  return new S3Error('SignatureDoesNotMatch', undefined, {
    AWSAccessKeyId: claim.accessKey,
    StringToSign: text,
    SignatureProvided: claim.signature,
  })
}
