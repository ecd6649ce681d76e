import { unauthorized } from '../errors.ts'
import { change, type IdentityParts } from '../identity-parts.ts'
import { deleteCredentialsOf } from '../removal/delegation-removal.ts'
import type { UserRow } from '../tables/rows.ts'
import { users } from '../tables/tables.ts'

const DAY_MS = 24 * 3600 * 1000

/** Switches a user off who has not signed in for as many days as the settings allow. Throws 401 then. */
export async function refuseInactive(parts: IdentityParts, user: UserRow): Promise<void> {
  const { disableUserAccountDaysInactive: days } = parts.settings.security
  if (days === null || user.options.ignore_user_inactivity === true) return
  const { lastActiveAtMs } = user
  if (lastActiveAtMs === null || parts.clock.nowMs() < lastActiveAtMs + days * DAY_MS) return
  await change(parts, async (changing) => {
    const row = await users.get(changing.tx, user.id)
    if (row === undefined || row.lastActiveAtMs !== lastActiveAtMs) return
    await users.put(changing.tx, { ...row, enabled: false })
    await deleteCredentialsOf(changing, user.id)
    await changing.revoke({ userId: user.id })
  })
  throw unauthorized('the user was inactive too long')
}

/** Notes that a user has signed in: once a day, and only where it matters. */
export async function noteActivity(parts: IdentityParts, user: UserRow): Promise<void> {
  const nowMs = parts.clock.nowMs()
  if (parts.settings.security.disableUserAccountDaysInactive === null) return
  if (user.lastActiveAtMs !== null && nowMs - user.lastActiveAtMs < DAY_MS) return
  await parts.state.transaction(async (tx) => {
    const row = await users.get(tx, user.id)
    if (row !== undefined) await users.put(tx, { ...row, lastActiveAtMs: nowMs })
  })
}
