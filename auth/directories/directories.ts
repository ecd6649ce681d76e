import { forEachParallel } from '../../common/bounded-parallel.ts'
import { ServiceError } from '../../common/errors.ts'
import type { DirectoryGroup, DirectoryUser, IdentityDriver } from '../drivers/identity-driver.ts'
import type { PamHelperOptions } from '../drivers/pam-helper.ts'
import { type Change, change, type IdentityParts } from '../identity-parts.ts'
import type { GroupRow, UserRow } from '../tables/rows.ts'
import { groups, users } from '../tables/tables.ts'
import { type DirectoryEntryRow, directoryEntries, isDirectoryId } from './directory-tables.ts'
import { DomainDrivers } from './domain-drivers.ts'
import {
  dropGroup,
  dropUser,
  groupRowOf,
  isKeepable,
  isSame,
  otherHolder,
  putGroup,
  putUser,
  setGroupsOfUser,
  setUsersOfGroup,
  userRowOf,
} from './mirror.ts'

export interface DirectoriesOptions {
  /** For so long what a directory said counts; a sign-in asks it anyway. */
  readonly freshMs?: number
  readonly pam?: PamHelperOptions
}

const DEFAULTS = { freshMs: 30_000, pam: {} } satisfies Required<DirectoriesOptions>

/** What was asked lately and is remembered; the oldest are asked again sooner. */
const REMEMBERED_MAX = 20_000
/** Rows that one transaction brings into step. */
const ROWS_AT_ONCE = 200
/** What a round, one a second, asks a directory at most. */
const WATCHED_PER_ROUND = 40
const WATCHED_AT_ONCE = 4

type Parts = Pick<IdentityParts, 'state' | 'revocations' | 'clock' | 'log'> & {
  readonly tokenLifeMs: number
}

/**
 * The directories of domains that have one: asks them, and keeps the rows of their users and groups in step. What they
 * cannot answer is 503.
 */
export class Directories {
  readonly #parts: Parts
  readonly #drivers: DomainDrivers
  readonly #freshMs: number
  /** When each thing was last asked. */
  readonly #askedMs = new Map<string, number>()
  readonly #asking = new Map<string, Promise<void>>()
  /** Until when users are looked after. */
  readonly #watched = new Map<string, number>()
  /** Until when a directory that did not answer is not asked for a user. */
  readonly #failedMs = new Map<string, number>()
  #watching = false

  constructor(parts: Parts, options: DirectoriesOptions = {}) {
    const { freshMs, pam } = { ...DEFAULTS, ...options }
    this.#parts = parts
    this.#freshMs = freshMs
    this.#drivers = new DomainDrivers(parts.state, pam)
  }

  /** Ends the connections. Idempotent. */
  close(): Promise<void> {
    return this.#drivers.close()
  }

  /** After a configuration has changed. */
  forget(): void {
    this.#askedMs.clear()
  }

  /** What refuses changes of the domain's users and groups; null if they are the service's own. */
  async readOnlyReason(domainId: string): Promise<string | null> {
    return (await this.#drivers.of(domainId))?.readOnly ?? null
  }

  /** The entry behind an id; null for what is no directory's. */
  async entryOf(id: string): Promise<DirectoryEntryRow | null> {
    if (!isDirectoryId(id)) return null
    return (await directoryEntries.get(this.#parts.state, id)) ?? null
  }

  /** Whether it is the password of a directory's user. */
  async passwordMatches(userId: string, password: string): Promise<boolean> {
    const entry = await this.entryOf(userId)
    if (entry === null) return false
    const driver = await this.#drivers.of(entry.domainId)
    const right = (await driver?.checkPassword(entry.localId, password)) ?? false
    if (right) this.#watch(userId)
    return right
  }

  /**
   * Brings the holder of a token into step. While the directory cannot be asked, what it said last counts: tokens that
   * were given stay good, new ones are not given.
   */
  async keepFresh(userId: string): Promise<void> {
    if (!isDirectoryId(userId)) return
    this.#watch(userId)
    await this.#refreshIfPossible(userId)
  }

  /** Looks after those who have signed in: who was disabled or left a group in the directory loses tokens soon. */
  async watch(): Promise<void> {
    if (this.#watching) return
    this.#watching = true
    try {
      await this.#drivers.closeUnneeded()
      const due = [...this.#watched.keys()].filter((id) => !this.#isFresh(`user ${id}`))
      await forEachParallel(due.slice(0, WATCHED_PER_ROUND), WATCHED_AT_ONCE, (userId) =>
        this.#refreshIfPossible(userId),
      )
    } catch (error) {
      this.#parts.log.error('directories cannot be watched', { error })
    } finally {
      this.#watching = false
    }
  }

  /** Brings a user into step, with the groups it is in. `now`: even if it was lately. */
  async refreshUser(id: string, { now = false }: { readonly now?: boolean } = {}): Promise<void> {
    const entry = await this.entryOf(id)
    if (entry?.kind !== 'user') return
    await this.#once(`user ${id}`, now, async () => {
      const driver = await this.#drivers.of(entry.domainId)
      const found = (await driver?.findUser(entry.localId)) ?? null
      await this.#placeUser(entry.domainId, driver, found, entry)
    })
  }

  /** The same for a user of that name, of whom nothing may be known yet. */
  async refreshUserByName(domainId: string, name: string): Promise<void> {
    const driver = await this.#drivers.of(domainId)
    if (driver === null) return
    const found = await driver.findUserByName(name)
    if (found !== null) return this.#placeUser(domainId, driver, found, null)
    const row = await users.one(this.#parts.state, 'name', domainId, name)
    if (row !== undefined) await this.refreshUser(row.id, { now: true })
  }

  /** Brings all users of a domain into step, if they live in a directory. */
  async refreshUsers(domainId: string): Promise<void> {
    const driver = await this.#drivers.of(domainId)
    if (driver === null) return
    await this.#once(`users ${domainId}`, false, async () => {
      const { state, clock } = this.#parts
      const listed = await driver.listUsers()
      const found = distinct(listed.entries)
      const known = new Map((await users.by(state, 'domain', domainId)).map((row) => [row.id, row]))
      const rows = found.map((user) => {
        const row = userRowOf(domainId, user, undefined, clock.nowMs())
        const before = known.get(row.id)
        const wanted = before === undefined ? row : userRowOf(domainId, user, before, 0)
        return { row: wanted, localId: user.localId }
      })
      if (listed.complete) await this.#inSteps(goneIds(known.keys(), rows), dropUser)
      const changed = rows.filter(({ row }) => !isSame(known.get(row.id), row))
      await this.#inSteps(changed, async (changing, { row, localId }) => {
        const holder = await otherHolder(changing.tx, 'user', row)
        if (holder === null) await putUser(changing, row, localId)
        else this.#hide(row)
      })
    })
  }

