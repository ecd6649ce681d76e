/**
 * Users of the object store as its old clients name them, `project:user`, over the tables of Keystone: both of the Default
 * domain. Used by `swiftlet user`, through the API (api/store-users.ts) or, where no service runs, on the state itself.
 */
import { ServiceError } from '../../common/errors.ts'
import { type Random, randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { change, type IdentityParts } from '../identity-parts.ts'
import { withPassword } from '../passwords/password-rules.ts'
import { deleteUserRow } from '../removal/user-removal.ts'
import { DEFAULT_DOMAIN_ID } from '../settings.ts'
import { plainProject } from '../tables/plain-project.ts'
import type { PasswordRow, ProjectRow, UserRow } from '../tables/rows.ts'
import { assignments, projects, roles, users } from '../tables/tables.ts'
import { checkUserName, RESELLER_PREFIX } from '../user.ts'

export interface StoreUser {
  /** `project:user`. */
  readonly name: string
  /** Of its project: `AUTH_…`. */
  readonly account: string
  /** Those on the project. */
  readonly roles: readonly string[]
}

export interface NewStoreUser {
  /** `project:user`. */
  readonly name: string
  readonly key: string
  readonly roles: readonly string[]
  /** The project's account when that is made: `AUTH_` and the project's name if absent. */
  readonly account?: string | undefined
}

export type StoreUserParts = Pick<
  IdentityParts,
  'state' | 'settings' | 'revocations' | 'clock' | 'random'
>

/** Ids go into URLs and headers. */
const ID_FORM = /^[\w.~-]{1,64}$/
const KEY_CHARS_MAX = 256

/** Every user with every project that it has a role on. */
export async function listStoreUsers(reader: StateReader): Promise<readonly StoreUser[]> {
  const found: StoreUser[] = []
  for (const user of await users.by(reader, 'domain', DEFAULT_DOMAIN_ID)) {
    for (const [projectId, names] of await rolesByProject(reader, user)) {
      const project = await projects.get(reader, projectId)
      if (project === undefined) continue
      const account = RESELLER_PREFIX + projectId
      found.push({ name: `${project.name}:${user.name}`, account, roles: names })
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Makes a user with roles on a project, which is made if it is not there. Throws 400, and 409 if the user is there. */
export async function addStoreUser(
  parts: StoreUserParts,
  wanted: NewStoreUser,
): Promise<StoreUser> {
  checkUserName(wanted.name)
  checkKey(wanted.key)
  const { settings, random, clock } = parts
  const nowMs = clock.nowMs()
  const passwords = await withPassword(
    { passwords: [], options: {} },
    { password: wanted.key, selfService: true, nowMs },
    { rules: settings.security, random },
  )
  return parts.state.transaction((tx) =>
    putStoreUser(tx, { ...wanted, passwords }, { random, nowMs }),
  )
}

/** In a transaction, with a key that is hashed already. Throws 409 if the user's name is taken. */
export async function putStoreUser(
  tx: StateTransaction,
  wanted: Omit<NewStoreUser, 'key'> & { readonly passwords: readonly PasswordRow[] },
  context: { readonly random: Random; readonly nowMs: number },
): Promise<StoreUser> {
  const [projectName, name] = partsOf(wanted.name)
  if ((await users.one(tx, 'name', DEFAULT_DOMAIN_ID, name)) !== undefined) {
    const message = `a user ${name} is there already: names of users are unique, whatever their project`
    throw new ServiceError('UserExists', message, { status: 409 })
  }
  const account = wanted.account ?? RESELLER_PREFIX + projectName
  const project = await projectFor(tx, projectName, account)
  const user: UserRow = {
    id: randomId(context.random),
    domainId: DEFAULT_DOMAIN_ID,
    name,
    enabled: true,
    defaultProjectId: project.id,
    passwords: wanted.passwords,
    options: {},
    extra: {},
    createdAtMs: context.nowMs,
    lastActiveAtMs: null,
  }
  await users.put(tx, user)
  for (const role of wanted.roles) {
    await assignments.put(tx, {
      actorKind: 'user',
      actorId: user.id,
      targetKind: 'project',
      targetId: project.id,
      roleId: await roleFor(tx, role, context.random),
      inherited: false,
    })
  }
  return {
    name: `${project.name}:${name}`,
    account: RESELLER_PREFIX + project.id,
    roles: wanted.roles,
  }
}

/** Gives a user another key; tokens it has become void. Throws 404 if there is no such user. */
export async function setStoreUserKey(
  parts: StoreUserParts,
  wanted: { readonly name: string; readonly key: string },
): Promise<void> {
  checkKey(wanted.key)
  const { settings, random, clock } = parts
  const before = await requireStoreUser(parts.state, wanted.name)
  const passwords = await withPassword(
    before,
    { password: wanted.key, selfService: true, nowMs: clock.nowMs() },
    { rules: settings.security, random },
  )
  await change(parts, async ({ tx, revoke }) => {
    const user = await requireStoreUser(tx, wanted.name)
    await users.put(tx, { ...user, passwords })
    await revoke({ userId: user.id })
  })
}

/** Removes a user; its tokens become void, the project and its data stay. Throws 404 if there is no such user. */
export async function removeStoreUser(parts: StoreUserParts, name: string): Promise<void> {
  await change(parts, async (changing) => {
    const user = await requireStoreUser(changing.tx, name)
    await deleteUserRow(changing, user.id)
  })
}

async function requireStoreUser(reader: StateReader, fullName: string): Promise<UserRow> {
  const [projectName, name] = partsOf(fullName)
  const user = await users.one(reader, 'name', DEFAULT_DOMAIN_ID, name)
  const project = await projects.one(reader, 'name', DEFAULT_DOMAIN_ID, projectName)
  const roleCount = project === undefined ? 0 : await countRoles(reader, user, project)
  if (user !== undefined && roleCount > 0) return user
  throw new ServiceError('NoSuchUser', `there is no user ${fullName}`, { status: 404 })
}

async function countRoles(
  reader: StateReader,
  user: UserRow | undefined,
  project: ProjectRow,
): Promise<number> {
  if (user === undefined) return 0
  return (await rolesByProject(reader, user)).get(project.id)?.length ?? 0
}

async function rolesByProject(
  reader: StateReader,
  user: UserRow,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const byProject = new Map<string, string[]>()
  for (const row of await assignments.by(reader, 'actor', 'user', user.id)) {
    if (row.targetKind !== 'project' || row.inherited) continue
    const role = await roles.get(reader, row.roleId)
    if (role === undefined) continue
    byProject.set(row.targetId, [...(byProject.get(row.targetId) ?? []), role.name])
  }
  return byProject
}

/** By its account, if that is there; else by its name, if that is its account; else a new one. */
async function projectFor(
  tx: StateTransaction,
  name: string,
  account: string,
): Promise<ProjectRow> {
  const id = account.startsWith(RESELLER_PREFIX) ? account.slice(RESELLER_PREFIX.length) : account
  const byName = await projects.one(tx, 'name', DEFAULT_DOMAIN_ID, name)
  // Its id is the account's; a project of Keystone's own has a random one.
  if (byName !== undefined && (byName.id === id || account === RESELLER_PREFIX + name))
    return byName
  if (!ID_FORM.test(id)) {
    throw new ServiceError('BadAccount', `"${account}" cannot be the account of a project`, {
      status: 400,
    })
  }
  const byId = await projects.get(tx, id)
  if (byId !== undefined && byId.domainId === DEFAULT_DOMAIN_ID && !byId.isDomain) return byId
  if (byId !== undefined || byName !== undefined) {
    throw new ServiceError('ProjectExists', `project ${name} or account ${account} is taken`, {
      status: 409,
    })
  }
  const project = plainProject({ id, name })
  await projects.put(tx, project)
  return project
}

async function roleFor(tx: StateTransaction, name: string, random: Random): Promise<string> {
  const found = (await roles.list(tx)).find(
    (role) => role.domainId === null && role.name.toLowerCase() === name.toLowerCase(),
  )
  if (found !== undefined) return found.id
  const id = randomId(random)
  await roles.put(tx, { id, name, domainId: null, description: null, options: {}, extra: {} })
  return id
}

function partsOf(fullName: string): readonly [project: string, user: string] {
  const colon = fullName.indexOf(':')
  return [fullName.slice(0, Math.max(0, colon)), fullName.slice(colon + 1)]
}

function checkKey(key: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (key !== '' && key.length <= KEY_CHARS_MAX && !/[\u0000-\u001f\u007f]/.test(key)) return
  const message = `a key has 1 to ${KEY_CHARS_MAX} characters, no control characters`
  throw new ServiceError('BadKey', message, { status: 400 })
}
