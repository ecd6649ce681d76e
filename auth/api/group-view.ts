import type { PolicyFacts } from '../../common/policy/policy.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { notFound } from '../errors.ts'
import type { GroupRow } from '../tables/rows.ts'
import { groups } from '../tables/tables.ts'

/** A group as the API shows it. */
export function showGroupRow(row: GroupRow) {
  const { id, name, domainId, description, extra } = row
  return { ...extra, id, name, domain_id: domainId, description }
}

/** The group; 404 if there is none. */
export async function requireGroup(reader: StateReader, id: string): Promise<GroupRow> {
  const row = await groups.get(reader, id)
  if (row === undefined) throw notFound('group', id)
  return row
}

/** The group as rules see it; nothing but the id if there is none. */
export async function groupTarget(reader: StateReader, id: string): Promise<PolicyFacts> {
  const row = await groups.get(reader, id)
  return { target: { group: row === undefined ? { id } : showGroupRow(row) } }
}
