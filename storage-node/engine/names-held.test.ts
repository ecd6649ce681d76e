/** New names are told from old ones without asking the store: never wrongly where the store has a name. */
import t from 'tap'
import type { KeyValue } from '../../common/key-value.ts'
import { type SeededRandom, seededRandom } from '../../test/support/seeded-random.ts'
import { SimKeyValueStore } from '../../test/support/sim-kv.ts'
import { byteText, entryKey, listKey, SPACES } from './keys.ts'
import { Memtable } from './memtable.ts'
import { NameFilter } from './name-filter.ts'
import { NamesHeld } from './names-held.ts'
import { NO_ENTRY } from './shard-index.ts'

const seed = Number(process.env.SWIFTLET_SEED ?? Math.floor(Math.random() * 2 ** 31))
const VALUE = Buffer.of(1)

function randomHash(random: SeededRandom): string {
  return Array.from({ length: 16 }, () => String.fromCharCode(random.below(256))).join('')
}

/** A hash of the shard, of two. */
function hashOfShard(random: SeededRandom, shard: number): string {
  return String.fromCharCode(shard * 128 + random.below(128)) + randomHash(random).slice(1)
}

const rowName = (i: number) => byteText(`ordner/Bild ${i} äöü`)

t.test('every name that was added may be there, few others may', async (t) => {
  t.comment(`SWIFTLET_SEED=${seed}`)
  const random = seededRandom(seed)
  const filter = new NameFilter()
  const hashes = Array.from({ length: 150_000 }, () => randomHash(random))
  const list = randomHash(random)
  t.notOk(filter.mayHaveRegister(hashes[0]!), 'nothing is there at first')
  let missing = 0
  for (const [i, hash] of hashes.entries()) {
    filter.addRegister(hash)
    filter.addRow(list, rowName(i))
    if (!filter.mayHaveRegister(hash) || !filter.mayHaveRow(list, rowName(i))) missing++
  }
  for (const [i, hash] of hashes.entries()) {
    if (!filter.mayHaveRegister(hash) || !filter.mayHaveRow(list, rowName(i))) missing++
  }
  t.equal(missing, 0, 'through several layers')
  const others = Array.from({ length: 20_000 }, (_, i) => i)
  const wrongRegisters = others.filter(() => filter.mayHaveRegister(randomHash(random))).length
  const wrongRows = others.filter((i) => filter.mayHaveRow(list, rowName(i + 200_000))).length
  const elsewhere = randomHash(random)
  const wrongLists = others.filter((i) => filter.mayHaveRow(elsewhere, rowName(i))).length
  for (const wrong of [wrongRegisters, wrongRows, wrongLists]) {
    t.ok(wrong < 800, `${wrong} of 20,000 are taken for names that may be there`)
  }
  t.ok(filter.bytes <= 1024 * 1024, `${filter.bytes} bytes for 300,000 names`)
  t.ok(filter.isOfUse)
})

t.test('with too many names it forgets them all and knows nothing', async (t) => {
  const random = seededRandom(seed)
  const filter = new NameFilter({ layersMax: 1 })
  const first = randomHash(random)
  filter.addRegister(first)
  for (let i = 0; i < 40_000; i++) filter.addRegister(randomHash(random))
  t.notOk(filter.isOfUse)
  t.equal(filter.bytes, 0)
  t.ok(filter.mayHaveRegister(first))
  t.ok(filter.mayHaveRegister(randomHash(random)))
})

