import type { Exchange } from '../exchange.ts'
import { containerOf } from '../swift/object-access.ts'
import type { SwiftPath } from '../swift/path.ts'

/** A key that signs URLs and forms, and what it signs for. */
export interface ScopedKey {
  readonly key: string
  readonly scope: 'account' | 'container'
}

/** The keys of the path's account and container, at most four; a few seconds old at most. */
export async function tempUrlKeys(exchange: Exchange, path: SwiftPath): Promise<ScopedKey[]> {
  const account = await exchange.proxy.accountAcls.info(path.account)
  const container = await containerOf(exchange, path)
  return [
    ...keysIn(account?.meta.headers, 'account'),
    ...keysIn(container?.meta.headers, 'container'),
  ]
}

function keysIn(
  headers: Readonly<Record<string, string>> | undefined,
  scope: ScopedKey['scope'],
): ScopedKey[] {
  const names = ['temp-url-key', 'temp-url-key-2'].map((name) => `x-${scope}-meta-${name}`)
  const keys = names.map((name) => headers?.[name] ?? '')
  return keys.filter((key) => key !== '').map((key) => ({ key, scope }))
}
