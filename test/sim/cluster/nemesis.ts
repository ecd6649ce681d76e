/**
 * What goes wrong in a run. Each seed draws which kinds of trouble it has and how much (a run with everything at once
 * hides as much as it shows), and then lets them come and go while clients are at work.
 */
import type { SeededRandom } from '../../support/seeded-random.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { SimHost } from './sim-host.ts'
import { CALM, type NetworkWeather } from './sim-network.ts'

export const TROUBLES = [
  'node-crash',
  'proxy-crash',
  'partition',
  'slow-node',
  'disk-error',
  'disk-loss',
  'clock-jump',
  'ring-change',
  'network',
] as const
export type Trouble = (typeof TROUBLES)[number]
/** What a single replica cannot bear. */
const DISK_TROUBLES: readonly Trouble[] = ['disk-error', 'disk-loss']

/** Wall clocks stay within the five minutes that stamps may be ahead. */
const SKEW_MS_MAX = 120_000
/** So long before a cut ends that the keeper has told the others of new rings by then. */
const KEEPER_MS = 1_500
/** A node that has not come up after so many starts in peace never will. */
const PEACEFUL_STARTS_MAX = 10
const DISK_ERRORS = ['EIO', 'ENOSPC', 'short'] as const

export interface NemesisOptions {
  readonly cluster: SimCluster
  readonly random: SeededRandom
  /** How long clients are at work if nothing stands in their way. */
  readonly workMs: number
  /** Of a long run: how long a trouble may last; else 0. */
  readonly longestMs: number
  readonly tell: (what: string) => void
}

export class Nemesis {
  readonly #cluster: SimCluster
  readonly #random: SeededRandom
  readonly #tell: (what: string) => void
  readonly #troubles: readonly Trouble[]
  /** Mean time between the end of a trouble and the next one of its kind. */
  readonly #pauseMs: number
  readonly #longestMs: number
  /** Hosts that the rings are to be made of. */
  readonly #members: Set<number>
  /** A host may be lost for good: not where another one loses its disk. */
  #mayLose: boolean
  /** The host whose disk may lose what it holds. */
  readonly #frail: SimHost
  #isOver = false

