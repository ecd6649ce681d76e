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

/** Counts a wrong password, or forgets them after a right one. */
export async function noteSignIn(
  state: StateStore,
  user: UserRow,
  outcome: { readonly right: boolean; readonly rules: SecurityCompliance; readonly nowMs: number },
): Promise<void> {
  const { right, rules, nowMs } = outcome
  if (!counts(user, rules)) return
  if (right && (await signInFailures.get(state, user.id)) === undefined) return
  await state.transaction(async (tx) => {
    if (right) return signInFailures.delete(tx, user.id)
    const before = await signInFailures.get(tx, user.id)
    // After a lockout was sat out, counting begins anew.
    const over = before !== undefined && nowMs >= before.lastAtMs + rules.lockoutSeconds * 1000
    const count = before === undefined || over ? 1 : before.count + 1
    await signInFailures.put(tx, { userId: user.id, count, lastAtMs: nowMs })
  })
}

function counts(user: UserRow, rules: SecurityCompliance): boolean {
  return (
    rules.lockoutFailureAttempts !== null && user.options.ignore_lockout_failure_attempts !== true
  )
}