  /** Brings a group into step, with the users that are in it. */
  async refreshGroup(id: string): Promise<void> {
    const entry = await this.entryOf(id)
    if (entry?.kind !== 'group') return
    await this.#once(`group ${id}`, false, async () => {
      const driver = await this.#drivers.of(entry.domainId)
      const found = (await driver?.findGroup(entry.localId)) ?? null
      const { domainId, localId } = entry
      if (driver === null || found === null || !isKeepable(found)) {
        return this.#change((changing) => dropGroup(changing, id))
      }
      const members = distinct(await driver.usersOfGroup(localId))
      if (!(await this.#putGroup(domainId, driver, found))) return
      const memberIds = new Set<string>()
      for (const user of members) {
        const userId = await this.#putUser(domainId, driver, user)
        if (userId !== null) memberIds.add(userId)
      }
      await this.#change((changing) => setUsersOfGroup(changing, id, memberIds))
    })
  }

  /** Brings all groups of a domain into step, if they live in a directory. */
  async refreshGroups(domainId: string): Promise<void> {
    const driver = await this.#drivers.of(domainId)
    if (driver === null) return
    await this.#once(`groups ${domainId}`, false, async () => {
      const listed = await driver.listGroups()
      const rows = distinct(listed.entries).map((group) => ({
        row: groupRowOf(domainId, group),
        localId: group.localId,
      }))
      const known = await groups.by(this.#parts.state, 'domain', domainId)
      const ids = known.map(({ id }) => id)
      if (listed.complete) await this.#inSteps(goneIds(ids, rows), dropGroup)
      await this.#inSteps(rows, async (changing, { row, localId }) => {
        const holder = await otherHolder(changing.tx, 'group', row)
        if (holder === null) await putGroup(changing, row, localId)
        else this.#hide(row)
      })
    })
  }

  /** As long as a token lives. */
  #watch(userId: string): void {
    const { clock, tokenLifeMs } = this.#parts
    this.#watched.delete(userId)
    this.#watched.set(userId, clock.monotonicMs() + tokenLifeMs)
    if (this.#watched.size > REMEMBERED_MAX) {
      this.#watched.delete(this.#watched.keys().next().value!)
    }
  }

  async #refreshIfPossible(userId: string): Promise<void> {
    const { clock, log } = this.#parts
    if (clock.monotonicMs() > (this.#watched.get(userId) ?? 0)) this.#watched.delete(userId)
    if (this.#isFresh(`user ${userId}`)) return
    if (clock.monotonicMs() < (this.#failedMs.get(userId) ?? Number.NEGATIVE_INFINITY)) return
    try {
      await this.refreshUser(userId)
      this.#failedMs.delete(userId)
    } catch (error) {
      if (!isDirectoryFailure(error)) throw error
      log.warn('directory cannot be asked', { userId, error })
      if (this.#failedMs.size >= REMEMBERED_MAX) this.#failedMs.clear()
      this.#failedMs.set(userId, clock.monotonicMs() + this.#freshMs)
    }
  }

  /** Writes what was found of a user, and of its groups; drops the row of one that was not found. */
  async #placeUser(
    domainId: string,
    driver: IdentityDriver | null,
    found: DirectoryUser | null,
    entry: DirectoryEntryRow | null,
  ): Promise<void> {
    if (driver === null || found === null || !isKeepable(found)) {
      if (entry !== null) await this.#change((changing) => dropUser(changing, entry.id))
      return
    }
    const userId = await this.#putUser(domainId, driver, found)
    if (userId === null) return
    const groupIds = new Set<string>()
    for (const group of distinct(await driver.groupsOfUser(found.localId))) {
      const groupId = await this.#putGroup(domainId, driver, group)
      if (groupId !== null) groupIds.add(groupId)
    }
    await this.#change((changing) => setGroupsOfUser(changing, userId, groupIds))
  }

  /** The id of the row; null if another one has the name, in the directory too. */
  async #putUser(
    domainId: string,
    driver: IdentityDriver,
    user: DirectoryUser,
  ): Promise<string | null> {
    const { state, clock } = this.#parts
    const { localId } = user
    const fresh = userRowOf(domainId, user, undefined, clock.nowMs())
    const before = await users.get(state, fresh.id)
    const row = before === undefined ? fresh : userRowOf(domainId, user, before, 0)
    if (isSame(before, row)) return row.id
    const holder = await this.#holder('user', row, (id) => driver.findUser(id))
    if (holder !== null) return this.#hide(row)
    await this.#change((changing) => putUser(changing, row, localId))
    return row.id
  }

  async #putGroup(
    domainId: string,
    driver: IdentityDriver,
    group: DirectoryGroup,
  ): Promise<string | null> {
    const row = groupRowOf(domainId, group)
    if (isSame(await groups.get(this.#parts.state, row.id), row)) return row.id
    const holder = await this.#holder('group', row, (id) => driver.findGroup(id))
    if (holder !== null) return this.#hide(row)
    await this.#change((changing) => putGroup(changing, row, group.localId))
    return row.id
  }

  /** Who else has the name; a row that the directory has under another name by now gives it up. */
  async #holder(
    kind: 'user' | 'group',
    row: UserRow | GroupRow,
    find: (localId: string) => Promise<DirectoryUser | DirectoryGroup | null>,
  ): Promise<string | null> {
    const id = await otherHolder(this.#parts.state, kind, row)
    if (id === null) return null
    const entry = await this.entryOf(id)
    if (entry === null || (await find(entry.localId))?.name === row.name) return id
    await this.#change((changing) =>
      kind === 'user' ? dropUser(changing, id) : dropGroup(changing, id),
    )
    return null
  }

  #hide({ id, name, domainId }: UserRow | GroupRow): null {
    this.#parts.log.warn('entry of a directory is hidden: its name is taken', {
      id,
      name,
      domainId,
    })
    return null
  }

  #change(work: (changing: Change) => Promise<void>): Promise<void> {
    return change(this.#parts, work)
  }

  async #inSteps<T>(
    items: readonly T[],
    work: (changing: Change, item: T) => Promise<void>,
  ): Promise<void> {
    for (let first = 0; first < items.length; first += ROWS_AT_ONCE) {
      await this.#change(async (changing) => {
        for (const item of items.slice(first, first + ROWS_AT_ONCE)) await work(changing, item)
      })
    }
  }

  #isFresh(what: string): boolean {
    const askedMs = this.#askedMs.get(what) ?? Number.NEGATIVE_INFINITY
    return this.#parts.clock.monotonicMs() - askedMs < this.#freshMs
  }

  /** Asks unless it was asked lately; those who ask at once wait for the same answer. */
  async #once(what: string, now: boolean, ask: () => Promise<void>): Promise<void> {
    const under = this.#asking.get(what)
    if (under !== undefined) return under
    if (!now && this.#isFresh(what)) return
    const startMs = this.#parts.clock.monotonicMs()
    const asking = ask().finally(() => this.#asking.delete(what))
    this.#asking.set(what, asking)
    await asking
    this.#askedMs.delete(what)
    this.#askedMs.set(what, startMs)
    if (this.#askedMs.size > REMEMBERED_MAX) {
      this.#askedMs.delete(this.#askedMs.keys().next().value!)
    }
  }
}

/** Entries that can be kept; of several with one name the first, in the order of their ids. */
function distinct<T extends DirectoryUser | DirectoryGroup>(entries: readonly T[]): readonly T[] {
  const sorted = entries.filter(isKeepable).sort((a, b) => (a.localId < b.localId ? -1 : 1))
  const names = new Map<string, T>()
  for (const entry of sorted) if (!names.has(entry.name)) names.set(entry.name, entry)
  return [...names.values()]
}

function goneIds(
  known: Iterable<string>,
  rows: readonly { readonly row: { readonly id: string } }[],
): readonly string[] {
  const there = new Set(rows.map(({ row }) => row.id))
  return [...known].filter((id) => isDirectoryId(id) && !there.has(id))
}

function isDirectoryFailure(error: unknown): boolean {
  return error instanceof ServiceError && error.code.startsWith('Directory')
}
