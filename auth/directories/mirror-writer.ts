import type { DirectoryGroup, DirectoryUser, IdentityDriver } from '../drivers/identity-driver.ts'
import { type Change, change, type IdentityParts } from '../identity-parts.ts'
import type { GroupRow, UserRow } from '../tables/rows.ts'
import { groups, users } from '../tables/tables.ts'
import { directoryEntries, isDirectoryId } from './directory-tables.ts'
import {
  dropGroup,
  dropUser,
  groupRowOf,
  isSame,
  otherHolder,
  parkGroup,
  parkUser,
  putGroup,
  putUser,
  setGroupsOfUser,
  setUsersOfGroup,
  userRowOf,
} from './mirror.ts'

export type MirrorParts = Pick<IdentityParts, 'state' | 'revocations' | 'clock' | 'log'>

/** A domain's directory at one moment: what was asked later counts more. */
export interface Asked {
  readonly domainId: string
  readonly driver: IdentityDriver
  /** From `begin`, before the directory was asked. */
  readonly sequence: number
}

/** What a directory has of one kind, beside the rows there are. */
interface Placing<Row> {
  readonly before: ReadonlyMap<string, Row>
  readonly wanted: readonly { readonly row: Row; readonly localId: string }[]
  /** It is all there is: rows of others are dropped. */
  readonly complete: boolean
}

/** How rows of one kind are kept in step. */
interface Mirror<Row> {
  readonly kind: 'user' | 'group'
  readonly drop: (changing: Change, id: string) => Promise<void>
  readonly park: (changing: Change, id: string) => Promise<void>
  readonly put: (changing: Change, row: Row, localId: string) => Promise<void>
}

const USER_MIRROR: Mirror<UserRow> = { kind: 'user', drop: dropUser, park: parkUser, put: putUser }
const GROUP_MIRROR: Mirror<GroupRow> = {
  kind: 'group',
  drop: dropGroup,
  park: parkGroup,
  put: putGroup,
}

/** Rows that one transaction brings into step. */
const ROWS_AT_ONCE = 200
/** Ids of whom it is known how new the last word on them was. */
const REMEMBERED_MAX = 50_000

/** Writes into the rows what directories have said, in whatever order their answers come. */
export class MirrorWriter {
  readonly #parts: MirrorParts
  /** The sequence of what was written last, by id. */
  readonly #written = new Map<string, number>()
  #sequence = 0

  constructor(parts: MirrorParts) {
    this.#parts = parts
  }

  /** Before a directory is asked. */
  begin(): number {
    return ++this.#sequence
  }

