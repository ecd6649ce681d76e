/** What answers say of a bucket's rules: when an object goes, or an upload that is not completed. */
import { type Soon, soon } from '../../../common/soon.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import type { S3Call } from '../s3-call.ts'
import { tagsOfObject } from '../tagging/tag-set.ts'
import { decodeLifecycle, type Lifecycle } from './lifecycle-rule.ts'
import { abortionOf, expirationOf, type VersionFacts } from './lifecycle-steps.ts'

/** Of containers as they lie in the cache: each is read once. */
const decoded = new WeakMap<ItemInfo, Lifecycle>()

/** Null for a bucket without rules. */
export function lifecycleOf(info: ItemInfo): Lifecycle | null {
  const text = bucketSetting(info, 'lifecycle')
  if (text === undefined) return null
  const known = decoded.get(info)
  if (known !== undefined) return known
  const lifecycle = decodeLifecycle(text)
  decoded.set(info, lifecycle)
  return lifecycle
}

const NOTHING: readonly string[] = []

/** What an object's own time, X-Delete-At, is called among the rules: Swift's s3api has this name for it. */
const OWN_RULE = 'swift-object-expiration'

/**
 * x-amz-expiration of a current version, about which is asked where there are rules; their days are those of the calendar. The
 * object's own time counts, too, and of two the earlier one: `deleteAt` in seconds, as it is stored.
 */
export function expirationHeader(
  call: S3Call,
  version: () => Pick<VersionFacts, 'bytes' | 'tags' | 'writtenMs'>,
  deleteAt?: string,
): Soon<readonly string[]> {
  const own = deleteAt === undefined ? null : { atMs: Number(deleteAt) * 1000, ruleId: OWN_RULE }
  return soon(lifecycleOfCall(call), (lifecycle) => {
    const rules = lifecycle?.rules
    const ruled = rules ? expirationOf(rules, { ...version(), key: call.key }) : null
    return expirationText(own !== null && !(ruled !== null && ruled.atMs < own.atMs) ? own : ruled)
  })
}

function expirationText(
  expiration: { readonly atMs: number; readonly ruleId: string } | null,
): readonly string[] {
  if (expiration === null) return NOTHING
  const { atMs, ruleId } = expiration
  const date = new Date(atMs).toUTCString()
  const value = `expiry-date="${date}", rule-id="${encodeURIComponent(ruleId)}"`
  return ['x-amz-expiration', value]
}

/** What expirationHeader is to know of an object as it is shown. */
export function expiringFacts(info: ItemInfo): Pick<VersionFacts, 'bytes' | 'tags' | 'writtenMs'> {
  const writtenMs = (info.stamp.ticks / TICKS_PER_SECOND) * 1000
  return { bytes: info.bytes, tags: tagsOfObject(info), writtenMs }
}

/** x-amz-abort-date and -rule-id of an upload. */
export async function abortionHeaders(
  call: S3Call,
  initiatedMs: number,
): Promise<readonly string[]> {
  const lifecycle = await lifecycleOfCall(call)
  if (lifecycle === null) return []
  const { lifecycleDayMs } = call.settings
  const abortion = abortionOf(lifecycle.rules, { key: call.key, initiatedMs }, lifecycleDayMs)
  if (abortion === null) return []
  const { atMs, ruleId } = abortion
  const date = new Date(atMs).toUTCString()
  return ['x-amz-abort-date', date, 'x-amz-abort-rule-id', encodeURIComponent(ruleId)]
}

function lifecycleOfCall(call: S3Call): Soon<Lifecycle | null> {
  const { account } = call.path
  return soon(call.exchange.proxy.backend.cachedContainer(account, call.bucket), (info) =>
    info === null ? null : lifecycleOf(info),
  )
}
