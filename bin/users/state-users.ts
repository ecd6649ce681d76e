import { completeSettings } from '../../auth/settings.ts'
import { rolesOfGroups } from '../../auth/store-users/store-roles.ts'
import {
  addStoreUser,
  listStoreUsers,
  removeStoreUser,
  type StoreUserParts,
  setStoreUserKey,
} from '../../auth/store-users/store-users.ts'
import { RevocationLog } from '../../auth/tokens/revocation-log.ts'
import { systemClock as clock } from '../../common/clock.ts'
import { systemRandom as random } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'
import { readTextFile } from '../../common/whole-file.ts'
import type { DataPaths } from '../data-folder.ts'
import { identityPaths } from '../identity/identity-config.ts'
import { serviceSettingsOf } from '../identity/service-settings.ts'
import { decodeSettings } from '../settings.ts'
import type { AddedUser, ListedUser, UserBook } from './user-book.ts'

/** The state of an identity service that does not run. */
export class StateUsers implements UserBook {
  readonly #parts: StoreUserParts

  private constructor(parts: StoreUserParts) {
    this.#parts = parts
  }

  static async open(paths: DataPaths): Promise<StateUsers> {
    const text = await readTextFile(paths.settings)
    const own = text === null ? undefined : decodeSettings(text, paths.settings).identity
    const place = own?.state ?? identityPaths(paths.identity).state
    const state = await openState(place, { service: 'identity', clock })
    const settings = completeSettings(own === undefined ? {} : serviceSettingsOf(own))
    const revocations = new RevocationLog(state, { clock, random })
    return new StateUsers({ state, settings, revocations, clock, random })
  }

  list(): Promise<readonly ListedUser[]> {
    return listStoreUsers(this.#parts.state)
  }

  async add({ name, key, groups, roles, account }: AddedUser): Promise<void> {
    await addStoreUser(this.#parts, { name, key, account, roles: allRoles(groups, roles) })
  }

  remove(name: string): Promise<void> {
    return removeStoreUser(this.#parts, name)
  }

  setKey(name: string, key: string): Promise<void> {
    return setStoreUserKey(this.#parts, { name, key })
  }

  close(): Promise<void> {
    return this.#parts.state.close()
  }
}

/** Roles by name, and those that groups stand for. Throws 400 for a group that has the name of a role with powers. */
export function allRoles(groups: readonly string[], roles: readonly string[]): readonly string[] {
  return roles.length > 0 && groups.length === 0 ? roles : [...roles, ...rolesOfGroups(groups)]
}
