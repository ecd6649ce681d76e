import { readFile } from 'node:fs/promises'
import {
  AndFilter,
  type Client,
  type Entry,
  EqualityFilter,
  type Filter,
  FilterParser,
  InvalidDNSyntaxError,
  NoSuchObjectError,
  PresenceFilter,
  SizeLimitExceededError,
} from 'ldapts'
import { forEachParallel } from '../../common/bounded-parallel.ts'
import { ServiceError } from '../../common/errors.ts'
import type { DirectoryOptions } from './directory-options.ts'
import {
  type DirectoryGroup,
  type DirectoryList,
  type DirectoryUser,
  directoryUnavailable,
  directoryUnfit,
  type IdentityDriver,
} from './identity-driver.ts'
import { LdapConnections, type LdapTimeouts } from './ldap-connections.ts'
import {
  groupAttributes,
  groupOfEntry,
  userAttributes,
  userOfEntry,
  valuesOf,
} from './ldap-entries.ts'
import { type LdapEntries, type LdapSettings, ldapSettings } from './ldap-settings.ts'

export interface LdapDriverOptions extends Partial<LdapTimeouts> {
  /** Entries that a list gives at most. */
  readonly entriesMax?: number
}

const DEFAULTS = {
  connectMsMax: 5_000,
  answerMsMax: 10_000,
  entriesMax: 10_000,
} satisfies Required<LdapDriverOptions>

/** Members of a group that are looked up at once. */
const LOOKUPS_MAX = 8

/** How to search. */
interface LdapSearch {
  readonly baseDn: string
  readonly scope: 'base' | 'one' | 'sub'
  readonly filter: Filter
  readonly attributes: string[]
}

/** The driver for a domain's `ldap` options. Connects when it is first asked. Throws 503 `DirectoryUnfit`. */
export async function openLdapDriver(
  options: DirectoryOptions,
  limits: LdapDriverOptions = {},
): Promise<IdentityDriver> {
  const settings = ldapSettings(options)
  for (const filter of [settings.users.filter, settings.groups.filter]) checkFilter(filter)
  const ca = settings.caFile === '' ? null : await readCa(settings.caFile)
  const wanted = { ...DEFAULTS, ...limits }
  return new LdapDriver(settings, new LdapConnections(settings, ca, wanted), wanted.entriesMax)
}

/** Users and groups of an LDAP directory, as Keystone's own driver finds them (keystone/identity/backends/ldap). */
class LdapDriver implements IdentityDriver {
  readonly readOnly = 'LDAP does not support write operations'
  readonly #settings: LdapSettings
  readonly #connections: LdapConnections
  readonly #entriesMax: number

  constructor(settings: LdapSettings, connections: LdapConnections, entriesMax: number) {
    this.#settings = settings
    this.#connections = connections
    this.#entriesMax = entriesMax
  }

  findUser(localId: string): Promise<DirectoryUser | null> {
    return this.#oneUser(this.#settings.users.id, localId)
  }

  findUserByName(name: string): Promise<DirectoryUser | null> {
    return this.#oneUser(this.#settings.users.name, name)
  }

  async listUsers(): Promise<DirectoryList<DirectoryUser>> {
    const { users } = this.#settings
    const { entries, complete } = await this.#searchTree(users, userAttributes(users))
    return { entries: present(entries.map((entry) => userOfEntry(entry, users))), complete }
  }

  findGroup(localId: string): Promise<DirectoryGroup | null> {
    return this.#oneGroup(this.#settings.groups.id, localId)
  }

  findGroupByName(name: string): Promise<DirectoryGroup | null> {
    return this.#oneGroup(this.#settings.groups.name, name)
  }

  async listGroups(): Promise<DirectoryList<DirectoryGroup>> {
    const { groups } = this.#settings
    const { entries, complete } = await this.#searchTree(groups, groupAttributes(groups))
    return { entries: present(entries.map((entry) => groupOfEntry(entry, groups))), complete }
  }

  async groupsOfUser(localId: string): Promise<readonly DirectoryGroup[]> {
    const { users, groups } = this.#settings
    const user = await this.#entry(users, users.id, localId, ['1.1', users.id])
    if (user === null) return []
    const value = groups.membersAreIds ? localId : user.dn
    const member = new EqualityFilter({ attribute: groups.member, value })
    const { entries } = await this.#searchTree(groups, groupAttributes(groups), member)
    return present(entries.map((entry) => groupOfEntry(entry, groups)))
  }

