import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemRandom as random } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'
import type { StateStore } from '../../common/state/state-store.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import { RevocationLog } from './revocation-log.ts'

class SetClock {
  wallMs = 1_700_000_000_000
  sinceMs = 0
  nowMs = () => this.wallMs
  monotonicMs = () => this.sinceMs
  after = () => () => {}
}

/** A state that counts the rows that were read of it, and two processes' logs on it. */
async function setUp(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'revocations-'))
  const state = await openState(folder)
  t.teardown(async () => {
    await state.close()
    await rm(folder, { recursive: true })
  })
  const counts = { rows: 0 }
  const counting: StateStore = {
    get: (table, key) => state.get(table, key),
    async scan(table, range) {
      const rows = await state.scan(table, range)
      counts.rows += rows.length
      return rows
    },
    transaction: (work) => state.transaction(work),
    close: () => state.close(),
  }
  const clock = new SetClock()
  const ours = new RevocationLog(counting, { clock, random })
  const others = new RevocationLog(state, { clock, random })
  const revoke = (userId: string, atMs = clock.wallMs) =>
    state.transaction((tx) => others.add(tx, { userId, issuedBeforeMs: atMs, revokedAtMs: atMs }))
  return { clock, ours, others, revoke, counts }
}

function tokenOf(userId: string): TokenClaims {
  return {
    user: { id: userId, name: userId, domain: { id: 'default', name: 'Default' } },
    methods: ['password'],
    auditIds: ['a'],
    issuedAtMs: 0,
    expiresAtMs: Number.MAX_SAFE_INTEGER,
    scope: { kind: 'unscoped' },
    roles: [],
  }
}

t.test('what others revoke is seen by reading what is new alone', async (t) => {
  const { clock, ours, revoke, counts } = await setUp(t)
  for (let id = 0; id < 20; id++) await revoke(`old ${id}`)
  await ours.refresh()
  t.equal(ours.count, 20)
  clock.wallMs += 3_600_000
  counts.rows = 0
  await ours.refresh()
  t.equal(counts.rows, 0)
  await revoke('late', clock.wallMs - 50_000)
  await revoke('new')
  await ours.refresh()
  t.ok(['old 3', 'late', 'new'].every((user) => ours.voids(tokenOf(user))))
  t.notOk(ours.voids(tokenOf('nobody')))
  t.equal(counts.rows, 2)
})

t.test('an event of a clock that is far off is seen within a minute', async (t) => {
  const { clock, ours, revoke } = await setUp(t)
  await ours.refresh()
  await revoke('behind', clock.wallMs - 3_600_000)
  await revoke('ahead', clock.wallMs + 3_600_000)
  await ours.refresh()
  t.ok(ours.voids(tokenOf('ahead')))
  t.notOk(ours.voids(tokenOf('behind')))
  clock.sinceMs += 60_000
  await ours.refresh()
  t.ok(ours.voids(tokenOf('behind')))
})

t.test('all processes show the same list, by the same tag', async (t) => {
  const { clock, ours, others, revoke } = await setUp(t)
  await revoke('b')
  await ours.refresh()
  const before = ours.published
  clock.wallMs += 1
  await revoke('c')
  await revoke('a', clock.wallMs - 5)
  await ours.refresh()
  await others.refresh()
  t.strictSame(ours.published, others.published)
  t.not(ours.published.etag, before.etag)
  t.match(
    ours.published.events.map(({ shown }) => shown),
    [{ user_id: 'a' }, { user_id: 'b' }, { user_id: 'c' }],
  )
})

t.test('old events are forgotten, by those too who did not delete them', async (t) => {
  const { clock, ours, others, revoke } = await setUp(t)
  for (let id = 0; id < 1500; id++) await revoke('old')
  clock.wallMs += 1000
  await revoke('new')
  for (const log of [ours, others]) await log.refresh()
  await ours.prune(clock.wallMs)
  await others.prune(clock.wallMs)
  for (const log of [ours, others]) {
    clock.sinceMs += 60_000
    await log.refresh()
    t.strictSame(log.count, 1)
    t.ok(log.voids(tokenOf('new')))
    t.notOk(log.voids(tokenOf('old')))
  }
})
