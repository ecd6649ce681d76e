import { forEachParallel } from '../../common/bounded-parallel.ts'
import { ServiceError } from '../../common/errors.ts'
import type { DirectoryGroup, DirectoryUser } from '../drivers/identity-driver.ts'
import type { PamHelperOptions } from '../drivers/pam-helper.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { users } from '../tables/tables.ts'
import { type DirectoryEntryRow, directoryEntries, isDirectoryId } from './directory-tables.ts'
import { DomainDrivers } from './domain-drivers.ts'
import { isKeepable } from './mirror.ts'
import { type Asked, type MirrorParts, MirrorWriter } from './mirror-writer.ts'

export interface DirectoriesOptions {
  /** For so long what a directory said counts; a sign-in asks it anyway. */
  readonly freshMs?: number
  /** Holders of tokens that a round, one a second, asks about at most. */
  readonly watchedPerRound?: number
  readonly pam?: PamHelperOptions
}

const DEFAULTS = {
  freshMs: 30_000,
  watchedPerRound: 40,
  pam: {},
} satisfies Required<DirectoriesOptions>

/** What was asked lately and is remembered; the oldest are asked again sooner. */
const REMEMBERED_MAX = 20_000
const WATCHED_AT_ONCE = 4

type Parts = MirrorParts & Pick<IdentityParts, 'secrets'> & { readonly tokenLifeMs: number }

/**
 * The directories of domains that have one: asks them, and keeps the rows of their users and groups in step. What they
 * cannot answer is 503.
 */
export class Directories {
  readonly #parts: Parts
  readonly #drivers: DomainDrivers
  readonly #writer: MirrorWriter
  readonly #freshMs: number
  readonly #watchedPerRound: number
  /** When each thing was last asked. */
  readonly #askedMs = new Map<string, number>()
  readonly #asking = new Map<string, Promise<void>>()
  /** Until when users are looked after. */
  readonly #watched = new Map<string, number>()
  /** Until when a directory that did not answer is not asked for a user. */
  readonly #failedMs = new Map<string, number>()
  #watching = false

  constructor(parts: Parts, options: DirectoriesOptions = {}) {
    const { freshMs, watchedPerRound, pam } = { ...DEFAULTS, ...options }
    this.#parts = parts
    this.#writer = new MirrorWriter(parts)
    this.#freshMs = freshMs
    this.#watchedPerRound = watchedPerRound
    this.#drivers = new DomainDrivers(parts, pam)
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
      await forEachParallel(due.slice(0, this.#watchedPerRound), WATCHED_AT_ONCE, (userId) =>
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
    await this.#once(`user ${id}`, now, async (sequence) => {
      const { domainId, localId } = entry
      const driver = await this.#drivers.of(domainId)
      const found = (await driver?.findUser(localId)) ?? null
      if (driver === null || found === null || !isKeepable(found)) {
        return this.#writer.dropUser(id, { sequence })
      }
      await this.#placeUser({ domainId, driver, sequence }, found)
    })
  }

  /** The same for a user of that name, of whom nothing may be known yet. */
  async refreshUserByName(domainId: string, name: string): Promise<void> {
    const driver = await this.#drivers.of(domainId)
    if (driver === null) return
    const sequence = this.#writer.begin()
    const found = await driver.findUserByName(name)
    if (found !== null && isKeepable(found)) {
      return this.#placeUser({ domainId, driver, sequence }, found)
    }
    const row = await users.one(this.#parts.state, 'name', domainId, name)
    if (row !== undefined) await this.refreshUser(row.id, { now: true })
  }

  /** Brings all users of a domain into step, if they live in a directory. */
  async refreshUsers(domainId: string): Promise<void> {
    const driver = await this.#drivers.of(domainId)
    if (driver === null) return
    await this.#once(`users ${domainId}`, false, async (sequence) => {
      const { entries, complete } = await driver.listUsers()
      await this.#writer.placeUsers({ domainId, driver, sequence }, distinct(entries), { complete })
    })
  }

  /** Brings a group into step, with the users that are in it. */
  async refreshGroup(id: string): Promise<void> {
    const entry = await this.entryOf(id)
    if (entry?.kind !== 'group') return
    await this.#once(`group ${id}`, false, async (sequence) => {
      const { domainId, localId } = entry
      const driver = await this.#drivers.of(domainId)
      const found = (await driver?.findGroup(localId)) ?? null
      if (driver === null || found === null || !isKeepable(found)) {
        return this.#writer.dropGroup(id, { sequence })
      }
      const members = distinct(await driver.usersOfGroup(localId))
      const asked = { domainId, driver, sequence }
      if ((await this.#writer.placeGroup(asked, found)) === null) return
      const memberIds = new Set<string>()
      for (const user of members) {
        const userId = await this.#writer.placeUser(asked, user)
        if (userId !== null) memberIds.add(userId)
      }
      await this.#writer.setUsersOfGroup(id, memberIds, asked)
    })
  }

  /** Brings all groups of a domain into step, if they live in a directory. */
  async refreshGroups(domainId: string): Promise<void> {
    const driver = await this.#drivers.of(domainId)
    if (driver === null) return
    await this.#once(`groups ${domainId}`, false, async (sequence) => {
      const { entries, complete } = await driver.listGroups()
      await this.#writer.placeGroups({ domainId, driver, sequence }, distinct(entries), {
        complete,
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

  /** Writes what was found of a user, and of its groups. */
  async #placeUser(asked: Asked, found: DirectoryUser): Promise<void> {
    const userId = await this.#writer.placeUser(asked, found)
    if (userId === null) return
    const groupIds = new Set<string>()
    for (const group of distinct(await asked.driver.groupsOfUser(found.localId))) {
      const groupId = await this.#writer.placeGroup(asked, group)
      if (groupId !== null) groupIds.add(groupId)
    }
    await this.#writer.setGroupsOfUser(userId, groupIds, asked)
  }

  #isFresh(what: string): boolean {
    const askedMs = this.#askedMs.get(what) ?? Number.NEGATIVE_INFINITY
    return this.#parts.clock.monotonicMs() - askedMs < this.#freshMs
  }

  /**
   * Asks unless it was asked lately. Who comes while it is being asked waits, and asks again: the answer under way may be
   * from before what he has seen. Those who wait share the next one.
   */
  async #once(what: string, now: boolean, ask: (sequence: number) => Promise<void>): Promise<void> {
    const under = this.#asking.get(what)
    if (under !== undefined) await under.catch(() => {})
    if (!now && this.#isFresh(what)) return
    const next = this.#asking.get(what)
    if (next !== undefined) return next
    const startMs = this.#parts.clock.monotonicMs()
    const asking = ask(this.#writer.begin()).finally(() => this.#asking.delete(what))
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

function isDirectoryFailure(error: unknown): boolean {
  return error instanceof ServiceError && error.code.startsWith('Directory')
}
