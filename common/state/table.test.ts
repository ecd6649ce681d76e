import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openLevelState } from './level-state.ts'
import { Table } from './table.ts'

interface Person {
  readonly id: string
  readonly domain: string
  readonly name: string
}

const persons = new Table<Person, 'name' | 'domain'>({
  name: 'persons',
  keyOf: ({ id }) => [id],
  indexes: {
    name: { of: ({ domain, name }) => [[domain, name]], unique: true },
    domain: { of: ({ domain }) => [[domain]] },
  },
})

t.test('rows are found by key and by index, and a second of one name is refused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'table-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const store = await openLevelState(folder)
  t.teardown(() => store.close())
  const ann = { id: '1', domain: 'd', name: 'ann' }
  const odd = { id: '2', domain: 'd', name: 'a\u0001\u0002nn' }
  await store.transaction(async (tx) => {
    await persons.put(tx, ann)
    await persons.put(tx, odd)
    t.strictSame(await persons.one(tx, 'name', 'd', 'ann'), ann, 'what was written is read')
  })
  t.strictSame(await persons.get(store, '1'), ann)
  t.strictSame(await persons.one(store, 'name', 'd', odd.name), odd)
  t.strictSame(await persons.by(store, 'domain', 'd'), [ann, odd])
  const twice = store.transaction((tx) => persons.put(tx, { ...ann, id: '3' }))
  await t.rejects(twice, { code: 'Duplicate', status: 409 })
  t.strictSame(await persons.list(store), [ann, odd], 'and nothing of it is there')
  await store.transaction((tx) => persons.put(tx, { ...ann, name: 'eve' }))
  t.equal(await persons.one(store, 'name', 'd', 'ann'), undefined)
  await store.transaction((tx) => persons.delete(tx, '1'))
  t.strictSame(await persons.by(store, 'domain', 'd'), [odd])
})
