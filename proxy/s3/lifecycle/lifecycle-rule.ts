/** A bucket's lifecycle configuration as it is kept and shown. What it means is said by lifecycle-steps.ts. Pure. */
import { s3TimeOfMs } from '../s3-time.ts'
import type { TagSet } from '../tagging/tag-set.ts'
import type { XmlElement } from '../xml/xml-out.ts'

/** When current versions go; `dropsMarkers`: delete markers under which nothing is left. */
export type ExpirationRule =
  | { readonly days: number }
  | { readonly dateMs: number }
  | { readonly dropsMarkers: boolean }

/** When versions go that are not current any more. */
export interface NoncurrentRule {
  readonly days: number
  /** So many of the newest stay, however old they are. */
  readonly keeps?: number
}

/** When current versions go to another storage class. */
export type TransitionRule = { readonly storageClass: string } & (
  | { readonly days: number }
  | { readonly dateMs: number }
)

export interface NoncurrentTransitionRule extends NoncurrentRule {
  readonly storageClass: string
}

export interface LifecycleRule {
  readonly id: string
  readonly isEnabled: boolean
  /** Said by the rule itself, as it was before there were filters. */
  readonly isOldStyle: boolean
  /** What names begin with; absent: nothing was said, and all do. */
  readonly prefix?: string
  /** All of them. */
  readonly tags: TagSet
  readonly bytesAbove?: number
  readonly bytesBelow?: number
  readonly expiration?: ExpirationRule
  readonly noncurrent?: NoncurrentRule
  readonly transitions?: readonly TransitionRule[]
  readonly noncurrentTransitions?: readonly NoncurrentTransitionRule[]
  /** From the beginning of an upload that is never completed. */
  readonly abortDays?: number
}

export const TRANSITION_MINIMUMS = ['all_storage_classes_128K', 'varies_by_storage_class'] as const
export type TransitionMinimum = (typeof TRANSITION_MINIMUMS)[number]

export interface Lifecycle {
  readonly rules: readonly LifecycleRule[]
  /** x-amz-transition-default-minimum-object-size */
  readonly transitionMinimum: TransitionMinimum
}

export function encodeLifecycle(lifecycle: Lifecycle): string {
  return JSON.stringify({ format: 1, ...lifecycle })
}

/** What encodeLifecycle made. */
export function decodeLifecycle(text: string): Lifecycle {
  return JSON.parse(text) as Lifecycle
}

export function lifecycleElement({ rules }: Lifecycle): XmlElement {
  return { Rule: rules.map(ruleElement) }
}

function ruleElement(rule: LifecycleRule): XmlElement {
  const { id, isEnabled, isOldStyle, expiration, noncurrent, abortDays } = rule
  const { transitions = [], noncurrentTransitions = [] } = rule
  return {
    ID: id,
    ...(isOldStyle ? { Prefix: rule.prefix ?? '' } : { Filter: filterElement(rule) }),
    Status: isEnabled ? 'Enabled' : 'Disabled',
    ...(expiration !== undefined && { Expiration: expirationElement(expiration) }),
    Transition: transitions.map(transitionElement),
    ...(noncurrent !== undefined && {
      NoncurrentVersionExpiration: noncurrentElement(noncurrent),
    }),
    NoncurrentVersionTransition: noncurrentTransitions.map((transition) => ({
      ...noncurrentElement(transition),
      StorageClass: transition.storageClass,
    })),
    ...(abortDays !== undefined && {
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: abortDays },
    }),
  }
}

function filterElement({ prefix, tags, bytesAbove, bytesBelow }: LifecycleRule): XmlElement | '' {
  const sizes = {
    ...(bytesAbove !== undefined && { ObjectSizeGreaterThan: bytesAbove }),
    ...(bytesBelow !== undefined && { ObjectSizeLessThan: bytesBelow }),
  }
  const list = tags.map(({ key, value }) => ({ Key: key, Value: value }))
  const all = {
    ...(prefix !== undefined && { Prefix: prefix }),
    ...(list.length > 0 && { Tag: list }),
    ...sizes,
  }
  const count = (prefix === undefined ? 0 : 1) + list.length + Object.keys(sizes).length
  if (count === 0) return ''
  return count === 1 ? all : { And: all }
}

function noncurrentElement({ days, keeps }: NoncurrentRule): XmlElement {
  return {
    NoncurrentDays: days,
    ...(keeps !== undefined && { NewerNoncurrentVersions: keeps }),
  }
}

function transitionElement(transition: TransitionRule): XmlElement {
  const { storageClass } = transition
  const when =
    'days' in transition ? { Days: transition.days } : { Date: s3TimeOfMs(transition.dateMs) }
  return { ...when, StorageClass: storageClass }
}

function expirationElement(expiration: ExpirationRule): XmlElement {
  if ('days' in expiration) return { Days: expiration.days }
  if ('dateMs' in expiration) return { Date: s3TimeOfMs(expiration.dateMs) }
  return { ExpiredObjectDeleteMarker: expiration.dropsMarkers }
}
