/**
 * What the proxy's HTTP side asks of the cluster: registers and listings by name, with placement, quorum, rows and
 * container totals taken care of. Filled by proxy/backend/cluster-backend.ts. Failures are ServiceErrors: 503 without
 * a quorum (with retryAfterSeconds), 507 when the devices are full, 404 `NoSuchContainer` when a row was refused
 * because its container is gone, 503 `ContainerRemade` when it was made again with another storage policy: nothing was
 * written, and the caller may look at the container again and repeat.
 */
import type { ChangeMarks } from '../../common/change-marks.ts'
import type { Condition } from '../../common/condition.ts'
import type { Stamp } from '../../common/stamp.ts'
import type {
  ItemInfo,
  ItemMeta,
  ItemRead,
  ListPage,
  ListQuery,
  WriteOutcome,
} from '../../common/storage-node.ts'

export interface ObjectPath {
  readonly account: string
  readonly container: string
  readonly object: string
  /** The container's storage policy index. */
  readonly policy: number
  /** The container's metaStamp, which is the epoch of its settings, as the caller knew it when it let the request in. */
  readonly settings?: Stamp
}

export interface ReadOptions {
  /** No body wanted. */
  readonly head?: boolean
  /** Ask every primary and take the newest (X-Newest). */
  readonly newest?: boolean
  /** The client's own key, for an object that was enciphered with one. */
  readonly customerKey?: Uint8Array
  /** As it lies, even if a client had it enciphered: to be stored elsewhere with all of its metadata. */
  readonly sealed?: boolean
}

export interface OpenOptions {
  /** The class of S3's that the object is to have, if any. */
  readonly storageClass?: string | undefined
}

/** How a write ended; `superseded` has been dealt with (a fresh stamp, a recovery) or became a 503. */
export type BackendOutcome = Exclude<
  WriteOutcome,
  { readonly status: 'superseded' | 'body-missing' }
>

export interface ReadListOptions {
  /**
   * Totals in which every acknowledged row counts: 503 in the rare case that nobody can know them now. Without it they may lag
   * behind what was just acknowledged.
   */
  readonly totals?: boolean
}

/** New metadata of an object. */
export interface ObjectPost {
  readonly meta: ItemMeta
  readonly condition?: Condition
  /** An object whose time has come, and that is still there, is changed all the same. */
  readonly openExpired?: true
}

/** An object on its way in, of any length, to all primaries at once. */
export interface ObjectWriter {
  /** Resolves when the next piece is welcome; the piece may be reused afterwards. */
  write(piece: Uint8Array): Promise<void>
  commit(meta: ItemMeta, condition?: Condition): Promise<BackendOutcome>
  /** Idempotent. */
  abort(): Promise<void>
}

export interface AccountPage {
  readonly accounts: readonly { readonly name: string; readonly info: ItemInfo }[]
  /** Null at the end. */
  readonly next: string | null
}

export interface Backend {
  /** Where changes of accounts (`account`) and containers (`account/container`) are noted. */
  readonly marks: ChangeMarks
  /** Where what is written is sealed: the one that takes bodies as they are. */
  readonly unsealed?: Backend
  /** Null if it does not exist or is deleted; with stats. */
  readAccount(account: string, options?: ReadListOptions): Promise<ItemInfo | null>
  putAccount(account: string, meta: ItemMeta): Promise<BackendOutcome>
  postAccount(account: string, meta: ItemMeta): Promise<BackendOutcome>
  /** Marks the account as deleted (`deletedAtOf`) for the reaper to empty; `not-found` if it is not there or marked. */
  deleteAccount(account: string): Promise<BackendOutcome>
  /** Accounts by name, marked ones included, at most `query.limit`; `next` is the marker of the next page. */
  listAccounts(query: ListQuery): Promise<AccountPage>
  /** Containers of an account; null if there is no account. */
  listAccount(account: string, query: ListQuery): Promise<ListPage | null>

  /** Null if it does not exist; with stats. Always asks the replicas. */
  readContainer(
    account: string,
    container: string,
    options?: ReadListOptions,
  ): Promise<ItemInfo | null>
  /** The same from a bounded cache of a few seconds, for policy and ACLs; stats may be old. Synchronous when cached. */
  cachedContainer(account: string, container: string): ItemInfo | null | Promise<ItemInfo | null>
  /** Creates the container and its row in the account, or merges metadata into an existing one. */
  putContainer(
    account: string,
    container: string,
    options: { readonly meta: ItemMeta; readonly policy: number },
  ): Promise<BackendOutcome>
  postContainer(account: string, container: string, meta: ItemMeta): Promise<BackendOutcome>
  deleteContainer(account: string, container: string): Promise<BackendOutcome>
  listContainer(account: string, container: string, query: ListQuery): Promise<ListPage | null>

  /**
   * The current record; null if there is none or it is deleted. The caller closes a BodyReader. Synchronous where one
   * replica is all and has the object in memory.
   */
  readObject(path: ObjectPath, options?: ReadOptions): ItemRead | Promise<ItemRead | null>
  /** A body of up to INLINE_BYTES_MAX in one piece. */
  putObject(
    path: ObjectPath,
    put: { readonly meta: ItemMeta; readonly body: Uint8Array; readonly condition?: Condition },
  ): Promise<BackendOutcome>
  openObject(path: ObjectPath, options?: OpenOptions): Promise<ObjectWriter>
  postObject(path: ObjectPath, post: ObjectPost): Promise<BackendOutcome>
  deleteObject(
    path: ObjectPath,
    options?: { readonly condition?: Condition },
  ): Promise<BackendOutcome>
}
