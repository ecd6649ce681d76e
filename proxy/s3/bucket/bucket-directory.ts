/**
 * Whose bucket a name is, for everybody: buckets share one namespace, containers do not. One object a bucket in an account
 * that no client can reach; it is made under the condition that there is none, so that of two who want a name one gets
 * it. Who finds a claim whose bucket is not there (its maker died, or the container was deleted by the Swift API) takes it
 * over (docs/decisions/s3-buckets.md).
 */
import type { Clock } from '../../../common/clock.ts'
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import type { Backend, ObjectPath } from '../../backend/backend.ts'
import { inOwnContainer } from '../../upkeep/own-container.ts'

const ACCOUNT = '.s3'
const CONTAINER = 'buckets'
const OWNER = 'x-object-sysmeta-s3-owner'
/** A claim without a bucket may be of somebody who is about to make it. */
const CLAIM_SECONDS_MIN = 60

export type ClaimOutcome = 'own' | 'taken' | 'in-progress'

export interface BucketDirectoryOptions {
  readonly backend: Backend
  readonly clock: Pick<Clock, 'nowMs'>
  /** The index of the storage policy that the directory is kept in. */
  readonly policy: number
}

export class BucketDirectory {
  readonly #backend: Backend
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #policy: number

  constructor(options: BucketDirectoryOptions) {
    this.#backend = options.backend
    this.#clock = options.clock
    this.#policy = options.policy
  }

  /** The account that the name belongs to; null if it is nobody's. */
  async ownerOf(bucket: string): Promise<string | null> {
    return ownerIn(await this.#read(bucket))
  }

  /** Makes the name the account's, unless somebody else has a bucket of that name. */
  async claim(bucket: string, account: string): Promise<ClaimOutcome> {
    const current = await this.#read(bucket)
    const owner = ownerIn(current)
    if (owner === account) return 'own'
    if (owner !== null && (await this.#backend.readContainer(owner, bucket)) !== null)
      return 'taken'
    if (current !== null && this.#ageSeconds(current) < CLAIM_SECONDS_MIN) return 'in-progress'
    const written = await this.#write(bucket, account, current?.writeId ?? null)
    return written ? 'own' : 'in-progress'
  }

  /** Gives the name back, if it is the account's. */
  async release(bucket: string, account: string): Promise<void> {
    const current = await this.#read(bucket)
    if (current === null || ownerIn(current) !== account) return
    await this.#backend.deleteObject(this.#place(bucket), {
      condition: { ifWriteId: current.writeId },
    })
  }

  async #read(bucket: string): Promise<ItemInfo | null> {
    const read = await this.#backend.readObject(this.#place(bucket), { head: true })
    return read?.info ?? null
  }

  /** Whether the claim is ours now. */
  async #write(bucket: string, account: string, ifWriteId: string | null): Promise<boolean> {
    const put = {
      meta: {
        etag: EMPTY_MD5,
        contentType: 'application/x-directory',
        headers: { [OWNER]: account },
      },
      body: new Uint8Array(0),
      condition: { ifWriteId },
    }
    const place = this.#place(bucket)
    const write = () => this.#backend.putObject(place, put)
    return (await inOwnContainer(this.#backend, place, write)).status === 'done'
  }

  #ageSeconds({ metaStamp }: ItemInfo): number {
    return this.#clock.nowMs() / 1000 - metaStamp.ticks / TICKS_PER_SECOND
  }

  #place(bucket: string): ObjectPath {
    return { account: ACCOUNT, container: CONTAINER, object: bucket, policy: this.#policy }
  }
}

const EMPTY_MD5 = 'd41d8cd98f00b204e9800998ecf8427e'

function ownerIn(info: ItemInfo | null): string | null {
  return info?.meta.headers[OWNER] ?? null
}
