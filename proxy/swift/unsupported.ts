import type { Exchange } from '../exchange.ts'
import { refusal } from '../exchange.ts'

/** Something of Swift that is not built: asking for it is answered by a 501, never overlooked. */
interface Unsupported {
  readonly name: string
  readonly feature: string
}

const HEADERS: readonly Unsupported[] = [
  { name: 'x-container-sync-to', feature: 'container sync' },
  { name: 'x-container-sync-key', feature: 'container sync' },
]

/** Ends a request with a 501 that says what is missing, if it asks for what is not built. */
export function refuseUnsupported(exchange: Exchange): void {
  const { method } = exchange
  if (method === 'GET' || method === 'HEAD' || method === 'DELETE') return
  for (const header of HEADERS) {
    if (exchange.header(header.name)) throw notBuilt(header)
  }
}

function notBuilt(item: Unsupported): Error {
  return refusal(501, `${item.name}: ${item.feature} are not implemented by this server`)
}
