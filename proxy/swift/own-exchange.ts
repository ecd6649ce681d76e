/** Requests that nobody has sent: of work that the process does by itself, with the rights that it gives itself. */
import { Socket } from 'node:net'
import { type Authority, Exchange, type PlacesJudged } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import type { ReplySink } from '../reply-sink.ts'
import type { SwiftPath } from './path.ts'

/** An exchange that inner ones are made from; it is never answered itself. */
export function ownExchange(
  proxy: ProxyContext,
  { path, authority }: { readonly path: SwiftPath; readonly authority: Authority },
): Exchange {
  const exchange = new Exchange(proxy, {
    method: 'DELETE',
    url: '/',
    headers: {},
    // Never connected: who looks at it sees no address.
    socket: new Socket(),
    body: { complete: true, receive: () => Buffer.alloc(0) },
    res: new NoSink(),
    continueExpected: false,
    transId: proxy.transIds.next(undefined),
  })
  exchange.path = path
  exchange.authority = authority
  exchange.judged = EVERYWHERE
  exchange.caller = {
    user: authority.by,
    account: authority.account,
    groups: [],
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  }
  return exchange
}

/** No policy binds what the store does by itself. */
const EVERYWHERE: PlacesJudged = { has: () => true, [Symbol.iterator]: () => [].values() }

/** A client that is always there and takes nothing. */
class NoSink implements ReplySink {
  readonly destroyed = false
  readonly shouldKeepAlive = true
  readonly writableEnded = false
  readonly writableFinished = false

  removeHeader(): void {}

  writeHead(): never {
    throw new Error('nobody waits for an answer')
  }

  writeContinue(): void {}

  write(): never {
    return this.writeHead()
  }

  end(): never {
    return this.writeHead()
  }

  destroy(): void {}

  on(): void {}

  off(): void {}

  once(): void {}
}
