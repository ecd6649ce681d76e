import type { StateTransaction } from '../../common/state/state-store.ts'
import {
  type IamPolicyRow,
  iamEntities,
  iamKeys,
  iamPolicies,
  iamPolicyVersions,
  iamProviders,
} from '../tables/iam.ts'

/** Users, groups, roles, policies, keys and providers of AWS's IAM go with the project that is their account. */
export async function deleteIamAccount(tx: StateTransaction, projectId: string): Promise<void> {
  for (const { id } of await iamKeys.by(tx, 'project', projectId)) await iamKeys.delete(tx, id)
  for (const row of await iamEntities.list(tx, { prefix: [projectId] })) {
    await iamEntities.delete(tx, ...iamEntities.keyOf(row))
  }
  for (const row of await iamPolicies.list(tx, { prefix: [projectId] })) {
    await deletePolicyRows(tx, row)
  }
  for (const row of await iamProviders.list(tx, { prefix: [projectId] })) {
    await iamProviders.delete(tx, ...iamProviders.keyOf(row))
  }
}

/** The policy with all its versions. */
export async function deletePolicyRows(
  tx: StateTransaction,
  { id, projectId, nameKey }: IamPolicyRow,
): Promise<void> {
  for (const row of await iamPolicyVersions.list(tx, { prefix: [id] })) {
    await iamPolicyVersions.delete(tx, ...iamPolicyVersions.keyOf(row))
  }
  await iamPolicies.delete(tx, projectId, nameKey)
}
