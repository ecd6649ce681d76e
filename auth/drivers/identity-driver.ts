import { ServiceError } from '../../common/errors.ts'

/** A user of a directory, by the directory's own id. */
export interface DirectoryUser {
  readonly localId: string
  readonly name: string
  readonly enabled: boolean
  readonly description?: string
  readonly email?: string
  readonly defaultProjectId?: string
}

export interface DirectoryGroup {
  readonly localId: string
  readonly name: string
  readonly description?: string
}

export interface DirectoryList<T> {
  readonly entries: readonly T[]
  /** False if there are more than are taken. */
  readonly complete: boolean
}

/**
 * Where the users and groups of a domain live, if it is not the identity service's own tables: LDAP (`ldap-driver.ts`) or
 * the machine's accounts by PAM (`pam-driver.ts`). All are read only. A directory that cannot be reached is 503
 * `DirectoryUnavailable`; one with more entries than are taken gives
 * some of them.
 */
export interface IdentityDriver {
  /** What a refused change says, in Keystone's words. */
  readonly readOnly: string
  findUser(localId: string): Promise<DirectoryUser | null>
  findUserByName(name: string): Promise<DirectoryUser | null>
  listUsers(): Promise<DirectoryList<DirectoryUser>>
  findGroup(localId: string): Promise<DirectoryGroup | null>
  findGroupByName(name: string): Promise<DirectoryGroup | null>
  listGroups(): Promise<DirectoryList<DirectoryGroup>>
  groupsOfUser(localId: string): Promise<readonly DirectoryGroup[]>
  usersOfGroup(localId: string): Promise<readonly DirectoryUser[]>
  /** Whether it is the user's password; false for users that are not there and for empty passwords. */
  checkPassword(localId: string, password: string): Promise<boolean>
  /** Idempotent. */
  close(): Promise<void>
}

export function directoryUnavailable(message: string, cause?: unknown): ServiceError {
  return new ServiceError('DirectoryUnavailable', message, {
    status: 503,
    retryAfterSeconds: 5,
    cause,
  })
}

/** A configuration that no driver can work with; 503, as nobody who signs in can do anything about it. */
export function directoryUnfit(message: string): ServiceError {
  return new ServiceError('DirectoryUnfit', message, { status: 503 })
}
