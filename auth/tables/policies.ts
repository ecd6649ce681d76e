import { Table } from '../../common/state/table.ts'
import type { Extra } from './rows.ts'

/** Rules of some service, kept here for whoever wants to read them. */
export interface PolicyRow {
  readonly id: string
  readonly type: string
  readonly blob: string
  readonly extra: Extra
}

/** The policy of an endpoint, of a service, or of a service in a region; what is not meant is empty. */
export interface PolicyAssociationRow {
  readonly endpointId: string
  readonly serviceId: string
  readonly regionId: string
  readonly policyId: string
}

export const policies = new Table<PolicyRow>({
  name: 'policies',
  keyOf: ({ id }) => [id],
  indexes: {},
})

export const policyAssociations = new Table<PolicyAssociationRow, 'policy'>({
  name: 'policy-associations',
  keyOf: ({ endpointId, serviceId, regionId }) => [endpointId, serviceId, regionId],
  indexes: { policy: { of: ({ policyId }) => [[policyId]] } },
})
