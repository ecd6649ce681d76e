/**
 * Containers that are kept the same in two clusters: this is the receiving side, and the marks that tell the pushing side
 * (container-syncer.ts) what has changed. What another cluster pushes is signed by the realm's key and both containers' own.
 * https://docs.openstack.org/swift/latest/overview_container_sync.html
 */
import { formatTimestamp, TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ObjectPath } from '../../backend/backend.ts'
import { receiveUpTo } from '../../body.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import { type Reply, replyHeader, statusReply, textReply } from '../../reply.ts'
import { innerExchange } from '../../swift/inner-exchange.ts'
import { receiveStoredManifest } from '../../swift/large/slo-manifest.ts'
import { manifestHeaders } from '../../swift/large/slo-put.ts'
import { STATIC_LARGE_OBJECT } from '../../swift/large/static-object.ts'
import { accessObject, containerOf } from '../../swift/object-access.ts'
import { pathText } from '../../swift/path.ts'
import { isTrue } from '../../swift/query.ts'
import { escapePath } from '../../wire-text.ts'
import type { Layer, Next } from '../layer.ts'
import { SyncMarks } from './sync-marks.ts'
import {
  type ContainerSyncOptions,
  findByName,
  isSameText,
  parseSyncTo,
  SYNC_DEFAULTS,
  SYNC_USER,
  type SyncSettings,
  syncSignature,
} from './sync-realms.ts'
import { changedAt, parseTimestamp, SYNC_TIME } from './sync-time.ts'

export const SYNC_TO = 'x-container-sync-to'
export const SYNC_KEY = 'x-container-sync-key'
const SYNC_AUTH = 'x-container-sync-auth'

/** Before the sign-in: lets in what another cluster pushes, and checks where containers are told to push. */
export function containerSyncLayer(options: ContainerSyncOptions): Layer {
  const settings = { ...SYNC_DEFAULTS, ...options }
  return {
    name: 'containerSync',
    concerns: ({ headers }) =>
      headers[SYNC_AUTH] !== undefined ||
      headers[SYNC_KEY] !== undefined ||
      headers[SYNC_TO] !== undefined,
    answer(exchange, next) {
      if (exchange.path!.object !== undefined) return answerPush(exchange, { settings, next })
      return answerSetting(exchange, { settings, next })
    },
    info: { container_sync: { realms: realmInfo(settings) } },
  }
}

/** Behind the sign-in: marks what changes in containers that are synchronised. */
export function syncMarkLayer(): Layer {
  return {
    name: 'syncMarks',
    concerns: ({ path, method }) =>
      path?.object !== undefined && method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS',
    async answer(exchange, next) {
      const isCopy = exchange.method === 'COPY'
      if (!isCopy) await markChange(exchange)
      const reply = await next()
      // Only now the exchange knows where the copy went.
      if (isCopy) await markChange(exchange)
      return reply
    },
  }
}

/** Only for who may change it: a mark makes another cluster delete what is not here any more. */
async function markChange(exchange: Exchange): Promise<void> {
  const { account, container, object } = exchange.path!
  const headers = (await containerOf(exchange, exchange.path!))?.meta.headers
  if (!headers?.[SYNC_TO] || !headers[SYNC_KEY]) return
  const place = await accessObject(exchange, { acl: 'write', method: 'PUT' })
  const name = { account, container: container!, object: object! }
  const deletedAt = exchange.method === 'DELETE' ? await deletionTime(exchange, place) : null
  await new SyncMarks(exchange.proxy.backend).mark(name, deletedAt)
}

/** Of a deletion that was pushed here, that of its source; else now, and after all that it deletes. */
async function deletionTime(exchange: Exchange, place: ObjectPath): Promise<number> {
  const pushed = parseTimestamp(exchange.objectSysmeta?.[SYNC_TIME] ?? '')
  if (pushed !== null) return pushed
  const { backend, clock } = exchange.proxy
  const read = await backend.readObject(place, { head: true })
  const now = Math.floor((clock.nowMs() / 1000) * TICKS_PER_SECOND)
  return read === null ? now : Math.max(now, changedAt(read.info) + 1)
}

interface Sync {
  readonly settings: SyncSettings
  readonly next: Next
}

/** A container's own settings: only what can be pushed to is taken, and all that is in it is looked at from now on. */
async function answerSetting(exchange: Exchange, { settings, next }: Sync): Promise<Reply> {
  const isChange = exchange.method === 'PUT' || exchange.method === 'POST'
  const { account, container } = exchange.path!
  const target = exchange.text(SYNC_TO)
  if (!isChange || container === undefined || target === undefined) return next()
  const parsed = target === '' ? null : parseSyncTo(target, settings)
  if (typeof parsed === 'string') throw badRequest(parsed)
  const reply = await next()
  if (reply.status < 300 && parsed !== null) {
    const { backend, random } = exchange.proxy
    const scan = Buffer.from(random.bytes(8)).toString('hex')
    await new SyncMarks(backend).requestScan(account, container, scan)
  }
  return reply
}

