import { ServiceError } from '../common/errors.ts'
import { parseStoredKey, type StoredKey } from './user-key.ts'

/** Groups with a meaning of their own; any other name without a colon may be given too, for ACLs. */
export const SPECIAL_GROUPS = ['.admin', '.reseller_admin', '.reseller_reader', 'service'] as const

/** Accounts and tokens start with it, as Swift's do. */
export const RESELLER_PREFIX = 'AUTH_'

/** Accounts of services on a user's behalf: an administrator owns them too, together with a service's token. */
export const SERVICE_PREFIX = 'SERVICE_'

export interface User {
  /** `account:name`: what one signs in with. */
  readonly name: string
  readonly key: StoredKey
  /** As given, such as `.admin`; what ACLs see is groupsOf(). */
  readonly groups: readonly string[]
  /** The storage account: `AUTH_test` unless set otherwise. */
  readonly account: string
  /** Changes with the key: tokens of an earlier version are void. 16 hex digits. */
  readonly version: string
}

/** All users by name; immutable. */
export type Users = ReadonlyMap<string, User>

const NAME_PATTERN = /^[^\s:/,]{1,128}:[^\s:/,]{1,128}$/
/** What NAME_PATTERN lets through at most. */
export const USER_NAME_CHARS_MAX = 257
const GROUP_PATTERN = /^[^\s:/,]{1,128}$/

/** Throws a 400 that says what is wrong unless the text is `account:name`. */
export function checkUserName(name: string): void {
  const account = name.slice(0, name.indexOf(':'))
  // The account is one of the user's groups: as one of these names it would give rights that nobody granted.
  const isPower =
    account.startsWith('.') ||
    account === 'service' ||
    account.startsWith(RESELLER_PREFIX) ||
    account.startsWith(SERVICE_PREFIX)
  if (NAME_PATTERN.test(name) && isPower) {
    throw new ServiceError('BadUserName', `"${account}" cannot be a user's account`, {
      status: 400,
    })
  }
  if (NAME_PATTERN.test(name)) return
  throw new ServiceError(
    'BadUserName',
    `a user is written ACCOUNT:NAME, without spaces, commas or slashes; got "${name}"`,
    { status: 400 },
  )
}

export function checkGroup(group: string): void {
  if (GROUP_PATTERN.test(group)) return
  throw new ServiceError('BadGroup', `"${group}" is not a group (${SPECIAL_GROUPS.join(', ')})`, {
    status: 400,
  })
}

/** `AUTH_test` of `test:tester`. */
export function defaultAccount(name: string): string {
  return RESELLER_PREFIX + name.slice(0, name.indexOf(':'))
}

/**
 * What ACLs are matched against, in the order of Swift's tempauth: account, user, the groups given, and for an
 * administrator the storage account's name, with each prefix, in place of `.admin`.
 */
export function groupsOf(
  user: User,
  prefixes: readonly string[] = [RESELLER_PREFIX, SERVICE_PREFIX],
): readonly string[] {
  const own = user.name.slice(0, user.name.indexOf(':'))
  // With a prefix of the cluster's it would be somebody's storage account, and its users would own that.
  const isAccount = prefixes.some((prefix) => own.startsWith(prefix))
  const groups = isAccount ? [user.name] : [own, user.name]
  for (const group of user.groups) if (group !== '.admin') groups.push(group)
  if (!user.groups.includes('.admin')) return groups
  // Who was given an account of services, or of another kind, owns that one alone.
  const [first = '', ...others] = prefixes
  const rest = user.account.startsWith(first) ? user.account.slice(first.length) : null
  return [...groups, user.account, ...(rest === null ? [] : others.map((one) => one + rest))]
}

/** Reads a users file's text. Throws a 500 with the reason for anything but what encodeUsers writes. */
export function decodeUsers(text: string): Users {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw badFile('it is not JSON', cause)
  }
  const { format, users } = asRecord(parsed, 'the file')
  if (format !== 1) throw badFile(`format ${String(format)} is not 1`)
  const byName = new Map<string, User>()
  for (const [name, value] of Object.entries(asRecord(users, 'users'))) {
    byName.set(name, decodeUser(name, asRecord(value, name)))
  }
  return byName
}

export function encodeUsers(users: Users): string {
  const byName: Record<string, Omit<User, 'name'>> = {}
  for (const { name, ...rest } of users.values()) byName[name] = rest
  return `${JSON.stringify({ format: 1, users: byName }, null, 2)}\n`
}

function decodeUser(name: string, value: Readonly<Record<string, unknown>>): User {
  const { key, groups, account, version } = value
  if (!NAME_PATTERN.test(name)) throw badFile(`"${name}" is not a user's name`)
  if (typeof key !== 'string' || parseStoredKey(key) === null) throw badFile(`${name}: bad key`)
  if (!Array.isArray(groups) || !groups.every(isGroup)) throw badFile(`${name}: bad groups`)
  if (typeof account !== 'string' || account === '' || account.includes('/')) {
    throw badFile(`${name}: bad account`)
  }
  if (typeof version !== 'string' || !/^[0-9a-f]{16}$/.test(version)) {
    throw badFile(`${name}: bad version`)
  }
  return { name, key, groups, account, version }
}

function isGroup(group: unknown): group is string {
  return typeof group === 'string' && GROUP_PATTERN.test(group)
}

function asRecord(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badFile(`${what} is not an object`)
  }
  return value as Readonly<Record<string, unknown>>
}

function badFile(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('BadUsersFile', `users file: ${reason}`, { cause })
}
