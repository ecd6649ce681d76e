import { open, stat } from 'node:fs/promises'
import type { Clock } from '../common/clock.ts'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import type { Log } from '../common/log.ts'
import { replaceFile } from '../common/whole-file.ts'
import { decodeUsers, encodeUsers, type Users } from './user.ts'

export interface UsersFileOptions {
  readonly clock: Clock
  readonly log: Log
  /** How often the file is looked at for a change. */
  readonly pollMs?: number
}

const DEFAULTS = { pollMs: 1000 } satisfies Partial<UsersFileOptions>

/** A users file above this is a mistake. */
const BYTES_MAX = 64 * 1024 * 1024

/** The users of a file, followed while it changes. A file that becomes unreadable is reported and leaves the users as they were. */
export class UsersFile {
  readonly #path: string
  readonly #options: Required<UsersFileOptions>
  #users: Users
  /** What stat said when the file was last read; an unreadable file is not read again until it changes. */
  #seen: string
  #cancel: () => void = () => {}
  #closed = false

  private constructor(path: string, read: ReadUsers, options: Required<UsersFileOptions>) {
    this.#path = path
    this.#users = read.users
    this.#seen = read.seen
    this.#options = options
  }

  /** Reads the file and follows it. Throws if it is not there or not a users file. */
  static async open(path: string, options: UsersFileOptions): Promise<UsersFile> {
    const file = new UsersFile(path, await read(path), { ...DEFAULTS, ...options })
    file.#schedule()
    return file
  }

  /** The users now: the same map until the file changes. */
  get users(): Users {
    return this.#users
  }

  /** Stops following; idempotent. */
  close(): void {
    this.#closed = true
    this.#cancel()
  }

  #schedule(): void {
    if (this.#closed) return
    this.#cancel = this.#options.clock.after(this.#options.pollMs, () => {
      void this.#poll().then(() => this.#schedule())
    })
  }

  async #poll(): Promise<void> {
    try {
      const seen = await fingerprint(this.#path)
      if (seen === this.#seen) return
      this.#seen = seen
      const { users } = await read(this.#path)
      this.#users = users
      this.#options.log.info('users reloaded', { users: users.size })
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT' && this.#seen === 'missing') return
      if (systemErrorCode(error) === 'ENOENT') this.#seen = 'missing'
      this.#options.log.error('users file unreadable, the users stay as they were', { error })
    }
  }
}

/** The users of a file. Throws a 404 `NoUsersFile` if it is not there, a 500 if it is not a users file. */
export async function readUsers(path: string): Promise<Users> {
  return (await read(path)).users
}

/** Replaces the file as a whole, durably; only the owner may read it. */
export async function writeUsers(path: string, users: Users): Promise<void> {
  await replaceFile(path, encodeUsers(users), { mode: 0o600 })
}

interface ReadUsers {
  readonly users: Users
  readonly seen: string
}

async function read(path: string): Promise<ReadUsers> {
  // The fingerprint comes first: a change in between is then seen by the next poll.
  let seen: string
  try {
    seen = await fingerprint(path)
  } catch (cause) {
    if (systemErrorCode(cause) !== 'ENOENT') throw cause
    throw new ServiceError('NoUsersFile', `${path}: no such users file`, { status: 404, cause })
  }
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    if (size > BYTES_MAX)
      throw new ServiceError('BadUsersFile', `${path}: ${size} bytes is too long`)
    return { users: decodeUsers(await handle.readFile('utf8')), seen }
  } finally {
    await handle.close()
  }
}

async function fingerprint(path: string): Promise<string> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`
}