/** A request of another cluster, or of somebody who says so. */
async function answerPush(exchange: Exchange, { settings, next }: Sync): Promise<Reply> {
  const auth = exchange.header(SYNC_AUTH)
  const isByHost = settings.allowedHosts.includes(addressOf(exchange))
  if (auth === undefined && !isByHost) return next()
  const { account, container } = exchange.path!
  const info = await containerOf(exchange, exchange.path!)
  const userKey = info?.meta.headers[SYNC_KEY] ?? ''
  const isGood =
    auth === undefined
      ? isOwnKey(exchange, userKey)
      : isSigned(exchange, { auth, userKey, settings })
  if (!isGood) {
    const words = 'X-Container-Sync-Auth header not valid; contact cluster operator for support.'
    return textReply(401, words, [
      'WWW-Authenticate',
      `SwiftContainerSync realm="${escapePath(account)}"`,
    ])
  }
  exchange.authority = { by: SYNC_USER, account, container: container!, owner: false }
  const sent = exchange.header('x-timestamp')
  const ticks = sent === undefined ? null : parseTimestamp(sent)
  if (exchange.method === 'PUT' || exchange.method === 'DELETE') {
    if (ticks === null) throw badRequest('X-Timestamp is missing')
    return answerWrite(exchange, { ticks, next })
  }
  const reply = await next()
  await showChangedAt(exchange, reply)
  return reply
}

function addressOf({ socket }: Exchange): string {
  return (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
}

function isOwnKey(exchange: Exchange, userKey: string): boolean {
  const sent = exchange.header(SYNC_KEY) ?? ''
  return userKey !== '' && exchange.header('x-timestamp') !== undefined && isSameText(sent, userKey)
}

function isSigned(
  exchange: Exchange,
  given: { readonly auth: string; readonly userKey: string; readonly settings: SyncSettings },
): boolean {
  const [realmName, nonce, signature, ...rest] = given.auth.trim().split(/\s+/)
  if (realmName === undefined || nonce === undefined || signature === undefined) return false
  const realm = findByName(given.settings.realms, realmName)
  if (rest.length > 0 || realm === undefined || given.userKey === '') return false
  const message = {
    method: exchange.method,
    path: escapePath(pathText(exchange)),
    timestamp: exchange.header('x-timestamp') ?? '0',
    nonce,
    userKey: given.userKey,
  }
  const keys = [realm.key, ...(realm.key2 === undefined ? [] : [realm.key2])]
  return keys.some((key) => isSameText(syncSignature(key, message), signature))
}

/** The newer one stays, whichever cluster it was written in. */
async function answerWrite(
  exchange: Exchange,
  write: { readonly ticks: number; readonly next: Next },
): Promise<Reply> {
  const { ticks, next } = write
  const place = await accessObject(exchange, { acl: 'write' })
  const read = await exchange.proxy.backend.readObject(place, { head: true })
  // Nothing to delete, and nobody to be told of it: deletions would go round for ever.
  if (read === null && exchange.method === 'DELETE') return statusReply(404)
  if (read !== null && changedAt(read.info) >= ticks) {
    return statusReply(exchange.method === 'PUT' ? 202 : 409)
  }
  const sysmeta = { [SYNC_TIME]: formatTimestamp(ticks) }
  if (exchange.method === 'PUT' && isTrue(exchange.header(STATIC_LARGE_OBJECT))) {
    return putManifest(exchange, sysmeta)
  }
  exchange.objectSysmeta = sysmeta
  return next()
}

/** The manifest of a static large object comes as it is stored; its segments come by their own containers, or do not. */
async function putManifest(
  exchange: Exchange,
  sysmeta: Readonly<Record<string, string>>,
): Promise<Reply> {
  const { limits, answerInner } = exchange.proxy
  const body = await receiveUpTo(exchange, limits.sloManifestBytesMax)
  if (body === null) throw refusal(413, `Manifest File > ${limits.sloManifestBytesMax} bytes`)
  const segments = receiveStoredManifest(body)
  const { [STATIC_LARGE_OBJECT]: _, 'transfer-encoding': __, ...headers } = exchange.headers
  const inner = innerExchange(exchange, {
    method: 'PUT',
    path: exchange.path!,
    headers: { ...headers, 'content-length': String(body.length) },
    body,
  })
  inner.objectSysmeta = { ...sysmeta, ...manifestHeaders(segments) }
  return answerInner(inner)
}

/** X-Timestamp is the source's. */
async function showChangedAt(exchange: Exchange, reply: Reply): Promise<void> {
  if (reply.status !== 200 || replyHeader(reply, 'x-timestamp') === undefined) return
  const place = await accessObject(exchange, { acl: 'read' })
  const read = await exchange.proxy.backend.readObject(place, { head: true })
  if (read === null) return
  for (let i = 0; i < reply.headers.length; i += 2) {
    if (reply.headers[i]!.toLowerCase() !== 'x-timestamp') continue
    reply.headers[i + 1] = formatTimestamp(changedAt(read.info))
  }
}

function realmInfo({ realms }: SyncSettings): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    realms.map(({ name, clusters }) => [
      name.toUpperCase(),
      { clusters: Object.fromEntries(clusters.map((cluster) => [cluster.name.toUpperCase(), {}])) },
    ]),
  )
}
