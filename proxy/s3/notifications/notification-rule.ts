/** Whom a bucket tells of what, as it is kept and shown. Pure. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { tagsOfObject } from '../tagging/tag-set.ts'
import type { XmlElement } from '../xml/xml-out.ts'
import { type EventName, fitsEvent } from './event-names.ts'

export interface NamedValue {
  readonly name: string
  readonly value: string
}

export interface NotificationRule {
  readonly id: string
  /** `arn:aws:sns:region:account:topic`. */
  readonly topic: string
  /** `s3:ObjectCreated:*` */
  readonly events: readonly string[]
  readonly prefix?: string
  readonly suffix?: string
  /** All of them, in lower case: `x-amz-meta-color`; as RGW has it. */
  readonly metadata: readonly NamedValue[]
  readonly tags: readonly NamedValue[]
  /** Names that policies have for who has set it; absent in rules of before. */
  readonly by?: readonly string[]
}

/** Of containers as they lie in the cache: each is read once. */
const decoded = new WeakMap<ItemInfo, readonly NotificationRule[]>()
const NO_RULES: readonly NotificationRule[] = []

/** Costs a look where there are none. */
export function notificationRules(bucket: ItemInfo): readonly NotificationRule[] {
  const text = bucketSetting(bucket, 'notification')
  if (text === undefined) return NO_RULES
  const known = decoded.get(bucket)
  if (known !== undefined) return known
  const { rules } = JSON.parse(text) as { readonly rules: readonly NotificationRule[] }
  decoded.set(bucket, rules)
  return rules
}

/** Empty: none any more. */
export function encodeRules(rules: readonly NotificationRule[]): string {
  return rules.length === 0 ? '' : JSON.stringify({ format: 1, rules })
}

/** Whether the rule asks for the event on that key; what the object has to be like is another question. */
export function asksFor(rule: NotificationRule, event: EventName, key: string): boolean {
  return (
    rule.events.some((pattern) => fitsEvent(pattern, event)) &&
    key.startsWith(rule.prefix ?? '') &&
    key.endsWith(rule.suffix ?? '')
  )
}

/** Whether the object is as the rule wants it. */
export function fitsObject({ metadata, tags }: NotificationRule, object: ItemInfo): boolean {
  const { headers } = object.meta
  const isMeta = ({ name, value }: NamedValue) =>
    headers[`x-object-meta-${name.slice('x-amz-meta-'.length)}`] === value
  if (!metadata.every(isMeta)) return false
  if (tags.length === 0) return true
  const own = tagsOfObject(object)
  return tags.every(({ name, value }) => own.some((tag) => tag.key === name && tag.value === value))
}

export function rulesElement(rules: readonly NotificationRule[]): XmlElement {
  return rules.length === 0 ? {} : { TopicConfiguration: rules.map(ruleElement) }
}

function ruleElement(rule: NotificationRule): XmlElement {
  const { id, topic, events, prefix, suffix, metadata, tags } = rule
  const key = [
    ...(prefix === undefined ? [] : [{ name: 'prefix', value: prefix }]),
    ...(suffix === undefined ? [] : [{ name: 'suffix', value: suffix }]),
  ]
  const filter = {
    ...filterElement('S3Key', key),
    ...filterElement('S3Metadata', metadata),
    ...filterElement('S3Tags', tags),
  }
  return {
    Id: id,
    Topic: topic,
    Event: events,
    ...(Object.keys(filter).length > 0 && { Filter: filter }),
  }
}

function filterElement(name: string, values: readonly NamedValue[]): XmlElement {
  if (values.length === 0) return {}
  return { [name]: { FilterRule: values.map(({ name, value }) => ({ Name: name, Value: value })) } }
}
