/** What a proxy may ask of a storage node, as it is on the wire: heads by operation (docs/formats/wire.md). */
import { type ArrivalReport, MOVES_MAX, type PartitionMove } from '../cluster-member.ts'
import { ServiceError } from '../errors.ts'
import { ITEM_KINDS, type ItemKey, type ItemKind } from '../item.ts'
import type { Stamp } from '../stamp.ts'
import type {
  Confirmation,
  DeviceStatus,
  DigestQuery,
  ExpiredItem,
  HeldItem,
  ItemInfo,
  ItemPlace,
  ItemWrite,
  ListPage,
  ListQuery,
  ListRow,
  ListTotals,
  PartitionDigest,
  PrepareOutcome,
  RowDigest,
  RowOutcome,
  RowRange,
  TotalsQuery,
  Unconfirmed,
  WriteOutcome,
} from '../storage-node.ts'

/** Both sides send it in the header `x-swiftlet-wire`; a different one is refused. */
export const WIRE_VERSION = '3'
export const WIRE_VERSION_HEADER = 'x-swiftlet-wire'
export const WIRE_CONTENT_TYPE = 'application/vnd.swiftlet.wire'

/** Registers, rows or stretches of a listing that one request of the replicator names at most. */
export const REPLICA_PAGE_MAX = 1000

/** The path of an operation. */
export function operationPath(operation: Operation): string {
  return `/v${WIRE_VERSION}/${operation}`
}

export const OPERATIONS = [
  'write',
  'prepare',
  'open-body',
  'read',
  'read-body',
  'close-body',
  'put-row',
  'confirm',
  'list',
  'totals',
  'expired',
  'unconfirmed',
  'changed-containers',
  'digests',
  'held',
  'row-digests',
  'held-rows',
  'put-rows',
  'status',
  'ping',
  'rings',
  'learn-rings',
  'arrivals',
] as const
export type Operation = (typeof OPERATIONS)[number]

/** Request heads. */
export interface Requests {
  /** The body follows as data, if there is one. */
  readonly write: { readonly device: string; readonly write: ItemWrite }
  readonly prepare: { readonly device: string; readonly item: ItemKey; readonly ballot: Stamp }
  /**
   * Data frames follow, then a tail: the ItemWrite to commit; another one after each that was answered `superseded`.
   * What was not committed when the request ends is thrown away.
   */
  readonly 'open-body': { readonly device: string; readonly item: ItemKey }
  readonly read: { readonly device: string; readonly item: ItemKey; readonly head: boolean }
  readonly 'read-body': { readonly reader: string; readonly start: number; readonly end: number }
  readonly 'close-body': { readonly reader: string }
  /** `settings`: the epoch of the container's settings that the row was made under. */
  readonly 'put-row': {
    readonly device: string
    readonly list: ItemKey
    readonly row: ListRow
    readonly settings?: Stamp
  }
  readonly confirm: {
    readonly confirmations: readonly {
      readonly device: string
      readonly confirmation: Confirmation
    }[]
  }
  readonly list: { readonly device: string; readonly list: ItemKey; readonly query: ListQuery }
  readonly totals: {
    readonly device: string
    readonly list: ItemKey
    readonly query: TotalsQuery
  }
  readonly expired: {
    readonly device: string
    readonly beforeSeconds: number
    readonly limit: number
  }
  readonly unconfirmed: { readonly device: string; readonly ageMs: number; readonly limit: number }
  /** `received`: the batch that arrived last, so that one that was lost on the way is sent again. */
  readonly 'changed-containers': {
    readonly device: string
    readonly limit: number
    readonly received: string
  }
  readonly digests: { readonly device: string; readonly query: DigestQuery }
  readonly held: {
    readonly device: string
    readonly query: {
      readonly kind: ItemKind
      readonly policy: number
      readonly items: readonly ItemPlace[]
    }
  }
  readonly 'row-digests': {
    readonly device: string
    readonly list: ItemKey
    readonly ranges: readonly RowRange[]
  }
  readonly 'held-rows': {
    readonly device: string
    readonly list: ItemKey
    readonly names: readonly string[]
  }
  readonly 'put-rows': {
    readonly device: string
    readonly list: ItemKey
    readonly rows: readonly ListRow[]
  }
  readonly status: Readonly<Record<string, never>>
  /** Shows that the node is alive while it takes its time for other calls; a refusal shows it as well. */
  readonly ping: Readonly<Record<string, never>>
  readonly rings: { readonly known: number }
  /** The set follows as data. */
  readonly 'learn-rings': Readonly<Record<string, never>>
  readonly arrivals: { readonly device: string; readonly moves: readonly PartitionMove[] }
}

