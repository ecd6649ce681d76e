import t from 'tap'
import { chooseSegment, type SegmentState } from './compaction.ts'

const MIB = 1024 * 1024

function segment(segmentId: number, liveMib: number, mib = 100): SegmentState {
  return { segmentId, bytes: mib * MIB, liveBytes: liveMib * MIB }
}

interface Case {
  readonly what: string
  readonly segments: readonly SegmentState[]
  readonly isSpaceShort?: boolean
  /** Id of the one chosen, or null. */
  readonly chosen: number | null
}

const CASES: readonly Case[] = [
  { what: 'none of none', segments: [], chosen: null },
  { what: 'none that is all alive', segments: [segment(1, 100)], chosen: null },
  { what: 'none with little garbage', segments: [segment(1, 61)], chosen: null },
  { what: 'one from 40 % garbage on', segments: [segment(1, 60)], chosen: 1 },
  {
    what: 'one with 5 % garbage if space is short',
    segments: [segment(1, 95)],
    isSpaceShort: true,
    chosen: 1,
  },
  {
    what: 'none with less than that even then',
    segments: [segment(1, 96)],
    isSpaceShort: true,
    chosen: null,
  },
  { what: 'of one age the emptier', segments: [segment(1, 50), segment(2, 0)], chosen: 2 },
  {
    what: 'of the same garbage the older, whose rest is likely to stay',
    segments: [segment(7, 50), segment(3, 50), segment(5, 50)],
    chosen: 3,
  },
  {
    what: 'an older one before a slightly emptier',
    segments: [segment(1, 50), segment(2, 45)],
    chosen: 1,
  },
  {
    what: 'age counts the segments younger than it, also those not worth it',
    segments: [segment(1, 55), segment(2, 100), segment(3, 100), segment(4, 10)],
    chosen: 1,
  },
  {
    what: 'an old one that is all alive is left alone',
    segments: [segment(1, 100), segment(2, 55)],
    chosen: 2,
  },
  { what: 'one with nothing but a header', segments: [segment(4, 0, 0)], chosen: 4 },
  {
    what: 'not one whose count of live bytes is beyond its length',
    segments: [segment(1, 150)],
    isSpaceShort: true,
    chosen: null,
  },
]

t.test('the segment that gains most for what it costs is compacted', async (t) => {
  for (const { what, segments, isSpaceShort = false, chosen } of CASES) {
    for (const order of [segments, [...segments].reverse()]) {
      t.equal(chooseSegment(order, { isSpaceShort })?.segmentId ?? null, chosen, what)
    }
  }
})
