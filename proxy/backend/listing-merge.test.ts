import t from 'tap'
import type { ListEntry, ListRow } from '../../common/storage-node.ts'
import { compareNames, mergePages } from './listing-merge.ts'

const row = (name: string, ticks = 1, confirmed = true): ListRow => {
  const stamp = { ticks, proposer: 1 }
  return {
    name,
    stamp,
    metaStamp: stamp,
    ballot: stamp,
    deleted: false,
    bytes: 0,
    count: 1,
    etag: '',
    contentType: '',
    policy: 0,
    confirmed,
  }
}

/** `a b?` : names of certain and doubtful entries; `/` at the end: a subdir. */
const shown = (pages: readonly (readonly ListEntry[])[], limit = 10, reverse = false) => {
  const merged = mergePages(pages, { limit, reverse }, 2)
  const names = merged.entries.map(({ entry, doubtful }) => {
    const name = 'subdir' in entry ? entry.subdir : `${entry.name}${entry.ballot.ticks}`
    return doubtful ? `${name}?` : name
  })
  return `${names.join(' ')}|${merged.horizon ?? ''}`
}

t.test('rows that a majority agrees on are shown, rows that it lacks are not', async (t) => {
  t.equal(shown([[row('a')], [row('a')], [row('a')]]), 'a1|')
  t.equal(shown([[row('a')], [row('a')], []]), 'a1|')
  t.equal(shown([[row('a')], [], []]), '|', 'on one of three: not acknowledged, or deleted since')
  t.equal(shown([[row('a')], []]), 'a1?|', 'two answers cannot tell')
  t.equal(shown([[row('a', 2)], [row('a', 1)], [row('a', 1)]]), 'a1|')
  t.equal(shown([[row('a', 2)], [row('a', 1)]]), 'a2?|')
  t.equal(shown([[row('a', 3)], [row('a', 2)], [row('a', 1)]]), 'a3?|')
})

t.test(
  'an unconfirmed row is in doubt however many hold it; one confirmation is enough',
  async (t) => {
    t.equal(shown([[row('a', 1, false)], [row('a', 1, false)]]), 'a1?|')
    t.equal(shown([[row('a', 1, false)], [row('a', 1, true)]]), 'a1|')
  },
)

t.test('subdirs are voted on like rows', async (t) => {
  const subdir = { subdir: 'p/' }
  t.equal(shown([[subdir], [subdir]]), 'p/|')
  t.equal(shown([[subdir], []]), 'p/?|')
  t.equal(shown([[subdir], [], []]), '|')
})

t.test('nothing is said beyond the name that all full pages reach', async (t) => {
  t.equal(
    shown(
      [
        [row('a'), row('b')],
        [row('a'), row('c')],
      ],
      2,
    ),
    'a1 b1?|b',
  )
  t.equal(
    shown(
      [
        [row('c'), row('b')],
        [row('c'), row('a')],
      ],
      2,
      true,
    ),
    'c1 b1?|b',
  )
  t.equal(shown([[row('a')], [row('a'), row('c')]], 2), 'a1 c1?|c', 'a short page reaches the end')
})

t.test('names are ordered as their UTF-8 bytes', async (t) => {
  const names = [
    '',
    'a',
    'a\0',
    'aa',
    'b',
    'é',
    '\ud7ff',
    '\ue000',
    '\uffee',
    '\u{10000}',
    '\u{1f600}',
  ]
  for (const a of names) {
    for (const b of names) {
      const expected = Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)))
      t.equal(Math.sign(compareNames(a, b)), expected, JSON.stringify([a, b]))
    }
  }
})
