/** What policies of buckets may ask of a request, whichever API it came by. */
import type { PolicyPrincipal } from '../../common/access-policy/judge-policy.ts'
import type { Caller } from '../../common/identity.ts'
import type { Exchange } from '../exchange.ts'

/** How policies name the caller; null where nobody has signed. Powers of an account are those of its operators only. */
export function principalOf(caller: Caller | null): PolicyPrincipal | null {
  if (caller === null) return null
  const { account, iam, groups } = caller
  if (iam !== undefined && iam.kind !== 'account') {
    const federated = iam.federated === undefined ? [] : [iam.federated]
    return { arns: iam.arns, accounts: [account], canonicalIds: [account], federated }
  }
  const isOperator = groups.includes(account)
  const user = `arn:aws:iam::${account}:user/${groups[0] ?? ''}`
  return {
    arns: isOperator ? [user, `arn:aws:iam:::user/${account}`] : [user],
    accounts: isOperator ? [account] : [],
    canonicalIds: isOperator ? [account] : [],
    federated: [],
  }
}

/** Keys that every request has, by names in lower case. */
export function requestFacts(
  exchange: Exchange,
): Readonly<Record<string, () => string | undefined>> {
  const { caller, proxy } = exchange
  return {
    'aws:currenttime': () => new Date(proxy.clock.nowMs()).toISOString(),
    'aws:epochtime': () => String(Math.floor(proxy.clock.nowMs() / 1000)),
    'aws:securetransport': () => String('encrypted' in exchange.socket),
    'aws:sourceip': () => exchange.socket.remoteAddress?.replace(/^::ffff:/, ''),
    'aws:referer': () => exchange.header('referer'),
    'aws:useragent': () => exchange.header('user-agent'),
    'aws:userid': () => caller?.user,
    'aws:principalaccount': () => caller?.account,
    'aws:principaltype': () => (caller === null ? 'Anonymous' : 'Account'),
  }
}
