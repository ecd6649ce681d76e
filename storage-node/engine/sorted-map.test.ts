import assert from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { SortedMap } from './sorted-map.ts'

/** The same answers from a sorted array. */
class Reference {
  readonly keys: string[]

  constructor(keys: Iterable<string>) {
    this.keys = [...new Set(keys)].sort()
  }

  ceiling(key: string, exclusive: boolean): string | undefined {
    return this.keys.find((other) => (exclusive ? other > key : other >= key))
  }

  floor(key: string, exclusive: boolean): string | undefined {
    return this.keys.findLast((other) => (exclusive ? other < key : other <= key))
  }
}

function assertSame(map: SortedMap<number>, probes: Iterable<string>): void {
  const reference = new Reference(Array.from(map.entries(), ([key]) => key))
  assert.strictEqual(map.last(), reference.keys.at(-1))
  for (const probe of probes) {
    for (const exclusive of [false, true]) {
      assert.strictEqual(map.ceiling(probe, exclusive), reference.ceiling(probe, exclusive))
      assert.strictEqual(map.floor(probe, exclusive), reference.floor(probe, exclusive))
    }
  }
}

const key = fc
  .array(fc.constantFrom('\x00', '/', 'a', 'b', '\xc3', '\xff'), { maxLength: 4 })
  .map((characters) => characters.join(''))

t.test('an empty map has nothing before or behind anything', async (t) => {
  const map = new SortedMap<number>()
  t.equal(map.size, 0)
  t.equal(map.last(), undefined)
  for (const probe of ['', 'a', '\xff']) {
    t.equal(map.ceiling(probe, false), undefined)
    t.equal(map.floor(probe, false), undefined)
  }
})

t.test('few keys in any order behave as a sorted array', async (t) => {
  await fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(key, fc.nat()), { maxLength: 40, selector: ([text]) => text }),
      fc.array(key),
      (pairs, probes) => {
        const map = new SortedMap<number>()
        for (const [text, value] of pairs) map.add(text, value)
        const wanted = new Map(pairs)
        assert.deepStrictEqual(new Map(map.entries()), wanted)
        assert.strictEqual(map.size, wanted.size)
        for (const [text, value] of wanted) assert.strictEqual(map.get(text), value)
        assertSame(map, [...probes, ...wanted.keys(), ''])
      },
    ),
    { numRuns: 500 },
  )
  t.pass('500 maps')
})

t.test('many keys, in chunks that were split, behave as a sorted array', async (t) => {
  const numbers = fc.uniqueArray(fc.nat(9999), { minLength: 600, maxLength: 3000 })
  const order = fc.constantFrom('random', 'ascending', 'descending')
  await fc.assert(
    fc.property(numbers, order, (values, how) => {
      const keys = values.map((value) => String(value).padStart(4, '0'))
      if (how !== 'random') keys.sort()
      if (how === 'descending') keys.reverse()
      const map = new SortedMap<number>()
      for (const [i, text] of keys.entries()) map.add(text, i)
      const probes = Array.from({ length: 100 }, (_, i) => String(i * 100).padStart(4, '0'))
      assertSame(map, ['', ...probes, '9', '99999'])
      const reference = new Reference(keys)
      const walked: string[] = []
      for (let at = map.ceiling('', false); at !== undefined; at = map.ceiling(at, true)) {
        walked.push(at)
      }
      assert.deepStrictEqual(walked, reference.keys, 'forwards')
      const back: string[] = []
      for (let at = map.last(); at !== undefined; at = map.floor(at, true)) back.push(at)
      assert.deepStrictEqual(back.reverse(), reference.keys, 'backwards')
    }),
    { numRuns: 20 },
  )
  t.pass('20 maps')
})
