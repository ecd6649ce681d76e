/**
 * Which objects have changed since they were pushed: a mark is written before the change, so that a crash between the two
 * only makes somebody look. Marks are objects of an account that no client can name, in a container for each one that is
 * synchronised.
 */
import { createHash, hash } from 'node:crypto'
import { ServiceError } from '../../../common/errors.ts'
import { formatTimestamp } from '../../../common/stamp.ts'
import type { ItemInfo, ItemRead } from '../../../common/storage-node.ts'
import type { Backend, ObjectPath } from '../../backend/backend.ts'
import { parseTimestamp } from './sync-time.ts'

/** No reseller prefix begins with a dot. */
const ACCOUNT = '.sync'
const OF_ACCOUNT = 'x-container-sysmeta-of-account'
const OF_CONTAINER = 'x-container-sysmeta-of-container'
/** All of the container is to be looked at: it was just told where to push. */
const SCAN = 'x-container-sysmeta-scan'
const DELETED_AT = 'x-object-meta-deleted-at'
const NOTHING = new Uint8Array(0)
const NOTHING_MD5 = hash('md5', NOTHING, 'hex')
const PAGE_MAX = 1_000

export interface ObjectName {
  readonly account: string
  readonly container: string
  readonly object: string
}

/** A container that is synchronised, or was. */
export interface MarkedContainer {
  readonly account: string
  readonly container: string
  /** Empty: no scan is asked for. */
  readonly scan: string
}

export interface Mark {
  readonly object: string
  /** When somebody deleted it, wherever that was; null: nobody did since it was pushed. */
  readonly deletedAt: number | null
  /** Of the mark: changes when it is set anew. */
  readonly writeId: string
}

export class SyncMarks {
  readonly #backend: Backend

  constructor(backend: Backend) {
    this.#backend = backend
  }

  /**
   * Durable when it resolves. A deletion that was not pushed yet stays in the mark: a write that follows it may fail, and
   * that an object is not there does not tell whether it ever was.
   */
  async mark(
    { account, container, object }: ObjectName,
    deletedAt: number | null = null,
  ): Promise<void> {
    const path = this.#pathOf(account, container, object)
    const kept = deletedAt ?? deletedAtOf(await this.#backend.readObject(path, { head: true }))
    const headers = kept === null ? {} : { [DELETED_AT]: formatTimestamp(kept) }
    const meta = { etag: NOTHING_MD5, contentType: 'application/x-mark', headers }
    const put = () => this.#backend.putObject(path, { meta, body: NOTHING })
    try {
      await put()
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== 'NoSuchContainer') throw error
      await this.#makeContainer(account, container, '')
      await put()
    }
  }

  /** Has everything in the container looked at. */
  requestScan(account: string, container: string, scan: string): Promise<void> {
    return this.#makeContainer(account, container, scan)
  }

  /** The scan that was asked for by this word is done. */
  async endScan({ account, container, scan }: MarkedContainer): Promise<void> {
    const name = nameOf(account, container)
    const info = await this.#backend.readContainer(ACCOUNT, name)
    if (info?.meta.headers[SCAN] !== scan) return
    await this.#backend.postContainer(ACCOUNT, name, { headers: { [SCAN]: '' } })
  }

  /** All containers that have marks, or had. */
  async *containers(): AsyncGenerator<MarkedContainer> {
    let marker = ''
    for (;;) {
      const query = { limit: PAGE_MAX, ...(marker !== '' && { marker }) }
      const page = await this.#backend.listAccount(ACCOUNT, query)
      if (page === null || page.entries.length === 0) return
      for (const entry of page.entries) {
        marker = 'subdir' in entry ? entry.subdir : entry.name
        const info = await this.#backend.readContainer(ACCOUNT, marker)
        const found = info === null ? null : markedOf(info)
        if (found !== null) yield found
      }
    }
  }

  /** Marks of a container, the first thousand. */
  async marks({ account, container }: MarkedContainer): Promise<readonly Mark[]> {
    const page = await this.#backend.listContainer(ACCOUNT, nameOf(account, container), {
      limit: PAGE_MAX,
    })
    const marks: Mark[] = []
    for (const entry of page?.entries ?? []) {
      if ('subdir' in entry) continue
      const path = this.#pathOf(account, container, entry.name)
      const read = await this.#backend.readObject(path, { head: true })
      if (read === null) continue
      marks.push({ object: entry.name, deletedAt: deletedAtOf(read), writeId: read.info.writeId })
    }
    return marks
  }

  /** Unless it was set anew meanwhile. */
  async clear({ account, container }: MarkedContainer, { object, writeId }: Mark): Promise<void> {
    const path = this.#pathOf(account, container, object)
    await this.#backend.deleteObject(path, { condition: { ifWriteId: writeId } })
  }

  async #makeContainer(account: string, container: string, scan: string): Promise<void> {
    if ((await this.#backend.readAccount(ACCOUNT)) === null) {
      await this.#backend.putAccount(ACCOUNT, { headers: {} })
    }
    const headers: Record<string, string> = { [OF_ACCOUNT]: account, [OF_CONTAINER]: container }
    if (scan !== '') headers[SCAN] = scan
    await this.#backend.putContainer(ACCOUNT, nameOf(account, container), {
      meta: { headers },
      policy: 0,
    })
  }

  #pathOf(account: string, container: string, object: string): ObjectPath {
    return { account: ACCOUNT, container: nameOf(account, container), object, policy: 0 }
  }
}

function deletedAtOf(mark: ItemRead | null): number | null {
  return parseTimestamp(mark?.info.meta.headers[DELETED_AT] ?? '')
}

function nameOf(account: string, container: string): string {
  return createHash('sha256').update(`${account}/${container}`).digest('hex')
}

function markedOf({ meta: { headers } }: ItemInfo): MarkedContainer | null {
  const account = headers[OF_ACCOUNT]
  const container = headers[OF_CONTAINER]
  if (account === undefined || container === undefined) return null
  return { account, container, scan: headers[SCAN] ?? '' }
}
