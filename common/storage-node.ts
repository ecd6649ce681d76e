/**
 * The interface between the proxy's backend and a storage node. A local node costs a function call
 * (storage-node/local-node.ts), a node in another process a request (proxy/backend/remote-node.ts); both pass one
 * contract suite. All values are plain data, so that they cross threads and processes as they are.
 */
import type { Condition } from './condition.ts'
import type { ItemKey, ItemKind } from './item.ts'
import type { Stamp } from './stamp.ts'

/** Bodies up to this size travel and are stored in one piece; longer ones are streamed into a blob. */
export const INLINE_BYTES_MAX = 64 * 1024

/** What is stored beside the bytes. Header names are lower case. */
export interface ItemMeta {
  /** Hex MD5 of the body; objects only. */
  readonly etag?: string
  readonly contentType?: string
  /**
   * User and system metadata: `x-object-meta-…`, `content-encoding`, `x-delete-at`, `x-container-read`, … The storage
   * node interprets `x-delete-at` (expiry index) and `x-*-sysmeta-…` (kept by a POST), nothing else.
   */
  readonly headers: Readonly<Record<string, string>>
}

/** What a HEAD knows. */
export interface ItemInfo {
  /** The full name as stored; compared with the wanted one on every read. */
  readonly name: string
  readonly policy: number
  /** True for a tombstone: the item was deleted at `stamp`. */
  readonly deleted: boolean
  /** When the data was written: X-Timestamp. */
  readonly stamp: Stamp
  /** When the metadata was last written; the same as `stamp` before the first POST. */
  readonly metaStamp: Stamp
  /** The ballot under which this record was accepted last; the newest record is the one with the highest. */
  readonly ballot: Stamp
  readonly writeId: string
  /** True if the record was made out of what was there before: by a condition, a POST, a merge. Else absent. */
  readonly dependent?: true
  /** Length of the body. */
  readonly bytes: number
  readonly meta: ItemMeta
  /** Of accounts and containers: what their listing holds. */
  readonly stats?: ListStats
}

export interface ListStats {
  /** Containers of an account, objects of a container. */
  readonly rows: number
  /** Sum of the rows' `count`: objects. */
  readonly objects: number
  readonly bytes: number
  /** The same by storage policy index; policies without rows are absent. */
  readonly byPolicy: Readonly<Record<string, PolicyStats>>
  /**
   * Of the live rows: equal digests, equal rows. What was read from several replicas has it only if a majority of them
   * holds just these rows; totals without one may lack what was acknowledged.
   */
  readonly digest?: string
}

/** What of a row its list's totals are made of. */
export type CountedRow = Pick<ListRow, 'name' | 'ballot' | 'deleted' | 'policy' | 'count' | 'bytes'>

/** How a replica's totals are asked for, to be compared with those of others. */
export interface TotalsQuery {
  /** As they were at that count of changes, which an earlier answer told; absent: as they are. */
  readonly asOf?: number
  /** Rows that others hold, up to 1,000: counted where older ones, or none, are here. */
  readonly rows: readonly CountedRow[]
}

export interface ListTotals {
  readonly stats: ListStats
  /** Changes of rows so far, of this list and others. */
  readonly changes: number
  /** The list's rows that changed last, the newest of each name, as far as they are remembered. */
  readonly recent: readonly CountedRow[]
}

export interface PolicyStats {
  readonly rows: number
  readonly objects: number
  readonly bytes: number
}

export const WRITE_ACTIONS = ['put', 'post', 'delete', 'accept'] as const
export type WriteAction = (typeof WRITE_ACTIONS)[number]

/**
 * One change of a register. `put` replaces the record; an account or container that exists keeps its listing and
 * merges `meta.headers` as a POST does. `post` on an object replaces its user metadata (keeping content type unless
 * given, ETag, and sysmeta); on accounts and containers it merges: an empty value removes the header. `delete` of an
 * account or container refuses while its listing has rows.
 *
 * `accept` takes a whole record as it is, under `ballot`: a decision of CASPaxos, the completion of a read, a copy for a
 * replica that missed it. `stamp`, `writeId`, `meta` and `record` are the record's own; nothing is judged or merged.
 * Without a body, the replica keeps the one that it has under the same stamp.
 */
export interface ItemWrite {
  readonly item: ItemKey
  readonly action: WriteAction
  /** The write's own stamp: X-Timestamp of a put or delete, metaStamp of a post. */
  readonly stamp: Stamp
  /** The ballot to accept it under; of a plain write the same as `stamp`. */
  readonly ballot: Stamp
  /** 16 hex digits that identify the write through retries and recovery. */
  readonly writeId: string
  readonly meta: ItemMeta
  readonly condition?: Condition
  /** Of a post: an object whose time has come, and that is still there, is changed all the same. */
  readonly openExpired?: true
  /** Of an accept, and only of that. */
  readonly record?: AcceptedRecord
  /** Of an accept: the record here has this ballot, is damaged, and is to be written again. */
  readonly rewrite?: true
  /** Of an accept: a replica's copy, for one that may have lost what it held; it counts in no quorum. */
  readonly copy?: true
}

