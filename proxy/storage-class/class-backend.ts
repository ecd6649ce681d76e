/**
 * Storage classes: a backend around another one, in which an object's bytes may lie in another storage policy than its
 * container's. The record in its place has everything but the bytes, and where they are (placed-record.ts); they are an
 * object of their own in a hidden container. Whoever asks sees neither.
 *
 *   write    bytes, durable; then the record, under the caller's condition. If it is refused, the bytes go again
 *   replace  the bytes of the record before stay for an hour, for who is reading them
 *
 * Bytes belong to one record. Those that none names (a crash in between, a deletion that came another way) are found by
 * orphan-bytes.ts.
 */
import type { Clock } from '../../common/clock.ts'
import type { Condition } from '../../common/condition.ts'
import { ServiceError } from '../../common/errors.ts'
import { type Random, randomId } from '../../common/random.ts'
import type { Soon } from '../../common/soon.ts'
import type { ItemInfo, ItemMeta, ItemRead } from '../../common/storage-node.ts'
import type {
  Backend,
  BackendOutcome,
  ObjectPath,
  ObjectWriter,
  OpenOptions,
  ReadOptions,
} from '../backend/backend.ts'
import { noSuchContainer } from '../backend/backend-errors.ts'
import { deleteAtIn } from '../swift/expiry.ts'
import { S3_CLASS } from '../swift/foreign-meta.ts'
import { STATIC_LARGE_OBJECT } from '../swift/large/static-object.ts'
import {
  bytesPath,
  classContainer,
  containerMark,
  isMarked,
  markedPolicies,
  PLACED,
  type PlacedBytes,
  placedHeaders,
  placedOf,
  shownInfo,
} from './placed-record.ts'

/** A class of S3's and the index of the policy that its bytes lie in. */
export interface StorageClass {
  readonly name: string
  readonly policy: number
}

export interface ClassBackendOptions {
  readonly backend: Backend
  readonly classes: readonly StorageClass[]
  readonly clock: Pick<Clock, 'nowMs'>
  readonly random: Random
  /** Lets the container be looked through for orphans from now on. */
  readonly noteContainer: (account: string, container: string) => Promise<void>
}

/** Bytes of records that were replaced or deleted stay so long, for who is reading them. */
const KEPT_SECONDS = 3600
/** Moves that may come between a record and the read of its bytes. */
const ROUNDS_MAX = 4
const EMPTY = new Uint8Array(0)
const BYTES_TYPE = 'application/octet-stream'

export function classBackend(options: ClassBackendOptions): Backend {
  const { backend } = options
  const bytes = new ClassedBytes(options)
  return {
    ...backend,
    readObject(path, read) {
      const found = backend.readObject(path, read)
      if (!(found instanceof Promise)) {
        return isPlaced(found.info) ? bytes.open(path, found, read) : found
      }
      return found.then((it) =>
        it !== null && isPlaced(it.info) ? bytes.open(path, it, read) : it,
      )
    },
    putObject(path, put) {
      const hasClass = put.meta.headers[S3_CLASS] !== undefined
      // Mostly known at once, as the container was just looked at.
      const isPlain = !hasClass && bytes.mayReplace(path) === false
      return isPlain ? backend.putObject(path, put) : bytes.put(path, put)
    },
    openObject: (path, open) => bytes.openWriter(path, open),
    async postObject(path, post) {
      return shown(await backend.postObject(path, post))
    },
    deleteObject(path, deletion) {
      if (bytes.mayReplace(path) === false) return backend.deleteObject(path, deletion)
      return bytes.replacing(path, () => backend.deleteObject(path, deletion))
    },
    async deleteContainer(account, container) {
      const info = await backend.cachedContainer(account, container)
      const outcome = await backend.deleteContainer(account, container)
      const hasBytes = info !== null && isMarked(info)
      if (hasBytes && outcome.status === 'done') await options.noteContainer(account, container)
      return outcome
    },
  }
}

/** The part of a write that has brought its bytes. */
interface Referral {
  readonly at: PlacedBytes
  readonly meta: ItemMeta
  readonly condition: Condition | undefined
}

