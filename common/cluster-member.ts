/**
 * What a storage node does for the movement of partitions, beside keeping records: it knows the rings, and brings over
 * what leaves it. Asked by the keeper of the rings, and by whoever needs newer rings. All values are plain data.
 */
import type { ItemKind } from './item.ts'

export interface ClusterMember {
  /** The newest ring set that the node knows (common/ring/ring-set-file.ts); null if `known` is as new. */
  rings(known: number): Promise<Uint8Array | null>
  /**
   * Takes a ring set in. Resolves with the newest epoch that the node knows: durably, and nothing that older rings let
   * in is under way any more.
   */
  learnRings(set: Uint8Array): Promise<number>
  /**
   * Has what a device holds of moving partitions brought to the devices that they move to. The list takes the place of
   * the one before; ask again until everything has arrived.
   */
  arrivals(device: string, moves: readonly PartitionMove[]): Promise<ArrivalReport>
}

export interface PartitionMove {
  readonly kind: ItemKind
  readonly policy: number
  readonly partition: number
  /** The epoch at which the move began. */
  readonly since: number
  /** Labels of devices that are given up: they need not be reached. */
  readonly without?: readonly string[]
}

export interface ArrivalReport {
  /**
   * By the moves' order: whether everything that the device held when it was first asked is at the partition's new
   * devices, or something newer.
   */
  readonly arrived: readonly boolean[]
  /** Sent by the node for any reason since its start. */
  readonly bytesSent: number
  readonly recordsSent: number
}

/** Moves that one request may name. */
export const MOVES_MAX = 4096
