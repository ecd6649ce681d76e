import { ServiceError } from '../../common/errors.ts'
import { CUSTOMER_KEY_NEEDED } from '../encryption/sse-record.ts'
import type { Exchange } from '../exchange.ts'
import type { Reply } from '../reply.ts'
import { pathOfUrl } from '../swift/path.ts'
import { toWire } from '../wire-text.ts'
import { keyNeeded } from './encryption/customer-key.ts'
import { S3_ERRORS, type S3Code, S3Error } from './s3-error.ts'
import { renderXml } from './xml/xml-out.ts'

/** What the words of an error depend on. */
export type Refused = Pick<Exchange, 'proxy' | 'transId' | 'method' | 'url' | 'headers' | 'path'>

/** Headers that every answer of S3's has. */
export function s3Headers(exchange: Refused): string[] {
  return ['x-amz-request-id', exchange.transId, 'x-amz-id-2', hostIdOf(exchange)]
}

/** The one place that turns an error into S3's answer. What went wrong inside goes to the log. */
export function s3ErrorReply(exchange: Refused, error: unknown): Reply {
  const { proxy, transId } = exchange
  if (!(error instanceof ServiceError)) proxy.log.error('request failed', { transId, error })
  const known = asS3Error(exchange, error)
  if (error instanceof ServiceError && known.status >= 500 && known.status !== 501) {
    proxy.log.warn('request refused', { transId, status: known.status, error })
  }
  const headers = ['Content-Type', 'application/xml', ...known.headers, ...s3Headers(exchange)]
  const retryAfter = error instanceof ServiceError ? error.retryAfterSeconds : undefined
  if (retryAfter !== undefined) headers.push('Retry-After', String(Math.ceil(retryAfter)))
  if (known.code === 'RequestTimeout' || known.code === 'IncompleteBody')
    headers.push('Connection', 'close')
  const body = renderXml('Error', {
    Code: known.code,
    Message: known.message,
    ...known.details,
    Resource: pathOfUrl(exchange.url),
    RequestId: transId,
    HostId: hostIdOf(exchange),
  })
  return { status: known.status, headers, body: exchange.method === 'HEAD' ? null : body }
}

/** What the store's own failures are called in S3, by their status. */
const BY_STATUS: Readonly<Record<number, S3Code>> = {
  401: 'AccessDenied',
  403: 'AccessDenied',
  405: 'MethodNotAllowed',
  408: 'RequestTimeout',
  411: 'MissingContentLength',
  412: 'PreconditionFailed',
  413: 'QuotaExceeded',
  416: 'InvalidRange',
  422: 'BadDigest',
  499: 'IncompleteBody',
  501: 'NotImplemented',
  503: 'ServiceUnavailable',
  507: 'StorageFull',
}

/** The error in S3’s words. */
export function asS3Error(exchange: Refused, error: unknown): S3Error {
  if (error instanceof S3Error) return error
  if (!(error instanceof ServiceError)) return new S3Error('InternalError')
  const { status, message } = error
  if (error.code === 'WriteConflict' && isConditional(exchange)) {
    return new S3Error('ConditionalRequestConflict')
  }
  if (error.code === 'InvalidToken' || error.code === 'ExpiredToken') return new S3Error(error.code)
  if (error.code === CUSTOMER_KEY_NEEDED) return keyNeeded()
  if (status === 404) return notFound(exchange, error)
  if (status === 400) return new S3Error('InvalidRequest', message || undefined)
  if (status === 409) return new S3Error('OperationAborted')
  const code = BY_STATUS[status] ?? 'InternalError'
  return new S3Error(code, status === 501 && message !== '' ? message : S3_ERRORS[code][1])
}

function notFound(exchange: Refused, error: ServiceError): S3Error {
  const { path } = exchange
  if (path?.object === undefined || error.code === 'NoSuchContainer') {
    return new S3Error('NoSuchBucket', undefined, { BucketName: path?.container ?? '' })
  }
  return new S3Error('NoSuchKey', undefined, { Key: path.object })
}

function isConditional({ headers }: Refused): boolean {
  return headers['if-match'] !== undefined || headers['if-none-match'] !== undefined
}

function hostIdOf(exchange: Refused): string {
  return btoa(toWire(`${exchange.proxy.settings.clusterName}/${exchange.transId}`))
}
