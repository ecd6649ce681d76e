/** A bucket's replication configuration as it is kept and shown, and what it means for a version. Pure. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { type SseRecord, sseOf } from '../../encryption/sse-record.ts'
import { OBJECT_MANIFEST } from '../../swift/large/dynamic-object.ts'
import { targetOf } from '../../swift/links/symlink.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { type TagSet, tagsOfObject } from '../tagging/tag-set.ts'
import type { XmlElement } from '../xml/xml-out.ts'

export interface ReplicationRule {
  readonly id: string
  readonly isEnabled: boolean
  /** The first form of rules: a prefix alone, without priority; null: it is one. */
  readonly priority: number | null
  readonly prefix: string
  /** All of them. */
  readonly tags: TagSet
  readonly deleteMarkers: boolean
  /** What was there before the rule goes, too. */
  readonly existing: boolean
  /** Objects that are enciphered by a key that was named go, too: with this one. */
  readonly kmsKey?: string
}

export interface Replication {
  readonly role: string
  /** As it came; what it means is said by replication-target.ts. */
  readonly destination: string
  readonly rules: readonly ReplicationRule[]
  /** Of the store's time: what is older is existing. */
  readonly sinceTicks: number
}

/** What a rule can ask about. */
export interface ReplicatedFacts {
  readonly key: string
  readonly tags: TagSet
  readonly isMarker: boolean
  /** When it was written. */
  readonly ticks: number
  readonly sse: SseRecord | undefined
  /** It stands for what lies elsewhere, which its writer may not have been let read. */
  readonly isPointer: boolean
}

/** Of containers as they lie in the cache: each is read once. */
const decoded = new WeakMap<ItemInfo, Replication>()

/** Null for a bucket without a configuration. */
export function replicationOf(info: ItemInfo): Replication | null {
  const text = bucketSetting(info, 'replication')
  if (text === undefined) return null
  const known = decoded.get(info)
  if (known !== undefined) return known
  const replication = JSON.parse(text) as Replication
  decoded.set(info, replication)
  return replication
}

export function encodeReplication(replication: Replication): string {
  return JSON.stringify({ format: 1, ...replication })
}

/** Whether anything of that name may have to go. */
export function mayConcern({ rules }: Replication, key: string): boolean {
  return rules.some(({ isEnabled, prefix }) => isEnabled && key.startsWith(prefix))
}

export function factsOf(info: ItemInfo, of: Omit<ReplicatedFacts, 'tags' | 'sse' | 'isPointer'>) {
  const { meta } = info
  const isPointer = targetOf(meta) !== null || meta.headers[OBJECT_MANIFEST] !== undefined
  return { ...of, tags: tagsOfObject(info), sse: sseOf(meta), isPointer }
}

/** The rule by which a version goes, that of the highest priority; null if it stays. */
export function ruleFor(replication: Replication, facts: ReplicatedFacts): ReplicationRule | null {
  const [rule] = replication.rules
    .filter((one) => one.isEnabled && isAbout(one, facts))
    .sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0))
  if (rule === undefined) return null
  if (facts.isPointer || (facts.isMarker && !rule.deleteMarkers)) return null
  if (facts.ticks < replication.sinceTicks && !rule.existing) return null
  return isReadable(rule, facts.sse) ? rule : null
}

function isAbout({ prefix, tags }: ReplicationRule, facts: ReplicatedFacts): boolean {
  const hasTag = ({ key, value }: TagSet[number]) =>
    facts.tags.some((tag) => tag.key === key && tag.value === value)
  return facts.key.startsWith(prefix) && tags.every(hasTag)
}

/** The key of a client's is the client's alone, and one that was named takes a rule that says by which one it is replaced. */
function isReadable({ kmsKey }: ReplicationRule, sse: SseRecord | undefined): boolean {
  if (sse === undefined || sse.mode === 'AES256') return true
  return sse.mode !== 'customer' && kmsKey !== undefined
}

export function replicationElement({ role, destination, rules }: Replication): XmlElement {
  return { Role: role, Rule: rules.map((rule) => ruleElement(rule, destination)) }
}

function ruleElement(rule: ReplicationRule, destination: string): XmlElement {
  const { id, isEnabled, priority, prefix, kmsKey } = rule
  const Destination = {
    Bucket: destination,
    ...(kmsKey !== undefined && { EncryptionConfiguration: { ReplicaKmsKeyID: kmsKey } }),
  }
  const selection = { SseKmsEncryptedObjects: status(true) }
  return {
    ID: id,
    ...(priority === null ? { Prefix: prefix } : { Priority: priority }),
    ...(priority !== null && { Filter: filterElement(rule) }),
    Status: isEnabled ? 'Enabled' : 'Disabled',
    ...(kmsKey !== undefined && { SourceSelectionCriteria: selection }),
    ...(rule.existing && { ExistingObjectReplication: status(true) }),
    Destination,
    ...(priority !== null && { DeleteMarkerReplication: status(rule.deleteMarkers) }),
  }
}

function filterElement({ prefix, tags }: ReplicationRule): XmlElement {
  const list = tags.map(({ key, value }) => ({ Key: key, Value: value }))
  if (list.length === 0) return { Prefix: prefix }
  if (list.length === 1 && prefix === '') return { Tag: list }
  return { And: { Prefix: prefix, Tag: list } }
}

function status(isOn: boolean): XmlElement {
  return { Status: isOn ? 'Enabled' : 'Disabled' }
}