/** A store with registers, live and deleted rows of two shards. */
async function filledStore(): Promise<{
  readonly store: SimKeyValueStore
  readonly kv: KeyValue
  readonly registers: readonly string[]
  readonly list: string
  readonly random: SeededRandom
}> {
  const random = seededRandom(seed)
  const store = new SimKeyValueStore({ seed })
  const kv = store.open()
  const registers = Array.from({ length: 3_000 }, (_, i) => hashOfShard(random, i % 2))
  const list = hashOfShard(random, 1)
  const put = (key: Uint8Array) => ({ type: 'put', key, value: VALUE }) as const
  const operations = registers.map((hash, i) => {
    const id = { kind: 2, policy: i % 3, placement: random.below(2 ** 31), hash }
    return put(entryKey(SPACES.entry, id))
  })
  for (let i = 0; i < 2_500; i++) {
    const space = i % 2 === 0 ? SPACES.row : SPACES.deletedRow
    operations.push(put(listKey(space, list, rowName(i))))
    // The other shard's, and other things.
    operations.push(put(listKey(space, hashOfShard(random, 0), rowName(i))))
    operations.push(put(listKey(SPACES.unconfirmedRow, list, rowName(i + 10_000))))
  }
  await kv.batch(operations, { sync: true })
  return { store, kv, registers, list, random }
}

async function untilKnown(names: NamesHeld): Promise<void> {
  for (let turn = 0; turn < 10_000 && !names.isKnown; turn++) await Promise.resolve()
}

t.test('what the store holds is read once a name was missed', async (t) => {
  const { kv, registers, list, random } = await filledStore()
  const names = new NamesHeld(kv, { shard: 1, shards: 2 })
  const fresh = hashOfShard(random, 1)
  t.ok(names.mayHaveRegister(fresh), 'before it was read everything may be there')
  const inMemory = hashOfShard(random, 1)
  const memtable = new Memtable()
  const id = { kind: 2, policy: 0, placement: 0, hash: inMemory }
  memtable.entries.set(inMemory, { id, entry: NO_ENTRY, before: null })
  const listId = { hash: list, placement: 0, name: '/a/c' }
  memtable.addRow(listId, rowName(30_000), { row: null, before: null })
  names.missed(memtable)
  names.missed(new Memtable())
  // On its way while the store is being read, which sees it as it was before.
  const late = hashOfShard(random, 1)
  names.addRegister(late)
  names.addRow(list, rowName(20_000))
  t.ok(names.mayHaveRegister(fresh), 'and so it may meanwhile')
  await untilKnown(names)
  t.ok(names.isKnown)
  const own = registers.filter((hash) => hash.charCodeAt(0) >= 128)
  t.ok(own.length > 1_000)
  t.ok([...own, late, inMemory].every((hash) => names.mayHaveRegister(hash)))
  const rows = Array.from({ length: 2_500 }, (_, i) => rowName(i))
  t.ok([...rows, rowName(20_000), rowName(30_000)].every((name) => names.mayHaveRow(list, name)))
  const others = Array.from({ length: 1_000 }, (_, i) => i)
  const wrong = others.filter(
    (i) =>
      names.mayHaveRegister(hashOfShard(random, 1)) || names.mayHaveRow(list, rowName(i + 10_000)),
  )
  t.ok(wrong.length < 100, `${wrong.length} of 1,000 new names may be there`)
  const next = hashOfShard(random, 1)
  names.addRegister(next)
  t.ok(names.mayHaveRegister(next), 'what is written later is followed')
  await names.stop()
  t.ok(names.mayHaveRegister(fresh), 'after the end nothing is known')
})

t.test('a store that cannot be read, or is closed meanwhile, may hold everything', async (t) => {
  const { store, kv, random } = await filledStore()
  const broken = new NamesHeld(kv, { shard: 0, shards: 2 })
  broken.missed(new Memtable())
  store.crash(seed)
  await broken.stop()
  const names = new NamesHeld(store.open(), { shard: 0, shards: 2 })
  names.missed(new Memtable())
  await names.stop()
  for (const one of [broken, names]) {
    t.notOk(one.isKnown)
    t.ok(one.mayHaveRegister(hashOfShard(random, 0)))
    one.missed(new Memtable())
    t.notOk(one.isKnown, 'and is not read again')
  }
  const full = new NamesHeld(kv, { shard: 0, shards: 2 }, new NameFilter({ layersMax: 0 }))
  await full.stop()
  t.ok(full.mayHaveRow(hashOfShard(random, 0), 'x'))
})
