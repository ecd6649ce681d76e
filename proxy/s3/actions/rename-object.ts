/**
 * RenameObject: the record is stored under its new name, and then taken away under the old one. For a moment, and after a crash
 * in between, both names have it; never none. What an object is made of (parts, ciphers, lists, tags) goes with it untouched.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_RenameObject.html
 */

import type { Condition } from '../../../common/condition.ts'
import { randomId } from '../../../common/random.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import type { Reply } from '../../reply.ts'
import { etagList } from '../../swift/condition-headers.ts'
import { S3_ACL } from '../../swift/foreign-meta.ts'
import { parseHttpDate } from '../../swift/http-date.ts'
import { closeBody } from '../../swift/object-body.ts'
import { replacingParts, uploadOf } from '../../swift/own-parts.ts'
import { copyRecord } from '../../swift/versions/copy-record.ts'
import { fromWire } from '../../wire-text.ts'
import { type AccessUse, refuseDenied } from '../access/s3-access.ts'
import {
  checkKey,
  enterObject,
  enterOther,
  findOwnBucket,
  type S3Place,
} from '../bucket/find-bucket.ts'
import { noted } from '../object/change-noted.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import {
  claimHolder,
  claimObject,
  dropClaim,
  renamedFrom,
  renamedHeaders,
  sharesParts,
} from '../object/rename-claim.ts'
import { headObjectAt, preconditionFailed, writeCondition } from '../object/write-condition.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { unescapeBytes } from '../signature/canonical.ts'
import { tagsOfObject } from '../tagging/tag-set.ts'

const SOURCE = 'x-amz-rename-source'
const PUT: AccessUse = { action: 's3:PutObject', acl: 'write', method: 'PUT' }
/** Others who may change the object's metadata while it is renamed, one after the other. */
const ROUNDS_MAX = 8

interface Renaming {
  readonly from: { readonly place: S3Place; readonly key: string }
  readonly to: S3Place
  /** Whose claim it is. */
  readonly id: string
  /** The client's; a request that comes again with it is the same one. */
  readonly token: string | undefined
}

interface Claimed {
  readonly record: ItemInfo
  /** The parts are the new name's once the old one is gone. */
  readonly isOwner: boolean
  /** From here on the new name may have them. */
  isMoving: boolean
}

export async function renameObject(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  const to = await enterObject(call, PUT)
  if (to.versions !== undefined) {
    throw new S3Error('InvalidBucketState', 'Objects that have versions are not renamed.')
  }
  const token = clientToken(call)
  const renaming: Renaming = {
    from: await enterSource(call),
    to,
    token,
    id: token ?? randomId(call.exchange.proxy.random),
  }
  const before = await startedBefore(call, renaming)
  const condition =
    before === null ? await destinationCondition(call, to) : { ifWriteId: before.writeId }
  if (before !== null && (await headObjectAt(call, renaming.from.place)) === null)
    return emptyReply(200)
  const { place } = renaming.from
  const { record, ownedParts } = await claimObject(call, place, renaming.id)
  // The mark of an earlier request with the token is this one's, as long as its copy has it, too.
  const isOwner = ownedParts || (before !== null && sharesParts(before) === renaming.id)
  const claimed: Claimed = { record, isOwner, isMoving: false }
  const makeMove = () => move(call, renaming, { claimed, condition })
  try {
    await refuseWhatGoesAlong(call, record)
    await noted(call, place, { kind: 'removed' }, () =>
      noted(call, to, { kind: 'ObjectCreated:Copy' }, makeMove),
    )
  } catch (error) {
    const { id } = renaming
    if (!claimed.isMoving) await dropClaim(call, place, { record, id, parts: ownedParts })
    throw error
  }
  return emptyReply(200)
}

/** AccessDenied where the new name may not have the object's tags, or its list, by what a policy denies of writes. */
async function refuseWhatGoesAlong(call: S3Call, record: ItemInfo): Promise<void> {
  const tags = tagsOfObject(record)
  if (tags.length > 0) {
    call.givenTags = tags
    await enterObject(call, PUT)
  }
  if (!record.meta.headers[S3_ACL]) return
  const { path, info: bucket } = await findOwnBucket(call, call.key)
  const use = { action: 's3:PutObjectAcl', acl: 'none', method: 'PUT' } as const
  await refuseDenied(call, { use, path, bucket })
}

/** Copies what is claimed, and takes it away; again, if its metadata was changed in between. */
async function move(
  call: S3Call,
  renaming: Renaming,
  { claimed, condition }: { readonly claimed: Claimed; readonly condition: Condition },
): Promise<void> {
  const { backend } = call.exchange.proxy
  const { from, to } = renaming
  let stored = await storeOver(call, renaming, { claimed, condition })
  if (stored === null) throw preconditionFailed('If-*')
  for (let round = 0; round < ROUNDS_MAX && stored !== null; round++) {
    const { made, source } = stored
    const gone = { condition: { ifWriteId: source.writeId } }
    const removed = await backend.deleteObject(from.place, gone)
    const holder = removed.status === 'done' ? 'nobody' : await holderNow(call, renaming)
    if (holder === 'nobody') {
      if (uploadOf(made) !== undefined && claimed.isOwner)
        await dropClaim(call, to, { record: made, id: renaming.id, parts: true })
      return
    }
    if (holder === 'other') {
      await backend.deleteObject(to, { condition: { ifWriteId: made.writeId } })
      break
    }
    stored = await store(call, renaming, { ifWriteId: made.writeId })
  }
  throw new S3Error('OperationAborted')
}

