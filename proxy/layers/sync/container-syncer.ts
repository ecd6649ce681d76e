/** The pushing side: brings what has changed in containers that are synchronised to where they are synchronised to. */
import { Readable } from 'node:stream'
import { request } from 'undici'
import { forEachParallel } from '../../../common/bounded-parallel.ts'
import type { Clock } from '../../../common/clock.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { Log } from '../../../common/log.ts'
import type { Random } from '../../../common/random.ts'
import { formatTimestamp } from '../../../common/stamp.ts'
import type { ItemRead } from '../../../common/storage-node.ts'
import type { Backend } from '../../backend/backend.ts'
import { PeriodicPass } from '../../backend/periodic-pass.ts'
import { CUSTOMER_KEY_NEEDED } from '../../encryption/sse-record.ts'
import { isStream } from '../../reply.ts'
import { shownLink, targetOf } from '../../swift/links/symlink.ts'
import { closeBody, pieceOf } from '../../swift/object-body.ts'
import { escapePath, toWire } from '../../wire-text.ts'
import { SYNC_KEY, SYNC_TO } from './container-sync.ts'
import { type Mark, type MarkedContainer, SyncMarks } from './sync-marks.ts'
import {
  type ContainerSyncOptions,
  parseSyncTo,
  SYNC_DEFAULTS,
  type SyncSettings,
  type SyncTarget,
  syncSignature,
} from './sync-realms.ts'
import { changedAt, parseTimestamp } from './sync-time.ts'

export interface ContainerSyncerContext {
  readonly backend: Backend
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const PUSHES_MAX = 8
const PAGE_MAX = 1_000
const ANSWER_MS = 60_000
/** Metadata of the inside stays here. */
const NOT_PUSHED = /-sysmeta-/
/** The object itself, not what it stands for. */
const AS_IT_LIES = 'symlink=get&multipart-manifest=get'

/** Where a container's objects go, and by which key. */
interface Route {
  readonly target: SyncTarget
  readonly userKey: string
}

export class ContainerSyncer {
  readonly #settings: SyncSettings
  readonly #context: ContainerSyncerContext
  readonly #marks: SyncMarks
  readonly #pass: PeriodicPass

