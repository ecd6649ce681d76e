import t from 'tap'
import { ABSENT, type Operation, type OperationKind, stateOf, versionOf } from './history.ts'
import { checkLinearizability } from './linearizability.ts'
import { checkListings } from './listing.ts'

type Given = Partial<Operation> & { readonly at: readonly [number, number] }

/** Operations by their times; `at` is begin and end, and an end of 0 means that nobody knows. */
function history(...given: readonly (readonly [OperationKind, Given])[]): Operation[] {
  return given.map(([kind, { at, ...rest }], index) => {
    const isOpen = at[1] === 0
    return {
      id: index + 1,
      kind,
      key: kind === 'list' ? 'c' : 'c/x',
      begin: at[0],
      end: isOpen ? Number.POSITIVE_INFINITY : at[1],
      outcome: isOpen ? 'maybe' : 'ok',
      ...rest,
    }
  })
}

const maybe = (begin: number): Given => ({ at: [begin, 0] })

interface Case {
  readonly name: string
  readonly history: Operation[]
  readonly good: boolean
}

const REGISTER_CASES: readonly Case[] = [
  { name: 'nothing happened', history: [], good: true },
  {
    name: 'a read after a write',
    history: history(['put', { at: [1, 2] }], ['get', { at: [3, 4], seen: 'v1' }]),
    good: true,
  },
  {
    name: 'a lost write',
    history: history(['put', { at: [1, 2] }], ['get', { at: [3, 4], seen: ABSENT }]),
    good: false,
  },
  {
    name: 'a read during a write sees either',
    history: history(
      ['put', { at: [1, 9] }],
      ['get', { at: [2, 3], seen: ABSENT }],
      ['get', { at: [4, 5], seen: 'v1' }],
    ),
    good: true,
  },
  {
    name: 'a read goes back',
    history: history(
      ['put', { at: [1, 9] }],
      ['get', { at: [2, 3], seen: 'v1' }],
      ['get', { at: [4, 5], seen: ABSENT }],
    ),
    good: false,
  },
  {
    name: 'a stale read',
    history: history(
      ['put', { at: [1, 2] }],
      ['put', { at: [3, 4] }],
      ['get', { at: [5, 6], seen: 'v1' }],
    ),
    good: false,
  },
  {
    name: 'v, w, v of two writes',
    history: history(
      ['put', { at: [1, 20] }],
      ['put', { at: [2, 21] }],
      ['get', { at: [3, 4], seen: 'v1' }],
      ['get', { at: [5, 6], seen: 'v2' }],
      ['get', { at: [7, 8], seen: 'v1' }],
    ),
    good: false,
  },
  {
    name: 'an unanswered write comes late',
    history: history(
      ['put', { at: [1, 2] }],
      ['put', maybe(3)],
      ['get', { at: [4, 5], seen: 'v1' }],
      ['get', { at: [6, 7], seen: 'v2' }],
    ),
    good: true,
  },
  {
    name: 'an unanswered write never comes',
    history: history(
      ['put', { at: [1, 2] }],
      ['put', maybe(3)],
      ['get', { at: [4, 5], seen: 'v1' }],
    ),
    good: true,
  },
  {
    name: 'an unanswered write comes and goes',
    history: history(
      ['put', { at: [1, 2] }],
      ['put', maybe(3)],
      ['get', { at: [4, 5], seen: 'v2' }],
      ['get', { at: [6, 7], seen: 'v1' }],
    ),
    good: false,
  },
  {
    name: 'an unanswered write comes twice around another',
    history: history(
      ['put', maybe(1)],
      ['get', { at: [2, 3], seen: 'v1' }],
      ['put', { at: [4, 5] }],
      ['get', { at: [6, 7], seen: 'v1' }],
    ),
    good: false,
  },
  {
    name: 'a read before the write began',
    history: history(['get', { at: [1, 2], seen: 'v2' }], ['put', { at: [3, 4] }]),
    good: false,
  },
  {
    name: 'two creates, two winners',
    history: history(['create', { at: [1, 5] }], ['create', { at: [2, 6] }]),
    good: false,
  },
  {
    name: 'two creates, one winner',
    history: history(['create', { at: [1, 5] }], ['create', { at: [2, 6], outcome: 'refused' }]),
    good: true,
  },
  {
    name: 'two winners with a delete between',
    history: history(
      ['create', { at: [1, 5] }],
      ['create', { at: [2, 9] }],
      ['delete', { at: [6, 7] }],
    ),
    good: true,
  },
  {
    name: 'a create refused where nothing is',
    history: history(['create', { at: [1, 2], outcome: 'refused' }]),
    good: false,
  },
  {
    name: 'a create refused because of a write that nobody knows about',
    history: history(['put', maybe(1)], ['create', { at: [2, 3], outcome: 'refused' }]),
    good: true,
  },
  {
    name: 'compare and set: a lost update',
    history: history(
      ['put', { at: [1, 2] }],
      ['replace', { at: [3, 6], expected: 1 }],
      ['replace', { at: [4, 7], expected: 1 }],
    ),
    good: false,
  },
  {
    name: 'compare and set in a chain',
    history: history(
      ['put', { at: [1, 2] }],
      ['replace', { at: [3, 6], expected: 1 }],
      ['replace', { at: [4, 7], expected: 2 }],
      ['remove', { at: [8, 9], expected: 3 }],
      ['get', { at: [10, 11], seen: ABSENT }],
    ),
    good: true,
  },
  {
    name: 'compare and set refused although it holds',
    history: history(
      ['put', { at: [1, 2] }],
      ['replace', { at: [3, 4], expected: 1, outcome: 'refused' }],
    ),
    good: false,
  },
  {
    name: 'an unanswered compare and set explains what is read',
    history: history(
      ['put', { at: [1, 2] }],
      ['replace', { at: [3, 0], expected: 1 }],
      ['replace', { at: [4, 5], expected: 1, outcome: 'refused' }],
      ['get', { at: [6, 7], seen: 'v2' }],
    ),
    good: true,
  },
  {
    name: 'the proposal that a conditional write consumed happens again',
    history: history(
      ['put', { at: [1, 0] }],
      ['replace', { at: [2, 3], expected: 1 }],
      ['get', { at: [4, 5], seen: 'v2' }],
      ['get', { at: [6, 7], seen: 'v1' }],
    ),
    good: false,
  },
  {
    name: 'a post keeps the data',
    history: history(
      ['put', { at: [1, 2] }],
      ['post', { at: [3, 4] }],
      ['get', { at: [5, 6], seen: 'v1+m2' }],
    ),
    good: true,
  },
  {
    name: 'a lost post',
    history: history(
      ['put', { at: [1, 2] }],
      ['post', { at: [3, 4] }],
      ['get', { at: [5, 6], seen: 'v1' }],
    ),
    good: false,
  },
  {
    name: 'a post brings the old data back',
    history: history(
      ['put', { at: [1, 2] }],
      ['post', maybe(3)],
      ['put', { at: [4, 5] }],
      ['get', { at: [6, 7], seen: 'v1+m2' }],
    ),
    good: false,
  },
  {
    name: 'a post of what is not there',
    history: history(['post', { at: [1, 2] }]),
    good: false,
  },
  {
    name: 'a read without an answer says nothing',
    history: history(
      ['put', { at: [1, 2] }],
      ['get', { at: [3, 4], outcome: 'failed' }],
      ['get', { at: [5, 6], seen: 'v1' }],
    ),
    good: true,
  },
]

