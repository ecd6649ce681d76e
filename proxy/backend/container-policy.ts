import type { ItemInfo } from '../../common/storage-node.ts'

/** Where a container's register keeps its storage policy: its key has policy 0, like every container's. */
export const POLICY_HEADER = 'x-container-sysmeta-storage-policy-index'

/** The storage policy that a container's objects have. */
export function policyOf(info: ItemInfo): number {
  const index = Number(info.meta.headers[POLICY_HEADER] ?? 0)
  return Number.isInteger(index) && index >= 0 ? index : 0
}

/** The container as the HTTP side sees it: `policy` is that of its objects. */
export function containerInfo(info: ItemInfo): ItemInfo {
  return { ...info, policy: policyOf(info) }
}
