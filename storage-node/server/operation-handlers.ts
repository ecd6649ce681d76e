import type { ClusterMember } from '../../common/cluster-member.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Confirmation, StorageNode } from '../../common/storage-node.ts'
import {
  type Operation,
  parseRequest,
  type Requests,
  type Responses,
} from '../../common/wire/operations.ts'
import type { BodyReaders } from './body-readers.ts'
import type { ChangedBatches } from './changed-batches.ts'

export interface HandlerContext {
  readonly node: StorageNode
  /** Absent at a node that takes no part in the movement of partitions. */
  readonly member: ClusterMember | undefined
  readonly readers: BodyReaders
  readonly batches: ChangedBatches
}

/** Operations whose request and response are each one message; the others stream. */
export type UnaryOperation = Exclude<Operation, 'open-body' | 'read-body'>

export interface Answer<O extends UnaryOperation> {
  readonly head: Responses[O]
  readonly data?: Uint8Array | null
}

type Handlers = {
  readonly [O in UnaryOperation]: (
    context: HandlerContext,
    request: Requests[O],
    data: Uint8Array | null,
  ) => Promise<Answer<O>>
}

/** Answers one operation; rejects with a ServiceError for failures that are expected. */
export function handleUnary<O extends UnaryOperation>(
  context: HandlerContext,
  operation: O,
  head: unknown,
  data: Uint8Array | null,
): Promise<Answer<O>> {
  return HANDLERS[operation](context, parseRequest(operation, head), data)
}

const HANDLERS: Handlers = {
  async write({ node }, { device, write }, data) {
    return { head: await node.write(device, write, data) }
  },

  async prepare({ node }, { device, item, ballot }) {
    return { head: await node.prepare(device, item, ballot) }
  },

  async read({ node, readers }, { device, item, head }) {
    const read = await node.read(device, item, { head })
    if (read === null) return { head: null }
    const { info, body } = read
    if (body === null) return { head: { info, body: 'none' } }
    if (body instanceof Uint8Array) return { head: { info, body: 'inline' }, data: body }
    return { head: { info, body: { reader: await readers.keep(body), bytes: body.bytes } } }
  },

  async 'close-body'({ readers }, { reader }) {
    await readers.close(reader)
    return { head: null }
  },

  async 'put-row'({ node }, { device, list, row, settings }) {
    return { head: await node.putRow(device, list, row, settings) }
  },

  async confirm({ node }, { confirmations }) {
    for (const { device, confirmation } of confirmations) {
      node.confirm(device, confirmation as Confirmation)
    }
    return { head: null }
  },

  async list({ node }, { device, list, query }) {
    return { head: await node.list(device, list, query) }
  },

  async totals({ node }, { device, list, query }) {
    return { head: await node.totals(device, list, query) }
  },

  async expired({ node }, { device, beforeSeconds, limit }) {
    return { head: await node.expired(device, { beforeSeconds, limit }) }
  },

  async unconfirmed({ node }, { device, ageMs, limit }) {
    return { head: await node.unconfirmed(device, { ageMs, limit }) }
  },

  async 'changed-containers'({ batches }, request) {
    return { head: await batches.take(request) }
  },

  async digests({ node }, { device, query }) {
    return { head: await node.digests(device, query) }
  },

  async held({ node }, { device, query }) {
    return { head: await node.held(device, query) }
  },

  async 'row-digests'({ node }, { device, list, ranges }) {
    return { head: await node.rowDigests(device, list, ranges) }
  },

  async 'held-rows'({ node }, { device, list, names }) {
    return { head: await node.heldRows(device, list, names) }
  },

  async 'put-rows'({ node }, { device, list, rows }) {
    await node.putRows(device, list, rows)
    return { head: null }
  },

  async status({ node }) {
    return { head: await node.status() }
  },

  async rings({ member }, { known }) {
    return { head: null, data: await memberOf(member).rings(known) }
  },

  async 'learn-rings'({ member }, _, data) {
    if (data === null) throw new ServiceError('BadRequest', 'no rings came along', { status: 400 })
    return { head: { epoch: await memberOf(member).learnRings(data) } }
  },

  async arrivals({ member }, { device, moves }) {
    return { head: await memberOf(member).arrivals(device, moves) }
  },

  async ping() {
    return { head: null }
  },
}

function memberOf(member: ClusterMember | undefined): ClusterMember {
  if (member !== undefined) return member
  throw new ServiceError('NoSuchOperation', 'this node keeps no rings', { status: 404 })
}
