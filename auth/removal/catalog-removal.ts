import type { StateTransaction } from '../../common/state/state-store.ts'
import type { Change } from '../identity-parts.ts'
import { projectEndpointGroups, projectEndpoints } from '../tables/endpoint-filters.ts'
import { limits, registeredLimits } from '../tables/limits.ts'
import { policyAssociations } from '../tables/policies.ts'
import { endpoints, services } from '../tables/tables.ts'

/** Deletes an endpoint with what refers to it. */
export async function deleteEndpointRow(tx: StateTransaction, id: string): Promise<void> {
  for (const { projectId } of await projectEndpoints.by(tx, 'endpoint', id)) {
    await projectEndpoints.delete(tx, projectId, id)
  }
  await policyAssociations.delete(tx, id, '', '')
  await endpoints.delete(tx, id)
}

/** Deletes a service with its endpoints, limits and policies' places. */
export async function deleteServiceRow(tx: StateTransaction, id: string): Promise<void> {
  for (const endpoint of await endpoints.by(tx, 'service', id)) {
    await deleteEndpointRow(tx, endpoint.id)
  }
  for (const row of await limits.by(tx, 'resource', id)) await limits.delete(tx, row.id)
  for (const row of await registeredLimits.by(tx, 'resource', id)) {
    await registeredLimits.delete(tx, row.id)
  }
  for (const row of await policyAssociations.list(tx, { prefix: ['', id] })) {
    await policyAssociations.delete(tx, ...policyAssociations.keyOf(row))
  }
  await services.delete(tx, id)
}

/** What a project may have, and which endpoints it sees, goes with it. */
export async function deletePlaceOfProject({ tx }: Change, projectId: string): Promise<void> {
  for (const row of await limits.by(tx, 'project', projectId)) await limits.delete(tx, row.id)
  for (const { endpointId } of await projectEndpoints.list(tx, { prefix: [projectId] })) {
    await projectEndpoints.delete(tx, projectId, endpointId)
  }
  for (const { groupId } of await projectEndpointGroups.list(tx, { prefix: [projectId] })) {
    await projectEndpointGroups.delete(tx, projectId, groupId)
  }
}

/** Limits of the domain itself go with it. */
export async function deleteLimitsOfDomain({ tx }: Change, domainId: string): Promise<void> {
  for (const row of await limits.by(tx, 'domain', domainId)) await limits.delete(tx, row.id)
}