class ClassedBytes {
  readonly #options: ClassBackendOptions
  readonly #backend: Backend

  constructor(options: ClassBackendOptions) {
    this.#options = options
    this.#backend = options.backend
  }

  /** Reads the bytes that the record names; a record that was changed in between is read again. */
  open(
    path: ObjectPath,
    first: ItemRead,
    options: ReadOptions | undefined,
  ): ItemRead | Promise<ItemRead | null> {
    if (options?.head === true) return { ...first, info: shownInfo(first.info) }
    return this.#openBytes(path, first, options)
  }

  async #openBytes(
    path: ObjectPath,
    first: ItemRead,
    options: ReadOptions | undefined,
  ): Promise<ItemRead | null> {
    let found: ItemRead | null = first
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (found === null) return null
      const info = shownInfo(found.info)
      const at = placedOf(found.info)?.at
      if (at === undefined) return { ...found, info }
      const read = await this.#backend.readObject(bytesPath(path, at))
      if (read !== null) return { info, body: read.body }
      found = await this.#backend.readObject(path, options)
    }
    throw new ServiceError(
      'BytesMissing',
      `the bytes of ${path.object} are not where they belong`,
      {
        status: 503,
      },
    )
  }

  /** Whether what is written there may replace a record whose bytes lie elsewhere. */
  mayReplace({ account, container }: ObjectPath): Soon<boolean> {
    const known = this.#backend.cachedContainer(account, container)
    const isOne = (info: ItemInfo | null) => info !== null && isMarked(info)
    // Where nobody can tell, it is left to whoever looks for orphans.
    return known instanceof Promise ? known.then(isOne, () => false) : isOne(known)
  }

  async put(
    path: ObjectPath,
    put: { readonly meta: ItemMeta; readonly body: Uint8Array; readonly condition?: Condition },
  ): Promise<BackendOutcome> {
    const { meta, body, condition } = put
    const isManifest = meta.headers[STATIC_LARGE_OBJECT] !== undefined
    const policy = isManifest ? path.policy : this.#policyOf(path, meta.headers[S3_CLASS])
    if (policy === path.policy) {
      const own = { ...put, meta: inPlace(meta) }
      return this.replacing(path, () => this.#backend.putObject(path, own))
    }
    const at = await this.#reserve(path, policy, body.length)
    const store = () =>
      this.#backend.putObject(bytesPath(path, at), { meta: bytesMeta(meta), body })
    checkStored(
      await store().catch(async (error) => {
        await this.#makeAgain(path, policy, error)
        return store()
      }),
    )
    return this.#refer(path, { at, meta, condition })
  }

  async openWriter(path: ObjectPath, options: OpenOptions | undefined): Promise<ObjectWriter> {
    const policy = this.#policyOf(path, options?.storageClass)
    if (policy !== path.policy) return this.#writerElsewhere(path, policy)
    const writer = await this.#backend.openObject(path)
    return {
      write: (piece) => writer.write(piece),
      abort: () => writer.abort(),
      commit: (meta, condition) =>
        this.replacing(path, () => writer.commit(inPlace(meta), condition)),
    }
  }

  async #writerElsewhere(path: ObjectPath, policy: number): Promise<ObjectWriter> {
    const reserved = await this.#reserve(path, policy, 0)
    const writer = await this.#backend.openObject(bytesPath(path, reserved))
    let bytes = 0
    return {
      write(piece) {
        bytes += piece.byteLength
        return writer.write(piece)
      },
      abort: () => writer.abort(),
      commit: async (meta, condition) => {
        const storing = writer.commit(bytesMeta(meta))
        checkStored(
          await storing.catch(async (error) => {
            await this.#makeAgain(path, policy, error)
            // The bytes went by: who sends them again finds room.
            throw new ServiceError('BytesNotStored', 'there was no room yet', {
              status: 503,
              retryAfterSeconds: 1,
            })
          }),
        )
        return this.#refer(path, { at: { ...reserved, bytes }, meta, condition })
      },
    }
  }

  /** A change of the record; if it is made, the bytes of the record before are let go. */
  async replacing(
    path: ObjectPath,
    change: () => Promise<BackendOutcome>,
  ): Promise<BackendOutcome> {
    const before = (await this.mayReplace(path)) ? await this.#bytesAt(path) : undefined
    const outcome = await change()
    if (before !== undefined && outcome.status === 'done') await this.#letGo(path, before)
    return shown(outcome)
  }

  /** The bytes are there for good: the record names them, or they go again. */
  async #refer(path: ObjectPath, { at, meta, condition }: Referral): Promise<BackendOutcome> {
    const put = {
      meta: { ...meta, headers: placedHeaders(meta.headers, at) },
      body: EMPTY,
      ...(condition !== undefined && { condition }),
    }
    const outcome = await this.replacing(path, () => this.#backend.putObject(path, put))
    // A failure leaves open whether the record was written: then who looks for orphans decides.
    if (outcome.status !== 'done') await this.#backend.deleteObject(bytesPath(path, at))
    return outcome
  }

  async #bytesAt(path: ObjectPath): Promise<PlacedBytes | undefined> {
    const read = await this.#backend.readObject(path, { head: true })
    return read === null ? undefined : placedOf(read.info)?.at
  }

  async #letGo(path: ObjectPath, at: PlacedBytes): Promise<void> {
    const meta = { headers: { 'x-delete-at': deleteAtIn(this.#options.clock, KEPT_SECONDS) } }
    // The record is written: what cannot be let go now is an orphan.
    await this.#backend.postObject(bytesPath(path, at), { meta }).catch(ignore)
  }

  /** A class that is not (any more) in the settings has no place of its own. */
  #policyOf(path: ObjectPath, name: string | undefined): number {
    if (name === undefined) return path.policy
    return this.#options.classes.find((known) => known.name === name)?.policy ?? path.policy
  }

  /** A place for bytes, in a container that is there and that is looked through for orphans before anything lies in it. */
  async #reserve(path: ObjectPath, policy: number, bytes: number): Promise<PlacedBytes> {
    const { account, container } = path
    const info = await this.#backend.cachedContainer(account, container)
    if (info === null) throw noSuchContainer()
    const isThere =
      markedPolicies(info).includes(policy) &&
      (await this.#backend.cachedContainer(account, classContainer(container, policy))) !== null
    if (!isThere) await this.#makeContainer(path, policy)
    return { policy, id: randomId(this.#options.random), bytes }
  }

  async #makeContainer({ account, container }: ObjectPath, policy: number): Promise<void> {
    await this.#options.noteContainer(account, container)
    const made = { meta: { headers: {} }, policy }
    await this.#backend.putContainer(account, classContainer(container, policy), made)
    const mark = { headers: containerMark(policy) }
    const { status } = await this.#backend.postContainer(account, container, mark)
    if (status === 'not-found') throw noSuchContainer()
  }

  /** Who looks for orphans takes an empty container away that a bucket made again may rely on; all other failures stay. */
  async #makeAgain(path: ObjectPath, policy: number, error: unknown): Promise<void> {
    const isGone = error instanceof ServiceError && error.code === 'NoSuchContainer'
    if (!isGone) throw error
    await this.#makeContainer(path, policy)
  }
}

function isPlaced({ meta }: ItemInfo): boolean {
  return meta.headers[PLACED] !== undefined
}

function shown(outcome: BackendOutcome): BackendOutcome {
  if (outcome.status === 'done') return { ...outcome, info: shownInfo(outcome.info) }
  if (outcome.status !== 'precondition-failed' || outcome.current === null) return outcome
  return { ...outcome, current: shownInfo(outcome.current) }
}

/** Of a record that keeps its bytes. */
function inPlace(meta: ItemMeta): ItemMeta {
  if (meta.headers[S3_CLASS] === undefined) return meta
  return { ...meta, headers: placedHeaders(meta.headers, undefined) }
}

function bytesMeta({ etag = '' }: ItemMeta): ItemMeta {
  return { etag, contentType: BYTES_TYPE, headers: {} }
}

function checkStored({ status }: BackendOutcome): void {
  if (status === 'done') return
  throw new ServiceError('BytesNotStored', `the object's bytes were not stored: ${status}`, {
    status: 503,
  })
}

function ignore(): void {}
