import type { StateReader, StateStore } from '../../common/state/state-store.ts'
import type { SecurityCompliance } from '../settings.ts'
import type { UserRow } from '../tables/rows.ts'
import { signInFailures } from '../tables/sign-in-failures.ts'

/** Whether the user failed too often too lately to be let in, even with the right password. */
export async function isLocked(
  reader: StateReader,
  user: UserRow,
  { rules, nowMs }: { readonly rules: SecurityCompliance; readonly nowMs: number },
): Promise<boolean> {
  if (!counts(user, rules)) return false
  const failures = await signInFailures.get(reader, user.id)
  return (
    failures !== undefined &&
    failures.count >= rules.lockoutFailureAttempts! &&
    nowMs < failures.lastAtMs + rules.lockoutSeconds * 1000
  )
}

export interface SignInOutcome {
  /** Whether the secret was the right one. */
  readonly right: boolean
  readonly rules: SecurityCompliance
  readonly nowMs: number
}

/** Where the wrong secrets for users that are not there or not counted go. */
const NOBODY = 'nobody'

/**
 * Whether the user is let in: with the right secret, and not locked out. Wrong ones are counted, a right one forgets
 * them. What is wrong takes as long whoever it is for, as it leaves a row in any case: nobody learns who is there.
 */
export async function letsIn(
  state: StateStore,
  user: UserRow | undefined,
  outcome: SignInOutcome,
): Promise<boolean> {
  const { right, rules, nowMs } = outcome
  const locked = user !== undefined && (await isLocked(state, user, { rules, nowMs }))
  const counted = user !== undefined && !locked && counts(user, rules)
  if (user === undefined || locked || !right) {
    if (rules.lockoutFailureAttempts !== null) {
      await noteFailure(state, counted ? user.id : NOBODY, outcome)
    }
    return false
  }
  if (counted && (await signInFailures.get(state, user.id)) !== undefined) {
    await state.transaction((tx) => signInFailures.delete(tx, user.id))
  }
  return true
}

function noteFailure(
  state: StateStore,
  userId: string,
  { rules, nowMs }: SignInOutcome,
): Promise<void> {
  return state.transaction(async (tx) => {
    const before = await signInFailures.get(tx, userId)
    // After a lockout was sat out, counting begins anew.
    const over = before !== undefined && nowMs >= before.lastAtMs + rules.lockoutSeconds * 1000
    const count = before === undefined || over ? 1 : before.count + 1
    await signInFailures.put(tx, { userId, count, lastAtMs: nowMs })
  })
}

function counts(user: UserRow, rules: SecurityCompliance): boolean {
  return (
    rules.lockoutFailureAttempts !== null && user.options.ignore_lockout_failure_attempts !== true
  )
}
