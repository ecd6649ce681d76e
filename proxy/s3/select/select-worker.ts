/** The work of select-thread.ts. */
import type { ThreadJob } from '../../threads/thread-message.ts'
import { workThrough } from '../../threads/thread-pieces.ts'
import { type SelectPlan, SelectScan } from './select-scan.ts'

/** Runs the query over what comes, until no more is wanted. */
export function run(job: ThreadJob<SelectPlan>): void {
  workThrough(job, (pieces, plan) => {
    const scan = new SelectScan(plan, (piece) => pieces.send(piece))
    for (let piece = pieces.next(); piece !== null; piece = pieces.next()) {
      if (!scan.push(piece)) break
    }
    scan.end()
  })
}
