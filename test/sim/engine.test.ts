import t from 'tap'
import { ServiceError } from '../../common/errors.ts'
import {
  EngineSim,
  type EngineSimOptions,
  PLANTED_FAULTS,
  type PlantedFault,
} from '../support/engine-sim.ts'
import { SimDiskError } from '../support/sim-disk.ts'

const SEEDS = Number(process.env['SWIFTLET_SIM_SEEDS'] ?? 100)
const FIRST_SEED = Number(process.env['SWIFTLET_SIM_SEED'] ?? 1)

/** Random life of an engine: operations, crashes, kills, clean restarts, compactions; what it broke. */
async function live(options: EngineSimOptions & { readonly steps: number }): Promise<EngineSim> {
  const sim = new EngineSim(options)
  await sim.open()
  await sim.createContainer()
  for (let step = 0; step < options.steps && sim.violations.length === 0; step++) {
    sim.step()
    if (sim.random.chance(0.15)) await sim.settle()
    if (sim.random.chance(0.03)) {
      await sim.settle()
      sim.clock.advance(5000)
    }
    if (sim.random.chance(0.08)) await sim.compactQuietly()
    if (sim.random.chance(0.01)) await sim.scrubQuietly()
    // A batch of the index fails, and has happened or not.
    if (sim.random.chance(0.02)) sim.store.failBatch(1 + sim.random.below(3))
    if (sim.random.chance(0.06)) await dieAndReturn(sim)
  }
  // The last flush of a device that is closed may fail too: the next start mends it, and `check` tells of it.
  sim.store.failNone()
  await sim.verify()
  await sim.verifyNoDamage()
  return sim
}

async function dieAndReturn(sim: EngineSim): Promise<void> {
  const how = sim.random.below(10)
  if (how < 6) sim.crash()
  else if (how < 8) sim.kill()
  else await sim.close()
  // The index is derived: it may be lost with any death.
  if (sim.random.chance(0.15)) sim.store.wipe()
  await sim.open()
  // Crashes in a row: recovery itself is cut short.
  while (sim.random.chance(0.15)) {
    await sim.reopenAfterCrash()
  }
  await sim.verify()
  await sim.verifyNoDamage()
}

t.test(`an engine loses nothing over ${SEEDS} random lives with crashes`, async (t) => {
  let operations = 0
  let compactions = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const sim = await live({ seed, steps: 80 })
    operations += sim.operations
    compactions += sim.compactions
    await sim.close()
    const { problems } = await sim.check()
    if (sim.violations.length + problems.length > 0) {
      t.fail(`seed ${seed}: ${[...sim.violations, ...problems].slice(0, 3).join('; ')}`)
      t.comment(
        `replay: SWIFTLET_SIM_SEED=${seed} SWIFTLET_SIM_SEEDS=1 npx tap test/sim/engine.test.ts`,
      )
      return
    }
  }
  t.pass(`${SEEDS} seeds, ${operations} operations, 0 violations`)
  t.ok(compactions > 0, `${compactions} segments were compacted`)
})

t.test('every k-th call of the disk fails once, and nothing acknowledged is lost', async (t) => {
  const errors = ['EIO', 'ENOSPC', 'short'] as const
  let failures = 0
  for (let k = 1; ; k++) {
    const sim = new EngineSim({ seed: FIRST_SEED })
    await sim.open()
    await sim.createContainer()
    const fault = sim.disk.fail({ atCall: k, error: errors[k % 3]! })
    for (let step = 0; step < 70; step++) {
      sim.step()
      if (step % 8 === 7) await sim.settle()
    }
    await sim.compactQuietly()
    await sim.settle()
    const isOver = fault.hits === 0
    fault.cancel()
    if (!isOver) failures++
    await sim.flush()
    if (k % 2 === 0) sim.crash()
    else await sim.close()
    await sim.open()
    await sim.verify()
    await sim.close()
    const { problems } = await sim.check()
    const wrong = [...sim.violations, ...problems]
    if (wrong.length > 0) {
      t.fail(`call ${k}: ${wrong.slice(0, 3).join('; ')}`)
      return
    }
    if (isOver) break
  }
  t.ok(failures > 50, `${failures} calls failed once each`)
})

t.test('the index may be deleted, or lose a batch, at any time', async (t) => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 30; seed++) {
    const sim = await live({ seed, steps: 60 })
    await sim.close()
    if (seed % 2 === 0) sim.store.wipe()
    else sim.store.crash(seed, { dropOneSynced: true })
    await sim.open()
    await sim.verify()
    await sim.close()
    const { problems } = await sim.check()
    const wrong = [...sim.violations, ...problems]
    if (wrong.length > 0) {
      t.fail(`seed ${seed}: ${wrong.slice(0, 3).join('; ')}`)
      return
    }
  }
  t.pass('30 indexes were rebuilt')
})

t.test('a flipped bit is never served, and check or recovery finds it', async (t) => {
  let found = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 60; seed++) {
    const sim = await live({ seed, steps: 50 })
    await sim.close()
    const paths = sim.disk
      .paths()
      .filter((path) => sim.disk.contents(path).length > 0 && /\.seg$|\/blob\//.test(path))
    const path = sim.random.pick(paths)!
    sim.disk.flip(path, sim.random.below(Math.max(1, sim.disk.contents(path).length)))
    const { problems } = await sim.check()
    if (problems.length > 0) found++
    await sim.open()
    await sim.verify({ damageAllowed: true })
    await sim.close()
    if (sim.violations.length > 0) {
      t.fail(`seed ${seed}: ${sim.violations.slice(0, 3).join('; ')}`)
      return
    }
  }
  t.ok(found > 20, `${found} of 60 flips were in bytes that count, and reported`)
})

/** A device that says that it is damaged has caught the fault, too; any other error is a bug of the test. */
function refusedToStart(error: unknown): null {
  if (error instanceof ServiceError || error instanceof SimDiskError) return null
  throw error
}

t.test('negative control: a disk whose sync does nothing is caught', async (t) => {
  let caught = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 20; seed++) {
    const sim = await live({ seed, steps: 80, syncIsANoOp: true }).catch(refusedToStart)
    if (sim === null || sim.violations.length > 0) caught++
  }
  t.ok(caught > 0, `${caught} of 20 seeds caught it`)
  t.comment(`${caught} of 20 seeds caught it`)
})

t.test('negative controls: a sync left out in one place is caught', async (t) => {
  for (const planted of Object.keys(PLANTED_FAULTS) as PlantedFault[]) {
    let seeds = 0
    let isCaught = false
    while (!isCaught && seeds < 60) {
      seeds++
      const sim = await live({ seed: FIRST_SEED + seeds, steps: 80, planted }).catch(refusedToStart)
      isCaught = sim === null || sim.violations.length > 0
    }
    t.ok(isCaught, `${planted}: caught after ${seeds} seeds`)
  }
})
