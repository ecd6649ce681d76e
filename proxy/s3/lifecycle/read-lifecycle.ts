/** Reads `<LifecycleConfiguration>`; S3's errors for what is none. Pure. */
import { parseIsoTime } from '../lock/iso-time.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { checkedTags, type TagSet } from '../tagging/tag-set.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type { ExpirationRule, LifecycleRule, NoncurrentRule } from './lifecycle-rule.ts'

export const RULES_MAX = 1000
const ID_CHARS_MAX = 255
const TAGS_MAX = 10
const KEEPS_MAX = 100
const DAY_MS = 86_400_000
/** S3's own limit is that of an int. */
const DAYS_MAX = 2 ** 31 - 1
const BYTES_MAX = 2 ** 53 - 1

const TRANSITIONS = ['Transition', 'NoncurrentVersionTransition'] as const
const ELEMENTS = new Set([
  'ID',
  'Status',
  'Prefix',
  'Filter',
  'Expiration',
  'NoncurrentVersionExpiration',
  'AbortIncompleteMultipartUpload',
  ...TRANSITIONS,
])
const CONDITIONS = ['Prefix', 'Tag', 'ObjectSizeGreaterThan', 'ObjectSizeLessThan']

/** `newId` names rules that have no name. A 501 for transitions, once all else was found good. */
export function readLifecycle(root: XmlNode, newId: () => string): readonly LifecycleRule[] {
  const nodes = root.children('Rule')
  if (nodes.length === 0 || root.names.some((name) => name !== 'Rule')) throw malformedXml()
  if (nodes.length > RULES_MAX) throw malformedXml()
  const rules = nodes.map((node) => readRule(node, newId))
  const ids = new Set(rules.map(({ id }) => id))
  if (ids.size < rules.length) {
    throw invalid('Rule ID must be unique. Found same ID for more than one rule')
  }
  for (const name of TRANSITIONS) {
    if (nodes.some((node) => node.child(name) !== undefined)) throw notImplemented(name)
  }
  return rules
}

function readRule(node: XmlNode, newId: () => string): LifecycleRule {
  if (node.names.some((name) => !ELEMENTS.has(name))) throw malformedXml()
  const id = node.textOf('ID')?.trim() || newId()
  if ([...id].length > ID_CHARS_MAX)
    throw invalid('ID length should not exceed allowed limit of 255')
  const status = node.textOf('Status')?.trim()
  if (status !== 'Enabled' && status !== 'Disabled') throw malformedXml()
  const scope = readScope(node)
  const [expiration, noncurrent] = [node.child('Expiration'), noncurrentOf(node)]
  const abort = node.child('AbortIncompleteMultipartUpload')
  for (const name of TRANSITIONS) for (const part of node.children(name)) checkTransition(part)
  const rule: LifecycleRule = {
    id,
    isEnabled: status === 'Enabled',
    ...scope,
    ...(expiration !== undefined && { expiration: readExpiration(expiration) }),
    ...(noncurrent !== undefined && { noncurrent }),
    ...(abort !== undefined && { abortDays: readAbort(abort) }),
  }
  checkActions(rule, node)
  return rule
}

type Scope = Pick<LifecycleRule, 'isOldStyle' | 'prefix' | 'tags' | 'bytesAbove' | 'bytesBelow'>

function readScope(node: XmlNode): Scope {
  const filter = node.child('Filter')
  const prefix = node.textOf('Prefix')
  if ((filter === undefined) === (prefix === undefined)) throw malformedXml()
  if (filter === undefined) return { isOldStyle: true, prefix: prefix!, tags: [] }
  if (filter.names.some((name) => name !== 'And' && !CONDITIONS.includes(name)))
    throw malformedXml()
  const both = filter.child('And')
  if (both?.names.some((name) => !CONDITIONS.includes(name))) throw malformedXml()
  // S3 wants `And` around several conditions; what others accept without it means the same.
  const parts = both === undefined ? [filter] : [filter, both]
  const bytesAbove = sizeOf(parts, 'ObjectSizeGreaterThan', Math.max)
  const bytesBelow = sizeOf(parts, 'ObjectSizeLessThan', Math.min)
  if (bytesAbove !== undefined && bytesBelow !== undefined && bytesAbove >= bytesBelow) {
    throw new S3Error(
      'InvalidRequest',
      "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'",
    )
  }
  const prefixes = parts.flatMap((part) => part.textOf('Prefix') ?? [])
  const longest = prefixes.toSorted((a, b) => b.length - a.length)[0]
  if (prefixes.some((other) => !longest!.startsWith(other))) throw malformedXml()
  return {
    isOldStyle: false,
    tags: checkedTags(parts.flatMap(readTags), TAGS_MAX),
    ...(longest !== undefined && { prefix: longest }),
    ...(bytesAbove !== undefined && { bytesAbove }),
    ...(bytesBelow !== undefined && { bytesBelow }),
  }
}

