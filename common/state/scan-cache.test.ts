import t from 'tap'
import { ScanCache, type StoredRow } from './scan-cache.ts'

const rowsOf = (...texts: string[]): StoredRow[] =>
  texts.map((text) => [Buffer.from(`t!${text}`), text])

t.test('a scan is made once, until its table is changed', async (t) => {
  const cache = new ScanCache()
  let scans = 0
  const scan = (table: string, range: string) =>
    cache.rows(table, range, async () => rowsOf(`${scans++}`))
  t.strictSame(await scan('roles', 'a'), rowsOf('0'))
  t.strictSame(await scan('roles', 'a'), rowsOf('0'))
  t.strictSame(await scan('roles', 'b'), rowsOf('1'), 'another range')
  cache.noteChange('users')
  t.strictSame(await scan('roles', 'a'), rowsOf('0'), 'another table was changed')
  cache.noteChange('roles')
  t.strictSame(await scan('roles', 'a'), rowsOf('2'))
})

t.test('what was found across a change is not kept', async (t) => {
  const cache = new ScanCache()
  let found = () => {}
  const slow = cache.rows(
    'roles',
    '',
    () =>
      new Promise((resolve) => {
        found = () => resolve(rowsOf('old'))
      }),
  )
  cache.noteChange('roles')
  found()
  await slow
  t.strictSame(await cache.rows('roles', '', async () => rowsOf('new')), rowsOf('new'))
})

t.test('long scans are not kept, and the oldest of many goes', async (t) => {
  const cache = new ScanCache()
  let scans = 0
  const scan = (range: string, rows: number) =>
    cache.rows('roles', range, async () => {
      scans++
      return Array.from({ length: rows }, (_, n) => rowsOf(`${n}`)[0]!)
    })
  await scan('long', 101)
  await scan('long', 101)
  t.equal(scans, 2)
  for (let n = 0; n < 1001; n++) await scan(`${n}`, 1)
  await scan('1000', 1)
  t.equal(scans, 1003, 'the newest is kept')
  await scan('0', 1)
  t.equal(scans, 1004, 'the oldest is not')
})
