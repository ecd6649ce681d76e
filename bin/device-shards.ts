/** Log shards of the disks of one machine: the same number on each, so that shard n of all belongs to one thread. */
import { nodeDisk } from '../common/node-disk.ts'
import { readFormat } from '../storage-node/device-format.ts'

/** A device gets at most so many when it is formatted: room for more threads later. */
const SHARDS_MAX = 16

export interface DeviceShards {
  /** For disks that are formatted now. */
  readonly shards: number
  /** Whether all disks have that many, or will. */
  readonly areEqual: boolean
}

/** New disks get as many shards as the disks that are there, whatever the number of threads is now. */
export async function deviceShards(
  directories: readonly string[],
  threadCount: number,
): Promise<DeviceShards> {
  const formats = await Promise.all(directories.map((path) => readFormat(nodeDisk, path)))
  const counts = formats.flatMap((format) => (format === null ? [] : [format.shards]))
  const shards = counts[0] ?? shardsFor(threadCount)
  return { shards, areEqual: counts.every((count) => count === shards) }
}

/** A power of two, at least the number of threads. */
function shardsFor(threadCount: number): number {
  return Math.min(SHARDS_MAX, 2 ** Math.ceil(Math.log2(Math.max(2, threadCount))))
}
