import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../common/clock.ts'
import { directoryEntries } from '../directories/directory-tables.ts'
import { deleteOptions } from '../directories/domain-config-rows.ts'
import { forbidden } from '../errors.ts'
import { type Change, change, type IdentityParts } from '../identity-parts.ts'
import { applicationCredentials } from '../tables/application-credentials.ts'
import { credentials } from '../tables/credentials.ts'
import type { AssignmentRow, MembershipRow, ProjectRow } from '../tables/rows.ts'
import { assignments, groups, memberships, projects, roles, users } from '../tables/tables.ts'
import { trusts } from '../tables/trusts.ts'
import { deleteLimitsOfDomain } from './catalog-removal.ts'
import { deleteCredential } from './credential-removal.ts'
import {
  deleteApplicationCredential,
  deleteCredentialsBy,
  deleteCredentialsOf,
  deleteTrust,
} from './delegation-removal.ts'
import { deleteProjectRow } from './project-removal.ts'
import { deleteRoleRow } from './role-removal.ts'
import { deleteGroupRow, deleteUserRow } from './user-removal.ts'

/**
 * A domain goes with its groups, users, projects and roles, in steps of a few hundred rows, each a transaction of its own
 * that leaves a whole state behind. What fits into one step goes at once. Otherwise the first one marks the domain, from
 * when on it is not there for anybody and nothing new comes into it; the others empty it, and the last deletes its row.
 * What a crash leaves is found by the mark.
 */

/** Rows that one step deletes: some tens of milliseconds, after which others have their turn. */
const STEP_ROWS = 100
/** However slow the machine is: a transaction that takes much longer is given up. */
const STEP_MS = 500

/**
 * The first step; whether it was the last one too. If not, `DomainRemovals.finish` has to follow the transaction. Throws
 * 403 while the domain is enabled, and for the default one.
 */
export async function beginRemoval(
  changing: Change,
  domain: ProjectRow,
  { settings, clock }: Pick<IdentityParts, 'settings' | 'clock'>,
): Promise<boolean> {
  const { tx, revoke } = changing
  const { id, enabled } = domain
  if (id === settings.defaultDomainId) {
    throw forbidden('Cannot delete the default domain, please use another domain first.')
  }
  if (enabled) {
    throw forbidden('Cannot delete a domain that is enabled, please disable it first.')
  }
  await deleteOptions(tx, id)
  if (await removeSome(changing, id, clock)) return true
  await projects.put(tx, { ...domain, removing: true })
  await revoke({ domainId: id })
  return false
}

/** The domains that are being removed, in this process. */
export class DomainRemovals {
  readonly #parts: Pick<IdentityParts, 'state' | 'revocations' | 'clock'>
  readonly #running = new Map<string, Promise<void>>()
  #closed = false

  constructor(parts: Pick<IdentityParts, 'state' | 'revocations' | 'clock'>) {
    this.#parts = parts
  }

  /** Empties and deletes a domain whose removal has begun. When the service is closed meanwhile, the next start goes on. */
  finish(id: string): Promise<void> {
    const running = this.#running.get(id) ?? this.#finish(id)
    this.#running.set(id, running)
    return running
  }

  /** Finishes what a crash, or a failure of the state, has left. */
  async finishAll(): Promise<void> {
    for (const { id } of await projects.by(this.#parts.state, 'kind', 'removed')) {
      await this.finish(id)
    }
  }

  /** Waits for the steps that have begun. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#running.values())
  }

  async #finish(id: string): Promise<void> {
    try {
      while (!this.#closed && !(await this.#step(id))) await turn()
    } finally {
      this.#running.delete(id)
    }
  }

  /** One step; whether it was the last one. */
  #step(id: string): Promise<boolean> {
    return change(this.#parts, async (changing) => {
      // Another process may have finished it.
      if ((await projects.get(changing.tx, id))?.removing !== true) return true
      return removeSome(changing, id, this.#parts.clock)
    })
  }
}

interface Step {
  readonly changing: Change
  readonly domainId: string
  readonly clock: Clock
  readonly endsAtMs: number
  /** Rows that it has deleted. */
  count: number
}

/** In the order in which they go; each says whether nothing of its kind is left. */
const KINDS: readonly ((step: Step) => Promise<boolean>)[] = [
  removeDirectoryEntries,
  removeGroups,
  removeUsers,
  removeProjects,
  removeRoles,
  removeAssignments,
]

/** Deletes as much as one step may; whether the domain is gone. */
async function removeSome(changing: Change, domainId: string, clock: Clock): Promise<boolean> {
  const step: Step = {
    changing: withoutOwnEvents(changing, domainId),
    domainId,
    clock,
    endsAtMs: clock.monotonicMs() + STEP_MS,
    count: 0,
  }
  for (const remove of KINDS) if (!(await remove(step))) return false
  await deleteLimitsOfDomain(changing, domainId)
  await projects.delete(changing.tx, domainId)
  await changing.revoke({ domainId })
  return true
}

/** The domain's event voids the tokens of its users and for its projects: a hundred thousand more would void no others. */
function withoutOwnEvents({ tx, revoke }: Change, domainId: string): Change {
  return {
    tx,
    async revoke(what) {
      const [field, ...more] = Object.keys(what)
      if (more.length === 0 && field === 'projectId') return
      if (more.length === 0 && field === 'userId') {
        // One whose row is gone already was of the domain.
        const user = await users.get(tx, what.userId!)
        if (user === undefined || user.domainId === domainId) return
      }
      await revoke(what)
    },
  }
}

