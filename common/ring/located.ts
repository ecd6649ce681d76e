import {
  accountName,
  containerName,
  type ItemHashing,
  type ItemKey,
  itemKey,
  objectName,
} from '../item.ts'
import { placedDevices } from './placement.ts'
import type { RingDevice } from './ring.ts'
import { placementOf, type RingSet } from './ring-set.ts'

/** What is looked for; later parts are absent, never empty. */
export interface ItemName {
  readonly account: string
  readonly container?: string
  readonly object?: string
  /** Of the object's container. */
  readonly policy?: number
}

/** Where it is kept, and by whom when those are away. */
export interface LocatedItem {
  readonly item: ItemKey
  readonly partition: number
  /** The primaries; while the partition moves, the old ones too. */
  readonly devices: readonly RingDevice[]
  /** In the order in which they stand in; lazily. */
  readonly handoffs: Iterable<RingDevice>
}

/** Finds an item's devices by the rings; a 503 `NoSuchPolicy` where there is no such ring. */
export function locateItem(set: RingSet, hashing: ItemHashing, name: ItemName): LocatedItem {
  const item = keyOf(hashing, name)
  const placement = placementOf(set, item.kind, item.policy)
  const partition = placement.ring.partitionOf(item.placement)
  return {
    item,
    partition,
    devices: placedDevices(placement, partition),
    handoffs: placement.ring.handoffs(partition),
  }
}

function keyOf(hashing: ItemHashing, name: ItemName): ItemKey {
  const { account, container, object, policy = 0 } = name
  if (container === undefined) return itemKey(hashing, 'account', accountName(account))
  if (object === undefined) {
    return itemKey(hashing, 'container', containerName(account, container))
  }
  return itemKey(hashing, 'object', objectName(account, container, object), policy)
}
