/** What conditions of policies may ask of a request. */
import type { ConditionKeys } from '../../../common/access-policy/policy-variables.ts'
import { principalKeys, tagKeys, tagValues } from '../../../common/iam.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { requestFacts } from '../../swift/policy-facts.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import type { S3Call } from '../s3-call.ts'
import { decodeTags, readTagHeader, type TagSet, tagsOfObject } from '../tagging/tag-set.ts'

const IN_QUERY: Readonly<Record<string, string>> = {
  's3:prefix': 'prefix',
  's3:delimiter': 'delimiter',
  's3:max-keys': 'max-keys',
}
/** Of the request's own object or bucket; `s3:x-amz-acl` and the like are the headers by their names. */
const EXISTING = 's3:existingobjecttag/'
const REQUESTED = 's3:requestobjecttag/'
const DAY_MS = 24 * 3600 * 1000
const OF_BUCKET = ['s3:resourcetag/', 'aws:resourcetag/', 's3:buckettag/']

/** `object` is what lies there, where it was looked at. What only listings have is nothing that others could claim. */
export function requestKeys(
  call: S3Call,
  at: {
    readonly action: string
    readonly bucket: ItemInfo | null
    readonly object: ItemInfo | null
    readonly version?: string | undefined
  },
): ConditionKeys {
  const { exchange } = call
  const { caller } = exchange
  const own = caller?.iam === undefined ? null : principalKeys(caller.iam)
  const fixed: Readonly<Record<string, () => string | undefined>> = {
    ...requestFacts(exchange),
    's3:signatureversion': () => signatureVersion(call),
    's3:authtype': () => authType(call),
    's3:versionid': () => at.version,
    's3:object-lock-remaining-retention-days': () => remainingDays(call),
  }
  return (name) => {
    const said = own?.(name)
    if (said !== undefined) return said
    if (Object.hasOwn(fixed, name)) return listOf(fixed[name]!())
    if (Object.hasOwn(IN_QUERY, name))
      return at.action.startsWith('s3:List') ? listOf(call.query.get(IN_QUERY[name]!)) : undefined
    if (name.startsWith('s3:x-amz-') || name.startsWith('s3:object-lock-')) {
      return listOf(call.header(name.replace(/^s3:(?=object-lock-)/, 's3:x-amz-').slice(3)))
    }
    return tagsAsked(call, at, name)
  }
}

function tagsAsked(
  call: S3Call,
  { bucket, object }: { readonly bucket: ItemInfo | null; readonly object: ItemInfo | null },
  name: string,
): readonly string[] | undefined {
  if (name.startsWith(EXISTING))
    return object === null
      ? undefined
      : tagValues(tagsOfObject(object), name.slice(EXISTING.length))
  if (name.startsWith(REQUESTED)) return tagValues(requestTags(call), name.slice(REQUESTED.length))
  if (name === 's3:requestobjecttagkeys') return tagKeys(requestTags(call))
  const beginning = OF_BUCKET.find((one) => name.startsWith(one))
  if (beginning === undefined) return undefined
  const key = name.slice(beginning.length)
  const ofObject = object === null ? undefined : tagValues(tagsOfObject(object), key)
  return (
    ofObject ??
    (bucket === null ? undefined : tagValues(decodeTags(bucketSetting(bucket, 'tagging')), key))
  )
}

/** What the request is going to tag an object with, by its header; what a document says comes later. */
function requestTags(call: S3Call): TagSet {
  const given = call.givenTags
  if (given !== null) return given
  const header = call.header('x-amz-tagging')
  return header === undefined || header === '' ? [] : readTagHeader(header)
}

/** How long what the request locks will be locked, in days that have begun. */
function remainingDays(call: S3Call): string | undefined {
  const untilMs = Date.parse(call.header('x-amz-object-lock-retain-until-date') ?? '')
  if (Number.isNaN(untilMs)) return undefined
  return String(Math.ceil((untilMs - call.exchange.proxy.clock.nowMs()) / DAY_MS))
}

function signatureVersion({ signature }: S3Call): string | undefined {
  if (signature === null) return undefined
  return signature.seed === null ? 'AWS' : 'AWS4-HMAC-SHA256'
}

function authType({ signature, form }: S3Call): string | undefined {
  if (form !== null) return 'POST'
  if (signature === null) return undefined
  return signature.isPresigned ? 'REST-QUERY-STRING' : 'REST-HEADER'
}

function listOf(value: string | undefined): readonly string[] | undefined {
  return value === undefined ? undefined : [value]
}
