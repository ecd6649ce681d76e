/** Reads `<NotificationConfiguration>`; S3's errors for what is none. Pure. */
import { notImplemented, S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import { isEventPattern } from './event-names.ts'
import type { NamedValue, NotificationRule } from './notification-rule.ts'
import { parseTopicArn } from './topic.ts'

export const RULES_MAX = 100
const ID_CHARS_MAX = 255
/** Of a filter's names and values. */
const FILTER_BYTES_MAX = 1024
const VALUES_MAX = 20
const META = 'x-amz-meta-'

/** Destinations that are not topics. */
const OTHERS = [
  'QueueConfiguration',
  'CloudFunctionConfiguration',
  'LambdaFunctionConfiguration',
  'EventBridgeConfiguration',
]

/** `newId` names rules that have no name. */
export function readNotification(root: XmlNode, newId: () => string): readonly NotificationRule[] {
  for (const other of OTHERS) if (root.children(other).length > 0) throw notImplemented(other)
  if (root.names.some((name) => name !== 'TopicConfiguration')) throw malformedXml()
  const nodes = root.children('TopicConfiguration')
  if (nodes.length > RULES_MAX) throw malformedXml()
  const rules = nodes.map((node) => readRule(node, newId))
  if (new Set(rules.map(({ id }) => id)).size < rules.length)
    throw invalid('Same ID used for multiple configurations. IDs must be unique')
  return rules
}

const ELEMENTS = ['Id', 'Topic', 'Event', 'Filter']

function readRule(node: XmlNode, newId: () => string): NotificationRule {
  if (node.names.some((name) => !ELEMENTS.includes(name))) throw malformedXml()
  const id = node.textOf('Id')?.trim() || newId()
  if ([...id].length > ID_CHARS_MAX) throw invalid('The ID is longer than 255 characters')
  const topic = node.textOf('Topic')?.trim() ?? ''
  if (parseTopicArn(topic) === null) throw invalid('The ARN could not be parsed')
  const events = node.children('Event').map(({ text }) => text.trim())
  if (events.length === 0) throw malformedXml()
  for (const event of events) {
    if (!isEventPattern(event))
      throw invalid('The event is not supported for notifications', { ArgumentValue: event })
  }
  return { id, topic, events: [...new Set(events)], ...readFilter(node.child('Filter')) }
}

type Filter = Pick<NotificationRule, 'prefix' | 'suffix' | 'metadata' | 'tags'>

const FILTERS = ['S3Key', 'S3Metadata', 'S3Tags']

function readFilter(node: XmlNode | undefined): Filter {
  if (node?.names.some((name) => !FILTERS.includes(name))) throw malformedXml()
  const key = filterValues(node?.child('S3Key')).map(({ name, value }) => ({
    name: name.toLowerCase(),
    value,
  }))
  const metadata = filterValues(node?.child('S3Metadata')).map(({ name, value }) => ({
    name: name.toLowerCase(),
    value,
  }))
  if (key.some(({ name }) => name !== 'prefix' && name !== 'suffix'))
    throw invalid('filter rule name must be either prefix or suffix')
  if (new Set(key.map(({ name }) => name)).size < key.length)
    throw invalid('Cannot specify more than one prefix or suffix rule in a filter')
  if (metadata.some(({ name }) => !name.startsWith(META)))
    throw invalid(`filter rule name of metadata must begin with ${META}`)
  const [prefix, suffix] = ['prefix', 'suffix'].map((name) => firstOf(key, name))
  return {
    ...(prefix !== undefined && { prefix }),
    ...(suffix !== undefined && { suffix }),
    metadata,
    tags: filterValues(node?.child('S3Tags')),
  }
}

function firstOf(values: readonly NamedValue[], name: string): string | undefined {
  return values.find((one) => one.name === name)?.value
}

function filterValues(node: XmlNode | undefined): readonly NamedValue[] {
  if (node === undefined) return []
  if (node.names.some((name) => name !== 'FilterRule')) throw malformedXml()
  const rules = node.children('FilterRule')
  if (rules.length > VALUES_MAX) throw malformedXml()
  return rules.map((rule) => {
    const [name, value] = [rule.textOf('Name'), rule.textOf('Value')]
    if (name === undefined || value === undefined) throw malformedXml()
    if (Buffer.byteLength(name + value) > FILTER_BYTES_MAX)
      throw invalid('Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation')
    return { name, value }
  })
}

function invalid(message: string, details: Readonly<Record<string, string>> = {}): S3Error {
  return new S3Error('InvalidArgument', message, details)
}
