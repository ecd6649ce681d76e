/**
 * Moves an object to the storage policy that its container has, as Swift's container-reconciler does. Here only a sloppy
 * policy leaves acknowledged objects in the wrong one (docs/decisions/misplaced-objects.md): its writers do not wait for the row
 * that would have told them that the container was made again.
 */
import type { Condition } from '../../common/condition.ts'
import { compareStamps } from '../../common/stamp.ts'
import type { ItemInfo, ItemRead } from '../../common/storage-node.ts'
import type { BackendOutcome, ObjectPath } from './backend.ts'
import type { BackendCounters } from './counters.ts'
import type { NameKeys } from './name-keys.ts'
import type { RegisterReads } from './register-reads.ts'
import { releaseBody } from './repair.ts'

export interface MisplacedObjectsOptions {
  readonly keys: NameKeys
  readonly reads: RegisterReads
  readonly counters: BackendCounters
  /** The container as it is now; null if there is none. */
  readonly currentSettings: (path: ObjectPath) => Promise<ItemInfo | null>
  /** Writes the object with the body and metadata that were read. */
  readonly copy: (path: ObjectPath, read: ItemRead, condition: Condition) => Promise<BackendOutcome>
}

export class MisplacedObjects {
  readonly #options: MisplacedObjectsOptions

  constructor(options: MisplacedObjectsOptions) {
    this.#options = options
  }

  /**
   * Copies the record to the container's policy, unless something newer is there, or it is older than the container and
   * so belongs to an earlier one. True if the record may be removed from where it is. The copy's X-Timestamp is its own.
   */
  async move(path: ObjectPath, info: ItemInfo): Promise<boolean> {
    const { keys, reads, currentSettings, copy, counters } = this.#options
    const container = await currentSettings(path)
    if (container === null || container.policy === path.policy) return false
    if (info.deleted || compareStamps(info.metaStamp, container.stamp) < 0) return true
    const target = { ...path, policy: container.policy, settings: container.metaStamp }
    const there = await reads.info(keys.object(target))
    if (there !== null && compareStamps(there.metaStamp, info.metaStamp) > 0) return true
    const read = await reads.read(keys.object(path), { newest: true })
    try {
      if (read === null || read.info.writeId !== info.writeId) return false
      const condition =
        there === null || there.deleted ? { ifNoneMatch: ['*'] } : { ifWriteId: there.writeId }
      const { status } = await copy(target, read, condition)
      if (status === 'done') counters.moved++
      // What does not hold any more was outdone by a write to the right policy.
      return status === 'done' || status === 'precondition-failed'
    } finally {
      await releaseBody(read?.body ?? null)
    }
  }
}
