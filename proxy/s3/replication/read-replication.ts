/** Reads `<ReplicationConfiguration>`; S3's errors for what is none, and a 501 by its name for what is not built. */
import { notImplemented, S3Error } from '../s3-error.ts'
import { checkedTags, type TagSet } from '../tagging/tag-set.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type { Replication, ReplicationRule } from './replication-rule.ts'

const RULES_MAX = 1000
const ID_CHARS_MAX = 255
const TAGS_MAX = 10
const PRIORITY_MAX = 2 ** 31 - 1

const ELEMENTS = [
  'ID',
  'Priority',
  'Prefix',
  'Filter',
  'Status',
  'SourceSelectionCriteria',
  'ExistingObjectReplication',
  'Destination',
  'DeleteMarkerReplication',
]
const DESTINATION = ['Bucket', 'Account', 'StorageClass', 'EncryptionConfiguration']
const DESTINATION_NOT_BUILT = ['AccessControlTranslation', 'ReplicationTime', 'Metrics']

/** `newId` names rules that have no name. */
export function readReplication(
  root: XmlNode,
  newId: () => string,
): Omit<Replication, 'sinceTicks'> {
  const nodes = root.children('Rule')
  const role = root.textOf('Role')?.trim() ?? ''
  if (nodes.length === 0 || nodes.length > RULES_MAX) throw malformedXml()
  if (root.names.some((name) => name !== 'Rule' && name !== 'Role')) throw malformedXml()
  const rules = nodes.map((node) => readRule(node, newId))
  checkDistinct(rules)
  const destinations = new Set(nodes.map((node) => destinationOf(node)))
  if (destinations.size > 1) throw notImplemented('several destinations of a bucket')
  const [destination] = destinations
  return { role, rules, destination: destination! }
}

function checkDistinct(rules: readonly ReplicationRule[]): void {
  const ids = new Set(rules.map(({ id }) => id))
  if (ids.size < rules.length) throw invalid('Rule Id must be unique')
  const isOld = rules.filter(({ priority }) => priority === null).length
  if (isOld > 0 && isOld < rules.length) {
    throw invalid('Rules with Prefix and rules with Filter cannot be in one configuration')
  }
  const priorities = new Set(rules.map(({ priority }) => priority))
  if (isOld === 0 && priorities.size < rules.length) throw invalid('Priority must be unique')
}

function readRule(node: XmlNode, newId: () => string): ReplicationRule {
  if (node.names.some((name) => !ELEMENTS.includes(name))) throw malformedXml()
  const id = node.textOf('ID')?.trim() || newId()
  if ([...id].length > ID_CHARS_MAX) throw invalid('Rule Id must not be longer than 255 characters')
  const isEnabled = enabled(node)
  if (isEnabled === undefined) throw malformedXml()
  const scope = readScope(node)
  const markers = enabled(node.child('DeleteMarkerReplication'))
  if (markers === true && scope.tags.length > 0) {
    throw invalid('Delete marker replication is not supported if any Tag filter is specified.')
  }
  const kmsKey = kmsKeyOf(node)
  return {
    id,
    isEnabled,
    ...scope,
    // As AWS has it: rules of the first form bring deletions along.
    deleteMarkers: markers ?? scope.priority === null,
    existing: enabled(node.child('ExistingObjectReplication')) ?? false,
    ...(kmsKey !== undefined && { kmsKey }),
  }
}

function readScope(node: XmlNode): Pick<ReplicationRule, 'priority' | 'prefix' | 'tags'> {
  const filter = node.child('Filter')
  const prefix = node.textOf('Prefix')
  if (filter !== undefined && prefix !== undefined) throw malformedXml()
  if (filter === undefined) {
    if (node.child('Priority') !== undefined) throw malformedXml()
    return { priority: null, prefix: prefix ?? '', tags: [] }
  }
  const priority = node.textOf('Priority')?.trim()
  if (priority === undefined) throw invalid('Priority must be specified where there is a Filter')
  if (!/^\d{1,10}$/.test(priority) || Number(priority) > PRIORITY_MAX) throw malformedXml()
  const both = filter.child('And')
  if (both !== undefined && filter.names.length > 1) throw malformedXml()
  const within = both ?? filter
  if (within.names.some((name) => name !== 'Prefix' && name !== 'Tag')) throw malformedXml()
  if (both === undefined && filter.names.length > 1) throw malformedXml()
  const tags = checkedTags(readTags(within), TAGS_MAX)
  if (both === undefined && tags.length > 1) throw malformedXml()
  return { priority: Number(priority), prefix: within.textOf('Prefix') ?? '', tags }
}

function readTags(node: XmlNode): TagSet {
  return node.children('Tag').map((tag) => {
    const [key, value] = [tag.textOf('Key'), tag.textOf('Value')]
    if (key === undefined || value === undefined) throw malformedXml()
    return { key, value }
  })
}

function kmsKeyOf(node: XmlNode): string | undefined {
  const criteria = node.child('SourceSelectionCriteria')
  const known = ['SseKmsEncryptedObjects', 'ReplicaModifications']
  if (criteria?.names.some((name) => !known.includes(name))) throw malformedXml()
  if (enabled(criteria?.child('ReplicaModifications')) === true) {
    throw notImplemented('ReplicaModifications')
  }
  const isKms = enabled(criteria?.child('SseKmsEncryptedObjects')) === true
  const given = node.child('Destination')?.child('EncryptionConfiguration')
  const key = given?.textOf('ReplicaKmsKeyID')?.trim()
  if (isKms !== Boolean(key)) {
    throw invalid('SseKmsEncryptedObjects and ReplicaKmsKeyID must be specified together')
  }
  return key
}

function destinationOf(node: XmlNode): string {
  const destination = node.child('Destination')
  const bucket = destination?.textOf('Bucket')?.trim()
  if (!bucket) throw malformedXml()
  for (const name of destination!.names) {
    if (DESTINATION_NOT_BUILT.includes(name)) throw notImplemented(name)
    if (!DESTINATION.includes(name)) throw malformedXml()
  }
  const storageClass = destination!.textOf('StorageClass')?.trim() ?? 'STANDARD'
  if (storageClass !== 'STANDARD') throw notImplemented('StorageClass')
  return bucket
}

/** What an element's Status says; undefined without the element. */
function enabled(node: XmlNode | undefined): boolean | undefined {
  const status = node?.textOf('Status')?.trim()
  if (node === undefined) return undefined
  if (status !== 'Enabled' && status !== 'Disabled') throw malformedXml()
  return status === 'Enabled'
}

function invalid(message: string): S3Error {
  return new S3Error('InvalidRequest', message)
}
