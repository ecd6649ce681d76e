import { TICKS_PER_SECOND } from './stamp.ts'

/** What must hold of the current object for a request to go on: RFC 9110 section 13, plus Swift's X-If-Delete-At. */
export interface Condition {
  /** ETags without quotes, or `*`: one of them must be current. */
  readonly ifMatch?: readonly string[]
  /** ETags without quotes, or `*`: none of them may be current. */
  readonly ifNoneMatch?: readonly string[]
  /** Whole seconds since 1970. */
  readonly ifModifiedSince?: number
  readonly ifUnmodifiedSince?: number
  /** The X-Delete-At that the object must still have (the expirer's condition). */
  readonly ifDeleteAt?: number
  /** Compare-and-set: the write id that the current record must have; null: there must be none that is alive. */
  readonly ifWriteId?: string | null
}

export const CONDITION_OUTCOMES = ['holds', 'precondition-failed', 'not-modified'] as const
export type ConditionOutcome = (typeof CONDITION_OUTCOMES)[number]

/** What a condition is judged against. */
export interface ConditionSubject {
  readonly etag: string
  /** Ticks of the last change. */
  readonly ticks: number
  readonly deleteAt?: number
  readonly writeId?: string
}

/**
 * Judges the condition on the current object (null: there is none), in the order of RFC 9110 section 13.2.2. On GET
 * and HEAD `not-modified` is a 304; on other verbs the caller answers 412 for both.
 */
export function evaluateCondition(
  condition: Condition,
  current: ConditionSubject | null,
): ConditionOutcome {
  const seconds = current === null ? 0 : Math.ceil(current.ticks / TICKS_PER_SECOND)
  if (condition.ifMatch !== undefined) {
    if (current === null || !matches(condition.ifMatch, current.etag)) return 'precondition-failed'
  } else if (condition.ifUnmodifiedSince !== undefined) {
    if (current !== null && seconds > condition.ifUnmodifiedSince) return 'precondition-failed'
  }
  if (condition.ifNoneMatch !== undefined) {
    if (current !== null && matches(condition.ifNoneMatch, current.etag)) return 'not-modified'
  } else if (condition.ifModifiedSince !== undefined) {
    if (current !== null && seconds <= condition.ifModifiedSince) return 'not-modified'
  }
  if (condition.ifDeleteAt !== undefined && current?.deleteAt !== condition.ifDeleteAt) {
    return 'precondition-failed'
  }
  const { ifWriteId } = condition
  if (ifWriteId !== undefined && (current?.writeId ?? null) !== ifWriteId) {
    return 'precondition-failed'
  }
  return 'holds'
}

function matches(etags: readonly string[], etag: string): boolean {
  return etags.includes('*') || etags.includes(etag)
}
