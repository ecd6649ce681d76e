import { ServiceError } from '../common/errors.ts'
import type { ItemKey } from '../common/item.ts'
import type { BodyWriter, ItemWrite, WriteOutcome } from '../common/storage-node.ts'
import { blobMeta } from './blob-meta.ts'
import type { Device } from './device.ts'
import type { BlobWriter } from './engine/blob-store.ts'

/** Takes a long body in pieces, into a blob of a device of this node, and commits records over it. */
export class LocalBodyWriter implements BodyWriter {
  readonly #device: Device
  readonly #item: ItemKey
  readonly #blob: BlobWriter
  readonly canRecommit = true
  /** The body is durable. */
  #isFinished = false
  /** A record refers to it, or may: it is no longer ours to throw away. */
  #isSettled = false
  /** Ends with the commit that is under way: until then nobody knows whose the body is. */
  #committing: Promise<unknown> = Promise.resolve()

  constructor(device: Device, item: ItemKey, blob: BlobWriter) {
    this.#device = device
    this.#item = item
    this.#blob = blob
  }

  write(piece: Uint8Array): Promise<void> {
    this.#device.space.assertRoom(piece.length)
    return this.#blob.write(piece)
  }

  commit(write: ItemWrite): Promise<WriteOutcome> {
    const outcome = this.#commit(write)
    this.#committing = outcome.catch(() => {})
    return outcome
  }

  async #commit(write: ItemWrite): Promise<WriteOutcome> {
    const { blobId, bytes } = this.#blob
    if (!this.#isFinished) await this.#blob.finish(blobMeta(write))
    this.#isFinished = true
    try {
      const shard = this.#device.shardOf(this.#item.hash)
      const outcome = await shard.write(write, { kind: 'blob', blobId, bytes })
      this.#isSettled = outcome.status !== 'superseded'
      const isStored = outcome.status === 'done' && outcome.info.bytes === bytes
      if (this.#isSettled && !isStored) await this.#device.blobs.remove(blobId)
      return outcome
    } catch (error) {
      // Whether the record reached the disk is unknown: the scrubber sees to a blob that nobody owns.
      this.#isSettled = true
      if (error instanceof ServiceError && /^(Busy|Learning)$/.test(error.code)) {
        await this.#device.blobs.remove(blobId)
      }
      throw error
    }
  }

  async abort(): Promise<void> {
    await this.#committing
    await this.#blob.abort()
    if (!this.#isFinished || this.#isSettled) return
    this.#isSettled = true
    await this.#device.blobs.remove(this.#blob.blobId)
  }
}
