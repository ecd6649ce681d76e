/**
 * Power cuts on the real kernel: the real server on a file system of its own, whose power is cut under load
 * (FS_IOC_SHUTDOWN without a log flush drops everything that was not synced). After mount and restart every
 * acknowledged object, deletion and listing row must be there. The negative control runs the same with syncs turned
 * into nothing by the preloaded shim, and must lose: it shows that the harness can fail.
 *
 * Acknowledgements that come after the cut has begun do not count: with the power gone nobody would have sent them.
 * They would be wrong, too: an fdatasync that is under way during FS_IOC_SHUTDOWN may report success although its data is
 * lost. Two bare logs, one append and one fdatasync at a time, lost 304 of 84,344 acknowledged records on ext4 and 80
 * of 34,160 on XFS (kernel 6.18), every one acknowledged while the ioctl was running.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { buildFaultShim, buildFsShutdown, missingCompiler } from '../support/eio-shim/fault-shim.ts'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { type Finding, Ledger } from './support/ledger.ts'
import { runLoad, untilAcknowledged } from './support/load.ts'
import {
  LOOP_KINDS,
  type LoopFs,
  type LoopKind,
  makeLoopFs,
  missingForLoop,
} from './support/loop-fs.ts'
import { probeFolder, type Teardown } from './support/probe-folder.ts'
import { probeSeed, shortOrLong } from './support/scale.ts'
import { checkProblems, StoreUnderTest } from './support/store-under-test.ts'
import { countFindings, SETTLE_MS_MAX, verifyAll, verifyObjects } from './support/verify.ts'

const run = promisify(execFile)

const CYCLES = shortOrLong(2, 20)
const CLIENTS = 16
const CONTAINER = 'cuts'
const IMAGE_BYTES = shortOrLong(1, 4) * 2 ** 30

interface Rig {
  readonly fs: LoopFs
  readonly store: StoreUnderTest
  readonly ledger: Ledger
  readonly random: SeededRandom
  readonly disk: string
  cutPower(): Promise<void>
}

for (const kind of LOOP_KINDS) {
  const skip = (await missingForLoop(kind)) ?? (await missingCompiler()) ?? false

  t.test(`${kind}: ${CYCLES} power cuts lose nothing`, { skip, timeout: 900_000 }, async (t) => {
    const seed = probeSeed()
    const rig = await makeRig(t, kind, { seed, env: {} })
    const all: Finding[] = []
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const names = await loadAndCut(rig, cycle)
      const findings = await verifyObjects(rig.store.client, rig.ledger, {
        container: CONTAINER,
        names,
      })
      all.push(...findings)
      t.strictSame(findings, [], `cycle ${cycle} (seed ${seed}): ${countFindings(findings)}`)
    }
    const findings = await verifyAll(rig.store.client, rig.ledger, {
      container: CONTAINER,
      settleMsMax: SETTLE_MS_MAX,
    })
    all.push(...findings)
    t.strictSame(findings, [], `objects and listing (seed ${seed}): ${countFindings(findings)}`)
    t.ok(rig.ledger.acknowledged > CYCLES * 10, `${rig.ledger.acknowledged} were acknowledged`)
    t.equal(await rig.store.stop(), 0)
    t.equal(await checkProblems([rig.disk]), '', 'swiftlet check finds nothing wrong')
    t.comment(
      `${kind}, seed ${seed}: ${rig.ledger.acknowledged} acknowledged, ${rig.ledger.unknown} without an answer; found ${countFindings(all)}`,
    )
  })

  t.test(
    `${kind}: without fdatasync a power cut loses acknowledged writes`,
    { skip, timeout: 900_000 },
    async (t) => {
      const shim = await buildFaultShim(await probeFolder(t, 'shim'))
      t.teardown(() => shim.close())
      const rig = await makeRig(t, kind, { seed: probeSeed(), env: shim.env })
      shim.arm({ calls: ['sync'], sticky: true })
      const names = await loadAndCut(rig, 0)
      const findings = await verifyObjects(rig.store.client, rig.ledger, {
        container: CONTAINER,
        names,
      })
      t.ok(
        findings.length > 0,
        `${findings.length} of ${rig.ledger.acknowledged} acknowledged are lost`,
      )
      t.comment(
        `${kind} without sync: ${rig.ledger.acknowledged} acknowledged, ${countFindings(findings)}`,
      )
    },
  )
}

async function makeRig(
  t: Teardown,
  kind: LoopKind,
  options: { readonly seed: number; readonly env: Readonly<Record<string, string>> },
): Promise<Rig> {
  const folder = await probeFolder(t, `power-cut-${kind}`)
  const fs = await makeLoopFs(kind, { folder, bytes: IMAGE_BYTES })
  t.teardown(() => fs.dispose())
  const shutdown = await buildFsShutdown(folder)
  // Settings and rings lie outside: what is tested is the device.
  const disk = join(fs.folder, 'disk')
  const store = new StoreUnderTest({
    dataFolder: join(folder, 'data'),
    disks: [disk],
    env: options.env,
  })
  t.teardown(() => store.kill())
  await store.start()
  const status = await store.client.send('PUT', `/${CONTAINER}`)
  if (status !== 201) throw new Error(`the container was not made: ${status}`)
  return {
    fs,
    store,
    disk,
    ledger: new Ledger(),
    random: seededRandom(options.seed),
    cutPower: async () => {
      await run(shutdown, [fs.folder])
    },
  }
}

/** One cycle: load, cut, kill, remount, restart. Returns the names that were written to. */
async function loadAndCut(rig: Rig, cycle: number): Promise<string[]> {
  const { store, fs, ledger, random } = rig
  const known = new Set(ledger.names())
  let [cut, stopped] = [false, false]
  const load = runLoad({
    client: store.client,
    ledger,
    container: CONTAINER,
    random,
    clients: CLIENTS,
    names: `cycle-${cycle}`,
    stopped: () => stopped,
    counts: () => !cut,
  })
  await untilAcknowledged(ledger, 100 + random.below(shortOrLong(300, 2000)))
  cut = true
  await rig.cutPower()
  // The store lives on for a moment without its disk, as a machine would not: it only has to survive the restart.
  await new Promise((resolve) => setTimeout(resolve, random.below(200)))
  stopped = true
  await Promise.all([store.process.kill(), load])
  await store.kill()
  await fs.unmount()
  await fs.mount()
  await store.start()
  return ledger.names().filter((name) => !known.has(name))
}
