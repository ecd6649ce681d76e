/**
 * `/status` (a page) and `/status.json`: what the cluster looks like from inside. Addresses, disks and damage are for its
 * operators: who asks from this machine itself, or with the token of somebody who may read all accounts.
 */
import type { Exchange } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { type Reply, statusReply } from '../reply.ts'
import type { ClusterStatus } from '../status/cluster-status.ts'
import { PAGE_POLICY, statusPage } from '../status/status-page.ts'
import { authenticate } from '../swift/authenticate.ts'
import { type PipelineMiddleware, serveGet } from './state.ts'

const OPERATOR_GROUPS = ['.reseller_admin', '.reseller_reader']

export function status(proxy: ProxyContext): PipelineMiddleware {
  const { readStatus } = proxy.settings
  return (ctx) =>
    serveGet(ctx, async () => {
      const { exchange } = ctx.state
      if (readStatus === undefined) return statusReply(404)
      const refused = await refusalOfStranger(exchange, 'status')
      if (refused !== null) return refused
      const found = await readStatus()
      return ctx.path.endsWith('.json') ? jsonOf(found) : pageOf(found)
    })
}

/** Null for an operator of the cluster: who asks from this machine itself, or may read all accounts. */
export async function refusalOfStranger(exchange: Exchange, realm: string): Promise<Reply | null> {
  await authenticate(exchange)
  const { caller } = exchange
  if (caller !== null) {
    return caller.groups.some((group) => OPERATOR_GROUPS.includes(group)) ? null : statusReply(403)
  }
  return isFromHere(exchange)
    ? null
    : statusReply(401, ['WWW-Authenticate', `Swift realm="${realm}"`])
}

/** Headers by which a proxy in front says for whom it asks. */
const FORWARDING = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/
const LOOPBACK_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i

/**
 * Whether it comes from this machine and nobody else: a proxy in front passes on what comes from elsewhere, and a page
 * from elsewhere whose name leads here (DNS rebinding) has another Host. What a balancer says of its clients' addresses is
 * not enough for that.
 */
function isFromHere({ proxy, socket, headers }: Exchange): boolean {
  return (
    !proxy.settings.layers?.proxyProtocol &&
    LOOPBACK.test(socket.remoteAddress ?? '') &&
    LOOPBACK_HOST.test(headers.host ?? '') &&
    FORWARDING.every((name) => headers[name] === undefined)
  )
}

const NOT_KEPT = ['Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff']

function jsonOf(found: ClusterStatus): Reply {
  return {
    status: 200,
    headers: ['Content-Type', 'application/json; charset=utf-8', ...NOT_KEPT],
    body: JSON.stringify(found),
  }
}

function pageOf(found: ClusterStatus): Reply {
  return {
    status: 200,
    headers: [
      'Content-Type',
      'text/html; charset=utf-8',
      ...NOT_KEPT,
      'Content-Security-Policy',
      PAGE_POLICY,
      'Referrer-Policy',
      'no-referrer',
    ],
    body: statusPage(found),
  }
}
