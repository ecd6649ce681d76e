/**
 * Quotas of containers, accounts, and accounts' storage policies, in bytes and objects. As in Swift they are judged by
 * totals that lag behind what was written, and the object that is replaced still counts; a body whose length nobody
 * knows is cut off at what is left, where Swift lets it through.
 */
import type { ItemInfo } from '../../common/storage-node.ts'
import type { ObjectPath } from '../backend/backend.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import { isReseller } from '../layers/kept-settings.ts'
import type { Policies } from '../policies.ts'
import { titleCase } from './metadata.ts'
import { containerOf } from './object-access.ts'
import { withBytesElsewhere } from './versions/version-container.ts'

/** Where an account's quotas are stored: only reseller admins set them, its owner sees them. */
const ACCOUNT_QUOTA = 'x-account-sysmeta-quota-'
const CONTAINER_QUOTA = 'x-container-meta-quota-'
const KINDS = ['bytes', 'count'] as const
type QuotaKind = (typeof KINDS)[number]

type Headers = Readonly<Record<string, string>>

/** What is used of what is allowed. */
interface Usage {
  readonly bytes: number
  readonly objects: number
}

/**
 * Refuses a PUT of so many bytes (null: nobody knows) with a 413 where a quota does not allow it. Afterwards the
 * exchange's body may have no more bytes than are left. Costs no wait where no quota is set.
 */
export function checkQuotas(
  exchange: Exchange,
  place: ObjectPath,
  bytes: number | null,
): void | Promise<void> {
  const container = containerOf(exchange, place)
  const account = exchange.proxy.accountAcls.settings(place.account)
  if (container instanceof Promise || account instanceof Promise) {
    return checkSlowly(exchange, place, bytes)
  }
  if (hasQuota(container, CONTAINER_QUOTA) || hasQuota(account, ACCOUNT_QUOTA)) {
    return checkSlowly(exchange, place, bytes)
  }
}

function hasQuota(info: ItemInfo | null, prefix: string): boolean {
  if (info === null) return false
  for (const name in info.meta.headers) if (name.startsWith(prefix)) return true
  return false
}

async function checkSlowly(
  exchange: Exchange,
  place: ObjectPath,
  bytes: number | null,
): Promise<void> {
  const { backend, accountAcls } = exchange.proxy
  let container = await containerOf(exchange, place)
  if (hasQuota(container, CONTAINER_QUOTA)) {
    // The totals of the cache are some seconds old.
    container = await backend.readContainer(place.account, place.container, { totals: true })
    const used = container === null ? null : await withBytesElsewhere(exchange, container, place)
    judge(exchange, { bytes, quota: containerQuota(container), used: usageOf(used) })
  }
  const account = await accountAcls.settings(place.account)
  if (!hasQuota(account, ACCOUNT_QUOTA) || isReseller(exchange)) return
  const info = await backend.readAccount(place.account, { totals: true }).catch(() => account)
  judge(exchange, { bytes, quota: accountQuota(info, ''), used: usageOf(info) })
  judge(exchange, {
    bytes,
    quota: accountQuota(info, `-policy-${place.policy}`),
    used: policyUsage(info, place.policy),
    words: 'Upload exceeds policy quota.',
  })
}

/** A limit for each kind; absent: none. */
type Quota = { readonly [Kind in QuotaKind]?: number }

function judge(
  exchange: Exchange,
  question: {
    readonly bytes: number | null
    readonly quota: Quota
    readonly used: Usage
    readonly words?: string
  },
): void {
  const { bytes, quota, used, words = 'Upload exceeds quota.' } = question
  if (quota.bytes !== undefined) {
    const left = quota.bytes - used.bytes
    if ((bytes ?? 0) > left) throw refusal(413, words)
    exchange.bodyBytesMax = Math.min(exchange.bodyBytesMax, left)
  }
  if (quota.count !== undefined && used.objects + 1 > quota.count) throw refusal(413, words)
}

