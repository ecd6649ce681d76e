/**
 * kill -9 of the real server under load, again and again: nothing that was acknowledged may be lost, listings agree
 * with objects, and `check` finds nothing wrong. (It cannot find a missing sync: power-cut.test.ts does.)
 */
import { join } from 'node:path'
import t from 'tap'
import { seededRandom } from '../support/seeded-random.ts'
import { type Finding, Ledger } from './support/ledger.ts'
import { runLoad, untilAcknowledged } from './support/load.ts'
import { probeFolder } from './support/probe-folder.ts'
import { probeSeed, shortOrLong } from './support/scale.ts'
import { checkProblems, StoreUnderTest } from './support/store-under-test.ts'
import { countFindings, SETTLE_MS_MAX, verifyAll, verifyObjects } from './support/verify.ts'

const CYCLES = shortOrLong(5, 20)
const CLIENTS = 16
const CONTAINER = 'storm'

t.test(
  `kill -9 under load, ${CYCLES} times: no acknowledged write is lost`,
  { timeout: 600_000 },
  async (t) => {
    const seed = probeSeed()
    const random = seededRandom(seed)
    const folder = await probeFolder(t, 'kill-storm')
    const disk = join(folder, 'disk')
    const store = new StoreUnderTest({ dataFolder: join(folder, 'data'), disks: [disk] })
    t.teardown(() => store.kill())
    const ledger = new Ledger()
    const restartMs: number[] = []
    await store.start()
    t.equal(await store.client.send('PUT', `/${CONTAINER}`), 201)

    const all: Finding[] = []
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const known = new Set(ledger.names())
      let stopped = false
      const load = runLoad({
        client: store.client,
        ledger,
        container: CONTAINER,
        random,
        clients: CLIENTS,
        names: `cycle-${cycle}`,
        stopped: () => stopped,
      })
      await untilAcknowledged(ledger, 100 + random.below(shortOrLong(300, 2000)))
      const killed = store.process.kill()
      stopped = true
      await Promise.all([killed, load])
      await store.kill()
      await store.start()
      restartMs.push(store.process.readyMs)
      const names = ledger.names().filter((name) => !known.has(name))
      const findings = await verifyObjects(store.client, ledger, { container: CONTAINER, names })
      all.push(...findings)
      t.strictSame(findings, [], `cycle ${cycle} (seed ${seed}): ${countFindings(findings)}`)
    }

    const doubts = ledger.inDoubtCount()
    const settleStartMs = performance.now()
    const findings = await verifyAll(store.client, ledger, {
      container: CONTAINER,
      settleMsMax: SETTLE_MS_MAX,
    })
    const settleMs = performance.now() - settleStartMs
    all.push(...findings)
    t.strictSame(
      findings,
      [],
      `objects and listing at the end (seed ${seed}): ${countFindings(findings)}`,
    )
    t.ok(ledger.acknowledged > CYCLES * 10, `${ledger.acknowledged} operations were acknowledged`)
    t.equal(await store.stop(), 0, 'a clean stop exits 0')
    t.equal(await checkProblems([disk]), '', 'swiftlet check finds nothing wrong')
    t.comment(
      `seed ${seed}: ${ledger.acknowledged} acknowledged, ${ledger.unknown} without an answer; found ${countFindings(all)}; ${doubts} in doubt, checked in ${settleMs.toFixed(0)} ms; ` +
        `restarts ${restartMs.map((ms) => ms.toFixed(0)).join(' ')} ms`,
    )
  },
)
