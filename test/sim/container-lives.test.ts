/**
 * Containers that are made, changed and deleted while objects are written to them, by several proxies of a simulated
 * cluster in trouble: the container is one register, it is never deleted over an acknowledged object, and in the end
 * account, container, listing and objects agree.
 */
import t from 'tap'
import { ServiceError } from '../../common/errors.ts'
import type { Backend } from '../../proxy/backend/backend.ts'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { ABSENT, type Operation, showOperation, stateOf } from './checker/history.ts'
import { checkLinearizability } from './checker/linearizability.ts'
import { Nemesis } from './cluster/nemesis.ts'
import type { PlantedFault } from './cluster/planted-faults.ts'
import { SimCluster } from './cluster/sim-cluster.ts'
import type { SimProcess } from './cluster/sim-time.ts'

const SEEDS = Number(process.env.SWIFTLET_SIM_SEEDS ?? 25)
const FIRST_SEED = Number(process.env.SWIFTLET_SIM_SEED ?? 1)
const CLIENTS = 4
const STEPS = 25
const NAMES = ['x', 'y'] as const
/** Of a container: which PUT made or changed it, and which POST or PUT came last. */
const DATA = 'x-container-meta-data'
const META = 'x-container-meta-meta'
const STEP_KINDS = ['put', 'put', 'post', 'delete', 'delete', 'get'] as const
const OBJECT_KINDS = ['object-put', 'object-delete', 'object-delete'] as const
/** Longer than it takes until everything in doubt is settled. */
const PEACE_MS = 900_000

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type StepKind = (typeof STEP_KINDS)[number] | (typeof OBJECT_KINDS)[number]

/** A write of an object: what is known of it for the question whether its container might be deleted. */
interface ObjectWrite {
  readonly isDelete: boolean
  readonly name: string
  readonly begin: number
  /** Infinity if nobody knows. */
  end: number
  isAcknowledged: boolean
}

interface Running {
  readonly process: SimProcess
  readonly backend: Backend
}

class Life {
  readonly wrong: string[] = []
  /** Of the container. */
  readonly operations: Operation[] = []
  readonly #objects: ObjectWrite[] = []
  readonly #cluster: SimCluster
  readonly #random: SeededRandom
  readonly #withObjects: boolean
  #moment = 0

  constructor(cluster: SimCluster, random: SeededRandom) {
    this.#cluster = cluster
    this.#random = random
    this.#withObjects = random.chance(0.7)
  }

  async runClient(thinkMs: number): Promise<void> {
    const random = this.#random
    const kinds: readonly StepKind[] = this.#withObjects
      ? [...STEP_KINDS, ...OBJECT_KINDS, ...OBJECT_KINDS]
      : STEP_KINDS
    for (let step = 0; step < STEPS; step++) {
      await this.#cluster.time.sleep(random.fraction() * 2 * thinkMs)
      const { running } = random.pick(this.#cluster.proxies)!
      if (running !== null) await this.#step(running, random.pick(kinds)!)
    }
  }

  /** Ends with the process of its proxy. */
  async #step(running: Running, kind: StepKind): Promise<void> {
    const work = kind.startsWith('object')
      ? this.#writeObject(running.backend, kind === 'object-delete')
      : this.#operate(running.backend, kind as Operation['kind'])
    await Promise.race([work, new Promise<void>((resolve) => running.process.onDeath(resolve))])
  }

