import { type Exchange, refusal } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { isTrue } from '../swift/query.ts'
import { unescapeUrl } from '../wire-text.ts'
import { keptSetting } from './kept-settings.ts'
import type { Layer } from './layer.ts'

export interface ReadOnlyOptions {
  /** The whole cluster; false: only accounts that say so. */
  readonly cluster?: boolean
  readonly allowDeletes?: boolean
}

const NAME = 'read-only'

/**
 * Takes no writes, for the cluster or for accounts that a reseller admin marked by `X-Account-Read-Only: true` (or `false`,
 * where the cluster is read-only). Accounts themselves can still be marked.
 */
export function readOnlyLayer({ cluster = false, allowDeletes = false }: ReadOnlyOptions): Layer {
  const writes = new Set(['COPY', 'POST', 'PUT', ...(allowDeletes ? [] : ['DELETE'])])
  return {
    name: 'readOnly',
    concerns: (exchange) => writes.has(exchange.method) && !isMarking(exchange),
    async answer(exchange, next) {
      await refuseIfMarked(exchange.proxy, targetAccount(exchange), cluster)
      return next()
    },
    settings: [{ kind: 'account', name: NAME, by: 'reseller' }],
    ...(cluster && { info: { read_only: {} } }),
  }
}

/** The same 405 for what is changed without a request of Swift's. Costs no wait where the layer is off. */
export function refuseReadOnly(
  proxy: ProxyContext,
  { account, isDeletion }: { readonly account: string; readonly isDeletion: boolean },
): void | Promise<void> {
  const options = proxy.settings.layers?.readOnly
  if (!options) return
  const { cluster = false, allowDeletes = false } = options
  if (!isDeletion || !allowDeletes) return refuseIfMarked(proxy, account, cluster)
}

async function refuseIfMarked(
  { accountAcls }: ProxyContext,
  account: string,
  cluster: boolean,
): Promise<void> {
  const own = keptSetting(await accountAcls.settings(account), 'account', NAME)
  const isReadOnly = own === '' ? cluster : isTrue(own)
  if (isReadOnly) throw refusal(405, 'Writes are disabled for this account.')
}

function isMarking({ headers, path }: Exchange): boolean {
  const isSet = headers[`x-account-${NAME}`] ?? headers[`x-remove-account-${NAME}`]
  return path?.container === undefined && isSet !== undefined
}

function targetAccount(exchange: Exchange): string {
  const target = exchange.method === 'COPY' ? exchange.header('destination-account') : undefined
  return (target === undefined ? null : unescapeUrl(target)) ?? exchange.path!.account
}