/** Response heads. */
export interface Responses {
  readonly write: WriteOutcome
  readonly prepare: PrepareOutcome
  /** At once, when the body was opened; then a tail for each of the request's: its WriteOutcome. */
  readonly 'open-body': { readonly opened: true }
  /** Null: nothing is known of the name. An inline body follows as data; a blob is read by its reader. */
  readonly read: {
    readonly info: ItemInfo
    readonly body: 'none' | 'inline' | { readonly reader: string; readonly bytes: number }
  } | null
  /** Data frames follow, then a tail: null, or an error. */
  readonly 'read-body': { readonly started: true }
  readonly 'close-body': null
  readonly 'put-row': RowOutcome
  readonly confirm: null
  readonly list: ListPage | null
  readonly totals: ListTotals | null
  readonly expired: readonly ExpiredItem[]
  readonly unconfirmed: readonly Unconfirmed[]
  readonly 'changed-containers': {
    readonly batch: string
    readonly containers: readonly ItemInfo[]
  }
  readonly digests: readonly PartitionDigest[]
  readonly held: readonly (HeldItem | null)[]
  readonly 'row-digests': readonly RowDigest[]
  readonly 'held-rows': readonly (Stamp | null)[]
  readonly 'put-rows': null
  readonly status: readonly DeviceStatus[]
  readonly ping: null
  /** The set follows as data if it is newer. */
  readonly rings: null
  readonly 'learn-rings': { readonly epoch: number }
  readonly arrivals: ArrivalReport
}

/** A failure, in the head of a response or in its tail. */
export interface WireFailure {
  readonly error: {
    readonly code: string
    readonly message: string
    readonly status: number
    readonly retryAfterSeconds?: number
  }
}

export function failureOfError(error: unknown): WireFailure {
  if (!(error instanceof ServiceError)) {
    return { error: { code: 'Internal', message: String(error), status: 500 } }
  }
  const { code, message, status, retryAfterSeconds } = error
  return {
    error: {
      code,
      message,
      status,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    },
  }
}

/** The failure as an error to throw, or null if the value is none. */
export function errorOfFailure(value: unknown): ServiceError | null {
  if (typeof value !== 'object' || value === null || !('error' in value)) return null
  const { code, message, status, retryAfterSeconds } = (value as WireFailure).error
  return new ServiceError(code, message, {
    status,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  })
}

/**
 * The head of a request as its type. The sender has the cluster's key, so this finds mistakes, not attacks: names of
 * fields and the shape of keys are looked at, values are judged by the node. Throws `BadRequest`.
 */
export function parseRequest<O extends Operation>(operation: O, head: unknown): Requests[O] {
  if (!isRecord(head)) throw badRequest('a head is an object')
  for (const [field, isValid] of Object.entries(FIELDS[operation])) {
    if (!isValid(head[field])) throw badRequest(`${operation}: bad or missing ${field}`)
  }
  return head as unknown as Requests[O]
}

