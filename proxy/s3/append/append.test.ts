import t from 'tap'
import { MERGED_BYTES_MAX, tailToMerge } from './tail-to-merge.ts'

/** What sizes a series of appends leaves, and how many bytes were written for it. */
function grow(
  count: number,
  bytes: number,
): { readonly sizes: number[]; readonly written: number } {
  let sizes: number[] = []
  let written = 0
  for (let i = 0; i < count; i++) {
    const merged = tailToMerge(sizes, bytes)
    const old = sizes.slice(sizes.length - merged).reduce((sum, size) => sum + size, 0)
    sizes = [...sizes.slice(0, sizes.length - merged), old + bytes]
    written += old + bytes
  }
  return { sizes, written }
}

t.test('many small appends leave few parts, and write few bytes again', async (t) => {
  const [count, bytes] = [50_000, 1_000]
  const { sizes, written } = grow(count, bytes)
  t.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    count * bytes,
  )
  t.ok(sizes.length < 20, `${sizes.length} parts`)
  // Up to the size of one record every append writes all of it; beyond, a byte for each doubling.
  t.ok(written / (count * bytes) < 50, `${(written / count / bytes).toFixed(1)} times`)
})

t.test('what is written anew has a limit', async (t) => {
  t.equal(tailToMerge([], 5), 0)
  t.equal(tailToMerge([0], 5), 1)
  t.equal(tailToMerge([100, 50], 50), 2, 'all of it fits into one record')
  t.equal(tailToMerge([10_000_000, 200_000], 100_000), 0)
  t.equal(tailToMerge([10_000_000, 200_000], 300_000), 1)
  t.equal(tailToMerge([MERGED_BYTES_MAX], 2 ** 32), 1)
  t.equal(tailToMerge([MERGED_BYTES_MAX + 1], 2 ** 32), 0)
  t.equal(tailToMerge([MERGED_BYTES_MAX, MERGED_BYTES_MAX], 2 ** 32), 1)
})
