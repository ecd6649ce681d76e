/** Longer bodies get memory of their own. */
const SHARED_BYTES_MAX = 16 * 1024
const SLAB_BYTES = 256 * 1024

let slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
let used = 0

/**
 * Memory for a body, with whatever is in it. Short ones are cut from a slab: one allocation for each costs more than to fill it.
 * A slab is never used twice, and lives as long as any body in it: only for bodies that are soon stored.
 */
export function bodyMemory(bytes: number): Buffer {
  if (bytes > SHARED_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes)
  if (used + bytes > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    used = 0
  }
  const memory = slab.subarray(used, used + bytes)
  used += bytes
  return memory
}