/** What an accept says of the record beyond the fields of a write. */
export interface AcceptedRecord {
  readonly metaStamp: Stamp
  readonly deleted: boolean
  /** Length of the body. */
  readonly bytes: number
  readonly dependent: boolean
}

export type WriteOutcome =
  /** Durable. `info` is the record now current, without stats; `existed` says whether a live one was there before. */
  | { readonly status: 'done'; readonly info: ItemInfo; readonly existed: boolean }
  /** The replica has promised or accepted something at least as new, `ballot`. Nothing was written. */
  | { readonly status: 'superseded'; readonly ballot: Stamp }
  /** The condition does not hold; nothing was written. `current` is null if there is no live item. */
  | { readonly status: 'precondition-failed'; readonly current: ItemInfo | null }
  /** A post or delete of what is not there. A delete is recorded nevertheless (the tombstone is durable). */
  | { readonly status: 'not-found' }
  /** A delete of an account or container whose listing has rows. */
  | { readonly status: 'not-empty' }
  /** An accept without a body, at a replica that does not have it. Nothing was written. */
  | { readonly status: 'body-missing' }

export type PrepareOutcome =
  /**
   * The replica will accept nothing below the ballot: durable. `current` is the record that it accepted last, without
   * stats; null if it knows nothing of the name.
   */
  | { readonly status: 'promised'; readonly current: ItemInfo | null }
  /** It has promised or accepted something newer, `ballot`. */
  | { readonly status: 'superseded'; readonly ballot: Stamp }

/** A row of an account's or container's listing. */
export interface ListRow {
  /** Container or object name without its parents. */
  readonly name: string
  /** When the data was written; shown as last_modified together with metaStamp. */
  readonly stamp: Stamp
  readonly metaStamp: Stamp
  /** The newest row of a name is the one with the highest ballot. */
  readonly ballot: Stamp
  readonly deleted: boolean
  readonly bytes: number
  /** Objects behind the row: 1 for an object, the object count of a container. */
  readonly count: number
  /** Empty in account listings. */
  readonly etag: string
  readonly contentType: string
  readonly policy: number
  /** False until the object's quorum is known to hold: a listing asks the object's replicas before it shows it. */
  readonly confirmed: boolean
}

export type RowOutcome =
  /** Durable and visible to the next listing. */
  | { readonly status: 'done' }
  /** A newer row of the name is there already. */
  | { readonly status: 'superseded' }
  /** The account or container is not there, or the container was made after the row: it belongs to an earlier one. */
  | { readonly status: 'not-found' }
  /** The container's settings are newer than those that the row was made under. Nothing was written. */
  | { readonly status: 'stale-settings' }

/** Swift's listing parameters. Names compare as UTF-8 bytes. */
export interface ListQuery {
  /** At most this many entries, 0 to 10,000. */
  readonly limit: number
  /** Only names after it (before it if reverse); exclusive. */
  readonly marker?: string
  /** Only names before it (after it if reverse); exclusive. */
  readonly endMarker?: string
  readonly prefix?: string
  /** Names that share what lies up to the first delimiter after the prefix are rolled up into one `subdir`. */
  readonly delimiter?: string
  /**
   * Swift's legacy pseudo-folder: only names directly below `path/`, without subdirs; replaces prefix and delimiter. An
   * object whose name ends with the slash of a deeper folder is shown.
   */
  readonly path?: string
  readonly reverse?: boolean
}

export type ListEntry = ListRow | { readonly subdir: string }

export interface ListPage {
  /** The account or container itself, with stats. */
  readonly info: ItemInfo
  /** In order; live rows only. */
  readonly entries: readonly ListEntry[]
}

/** The bytes of a stored body, verified by checksum as they are read. */
export interface BodyReader {
  /** Length of the whole body. */
  readonly bytes: number
  /**
   * The bytes [start, end) in pieces of up to 1 MiB; each piece belongs to the caller. Damage found on the way ends the
   * iteration with a ServiceError `CorruptData`.
   */
  stream(start: number, end: number): AsyncIterable<Uint8Array>
  /** Takes a piece back that nobody looks at any more, to be filled again: making new ones is dear. Nobody has to. */
  recycle?(piece: Uint8Array): void
  /** Frees the file; idempotent. Ending or leaving a stream does not close it. */
  close(): Promise<void>
}

export interface ItemRead {
  readonly info: ItemInfo
  /** The whole body in one piece when stored inline, a reader when in a blob, null for tombstones and `head`. */
  readonly body: Uint8Array | BodyReader | null
}

