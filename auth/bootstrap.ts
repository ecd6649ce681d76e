import { type Random, randomId } from '../common/random.ts'
import type { StateStore, StateTransaction } from '../common/state/state-store.ts'
import { DEFAULT_DOMAIN_ID } from './settings.ts'
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
import { hashKey, SALT_BYTES } from './user-key.ts'

/** A service of the catalog with its URL, the same for all interfaces. */
export interface BootstrapService {
  readonly type: string
  readonly name: string
  /** May hold `$(project_id)s`. */
  readonly url: string
}

export interface BootstrapOptions {
  readonly adminPassword: string
  readonly regionId: string
  readonly services: readonly BootstrapService[]
  /** Users of services, with their passwords: role `service` on project `service`. */
  readonly serviceUsers: readonly { readonly name: string; readonly password: string }[]
}

/** Each implies the next: admin ⟹ manager ⟹ member ⟹ reader. */
const ROLE_CHAIN = ['admin', 'manager', 'member', 'reader'] as const
const OTHER_ROLES = ['service'] as const
export const ADMIN_NAME = 'admin'
export const SERVICE_PROJECT = 'service'

/**
 * What a new deployment needs to be used: the Default domain, the roles, project and user `admin` (with the role on the
 * project and the system), service users, and the catalog. Done again it changes only what differs: the password of the
 * administrator, those of service users, and the URLs; all in one transaction.
 */
export async function bootstrap(
  state: StateStore,
  options: BootstrapOptions,
  context: { readonly random: Random; readonly nowMs: number },
): Promise<void> {
  const { random } = context
  const hashes = new Map<string, string>()
  const accounts = [{ name: ADMIN_NAME, password: options.adminPassword }, ...options.serviceUsers]
  for (const { name, password } of accounts) {
    hashes.set(name, await hashKey(password, random.bytes(SALT_BYTES)))
  }
  await state.transaction(async (tx) => {
    const work = new Bootstrap(tx, context, hashes)
    await work.run(options)
  })
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
    const adminProject = await this.#project(ADMIN_NAME)
    const admin = await this.#user(ADMIN_NAME, adminProject)
    const adminRole = roleIds.get(ADMIN_NAME)!
    await this.#assign(admin, 'project', { targetId: adminProject, roleId: adminRole })
    await this.#assign(admin, 'system', { targetId: SYSTEM_ID, roleId: adminRole })
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

  async #project(name: string): Promise<string> {
    const before = await projects.one(this.#tx, 'name', DEFAULT_DOMAIN_ID, name)
    if (before !== undefined) return before.id
    const id = randomId(this.#context.random)
    await projects.put(this.#tx, {
      id,
      name,
      isDomain: false,
      domainId: DEFAULT_DOMAIN_ID,
      parentId: DEFAULT_DOMAIN_ID,
      enabled: true,
      description: '',
      tags: [],
      options: {},
      extra: {},
    })
    return id
  }

  /** The user with this password, made or changed. */
  async #user(name: string, projectId: string): Promise<string> {
    const { random, nowMs } = this.#context
    const before = await users.one(this.#tx, 'name', DEFAULT_DOMAIN_ID, name)
    const hash = this.#hashes.get(name)!
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
