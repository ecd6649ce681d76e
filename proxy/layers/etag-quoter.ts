import type { Exchange } from '../exchange.ts'
import type { Reply } from '../reply.ts'
import { containerOf } from '../swift/object-access.ts'
import { isTrue } from '../swift/query.ts'
import { keptSetting } from './kept-settings.ts'
import type { Layer } from './layer.ts'

export interface EtagQuoterOptions {
  /** For containers and accounts that say nothing. */
  readonly enableByDefault?: boolean
}

const NAME = 'rfc-compliant-etags'
const clean = (value: string) => (isTrue(value) ? 'True' : 'False')

/** Puts objects' ETags in quotes, as RFC 9110 wants them, where a container, its account or the cluster says so. */
export function etagQuoterLayer({ enableByDefault = false }: EtagQuoterOptions): Layer {
  return {
    name: 'etagQuoter',
    concerns: ({ path, isInner }) => path?.object !== undefined && !isInner,
    async answer(exchange, next) {
      const isWanted = await wantsQuotes(exchange, enableByDefault)
      const reply = await next()
      if (isWanted) quoteEtags(reply)
      return reply
    },
    settings: [
      { kind: 'account', name: NAME, by: 'owner', clean },
      { kind: 'container', name: NAME, by: 'owner', clean },
    ],
    info: { etag_quoter: { enable_by_default: enableByDefault } },
  }
}

async function wantsQuotes(exchange: Exchange, byDefault: boolean): Promise<boolean> {
  const path = exchange.path!
  const container = await containerOf(exchange, path)
  const ofContainer = keptSetting(container, 'container', NAME)
  if (ofContainer !== '') return isTrue(ofContainer)
  const account = await exchange.proxy.accountAcls.settings(path.account)
  const ofAccount = keptSetting(account, 'account', NAME)
  return ofAccount === '' ? byDefault : isTrue(ofAccount)
}

function quoteEtags({ headers }: Reply): void {
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1]!
    if (headers[i]!.toLowerCase() !== 'etag' || /^(W\/)?".*"$/.test(value)) continue
    headers[i + 1] = `"${value}"`
  }
}
