/** What a request's headers say of its body: how it is coded, how long it is, and what must be true of it. Pure. */
import {
  algorithmOfHeader,
  type ChecksumAlgorithm,
  checksumAlgorithm,
  checksumHeader,
  isChecksumValue,
} from '../checksum/checksum-algorithm.ts'
import { notImplemented, S3Error } from '../s3-error.ts'

/** How the bytes come. */
export type BodyCoding =
  | { readonly kind: 'plain' }
  | { readonly kind: 'chunked'; readonly isSigned: boolean; readonly hasTrailer: boolean }

export interface BodyPlan {
  readonly coding: BodyCoding
  /** Of the decoded body; null if nothing says so. */
  readonly bytes: number | null
  /** In hex; absent: the payload is not signed, or by its chunks. */
  readonly sha256?: string
  /** In hex. */
  readonly md5?: string
  /** What the client says the checksum is: now, or (without a value) in the trailer. */
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly value?: string }
}

type HeaderReader = (name: string) => string | undefined

const STREAMING = /^STREAMING-(AWS4-HMAC-SHA256-PAYLOAD|UNSIGNED-PAYLOAD)(-TRAILER)?$/
const SHA256_HEX = /^[0-9a-f]{64}$/

/** `payloadHash` is what was signed for the body: x-amz-content-sha256. Absent: nothing was. */
export function planBody(
  header: HeaderReader,
  headerNames: readonly string[],
  payloadHash: string | undefined,
): BodyPlan {
  const coding = codingOf(payloadHash)
  const md5 = md5Of(header('content-md5'))
  const checksum = checksumOfHeaders(header, headerNames)
  if (checksum !== undefined && checksum.value === undefined) {
    if (coding.kind === 'plain' || !coding.hasTrailer) {
      throw new S3Error('InvalidRequest', 'x-amz-trailer is for bodies with a trailer only.')
    }
  }
  const isHash = payloadHash !== undefined && SHA256_HEX.test(payloadHash)
  return {
    coding,
    bytes: lengthOf(header, coding),
    ...(isHash && { sha256: payloadHash }),
    ...(md5 !== undefined && { md5 }),
    ...(checksum !== undefined && { checksum }),
  }
}

/** Content-Encoding as it is kept: aws-chunked is for the way only. */
export function storedEncoding(encoding: string | undefined): string | undefined {
  if (encoding === undefined) return undefined
  const words = encoding.split(',').map((word) => word.trim())
  const kept = words.filter((word) => word !== '' && word.toLowerCase() !== 'aws-chunked')
  if (kept.length === words.length) return encoding
  return kept.length === 0 ? undefined : kept.join(', ')
}

function codingOf(payloadHash: string | undefined): BodyCoding {
  if (payloadHash === undefined || payloadHash === 'UNSIGNED-PAYLOAD') return { kind: 'plain' }
  if (SHA256_HEX.test(payloadHash)) return { kind: 'plain' }
  const match = STREAMING.exec(payloadHash)
  if (match !== null) {
    const isSigned = match[1] !== 'UNSIGNED-PAYLOAD'
    const hasTrailer = match[2] !== undefined
    if (isSigned || hasTrailer) return { kind: 'chunked', isSigned, hasTrailer }
  }
  if (payloadHash.startsWith('STREAMING-AWS4-ECDSA-')) throw notImplemented(payloadHash)
  throw new S3Error(
    'InvalidArgument',
    'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a valid sha256 value.',
    { ArgumentName: 'x-amz-content-sha256', ArgumentValue: payloadHash },
  )
}

function lengthOf(header: HeaderReader, coding: BodyCoding): number | null {
  const name = coding.kind === 'chunked' ? 'x-amz-decoded-content-length' : 'content-length'
  const text = header(name)
  if (text === undefined) {
    if (coding.kind === 'chunked') throw new S3Error('MissingContentLength')
    return null
  }
  if (!/^\d{1,15}$/.test(text)) {
    throw new S3Error('InvalidArgument', `${name} is not a length.`)
  }
  return Number(text)
}

function md5Of(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== 16 || bytes.toString('base64') !== text.trim())
    throw new S3Error('InvalidDigest')
  return bytes.toString('hex')
}

function checksumOfHeaders(
  header: HeaderReader,
  headerNames: readonly string[],
): BodyPlan['checksum'] {
  const named: ChecksumAlgorithm[] = []
  for (const name of headerNames) {
    const algorithm = algorithmOfHeader(name)
    if (algorithm !== undefined) named.push(algorithm)
  }
  const trailer = header('x-amz-trailer')
  const sdkName = header('x-amz-sdk-checksum-algorithm')
  const sdk = sdkName === undefined ? undefined : checksumAlgorithm(sdkName)
  if (sdkName !== undefined && sdk === undefined) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-sdk-checksum-algorithm header is invalid.')
  }
  if (named.length > 1 || (named.length > 0 && trailer !== undefined)) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    )
  }
  const checksum = trailer === undefined ? ofHeader(header, named[0]) : ofTrailer(trailer)
  if (sdk === undefined || checksum?.algorithm === sdk) return checksum
  if (checksum !== undefined) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-sdk-checksum-algorithm header is invalid.')
  }
  throw new S3Error(
    'InvalidRequest',
    'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
  )
}

function ofHeader(
  header: HeaderReader,
  algorithm: ChecksumAlgorithm | undefined,
): BodyPlan['checksum'] {
  if (algorithm === undefined) return undefined
  const name = checksumHeader(algorithm)
  const value = header(name)!
  if (!isChecksumValue(algorithm, value)) {
    throw new S3Error('BadDigest', `Value for ${name} header is invalid.`)
  }
  return { algorithm, value }
}

function ofTrailer(trailer: string): BodyPlan['checksum'] {
  const algorithm = algorithmOfHeader(trailer.trim().toLowerCase())
  if (algorithm === undefined) {
    throw new S3Error(
      'InvalidRequest',
      'The value specified in the x-amz-trailer header is not supported',
    )
  }
  return { algorithm }
}
