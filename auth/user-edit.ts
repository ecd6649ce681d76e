import { ServiceError } from '../common/errors.ts'
import type { Random } from '../common/random.ts'
import { checkGroup, checkUserName, defaultAccount, type User, type Users } from './user.ts'
import { hashKey, SALT_BYTES } from './user-key.ts'

/** Shorter keys are accepted from scripts that insist, so the limit is what HTTP headers carry well. */
const KEY_CHARS_MAX = 256

export interface NewUser {
  /** `account:name`. */
  readonly name: string
  readonly key: string
  readonly groups: readonly string[]
  /** Storage account; `AUTH_` and the user's account if not given. */
  readonly account?: string
}

/** The users with one more. Throws 400 for a bad name, group or key and 409 if the user is there. */
export async function addUser(users: Users, user: NewUser, random: Random): Promise<Users> {
  checkUserName(user.name)
  for (const group of user.groups) checkGroup(group)
  if (users.has(user.name)) {
    throw new ServiceError('UserExists', `${user.name} is there already`, { status: 409 })
  }
  const account = user.account ?? defaultAccount(user.name)
  if (!/^[^\s/]{1,256}$/.test(account)) {
    throw new ServiceError('BadAccount', `"${account}" is not a storage account`, { status: 400 })
  }
  return withUser(users, {
    name: user.name,
    groups: user.groups,
    account,
    ...(await keyed(user.key, random)),
  })
}

/** The users with another key for one of them; its tokens become void. Throws 404 if there is no such user. */
export async function changeKey(
  users: Users,
  change: { readonly name: string; readonly key: string },
  random: Random,
): Promise<Users> {
  const user = existing(users, change.name)
  return withUser(users, { ...user, ...(await keyed(change.key, random)) })
}

/** The users without one. Throws 404 if there is no such user. */
export function removeUser(users: Users, name: string): Users {
  existing(users, name)
  const rest = new Map(users)
  rest.delete(name)
  return rest
}

/** A key of 32 letters and digits, 160 bits. */
export function randomKey(random: Random): string {
  const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'
  return Array.from(random.bytes(32), (byte) => ALPHABET[byte & 31]).join('')
}

async function keyed(key: string, random: Random): Promise<Pick<User, 'key' | 'version'>> {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (key === '' || key.length > KEY_CHARS_MAX || /[\u0000-\u001f\u007f]/.test(key)) {
    throw new ServiceError(
      'BadKey',
      `a key has 1 to ${KEY_CHARS_MAX} characters, no control characters`,
      { status: 400 },
    )
  }
  return {
    key: await hashKey(key, random.bytes(SALT_BYTES)),
    version: Buffer.from(random.bytes(8)).toString('hex'),
  }
}

function existing(users: Users, name: string): User {
  const user = users.get(name)
  if (user !== undefined) return user
  throw new ServiceError('NoSuchUser', `there is no user ${name}`, { status: 404 })
}

function withUser(users: Users, user: User): Users {
  return new Map(users).set(user.name, user)
}
