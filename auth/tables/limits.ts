import { Table } from '../../common/state/table.ts'

/** What a limit is of: a resource of a service, in a region or everywhere. */
export interface LimitedResource {
  readonly serviceId: string
  readonly regionId: string | null
  readonly resourceName: string
}

/** What every project may have unless a limit says otherwise; -1 is any amount. */
export interface RegisteredLimitRow extends LimitedResource {
  readonly id: string
  readonly defaultLimit: number
  readonly description: string | null
}

/** What one project, or one domain, may have. */
export interface LimitRow extends LimitedResource {
  readonly id: string
  readonly projectId: string | null
  readonly domainId: string | null
  readonly resourceLimit: number
  readonly description: string | null
}

/** The parts of a key that names the resource. */
export function resourceKey({ serviceId, regionId, resourceName }: LimitedResource) {
  return [serviceId, regionId ?? '', resourceName] as const
}

export const registeredLimits = new Table<RegisteredLimitRow, 'resource' | 'region'>({
  name: 'registered-limits',
  keyOf: ({ id }) => [id],
  indexes: {
    resource: { of: (row) => [resourceKey(row)], unique: true },
    region: { of: ({ regionId }) => (regionId === null ? [] : [[regionId]]) },
  },
})

export const limits = new Table<LimitRow, 'resource' | 'project' | 'domain'>({
  name: 'limits',
  keyOf: ({ id }) => [id],
  indexes: {
    resource: {
      of: (row) => [[...resourceKey(row), row.projectId ?? '', row.domainId ?? '']],
      unique: true,
    },
    project: { of: ({ projectId }) => (projectId === null ? [] : [[projectId]]) },
    domain: { of: ({ domainId }) => (domainId === null ? [] : [[domainId]]) },
  },
})
