import type { RegisterId } from './memtable.ts'

/** What a shard reports, for its device's state and the log. */
export interface ShardProblem {
  /**
   * `damage`: stored bytes fail their checksum; `index`: the index does; `flush`: the index took no changes, which is
   * tried again; `device`: another call of the disk failed.
   */
  readonly kind: 'damage' | 'index' | 'flush' | 'device'
  readonly message: string
  readonly cause?: unknown
  /** The register whose record is damaged, if it is known. */
  readonly item?: RegisterId | undefined
}

/** Told of damage and failures. */
export type ReportProblem = (problem: ShardProblem) => void
