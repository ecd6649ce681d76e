import type { Exchange } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { type Reply, statusReply } from '../reply.ts'
import { escapePath } from '../wire-text.ts'
import type { PipelineMiddleware } from './state.ts'

/**
 * Swift's v1 sign-in: user and key in headers, token and storage URL back. `/auth/v1.0` and its aliases take the user
 * as `account:name`; `/auth/v1/{account}/auth` takes the account from the path too.
 */
export function signIn(proxy: ProxyContext): PipelineMiddleware {
  return async (ctx) => {
    const { exchange } = ctx.state
    if (exchange.method !== 'GET') {
      ctx.state.reply = statusReply(405, ['Allow', 'GET'])
      return
    }
    const account = (ctx.params as { readonly account?: string } | undefined)?.account
    ctx.state.reply = await signInReply(proxy, exchange, account)
  }
}

async function signInReply(
  proxy: ProxyContext,
  exchange: Exchange,
  pathAccount: string | undefined,
): Promise<Reply> {
  const user = userOf(exchange, pathAccount)
  const key = exchange.text('x-auth-key') || exchange.text('x-storage-pass')
  if (user === null) return refused(pathAccount)
  exchange.signedInAs = user
  const account = user.slice(0, user.indexOf(':'))
  if (!key) return refused(account)
  const signedIn = await proxy.identity.signIn(user, key)
  if (signedIn === null) return refused(account)
  const expiresInMs = signedIn.expiresAtMs - proxy.clock.nowMs()
  const base = proxy.settings.storageUrlBase ?? hostUrl(exchange)
  return {
    status: 200,
    headers: [
      'Content-Type',
      'text/html; charset=UTF-8',
      'X-Auth-Token',
      signedIn.token,
      'X-Storage-Token',
      signedIn.token,
      'X-Auth-Token-Expires',
      String(Math.max(0, Math.floor(expiresInMs / 1000))),
      'X-Storage-Url',
      `${base.replace(/\/$/, '')}/v1/${escapePath(signedIn.account)}`,
    ],
    body: null,
  }
}

/** `account:name`, or null if the headers do not say. */
function userOf(exchange: Exchange, pathAccount: string | undefined): string | null {
  const sent = exchange.text('x-auth-user') || exchange.text('x-storage-user')
  if (!sent) return null
  if (pathAccount !== undefined && !sent.includes(':')) return `${pathAccount}:${sent}`
  const colon = sent.indexOf(':')
  if (colon < 1 || colon === sent.length - 1) return null
  return pathAccount === undefined || sent.startsWith(`${pathAccount}:`) ? sent : null
}

function refused(account: string | undefined): Reply {
  const realm = escapePath(account ?? 'unknown')
  return statusReply(401, ['WWW-Authenticate', `Swift realm="${realm}"`])
}

/** Where the client reached us. */
function hostUrl(exchange: Exchange): string {
  const { socket } = exchange
  const scheme = 'encrypted' in socket && socket.encrypted === true ? 'https' : 'http'
  const host = exchange.header('host') ?? `${socket.localAddress}:${socket.localPort}`
  return `${scheme}://${host}`
}
