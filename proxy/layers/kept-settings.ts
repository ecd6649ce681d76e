/** Headers by which accounts and containers set layers for themselves; they are kept as system metadata. */
import type { ItemInfo } from '../../common/storage-node.ts'
import { type Exchange, refusal } from '../exchange.ts'
import { titleCase } from '../swift/metadata.ts'

export interface KeptSetting {
  readonly kind: 'account' | 'container'
  /** Such as `read-only`: set by X-Account-Read-Only, kept as X-Account-Sysmeta-Read-Only. */
  readonly name: string
  /** Who may set it; both may see it. */
  readonly by: 'owner' | 'reseller'
  /** What is kept of what is sent. */
  readonly clean?: (value: string) => string
}

type Kind = KeptSetting['kind']

/** What a request changes of them: an empty text removes. A 403 for what only reseller admins set. */
export function settingChanges(exchange: Exchange, kind: Kind): Record<string, string> {
  const changes: Record<string, string> = {}
  for (const setting of settingsOf(exchange, kind)) {
    const { name, by, clean } = setting
    const removed = exchange.header(`x-remove-${kind}-${name}`)
    const value = removed ? '' : exchange.header(`x-${kind}-${name}`)
    if (value === undefined) continue
    if (by === 'reseller' && !isReseller(exchange)) throw refusal(403)
    changes[`x-${kind}-sysmeta-${name}`] = value === '' ? '' : (clean?.(value) ?? value)
  }
  return changes
}

/** Them as reply headers. */
export function settingHeaders(exchange: Exchange, info: ItemInfo, kind: Kind): string[] {
  return settingsOf(exchange, kind).flatMap(({ name }) => {
    const value = keptSetting(info, kind, name)
    return value === '' ? [] : [titleCase(`x-${kind}-${name}`), value]
  })
}

/** A setting's value; empty if there is none. */
export function keptSetting(info: ItemInfo | null, kind: Kind, name: string): string {
  return info?.meta.headers[`x-${kind}-sysmeta-${name}`] ?? ''
}

/** Whether a reseller admin asks, by rights of its own. */
export function isReseller(exchange: Exchange): boolean {
  return exchange.authority === null && exchange.caller?.groups.includes('.reseller_admin') === true
}

function settingsOf({ proxy }: Exchange, kind: Kind): readonly KeptSetting[] {
  return proxy.layers.settings.filter((setting) => setting.kind === kind)
}
