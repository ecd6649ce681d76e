import type { ItemKey } from '../common/item.ts'
import type { Stamp } from '../common/stamp.ts'
import type {
  ItemWrite,
  ListPage,
  ListQuery,
  ListRow,
  ListTotals,
  PrepareOutcome,
  RowOutcome,
  TotalsQuery,
  WriteOutcome,
} from '../common/storage-node.ts'
import type { BodyPlace } from './engine/register.ts'
import type { ShardRead } from './engine/register-reads.ts'

/** What a node asks of a shard, in this thread (engine/shard.ts) or another (threads/foreign-shard.ts). */
export interface ShardFace {
  write(write: ItemWrite, body: BodyPlace): Promise<WriteOutcome>
  prepare(item: ItemKey, ballot: Stamp): Promise<PrepareOutcome>
  /** The current record, tombstones included; null if nothing is known. */
  read(
    item: ItemKey,
    options: { readonly body: boolean; readonly copy?: boolean },
  ): Promise<ShardRead | null>
  putRow(list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome>
  list(list: ItemKey, query: ListQuery): Promise<ListPage | null>
  totals(list: ItemKey, query: TotalsQuery): Promise<ListTotals | null>
  putRows(list: ItemKey, rows: readonly ListRow[]): Promise<void>
  confirmRow(list: ItemKey, name: string, ballot: Stamp): void
  confirmItem(item: ItemKey, ballot: Stamp): void
}

/** The calls of a ShardFace that are answered. */
export type ShardCall = 'write' | 'prepare' | 'read' | 'putRow' | 'putRows' | 'list' | 'totals'
/** Those that are not. */
export type ShardNote = 'confirmRow' | 'confirmItem'
