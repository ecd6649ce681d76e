/** What a blob's footer says of its owner, so that a blob whose record was lost can be told. */
import type { ItemWrite } from '../common/storage-node.ts'
import type { RegisterId } from './engine/memtable.ts'
import { registerIdOf } from './engine/register.ts'

/** The footer's JSON: register, name, stamp and metadata as they were when the blob was written. */
export function blobMeta(write: ItemWrite): string {
  const { item, stamp, writeId, meta } = write
  const { kind, policy, placement, hash } = registerIdOf(item)
  const register = [kind, policy, placement, Buffer.from(hash, 'latin1').toString('hex')]
  return JSON.stringify({ n: item.name, r: register, s: stamp, w: writeId, m: meta })
}

/** The register that the blob was written for. */
export function ownerOf(meta: string): { readonly id: RegisterId } {
  const { r } = JSON.parse(meta) as { readonly r: readonly [number, number, number, string] }
  const [kind, policy, placement, hash] = r
  const id = { kind, policy, placement, hash: Buffer.from(hash, 'hex').toString('latin1') }
  return { id }
}