/** A body on its way into a blob. */
export interface BodyWriter {
  /** Resolves when the next piece is welcome (backpressure). The piece may be reused afterwards. */
  write(piece: Uint8Array): Promise<void>
  /** Whether `commit` may be called again, with a newer write, after it answered `superseded`. */
  readonly canRecommit: boolean
  /**
   * Makes the body durable, then commits the write with it. The writer is finished whatever the outcome, except after
   * `superseded` if it can commit again: then it waits for that or for `abort`.
   */
  commit(write: ItemWrite): Promise<WriteOutcome>
  /** Throws the body away; idempotent, and nothing after commit. */
  abort(): Promise<void>
}

/** Something that is due at the storage node: an object whose X-Delete-At has passed. */
export interface ExpiredItem {
  /** `/account/container/object`. */
  readonly name: string
  readonly policy: number
  readonly deleteAt: number
}

/** A row or object whose counterpart is not known to be there: after a crash, or a write that failed half way. */
export type Unconfirmed =
  | { readonly kind: 'row'; readonly list: string; readonly row: ListRow }
  | {
      readonly kind: 'item'
      readonly info: ItemInfo
      /** A replica that lags takes the record only under a newer ballot. */
      readonly refused?: true
    }

export interface DeviceStatus {
  readonly device: string
  readonly state: 'online' | 'read-only' | 'full' | 'offline'
  /** Why it is not online; empty if it is. */
  readonly reason: string
  readonly bytesTotal: number
  readonly bytesFree: number
  /** Segment files of the log. */
  readonly segments: number
  readonly damage: readonly string[]
  /** It lost a part of its memory and does not vote before its replicas have taught it. */
  readonly learning?: true
  /** How far it is in step with its replicas; absent where nothing is replicated. */
  readonly replication?: ReplicationStatus
  /** How far everything on it has been read and verified; absent where nothing is scrubbed. */
  readonly scrub?: ScrubStatus
  /** What compaction has done since the start; absent where it does not run. */
  readonly compaction?: CompactionStatus
}

export interface CompactionStatus {
  /** Segments that were emptied and removed. */
  readonly segments: number
  /** Bytes that were still wanted and copied, and bytes that became free. */
  readonly movedBytes: number
  readonly freedBytes: number
  readonly failures: number
}

/** The scrubber, which reads all that a device holds again and again. */
export interface ScrubStatus {
  /** When the last whole pass ended, in milliseconds since 1970; 0: none has since the start. */
  readonly endedAtMs: number
  readonly passMs: number
  readonly bytes: number
  /** Damaged records that the last pass found. */
  readonly damaged: number
  readonly isRunning: boolean
}

/** How far a device is in step with the others, as of its last pass. */
export interface ReplicationStatus {
  /** Partitions that it is to hold and does, counted once for each peer that they are compared with. */
  readonly compared: number
  /** Of these, those in which the peer lacked something, or has something else. */
  readonly differing: number
  /** Of these, those whose peer could not be asked. */
  readonly unreachable: number
  /** Partitions that it holds for others. */
  readonly handoffs: number
  /** Damaged records that wait for their repair. */
  readonly damaged: number
  /** When the last pass ended, in milliseconds since 1970; 0 before the first. */
  readonly passedAtMs: number
  readonly passMs: number
  /** When a pass last found nothing to do and everybody there; 0: none has since the start. */
  readonly inStepAtMs: number
}

/** Partitions of one kind of register; of objects, of one policy. */
export interface DigestQuery {
  readonly kind: ItemKind
  readonly policy: number
  /** Of the ring: there are 2^partPower partitions. */
  readonly partPower: number
  /** Absent: every partition that holds anything. */
  readonly partitions?: readonly number[]
  /** The digests of the named partitions as one, with partition -1: whether there is any difference at all. */
  readonly folded?: boolean
}

/** What a device holds of a partition. Replicas with equal digests hold the same records. */
export interface PartitionDigest {
  readonly partition: number
  /** Registers, tombstones included. */
  readonly items: number
  /** Of the 16 partitions that it would be with four more bits: 16 hex digits each, zeros if empty. */
  readonly leaves: readonly string[]
}

/** A register by what its place follows from. */
export interface ItemPlace {
  readonly hash: string
  readonly placement: number
}

/** What a device holds of a register, without reading its record. */
export interface HeldItem {
  readonly ballot: Stamp
  readonly writeId: string
  readonly deleted: boolean
  /** The record was found to be unreadable. */
  readonly damaged?: true
  /** Of accounts and containers: the digest of their rows, deleted ones included. */
  readonly rows?: string
}

/** A stretch of a listing in name order: after `after`, up to and with `upTo` (absent: to its end). */
export interface RowRange {
  readonly after: string
  readonly upTo?: string
}

