import type { PolicyFacts } from '../../common/policy/policy.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { notFound } from '../errors.ts'
import type { UserRow } from '../tables/rows.ts'
import { users } from '../tables/tables.ts'
import { formatTime } from './times.ts'

/** A user as the API shows it: without a word of the password. */
export function showUserRow(row: UserRow) {
  const { id, name, domainId, enabled, defaultProjectId, passwords, options, extra } = row
  const expiresAtMs = passwords[0]?.expiresAtMs ?? null
  return {
    ...extra,
    id,
    name,
    domain_id: domainId,
    enabled,
    ...(defaultProjectId !== null && { default_project_id: defaultProjectId }),
    password_expires_at: expiresAtMs === null ? null : formatTime(expiresAtMs),
    options,
  }
}

/** The user; 404 if there is none. */
export async function requireUser(reader: StateReader, id: string): Promise<UserRow> {
  const row = await users.get(reader, id)
  if (row === undefined) throw notFound('user', id)
  return row
}

/** The user as rules see it; nothing but the id if there is none. */
export async function userTarget(reader: StateReader, id: string): Promise<PolicyFacts> {
  const row = await users.get(reader, id)
  return { user_id: id, target: { user: row === undefined ? { id } : showUserRow(row) } }
}
