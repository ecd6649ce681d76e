import { type Random, randomId } from '../common/random.ts'
import type { StateStore, StateTransaction } from '../common/state/state-store.ts'
import { DEFAULT_DOMAIN_ID } from './settings.ts'
import { plainProject } from './tables/plain-project.ts'
import { INTERFACES, type RoleRow, SYSTEM_ID } from './tables/rows.ts'
import {
  assignments,
  endpoints,
  impliedRoles,
  projects,
  regions,
  roles,
  services,
  users,
} from './tables/tables.ts'
import { addRevocation } from './tokens/revocation-log.ts'
import { hashKey, SALT_BYTES, verifyKey } from './user-key.ts'

/** A service of the catalog with its URL, the same for all interfaces. */
export interface BootstrapService {
  readonly type: string
  readonly name: string
  /** May hold `$(project_id)s`. */
  readonly url: string
}

export interface BootstrapOptions {
  /** The administrator's when that is made. */
  readonly adminPassword: string
  /** Whether it is the administrator's from now on, too; otherwise the one that was chosen since then stays. */
  readonly setAdminPassword?: boolean
  /** The id of project `admin` when that is made: random if absent. */
  readonly adminProjectId?: string
  readonly regionId: string
  readonly services: readonly BootstrapService[]
  /** Users of services, with their passwords: role `service` on project `service`. */
  readonly serviceUsers: readonly { readonly name: string; readonly password: string }[]
}

/** Each implies the next: admin ⟹ manager ⟹ member ⟹ reader. */
const ROLE_CHAIN = ['admin', 'manager', 'member', 'reader'] as const
/** `ResellerAdmin` owns all accounts of the object store. */
const OTHER_ROLES = ['service', 'ResellerAdmin'] as const
export const ADMIN_NAME = 'admin'
export const SERVICE_PROJECT = 'service'

/**
 * What a new deployment needs to be used: the Default domain, the roles, project and user `admin` (with the role on the
 * project and the system), service users, and the catalog. Done again it changes only what differs: the passwords of
 * service users, the URLs, and if it is told to the administrator's password; all in one transaction. A password that is
 * replaced voids the tokens that were got with it.
 */
export async function bootstrap(
  state: StateStore,
  options: BootstrapOptions,
  context: { readonly random: Random; readonly nowMs: number },
): Promise<void> {
  const hashes = new Map<string, string>()
  const { adminPassword, setAdminPassword = false, serviceUsers } = options
  const admin = { name: ADMIN_NAME, password: adminPassword, keep: !setAdminPassword }
  for (const account of [admin, ...serviceUsers]) {
    const hash = await newHash(state, account, context.random)
    if (hash !== null) hashes.set(account.name, hash)
  }
  await state.transaction(async (tx) => {
    const work = new Bootstrap(tx, context, hashes)
    await work.run(options)
  })
}

/** The hash of the password that a user of the Default domain gets; null if the one that it has is to stay. */
async function newHash(
  state: StateStore,
  account: { readonly name: string; readonly password: string; readonly keep?: boolean },
  random: Random,
): Promise<string | null> {
  const before = await users.one(state, 'name', DEFAULT_DOMAIN_ID, account.name)
  const hash = before?.passwords[0]?.hash
  if (before !== undefined && account.keep === true) return null
  if (hash !== undefined && (await verifyKey(account.password, hash))) return null
  return hashKey(account.password, random.bytes(SALT_BYTES))
}

class Bootstrap {
  readonly #tx: StateTransaction
  readonly #context: { readonly random: Random; readonly nowMs: number }
  readonly #hashes: ReadonlyMap<string, string>

  constructor(
    tx: StateTransaction,
    context: { readonly random: Random; readonly nowMs: number },
    hashes: ReadonlyMap<string, string>,
  ) {
    this.#tx = tx
    this.#context = context
    this.#hashes = hashes
  }

  async run(options: BootstrapOptions): Promise<void> {
    await this.#domain()
    const roleIds = await this.#roles()
    const adminProject = await this.#project(ADMIN_NAME, options.adminProjectId)
    const admin = await this.#user(ADMIN_NAME, adminProject)
    const adminRole = roleIds.get(ADMIN_NAME)!
    await this.#assign(admin, 'project', { targetId: adminProject, roleId: adminRole })
    await this.#assign(admin, 'system', { targetId: SYSTEM_ID, roleId: adminRole })
    const resellerAdmin = roleIds.get('ResellerAdmin')!
    await this.#assign(admin, 'project', { targetId: adminProject, roleId: resellerAdmin })
    const serviceProject = await this.#project(SERVICE_PROJECT)
    for (const { name } of options.serviceUsers) {
      const user = await this.#user(name, serviceProject)
      const roleId = roleIds.get('service')!
      await this.#assign(user, 'project', { targetId: serviceProject, roleId })
    }
    await this.#catalog(options)
  }

