import t, { type Test } from 'tap'
import {
  PostgresServer,
  postgresPrograms,
  queryPostgres,
} from '../../test/support/postgres-server.ts'
import { stateContract } from '../../test/support/state-contract.ts'
import { openState } from './open-state.ts'
import { openPostgresState } from './postgres-state.ts'
import type { StateStore, StateTransaction } from './state-store.ts'

const programs = postgresPrograms()

t.test('a URL that cannot be read, or leads nowhere, keeps its password', async (t) => {
  for (const [url, code, status] of [
    ['postgres://swiftlet:secret@[::bad/db', 'BadConfig', 400],
    ['postgres://swiftlet:secret@127.0.0.1:1/db', 'StateUnavailable', 503],
    ['postgres://swiftlet:secret@/db?host=/nowhere', 'StateUnavailable', 503],
  ] as const) {
    const error = await openState(url).catch((reason: unknown) => reason)
    t.match(error, { code, status })
    t.notMatch(whole(error), /secret/)
  }
  await t.rejects(openPostgresState('folder'), { code: 'BadConfig' })
})

/** All that a log could show of an error. */
function whole(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error)
  return [
    error.stack,
    JSON.stringify(error),
    error.cause === undefined ? '' : whole(error.cause),
  ].join()
}

t.test('on PostgreSQL', { skip: 'missing' in programs ? programs.missing : false }, async (t) => {
  const server = await PostgresServer.start(t)
  const opened = async (t: Test, url: string): Promise<StateStore> => {
    const store = await openState(url)
    t.teardown(() => store.close())
    return store
  }

  t.test('it keeps the contract', (t) => {
    stateContract(t, {
      place: () => server.newPlace(),
      open: (url, clock) => openState(url, clock === undefined ? {} : { clock }),
    })
    t.end()
  })

  t.test('services have tables of their own, whoever comes first, and versions', async (t) => {
    const url = await server.newPlace()
    const services = ['identity', 'identity', 'image', 'identity']
    const stores = await Promise.all(services.map((service) => openState(url, { service })))
    await stores[0]!.transaction(async (tx) => tx.put('t', 'a', 1))
    t.strictSame(await Promise.all(stores.map((store) => store.get('t', 'a'))), [
      1,
      1,
      undefined,
      1,
    ])
    for (const store of stores) await store.close()
    await queryPostgres(url, "UPDATE swiftlet_versions SET version = 2 WHERE service = 'image'")
    await t.rejects(openState(url, { service: 'image' }), { code: 'StateTooNew', status: 409 })
    await (await openState(url, { service: 'identity' })).close()
    await queryPostgres(
      url,
      `CREATE ROLE guest LOGIN; GRANT USAGE ON SCHEMA ${url.split('%3D').at(-1)} TO guest;
      GRANT SELECT ON swiftlet_versions, swiftlet_identity TO guest`,
    )
    const guest = await openState(url.replace('swiftlet@', 'guest@'), { service: 'identity' })
    t.teardown(() => guest.close())
    t.equal(await guest.get('t', 'a'), 1, 'tables that are there need no right to make some')
  })

  t.test('a database that cannot hold every text, or forgets, is refused', async (t) => {
    await queryPostgres(
      server.url('postgres'),
      "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    await t.rejects(openState(server.url('latin')), { code: 'StateUnfit', message: /LATIN1/ })
    await queryPostgres(server.url('postgres'), 'CREATE DATABASE forgets')
    await queryPostgres(
      server.url('postgres'),
      'ALTER DATABASE forgets SET synchronous_commit = off',
    )
    await t.rejects(openState(server.url('forgets')), { code: 'StateUnfit', status: 409 })
  })

  t.test('work is run again where another was in the way, and counts once', async (t) => {
    const store = await opened(t, await server.newPlace())
    await store.transaction(async (tx) => tx.put('t', 'count', 0))
    const runs = { first: 0, second: 0 }
    // Both have read before either writes: one of them has to read again.
    const both = meeting(2)
    const count = (name: 'first' | 'second') => async (tx: StateTransaction) => {
      const before = Number(await tx.get('t', 'count'))
      tx.put('t', name, ++runs[name])
      if (runs[name] === 1) await both()
      tx.put('t', 'count', before + 1)
    }
    await Promise.all([store.transaction(count('first')), store.transaction(count('second'))])
    t.equal(await store.get('t', 'count'), 2)
    // Once more, or twice where the second try was in the way of the other's end.
    t.ok(runs.first + runs.second >= 3, `${runs.first} and ${runs.second} runs`)
  })

  t.test('a row that was not there counts as read, and so does a range without rows', async (t) => {
    const store = await opened(t, await server.newPlace())
    for (const look of [
      async (tx: StateTransaction) => (await tx.get('t', 'x')) !== undefined,
      async (tx: StateTransaction) => (await tx.scan('t', { prefix: 'x' })).length > 0,
    ]) {
      let runs = 0
      const both = meeting(2)
      const first = (id: string) =>
        store.transaction(async (tx) => {
          const there = await look(tx)
          if (++runs <= 2) await both()
          if (there) return false
          tx.put('t', 'x', id)
          return true
        })
      t.strictSame((await Promise.all([first('1'), first('2')])).sort(), [false, true])
      await store.transaction(async (tx) => tx.delete('t', 'x'))
    }
  })

  t.test('work that hides the failure of a read is run again all the same', async (t) => {
    const url = await server.newPlace()
    const store = await opened(t, url)
    const other = await opened(t, url)
    let runs = 0
    await store.transaction(async (tx) => {
      await tx.get('t', 'a')
      if (++runs === 1) {
        await other.transaction(async (beside) => {
          await beside.get('t', 'b')
          beside.put('t', 'a', 1)
        })
      }
      await tx.get('t', 'a').catch(() => {})
      tx.put('t', 'b', 1)
    })
    t.equal(await store.get('t', 'b'), 1)
    t.ok(runs <= 2)
  })

  t.test('processes that write the same rows all get through', async (t) => {
    const url = await server.newPlace()
    const stores = await Promise.all([1, 2, 3].map(() => opened(t, url)))
    const adds = stores.flatMap((store) =>
      Array.from({ length: 30 }, () =>
        store.transaction(async (tx) => {
          const rows = await tx.scan('t')
          tx.put('t', String(rows.length).padStart(4, '0'), rows.length)
        }),
      ),
    )
    const done = await Promise.allSettled(adds)
    const failures = done.flatMap((add) => (add.status === 'rejected' ? [add.reason] : []))
    t.match(failures, Array(failures.length).fill({ code: 'Busy', status: 503 }))
    t.equal((await stores[0]!.scan('t')).length, adds.length - failures.length)
    t.ok(failures.length < adds.length / 2, `${failures.length} of ${adds.length} were refused`)
  })

  t.test('a server that goes away is 503, and one that comes back is used again', async (t) => {
    const store = await opened(t, await server.newPlace())
    await store.transaction(async (tx) => tx.put('t', 'a', 1))
    const begun = gate()
    const stopped = gate()
    const cut = store.transaction(async (tx) => {
      tx.put('t', 'cut', Number(await tx.get('t', 'a')))
      begun.open()
      await stopped.promise
    })
    await begun.promise
    // At once, as a crash would: what was acknowledged has to be in the log.
    await server.stop('SIGQUIT')
    stopped.open()
    await t.rejects(cut, { code: 'StateUnavailable', status: 503 })
    await t.rejects(store.get('t', 'a'), { code: 'StateUnavailable', status: 503 })
    await t.rejects(store.scan('t'), { code: 'StateUnavailable' })
    const refused = store.transaction(async (tx) => tx.put('t', 'b', 1))
    await t.rejects(refused, { code: 'StateUnavailable', status: 503 })
    await server.restart()
    t.strictSame(await store.scan('t'), [{ key: 'a', value: 1 }])
    await store.transaction(async (tx) => tx.put('t', 'b', 1))
    await queryPostgres(
      server.url('postgres'),
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'swiftlet'",
    )
    await eventually(() => store.get('t', 'b'))
  })
})

/** Resolves for all when the last of `count` has come. */
function meeting(count: number): () => Promise<void> {
  let here = 0
  const all = gate()
  return () => {
    if (++here >= count) all.open()
    return all.promise
  }
}

function gate(): { readonly promise: Promise<void>; readonly open: () => void } {
  let open = () => {}
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return { promise, open: () => open() }
}

/** Connections that were cut are found out one after the other. */
async function eventually<T>(read: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await read()
    } catch (error) {
      if (tries === 20) throw error
    }
  }
}