  constructor(options: ContainerSyncOptions, context: ContainerSyncerContext) {
    this.#settings = { ...SYNC_DEFAULTS, ...options }
    this.#context = context
    this.#marks = new SyncMarks(context.backend)
    const intervalMs = this.#settings.intervalSeconds * 1000
    this.#pass = new PeriodicPass({
      name: 'container-sync',
      clock: context.clock,
      log: context.log,
      run: () => this.pass(),
      busyMs: intervalMs,
      idleMs: intervalMs,
    })
  }

  /** Proxies of a cluster begin at different times. */
  start(): void {
    this.#pass.start(this.#context.random.below(this.#settings.intervalSeconds * 1000))
  }

  stop(): Promise<void> {
    return this.#pass.stop()
  }

  /** Everything that is marked now; true if there was anything. */
  async pass(): Promise<boolean> {
    let pushed = 0
    for await (const marked of this.#marks.containers()) pushed += await this.#sync(marked)
    return pushed > 0
  }

  async #sync(marked: MarkedContainer): Promise<number> {
    const route = await this.#routeOf(marked)
    const scanned = route === null || marked.scan === '' ? 0 : await this.#scan(marked, route)
    const marks = await this.#marks.marks(marked)
    await forEachParallel(marks, PUSHES_MAX, async (mark) => {
      // A container that is not synchronised any more has nothing to be remembered for.
      const isDone = route === null || (await this.#push(marked, route, mark))
      if (isDone) await this.#marks.clear(marked, mark)
    })
    return scanned + marks.length
  }

  /** Every object of a container that was just told where to push. */
  async #scan(marked: MarkedContainer, route: Route): Promise<number> {
    const { backend } = this.#context
    let failures = 0
    let objects = 0
    let marker = ''
    for (;;) {
      const query = { limit: PAGE_MAX, ...(marker !== '' && { marker }) }
      const page = await backend.listContainer(marked.account, marked.container, query)
      const names = (page?.entries ?? []).flatMap((row) => ('subdir' in row ? [] : [row.name]))
      if (names.length === 0) break
      await forEachParallel(names, PUSHES_MAX, async (object) => {
        const isDone = await this.#push(marked, route, { object, deletedAt: null })
        if (!isDone) failures++
      })
      objects += names.length
      marker = names.at(-1)!
    }
    if (failures === 0) await this.#marks.endScan(marked)
    return objects
  }

  /** Null: it is not synchronised, or not where it may be. */
  async #routeOf({ account, container }: MarkedContainer): Promise<Route | null> {
    const info = await this.#context.backend.readContainer(account, container)
    const to = info?.meta.headers[SYNC_TO]
    const userKey = info?.meta.headers[SYNC_KEY]
    if (!to || !userKey) return null
    const target = parseSyncTo(to, this.#settings)
    return typeof target === 'string' ? null : { target, userKey }
  }

  /** Makes the object there what it is here; false: to be tried again. */
  async #push(
    { account, container }: MarkedContainer,
    route: Route,
    mark: Pick<Mark, 'object' | 'deletedAt'>,
  ): Promise<boolean> {
    const { backend, log } = this.#context
    const { object } = mark
    try {
      const info = await backend.readContainer(account, container)
      const path = { account, container, object, policy: info?.policy ?? 0 }
      const read = await backend.readObject(path, { newest: true })
      if (read === null) {
        const { deletedAt } = mark
        return deletedAt === null || (await this.#pushDeletion(route, object, deletedAt))
      }
      try {
        return await this.#pushObject(route, object, read)
      } finally {
        await closeBody(read)
      }
    } catch (error) {
      log.warn('container sync failed', { account, container, object, error })
      // What only its owner can read is not for another cluster, today or later.
      return error instanceof ServiceError && error.code === CUSTOMER_KEY_NEEDED
    }
  }

  async #pushDeletion(route: Route, object: string, ticks: number): Promise<boolean> {
    const { status } = await this.#send(route, { method: 'DELETE', object, ticks })
    return (status >= 200 && status < 300) || status === 404 || status === 409
  }

  async #pushObject(route: Route, object: string, read: ItemRead): Promise<boolean> {
    const { info } = read
    const ticks = changedAt(info)
    const there = await this.#send(route, { method: 'HEAD', object, ticks })
    const theirs = parseTimestamp(there.timestamp)
    if (there.status === 200 && theirs !== null && theirs >= ticks) return true
    if (there.status !== 200 && there.status !== 404) throw new Error(`HEAD: ${there.status}`)
    const headers: Record<string, string> = {
      'content-length': String(info.bytes),
      'content-type': toWire(info.meta.contentType ?? 'application/octet-stream'),
      etag: info.meta.etag ?? '',
    }
    for (const [name, value] of Object.entries(info.meta.headers)) {
      if (!NOT_PUSHED.test(name)) headers[name] = toWire(value)
    }
    const link = targetOf(info.meta)
    const shown = link === null ? [] : shownLink(link)
    for (let i = 0; i < shown.length; i += 2) headers[shown[i]!] = toWire(shown[i + 1]!)
    const piece = pieceOf(read, { start: 0, end: info.bytes })
    const body = isStream(piece)
      ? Readable.from(piece.pieces(), { objectMode: false })
      : Buffer.from((piece ?? '') as Uint8Array)
    const { status } = await this.#send(route, { method: 'PUT', object, ticks, headers, body })
    if (status < 200 || status > 299) throw new Error(`PUT: ${status}`)
    return true
  }

  async #send(
    { target, userKey }: Route,
    push: {
      readonly method: 'HEAD' | 'PUT' | 'DELETE'
      readonly object: string
      readonly ticks: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: Readable | Buffer
    },
  ): Promise<{ readonly status: number; readonly timestamp: string }> {
    const { method, object, ticks, headers = {}, body } = push
    const url = `${target.url}/${escapePath(object)}`
    const timestamp = formatTimestamp(ticks)
    const nonce = Buffer.from(this.#context.random.bytes(16)).toString('hex')
    const message = { method, path: new URL(url).pathname, timestamp, nonce, userKey }
    const proof: Record<string, string> =
      target.realm === null
        ? { 'x-container-sync-key': userKey }
        : {
            'x-container-sync-auth': `${target.realm.name} ${nonce} ${syncSignature(target.realm.key, message)}`,
          }
    // What a link or a manifest leads to may be none of the realm's.
    const answer = await request(method === 'HEAD' ? `${url}?${AS_IT_LIES}` : url, {
      method,
      headers: { ...headers, ...proof, 'x-timestamp': timestamp },
      headersTimeout: ANSWER_MS,
      bodyTimeout: ANSWER_MS,
      ...(body !== undefined && { body }),
    })
    await answer.body.dump()
    return { status: answer.statusCode, timestamp: String(answer.headers['x-timestamp'] ?? '') }
  }
}
