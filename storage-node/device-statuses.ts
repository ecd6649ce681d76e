/** What several threads know of the devices that they share, as one: pure. */
import type {
  CompactionStatus,
  DeviceStatus,
  ReplicationStatus,
  ScrubStatus,
} from '../common/storage-node.ts'

/** The gravest first. */
const STATES: readonly DeviceStatus['state'][] = ['offline', 'read-only', 'full', 'online']

/** One status for each device, in the order of the first thread. */
export function mergeStatuses(
  byThread: readonly (readonly DeviceStatus[])[],
): readonly DeviceStatus[] {
  const merged = new Map<string, DeviceStatus>()
  for (const status of byThread.flat()) {
    const before = merged.get(status.device)
    merged.set(status.device, before === undefined ? status : mergeTwo(before, status))
  }
  return [...merged.values()]
}

function mergeTwo(a: DeviceStatus, b: DeviceStatus): DeviceStatus {
  const worse = STATES.indexOf(a.state) <= STATES.indexOf(b.state) ? a : b
  const replication = mergeIf(a.replication, b.replication, mergeReplication)
  const scrub = mergeIf(a.scrub, b.scrub, mergeScrub)
  const compaction = mergeIf(a.compaction, b.compaction, mergeCompaction)
  return {
    device: a.device,
    state: worse.state,
    reason: worse.reason === '' && worse.state === 'online' ? b.reason || a.reason : worse.reason,
    bytesTotal: Math.max(a.bytesTotal, b.bytesTotal),
    bytesFree: worse.state === 'offline' ? worse.bytesFree : Math.min(a.bytesFree, b.bytesFree),
    segments: a.segments + b.segments,
    damage: [...new Set([...a.damage, ...b.damage])],
    ...(a.learning === true || b.learning === true ? { learning: true as const } : {}),
    ...(replication === undefined ? {} : { replication }),
    ...(scrub === undefined ? {} : { scrub }),
    ...(compaction === undefined ? {} : { compaction }),
  }
}

function mergeIf<T>(a: T | undefined, b: T | undefined, merge: (a: T, b: T) => T): T | undefined {
  return a === undefined || b === undefined ? (a ?? b) : merge(a, b)
}

function mergeReplication(a: ReplicationStatus, b: ReplicationStatus): ReplicationStatus {
  return {
    compared: a.compared + b.compared,
    differing: a.differing + b.differing,
    unreachable: a.unreachable + b.unreachable,
    handoffs: a.handoffs + b.handoffs,
    damaged: a.damaged + b.damaged,
    // All of them: as far as the one that is behind.
    passedAtMs: Math.min(a.passedAtMs, b.passedAtMs),
    passMs: Math.max(a.passMs, b.passMs),
    inStepAtMs: Math.min(a.inStepAtMs, b.inStepAtMs),
  }
}

function mergeScrub(a: ScrubStatus, b: ScrubStatus): ScrubStatus {
  return {
    endedAtMs: Math.min(a.endedAtMs, b.endedAtMs),
    passMs: Math.max(a.passMs, b.passMs),
    bytes: a.bytes + b.bytes,
    damaged: a.damaged + b.damaged,
    isRunning: a.isRunning || b.isRunning,
  }
}

function mergeCompaction(a: CompactionStatus, b: CompactionStatus): CompactionStatus {
  return {
    segments: a.segments + b.segments,
    movedBytes: a.movedBytes + b.movedBytes,
    freedBytes: a.freedBytes + b.freedBytes,
    failures: a.failures + b.failures,
  }
}
