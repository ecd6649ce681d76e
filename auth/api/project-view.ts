import type { PolicyFacts } from '../../common/policy/policy.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { notFound } from '../errors.ts'
import type { ProjectRow } from '../tables/rows.ts'
import { projects } from '../tables/tables.ts'

/** A project, or a domain as a project, as the API shows it. */
export function showProjectRow(row: ProjectRow) {
  const { id, name, description, enabled, tags, options, extra, isDomain, domainId, parentId } = row
  return {
    ...extra,
    id,
    name,
    domain_id: domainId,
    description,
    enabled,
    parent_id: parentId,
    is_domain: isDomain,
    tags,
    options,
  }
}

/** The project (or domain); 404 if there is none. */
export async function requireProject(reader: StateReader, id: string): Promise<ProjectRow> {
  const row = await projects.get(reader, id)
  if (row === undefined || row.removing) throw notFound('project', id)
  return row
}

/** The project as rules see it; nothing but its id if there is none, so that only who may see all learns that. */
export async function projectTarget(reader: StateReader, id: string): Promise<PolicyFacts> {
  const row = await projects.get(reader, id)
  return { target: { project: row === undefined ? { id } : showProjectRow(row) } }
}
