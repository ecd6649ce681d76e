/** PUT and DELETE of an object mean one of several things: which one, the query and the headers say. */
import { receiveUpTo } from '../body.ts'
import { badRequest, type Exchange, refusal } from '../exchange.ts'
import type { Reply } from '../reply.ts'
import { copyInto } from './copy.ts'
import { checkVersioned, NULL_VERSION, versionOf } from './found-object.ts'
import { deleteStaticObject } from './large/slo-delete.ts'
import { putStaticObject } from './large/slo-put.ts'
import { STATIC_LARGE_OBJECT } from './large/static-object.ts'
import { putSymlink } from './links/symlink-put.ts'
import { accessObject } from './object-access.ts'
import { deleteObject, postObject } from './object-post.ts'
import { putObject } from './object-put.ts'
import { createdReply } from './object-write.ts'
import { restoreVersion } from './versions/version-writes.ts'

export function putVerb(exchange: Exchange): Promise<Reply> {
  // Of a manifest it says nothing that the query does not say.
  if (manifestWord(exchange) !== 'put') checkReserved(exchange)
  checkIfNoneMatch(exchange)
  if (versionOf(exchange) !== undefined && !exchange.headers['x-copy-from']) {
    return putVersionAgain(exchange)
  }
  if (manifestWord(exchange) === 'put') return putStaticObject(exchange)
  if (exchange.headers['x-copy-from']) return copyInto(exchange)
  return exchange.headers['x-symlink-target'] ? putSymlink(exchange) : putObject(exchange)
}

export function deleteVerb(exchange: Exchange): Promise<Reply> {
  checkReserved(exchange)
  return manifestWord(exchange) === 'delete' ? deleteStaticObject(exchange) : deleteObject(exchange)
}

export function postVerb(exchange: Exchange): Promise<Reply> {
  checkReserved(exchange)
  return postObject(exchange)
}

/** `PUT ?version-id=`: the version is the current object again. */
async function putVersionAgain(exchange: Exchange): Promise<Reply> {
  const place = await accessObject(exchange, { acl: 'write' })
  const version = versionOf(exchange)!
  if (version === NULL_VERSION) throw badRequest('Invalid version parameter')
  checkVersioned(place)
  const length = exchange.headers['content-length']
  if (length === undefined && exchange.headers['transfer-encoding'] === undefined)
    throw refusal(411)
  const isEmpty =
    length === undefined ? (await receiveUpTo(exchange, 0)) !== null : Number(length) === 0
  if (!isEmpty) throw badRequest('PUT version-id requests require a zero byte body')
  const { info, headers } = await restoreVersion(exchange, place, version)
  return createdReply(info, headers)
}

function manifestWord(exchange: Exchange): string | undefined {
  return exchange.url.includes('?') ? exchange.query.get('multipart-manifest') : undefined
}

function checkReserved(exchange: Exchange): void {
  if (exchange.headers[STATIC_LARGE_OBJECT] === undefined) return
  throw badRequest(
    'X-Static-Large-Object is a reserved header. To create a static large object add query param multipart-manifest=put.',
  )
}

function checkIfNoneMatch(exchange: Exchange): void {
  const noneMatch = exchange.headers['if-none-match']
  if (noneMatch !== undefined && !noneMatch.includes('*') && !exchange.isInner) {
    throw badRequest('If-None-Match only supports *')
  }
}
