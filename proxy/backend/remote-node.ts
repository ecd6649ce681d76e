import { type Clock, systemClock } from '../../common/clock.ts'
import type { ArrivalReport, ClusterMember, PartitionMove } from '../../common/cluster-member.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import { type Random, systemRandom } from '../../common/random.ts'
import type { Stamp } from '../../common/stamp.ts'
import type {
  BodyWriter,
  Confirmation,
  DeviceStatus,
  DigestQuery,
  ExpiredItem,
  HeldItem,
  ItemInfo,
  ItemRead,
  ItemWrite,
  ListPage,
  ListQuery,
  ListRow,
  ListTotals,
  PartitionDigest,
  PrepareOutcome,
  RowDigest,
  RowOutcome,
  RowRange,
  StorageNode,
  TotalsQuery,
  Unconfirmed,
  WriteOutcome,
} from '../../common/storage-node.ts'
import type { Operation, Requests, Responses } from '../../common/wire/operations.ts'
import { openRemoteBody, RemoteBodyReader } from './remote-body.ts'
import { RemoteCalls } from './remote-call.ts'

export interface RemoteNodeOptions {
  readonly ip: string
  readonly port: number
  readonly clusterKey: string
  readonly clock?: Clock
  readonly random?: Random
  readonly connectionsMax?: number
  /** Bodies whose answer has not begun; one more is refused with `Busy`. */
  readonly bodiesMax?: number
  readonly connectMs?: number
  /** Longest silence of the node before and in the middle of an answer. */
  readonly answerMs?: number
  /** A node that is waited for and silent for so long is asked for a sign of life. */
  readonly pingMs?: number
}

/** A storage node in another process. Beyond the node's own failures: `Unreachable`, `NoAnswer`, `Busy`, all 503. */
export function createRemoteNode(options: RemoteNodeOptions): StorageNode & ClusterMember {
  return new RemoteNode(new RemoteCalls({ clock: systemClock, random: systemRandom, ...options }))
}

/** Confirmations gathered for one call. */
const CONFIRMATIONS_MAX = 256
/** Confirmations that wait while calls are under way; more are dropped, which costs a probe later. */
const CONFIRMATIONS_WAITING_MAX = 8_192
const CONFIRM_AFTER_MS = 10

class RemoteNode implements StorageNode, ClusterMember {
  readonly #calls: RemoteCalls
  readonly #received = new Map<string, string>()
  #confirmations: { readonly device: string; readonly confirmation: Confirmation }[] = []
  #isConfirming = false
  #closing: Promise<void> | null = null

  constructor(calls: RemoteCalls) {
    this.#calls = calls
  }

  async write(device: string, write: ItemWrite, body: Uint8Array | null): Promise<WriteOutcome> {
    const answer = await this.#calls.call('write', { device, write }, body)
    const outcome = answer.head as WriteOutcome
    // The attempt whose answer was lost may have been accepted, and outdone before the second.
    if (answer.isRepeated && outcome.status !== 'done') {
      const message = `the first attempt had no answer, the second was ${outcome.status}`
      throw new ServiceError('NoAnswer', message, { status: 503 })
    }
    return outcome
  }

  prepare(device: string, item: ItemKey, ballot: Stamp): Promise<PrepareOutcome> {
    return this.#ask('prepare', { device, item, ballot })
  }

