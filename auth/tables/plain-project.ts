import { DEFAULT_DOMAIN_ID } from '../settings.ts'
import type { ProjectRow } from './rows.ts'

/** A project right below the default domain with nothing but an id and a name. */
export function plainProject({ id, name }: Pick<ProjectRow, 'id' | 'name'>): ProjectRow {
  return {
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
  }
}
