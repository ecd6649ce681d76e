import t from 'tap'
import {
  type Condition,
  type ConditionOutcome,
  type ConditionSubject,
  evaluateCondition,
} from './condition.ts'

/** Changed half a second after second 1000: its Last-Modified is the whole second behind it, 1001. */
const HERE: ConditionSubject = { etag: 'e1', ticks: 100_050_000, deleteAt: 5000 }
const NOTHING = null

interface Case {
  readonly condition: Condition
  readonly on: ConditionSubject | null
  readonly outcome: ConditionOutcome
}

function cases(
  outcome: ConditionOutcome,
  list: readonly (readonly [Condition, ConditionSubject | null])[],
): readonly Case[] {
  return list.map(([condition, on]) => ({ condition, on, outcome }))
}

const CASES: readonly Case[] = [
  ...cases('holds', [
    [{}, HERE],
    [{}, NOTHING],
    // 13.1.1 If-Match
    [{ ifMatch: ['e1'] }, HERE],
    [{ ifMatch: ['e0', 'e1'] }, HERE],
    [{ ifMatch: ['*'] }, HERE],
    // 13.1.2 If-None-Match
    [{ ifNoneMatch: ['*'] }, NOTHING],
    [{ ifNoneMatch: ['e1'] }, NOTHING],
    [{ ifNoneMatch: ['e2'] }, HERE],
    [{ ifNoneMatch: [] }, HERE],
    // 13.1.3 If-Modified-Since, 13.1.4 If-Unmodified-Since
    [{ ifModifiedSince: 1000 }, HERE],
    [{ ifModifiedSince: 0 }, HERE],
    [{ ifModifiedSince: 2000 }, NOTHING],
    [{ ifUnmodifiedSince: 1001 }, HERE],
    [{ ifUnmodifiedSince: 0 }, NOTHING],
    // 13.2.2: the dates do not count beside the ETags that go with them.
    [{ ifMatch: ['e1'], ifUnmodifiedSince: 0 }, HERE],
    [{ ifNoneMatch: ['e2'], ifModifiedSince: 2000 }, HERE],
    [{ ifMatch: ['e1'], ifNoneMatch: ['e2'] }, HERE],
    [{ ifMatch: ['e1'], ifModifiedSince: 1000 }, HERE],
    // Swift's X-If-Delete-At
    [{ ifDeleteAt: 5000 }, HERE],
  ]),
  ...cases('precondition-failed', [
    [{ ifMatch: ['e2'] }, HERE],
    [{ ifMatch: [] }, HERE],
    [{ ifMatch: ['e1'] }, NOTHING],
    [{ ifMatch: ['*'] }, NOTHING],
    [{ ifUnmodifiedSince: 1000 }, HERE],
    [{ ifUnmodifiedSince: 0 }, HERE],
    // The one that fails decides, before If-None-Match is looked at.
    [{ ifMatch: ['e2'], ifNoneMatch: ['e1'] }, HERE],
    [{ ifMatch: ['e2'], ifUnmodifiedSince: 2000 }, HERE],
    [{ ifUnmodifiedSince: 1000, ifNoneMatch: ['e1'] }, HERE],
    [{ ifDeleteAt: 5001 }, HERE],
    [{ ifDeleteAt: 5000 }, { etag: 'e1', ticks: 1 }],
    [{ ifDeleteAt: 5000 }, NOTHING],
    [{ ifMatch: ['e1'], ifDeleteAt: 5001 }, HERE],
  ]),
  ...cases('not-modified', [
    [{ ifNoneMatch: ['e1'] }, HERE],
    [{ ifNoneMatch: ['e0', 'e1'] }, HERE],
    [{ ifNoneMatch: ['*'] }, HERE],
    [{ ifModifiedSince: 1001 }, HERE],
    [{ ifModifiedSince: 2000 }, HERE],
    [{ ifNoneMatch: ['e1'], ifModifiedSince: 0 }, HERE],
    [{ ifMatch: ['e1'], ifNoneMatch: ['e1'] }, HERE],
    [{ ifUnmodifiedSince: 2000, ifModifiedSince: 2000 }, HERE],
  ]),
]

t.test('conditions are judged in the order of RFC 9110 section 13.2.2', async (t) => {
  for (const { condition, on, outcome } of CASES) {
    const what = `${JSON.stringify(condition)} on ${on === null ? 'nothing' : 'an object'}`
    t.equal(evaluateCondition(condition, on), outcome, what)
  }
})
