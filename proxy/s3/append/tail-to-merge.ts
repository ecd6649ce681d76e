import { INLINE_BYTES_MAX } from '../../../common/storage-node.ts'

/** A part that is put together anew has no more than that of old bytes: written again for one more byte. */
export const MERGED_BYTES_MAX = 16 * 1024 * 1024

/**
 * How many of the last parts are written anew together with what is appended. A part is taken along that is no longer than what
 * comes behind it, so that a byte is written again only when its part doubles, and an object of n bytes that came in small pieces has some
 * log2(n) small parts; or if all of it fits into one record, which costs nothing more.
 */
export function tailToMerge(sizes: readonly number[], appended: number): number {
  let merged = appended
  let [count, old] = [0, 0]
  for (const size of sizes.toReversed()) {
    const isWorth = size <= merged || merged + size <= INLINE_BYTES_MAX
    if (!isWorth || old + size > MERGED_BYTES_MAX) break
    merged += size
    old += size
    count++
  }
  return count
}
