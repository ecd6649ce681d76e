import type { ItemInfo } from '../../../common/storage-node.ts'
import type { Reply } from '../../reply.ts'
import { closeBody } from '../../swift/object-body.ts'
import type { AccessUse } from '../access/s3-access.ts'
import { enterObject, enterOther } from '../bucket/find-bucket.ts'
import {
  type ChecksumAlgorithm,
  checksumAlgorithm,
  DEFAULT_CHECKSUM,
  encodeChecksum,
} from '../checksum/checksum-algorithm.ts'
import { openHasher } from '../checksum/hasher.ts'
import { encryptionHeaders, sealOfRequest } from '../encryption/encryption-choice.ts'
import { expirationHeader } from '../lifecycle/lifecycle-headers.ts'
import { withLock } from '../lock/lock-headers.ts'
import { bytesOfSource, openSource, type SourceName } from '../object/copy-source.ts'
import { aclOfRequest } from '../object/object-acl.ts'
import {
  headOfObject,
  headOfRequest,
  type ObjectHead,
  refuseNotBuilt,
  taggingOfObject,
  taggingOfRequest,
} from '../object/object-headers.ts'
import { checksumOfObject, S3_CHECKSUM } from '../object/object-traits.ts'
import { putPieces } from '../object/put-through-swift.ts'
import { redirectOfRequest } from '../object/redirect-location.ts'
import { classOfRequest } from '../object/storage-class.ts'
import { writeCondition } from '../object/write-condition.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { checksumElement, xmlReply } from '../s3-reply.ts'
import { decodeTags, S3_TAGGING, tagsOfObject } from '../tagging/tag-set.ts'

const SOURCE_BYTES_MAX = 5 * 1024 ** 3
const PUT: AccessUse = { action: 's3:PutObject', acl: 'write', method: 'PUT' }
const READ_TAGS: AccessUse = { action: 's3:GetObjectTagging', acl: 'read', method: 'GET' }

/** PUT with x-amz-copy-source: the bytes are copied within the store. */
export async function copyObject(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  call.exchange.changeKind = 'ObjectCreated:Copy'
  const replaces = directive(call, 'x-amz-metadata-directive') === 'REPLACE'
  const replacesTags = directive(call, 'x-amz-tagging-directive') === 'REPLACE'
  const requested = headOfRequest(call)
  const requestedTags = taggingOfRequest(call)
  // What does not count of the request is nothing that conditions of policies are told.
  if (!replacesTags && call.header('x-amz-tagging') !== undefined) call.givenTags = []
  const place = await enterObject(call, PUT)
  const condition = await writeCondition(call, place)
  const acl = await aclOfRequest(call)
  const seal = await sealOfRequest(call)
  const { name, view, headers } = await openSource(call)
  const { info } = view.read
  try {
    // An older version is brought back that way.
    const isItself =
      name.bucket === call.bucket && name.key === call.key && name.version === undefined
    const redirect = redirectOfRequest(call)
    const isSaid = replaces || seal !== null || call.header('x-amz-storage-class') !== undefined
    const changesIt = isSaid || Object.keys(redirect).length > 0
    if (isItself && !changesIt) {
      throw new S3Error(
        'InvalidRequest',
        'This copy request is illegal because it is trying to copy an object to itself without changing the object’s metadata, storage class, website redirect location or encryption attributes.',
      )
    }
    if (info.bytes > SOURCE_BYTES_MAX) {
      throw new S3Error(
        'InvalidRequest',
        `The specified copy source is larger than the maximum allowable size for a copy source: ${SOURCE_BYTES_MAX}`,
      )
    }
    if (!replacesTags) await takeTagsAlong(call, name, info)
    const range = { start: 0, end: info.bytes }
    if (view.segments !== undefined) await view.segments.prepare(range)
    const algorithm = wantedAlgorithm(call) ?? sourceAlgorithm(view) ?? DEFAULT_CHECKSUM
    const hasher = await openHasher(algorithm)
    const tagging = replacesTags ? requestedTags : taggingOfObject(info)
    let value = ''
    const added = () => {
      value = hasher.digest().toString('base64')
      return {
        ...tagging,
        ...acl,
        [S3_CHECKSUM]: encodeChecksum({ algorithm, value, type: 'FULL_OBJECT' }),
      }
    }
    const head: ObjectHead = withLock(
      call,
      place,
      replaces ? requested : kept(info, { ...redirect, ...classOfRequest(call) }),
    )
    const put = { path: call.path, head, added, condition, seal }
    const source = bytesOfSource(view, range, hasher)
    const stored = await putPieces(call, put, source).finally(() => hasher.close())
    const expiration = await expirationHeader(call, () => ({
      bytes: info.bytes,
      tags: decodeTags(tagging[S3_TAGGING]),
      writtenMs: call.exchange.proxy.clock.nowMs(),
    }))
    return xmlReply(
      'CopyObjectResult',
      {
        LastModified: new Date(stored.lastModified).toISOString(),
        ETag: `"${stored.etag}"`,
        ...checksumElement({ algorithm, value, type: 'FULL_OBJECT' }),
      },
      [
        ...headers,
        ...encryptionHeaders(call, seal?.record),
        ...stored.versionHeaders,
        ...expiration,
      ],
    )
  } finally {
    await closeBody(view.read)
  }
}

/** AccessDenied for who may not read the source's tags, or not write what has them. */
async function takeTagsAlong(call: S3Call, source: SourceName, info: ItemInfo): Promise<void> {
  const tags = tagsOfObject(info)
  if (tags.length === 0) return
  const { judge } = await enterOther(call, source, READ_TAGS)
  judge?.(info)
  call.givenTags = tags
  await enterObject(call, PUT)
}

/** A redirection and a class are the request's own: none is copied. */
function kept(info: ItemInfo, own: Readonly<Record<string, string>>): ObjectHead {
  const head = headOfObject(info)
  return { ...head, headers: { ...head.headers, ...own } }
}

function directive(
  call: S3Call,
  name: 'x-amz-metadata-directive' | 'x-amz-tagging-directive',
): 'COPY' | 'REPLACE' {
  const text = call.header(name) ?? 'COPY'
  if (text === 'COPY' || text === 'REPLACE') return text
  throw new S3Error('InvalidArgument', `Unknown ${name.split('-')[2]} directive.`, {
    ArgumentName: name,
    ArgumentValue: text,
  })
}

function wantedAlgorithm(call: S3Call): ChecksumAlgorithm | undefined {
  const text = call.header('x-amz-checksum-algorithm')
  if (text === undefined) return undefined
  const algorithm = checksumAlgorithm(text)
  if (algorithm !== undefined) return algorithm
  throw new S3Error('InvalidRequest', 'Checksum algorithm provided is unsupported.')
}

/** A copy keeps the kind of checksum that its source has. */
function sourceAlgorithm({ read: { info } }: { readonly read: { readonly info: ItemInfo } }) {
  return checksumOfObject(info)?.algorithm
}