t.test('linearizability of hand-made histories', async (t) => {
  for (const { name, history, good } of REGISTER_CASES) {
    const { isLinearizable } = checkLinearizability(history)
    t.equal(isLinearizable, good, name)
  }
})

t.test('the culprit is the answer that made the history wrong', async (t) => {
  const operations = history(
    ['put', { at: [1, 2] }],
    ['get', { at: [3, 4], seen: 'v1' }],
    ['get', { at: [5, 6], seen: ABSENT }],
    ['get', { at: [7, 8], seen: 'v1' }],
  )
  t.equal(checkLinearizability(operations).culprit?.id, 3)
})

t.test('many unanswered writes do not make the search long', async (t) => {
  const operations: Operation[] = []
  for (let index = 0; index < 40; index++) {
    operations.push(...history(['put', maybe(index * 3 + 1)]).map((o) => ({ ...o, id: index + 1 })))
  }
  const reads = [7, 3, 3, 30, 12].map((version, index): Operation => {
    const begin = 200 + index * 2
    const read = { key: 'c/x', begin, end: begin + 1, outcome: 'ok' as const, seen: `v${version}` }
    return { id: 100 + index, kind: 'get', ...read }
  })
  const good = checkLinearizability([...operations, ...reads])
  t.equal(good.isLinearizable, true)
  t.ok(good.steps < 1_000, `${good.steps} steps`)
  const again = { ...reads[0]!, id: 200, begin: 300, end: 301 }
  const bad = checkLinearizability([...operations, ...reads, again])
  t.equal(bad.isLinearizable, false)
  t.ok(bad.steps < 50_000, `${bad.steps} steps`)
})

