import { readdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { RESELLER_PREFIX, type Users } from '../auth/user.ts'
import { addUser, changeKey, randomKey } from '../auth/user-edit.ts'
import { verifyKey } from '../auth/user-key.ts'
import { readUsers, writeUsers } from '../auth/users-file.ts'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import { type Random, randomId } from '../common/random.ts'
import { readTextFile, replaceFile } from '../common/whole-file.ts'
import { type Credentials, FIRST_USER, parseCredentials, saveCredentials } from './credentials.ts'
import { makeFolder } from './folders.ts'
import { acquireLock, type ProcessLock } from './process-lock.ts'
import {
  decodeSettings,
  encodeSettings,
  newSettings,
  type Settings,
  type StoreShape,
} from './settings.ts'

/**
 * What stands in a data folder:
 *
 *   swiftlet.json   cluster id, salt, policies, disks; its presence says that the first start went through
 *   credentials     the administrator's name, password and account (0600)
 *   clouds.yaml     the same for OpenStack's clients (0600)
 *   identity/       the identity service: state, keys of tokens, passwords of service users
 *   users.json      without one: all users, keys hashed (0600); `users.json.taken` when it has taken them over
 *   token.key       without one: signs tokens (0600)
 *   cluster.key     proves the proxy to storage nodes (0600)
 *   rings/          account.ring, container.ring, object.ring and their builders
 *   disks/          the disks, unless --disk names others
 *   disks.json      which disks they were
 *   nodes/          the storage nodes of `swiftlet cluster`, each with its config and disks
 *   endpoints.json  where it listened last
 *   lock            the process that uses it now
 */
export interface DataPaths {
  readonly folder: string
  readonly settings: string
  readonly credentials: string
  readonly clouds: string
  readonly identity: string
  readonly users: string
  readonly takenUsers: string
  readonly usersLock: string
  readonly tokenKey: string
  readonly clusterKey: string
  readonly rings: string
  readonly disks: string
  readonly nodes: string
  readonly seenDisks: string
  readonly endpoints: string
  readonly lock: string
}

export interface DataFolder {
  readonly paths: DataPaths
  readonly settings: Settings
  /** True if this call made it. */
  readonly isNew: boolean
  readonly lock: ProcessLock
}

/** What may stand in a folder that is to become a data folder. */
const HARMLESS_NAMES = ['lost+found']

export function dataPaths(folder: string): DataPaths {
  return {
    folder,
    settings: join(folder, 'swiftlet.json'),
    credentials: join(folder, 'credentials'),
    clouds: join(folder, 'clouds.yaml'),
    identity: join(folder, 'identity'),
    users: join(folder, 'users.json'),
    takenUsers: join(folder, 'users.json.taken'),
    usersLock: join(folder, 'users.lock'),
    tokenKey: join(folder, 'token.key'),
    clusterKey: join(folder, 'cluster.key'),
    rings: join(folder, 'rings'),
    disks: join(folder, 'disks'),
    nodes: join(folder, 'nodes'),
    seenDisks: join(folder, 'disks.json'),
    endpoints: join(folder, 'endpoints.json'),
    lock: join(folder, 'lock'),
  }
}

export interface OpenDataOptions {
  readonly random: Random
  /** From SWIFTLET_ADMIN_PASSWORD: becomes the administrator's, now and at every start. */
  readonly adminPassword?: string
  /** Who knows the users: an identity service, or a file. */
  readonly users: 'identity' | 'file'
  /** Disks and replicas of a new folder. */
  readonly choose: (paths: DataPaths) => StoreShape
  /** Throws if a folder that is there already does not go with what was asked for. */
  readonly check: (paths: DataPaths, settings: Settings) => void
  /** Does what else a new folder needs, before it counts as made: rings. */
  readonly fill: (paths: DataPaths, settings: Settings) => Promise<void>
}

/**
 * Opens a data folder for this process alone, and makes it first if there is none. Throws ServiceErrors that a person
 * can act on: 409 `Locked` with the pid, 409 `WrongFormat`, 409 `NotADataFolder`, 403 `ReadOnly`, 400 `BadConfig`.
 */
export async function openDataFolder(
  folder: string,
  options: OpenDataOptions,
): Promise<DataFolder> {
  return explainPermissions(folder, async () => {
    makeFolder(folder)
    const paths = dataPaths(realpathSync(folder))
    const lock = acquireLock(paths.lock, folder)
    try {
      const text = await readTextFile(paths.settings)
      const settings =
        text === null ? await make(paths, options) : decodeSettings(text, paths.settings)
      if (text !== null) options.check(paths, settings)
      if (options.adminPassword !== undefined) await setPassword(paths, options)
      return { paths, settings, isNew: text === null, lock }
    } catch (error) {
      lock.release()
      throw error
    }
  })
}

/** The administrator's credentials. Throws a 404 if the folder was never started. */
export async function readCredentials(paths: DataPaths): Promise<Credentials> {
  const text = await readTextFile(paths.credentials)
  if (text === null) {
    throw new ServiceError('NoDataFolder', `${paths.folder}: no Swiftlet was started here yet`, {
      status: 404,
    })
  }
  return parseCredentials(text, paths.credentials)
}

export async function writeCredentials(paths: DataPaths, credentials: Credentials): Promise<void> {
  await saveCredentials(paths.credentials, credentials)
}

/** Reads a file of secrets, one a line in hex: the first is used, the others are still accepted. */
export async function readKeys(path: string): Promise<readonly Uint8Array[]> {
  const text = await readTextFile(path)
  const keys = (text ?? '').split('\n').filter((line) => line.trim() !== '')
  if (keys.length === 0 || !keys.every((key) => /^[0-9a-f]{64}$/.test(key.trim()))) {
    throw new ServiceError('BadKeyFile', `${path}: must hold keys of 64 hex digits`, {
      status: 400,
    })
  }
  return keys.map((key) => Buffer.from(key.trim(), 'hex'))
}

/** The key that proxies and storage nodes share, as text. */
export async function readClusterKey(path: string): Promise<string> {
  const [key] = await readKeys(path)
  return Buffer.from(key!).toString('hex')
}

/** The settings come last: until they are there, a start that was cut off is simply done again. */
async function make(paths: DataPaths, options: OpenDataOptions): Promise<Settings> {
  refuseForeignFolder(paths)
  const settings = newSettings(options.random, options.choose(paths))
  await writeKey(paths.clusterKey, options.random)
  const password = options.adminPassword ?? randomKey(options.random)
  if (options.users === 'file') await makeUsers(paths, password, options.random)
  else {
    const account = RESELLER_PREFIX + randomId(options.random)
    await writeCredentials(paths, { user: FIRST_USER, password, account })
  }
  await options.fill(paths, settings)
  await replaceFile(paths.settings, encodeSettings(settings))
  return settings
}

async function makeUsers(paths: DataPaths, password: string, random: Random): Promise<void> {
  await writeKey(paths.tokenKey, random)
  const user = { name: FIRST_USER, key: password, groups: ['.admin', '.reseller_admin'] }
  const users = await addUser(new Map(), user, random)
  const { account } = users.get(FIRST_USER)!
  await writeUsers(paths.users, users)
  await writeCredentials(paths, { user: FIRST_USER, password, account })
}

function refuseForeignFolder(paths: DataPaths): void {
  const ours = new Set([
    ...HARMLESS_NAMES,
    ...Object.values(paths).map((path) => path.slice(paths.folder.length + 1)),
  ])
  const foreign = readdirSync(paths.folder).filter(
    (name) => !ours.has(name) && !name.endsWith('.tmp'),
  )
  if (foreign.length > 0) {
    throw new ServiceError(
      'NotADataFolder',
      `${paths.folder} holds other files (${foreign.slice(0, 3).join(', ')}) and no Swiftlet: name an empty or new folder`,
      { status: 409 },
    )
  }
  const disks = statSync(paths.disks, { throwIfNoEntry: false })
  if (disks !== undefined && readdirSync(paths.disks).length > 0) {
    throw new ServiceError(
      'NotADataFolder',
      `${paths.disks} holds data but ${paths.settings} is gone: bring it back, its salt is needed to find the objects`,
      { status: 409 },
    )
  }
}

async function setPassword(paths: DataPaths, options: OpenDataOptions): Promise<void> {
  const key = options.adminPassword!
  // Where there is an identity service, it is told at its start.
  if (options.users === 'identity') {
    await writeCredentials(paths, { ...(await readCredentials(paths)), password: key })
    return
  }
  const users = await readUsers(paths.users)
  const admin = users.get(FIRST_USER)
  if (admin !== undefined && (await verifyKey(key, admin.key))) return
  const changed: Users =
    admin === undefined
      ? await addUser(
          users,
          { name: FIRST_USER, key, groups: ['.admin', '.reseller_admin'] },
          options.random,
        )
      : await changeKey(users, { name: FIRST_USER, key }, options.random)
  await writeUsers(paths.users, changed)
  const { account } = changed.get(FIRST_USER)!
  await writeCredentials(paths, { user: FIRST_USER, password: key, account })
}

async function writeKey(path: string, random: Random): Promise<void> {
  await replaceFile(path, `${Buffer.from(random.bytes(32)).toString('hex')}\n`, { mode: 0o600 })
}

const PERMISSION_TROUBLES: Readonly<Record<string, string>> = {
  EROFS: 'is on a read-only file system',
  ENOTDIR: 'is not a folder',
  ENOENT: 'cannot be made',
  EACCES: 'may not be written by this user',
  EPERM: 'may not be written by this user',
}

async function explainPermissions<T>(folder: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    const why = PERMISSION_TROUBLES[systemErrorCode(error) ?? '']
    if (why === undefined) throw error
    throw new ServiceError('ReadOnly', `${folder} ${why}: name another one with --data`, {
      status: 403,
      cause: error,
    })
  }
}
