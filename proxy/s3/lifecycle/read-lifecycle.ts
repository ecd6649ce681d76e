/** Reads `<LifecycleConfiguration>`; S3's errors for what is none. Pure. */
import type { StorageClass } from '../../storage-class/class-backend.ts'
import { parseIsoTime } from '../lock/iso-time.ts'
import { checkClass } from '../object/storage-class.ts'
import { S3Error } from '../s3-error.ts'
import { checkedTags, type TagSet } from '../tagging/tag-set.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type {
  ExpirationRule,
  LifecycleRule,
  NoncurrentRule,
  NoncurrentTransitionRule,
  TransitionRule,
} from './lifecycle-rule.ts'

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

export interface LifecycleReading {
  /** Names rules that have no name. */
  readonly newId: () => string
  readonly classes: readonly StorageClass[]
}

export function readLifecycle(root: XmlNode, by: LifecycleReading): readonly LifecycleRule[] {
  const nodes = root.children('Rule')
  if (nodes.length === 0 || root.names.some((name) => name !== 'Rule')) throw malformedXml()
  if (nodes.length > RULES_MAX) throw malformedXml()
  const rules = nodes.map((node) => readRule(node, by))
  const ids = new Set(rules.map(({ id }) => id))
  if (ids.size < rules.length) {
    throw invalid('Rule ID must be unique. Found same ID for more than one rule')
  }
  return rules
}

function readRule(node: XmlNode, { newId, classes }: LifecycleReading): LifecycleRule {
  if (node.names.some((name) => !ELEMENTS.has(name))) throw malformedXml()
  const id = node.textOf('ID')?.trim() || newId()
  if ([...id].length > ID_CHARS_MAX)
    throw invalid('ID length should not exceed allowed limit of 255')
  const status = node.textOf('Status')?.trim()
  if (status !== 'Enabled' && status !== 'Disabled') throw malformedXml()
  const scope = readScope(node)
  const [expiration, noncurrent] = [node.child('Expiration'), noncurrentOf(node)]
  const abort = node.child('AbortIncompleteMultipartUpload')
  const transitions = node.children('Transition').map(readTransition)
  const noncurrentTransitions = node
    .children('NoncurrentVersionTransition')
    .map(readNoncurrentTransition)
  checkClasses(transitions, classes)
  checkClasses(noncurrentTransitions, classes)
  const rule: LifecycleRule = {
    id,
    isEnabled: status === 'Enabled',
    ...scope,
    ...(expiration !== undefined && { expiration: readExpiration(expiration) }),
    ...(noncurrent !== undefined && { noncurrent }),
    ...(abort !== undefined && { abortDays: readAbort(abort) }),
    ...(transitions.length > 0 && { transitions }),
    ...(noncurrentTransitions.length > 0 && { noncurrentTransitions }),
  }
  checkActions(rule)
  checkOrder(rule)
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
  return { days, keeps: keepsOf(keepsText, 'NoncurrentVersionExpiration') }
}

function keepsOf(text: string, action: string): number {
  const keeps = positive(text, 'NewerNoncurrentVersions', action)
  if (keeps <= KEEPS_MAX) return keeps
  throw invalid(`'NewerNoncurrentVersions' must be between 1 and ${KEEPS_MAX}`)
}

function readAbort(node: XmlNode): number {
  const days = node.textOf('DaysAfterInitiation')
  if (days === undefined) throw malformedXml()
  return positive(days, 'DaysAfterInitiation', 'AbortIncompleteMultipartUpload')
}

function readTransition(node: XmlNode): TransitionRule {
  const [date, days] = [node.textOf('Date'), node.textOf('Days')]
  const dateMs = date === undefined ? undefined : midnight(date)
  if ((date === undefined) === (days === undefined)) throw malformedXml()
  const storageClass = classOf(node)
  return dateMs === undefined
    ? { days: notNegative(days!, 'Days'), storageClass }
    : { dateMs, storageClass }
}

function readNoncurrentTransition(node: XmlNode): NoncurrentTransitionRule {
  const [days, keepsText] = [node.textOf('NoncurrentDays'), node.textOf('NewerNoncurrentVersions')]
  if (days === undefined) throw malformedXml()
  const keeps =
    keepsText === undefined ? undefined : keepsOf(keepsText, 'NoncurrentVersionTransition')
  return {
    days: notNegative(days, 'NoncurrentDays'),
    ...(keeps !== undefined && { keeps }),
    storageClass: classOf(node),
  }
}

function notNegative(text: string, name: string): number {
  const days = wholeNumber(text, DAYS_MAX)
  if (days < 0) throw invalid(`'${name}' in the Transition action must be nonnegative`)
  return days
}

function classOf(node: XmlNode): string {
  const name = node.textOf('StorageClass')?.trim()
  if (!name) throw malformedXml()
  return name
}

function checkClasses(
  transitions: readonly { readonly storageClass: string }[],
  known: readonly StorageClass[],
): void {
  const names = transitions.map(({ storageClass }) => storageClass)
  for (const name of names) checkClass(known, name)
  if (new Set(names).size < names.length) {
    throw invalid("'StorageClass' must be different for the transitions of a rule")
  }
}

/** What expires before it is moved is never moved. */
function checkOrder(rule: LifecycleRule): void {
  const { expiration, noncurrent, transitions = [], noncurrentTransitions = [] } = rule
  const days = transitions.flatMap((one) => ('days' in one ? [one.days] : []))
  if (expiration !== undefined && 'days' in expiration && expiration.days <= Math.max(...days, 0)) {
    throw invalid("'Days' in the Expiration action must be greater than in the Transition action")
  }
  const olderDays = Math.max(...noncurrentTransitions.map((one) => one.days), 0)
  if (noncurrent !== undefined && noncurrent.days <= olderDays) {
    throw invalid(
      "'NoncurrentDays' in the NoncurrentVersionExpiration action must be greater than in the NoncurrentVersionTransition action",
    )
  }
}

function checkActions(rule: LifecycleRule): void {
  const { expiration, noncurrent, abortDays, tags, bytesAbove, bytesBelow } = rule
  const moves = rule.transitions ?? rule.noncurrentTransitions
  if ((expiration ?? noncurrent ?? abortDays ?? moves) === undefined) {
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
