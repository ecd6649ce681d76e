import { Table } from '../../common/state/table.ts'
import type {
  AssignmentRow,
  EndpointRow,
  GroupRow,
  ImpliedRoleRow,
  MembershipRow,
  ProjectRow,
  RegionRow,
  RoleRow,
  ServiceRow,
  UserRow,
} from './rows.ts'

/** Stands for the domain of what has none. */
const NO_DOMAIN = ''

/** Projects and domains. Names are unique in a domain, names of domains everywhere. */
export const projects = new Table<ProjectRow, 'name' | 'domain' | 'parent' | 'kind'>({
  name: 'projects',
  keyOf: ({ id }) => [id],
  indexes: {
    // The name of a domain that is being removed may be given to another one.
    name: {
      of: ({ domainId, name, removing }) => (removing ? [] : [[domainId ?? NO_DOMAIN, name]]),
      unique: true,
    },
    domain: { of: ({ domainId }) => (domainId === null ? [] : [[domainId]]) },
    parent: { of: ({ parentId }) => (parentId === null ? [] : [[parentId]]) },
    kind: { of: (row) => [[kindOf(row)]] },
  },
})

function kindOf({ isDomain, removing }: ProjectRow): 'domain' | 'project' | 'removed' {
  if (removing) return 'removed'
  return isDomain ? 'domain' : 'project'
}

export const users = new Table<UserRow, 'name' | 'domain' | 'defaultProject'>({
  name: 'users',
  keyOf: ({ id }) => [id],
  indexes: {
    name: { of: ({ domainId, name }) => [[domainId, name]], unique: true },
    domain: { of: ({ domainId }) => [[domainId]] },
    defaultProject: {
      of: ({ defaultProjectId }) => (defaultProjectId === null ? [] : [[defaultProjectId]]),
    },
  },
})

export const groups = new Table<GroupRow, 'name' | 'domain'>({
  name: 'groups',
  keyOf: ({ id }) => [id],
  indexes: {
    name: { of: ({ domainId, name }) => [[domainId, name]], unique: true },
    domain: { of: ({ domainId }) => [[domainId]] },
  },
})

export const memberships = new Table<MembershipRow, 'user'>({
  name: 'memberships',
  keyOf: ({ groupId, userId }) => [groupId, userId],
  indexes: { user: { of: ({ userId }) => [[userId]] } },
})

export const roles = new Table<RoleRow, 'name'>({
  name: 'roles',
  keyOf: ({ id }) => [id],
  indexes: { name: { of: ({ domainId, name }) => [[domainId ?? NO_DOMAIN, name]], unique: true } },
})

export const impliedRoles = new Table<ImpliedRoleRow, 'implied'>({
  name: 'implied-roles',
  keyOf: ({ priorId, impliedId }) => [priorId, impliedId],
  indexes: { implied: { of: ({ impliedId }) => [[impliedId]] } },
})

export const assignments = new Table<AssignmentRow, 'actor' | 'role'>({
  name: 'assignments',
  keyOf: (row) => [
    row.targetKind,
    row.targetId,
    row.actorKind,
    row.actorId,
    row.roleId,
    row.inherited ? 'inherited' : 'direct',
  ],
  indexes: {
    actor: { of: ({ actorKind, actorId }) => [[actorKind, actorId]] },
    role: { of: ({ roleId }) => [[roleId]] },
  },
})

export const regions = new Table<RegionRow, 'parent'>({
  name: 'regions',
  keyOf: ({ id }) => [id],
  indexes: { parent: { of: ({ parentId }) => (parentId === null ? [] : [[parentId]]) } },
})

export const services = new Table<ServiceRow>({
  name: 'services',
  keyOf: ({ id }) => [id],
  indexes: {},
})

export const endpoints = new Table<EndpointRow, 'service' | 'region'>({
  name: 'endpoints',
  keyOf: ({ id }) => [id],
  indexes: {
    service: { of: ({ serviceId }) => [[serviceId]] },
    region: { of: ({ regionId }) => (regionId === null ? [] : [[regionId]]) },
  },
})