interface StoredAgain {
  readonly made: ItemInfo
  readonly source: ItemInfo
}

/** The first time: if something with parts of its own has the new name, they go. */
async function storeOver(
  call: S3Call,
  renaming: Renaming,
  { claimed, condition }: { readonly claimed: Claimed; readonly condition: Condition },
): Promise<StoredAgain | null> {
  let stored: StoredAgain | null = null
  await replacingParts(call.exchange.proxy, renaming.to, {
    condition,
    async commit(only = {}) {
      claimed.isMoving = true
      stored = await store(call, renaming, only)
      claimed.isMoving = stored !== null
      return stored === null
        ? { status: 'precondition-failed', current: null }
        : { status: 'done', info: stored.made, existed: true }
    },
  })
  return stored
}

/** Stores what is claimed under its new name; null: the condition does not hold there. */
async function store(
  call: S3Call,
  { from, to, id, token }: Renaming,
  condition: Condition,
): Promise<StoredAgain | null> {
  const { backend } = call.exchange.proxy
  const read = await backend.readObject(from.place, { sealed: true })
  if (read === null || claimHolder(read.info, id) !== 'self') {
    if (read !== null) await closeBody(read)
    throw new S3Error('OperationAborted')
  }
  const headers = renamedHeaders(read.info, { key: from.key, token })
  const meta = { ...read.info.meta, headers }
  const outcome = await copyRecord(backend, read, { place: to, meta, condition })
  if (outcome.status === 'precondition-failed') return null
  if (outcome.status !== 'done') throw new S3Error('NoSuchBucket')
  return { made: outcome.info, source: read.info }
}

/** Who has the old name now: nobody renames it if it was deleted, or written anew, after the renaming as it were. */
async function holderNow(
  call: S3Call,
  { from, id }: Renaming,
): Promise<'self' | 'other' | 'nobody'> {
  const current = await headObjectAt(call, from.place)
  return current === null ? 'nobody' : claimHolder(current, id)
}

/** What an earlier request with the same token has stored already; null: nothing. */
async function startedBefore(
  call: S3Call,
  { from, to, token }: Renaming,
): Promise<ItemInfo | null> {
  if (token === undefined) return null
  const current = await headObjectAt(call, to)
  const renamed = current === null ? null : renamedFrom(current)
  if (renamed?.token !== token) return null
  if (renamed.key !== from.key) throw new S3Error('IdempotencyParameterMismatch')
  return current
}

async function destinationCondition(call: S3Call, to: S3Place): Promise<Condition> {
  const headers = await writeCondition(call, to)
  const [match, noneMatch] = [headers['if-match'], headers['if-none-match']]
  const modified = dateOf(call, 'if-modified-since')
  const unmodified = dateOf(call, 'if-unmodified-since')
  return {
    ...(match !== undefined && { ifMatch: etagList(match) }),
    ...(noneMatch !== undefined && { ifNoneMatch: etagList(noneMatch) }),
    ...(modified !== undefined && { ifModifiedSince: modified }),
    ...(unmodified !== undefined && { ifUnmodifiedSince: unmodified }),
  }
}

function dateOf(call: S3Call, name: string): number | undefined {
  const text = call.header(name)
  return text === undefined ? undefined : parseHttpDate(text)
}

/** The object that goes: its caller must be let read and delete it. */
async function enterSource(call: S3Call): Promise<Renaming['from']> {
  const key = sourceKey(call)
  if (key === call.key) throw badSource(call, 'The source is the object itself.')
  const other = { bucket: call.bucket, key, version: undefined }
  const use = { action: 's3:DeleteObject', acl: 'write', method: 'DELETE' } as const
  await enterOther(call, other, use)
  return { place: await enterOther(call, other), key }
}

/** The key, escaped; or `/bucket/key` of the request's own bucket, as some clients have it. */
function sourceKey(call: S3Call): string {
  const text = fromWire(unescapeBytes(call.header(SOURCE) ?? ''))
  if (text === null || text === '' || text.includes('\0')) throw badSource(call)
  const own = `/${call.bucket}/`
  const key = text.startsWith(own) ? text.slice(own.length) : text
  if (key === '') throw badSource(call)
  checkKey(key)
  return key
}

function clientToken(call: S3Call): string | undefined {
  const token = call.header('x-amz-client-token')
  if (token === undefined || /^[\x21-\x7e]{1,64}$/.test(token)) return token
  throw new S3Error('InvalidArgument', 'A client token has 1 to 64 characters of ASCII.', {
    ArgumentName: 'x-amz-client-token',
    ArgumentValue: token,
  })
}

function badSource(call: S3Call, message = 'Invalid rename source object key'): S3Error {
  return new S3Error('InvalidArgument', message, {
    ArgumentName: SOURCE,
    ArgumentValue: call.header(SOURCE) ?? '',
  })
}
