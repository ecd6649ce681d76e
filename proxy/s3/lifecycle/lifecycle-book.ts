import { DueBook } from '../../upkeep/due-book.ts'
import type { OwnCalls } from './own-call.ts'

/** The book of buckets that have lifecycle rules. */
export function lifecycleBook({
  backend,
  clock,
  policies,
}: Pick<OwnCalls['proxy'], 'backend' | 'clock' | 'policies'>): DueBook {
  const policy = policies.default.index
  return new DueBook({ backend, clock, policy, container: 'lifecycle' })
}
