/** The work of a thread that has a query over a Parquet file. */
import type { ThreadJob } from '../../../threads/thread-message.ts'
import { workThrough } from '../../../threads/thread-pieces.ts'
import { type ParquetPlan, scanParquet } from './parquet-scan.ts'

/** Runs the query over what it reads. */
export function run(job: ThreadJob<ParquetPlan>): void {
  workThrough(job, (pieces, plan) => {
    const read = (start: number, end: number) => pieces.read({ start, end })
    const source = { read, pause: () => void read(0, 0) }
    scanParquet(plan, source, (piece) => pieces.send(piece))
  })
}
