import { type Exchange, refusal } from '../exchange.ts'
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
      const info = await exchange.proxy.accountAcls.settings(targetAccount(exchange))
      const own = keptSetting(info, 'account', NAME)
      const isReadOnly = own === '' ? cluster : isTrue(own)
      if (isReadOnly) throw refusal(405, 'Writes are disabled for this account.')
      return next()
    },
    settings: [{ kind: 'account', name: NAME, by: 'reseller' }],
    ...(cluster && { info: { read_only: {} } }),
  }
}

function isMarking({ headers, path }: Exchange): boolean {
  const isSet = headers[`x-account-${NAME}`] ?? headers[`x-remove-account-${NAME}`]
  return path?.container === undefined && isSet !== undefined
}

function targetAccount(exchange: Exchange): string {
  const target = exchange.method === 'COPY' ? exchange.header('destination-account') : undefined
  return (target === undefined ? null : unescapeUrl(target)) ?? exchange.path!.account
}
