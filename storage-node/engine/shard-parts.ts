import type { Admission } from './admission.ts'
import type { BallotClock } from './ballot-clock.ts'
import type { NewestState } from './newest-state.ts'
import type { Pending } from './pending.ts'
import type { RegisterReads } from './register-reads.ts'
import type { ShardIndex } from './shard-index.ts'
import type { ShardJournal } from './shard-journal.ts'

/** What those parts of a shard share that decide about changes. */
export interface ShardParts {
  readonly index: ShardIndex
  readonly pending: Pending
  readonly newest: NewestState
  readonly ballots: BallotClock
  readonly admission: Admission
  readonly journal: ShardJournal
  readonly reads: RegisterReads
}
