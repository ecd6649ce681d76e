import { Slab } from '../../common/slab.ts'

/** Longer bodies get memory of their own. */
const SHARED_BYTES_MAX = 16 * 1024

const slab = new Slab()

/** Memory for a body that is soon stored, with whatever is in it. */
export function bodyMemory(bytes: number): Buffer {
  return bytes > SHARED_BYTES_MAX ? Buffer.allocUnsafeSlow(bytes) : slab.take(bytes)
}
