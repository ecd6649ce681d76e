import type { AllowedCall, Caller } from '../../common/identity.ts'
import { allowsCall } from '../../common/token/access-rules.ts'
import { type Exchange, refusal } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { pathOfUrl } from './path.ts'

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
  const serviceToken = exchange.header('x-service-token')
  if (serviceToken !== undefined && serviceToken !== '') {
    return addServiceGroups(exchange, caller, serviceToken)
  }
  // A call that the token is not good for is made without it.
  const { calls } = caller
  if (calls === undefined || allowsCall(calls, callOf(exchange))) exchange.caller = caller
}

function callOf({ method, path, url }: Exchange): AllowedCall {
  if (path === null) return { method, path: pathOfUrl(url) }
  const { account, container, object } = path
  const parts = ['', 'v1', account, container, object].filter((part) => part !== undefined)
  return { method, path: parts.join('/') }
}

/**
 * A service that acts for a user brings its own token along: what that gives counts, too, and access rules do not, as
 * the user has not made this call. Behind Keystone a bad token of the service makes the request nobody's.
 */
async function addServiceGroups(
  exchange: Exchange,
  caller: Caller,
  serviceToken: string,
): Promise<void> {
  const { identity } = exchange.proxy
  const service = await identity.validate(serviceToken)
  if (service === null) {
    if (identity.keystoneUri === undefined) exchange.caller = caller
    return
  }
  const more = service.serviceGroups ?? service.groups
  exchange.caller = { ...caller, groups: [...caller.groups, ...more] }
}

function isOurs(proxy: ProxyContext, token: string): boolean {
  return proxy.settings.resellerPrefixes.some(({ prefix }) => token.startsWith(prefix))
}