  async #operate(backend: Backend, kind: Operation['kind']): Promise<Operation> {
    const operation: Mutable<Operation> = {
      id: this.operations.length + 1,
      kind,
      key: 'c',
      begin: ++this.#moment,
      end: Number.POSITIVE_INFINITY,
      outcome: kind === 'get' ? 'failed' : 'maybe',
    }
    this.operations.push(operation)
    try {
      const seen = await this.#send(backend, operation)
      operation.end = ++this.#moment
      if (seen === 'refused') operation.outcome = 'refused'
      else {
        operation.outcome = 'ok'
        if (seen !== null) Object.assign(operation, { kind: 'get', seen })
      }
    } catch (error) {
      this.#expect503(error)
    }
    return operation
  }

  /** The state that was seen; null if it was changed; `refused` if it has rows. */
  async #send(backend: Backend, { id, kind }: Operation): Promise<string | null> {
    switch (kind) {
      case 'put': {
        const headers = { [DATA]: String(id), [META]: String(id) }
        await backend.putContainer('a', 'c', { meta: { headers }, policy: 0 })
        return null
      }
      case 'post': {
        const { status } = await backend.postContainer('a', 'c', {
          headers: { [META]: String(id) },
        })
        return status === 'not-found' ? ABSENT : null
      }
      case 'delete': {
        const { status } = await backend.deleteContainer('a', 'c')
        if (status === 'not-empty') return 'refused'
        return status === 'not-found' ? ABSENT : null
      }
      default: {
        const info = await backend.readContainer('a', 'c')
        if (info === null) return ABSENT
        return stateOf(Number(info.meta.headers[DATA]), Number(info.meta.headers[META]))
      }
    }
  }

  async #writeObject(backend: Backend, isDelete: boolean): Promise<void> {
    const name = this.#random.pick(NAMES)!
    const begin = ++this.#moment
    const end = Number.POSITIVE_INFINITY
    const write: ObjectWrite = { isDelete, name, begin, end, isAcknowledged: false }
    const path = { account: 'a', container: 'c', object: name, policy: 0 }
    try {
      if ((await backend.cachedContainer('a', 'c')) === null) return
      this.#objects.push(write)
      const meta = { etag: `e${begin}`, headers: {} }
      if (isDelete) await backend.deleteObject(path)
      else await backend.putObject(path, { meta, body: Buffer.from(`body ${begin}`) })
      write.isAcknowledged = true
      write.end = ++this.#moment
    } catch (error) {
      const isGone = error instanceof ServiceError && error.code === 'NoSuchContainer'
      if (isGone) write.end = ++this.#moment
      else this.#expect503(error)
    }
  }

  #expect503(error: unknown): void {
    if (error instanceof ServiceError && error.status === 503) return
    this.wrong.push(error instanceof Error ? String(error.stack) : String(error))
  }

  /** After the peace: everybody sees the same, and it fits together. */
  async judge(): Promise<void> {
    const states = new Set<string | undefined>()
    for (const { running } of this.#cluster.proxies) {
      states.add((await this.#operate(running!.backend, 'get')).seen)
    }
    if (states.size !== 1 || states.has(undefined)) this.wrong.push(`in the end: ${[...states]}`)
    const { backend } = this.#cluster.proxies[0]!.running!
    const account = await backend.listAccount('a', { limit: 10 })
    const isListed = account!.entries.length > 0
    if (isListed === states.has(ABSENT)) {
      this.wrong.push(`the account ${isListed ? 'lists' : 'does not list'} ${[...states]}`)
    }
    const page = await backend.listContainer('a', 'c', { limit: 10 })
    const shown = (page?.entries ?? []).map((entry) => 'name' in entry && entry.name)
    const there: string[] = []
    for (const object of NAMES) {
      const path = { account: 'a', container: 'c', object, policy: 0 }
      if ((await backend.readObject(path, { head: true, newest: true })) !== null)
        there.push(object)
    }
    if (String(there) !== String(shown)) this.wrong.push(`there: ${there}; listed: ${shown}`)
    this.#judgeDeletions()
    // Refused because of rows, which are no part of the register.
    const changes = this.operations.filter(
      ({ kind, outcome }) => kind !== 'delete' || outcome !== 'refused',
    )
    const { isLinearizable, culprit } = checkLinearizability(changes)
    if (isLinearizable === false) this.wrong.push(`not explained: ${showOperation(culprit!)}`)
  }

  /** An acknowledged deletion of the container after an acknowledged PUT of an object needs something in between. */
  #judgeDeletions(): void {
    const deletions = this.operations.filter(({ kind }) => kind === 'delete')
    for (const deletion of deletions) {
      if (deletion.outcome !== 'ok') continue
      for (const put of this.#objects) {
        if (put.isDelete || !put.isAcknowledged || put.end > deletion.begin) continue
        const isBetween = (other: { readonly begin: number; readonly end: number }) =>
          other.end > put.begin && other.begin < deletion.end
        const isExplained =
          this.#objects.some(
            (other) => other.isDelete && other.name === put.name && isBetween(other),
          ) ||
          deletions.some(
            (other) => other !== deletion && other.outcome !== 'refused' && isBetween(other),
          )
        if (!isExplained) this.wrong.push(`${showOperation(deletion)} over ${put.name}`)
      }
    }
  }
}

async function live(seed: number, planted: PlantedFault | null = null): Promise<Life> {
  const random = seededRandom(seed * 7919 + 13)
  const draw = () => random.below(2 ** 31)
  const hosts = 3 + random.below(3)
  const size = { hosts, replicas: 3, proxies: 3, shards: 1 }
  const cluster = new SimCluster({ seed: draw(), ...size, planted })
  const thinkMs = [3, 30, 300][random.below(3)]!
  const workMs = STEPS * (thinkMs + 12)
  const nemesis = new Nemesis({
    cluster,
    random: seededRandom(draw()),
    workMs,
    longestMs: 0,
    tell: () => {},
  })
  const life = new Life(cluster, seededRandom(draw()))
  const run = async () => {
    await cluster.start()
    await cluster.proxies[0]!.running!.backend.putAccount('a', { headers: {} })
    nemesis.start()
    await Promise.all(Array.from({ length: CLIENTS }, () => life.runClient(thinkMs)))
    await nemesis.heal()
    await cluster.time.sleep(PEACE_MS)
    await life.judge()
  }
  await cluster.time.until(run(), { withinMs: 7_200_000, eventsMax: 500_000 })
  return life
}

t.test(`containers come and go under objects, ${SEEDS} seeds`, { timeout: 600_000 }, async (t) => {
  let operations = 0
  let answered = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const life = await live(seed)
    operations += life.operations.length
    answered += life.operations.filter(({ outcome }) => outcome === 'ok').length
    const replay = `SWIFTLET_SIM_SEED=${seed} SWIFTLET_SIM_SEEDS=1`
    if (life.wrong.length > 0) t.fail(`${replay}: ${life.wrong.slice(0, 3).join('; ')}`)
  }
  t.ok(answered > operations / 4, `${answered} of ${operations} operations were answered`)
})

t.test('negative control: a deletion over rows that is called done is noticed', async (t) => {
  const planted: PlantedFault = {
    name: 'deletes-over-rows',
    what: 'the refusal to delete a container that has rows is answered as a success',
    wrapBackend: (backend) => ({
      ...backend,
      async deleteContainer(account, container) {
        const info = await backend.readContainer(account, container)
        const outcome = await backend.deleteContainer(account, container)
        if (outcome.status !== 'not-empty' || info === null) return outcome
        return { status: 'done', info, existed: true }
      },
    }),
  }
  for (let seed = 1; seed <= 20; seed++) {
    const { wrong } = await live(seed, planted)
    if (wrong.length > 0) return t.pass(`seed ${seed}: ${wrong[0]}`)
  }
  t.fail('20 seeds did not notice it')
})
