import type { Exchange } from '../exchange.ts'
import { refusal } from '../exchange.ts'
import { isTrue } from './query.ts'

/** Something of Swift that is not built: asking for it is answered by a 501, never overlooked. */
interface Unsupported {
  readonly name: string
  readonly feature: string
  /** Only these values ask for it; any value but the empty one if absent. */
  readonly asks?: (value: string) => boolean
}

const PARAMETERS: readonly Unsupported[] = [
  { name: 'version-id', feature: 'object versioning', asks: () => true },
  { name: 'versions', feature: 'object versioning', asks: () => true },
]

const HEADERS: readonly Unsupported[] = [
  { name: 'x-versions-enabled', feature: 'object versioning', asks: isTrue },
  { name: 'x-versions-location', feature: 'versioned writes' },
  { name: 'x-history-location', feature: 'versioned writes' },
  { name: 'x-container-sync-to', feature: 'container sync' },
  { name: 'x-container-sync-key', feature: 'container sync' },
]

/** Ends a request with a 501 that says what is missing, if it asks for what is not built. */
export function refuseUnsupported(exchange: Exchange): void {
  if (exchange.url.includes('?')) {
    for (const parameter of PARAMETERS) {
      if (asksFor(parameter, exchange.query.get(parameter.name))) throw notBuilt(parameter)
    }
  }
  const { method } = exchange
  if (method === 'GET' || method === 'HEAD' || method === 'DELETE') return
  for (const header of HEADERS) {
    if (asksFor(header, exchange.header(header.name))) throw notBuilt(header)
  }
}

function asksFor(item: Unsupported, value: string | undefined): boolean {
  if (value === undefined) return false
  return item.asks === undefined ? value !== '' : item.asks(value)
}

function notBuilt(item: Unsupported): Error {
  return refusal(501, `${item.name}: ${item.feature} are not implemented by this server`)
}
