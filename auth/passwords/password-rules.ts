import type { Random } from '../../common/random.ts'
import { forbidden, invalid } from '../errors.ts'
import type { SecurityCompliance } from '../settings.ts'
import type { PasswordRow, UserRow } from '../tables/rows.ts'
import { hashKey, SALT_BYTES, verifyKey } from '../user-key.ts'

const DAY_MS = 24 * 3600 * 1000
/** As Keystone's [identity] max_password_length. */
const PASSWORD_CHARS_MAX = 4096

export interface NewPassword {
  readonly password: string
  /** Set by the user, not by an administrator. */
  readonly selfService: boolean
  readonly nowMs: number
}

/** The user's passwords with a new one in front. Throws 400 or 403 for one that the rules forbid. */
export async function withPassword(
  user: Pick<UserRow, 'passwords' | 'options'>,
  { password, selfService, nowMs }: NewPassword,
  { rules, random }: { readonly rules: SecurityCompliance; readonly random: Random },
): Promise<readonly PasswordRow[]> {
  checkForm(password, rules)
  await checkHistory(user, password, rules)
  const row: PasswordRow = {
    hash: await hashKey(password, random.bytes(SALT_BYTES)),
    createdAtMs: nowMs,
    expiresAtMs: expiryOf(user, nowMs, rules),
    selfService,
  }
  return [row, ...user.passwords].slice(0, Math.max(1, rules.uniqueLastPasswordCount))
}

function checkForm(password: string, rules: SecurityCompliance): void {
  if (password.length > PASSWORD_CHARS_MAX) {
    throw forbidden(
      `The password length must be less than or equal to ${PASSWORD_CHARS_MAX}. The server could not comply ` +
        'with the request because the password is invalid.',
    )
  }
  const { passwordRegex, passwordRegexDescription } = rules
  if (passwordRegex === null || new RegExp(passwordRegex).test(password)) return
  throw invalid(
    `The password does not match the requirements: ${passwordRegexDescription ?? passwordRegex}.`,
  )
}

async function checkHistory(
  user: Pick<UserRow, 'passwords'>,
  password: string,
  { uniqueLastPasswordCount: count }: SecurityCompliance,
): Promise<void> {
  if (count === 0) return
  for (const { hash } of user.passwords.slice(0, count - 1)) {
    if (!(await verifyKey(password, hash))) continue
    throw invalid(
      'The new password cannot be identical to a previous password. The total number which includes the new ' +
        `password must be unique is ${count}.`,
    )
  }
}

/** Throws 400 if the user changed it too short a time ago. */
export function checkMinimumAge(
  user: Pick<UserRow, 'passwords'>,
  nowMs: number,
  { minimumPasswordAgeDays: days }: SecurityCompliance,
): void {
  const newest = user.passwords[0]
  if (days === 0 || newest === undefined || !newest.selfService) return
  const restMs = newest.createdAtMs + days * DAY_MS - nowMs
  if (restMs <= 0) return
  throw invalid(
    'You cannot change your password at this time due to the minimum password age. Once you change your password, ' +
      `it must be used for ${days} day(s) before it can be changed. Please try again in ` +
      `${Math.ceil(restMs / DAY_MS)} day(s) or contact your administrator to reset your password.`,
  )
}

/** Whether the user has to change the password that an administrator set before it is good for anything. */
export function mustChangeFirst(user: UserRow, rules: SecurityCompliance): boolean {
  return (
    rules.changePasswordUponFirstUse &&
    user.options.ignore_change_password_upon_first_use !== true &&
    user.passwords[0]?.selfService === false
  )
}

function expiryOf(
  user: Pick<UserRow, 'options'>,
  nowMs: number,
  { passwordExpiresDays: days }: SecurityCompliance,
): number | null {
  if (days === null || user.options.ignore_password_expiry === true) return null
  return nowMs + days * DAY_MS
}
