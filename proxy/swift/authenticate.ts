import type { Caller } from '../../common/identity.ts'
import { type Exchange, refusal } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'

/**
 * Finds out who asks. Tokens of ours (they start with a reseller prefix) must be good or the request ends with a 401;
 * others are asked about too and otherwise ignored, as Swift does. Answers at once where identity does.
 */
export function authenticate(exchange: Exchange): void | Promise<void> {
  const { proxy } = exchange
  const token = exchange.header('x-auth-token') ?? exchange.header('x-storage-token')
  if (token === undefined || token === '') return
  const caller = proxy.identity.validate(token)
  if (caller instanceof Promise) {
    return caller.then((found) => takeCaller(exchange, token, found))
  }
  return takeCaller(exchange, token, caller)
}

/** The account that a 401 names as its realm. */
export function realmOf(exchange: Exchange): string {
  return exchange.path?.account ?? 'unknown'
}

function takeCaller(
  exchange: Exchange,
  token: string,
  caller: Caller | null,
): void | Promise<void> {
  if (caller === null) {
    if (isOurs(exchange.proxy, token)) throw refusal(401)
    return
  }
  exchange.caller = caller
  const serviceToken = exchange.header('x-service-token')
  if (serviceToken === undefined || serviceToken === '') return
  return addServiceGroups(exchange, caller, serviceToken)
}

/** A service that acts for a user brings its own token along: both users' groups count. */
async function addServiceGroups(
  exchange: Exchange,
  caller: Caller,
  serviceToken: string,
): Promise<void> {
  const service = await exchange.proxy.identity.validate(serviceToken)
  if (service === null) return
  exchange.caller = { ...caller, groups: [...caller.groups, ...service.groups] }
}

function isOurs(proxy: ProxyContext, token: string): boolean {
  return proxy.settings.resellerPrefixes.some(({ prefix }) => token.startsWith(prefix))
}
