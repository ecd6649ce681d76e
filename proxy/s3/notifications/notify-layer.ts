/** Behind the sign-in, around the writes of both APIs: buckets that want to tell of them do. */
import type { Exchange } from '../../exchange.ts'
import type { Layer, Next } from '../../layers/layer.ts'
import { type ObjectWrite, objectWriteLayer } from '../../layers/object-writes.ts'
import { isStream, type Reply, replyHeader } from '../../reply.ts'
import { findObject, NULL_VERSION, versionAcl, versionOf } from '../../swift/found-object.ts'
import {
  accessObject,
  containerOf,
  type ObjectPlace,
  objectPath,
} from '../../swift/object-access.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { type ChangeKind, isRemoval, OUTCOMES } from './event-names.ts'
import { type ChangeOutcome, notedChange, type ObjectChange, rulesFor } from './note-change.ts'

/** Always there. */
export function notifyLayer(): Layer {
  return objectWriteLayer('notifications', answerIn)
}

function answerIn(exchange: Exchange, { path, bucket, next }: ObjectWrite): Reply | Promise<Reply> {
  if (bucket === null) return next()
  const version = exchange.method === 'DELETE' ? versionOf(exchange) : undefined
  const change: ObjectChange = {
    kind: kindOf(exchange),
    account: path.account,
    bucket: path.container!,
    key: path.object!,
    ...(version !== undefined && { version }),
  }
  const rules = rulesFor(bucket, change)
  return rules.length === 0 ? next() : answerNoted(exchange, { path, change, rules, next })
}

async function answerNoted(
  exchange: Exchange,
  of: {
    readonly path: SwiftPath
    readonly change: ObjectChange
    readonly rules: ReturnType<typeof rulesFor>
    readonly next: Next
  },
): Promise<Reply> {
  const { path, change, rules, next } = of
  // Only for who may change it: strangers fill no queue.
  const isDelete = exchange.method === 'DELETE'
  const acl = isDelete ? versionAcl(exchange, 'write') : 'write'
  const method = isDelete ? 'DELETE' : 'PUT'
  const place = await accessObject(exchange, { acl, method, path })
  const found = change.version === undefined ? await lookAt(exchange, place) : null
  const keepsVersions = place.versions !== undefined || change.version !== undefined
  if (isDelete && found === null && !keepsVersions) return next()
  return notedChange(exchange, {
    rules,
    change,
    before: found?.read.info.writeId ?? null,
    make: next,
    judge: (reply) => judgeReply(exchange, { reply, change, path }),
  })
}

function lookAt(exchange: Exchange, place: ObjectPlace) {
  return findObject(exchange, place, { head: true, newest: false })
}

async function judgeReply(
  exchange: Exchange,
  of: { readonly reply: Reply; readonly change: ObjectChange; readonly path: SwiftPath },
): Promise<ChangeOutcome> {
  const { reply, change, path } = of
  if (reply.status >= 500 || isStream(reply.body)) return { status: 'unknown' }
  if (reply.status >= 300) return { status: 'nothing' }
  const { kind, version } = change
  if (isRemoval(kind)) {
    const made = replyHeader(reply, 'X-Object-Version-Id')
    const isMarker = version === undefined && made !== undefined
    const versionId = version ?? made
    const name = OUTCOMES[kind][isMarker ? 1 : 0]
    return { status: 'done', name, object: null, ...(versionId !== undefined && { versionId }) }
  }
  // The container may have been made again with another policy: it is looked at anew.
  const place = objectPath(path, await containerOf(exchange, path))
  const found = await lookAt(exchange, place)
  if (found === null) return { status: 'unknown' }
  const { version: versionId } = found
  const isNamed = versionId !== undefined && versionId !== NULL_VERSION
  return { status: 'done', name: kind, object: found.read.info, ...(isNamed && { versionId }) }
}

function kindOf(exchange: Exchange): ChangeKind {
  const { changeKind, method, headers } = exchange
  if (method === 'DELETE') {
    return changeKind !== undefined && isRemoval(changeKind) ? changeKind : 'removed'
  }
  if (changeKind !== undefined && !isRemoval(changeKind)) return changeKind
  if (method === 'COPY' || headers['x-copy-from']) return 'ObjectCreated:Copy'
  const isManifest =
    exchange.url.includes('?') && exchange.query.get('multipart-manifest') === 'put'
  return isManifest ? 'ObjectCreated:CompleteMultipartUpload' : 'ObjectCreated:Put'
}
