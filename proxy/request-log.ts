import { withoutSecrets } from './access-log/log-secrets.ts'
import type { Exchange } from './exchange.ts'
import { pathOfUrl, queryOfUrl } from './swift/path.ts'

/**
 * Writes the access log's line and counts the request, once its answer is on the way. Tokens, keys and signatures are
 * never part of it.
 */
export function finishRequest(exchange: Exchange, status: number): void {
  const { proxy, method, kind, bytesIn, bytesOut } = exchange
  const durationMs = proxy.clock.monotonicMs() - exchange.startedMs
  const finished = { method, kind, status, durationMs, bytesIn, bytesOut }
  proxy.requestMetrics.count(finished)
  proxy.statsd?.count(finished)
  exchange.onFinish?.(status)
  if (proxy.log.wantsInfo === false) return
  if (proxy.accessLines !== null) {
    const line = proxy.accessLines.lineOf(exchange, { status, durationMs })
    proxy.log.info('request', { line })
    return
  }
  proxy.log.info('request', {
    transId: exchange.transId,
    method,
    path: pathOfUrl(exchange.url),
    query: safeQuery(exchange.url),
    status,
    bytesIn,
    bytesOut,
    durationMs: Math.round(durationMs * 1000) / 1000,
    client: exchange.socket.remoteAddress,
    user: exchange.authority?.by ?? exchange.caller?.user ?? exchange.signedInAs,
    agent: exchange.header('user-agent'),
  })
}

function safeQuery(url: string): string | undefined {
  const query = queryOfUrl(url)
  return query === '' ? undefined : withoutSecrets(query)
}
