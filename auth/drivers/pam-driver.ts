import { type DirectoryOptions, OptionReader } from './directory-options.ts'
import {
  type DirectoryGroup,
  type DirectoryList,
  type DirectoryUser,
  directoryUnavailable,
  directoryUnfit,
  type IdentityDriver,
} from './identity-driver.ts'
import { type HelperResult, PamHelper, type PamHelperOptions } from './pam-helper.ts'

/** A domain's `pam` options. */
export interface PamSettings {
  /** The file of rules in /etc/pam.d. */
  readonly service: string
  /** Accounts of other numbers are the system's own and do not count. */
  readonly uidMin: number
  readonly uidMax: number
}

/** Reads a domain's `pam` options. Throws 503 `DirectoryUnfit`. */
export function pamSettings(options: DirectoryOptions): PamSettings {
  const read = new OptionReader('pam', options)
  const service = read.text('service', 'swiftlet')
  if (!/^[\w.][\w.-]{0,63}$/.test(service))
    throw directoryUnfit(`pam service ${service} is no name`)
  return {
    service,
    uidMin: read.integer('uid_min', { min: 0, max: 2 ** 32 - 2, byDefault: 1000 }),
    uidMax: read.integer('uid_max', { min: 0, max: 2 ** 32 - 2, byDefault: 59_999 }),
  }
}

/** The driver for a domain's `pam` options. */
export function openPamDriver(
  options: DirectoryOptions,
  helper: PamHelperOptions = {},
): IdentityDriver {
  return new PamDriver(pamSettings(options), new PamHelper(helper))
}

/** What cannot be a name of an account: it would be an option, or end a line or a field. */
const NO_NAME = /^-|[\0-\x20:/\x7f]|^$/
const NAME_BYTES_MAX = 256
/** What PAM's conversation reads, less its end. */
const PASSWORD_BYTES_MAX = 511
/** pam_strerror of what is not the user's fault (libpam/pam_strerror.c). */
const PAM_BROKEN =
  /System error|Critical error|cannot retrieve authentication info|Module is unknown|Failed to load module|Symbol not found|Error in service module/
/** What getent answers where there is none. */
const GETENT_NOT_FOUND = 2

interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly description: string
}

interface AccountGroup {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

/**
 * The accounts that the machine knows (NSS, asked by `getent`), with the passwords that its PAM rules take (`pamtester`,
 * which reads them from its standard input). Both are programs of their own: PAM's modules block, keep state and crash.
 * Ids of the directory are the names.
 */
class PamDriver implements IdentityDriver {
  readonly readOnly = 'PAM does not support write operations'
  readonly #settings: PamSettings
  readonly #helper: PamHelper

  constructor(settings: PamSettings, helper: PamHelper) {
    this.#settings = settings
    this.#helper = helper
  }

  async findUser(localId: string): Promise<DirectoryUser | null> {
    const account = await this.#account(localId)
    return account === null ? null : userOf(account)
  }

  findUserByName(name: string): Promise<DirectoryUser | null> {
    return this.findUser(name)
  }

  async listUsers(): Promise<DirectoryList<DirectoryUser>> {
    return { entries: (await this.#accounts()).map(userOf), complete: true }
  }

  async findGroup(localId: string): Promise<DirectoryGroup | null> {
    const group = await this.#group(localId)
    return group === null ? null : groupOf(group)
  }

  findGroupByName(name: string): Promise<DirectoryGroup | null> {
    return this.findGroup(name)
  }

  async listGroups(): Promise<DirectoryList<DirectoryGroup>> {
    return { entries: (await this.#groups([])).map(groupOf), complete: true }
  }

  async groupsOfUser(localId: string): Promise<readonly DirectoryGroup[]> {
    const account = await this.#account(localId)
    if (account === null) return []
    const { stdout } = await this.#getent('initgroups', [account.name])
    const gids = new Set([account.gid, ...stdout.split(/\s+/).slice(1).filter(Boolean).map(Number)])
    const groups = await this.#groups([...gids].map(String))
    return groups.filter(({ gid }) => gids.has(gid)).map(groupOf)
  }

  async usersOfGroup(localId: string): Promise<readonly DirectoryUser[]> {
    const group = await this.#group(localId)
    if (group === null) return []
    const accounts = await this.#accounts()
    const members = new Set(group.members)
    return accounts.filter(({ name, gid }) => gid === group.gid || members.has(name)).map(userOf)
  }

  async checkPassword(localId: string, password: string): Promise<boolean> {
    // A line is all that can be handed over.
    if (password === '' || /[\0\n]/.test(password)) return false
    if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) return false
    const account = await this.#account(localId)
    if (account === null) return false
    const args = [this.#settings.service, account.name, 'authenticate', 'acct_mgmt']
    const { code, stderr } = await this.#helper.run('pamtester', args, `${password}\n`)
    if (code === 0) return true
    if (PAM_BROKEN.test(stderr)) throw directoryUnavailable(`PAM is broken: ${stderr.trim()}`)
    return false
  }

  async close(): Promise<void> {}

  async #account(name: string): Promise<Account | null> {
    if (!isName(name)) return null
    const { stdout } = await this.#getent('passwd', [name])
    // A number would be looked up as one.
    return this.#parseAccounts(stdout).find((account) => account.name === name) ?? null
  }

  async #accounts(): Promise<readonly Account[]> {
    return this.#parseAccounts((await this.#getent('passwd', [])).stdout)
  }

  #parseAccounts(text: string): readonly Account[] {
    const { uidMin, uidMax } = this.#settings
    return linesOf(text)
      .map(([name = '', , uid, gid, gecos = '']) => ({
        name,
        uid: Number(uid),
        gid: Number(gid),
        description: gecos.split(',')[0]!,
      }))
      .filter(({ name, uid }) => isName(name) && uid >= uidMin && uid <= uidMax)
  }

  async #group(name: string): Promise<AccountGroup | null> {
    if (!isName(name)) return null
    return (await this.#groups([name])).find((group) => group.name === name) ?? null
  }

  async #groups(keys: readonly string[]): Promise<readonly AccountGroup[]> {
    const { uidMin, uidMax } = this.#settings
    return linesOf((await this.#getent('group', keys)).stdout)
      .map(([name = '', , gid, members = '']) => ({
        name,
        gid: Number(gid),
        members: members.split(',').filter(Boolean),
      }))
      .filter(({ name, gid }) => isName(name) && gid >= uidMin && gid <= uidMax)
  }

  async #getent(database: string, keys: readonly string[]): Promise<HelperResult> {
    const result = await this.#helper.run('getent', [database, '--', ...keys])
    if (result.code === 0 || result.code === GETENT_NOT_FOUND) return result
    throw directoryUnavailable(`getent ${database} ended with ${result.code}`)
  }
}

function isName(name: string): boolean {
  return !NO_NAME.test(name) && Buffer.byteLength(name) <= NAME_BYTES_MAX
}

function linesOf(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':'))
}

function userOf({ name, description }: Account): DirectoryUser {
  return { localId: name, name, enabled: true, ...(description !== '' && { description }) }
}

function groupOf({ name }: AccountGroup): DirectoryGroup {
  return { localId: name, name }
}
