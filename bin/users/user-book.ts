import { existsSync } from 'node:fs'
import { ServiceError } from '../../common/errors.ts'
import { readTextFile } from '../../common/whole-file.ts'
import { type DataPaths, readCredentials } from '../data-folder.ts'
import { lockHolder } from '../process-lock.ts'
import { decodeSettings } from '../settings.ts'
import { FileUsers } from './file-users.ts'
import { RemoteUsers } from './remote-users.ts'
import { StateUsers } from './state-users.ts'

export interface ListedUser {
  /** `account:name`. */
  readonly name: string
  /** `AUTH_…`. */
  readonly account: string
  /** Roles on its project; groups where there is no identity service. */
  readonly roles: readonly string[]
}

export interface AddedUser {
  readonly name: string
  readonly key: string
  /** As Swift's tempauth has them: `.admin`, `.reseller_admin`, names for ACLs. */
  readonly groups: readonly string[]
  /** Of Keystone. */
  readonly roles: readonly string[]
  readonly account?: string | undefined
}

/** The users of a data folder, wherever they are kept. Failures are ServiceErrors: 400, 404 `NoSuchUser`, 409 `UserExists`. */
export interface UserBook {
  list(): Promise<readonly ListedUser[]>
  add(user: AddedUser): Promise<void>
  remove(name: string): Promise<void>
  setKey(name: string, key: string): Promise<void>
  close(): Promise<void>
}

/**
 * The users of a folder: of its identity service, asked if it runs and read from its state if not, or of the users file
 * where there is no identity service. Throws 404 `NoDataFolder`.
 */
export async function openUserBook(paths: DataPaths): Promise<UserBook> {
  // Says so where no Swiftlet was started yet.
  await readCredentials(paths)
  const text = await readTextFile(paths.settings)
  const settings = text === null ? undefined : decodeSettings(text, paths.settings)
  const url = settings?.identity?.url
  if (url !== undefined) throw usersElsewhere(paths, url)
  if (existsSync(paths.users)) return new FileUsers(paths, settings?.resellerPrefixes?.[0]?.prefix)
  if (lockHolder(paths.lock) !== null) return RemoteUsers.open(paths)
  if (existsSync(paths.identity)) return StateUsers.open(paths)
  throw new ServiceError('NoUsers', `${paths.folder} has no users yet: start it`, { status: 404 })
}

function usersElsewhere(paths: DataPaths, url: string): ServiceError {
  const message = `${paths.folder}: its users are those of ${url}; use OpenStack's client there`
  return new ServiceError('UsersElsewhere', message, { status: 409 })
}