function containerQuota(info: ItemInfo | null): Quota {
  return quotaIn(info, (kind) => `${CONTAINER_QUOTA}${kind}`)
}

function accountQuota(info: ItemInfo | null, policy: string): Quota {
  return quotaIn(info, (kind) => `${ACCOUNT_QUOTA}${kind}${policy}`)
}

function quotaIn(info: ItemInfo | null, name: (kind: QuotaKind) => string): Quota {
  const quota: { [Kind in QuotaKind]?: number } = {}
  for (const kind of KINDS) {
    const text = info?.meta.headers[name(kind)]
    if (text !== undefined && isDigits(text)) quota[kind] = Number(text)
  }
  return quota
}

function usageOf(info: ItemInfo | null): Usage {
  return { bytes: info?.stats?.bytes ?? 0, objects: info?.stats?.objects ?? 0 }
}

function policyUsage(info: ItemInfo | null, policy: number): Usage {
  const stats = info?.stats?.byPolicy?.[policy]
  return { bytes: stats?.bytes ?? 0, objects: stats?.objects ?? 0 }
}

/** A 400 for container quotas that are no numbers. */
export function checkContainerQuotas(headers: Headers): void {
  for (const kind of KINDS) {
    const text = headers[`${CONTAINER_QUOTA}${kind}`]
    if (text !== undefined && text !== '' && !isDigits(text)) {
      throw badRequest(`Invalid ${kind} quota.`)
    }
  }
}

/**
 * What a request changes of an account's quotas: `X-Account-Quota-Bytes`, `-Count`, each also with `-Policy-NAME`, their
 * `X-Remove-…`, and the old `X-Account-Meta-Quota-Bytes`. A 403 unless a reseller admin asks, a 400 for what is no number.
 */
export function accountQuotaChanges(exchange: Exchange): Record<string, string> {
  const changes: Record<string, string> = {}
  for (const kind of KINDS) {
    addChange(changes, exchange, { kind, tail: '', key: '' })
    for (const { name, index } of exchange.proxy.policies.all) {
      const tail = `-policy-${name.toLowerCase()}`
      addChange(changes, exchange, { kind, tail, key: `-policy-${index}` })
    }
  }
  const values = Object.values(changes)
  if (values.length > 0 && !isReseller(exchange)) throw refusal(403)
  if (values.some((value) => value !== '' && !isDigits(value))) throw refusal(400)
  return changes
}

function addChange(
  changes: Record<string, string>,
  exchange: Exchange,
  quota: { readonly kind: QuotaKind; readonly tail: string; readonly key: string },
): void {
  const { kind, tail, key } = quota
  const name = `account-quota-${kind}${tail}`
  const isOld = kind === 'bytes' && tail === ''
  const old = (prefix: string) =>
    isOld ? exchange.header(`${prefix}account-meta-quota-bytes`) : undefined
  const removed = exchange.header(`x-remove-${name}`) || old('x-remove-')
  const sent = removed
    ? ''
    : exchange.header(`x-${name}`) || (old('x-') ?? exchange.header(`x-${name}`))
  if (sent !== undefined) changes[`${ACCOUNT_QUOTA}${kind}${key}`] = sent
}

/** An account's quotas as reply headers. */
export function accountQuotaHeaders(info: ItemInfo, policies: Policies): string[] {
  const out: string[] = []
  for (const [name, value] of Object.entries(info.meta.headers)) {
    if (!name.startsWith(ACCOUNT_QUOTA) || value === '') continue
    const [kind, index] = name.slice(ACCOUNT_QUOTA.length).split('-policy-')
    const policy = index === undefined ? undefined : policies.byIndex(Number(index))
    if (index !== undefined && policy === undefined) continue
    const tail = policy === undefined ? '' : `-policy-${policy.name.toLowerCase()}`
    out.push(titleCase(`x-account-quota-${kind}${tail}`), value)
  }
  return out
}

function isDigits(text: string): boolean {
  return /^\d{1,15}$/.test(text)
}
