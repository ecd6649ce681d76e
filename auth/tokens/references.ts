import type { StateReader } from '../../common/state/state-store.ts'
import { expecting, unauthorized } from '../errors.ts'
import type { ProjectRow, UserRow } from '../tables/rows.ts'
import { projects, users } from '../tables/tables.ts'
import type { Reference } from './auth-request.ts'

/** The domain that is meant. Throws 401 if there is none, as signing in tells nobody what there is. */
export async function findDomain(
  reader: StateReader,
  reference: Reference | undefined,
): Promise<ProjectRow> {
  if (reference === undefined) throw expecting('domain', 'user or project')
  const { id, name } = reference
  const domain =
    id !== undefined
      ? await projects.get(reader, id)
      : await projects.one(reader, 'name', '', name ?? '')
  if (domain === undefined || !domain.isDomain) throw unauthorized('no such domain')
  return domain
}

/** The user that is meant; undefined if there is none. Throws 400 for a name without a domain. */
export async function findUser(
  reader: StateReader,
  { id, name, domain }: Reference,
): Promise<UserRow | undefined> {
  if (id !== undefined) return users.get(reader, id)
  const { id: domainId } = await findDomain(reader, domain)
  return users.one(reader, 'name', domainId, name ?? '')
}

/** The project that is meant; undefined if there is none. Throws 400 for a name without a domain. */
export async function findProject(
  reader: StateReader,
  { id, name, domain }: Reference,
): Promise<ProjectRow | undefined> {
  if (id !== undefined) return projects.get(reader, id)
  const { id: domainId } = await findDomain(reader, domain)
  return projects.one(reader, 'name', domainId, name ?? '')
}