t.test('random histories of a real register are linearizable', async (t) => {
  let state = 12345
  const below = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % limit
  }
  for (let run = 0; run < 200; run++) {
    const operations: Operation[] = []
    let value = ABSENT
    for (let id = 1; id <= 20; id++) {
      // Each takes effect at 10 * id; begins and ends reach over its neighbours.
      const begin = id * 10 - below(30) - 1 / (id + 1)
      const end = id * 10 + below(30) + 1 / (id + 1)
      const base = { id, key: 'c/x', begin, end, outcome: 'ok' as const }
      const kind = (['put', 'delete', 'get', 'create'] as const)[below(4)]!
      if (kind === 'get') operations.push({ ...base, kind, seen: value })
      else if (kind === 'create' && value !== ABSENT) {
        operations.push({ ...base, kind, outcome: 'refused' })
      } else {
        value = kind === 'delete' ? ABSENT : `v${id}`
        const isKnown = below(4) > 0
        const answer = isKnown ? {} : { outcome: 'maybe' as const, end: Number.POSITIVE_INFINITY }
        operations.push({ ...base, kind, ...answer })
      }
    }
    const verdict = checkLinearizability(operations)
    if (verdict.isLinearizable !== true) {
      t.fail(`run ${run}: ${JSON.stringify(verdict)}`)
      return
    }
  }
  t.pass('200 runs')
})

interface ListingCase {
  readonly name: string
  readonly history: Operation[]
  readonly wrong: 'lost' | 'stale' | 'ghost' | null
}

const rows = (version: number | string | null): ReadonlyMap<string, number | string> =>
  new Map(version === null ? [] : [['x', version]])

const LISTING_CASES: readonly ListingCase[] = [
  {
    name: 'shown after the acknowledgement',
    history: history(['put', { at: [1, 2] }], ['list', { at: [3, 4], rows: rows(1) }]),
    wrong: null,
  },
  {
    name: 'not shown after the acknowledgement',
    history: history(['put', { at: [1, 2] }], ['list', { at: [3, 4], rows: rows(null) }]),
    wrong: 'lost',
  },
  {
    name: 'shown or not during the write',
    history: history(
      ['put', { at: [1, 9] }],
      ['list', { at: [2, 3], rows: rows(1) }],
      ['list', { at: [4, 5], rows: rows(null) }],
    ),
    wrong: null,
  },
  {
    name: 'an old version',
    history: history(
      ['put', { at: [1, 2] }],
      ['put', { at: [3, 4] }],
      ['list', { at: [5, 6], rows: rows(1) }],
    ),
    wrong: 'stale',
  },
  {
    name: 'shown after the delete',
    history: history(
      ['put', { at: [1, 2] }],
      ['delete', { at: [3, 4] }],
      ['list', { at: [5, 6], rows: rows(1) }],
    ),
    wrong: 'ghost',
  },
  {
    name: 'gone by a delete that nobody knows about',
    history: history(
      ['put', { at: [1, 2] }],
      ['delete', maybe(3)],
      ['list', { at: [5, 6], rows: rows(null) }],
    ),
    wrong: null,
  },
  {
    name: 'a row that nobody wrote',
    history: history(['list', { at: [1, 2], rows: rows('etag 0') }]),
    wrong: 'ghost',
  },
  {
    name: 'a row of a write that was refused',
    history: history(
      ['put', { at: [1, 2] }],
      ['create', { at: [3, 4], outcome: 'refused' }],
      ['list', { at: [5, 6], rows: rows(2) }],
    ),
    wrong: 'ghost',
  },
  {
    name: 'a row before its write began',
    history: history(['list', { at: [1, 2], rows: rows(2) }], ['put', { at: [3, 4] }]),
    wrong: 'ghost',
  },
]

t.test('listings of hand-made histories', async (t) => {
  const container = { container: 'c', keyOf: (name: string) => `c/${name}`, names: ['x', 'y'] }
  for (const { name, history, wrong } of LISTING_CASES) {
    const kinds = checkListings(history, container).map(({ kind }) => kind)
    t.strictSame(kinds, wrong === null ? [] : [wrong], name)
  }
})

t.test('states name their versions', async (t) => {
  t.equal(stateOf(3, 3), 'v3')
  t.equal(stateOf(3, 8), 'v3+m8')
  t.equal(versionOf('v3+m8'), 3)
  t.equal(versionOf(ABSENT), undefined)
})
