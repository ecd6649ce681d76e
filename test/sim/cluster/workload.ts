/**
 * Clients that read and write a handful of names through any of the proxies, and note what they did and saw. Every body
 * names its write, so that what is read says which write it came from; bytes that are not exactly those of a write are a
 * violation at once.
 */
import { hash } from 'node:crypto'
import type { Condition } from '../../../common/condition.ts'
import { ServiceError } from '../../../common/errors.ts'
import {
  INLINE_BYTES_MAX,
  type ItemInfo,
  type ItemMeta,
  type ItemRead,
} from '../../../common/storage-node.ts'
import type { Backend, BackendOutcome, ObjectPath } from '../../../proxy/backend/backend.ts'
import { wholeBody } from '../../support/engine-rig.ts'
import type { SeededRandom } from '../../support/seeded-random.ts'
import { ABSENT, type Operation, type OperationKind, stateOf } from '../checker/history.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { SimProcess } from './sim-time.ts'

export const ACCOUNT = 'a'

/** How often each kind of operation is chosen. */
export type OperationMix = Readonly<Record<OperationKind, number>>

export interface WorkloadOptions {
  readonly containers: readonly string[]
  /** Names in each container. */
  readonly names: readonly string[]
  readonly mix: OperationMix
  /** Mean pause of a client between two operations. */
  readonly thinkMs: number
}

interface Version {
  readonly body: Buffer
  readonly etag: string
  readonly key: string
}

type Draft = { -readonly [K in keyof Operation]: Operation[K] }

/** A client waits no longer; what it asked for may happen nevertheless. */
const PATIENCE_MS = 45_000

export class Workload {
  readonly operations: Operation[] = []
  readonly violations: string[] = []
  readonly #cluster: SimCluster
  readonly #random: SeededRandom
  readonly #options: WorkloadOptions
  readonly #versions = new Map<number, Version>()
  readonly #byEtag = new Map<string, number>()
  readonly #kinds: readonly OperationKind[]
  /** The last version that somebody saw of a key: what a conditional write is likely to ask for. */
  readonly #lastSeen = new Map<string, number>()
  #moment = 0