  async #domain(): Promise<void> {
    if ((await projects.get(this.#tx, DEFAULT_DOMAIN_ID)) !== undefined) return
    await projects.put(this.#tx, {
      id: DEFAULT_DOMAIN_ID,
      name: 'Default',
      isDomain: true,
      domainId: null,
      parentId: null,
      enabled: true,
      description: 'The default domain',
      tags: [],
      options: { immutable: true },
      extra: {},
    })
  }

  async #roles(): Promise<ReadonlyMap<string, string>> {
    const ids = new Map<string, string>()
    for (const name of [...ROLE_CHAIN, ...OTHER_ROLES]) ids.set(name, await this.#role(name))
    for (const [index, name] of ROLE_CHAIN.slice(0, -1).entries()) {
      const priorId = ids.get(name)!
      const impliedId = ids.get(ROLE_CHAIN[index + 1]!)!
      await impliedRoles.put(this.#tx, { priorId, impliedId })
    }
    return ids
  }

  async #role(name: string): Promise<string> {
    const before = await roles.one(this.#tx, 'name', '', name)
    if (before !== undefined) return before.id
    const row: RoleRow = {
      id: randomId(this.#context.random),
      name,
      domainId: null,
      description: null,
      options: { immutable: true },
      extra: {},
    }
    await roles.put(this.#tx, row)
    return row.id
  }

  async #project(name: string, wantedId?: string): Promise<string> {
    const before = await projects.one(this.#tx, 'name', DEFAULT_DOMAIN_ID, name)
    if (before !== undefined) return before.id
    const id = wantedId ?? randomId(this.#context.random)
    await projects.put(this.#tx, plainProject({ id, name }))
    return id
  }

  /** The user, made or with another password. */
  async #user(name: string, projectId: string): Promise<string> {
    const { random, nowMs } = this.#context
    const before = await users.one(this.#tx, 'name', DEFAULT_DOMAIN_ID, name)
    const hash = this.#hashes.get(name)
    if (hash === undefined) return before!.id
    const password = { hash, createdAtMs: nowMs, expiresAtMs: null, selfService: true }
    const id = before?.id ?? randomId(random)
    await users.put(this.#tx, {
      id,
      domainId: DEFAULT_DOMAIN_ID,
      name,
      defaultProjectId: projectId,
      options: {},
      extra: {},
      createdAtMs: nowMs,
      lastActiveAtMs: null,
      ...before,
      enabled: true,
      passwords: [password],
    })
    if (before !== undefined) {
      const times = { issuedBeforeMs: nowMs, revokedAtMs: nowMs }
      await addRevocation(this.#tx, { userId: id, ...times }, random)
    }
    return id
  }

  async #assign(
    actorId: string,
    targetKind: 'project' | 'system',
    { targetId, roleId }: { readonly targetId: string; readonly roleId: string },
  ): Promise<void> {
    await assignments.put(this.#tx, {
      actorKind: 'user',
      actorId,
      targetKind,
      targetId,
      roleId,
      inherited: false,
    })
  }

  async #catalog({ regionId, services: wanted }: BootstrapOptions): Promise<void> {
    if ((await regions.get(this.#tx, regionId)) === undefined) {
      await regions.put(this.#tx, { id: regionId, parentId: null, description: '', extra: {} })
    }
    const known = await services.list(this.#tx)
    for (const { type, name, url } of wanted) {
      const before = known.find((service) => service.type === type && service.name === name)
      const id = before?.id ?? randomId(this.#context.random)
      if (before === undefined) {
        await services.put(this.#tx, {
          id,
          type,
          name,
          enabled: true,
          description: null,
          extra: {},
        })
      }
      await this.#endpoints({ serviceId: id, regionId, url })
    }
  }

  async #endpoints(where: {
    readonly serviceId: string
    readonly regionId: string
    readonly url: string
  }): Promise<void> {
    const { serviceId, regionId, url } = where
    const known = await endpoints.by(this.#tx, 'service', serviceId)
    for (const kind of INTERFACES) {
      const before = known.find((row) => row.interface === kind && row.regionId === regionId)
      await endpoints.put(this.#tx, {
        id: before?.id ?? randomId(this.#context.random),
        serviceId,
        regionId,
        interface: kind,
        url,
        enabled: before?.enabled ?? true,
        extra: before?.extra ?? {},
      })
    }
  }
}