  openBody(device: string, item: ItemKey): Promise<BodyWriter> {
    return openRemoteBody(this.#calls, device, item)
  }

  async read(
    device: string,
    item: ItemKey,
    options: { readonly head?: boolean } = {},
  ): Promise<ItemRead | null> {
    const request = { device, item, head: options.head ?? false }
    const message = await this.#calls.call('read', request)
    const read = message.head as Responses['read']
    if (read === null) return null
    const { info, body } = read
    if (body === 'none') return { info, body: null }
    if (body === 'inline') return { info, body: message.data ?? EMPTY }
    return { info, body: new RemoteBodyReader(this.#calls, body) }
  }

  putRow(device: string, list: ItemKey, row: ListRow, settings?: Stamp): Promise<RowOutcome> {
    return this.#ask('put-row', { device, list, row, ...(settings && { settings }) })
  }

  confirm(device: string, confirmation: Confirmation): void {
    if (this.#confirmations.length >= CONFIRMATIONS_WAITING_MAX || this.#closing !== null) return
    this.#confirmations.push({ device, confirmation })
    if (this.#isConfirming) return
    this.#isConfirming = true
    this.#calls.clock.after(CONFIRM_AFTER_MS, () => void this.#sendConfirmations())
  }

  list(device: string, list: ItemKey, query: ListQuery): Promise<ListPage | null> {
    return this.#ask('list', { device, list, query })
  }

  totals(device: string, list: ItemKey, query: TotalsQuery): Promise<ListTotals | null> {
    return this.#ask('totals', { device, list, query })
  }

  expired(
    device: string,
    options: { readonly beforeSeconds: number; readonly limit: number },
  ): Promise<readonly ExpiredItem[]> {
    return this.#ask('expired', { device, ...options })
  }

  unconfirmed(
    device: string,
    options: { readonly ageMs: number; readonly limit: number },
  ): Promise<readonly Unconfirmed[]> {
    return this.#ask('unconfirmed', { device, ...options })
  }

  async takeChangedContainers(
    device: string,
    options: { readonly limit: number },
  ): Promise<readonly ItemInfo[]> {
    const received = this.#received.get(device) ?? ''
    const answer = await this.#ask('changed-containers', { device, ...options, received })
    this.#received.set(device, answer.batch)
    return answer.containers
  }

  digests(device: string, query: DigestQuery): Promise<readonly PartitionDigest[]> {
    return this.#ask('digests', { device, query })
  }

  held(device: string, query: Requests['held']['query']): Promise<readonly (HeldItem | null)[]> {
    return this.#ask('held', { device, query })
  }

  rowDigests(
    device: string,
    list: ItemKey,
    ranges: readonly RowRange[],
  ): Promise<readonly RowDigest[]> {
    return this.#ask('row-digests', { device, list, ranges })
  }

  heldRows(
    device: string,
    list: ItemKey,
    names: readonly string[],
  ): Promise<readonly (Stamp | null)[]> {
    return this.#ask('held-rows', { device, list, names })
  }

  async putRows(device: string, list: ItemKey, rows: readonly ListRow[]): Promise<void> {
    await this.#ask('put-rows', { device, list, rows })
  }

  async rings(known: number): Promise<Uint8Array | null> {
    return (await this.#calls.call('rings', { known })).data
  }

  async learnRings(set: Uint8Array): Promise<number> {
    return (await this.#ask('learn-rings', {}, set)).epoch
  }

  arrivals(device: string, moves: readonly PartitionMove[]): Promise<ArrivalReport> {
    return this.#ask('arrivals', { device, moves })
  }

  status(): Promise<readonly DeviceStatus[]> {
    return this.#ask('status', {})
  }

  close(): Promise<void> {
    this.#closing ??= this.#calls.close()
    return this.#closing
  }

  async #ask<O extends Operation>(
    operation: O,
    head: Requests[O],
    data: Uint8Array | null = null,
  ): Promise<Responses[O]> {
    return (await this.#calls.call(operation, head, data)).head as Responses[O]
  }

  /** Until none are left: what comes meanwhile goes with the next call. */
  async #sendConfirmations(): Promise<void> {
    while (this.#confirmations.length > 0 && this.#closing === null) {
      const confirmations = this.#confirmations.slice(0, CONFIRMATIONS_MAX)
      this.#confirmations = this.#confirmations.slice(CONFIRMATIONS_MAX)
      // Lost ones cost a probe later.
      await this.#calls.call('confirm', { confirmations }).catch(() => {})
    }
    this.#isConfirming = false
  }
}

const EMPTY = new Uint8Array(0)