  constructor(cluster: SimCluster, random: SeededRandom, options: WorkloadOptions) {
    this.#cluster = cluster
    this.#random = random
    this.#options = options
    this.#kinds = Object.entries(options.mix).flatMap(([kind, weight]) =>
      Array.from({ length: weight }, () => kind as OperationKind),
    )
  }

  /** One client after another: so many operations with pauses. */
  async runClient(name: string, operations: number): Promise<void> {
    const { time } = this.#cluster
    for (let count = 0; count < operations; count++) {
      await time.sleep(this.#random.fraction() * 2 * this.#options.thinkMs)
      const proxy = this.#random.pick(this.#cluster.proxies)!
      const { running } = proxy
      if (running === null) continue
      await this.#operate(
        `${name}@${running.process.name}`,
        running,
        this.#random.pick(this.#kinds)!,
      )
    }
  }

  /** A GET of every key and a listing of every container by this backend, noted like any other operation. */
  async readEverything(
    who: string,
    running: { readonly process: SimProcess; readonly backend: Backend },
  ): Promise<{
    readonly states: ReadonlyMap<string, string>
    readonly rows: ReadonlyMap<string, number | string>
  }> {
    const states = new Map<string, string>()
    const rows = new Map<string, number | string>()
    for (const container of this.#options.containers) {
      const listed = await this.#list(who, running, container)
      for (const [name, version] of listed.rows ?? []) rows.set(`${container}/${name}`, version)
      if (listed.rows === undefined)
        this.violations.push(`${who} cannot list ${container}: ${listed.note}`)
      await this.#checkTotals(who, running, container, listed.rows?.size)
      for (const name of this.#options.names) {
        const key = `${container}/${name}`
        const read = await this.#get(who, running, key, true)
        if (read.seen === undefined) this.violations.push(`${who} cannot read ${key}: ${read.note}`)
        else states.set(key, read.seen)
      }
    }
    return { states, rows }
  }

  /** What a container counts is what it lists. */
  async #checkTotals(
    who: string,
    running: { readonly backend: Backend },
    container: string,
    listed: number | undefined,
  ): Promise<void> {
    const info = await running.backend
      .readContainer(ACCOUNT, container, { totals: true })
      .catch((error: unknown) => error)
    const counted = (info as ItemInfo | null)?.stats?.objects
    if (listed === undefined || counted === listed) return
    this.violations.push(`${who} counts ${counted ?? info} in ${container} and lists ${listed}`)
  }

  get keys(): readonly string[] {
    const { containers, names } = this.#options
    return containers.flatMap((container) => names.map((name) => `${container}/${name}`))
  }

  etagOf(version: number): string | undefined {
    return this.#versions.get(version)?.etag
  }

  bodyOf(version: number): Buffer | undefined {
    return this.#versions.get(version)?.body
  }

  async #operate(
    who: string,
    running: { readonly process: SimProcess; readonly backend: Backend },
    kind: OperationKind,
  ): Promise<void> {
    const random = this.#random
    const container = random.pick(this.#options.containers)!
    const key = `${container}/${random.pick(this.#options.names)!}`
    if (kind === 'list') await this.#list(who, running, container)
    else if (kind === 'get') await this.#get(who, running, key, random.chance(0.2))
    else await this.#write(who, running, kind, key)
  }

  async #get(
    who: string,
    running: { readonly process: SimProcess; readonly backend: Backend },
    key: string,
    newest: boolean,
  ): Promise<Operation> {
    const draft = this.#begin(who, 'get', key)
    const head = this.#random.chance(0.15)
    const path = pathOf(key)
    return this.#attempt(draft, running.process, async () => {
      await needContainer(running.backend, path)
      const read = await running.backend.readObject(path, { head, newest })
      const seen = await this.#stateOfRead(draft, read, head)
      return () => {
        draft.outcome = 'ok'
        draft.seen = seen
      }
    })
  }

  async #list(
    who: string,
    running: { readonly process: SimProcess; readonly backend: Backend },
    container: string,
  ): Promise<Operation> {
    const draft = this.#begin(who, 'list', container)
    const random = this.#random
    const limit = random.pick([1000, 1000, 3, 1])!
    const reverse = random.chance(0.2)
    return this.#attempt(draft, running.process, async () => {
      const rows = new Map<string, number | string>()
      let marker = ''
      for (;;) {
        const from = marker === '' ? {} : { marker }
        const page = await running.backend.listContainer(ACCOUNT, container, {
          limit,
          ...(reverse ? { reverse } : {}),
          ...from,
        })
        if (page === null) throw new ServiceError('NoList', 'no such container', { status: 404 })
        for (const entry of page.entries) {
          if ('subdir' in entry) continue
          const version = this.#byEtag.get(entry.etag) ?? `etag ${entry.etag}`
          rows.set(entry.name, version)
          marker = entry.name
        }
        if (page.entries.length < limit) break
      }
      return () => {
        draft.outcome = 'ok'
        draft.rows = rows
      }
    })
  }

  async #write(
    who: string,
    running: { readonly process: SimProcess; readonly backend: Backend },
    kind: OperationKind,
    key: string,
  ): Promise<void> {
    const draft = this.#begin(who, kind, key)
    if (kind === 'replace' || kind === 'remove') draft.expected = this.#expectedOf(key)
    await this.#attempt(draft, running.process, async () => {
      await needContainer(running.backend, pathOf(key))
      const outcome = await this.#send(running.backend, draft)
      return () => this.#judge(draft, outcome)
    })
  }

  #send(backend: Backend, draft: Draft): Promise<BackendOutcome> {
    const path = pathOf(draft.key)
    const etag = draft.expected === undefined ? undefined : (this.etagOf(draft.expected) ?? 'none')
    const condition =
      draft.kind === 'create'
        ? { ifNoneMatch: ['*'] }
        : etag === undefined
          ? undefined
          : { ifMatch: [etag] }
    const conditional = condition === undefined ? {} : { condition }
    switch (draft.kind) {
      case 'delete':
      case 'remove':
        return backend.deleteObject(path, conditional)
      case 'post':
        return backend.postObject(path, { meta: { headers: headersOf(draft.id) } })
      default:
        return this.#put(backend, path, draft, conditional)
    }
  }

  async #put(
    backend: Backend,
    path: ObjectPath,
    draft: Draft,
    conditional: { readonly condition?: Condition },
  ): Promise<BackendOutcome> {
    const { body, etag } = this.#newVersion(draft.id, draft.key)
    const meta: ItemMeta = {
      etag,
      contentType: `text/v${draft.id}`,
      headers: headersOf(draft.id),
    }
    const streams = this.#random.chance(0.1) || body.length > INLINE_BYTES_MAX
    if (!streams) return backend.putObject(path, { meta, body, ...conditional })
    const writer = await backend.openObject(path)
    try {
      const half = this.#random.below(body.length)
      if (half > 0) await writer.write(body.subarray(0, half))
      await writer.write(body.subarray(half))
    } catch (error) {
      await writer.abort()
      throw error
    }
    return writer.commit(meta, conditional.condition)
  }

  #newVersion(id: number, key: string): Version {
    const random = this.#random
    const size = random.chance(0.85) ? 16 + random.below(300) : random.below(7_000)
    const bytes = random.chance(0.01) ? INLINE_BYTES_MAX + random.below(9_000) : size + 16
    const body = Buffer.alloc(bytes, `v${id} of ${key}; `)
    const version = { body, etag: hash('md5', body), key }
    this.#versions.set(id, version)
    this.#byEtag.set(version.etag, id)
    return version
  }

  /** Mostly the version that was seen last, sometimes another one. */
  #expectedOf(key: string): number {
    const last = this.#lastSeen.get(key)
    if (last !== undefined && this.#random.chance(0.9)) return last
    const known = [...this.#versions].filter(([, version]) => version.key === key)
    return this.#random.pick(known)?.[0] ?? -1
  }

  #judge(draft: Draft, outcome: BackendOutcome): void {
    draft.note = outcome.status
    switch (outcome.status) {
      case 'done':
        draft.outcome = 'ok'
        if (draft.kind !== 'post' && this.#versions.has(draft.id)) {
          this.#lastSeen.set(draft.key, draft.id)
        }
        return
      case 'not-found':
        // A plain DELETE of what is not there has happened all the same.
        draft.outcome = draft.kind === 'delete' ? 'ok' : 'refused'
        return
      case 'precondition-failed':
      case 'not-empty':
        draft.outcome = 'refused'
    }
  }

  async #stateOfRead(draft: Draft, read: ItemRead | null, head: boolean): Promise<string> {
    if (read === null) return ABSENT
    const { info } = read
    const version = this.#byEtag.get(info.meta.etag ?? '')
    const known = version === undefined ? undefined : this.#versions.get(version)
    if (version === undefined || known === undefined || known.key !== draft.key) {
      this.#violate(draft, `read an ETag that nobody wrote there: ${info.meta.etag}`)
      return `etag ${info.meta.etag}`
    }
    if (info.bytes !== known.body.length)
      this.#violate(draft, `v${version} has ${info.bytes} bytes`)
    if (info.meta.contentType !== `text/v${version}`) {
      this.#violate(draft, `v${version} has the content type ${info.meta.contentType}`)
    }
    if (!head) {
      const body = read.body === null ? Buffer.alloc(0) : await wholeBody(read.body)
      if (!known.body.equals(body)) {
        const shown = `${body.length} bytes ${body.toString('utf8', 0, 40)}`
        this.#violate(draft, `wrong bytes served of v${version}: ${shown}`)
      }
    }
    this.#lastSeen.set(draft.key, version)
    return stateOf(version, Number(info.meta.headers['x-object-meta-version']))
  }

  #violate(draft: Draft, what: string): void {
    this.violations.push(`#${draft.id} ${draft.kind} ${draft.key}: ${what}`)
  }

  #begin(who: string, kind: OperationKind, key: string): Draft {
    const draft: Draft = {
      id: this.operations.length + 1,
      kind,
      key,
      begin: ++this.#moment,
      end: Number.POSITIVE_INFINITY,
      outcome: kind === 'get' || kind === 'list' ? 'failed' : 'maybe',
      client: who,
      beginMs: this.#cluster.time.nowMs,
    }
    this.operations.push(draft)
    return draft
  }

  /** Runs until it is answered, its proxy dies, or the client has had enough. What comes later is not heard. */
  #attempt(draft: Draft, process: SimProcess, run: () => Promise<() => void>): Promise<Operation> {
    const { time } = this.#cluster
    return new Promise((resolve) => {
      let isOver = false
      const end = (note: (() => void) | string) => {
        if (isOver) return
        isOver = true
        cancel()
        draft.endMs = time.nowMs
        const moment = ++this.#moment
        if (typeof note === 'string') draft.note = note
        else note()
        if (draft.outcome !== 'maybe') draft.end = moment
        resolve(draft)
      }
      const cancel = time.after(PATIENCE_MS, () => end('gave up'))
      process.onDeath(() => end('the proxy died'))
      run().then(
        (note) => end(note),
        (error) => end(this.#failure(draft, error)),
      )
    })
  }

  /** Anything but a ServiceError is a bug of the store. */
  #failure(draft: Draft, error: unknown): string {
    if (error instanceof ServiceError) return `${error.status} ${error.code}: ${error.message}`
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#violate(draft, text)
    return text
  }
}

/** Every request on an object begins with its container, from the proxy's cache: its policy and who may come in. */
async function needContainer(backend: Backend, path: ObjectPath): Promise<void> {
  const info = await backend.cachedContainer(path.account, path.container)
  if (info === null) throw new ServiceError('NoSuchContainer', 'no container', { status: 404 })
}

function headersOf(version: number): Readonly<Record<string, string>> {
  return { 'x-object-meta-version': String(version) }
}

export function pathOf(key: string): ObjectPath {
  const slash = key.indexOf('/')
  return {
    account: ACCOUNT,
    container: key.slice(0, slash),
    object: key.slice(slash + 1),
    policy: 0,
  }
}
