/** Tags of buckets and objects: how they come, what is allowed, and how they are kept. Pure. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { fromWire } from '../../wire-text.ts'
import { S3Error } from '../s3-error.ts'
import { queryPairs } from '../signature/canonical.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type { XmlElement } from '../xml/xml-out.ts'

export interface Tag {
  readonly key: string
  readonly value: string
}

/** In the order of their keys, as S3 shows them. */
export type TagSet = readonly Tag[]

export const OBJECT_TAGS_MAX = 10
export const BUCKET_TAGS_MAX = 50
/** Of an object; empty: none any more. */
export const S3_TAGGING = 'x-object-sysmeta-s3-tagging'

const KEY_CHARS_MAX = 128
const VALUE_CHARS_MAX = 256
/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html */
const ALLOWED = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u

/** Reads `<Tagging><TagSet><Tag>…`; MalformedXML or InvalidTag for what is none. */
export function readTagSet(root: XmlNode, tagsMax: number): TagSet {
  const set = root.child('TagSet')
  if (set === undefined || set.names.some((name) => name !== 'Tag')) throw malformedXml()
  const tags = set.children('Tag').map((node) => {
    const [key, value] = [node.textOf('Key'), node.textOf('Value')]
    if (key === undefined || value === undefined) throw malformedXml()
    return { key, value }
  })
  return checkedTags(tags, tagsMax)
}

/** Reads the x-amz-tagging header, `a=b&c=d` escaped as in a query. */
export function readTagHeader(header: string): TagSet {
  const tags = queryPairs(header).map(([key, value]) => {
    const [keyText, valueText] = [fromWire(key), fromWire(value)]
    if (keyText === null || valueText === null) throw badHeader(header)
    return { key: keyText, value: valueText }
  })
  return checkedTags(tags, OBJECT_TAGS_MAX)
}

/** As it is kept with its object or bucket; empty for no tags. */
export function encodeTags(tags: TagSet): string {
  return tags
    .map(({ key, value }) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    .join('&')
}

/** What encodeTags made. */
export function decodeTags(text: string | undefined): TagSet {
  if (text === undefined || text === '') return []
  return text.split('&').map((pair) => {
    const equals = pair.indexOf('=')
    return {
      key: decodeURIComponent(pair.slice(0, equals)),
      value: decodeURIComponent(pair.slice(equals + 1)),
    }
  })
}

export function tagsOfObject({ meta }: Pick<ItemInfo, 'meta'>): TagSet {
  return decodeTags(meta.headers[S3_TAGGING])
}

export function taggingElement(tags: TagSet): XmlElement {
  const list = tags.map(({ key, value }) => ({ Key: key, Value: value }))
  return { TagSet: list.length === 0 ? '' : { Tag: list } }
}

/** The tags in order; InvalidTag for what cannot be one, or too many. */
export function checkedTags(tags: TagSet, tagsMax: number): TagSet {
  if (tags.length > tagsMax) {
    const what = tagsMax === OBJECT_TAGS_MAX ? 'Object' : 'Bucket'
    throw invalidTag(`${what} tags cannot be greater than ${tagsMax}`)
  }
  const keys = new Set<string>()
  for (const { key, value } of tags) {
    const argument = { TagKey: key, TagValue: value }
    if (key === '' || lengthOf(key) > KEY_CHARS_MAX || !ALLOWED.test(key)) {
      throw invalidTag('The TagKey you have provided is invalid', argument)
    }
    if (lengthOf(value) > VALUE_CHARS_MAX || !ALLOWED.test(value)) {
      throw invalidTag('The TagValue you have provided is invalid', argument)
    }
    if (key.toLowerCase().startsWith('aws:')) {
      throw invalidTag('System tags cannot be added/updated by requester', argument)
    }
    if (keys.has(key)) throw invalidTag('Cannot provide multiple Tags with the same key', argument)
    keys.add(key)
  }
  return [...tags].sort((a, b) => (a.key < b.key ? -1 : 1))
}

function lengthOf(text: string): number {
  return [...text].length
}

function invalidTag(message: string, details: Readonly<Record<string, string>> = {}): S3Error {
  return new S3Error('InvalidTag', message, details)
}

function badHeader(header: string): S3Error {
  return new S3Error(
    'InvalidArgument',
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
    { ArgumentName: 'x-amz-tagging', ArgumentValue: header },
  )
}
