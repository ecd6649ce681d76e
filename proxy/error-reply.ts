import { ServiceError } from '../common/errors.ts'
import { REQUEST_HOST, requestHost } from '../common/http/request-host.ts'
import type { Exchange } from './exchange.ts'
import { Refusal } from './refusal.ts'
import { type Reply, statusReply, textReply } from './reply.ts'
import { realmOf } from './swift/authenticate.ts'
import { escapePath } from './wire-text.ts'

/** Of a 503 that does not say when to come again. */
const RETRY_AFTER_SECONDS = 5

/**
 * The one place that turns an error into an answer. Messages of 4xx and 501 reach the client; what went wrong inside
 * goes to the log and the client learns the status only.
 */
export function errorReply(exchange: Exchange, error: unknown): Reply {
  const { proxy, transId } = exchange
  if (!(error instanceof ServiceError)) {
    proxy.log.error('request failed', { transId, error })
    return statusReply(500)
  }
  const headers = errorHeaders(exchange, error)
  const isPublic = error.status < 500 || error.status === 501
  if (!isPublic) proxy.log.warn('request refused', { transId, status: error.status, error })
  const reply =
    !isPublic || error.message === ''
      ? statusReply(error.status, headers)
      : textReply(error.status, error.message, headers)
  return { ...reply, cause: error }
}

function errorHeaders(exchange: Exchange, error: ServiceError): string[] {
  const headers: string[] = []
  if (error.status === 401) {
    headers.push('WWW-Authenticate', `Swift realm="${escapePath(realmOf(exchange))}"`)
    const { keystoneUri } = exchange.proxy.identity
    if (keystoneUri !== undefined) {
      const host = requestHost(exchange.header('host') ?? '') ?? 'localhost'
      const uri = keystoneUri.replace(REQUEST_HOST, () => host)
      headers.push('WWW-Authenticate', `Keystone uri="${uri}"`)
    }
  }
  const retryAfterSeconds =
    error.retryAfterSeconds ?? (error.status === 503 ? RETRY_AFTER_SECONDS : undefined)
  if (retryAfterSeconds !== undefined) {
    headers.push('Retry-After', String(Math.ceil(retryAfterSeconds)))
  }
  if (error instanceof Refusal) headers.push(...error.headers)
  if (error.status === 408 || error.status === 499) headers.push('Connection', 'close')
  return headers
}