  /** Writes a user's row. Gives its id; null if another entry or a local user has the name. */
  async placeUser(asked: Asked, user: DirectoryUser): Promise<string | null> {
    const { state } = this.#parts
    const row = await this.#userRow(asked.domainId, user)
    if (isSame(await users.get(state, row.id), row)) return row.id
    const displaced = await this.#displaced('user', row, (id) => asked.driver.findUser(id))
    if (displaced === 'taken') return this.#hide(row)
    await this.#change(row.id, asked, async (changing) => {
      if (displaced !== null) await parkUser(changing, displaced.id)
      await putUser(changing, row, user.localId)
    })
    if (displaced?.found) await this.placeUser(asked, displaced.found as DirectoryUser)
    return row.id
  }

  /** As for users. */
  async placeGroup(asked: Asked, group: DirectoryGroup): Promise<string | null> {
    const row = groupRowOf(asked.domainId, group)
    if (isSame(await groups.get(this.#parts.state, row.id), row)) return row.id
    const displaced = await this.#displaced('group', row, (id) => asked.driver.findGroup(id))
    if (displaced === 'taken') return this.#hide(row)
    await this.#change(row.id, asked, async (changing) => {
      if (displaced !== null) await parkGroup(changing, displaced.id)
      await putGroup(changing, row, group.localId)
    })
    if (displaced?.found) await this.placeGroup(asked, displaced.found)
    return row.id
  }

  /** All users of a domain, each name once; rows of others are dropped if they are all there is. */
  async placeUsers(
    asked: Asked,
    list: readonly DirectoryUser[],
    { complete }: { readonly complete: boolean },
  ): Promise<void> {
    const known = await users.by(this.#parts.state, 'domain', asked.domainId)
    const before = new Map(known.map((row) => [row.id, row]))
    const wanted = await Promise.all(
      list.map(async (user) => ({
        row: await this.#userRow(asked.domainId, user, before),
        localId: user.localId,
      })),
    )
    await this.#placeAll(asked, { before, wanted, complete }, USER_MIRROR)
  }

  /** As for users. */
  async placeGroups(
    asked: Asked,
    list: readonly DirectoryGroup[],
    { complete }: { readonly complete: boolean },
  ): Promise<void> {
    const known = await groups.by(this.#parts.state, 'domain', asked.domainId)
    const before = new Map(known.map((row) => [row.id, row]))
    const wanted = list.map((group) => ({
      row: groupRowOf(asked.domainId, group),
      localId: group.localId,
    }))
    await this.#placeAll(asked, { before, wanted, complete }, GROUP_MIRROR)
  }

  dropUser(id: string, asked: Pick<Asked, 'sequence'>): Promise<void> {
    return this.#change(id, asked, (changing) => dropUser(changing, id))
  }

  dropGroup(id: string, asked: Pick<Asked, 'sequence'>): Promise<void> {
    return this.#change(id, asked, (changing) => dropGroup(changing, id))
  }

  setGroupsOfUser(id: string, groupIds: ReadonlySet<string>, asked: Asked): Promise<void> {
    return this.#change(`groups of ${id}`, asked, (changing) =>
      setGroupsOfUser(changing, id, groupIds),
    )
  }

  setUsersOfGroup(id: string, userIds: ReadonlySet<string>, asked: Asked): Promise<void> {
    return this.#change(`users of ${id}`, asked, (changing) =>
      setUsersOfGroup(changing, id, userIds),
    )
  }

  async #placeAll<Row extends UserRow | GroupRow>(
    asked: Asked,
    { before, wanted, complete }: Placing<Row>,
    { kind, drop, park, put }: Mirror<Row>,
  ): Promise<void> {
    const ids = new Set(wanted.map(({ row }) => row.id))
    const gone = [...before.keys()].filter((id) => isDirectoryId(id) && !ids.has(id))
    if (complete) await this.#inSteps(gone, (id) => this.#newer(id, asked), drop)
    const changed = wanted.filter(({ row }) => !isSame(before.get(row.id), row))
    const moving = new Set(changed.map(({ row }) => row.id))
    await this.#inSteps(
      changed,
      ({ row }) => this.#newer(row.id, asked),
      async (changing, { row, localId }) => {
        const holder = await otherHolder(changing.tx, kind, row)
        if (holder !== null && !moving.has(holder)) return void this.#hide(row)
        if (holder !== null) await park(changing, holder)
        await put(changing, row, localId)
      },
    )
  }

  async #userRow(
    domainId: string,
    user: DirectoryUser,
    known?: ReadonlyMap<string, UserRow>,
  ): Promise<UserRow> {
    const { state, clock } = this.#parts
    const fresh = userRowOf(domainId, user, undefined, clock.nowMs())
    const before = known === undefined ? await users.get(state, fresh.id) : known.get(fresh.id)
    return before === undefined ? fresh : userRowOf(domainId, user, before, before.createdAtMs)
  }

  /** Who has the name and has to give it up, with what the directory has of it now; `taken` if it keeps the name. */
  async #displaced<T extends DirectoryUser | DirectoryGroup>(
    kind: 'user' | 'group',
    row: UserRow | GroupRow,
    find: (localId: string) => Promise<T | null>,
  ): Promise<{ readonly id: string; readonly found: T | null } | 'taken' | null> {
    const { state } = this.#parts
    const id = await otherHolder(state, kind, row)
    if (id === null) return null
    const entry = await directoryEntries.get(state, id)
    if (entry === undefined) return 'taken'
    const found = await find(entry.localId)
    return found?.name === row.name ? 'taken' : { id, found }
  }

  #hide({ id, name, domainId }: UserRow | GroupRow): null {
    const { log } = this.#parts
    log.warn('entry of a directory is hidden: its name is taken', { id, name, domainId })
    return null
  }

  async #change(
    what: string,
    asked: Pick<Asked, 'sequence'>,
    work: (changing: Change) => Promise<void>,
  ): Promise<void> {
    if (this.#newer(what, asked)) await change(this.#parts, work)
  }

  /** Whether nothing newer has been written; if so, this is the newest from here on. */
  #newer(what: string, { sequence }: Pick<Asked, 'sequence'>): boolean {
    if ((this.#written.get(what) ?? 0) > sequence) return false
    this.#written.delete(what)
    this.#written.set(what, sequence)
    if (this.#written.size > REMEMBERED_MAX) {
      this.#written.delete(this.#written.keys().next().value!)
    }
    return true
  }

  async #inSteps<T>(
    items: readonly T[],
    wanted: (item: T) => boolean,
    work: (changing: Change, item: T) => Promise<void>,
  ): Promise<void> {
    for (let first = 0; first < items.length; first += ROWS_AT_ONCE) {
      const some = items.slice(first, first + ROWS_AT_ONCE).filter(wanted)
      if (some.length === 0) continue
      await change(this.#parts, async (changing) => {
        for (const item of some) await work(changing, item)
      })
    }
  }
}
