/**
 * Ten clients race through five proxies to four storage nodes, each a process of its own, some of the proxies with
 * wrong clocks: If-None-Match: * on a new name, then compare-and-set on it. Now and then a proxy is killed between the
 * two phases, or after its first accept, and sometimes a node. Never two winners, and what a winner wrote is there.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { probeFolder } from './support/probe-folder.ts'
import type { Answer, Death, Order, Role } from './support/race-member.ts'
import { probeSeed, shortOrLong } from './support/scale.ts'

const ROUNDS = shortOrLong(40, 1_000)
const CLIENTS = 10
const SKEWS_MS = [0, 10_000, -10_000, 3_000, 0]
const NODES = 4
const PROGRAM = fileURLToPath(new URL('./support/race-member.ts', import.meta.url))

class Member {
  #role: Role
  #process: ChildProcess | null = null
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #orders = 0

  constructor(role: Role) {
    this.#role = role
  }

  /** Resolves with the port when it is up; a node that is started again keeps its port. */
  async start(): Promise<number> {
    const port = await this.#launch()
    if (this.#role.role === 'node') this.#role = { ...this.#role, port }
    return port
  }

  #launch(): Promise<number> {
    const child = fork(PROGRAM, { execArgv: ['--import', 'tsx'], stdio: ['ignore', 2, 2, 'ipc'] })
    this.#process = child
    child.on('exit', () => {
      this.#process = null
      for (const [id, resolve] of this.#waiting) resolve({ id, status: 'died' })
      this.#waiting.clear()
    })
    return new Promise((resolve, reject) => {
      child.once('exit', () => reject(new Error('a member of the race did not start')))
      child.on('message', (message: Answer | { readonly ready: number }) => {
        if ('ready' in message) resolve(message.ready)
        else this.#answer(message)
      })
      child.send(this.#role)
    })
  }

  get isAlive(): boolean {
    return this.#process !== null
  }

  #answer(answer: Answer): void {
    const resolve = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    resolve?.(answer)
  }

  ask(order: DistributedOmit<Order, 'id'>): Promise<Answer> {
    const id = ++this.#orders
    if (this.#process === null) return Promise.resolve({ id, status: 'died' })
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.#process!.send({ ...order, id })
    })
  }

  get isDying(): boolean {
    return this.#process?.killed ?? false
  }

  kill(): void {
    this.#process?.kill('SIGKILL')
  }
}

type DistributedOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

class Race {
  readonly nodes: Member[] = []
  readonly proxies: Member[] = []
  readonly #random: SeededRandom
  nodesKilled = 0
  #proposers = 0
  #ports: number[] = []

  constructor(random: SeededRandom) {
    this.#random = random
  }

  async start(folder: string): Promise<void> {
    for (let index = 0; index < NODES; index++) {
      const path = join(folder, `node${index}`)
      mkdirSync(path)
      const node = new Member({ role: 'node', path, port: 0 })
      this.#ports.push(await node.start())
      this.nodes.push(node)
    }
    for (const _ of SKEWS_MS) this.proxies.push(await this.#startProxy(this.proxies.length))
    await this.proxies[0]!.ask({ what: 'setup' })
  }

  async #startProxy(index: number): Promise<Member> {
    const proposer = ++this.#proposers
    const skewMs = SKEWS_MS[index]!
    const proxy = new Member({ role: 'proxy', proposer, ports: this.#ports, skewMs })
    await proxy.start()
    return proxy
  }

  /** Now and then, one node in the middle of a round. */
  async killNode(): Promise<void> {
    if (!this.#random.chance(0.1)) return
    const node = this.#random.pick(this.nodes)!
    await new Promise((resolve) => setTimeout(resolve, this.#random.below(60)))
    node.kill()
    this.nodesKilled++
  }

  /** Nodes that died recover; proxies come back, each as a new proposer. */
  async revive(): Promise<void> {
    for (const node of this.nodes) if (!node.isAlive) await node.start()
    for (const [index, proxy] of this.proxies.entries()) {
      if (!proxy.isAlive) this.proxies[index] = await this.#startProxy(index)
    }
  }

  /** All clients at once; `over` as in the order. */
  round(name: string, round: number, over: string | null): Promise<Answer[]> {
    const doomed = this.#random.chance(0.25) ? this.#random.below(CLIENTS) : -1
    const deathAt: Death = this.#random.chance(0.5) ? 'promised' : 'accepting'
    return Promise.all(
      Array.from({ length: CLIENTS }, (_, client) =>
        this.proxies[client % this.proxies.length]!.ask({
          what: 'put',
          name,
          body: `${name} ${round} of ${client}`,
          over,
          ...(client === doomed && { deathAt }),
        }),
      ),
    )
  }

  /** What the proxy shows, once it can; one whose death was still to come may meet it here. */
  async read(proxy: number, name: string): Promise<Answer> {
    for (let tries = 0; ; tries++) {
      const answer = await this.proxies[proxy]!.ask({ what: 'read', name })
      if (answer.status === 'read' || answer.status === 'absent' || tries === 20) return answer
      await new Promise((resolve) => setTimeout(resolve, 200))
      if (answer.status !== 'died') continue
      await this.died()
      await this.revive()
    }
  }

  /** Whoever was killed is known to be dead. */
  async died(): Promise<void> {
    const members = [...this.nodes, ...this.proxies]
    while (members.some((member) => member.isDying)) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  stop(): void {
    for (const member of [...this.nodes, ...this.proxies]) member.kill()
  }
}

t.test(
  `${ROUNDS} rounds of ten clients, proposers dying between the phases: never two winners`,
  { timeout: shortOrLong(300_000, 3_600_000) },
  async (t) => {
    const seed = probeSeed()
    const race = new Race(seededRandom(seed))
    t.teardown(() => race.stop())
    await race.start(await probeFolder(t, 'race'))
    const counts: Record<string, number> = {}
    let decided = 0
    for (let round = 0; round < ROUNDS; round++) {
      // One creation, then compare-and-set on what it left.
      const name = `o${Math.floor(round / 4)}`
      const before = await race.read(0, name)
      const over = round % 4 === 0 ? null : (before.writeId ?? null)
      const [answers] = await Promise.all([race.round(name, round, over), race.killNode()])
      await race.died()
      for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
      await race.revive()
      const winners = answers.filter(({ status }) => status === 'done').length
      const seen = await Promise.all(race.proxies.map((_, proxy) => race.read(proxy, name)))
      const bodies = new Set(seen.map(({ status, body }) => body ?? status))
      const story = `round ${round}: ${answers.map(({ status }) => status)}; then ${[...bodies]}`
      if (winners > 1) t.fail(`two winners in ${story}`)
      if (bodies.size !== 1) t.fail(`proxies see different objects in ${story}`)
      const [body] = bodies
      const winner = answers.findIndex(({ status }) => status === 'done')
      if (winner >= 0 && body !== `${name} ${round} of ${winner}`) t.fail(`lost: ${story}`)
      const isRefusedByAll = answers.every(({ status }) => status === 'precondition-failed')
      if (isRefusedByAll) t.fail(`somebody has to win: ${story}`)
      if (winner >= 0) decided++
    }
    t.comment(
      JSON.stringify({ seed, rounds: ROUNDS, decided, nodesKilled: race.nodesKilled, ...counts }),
    )
    t.ok(decided > ROUNDS / 2, `${decided} of ${ROUNDS} rounds had a winner who knew it`)
  },
)