/** Removes rows until the step is used up; whether none is left. `remove` says whether the row is gone. */
async function removeEach<Row>(
  step: Step,
  pages: AsyncIterable<readonly Row[]>,
  remove: (row: Row) => Promise<unknown>,
): Promise<boolean> {
  for await (const rows of pages) {
    for (const row of rows) {
      if (isOver(step)) return false
      step.count++
      if ((await remove(row)) === false) return false
    }
  }
  return true
}

/** At least one row goes with each. */
function isOver({ count, clock, endsAtMs }: Step): boolean {
  return count >= STEP_ROWS || (count > 0 && clock.monotonicMs() >= endsAtMs)
}

function removeDirectoryEntries(step: Step): Promise<boolean> {
  const { changing, domainId } = step
  const { tx } = changing
  const pages = directoryEntries.pagesBy(tx, 'domain', { values: [domainId] })
  return removeEach(step, pages, async ({ id, kind }) => {
    if (kind === 'user') await deleteUserRow(changing, id)
    else if (!(await removeGroup(step, id))) return false
    await directoryEntries.delete(tx, id)
    return true
  })
}

function removeGroups(step: Step): Promise<boolean> {
  const pages = groups.pagesBy(step.changing.tx, 'domain', { values: [step.domainId] })
  return removeEach(step, pages, ({ id }) => removeGroup(step, id))
}

async function removeGroup(step: Step, id: string): Promise<boolean> {
  const { changing } = step
  const { tx } = changing
  const members = memberships.pages(tx, { prefix: [id] })
  if (!(await removeEach(step, members, (row) => leaveGroup(step, row)))) return false
  const held = assignments.pagesBy(tx, 'actor', { values: ['group', id] })
  const drop = (row: AssignmentRow) => assignments.delete(tx, ...assignments.keyOf(row))
  if (!(await removeEach(step, held, drop))) return false
  await deleteGroupRow(changing, id)
  return true
}

/** A member of another domain loses what it had by the group; one of this domain goes itself. */
async function leaveGroup(
  { changing, domainId }: Step,
  { groupId, userId }: MembershipRow,
): Promise<void> {
  const { tx, revoke } = changing
  const user = await users.get(tx, userId)
  if (user !== undefined && user.domainId !== domainId) {
    for (const row of await assignments.by(tx, 'actor', 'group', groupId)) {
      if (row.targetKind !== 'project' || row.inherited) continue
      await deleteCredentialsOf(changing, userId, row.targetId)
    }
    await revoke({ userId })
  }
  await memberships.delete(tx, groupId, userId)
}

function removeUsers(step: Step): Promise<boolean> {
  const { changing, domainId } = step
  const pages = users.pagesBy(changing.tx, 'domain', { values: [domainId] })
  return removeEach(step, pages, ({ id }) => deleteUserRow(changing, id))
}

function removeProjects(step: Step): Promise<boolean> {
  const { changing, domainId } = step
  const pages = projects.pagesBy(changing.tx, 'domain', { values: [domainId] })
  return removeEach(step, pages, async (row) => {
    if (!(await emptyProject(step, row.id))) return false
    await deleteProjectRow(changing, row)
    return true
  })
}

/** Takes away what a project may have much of; whether nothing of it is left. */
async function emptyProject(step: Step, id: string): Promise<boolean> {
  const { changing } = step
  const { tx } = changing
  const values = [id]
  return (
    (await removeEach(step, assignments.pages(tx, { prefix: ['project', id] }), (row) =>
      assignments.delete(tx, ...assignments.keyOf(row)),
    )) &&
    (await removeEach(step, applicationCredentials.pagesBy(tx, 'project', { values }), (row) =>
      deleteApplicationCredential(changing, row.id),
    )) &&
    (await removeEach(step, trusts.pagesBy(tx, 'project', { values }), (row) =>
      deleteTrust(changing, row.id),
    )) &&
    (await removeEach(step, credentials.pagesBy(tx, 'project', { values }), (row) =>
      deleteCredential(changing, row.id),
    )) &&
    removeEach(step, users.pagesBy(tx, 'defaultProject', { values }), (row) =>
      users.put(tx, { ...row, defaultProjectId: null }),
    )
  )
}

async function removeRoles(step: Step): Promise<boolean> {
  const { changing, domainId } = step
  const { tx } = changing
  return removeEach(step, roles.pagesBy(tx, 'name', { values: [domainId] }), async ({ id }) => {
    const held = assignments.pagesBy(tx, 'role', { values: [id] })
    const isFree = await removeEach(step, held, async (row) => {
      await deleteCredentialsBy(changing, row)
      await assignments.delete(tx, ...assignments.keyOf(row))
    })
    if (isFree) await deleteRoleRow(changing, id)
    return isFree
  })
}

/** What others had on the domain itself. */
function removeAssignments(step: Step): Promise<boolean> {
  const { tx } = step.changing
  const pages = assignments.pages(tx, { prefix: ['domain', step.domainId] })
  return removeEach(step, pages, (row) => assignments.delete(tx, ...assignments.keyOf(row)))
}