  async usersOfGroup(localId: string): Promise<readonly DirectoryUser[]> {
    const { groups } = this.#settings
    const group = await this.#entry(groups, groups.id, localId, [groups.id, groups.member])
    if (group === null) return []
    const members = valuesOf(group, groups.member).slice(0, this.#entriesMax)
    const found = new Map<string, DirectoryUser>()
    await forEachParallel(members, LOOKUPS_MAX, async (member) => {
      const user = groups.membersAreIds ? await this.findUser(member) : await this.#userAt(member)
      if (user !== null) found.set(user.localId, user)
    })
    return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async checkPassword(localId: string, password: string): Promise<boolean> {
    const { users } = this.#settings
    const entry = await this.#entry(users, users.id, localId, ['1.1', users.id])
    return entry === null ? false : this.#connections.check(entry.dn, password)
  }

  close(): Promise<void> {
    return this.#connections.close()
  }

  async #oneUser(attribute: string, value: string): Promise<DirectoryUser | null> {
    const { users } = this.#settings
    const entry = await this.#entry(users, attribute, value, userAttributes(users))
    return entry === null ? null : userOfEntry(entry, users)
  }

  async #oneGroup(attribute: string, value: string): Promise<DirectoryGroup | null> {
    const { groups } = this.#settings
    const entry = await this.#entry(groups, attribute, value, groupAttributes(groups))
    return entry === null ? null : groupOfEntry(entry, groups)
  }

  /** The user of a member's DN; null for what is no user, or is gone. */
  async #userAt(dn: string): Promise<DirectoryUser | null> {
    const { users } = this.#settings
    const search: LdapSearch = {
      baseDn: dn,
      scope: 'base',
      filter: filterOf(users),
      attributes: userAttributes(users),
    }
    const { entries } = await this.#search(search)
    const [entry] = entries
    return entry === undefined ? null : userOfEntry(entry, users)
  }

  async #entry(
    entries: LdapEntries,
    attribute: string,
    value: string,
    attributes: string[],
  ): Promise<Entry | null> {
    if (value === '') return null
    const condition = new EqualityFilter({ attribute, value })
    const found = await this.#searchTree(entries, attributes, condition)
    return found.entries[0] ?? null
  }

  #searchTree(
    entries: LdapEntries,
    attributes: string[],
    condition: Filter = new PresenceFilter({ attribute: entries.id }),
  ): Promise<DirectoryList<Entry>> {
    return this.#search({
      baseDn: entries.treeDn,
      scope: this.#settings.scope,
      filter: filterOf(entries, condition),
      attributes,
    })
  }

  async #search(search: LdapSearch): Promise<DirectoryList<Entry>> {
    try {
      return await this.#connections.search((client) => this.#collect(client, search))
    } catch (error) {
      if (error instanceof NoSuchObjectError || error instanceof InvalidDNSyntaxError) {
        return { entries: [], complete: true }
      }
      if (error instanceof SizeLimitExceededError) {
        throw directoryUnavailable('the directory gives no list of that length', error)
      }
      if (error instanceof ServiceError) throw error
      throw directoryUnavailable(`the search failed: ${(error as Error).message}`, error)
    }
  }

  /** Page by page, even where none is configured: a list that a server cut off would look like all there is. */
  async #collect(client: Client, search: LdapSearch): Promise<DirectoryList<Entry>> {
    const { baseDn, scope, filter, attributes } = search
    const found: Entry[] = []
    const options = { scope, filter, attributes, paged: { pageSize: this.#settings.pageSize } }
    for await (const { searchEntries } of client.searchPaginated(baseDn, options)) {
      found.push(...searchEntries)
      if (found.length > this.#entriesMax) break
    }
    const complete = found.length <= this.#entriesMax
    return { entries: found.slice(0, this.#entriesMax), complete }
  }
}

/** Values are sent apart from the syntax of filters: nothing in them has a meaning. */
function filterOf(entries: LdapEntries, condition?: Filter): Filter {
  const { objectClass, filter } = entries
  return new AndFilter({
    filters: [
      new EqualityFilter({ attribute: 'objectClass', value: objectClass }),
      ...(condition === undefined ? [] : [condition]),
      ...(filter === '' ? [] : [FilterParser.parseString(filter)]),
    ],
  })
}

function checkFilter(filter: string): void {
  if (filter === '') return
  try {
    FilterParser.parseString(filter)
  } catch (error) {
    throw directoryUnfit(`ldap: the filter ${filter} cannot be read: ${(error as Error).message}`)
  }
}

async function readCa(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw directoryUnfit(`ldap tls_cacertfile: ${(error as Error).message}`)
  }
}

function present<T>(items: readonly (T | null)[]): readonly T[] {
  return items.filter((item) => item !== null)
}
