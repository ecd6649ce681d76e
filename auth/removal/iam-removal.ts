import type { StateTransaction } from '../../common/state/state-store.ts'
import { iamEntities, iamKeys, iamProviders } from '../tables/iam.ts'

/** Users, groups, roles, keys and providers of AWS's IAM go with the project that is their account. */
export async function deleteIamAccount(tx: StateTransaction, projectId: string): Promise<void> {
  for (const { id } of await iamKeys.by(tx, 'project', projectId)) await iamKeys.delete(tx, id)
  for (const row of await iamEntities.list(tx, { prefix: [projectId] })) {
    await iamEntities.delete(tx, ...iamEntities.keyOf(row))
  }
  for (const row of await iamProviders.list(tx, { prefix: [projectId] })) {
    await iamProviders.delete(tx, ...iamProviders.keyOf(row))
  }
}
