/** What the backend did on its own account, since the start: plain numbers that the metrics page reads. */
export class BackendCounters {
  /** Copies written to a handoff because a primary failed. */
  handoffCopies = 0
  /** Writes of sloppy policies in which handoffs stood in for primaries. */
  sloppyWrites = 0
  /** Rows of sloppy policies that their writers left to the settler. */
  rowsDeferred = 0
  /** Replicas that a read found behind and brought up to date. */
  readRepairs = 0
  /** Writes answered with a fresh stamp because something newer was there. */
  restamps = 0
  /** Ballots that were prepared: conditional writes, recoveries, completions. */
  prepares = 0
  /** Records of others that were made to hold at a majority before they were shown or built upon. */
  completions = 0
  /** Plain writes that some replicas refused and others may have accepted. */
  contested = 0
  /** Rows that a listing had to compare with their object. */
  rowsProbed = 0
  /** Unconfirmed rows and items that the updater settled. */
  settled = 0
  /** Objects moved to the policy that their container has. */
  moved = 0
  /** Objects removed because their container was gone when their row came. */
  orphansRemoved = 0
  /** Account rows written with new totals. */
  totalsWritten = 0
  /** Listings that were counted row by row, because their replicas lagged in different rows. */
  totalsCounted = 0
  /** Objects that the expirer deleted. */
  expired = 0
  /** Of deleted accounts: objects and containers that the reaper deleted, accounts that are no more. */
  objectsReaped = 0
  containersReaped = 0
  accountsReaped = 0
}