function readTags(node: XmlNode): TagSet {
  return node.children('Tag').map((tag) => {
    const [key, value] = [tag.textOf('Key'), tag.textOf('Value')]
    if (key === undefined || value === undefined) throw malformedXml()
    return { key, value }
  })
}

function sizeOf(
  parts: readonly XmlNode[],
  name: string,
  stricter: (...sizes: number[]) => number,
): number | undefined {
  const sizes = parts.flatMap((part) => {
    const text = part.textOf(name)
    return text === undefined ? [] : [wholeNumber(text, BYTES_MAX)]
  })
  if (sizes.some((size) => size < 0)) throw invalid(`'${name}' must be a positive integer`)
  return sizes.length === 0 ? undefined : stricter(...sizes)
}

function readExpiration(node: XmlNode): ExpirationRule {
  const [days, date] = [node.textOf('Days'), node.textOf('Date')]
  const marker = node.textOf('ExpiredObjectDeleteMarker')?.trim()
  const dropsMarkers = marker === 'true'
  if (marker !== undefined && !dropsMarkers && marker !== 'false') throw malformedXml()
  const said = [days, date, marker === 'false' ? undefined : marker]
  if (said.filter((text) => text !== undefined).length > 1) throw malformedXml()
  if (days !== undefined) return { days: positive(days, 'Days', 'Expiration') }
  if (date !== undefined) return { dateMs: midnight(date) }
  if (marker === undefined) throw malformedXml()
  return { dropsMarkers }
}

function noncurrentOf(node: XmlNode): NoncurrentRule | undefined {
  const part = node.child('NoncurrentVersionExpiration')
  if (part === undefined) return undefined
  const [daysText, keepsText] = [
    part.textOf('NoncurrentDays'),
    part.textOf('NewerNoncurrentVersions'),
  ]
  if (daysText === undefined) throw malformedXml()
  const days = positive(daysText, 'NoncurrentDays', 'NoncurrentVersionExpiration')
  if (keepsText === undefined) return { days }
  const keeps = positive(keepsText, 'NewerNoncurrentVersions', 'NoncurrentVersionExpiration')
  if (keeps > KEEPS_MAX) {
    throw invalid(`'NewerNoncurrentVersions' must be between 1 and ${KEEPS_MAX}`)
  }
  return { days, keeps }
}

function readAbort(node: XmlNode): number {
  const days = node.textOf('DaysAfterInitiation')
  if (days === undefined) throw malformedXml()
  return positive(days, 'DaysAfterInitiation', 'AbortIncompleteMultipartUpload')
}

/** What is not built is refused by its own name, but bad dates come first. */
function checkTransition(node: XmlNode): void {
  const date = node.textOf('Date')
  if (date !== undefined) midnight(date)
  for (const name of ['Days', 'NoncurrentDays']) {
    const days = node.textOf(name)
    if (days !== undefined && wholeNumber(days, DAYS_MAX) < 0) {
      throw invalid(`'${name}' in the Transition action must be nonnegative`)
    }
  }
  if (!node.textOf('StorageClass')) throw malformedXml()
}

function checkActions(rule: LifecycleRule, node: XmlNode): void {
  const { expiration, noncurrent, abortDays, tags, bytesAbove, bytesBelow } = rule
  const hasTransition = TRANSITIONS.some((name) => node.children(name).length > 0)
  if (!hasTransition && (expiration ?? noncurrent ?? abortDays) === undefined) {
    throw new S3Error('InvalidRequest', 'At least one action needs to be specified in a rule')
  }
  const dropsMarkers = expiration !== undefined && 'dropsMarkers' in expiration
  if (dropsMarkers && expiration.dropsMarkers && tags.length > 0) {
    throw new S3Error(
      'InvalidRequest',
      'ExpiredObjectDeleteMarker cannot be specified with Object Tags',
    )
  }
  const isNarrow = tags.length > 0 || bytesAbove !== undefined || bytesBelow !== undefined
  if (abortDays !== undefined && isNarrow) {
    throw new S3Error(
      'InvalidRequest',
      'AbortIncompleteMultipartUpload cannot be specified with Object Tags or sizes',
    )
  }
}

function positive(text: string, name: string, action: string): number {
  const number = wholeNumber(text, DAYS_MAX)
  if (number < 1) throw invalid(`'${name}' for ${action} action must be a positive integer`)
  return number
}

function wholeNumber(text: string, max: number): number {
  const trimmed = text.trim()
  if (!/^-?\d{1,16}$/.test(trimmed) || Number(trimmed) > max) throw malformedXml()
  return Number(trimmed)
}

function midnight(text: string): number {
  const ms = parseIsoTime(text)
  if (ms === null) throw malformedXml()
  if (ms % DAY_MS !== 0) throw invalid("'Date' must be at midnight GMT")
  return ms
}

function invalid(message: string): S3Error {
  return new S3Error('InvalidArgument', message)
}
