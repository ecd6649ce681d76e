/** Sends one record to another device. */
import { acceptOf, streamBody } from '../../common/accept.ts'
import { ITEM_KINDS, type ItemKey } from '../../common/item.ts'
import { ANY_EPOCH } from '../../common/ring/ring-set.ts'
import type { BodyReader, StorageNode } from '../../common/storage-node.ts'
import type { RegisterId } from '../engine/memtable.ts'

/** A device, wherever it is. */
export interface DeviceAddress {
  readonly node: StorageNode
  readonly device: string
  /** `ip:port/device`, for logs. */
  readonly label: string
}

export function itemKeyOf(id: RegisterId, name: string): ItemKey {
  const { policy, placement, hash } = id
  return { kind: ITEM_KINDS[id.kind]!, name, hash, placement, policy, epoch: ANY_EPOCH }
}

/** What became of a record: `refused` means that the receiver has promised not to take anything so old. */
export type SendOutcome = 'sent' | 'has-newer' | 'refused' | 'gone'

/** Copies the current record of a register from one device to another. */
export async function sendRecord(
  from: DeviceAddress,
  to: DeviceAddress,
  item: ItemKey,
  options: { readonly beforeBytes: (bytes: number) => Promise<void>; readonly rewrite?: true },
): Promise<{ readonly outcome: SendOutcome; readonly bytes: number }> {
  const read = await from.node.read(from.device, item, { copy: true })
  if (read === null) return { outcome: 'gone', bytes: 0 }
  const { info, body } = read
  const target = { ...item, name: info.name }
  try {
    const accept = acceptOf(target, info)
    const copy = { ...accept, copy: true as const }
    const write = options.rewrite === true ? { ...copy, rewrite: true as const } : copy
    await options.beforeBytes(RECORD_BYTES + (body instanceof Uint8Array ? body.length : 0))
    const outcome =
      body === null || body instanceof Uint8Array
        ? await to.node.write(to.device, write, body)
        : await streamBody(to, write, throttled(body, options.beforeBytes))
    if (outcome.status === 'done') return { outcome: 'sent', bytes: info.bytes + RECORD_BYTES }
    return { outcome: outcome.status === 'superseded' ? 'has-newer' : 'refused', bytes: 0 }
  } finally {
    if (body !== null && !(body instanceof Uint8Array)) await body.close()
  }
}

/** About what a record takes beside its body. */
const RECORD_BYTES = 500

/** The pieces at the pace that is allowed. */
async function* throttled(
  body: BodyReader,
  beforeBytes: (bytes: number) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const piece of body.stream(0, body.bytes)) {
    await beforeBytes(piece.length)
    yield piece
  }
}