export interface RowDigest {
  readonly rows: number
  /** 16 hex digits. */
  readonly digest: string
}

/**
 * A storage node with its devices. Failures are ServiceErrors: `UnknownDevice` 404, `DeviceOffline` 503, `DeviceFull`
 * 507, `CorruptData` 500, `Busy` 503 with retryAfterSeconds, `StampAhead` 503 for a ballot too far in the future,
 * `Learning` 503 from a device that has lost part of its memory and does not vote before it has learned from replicas.
 */
export interface StorageNode {
  /** Commits a change without a body, or with one of up to INLINE_BYTES_MAX bytes. Resolves after fdatasync. */
  write(device: string, write: ItemWrite, body: Uint8Array | null): Promise<WriteOutcome>
  /** First phase of CASPaxos: nothing below the ballot will be accepted any more. Resolves after fdatasync. */
  prepare(device: string, item: ItemKey, ballot: Stamp): Promise<PrepareOutcome>
  /** Opens a body longer than INLINE_BYTES_MAX or of unknown length. */
  openBody(device: string, item: ItemKey): Promise<BodyWriter>
  /**
   * The current record, tombstones included; null if the node knows nothing of the name. With an empty name the register
   * is found by its hash alone: for a replica whose own record, with the name in it, is damaged. `copy`: to
   * be sent on to a replica, whatever this one has lost; of a local node only.
   */
  read(
    device: string,
    item: ItemKey,
    options?: { readonly head?: boolean; readonly copy?: boolean },
  ): Promise<ItemRead | null>
  /** The same without a wait, where the node has the answer in memory; undefined: ask `read`. */
  readNow?(
    device: string,
    item: ItemKey,
    options?: { readonly head?: boolean },
  ): ItemRead | undefined
  /**
   * Inserts or deletes a row of an account's or container's listing. Resolves after fdatasync. `settings` is the epoch of
   * the container's settings (policy, ACLs, quota) that the row was made under: the metaStamp of its register. Newer
   * ones here refuse it; older ones do not, for then this replica lags.
   */
  putRow(device: string, list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome>
  /**
   * Says that rows and the items behind them both reached their quorum. Lazy: a note in memory that saves a probe
   * after the next crash; may be lost.
   */
  confirm(device: string, confirmation: Confirmation): void
  /** A page of an account's or container's listing; null if it is not there (or deleted). */
  list(device: string, list: ItemKey, query: ListQuery): Promise<ListPage | null>
  /** Null if the list is not there, or the query's changes are not remembered any more. */
  totals(device: string, list: ItemKey, query: TotalsQuery): Promise<ListTotals | null>
  /** Objects of the device that expired before the given second, oldest first. */
  expired(
    device: string,
    options: { readonly beforeSeconds: number; readonly limit: number },
  ): Promise<readonly ExpiredItem[]>
  /** Unconfirmed rows and items that have been so for at least `ageMs`. */
  unconfirmed(
    device: string,
    options: { readonly ageMs: number; readonly limit: number },
  ): Promise<readonly Unconfirmed[]>
  /** Containers of the device whose totals changed since they were last taken to their account; taking resets. */
  takeChangedContainers(
    device: string,
    options: { readonly limit: number },
  ): Promise<readonly ItemInfo[]>
  /** What the device holds of partitions, to be compared with a replica. Empty partitions are left out. */
  digests(device: string, query: DigestQuery): Promise<readonly PartitionDigest[]>
  /** What the device holds of up to 1,000 registers of one kind and policy, in their order; null: nothing. */
  held(
    device: string,
    query: {
      readonly kind: ItemKind
      readonly policy: number
      readonly items: readonly ItemPlace[]
    },
  ): Promise<readonly (HeldItem | null)[]>
  /** Digests of stretches of a listing, deleted rows included. */
  rowDigests(
    device: string,
    list: ItemKey,
    ranges: readonly RowRange[],
  ): Promise<readonly RowDigest[]>
  /** Ballots of up to 1,000 rows of a listing, deleted ones included; null: there is no such row. */
  heldRows(
    device: string,
    list: ItemKey,
    names: readonly string[],
  ): Promise<readonly (Stamp | null)[]>
  /**
   * Takes in up to 1,000 rows that a replica has, whatever the state of the list here; older ones than are here are
   * passed over. Resolves after fdatasync.
   */
  putRows(device: string, list: ItemKey, rows: readonly ListRow[]): Promise<void>
  status(): Promise<readonly DeviceStatus[]>
  /** Ends what is in flight, then frees everything; idempotent. */
  close(): Promise<void>
}

/** A row that is confirmed in its list, or an item whose row is. */
export type Confirmation =
  | { readonly kind: 'row'; readonly list: ItemKey; readonly name: string; readonly ballot: Stamp }
  | { readonly kind: 'item'; readonly item: ItemKey; readonly ballot: Stamp }
