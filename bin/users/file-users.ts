import { RESELLER_PREFIX, type Users } from '../../auth/user.ts'
import { addUser, changeKey, removeUser } from '../../auth/user-edit.ts'
import { readUsers, writeUsers } from '../../auth/users-file.ts'
import { ServiceError } from '../../common/errors.ts'
import { systemRandom as random } from '../../common/random.ts'
import type { DataPaths } from '../data-folder.ts'
import { acquireLock } from '../process-lock.ts'
import type { AddedUser, ListedUser, UserBook } from './user-book.ts'

/** The users file: a running Swiftlet follows it within a second. */
export class FileUsers implements UserBook {
  readonly #paths: DataPaths
  readonly #prefix: string

  /** `prefix`: what storage accounts begin with where nothing else is said. */
  constructor(paths: DataPaths, prefix = RESELLER_PREFIX) {
    this.#paths = paths
    this.#prefix = prefix
  }

  async list(): Promise<readonly ListedUser[]> {
    const users = await readUsers(this.#paths.users)
    return [...users.values()].map(({ name, account, groups }) => ({
      name,
      account,
      roles: groups,
    }))
  }

  async add({ name, key, groups, roles, account }: AddedUser): Promise<void> {
    if (roles.length > 0) {
      const message = 'roles are for users of an identity service; here there are groups'
      throw new ServiceError('BadRole', message, { status: 400 })
    }
    const own = this.#prefix + name.slice(0, name.indexOf(':'))
    const user = { name, key, groups, account: account ?? own }
    await this.#edit((users) => addUser(users, user, random))
  }

  remove(name: string): Promise<void> {
    return this.#edit((users) => Promise.resolve(removeUser(users, name)))
  }

  setKey(name: string, key: string): Promise<void> {
    return this.#edit((users) => changeKey(users, { name, key }, random))
  }

  async close(): Promise<void> {}

  async #edit(edit: (users: Users) => Promise<Users>): Promise<void> {
    const { users, usersLock } = this.#paths
    const lock = acquireLock(usersLock, 'the users file')
    try {
      await writeUsers(users, await edit(await readUsers(users)))
    } finally {
      lock.release()
    }
  }
}
