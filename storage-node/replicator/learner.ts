/**
 * What a device that has lost part of its memory does to get it back: its replicas send what it lacks, as always, and it
 * looks whether any of them still holds something else.
 */

import { ITEM_KINDS } from '../../common/item.ts'
import { deviceLabel, type Placement, placedDevices } from '../../common/ring/placement.ts'
import type { PartitionDigest } from '../../common/storage-node.ts'
import { LEAVES } from '../engine/partition-digests.ts'
import type { Learning, ReplicaGroup } from '../learning.ts'
import type { OwnDevice, SyncContext } from './partition-sync.ts'
import type { DeviceAddress } from './record-transfer.ts'
import { differingLeaves, placementsOf } from './replication-plan.ts'
import { dropStale } from './stale.ts'

export interface LearnerContext {
  readonly placements: readonly Placement[]
  readonly addressOf: (device: ReturnType<typeof placedDevices>[number]) => DeviceAddress
  readonly signal: AbortSignal
  readonly sync: SyncContext
}

const PARTITIONS_MAX = 256

/** One look at all replicas; true if the device still has to learn. */
export async function learn(own: OwnDevice, context: LearnerContext): Promise<boolean> {
  const shards = [...own.device.shards.values()].filter(({ learning }) => learning !== null)
  if (shards.length === 0) return false
  // Without rings nobody knows whom to ask, and that nobody was asked says nothing.
  if (context.placements.length === 0) return true
  const learnings = shards.map(({ learning }) => learning!)
  let isWhole = true
  let areAllHeard = true
  for (const placement of context.placements) {
    const seen = await learnPlacement(own, placement, learnings, context)
    if (!seen.isWhole) isWhole = false
    if (!seen.areAllHeard) areAllHeard = false
  }
  if (!isWhole || context.signal.aborted) return true
  for (const shard of shards) await shard.endLearning({ areAllHeard })
  return shards.some(({ learning }) => learning !== null)
}

/** Whether nothing is left to be learned of the ring, and whether every replica answered this time. */
async function learnPlacement(
  own: OwnDevice,
  placement: Placement,
  learnings: readonly Learning[],
  context: LearnerContext,
): Promise<{ readonly isWhole: boolean; readonly areAllHeard: boolean }> {
  const { kind, policy, ring } = placement
  const of = { kind: ITEM_KINDS.indexOf(kind), policy, partPower: ring.partPower }
  const self = own.address.label
  const isLearned = (partition: number) => {
    const groups = groupsOf(placement, partition, self)
    return learnings.every((learning) => learning.isLearned(of, partition, groups))
  }
  const partitions = Array.from({ length: ring.partitionCount }, (_, partition) => partition)
  const here = partitions.filter((partition) =>
    placedDevices(placement, partition).some((device) => deviceLabel(device) === self),
  )
  // To say that a cluster is new takes an answer from everybody about everything.
  const isNew = learnings.every((learning) => learning.isNew)
  const left = isNew ? here : here.filter((partition) => !isLearned(partition))
  let areAllHeard = true
  for (let at = 0; at < left.length; at += PARTITIONS_MAX) {
    const some = left.slice(at, at + PARTITIONS_MAX)
    if (!(await hearPeers(own, placement, some, learnings, context))) areAllHeard = false
  }
  const differing = left.filter((partition) => !isLearned(partition))
  if (learnings.some(({ isQuiet }) => isQuiet)) {
    for (const partition of differing) await dropStaleOf(own, placement, partition, context)
  }
  return { isWhole: differing.length === 0, areAllHeard }
}

async function dropStaleOf(
  own: OwnDevice,
  placement: Placement,
  partition: number,
  { addressOf, sync }: LearnerContext,
): Promise<void> {
  const { kind, policy, ring } = placement
  const range = {
    kind: ITEM_KINDS.indexOf(kind),
    policy,
    ...placementsOf(ring.partPower, partition),
  }
  const peers = placedDevices(placement, partition)
    .map(addressOf)
    .filter(({ label }) => label !== own.address.label)
  const groups = groupsOf(placement, partition, own.address.label)
  if (peers.length > 0) await dropStale(own, peers, range, { ...sync, groups })
}

/** Asks every replica of the partitions what it holds; true if all have answered. */
async function hearPeers(
  own: OwnDevice,
  placement: Placement,
  partitions: readonly number[],
  learnings: readonly Learning[],
  { addressOf, signal }: LearnerContext,
): Promise<boolean> {
  const { kind, policy, ring } = placement
  const of = { kind: ITEM_KINDS.indexOf(kind), policy, partPower: ring.partPower }
  const byPeer = new Map<string, { readonly peer: DeviceAddress; readonly shared: number[] }>()
  for (const partition of partitions) {
    for (const device of placedDevices(placement, partition)) {
      const peer = addressOf(device)
      if (peer.label === own.address.label) continue
      const known = byPeer.get(peer.label)
      if (known === undefined) byPeer.set(peer.label, { peer, shared: [partition] })
      else known.shared.push(partition)
    }
  }
  let areAllHeard = true
  for (const { peer, shared } of byPeer.values()) {
    if (signal.aborted) return false
    const query = { kind, policy, partPower: ring.partPower, partitions: shared }
    let theirs: readonly PartitionDigest[]
    try {
      theirs = await peer.node.digests(peer.device, query)
    } catch {
      // One that is away was not heard; others may be enough.
      areAllHeard = false
      continue
    }
    if (theirs.length > 0) for (const learning of learnings) learning.isNew = false
    const mine = await own.address.node.digests(own.address.device, query)
    const [myDigests, theirDigests] = [byPartition(mine), byPartition(theirs)]
    for (const partition of shared) {
      const differing = differenceOf(myDigests.get(partition), theirDigests.get(partition))
      for (let leaf = 0; leaf < LEAVES; leaf++) {
        if (differing.includes(leaf)) continue
        for (const learning of learnings) learning.hear(of, partition, leaf, peer.label)
      }
    }
  }
  return areAllHeard
}

/** The other replicas of a partition in each of the rings that place it here, and how many of them must be heard. */
function groupsOf(placement: Placement, partition: number, self: string): readonly ReplicaGroup[] {
  const rings =
    placement.previous === null ? [placement.ring] : [placement.ring, placement.previous]
  return rings.flatMap((ring) => {
    const labels = ring.primaries(partition).map(deviceLabel)
    if (!labels.includes(self)) return []
    const majority = Math.floor(labels.length / 2) + 1
    return [
      { others: labels.filter((label) => label !== self), needed: labels.length - majority + 1 },
    ]
  })
}

function byPartition(digests: readonly PartitionDigest[]): ReadonlyMap<number, PartitionDigest> {
  return new Map(digests.map((digest) => [digest.partition, digest]))
}

function differenceOf(
  mine: PartitionDigest | undefined,
  theirs: PartitionDigest | undefined,
): readonly number[] {
  if (theirs === undefined) return mine === undefined ? [] : differingLeaves(mine, undefined)
  return differingLeaves(theirs, mine)
}