type Check = (value: unknown) => boolean

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isText: Check = (value) => typeof value === 'string'
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isNumber: Check = (value) => Number.isFinite(value)
const isFlag: Check = (value) => typeof value === 'boolean'
const isStamp: Check = (value) => isRecord(value) && isCount(value.ticks) && isCount(value.proposer)
const isItem: Check = (value) =>
  isRecord(value) &&
  ITEM_KINDS.some((kind) => kind === value.kind) &&
  isText(value.name) &&
  isText(value.hash) &&
  (value.hash as string).length === 16 &&
  isCount(value.placement) &&
  isCount(value.policy)
/** Bounds what one request makes a node do. */
const isPage: Check = (value) => Array.isArray(value) && value.length <= REPLICA_PAGE_MAX
const isRow: Check = (value) =>
  isRecord(value) && isText(value.name) && isStamp(value.stamp) && isStamp(value.ballot)

const isCountedRow: Check = (value) =>
  isRecord(value) &&
  isText(value.name) &&
  isStamp(value.ballot) &&
  isFlag(value.deleted) &&
  isCount(value.policy) &&
  isCount(value.count) &&
  isCount(value.bytes)

const isTotalsQuery: Check = (value) =>
  isRecord(value) &&
  (value.asOf === undefined || isCount(value.asOf)) &&
  isPage(value.rows) &&
  (value.rows as readonly unknown[]).every(isCountedRow)

const isMove: Check = (value) =>
  isRecord(value) &&
  ITEM_KINDS.some((kind) => kind === value.kind) &&
  isCount(value.policy) &&
  isCount(value.partition) &&
  isCount(value.since)

const isAcceptedRecord: Check = (value) =>
  isRecord(value) &&
  isStamp(value.metaStamp) &&
  isFlag(value.deleted) &&
  isCount(value.bytes) &&
  isFlag(value.dependent)

/** Whether the value is a write: of a head, or of the tail that commits a body. */
export const isWrite: Check = (value) =>
  isRecord(value) &&
  isItem(value.item) &&
  isText(value.action) &&
  isStamp(value.stamp) &&
  isStamp(value.ballot) &&
  isText(value.writeId) &&
  isRecord(value.meta) &&
  isRecord(value.meta.headers) &&
  (value.action === 'accept') === isAcceptedRecord(value.record)

const FIELDS: Readonly<Record<Operation, Readonly<Record<string, Check>>>> = {
  write: { device: isText, write: isWrite },
  prepare: { device: isText, item: isItem, ballot: isStamp },
  'open-body': { device: isText, item: isItem },
  read: { device: isText, item: isItem, head: isFlag },
  'read-body': { reader: isText, start: isCount, end: isCount },
  'close-body': { reader: isText },
  'put-row': {
    device: isText,
    list: isItem,
    row: isRow,
    settings: (settings) => settings === undefined || isStamp(settings),
  },
  confirm: { confirmations: Array.isArray },
  list: { device: isText, list: isItem, query: isRecord },
  totals: { device: isText, list: isItem, query: isTotalsQuery },
  expired: { device: isText, beforeSeconds: isNumber, limit: isCount },
  unconfirmed: { device: isText, ageMs: isNumber, limit: isCount },
  'changed-containers': { device: isText, limit: isCount, received: isText },
  digests: { device: isText, query: isRecord },
  held: { device: isText, query: (query) => isRecord(query) && isPage(query.items) },
  'row-digests': { device: isText, list: isItem, ranges: isPage },
  'held-rows': { device: isText, list: isItem, names: isPage },
  'put-rows': {
    device: isText,
    list: isItem,
    rows: (rows) => isPage(rows) && (rows as readonly unknown[]).every(isRow),
  },
  status: {},
  ping: {},
  rings: { known: isCount },
  'learn-rings': {},
  arrivals: {
    device: isText,
    moves: (moves) =>
      Array.isArray(moves) &&
      moves.length <= MOVES_MAX &&
      (moves as readonly unknown[]).every(isMove),
  },
}

function badRequest(message: string): ServiceError {
  return new ServiceError('BadRequest', message, { status: 400 })
}
