import { ServiceError } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import type { StateStore, StateTransaction } from '../../common/state/state-store.ts'
import { DEFAULT_DOMAIN_ID } from '../settings.ts'
import type { PasswordRow } from '../tables/rows.ts'
import { users } from '../tables/tables.ts'
import type { User, Users } from '../user.ts'
import { isHarmlessGroup, rolesOfGroups } from './store-roles.ts'
import { putStoreUser, type StoreUser } from './store-users.ts'

export interface TakenOver {
  /** `project:user` of those who are users of Keystone now. */
  readonly names: readonly string[]
  /** What could not stay as it was, a sentence each. */
  readonly changes: readonly string[]
}

/**
 * Makes the users of a users file users of Keystone, with the keys they have: each account becomes the project whose id
 * stands behind `AUTH_`, so that all data stays where it was. All in one transaction; who is there already is left alone,
 * so that it can be done again.
 */
export function takeOverUsers(
  state: StateStore,
  file: Users,
  context: { readonly random: Random; readonly nowMs: number; readonly except: string },
): Promise<TakenOver> {
  return state.transaction(async (tx) => {
    const names: string[] = []
    const changes: string[] = []
    for (const user of file.values()) {
      if (user.name === context.except || (await isTaken(tx, user))) continue
      const lost = user.groups.filter((group) => !isHarmlessGroup(group))
      for (const group of lost) changes.push(`user ${user.name} has no group ${group} any more`)
      try {
        const { name } = await takeOver(tx, user, context)
        if (name !== user.name) changes.push(`user ${user.name} signs in as ${name} now`)
        names.push(name)
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error
        changes.push(`user ${user.name} was left out: ${error.message}`)
      }
    }
    return { names, changes }
  })
}

function keyOf(user: User): PasswordRow {
  // As old as can be: no rule on the age of keys was there when it was chosen.
  return { hash: user.key, createdAtMs: 0, expiresAtMs: null, selfService: true }
}

async function takeOver(
  tx: StateTransaction,
  user: User,
  context: { readonly random: Random; readonly nowMs: number },
): Promise<StoreUser> {
  const [project, own] = namesOf(user)
  const isFree = (await users.one(tx, 'name', DEFAULT_DOMAIN_ID, own)) === undefined
  const roles = rolesOfGroups(user.groups.filter(isHarmlessGroup))
  // Names were unique in their account, now they are everywhere.
  const name = isFree ? user.name : `${project}:${project}-${own}`
  const passwords = [keyOf(user)]
  return putStoreUser(tx, { name, roles, account: user.account, passwords }, context)
}

/** Whether the user was taken over before: a hash has a salt, so the same one is the same user's. */
async function isTaken(tx: StateTransaction, user: User): Promise<boolean> {
  const [project, own] = namesOf(user)
  for (const name of [own, `${project}-${own}`]) {
    const other = await users.one(tx, 'name', DEFAULT_DOMAIN_ID, name)
    if (other?.passwords.some(({ hash }) => hash === user.key)) return true
  }
  return false
}

function namesOf({ name }: User): readonly [project: string, user: string] {
  const colon = name.indexOf(':')
  return [name.slice(0, colon), name.slice(colon + 1)]
}