  constructor({ cluster, random, workMs, longestMs, tell }: NemesisOptions) {
    this.#longestMs = longestMs
    this.#cluster = cluster
    this.#random = random
    this.#tell = tell
    const density = 0.2 + random.fraction() * 0.6
    const planted = cluster.planted?.troubles ?? []
    const isCalm = cluster.planted?.isCrowded === true
    const isTooMuch = (trouble: Trouble) =>
      cluster.hasFewReplicas && DISK_TROUBLES.includes(trouble)
    const isCertain = (trouble: Trouble) =>
      planted.includes(trouble) || (cluster.hasFewReplicas && trouble === 'ring-change')
    this.#troubles = TROUBLES.filter(
      (trouble) => (random.chance(density) && !isCalm && !isTooMuch(trouble)) || isCertain(trouble),
    )
    this.#frail = random.pick(cluster.hosts)!
    this.#members = new Set(cluster.firstMembers)
    this.#mayLose = !this.#troubles.includes('disk-loss') && !cluster.hasFewReplicas
    this.#pauseMs = workMs * (0.05 + random.fraction() * 0.4)
  }

  /** Clocks are wrong from the start. */
  start(): void {
    const { hosts, proxies } = this.#cluster
    const drawn = [0, 1, 500, 10_000, SKEW_MS_MAX][this.#random.below(5)]!
    // Clocks that have to agree do.
    const spanMs = this.#cluster.planted?.clockStepMs === undefined ? drawn : 0
    for (const { wall } of [...hosts, ...proxies]) wall.offsetMs = this.#spread(spanMs)
    this.#tell(`troubles: ${this.#troubles.join(', ')}; clocks within ${spanMs} ms`)
    for (const trouble of this.#troubles) this.#next(trouble)
  }

  /**
   * Everything works again, and stays so. Nodes and proxies that are down are started. Throws if a node does not come up
   * although its disk works: its disk has lost what no disk may lose.
   */
  async heal(): Promise<void> {
    const { network, hosts, proxies } = this.#cluster
    this.#isOver = true
    network.heal()
    network.weather = { ...CALM }
    for (const proxy of proxies) if (proxy.running === null) proxy.start()
    this.#cluster.keeper.start()
    for (const host of hosts) {
      if (host.isLost) continue
      host.slowness = 1
      host.disk.heal()
      await this.#startInPeace(host)
    }
    this.#tell('healed')
  }

  async #startInPeace(host: SimHost): Promise<void> {
    for (let failed = 0; host.running === null; ) {
      // It may be on its way up already.
      if (host.isDown) {
        if (await host.start()) return
        if (++failed === PEACEFUL_STARTS_MAX) throw new Error(neverUp(host))
      }
      await this.#cluster.time.sleep(1_000)
    }
  }

  /** One trouble of a kind after the other. */
  #next(trouble: Trouble): void {
    this.#cluster.time.after(this.#random.fraction() * 2 * this.#pauseMs, () => {
      if (this.#isOver) return
      const endsMs = this.#duration()
      this.#strike(trouble, endsMs)
      this.#cluster.time.after(endsMs, () => this.#next(trouble))
    })
  }

  #strike(trouble: Trouble, endsMs: number): void {
    const strikes: Readonly<Record<Trouble, () => void>> = {
      'node-crash': () => this.#crashNodes(endsMs),
      'proxy-crash': () => this.#crashProxy(endsMs),
      partition: () => this.#partition(endsMs),
      'slow-node': () => this.#slowNode(endsMs),
      'disk-error': () => this.#diskError(endsMs),
      'disk-loss': () => this.#loseDisk(endsMs),
      'clock-jump': () => this.#jumpClock(),
      'ring-change': () => {
        if (this.#random.chance(0.5) || this.#members.size < 2) this.#changeRings(endsMs)
        else this.#changeAtTheWorst(endsMs)
      },
      network: () => this.#badWeather(endsMs),
    }
    strikes[trouble]()
  }

  /** One node, or all that stand on one power line. */
  #crashNodes(endsMs: number): void {
    const random = this.#random
    const power = random.chance(0.7)
    const isBlackout = power && random.chance(0.1)
    const hosts = isBlackout ? this.#cluster.hosts : [random.pick(this.#cluster.hosts)!]
    for (const host of hosts) {
      const loseIndex = random.chance(0.08)
      this.#tell(`node${host.index} ${power ? 'loses its power' : 'is killed'}`)
      this.#cluster.planted?.harm?.(host)
      if (host.isLost) continue
      host.crash({ power, loseIndex })
      this.#restart(host.index, endsMs)
    }
  }

  #restart(index: number, afterMs: number): void {
    const { time, hosts } = this.#cluster
    const host = hosts[index]!
    time.after(afterMs, () => {
      if (this.#isOver || !host.isDown || host.isLost) return
      void host.start().then((isUp) => {
        this.#tell(`node${index} ${isUp ? 'is back' : 'did not come up'}`)
        if (!isUp && host.isDown) this.#restart(index, this.#duration())
      })
    })
  }

  /** A host comes into the rings, leaves them, takes another one's place, or is given up because it is lost for good. */
  #changeRings(endsMs: number): void {
    const { hosts, keeper, replicas, time } = this.#cluster
    const random = this.#random
    if (keeper.isMoving) {
      keeper.crash()
      this.#tell('the keeper dies')
      time.after(endsMs / 4, () => keeper.start())
      return
    }
    const outside = hosts.filter(({ index, isLost }) => !isLost && !this.#members.has(index))
    const inside = hosts.filter(({ index }) => this.#members.has(index))
    const isLoss = this.#mayLose && random.chance(0.3)
    const leaves = inside.length + outside.length > replicas && random.chance(0.6)
    const arriving = random.pick(outside)
    if (arriving !== undefined && (random.chance(0.6) || inside.length === replicas)) {
      this.#members.add(arriving.index)
    }
    const leaving = random.pick(inside)!
    if ((leaves || isLoss) && this.#members.size > replicas) {
      this.#members.delete(leaving.index)
      if (isLoss) this.#lose(leaving)
    }
    const members = [...this.#members].sort((a, b) => a - b)
    const isOther = this.#cluster.hasFewReplicas && random.chance(0.6)
    const count = isOther ? 1 + random.below(Math.min(4, members.length)) : replicas
    this.#tell(`the rings are to be of nodes ${members.join(' ')}, ${count} replicas`)
    this.#cluster.changeRings(members, count)
  }

  /** One replica lags because it was cut off; as it comes back the rings change, and another one is cut off. */
  #changeAtTheWorst(endsMs: number): void {
    const { hosts, time } = this.#cluster
    const inside = hosts.filter(({ index }) => this.#members.has(index))
    const lagging = this.#random.pick(inside)!
    const absent = this.#random.pick(inside.filter((host) => host !== lagging))!
    this.#isolate(lagging, endsMs)
    time.after(Math.max(0, endsMs - KEEPER_MS), () => {
      if (this.#isOver) return
      this.#changeRings(endsMs)
      time.after(KEEPER_MS, () => {
        if (!this.#isOver) this.#isolate(absent, endsMs / 2)
      })
    })
  }

  /** For good, once in a run. */
  #lose(host: SimHost): void {
    this.#mayLose = false
    host.isLost = true
    host.crash({ power: true, loseIndex: true })
    this.#tell(`${host.machine} is lost for good`)
  }

  #crashProxy(endsMs: number): void {
    const { time } = this.#cluster
    const proxy = this.#random.pick(this.#cluster.proxies)!
    if (proxy.running === null) return
    this.#tell(`${proxy.machine} dies`)
    proxy.crash()
    time.after(endsMs / 2, () => {
      if (proxy.running !== null) return
      proxy.start()
      this.#tell(`${proxy.machine} is back`)
    })
  }

  /** Cuts some machines off from some others, in one direction or in both. */
  #partition(endsMs: number): void {
    const { hosts, proxies, network, time } = this.#cluster
    const random = this.#random
    const isBothWays = random.chance(0.6)
    const density = 0.2 + random.fraction() * 0.6
    const lonely = random.chance(0.5) ? random.pick(hosts)! : null
    const told: string[] = []
    const machines = [...proxies, ...hosts].map(({ machine }) => machine)
    for (const machine of machines) {
      for (const host of hosts) {
        if (machine === host.machine) continue
        const isHit = lonely === null ? random.chance(density) : host === lonely
        if (!isHit) continue
        const toNode = isBothWays || random.chance(0.5)
        if (toNode) network.cut(machine, host.machine)
        if (isBothWays || !toNode) network.cut(host.machine, machine)
        told.push(`${machine}${isBothWays ? '=' : toNode ? '>' : '<'}${host.machine}`)
      }
    }
    this.#tell(`cut: ${told.join(' ')}`)
    time.after(endsMs, () => {
      network.heal()
      this.#tell('cuts healed')
    })
  }

  #slowNode(endsMs: number): void {
    const host = this.#random.pick(this.#cluster.hosts)!
    host.slowness = [5, 50, 1_000][this.#random.below(3)]!
    this.#tell(`node${host.index} is ${host.slowness} times slower`)
    this.#cluster.time.after(endsMs, () => {
      host.slowness = 1
    })
  }

  /** A call fails once, or for a while; or a batch of the index does. */
  #diskError(endsMs: number): void {
    const random = this.#random
    const host = random.pick(this.#cluster.hosts)!
    if (random.chance(0.2)) {
      host.store.failBatch(1 + random.below(3))
      return
    }
    const error = random.pick(DISK_ERRORS)!
    const call = random.pick(['write', 'sync', 'read', 'open', 'syncDirectory'] as const)!
    const sticky = random.chance(0.2)
    const fault = host.disk.fail({ call, error, atCall: 1 + random.below(4), sticky })
    this.#tell(`node${host.index}: ${call} fails with ${error}${sticky ? ' for a while' : ''}`)
    this.#cluster.time.after(endsMs, () => fault.cancel())
  }

  /**
   * What was durable is lost at one and the same host: more than a majority bears is no trouble but the end. Bits of its
   * log rot, and mostly the index that still knows better is lost before anybody has read them; or the whole disk is.
   */
  #loseDisk(endsMs: number): void {
    if (this.#random.chance(0.5)) this.#harmDisk(endsMs)
    else this.#loseAtTheWorst(endsMs)
  }

  /** One replica lags because it was cut off, a second one loses its memory, and the third is cut off. */
  #loseAtTheWorst(endsMs: number): void {
    const { hosts, time } = this.#cluster
    const { index } = this.#frail
    const beside = [hosts[(index + 1) % hosts.length]!, hosts.at(index - 1)!]
    const [lagging, absent] = this.#random.chance(0.5) ? beside : beside.reverse()
    this.#isolate(lagging!, endsMs / 2)
    time.after(endsMs / 2, () => {
      if (this.#isOver) return
      this.#harmDisk(this.#pauseMs * this.#random.fraction())
      this.#isolate(absent!, endsMs)
    })
  }

  #isolate(host: SimHost, forMs: number): void {
    const { hosts, proxies, network, time } = this.#cluster
    const others = [...proxies, ...hosts].filter((other) => other !== host)
    const each = (action: 'cut' | 'join') => {
      for (const { machine } of others) {
        network[action](machine, host.machine)
        network[action](host.machine, machine)
      }
    }
    each('cut')
    this.#tell(`${host.machine} is cut off`)
    time.after(forMs, () => each('join'))
  }

  #harmDisk(endsMs: number): void {
    const host = this.#frail
    if (this.#random.chance(0.3)) {
      host.crash({ power: true, loseIndex: true })
      host.replaceDisk()
      this.#tell(`${host.machine} loses its disk`)
    } else {
      const flips = host.rot()
      const loseIndex = this.#random.chance(0.7)
      this.#tell(
        `${flips} bits rot at ${host.machine}${loseIndex ? ', and its index is lost' : ''}`,
      )
      if (!loseIndex) return
      host.crash({ power: this.#random.chance(0.5), loseIndex })
    }
    this.#restart(host.index, endsMs)
  }

  #jumpClock(): void {
    if (this.#cluster.planted?.clockStepMs !== undefined) return
    const { hosts, proxies } = this.#cluster
    const machine = this.#random.pick<SimCluster['hosts'][number] | SimCluster['proxies'][number]>([
      ...hosts,
      ...proxies,
    ])!
    const jumpMs = this.#spread([2, 1_000, 30_000][this.#random.below(3)]!)
    const { wall } = machine
    wall.offsetMs = Math.max(-SKEW_MS_MAX, Math.min(SKEW_MS_MAX, wall.offsetMs + jumpMs))
    this.#tell(`a clock jumps to ${wall.offsetMs.toFixed(0)} ms`)
  }

  #badWeather(endsMs: number): void {
    const random = this.#random
    const weather: NetworkWeather = {
      delayMs: [1, 5, 40][random.below(3)]!,
      lateChance: [0, 0.05, 0.2][random.below(3)]!,
      lateMs: [100, 3_000, 25_000][random.below(3)]!,
      breakChance: [0, 0.02, 0.15][random.below(3)]!,
      repeatChance: [0, 0.05, 0.3][random.below(3)]!,
    }
    this.#cluster.network.weather = weather
    this.#tell(`weather: ${JSON.stringify(weather)}`)
    this.#cluster.time.after(endsMs, () => {
      this.#cluster.network.weather = { ...CALM }
    })
  }

  /** How long a trouble lasts: often shorter than a deadline, sometimes longer. */
  #duration(): number {
    if (this.#longestMs > 0 && this.#random.chance(0.3)) return this.#longestMs
    return (
      [this.#pauseMs, 1_000, 12_000, 30_000][this.#random.below(4)]! *
      (0.3 + this.#random.fraction())
    )
  }

  #spread(spanMs: number): number {
    return Math.round((this.#random.fraction() * 2 - 1) * spanMs * 100) / 100
  }
}

function neverUp({ machine, whyDown }: SimHost): string {
  return `${machine} does not come up, though its disk works: ${String(whyDown)}`
}
