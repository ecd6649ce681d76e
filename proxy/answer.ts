import { errorReply } from './error-reply.ts'
import type { Exchange } from './exchange.ts'
import type { Reply } from './reply.ts'
import { finishRequest } from './request-log.ts'
import { send } from './send.ts'
import { addCorsHeaders } from './swift/cors.ts'

/** Decides on a reply; throws ServiceErrors for refusals. */
export type Handler = (exchange: Exchange) => Reply | Promise<Reply>

/**
 * Runs a request to its end, whatever happens: handler or error, CORS headers, wire, log, metrics. The hot path and
 * the koa pipeline both end here. Never rejects.
 */
export async function answer(exchange: Exchange, handler: Handler): Promise<void> {
  const { proxy } = exchange
  proxy.requestMetrics.inFlight++
  let reply: Reply
  try {
    const made = handler(exchange)
    reply = made instanceof Promise ? await made : made
  } catch (error) {
    reply = errorReply(exchange, error)
  }
  try {
    if (exchange.headers.origin !== undefined) await addCorsHeaders(exchange, reply)
    const sending = send(exchange, reply)
    if (sending !== undefined) await sending
  } catch (error) {
    proxy.log.error('answer failed', { transId: exchange.transId, error })
    exchange.res.destroy()
  }
  proxy.requestMetrics.inFlight--
  finishRequest(exchange, reply.status)
}
