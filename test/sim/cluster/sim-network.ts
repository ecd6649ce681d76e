/**
 * The network between processes: for each pair of a caller and a host a link that looks like a StorageNode. Messages
 * are delayed, and so reordered; connections break before the request or before the answer; a request whose connection
 * broke is sent once more and may then be executed twice, late; hosts are cut off in one direction or both. What a call
 * may end with is what proxy/backend/remote-node.ts may: the node's own ServiceError, `Unreachable` when it is sure that
 * nothing was done, `NoAnswer` otherwise, and never later than the silence that is borne.
 *
 * Calls are forwarded by their name, so that what is added to StorageNode goes the same way; only what is more than one
 * message has a way of its own: bodies, and the batches of changed containers.
 */
import type { ArrivalReport, ClusterMember } from '../../../common/cluster-member.ts'
import { ServiceError } from '../../../common/errors.ts'
import type { ItemKey } from '../../../common/item.ts'
import type {
  BodyReader,
  BodyWriter,
  ItemInfo,
  ItemRead,
  ItemWrite,
  StorageNode,
  WriteOutcome,
} from '../../../common/storage-node.ts'
import { errorOfFailure, failureOfError } from '../../../common/wire/operations.ts'
import { type SeededRandom, seededRandom } from '../../support/seeded-random.ts'
import type { RunningNode, SimHost } from './sim-host.ts'
import { never, type SimProcess, type SimTime } from './sim-time.ts'

/** How bad the network is just now. */
export interface NetworkWeather {
  /** Mean one-way delay; each message draws its own, some much longer. */
  delayMs: number
  /** Chance that a message takes up to `lateMs` instead. */
  lateChance: number
  lateMs: number
  /** Chance that the connection breaks, for each message. */
  breakChance: number
  /** Chance that a request is executed a second time, later. */
  repeatChance: number
}

export const CALM: NetworkWeather = {
  delayMs: 2,
  lateChance: 0,
  lateMs: 0,
  breakChance: 0,
  repeatChance: 0,
}

export interface SimNetworkOptions {
  readonly seed: number
  readonly time: SimTime
  /** As RemoteNode's options. */
  readonly connectMs: number
  readonly answerMs: number
  /** Told of each message that was lost, delayed or repeated on purpose, for the story of a run. */
  readonly note?: (what: string) => void
}

/** No connection keeps a message for longer. */
const DELAY_MS_MAX = 100_000

/** What only a node in the same process offers, and what a promise would have. */
const LOCAL_ONLY = new Set(['readNow', 'then'])

type Method = (...parameters: readonly unknown[]) => unknown

export class SimNetwork {
  weather: NetworkWeather = { ...CALM }
  readonly #options: SimNetworkOptions
  readonly #random: SeededRandom
  /** `from>to` pairs of machines whose messages are swallowed. */
  readonly #cuts = new Set<string>()
  messages = 0

  constructor(options: SimNetworkOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
  }

  /** Messages from one machine to the other are swallowed from now on; the other direction is not touched. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`)
  }

  /** They pass again. */
  join(from: string, to: string): void {
    this.#cuts.delete(`${from}>${to}`)
  }

  heal(): void {
    this.#cuts.clear()
  }

  /** The host as the process sees it over the network. `machine` names where the process runs. */
  link(process: SimProcess, machine: string, host: SimHost): StorageNode {
    const received = new Map<string, string>()
    const remote = host.machine
    const way: Way = { process, machine, remote, host }
    const call: Caller = (work) => this.#call(way, work)
    const special: Readonly<Record<string, Method>> = {
      read: (...parameters) => this.#read(way, call, parameters),
      openBody: (device, item) => this.#openBody(way, device as string, item as ItemKey),
      confirm: (...parameters) => {
        const unheard: Answer<unknown> = { ok() {}, fail() {}, isExpected: false }
        this.#send(way, ({ node }) => invoke(node, 'confirm', parameters), unheard)
      },
      takeChangedContainers: (device, options) =>
        takeChanged(call, received, device as string, options as { readonly limit: number }),
      close: async () => {},
    }
    return new Proxy({} as StorageNode, {
      get: (_, name) => {
        if (typeof name !== 'string' || LOCAL_ONLY.has(name)) return undefined
        return (
          special[name] ??
          ((...parameters: readonly unknown[]) =>
            call(({ node }) => invoke(node, name, parameters)))
        )
      },
    })
  }

  /** The host's part in the movement of partitions, as the process reaches it. */
  member(process: SimProcess, machine: string, host: SimHost): ClusterMember {
    const way: Way = { process, machine, remote: host.machine, host }
    const call = (name: keyof ClusterMember, parameters: readonly unknown[]) =>
      this.#call(way, ({ member }) => invoke(member, name, parameters))
    return {
      rings: (known) => call('rings', [known]) as Promise<Uint8Array | null>,
      learnRings: (set) => call('learnRings', [set]) as Promise<number>,
      arrivals: (device, moves) => call('arrivals', [device, moves]) as Promise<ArrivalReport>,
    }
  }

  /** One request and its answer; executed once, twice, late, or not at all. */
  #call<T>(way: Way, work: (node: RunningNode) => Promise<T>): Promise<T> {
    const { process } = way
    if (!process.isAlive) return never()
    return new Promise<T>((resolve, reject) => {
      let isOver = false
      const end = (action: () => void) => {
        if (isOver || !process.isAlive) return
        isOver = true
        silence()
        action()
      }
      const silence = process.after(this.#options.answerMs, () => end(() => reject(noAnswer())))
      const answer: Answer<T> = {
        ok: (value) => end(() => resolve(value)),
        fail: (error) => end(() => reject(error)),
        isExpected: true,
      }
      const again: Answer<T> = {
        ...answer,
        ok: (value) => end(() => (isDoubtful(value) ? reject(noAnswer()) : resolve(value))),
      }
      this.#send(way, work, answer)
      if (this.#random.chance(this.weather.repeatChance)) {
        // The connection broke, the request was sent again; the first one may still be on its way.
        this.#options.time.after(this.#delayMs(way.host) * 4, () => {
          if (process.isAlive) this.#send(way, work, again)
        })
      }
    })
  }

  #send<T>(way: Way, work: (node: RunningNode) => Promise<T>, answer: Answer<T>): void {
    const { time, connectMs } = this.#options
    this.messages++
    if (this.#isCut(way.machine, way.remote)) {
      // Some have a connection and wait for an answer, some find that they cannot connect.
      if (this.#random.chance(0.5)) time.after(connectMs, () => answer.fail(unreachable()))
      return
    }
    if (this.#random.chance(this.weather.breakChance)) {
      if (this.#random.chance(0.3))
        time.after(this.#delayMs(way.host), () => answer.fail(noAnswer()))
      return
    }
    time.after(this.#delayMs(way.host), () => this.#arrive(way, work, answer))
  }

  #arrive<T>(way: Way, work: (node: RunningNode) => Promise<T>, answer: Answer<T>): void {
    const { time } = this.#options
    const running = way.host.running
    if (running === null) {
      if (this.#isCut(way.remote, way.machine)) return
      time.after(this.#delayMs(way.host), () => answer.fail(unreachable()))
      return
    }
    // A machine that loses its power says nothing; a process that dies resets its connections.
    if (answer.isExpected && this.#random.chance(0.7)) {
      running.process.onDeath(() => time.after(1, () => answer.fail(noAnswer())))
    }
    const reply = (deliver: () => void) => {
      if (!answer.isExpected || !running.process.isAlive) return
      if (this.#isCut(way.remote, way.machine)) return
      if (this.#random.chance(this.weather.breakChance)) {
        if (this.#random.chance(0.3)) time.after(1, () => answer.fail(noAnswer()))
        return
      }
      this.messages++
      time.after(this.#delayMs(way.host), deliver)
    }
    work(running).then(
      (value) => reply(() => answer.ok(value)),
      (error) => reply(() => answer.fail(errorOfFailure(failureOfError(error))!)),
    )
  }

  async #read(way: Way, call: Caller, parameters: readonly unknown[]): Promise<ItemRead | null> {
    let kept: RunningNode | null = null
    const read = await call(async (running) => {
      kept = running
      return running.node.read(...(parameters as Parameters<StorageNode['read']>))
    })
    if (read === null || read.body === null || read.body instanceof Uint8Array) return read
    return { info: read.info, body: this.#remoteReader(way, read.body, kept!) }
  }

  /** A blob that the node keeps open; its pieces come one message each. */
  #remoteReader(way: Way, reader: BodyReader, keeper: RunningNode): BodyReader {
    const call = <T>(work: () => Promise<T>) =>
      this.#call(way, async (running) => {
        if (running !== keeper) throw new ServiceError('UnknownReader', 'not open', { status: 404 })
        return work()
      })
    return {
      bytes: reader.bytes,
      async *stream(start, end) {
        const pieces = await call(async () => {
          const found: Uint8Array[] = []
          for await (const piece of reader.stream(start, end)) found.push(piece)
          return found
        })
        yield* pieces
      },
      close: () => call(() => reader.close()).catch(() => {}),
    }
  }

  /** A body is one connection: in order, each piece once, and broken for good when it breaks. */
  async #openBody(way: Way, device: string, item: ItemKey): Promise<BodyWriter> {
    let opened: { readonly running: RunningNode; readonly writer: BodyWriter } | null = null
    let isAbandoned = false
    const opening = this.#once(way, async (running) => {
      const writer = await running.node.openBody(device, item)
      opened = { running, writer }
      if (isAbandoned) await writer.abort()
      return opened
    })
    const { running, writer } = await opening.catch((error) => {
      isAbandoned = true
      throw error
    })
    // The node sees the connection end, whoever ends it.
    const abandon = () => {
      this.#options.time.after(this.#delayMs(way.host), () => {
        if (running.process.isAlive) writer.abort().catch(() => {})
      })
    }
    way.process.onDeath(abandon)
    return new RemoteWriter(writer, {
      call: (work) =>
        this.#once(way, async (now) => {
          if (now !== running) throw noAnswer()
          return work()
        }),
      abandon,
    })
  }

  /** A call that is never repeated. */
  #once<T>(way: Way, work: (node: RunningNode) => Promise<T>): Promise<T> {
    let isBegun = false
    return this.#call(way, (running) => {
      if (isBegun) return never()
      isBegun = true
      return work(running)
    })
  }

  #isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`)
  }

  #delayMs(host: SimHost): number {
    const { delayMs, lateChance, lateMs } = this.weather
    const random = this.#random
    const isLate = random.chance(lateChance)
    const ms = isLate ? random.fraction() * lateMs : (0.1 + random.fraction() * 1.8) * delayMs
    return Math.min(ms * host.slowness, DELAY_MS_MAX)
  }
}

/** As remote-node.ts: a write that is refused at the second attempt may have been accepted at the first. */
function isDoubtful(value: unknown): boolean {
  const status = (value as WriteOutcome | null | undefined)?.status
  return typeof status === 'string' && status !== 'done' && REFUSALS.has(status)
}

const REFUSALS: ReadonlySet<string> = new Set<WriteOutcome['status']>([
  'superseded',
  'precondition-failed',
  'not-found',
  'not-empty',
  'body-missing',
])

interface Way {
  readonly process: SimProcess
  readonly machine: string
  readonly remote: string
  readonly host: SimHost
}

interface Answer<T> {
  readonly ok: (value: T) => void
  readonly fail: (error: unknown) => void
  readonly isExpected: boolean
}

type Caller = <T>(work: (node: RunningNode) => Promise<T>) => Promise<T>

/** The node's method by its name; what it throws at once rejects. */
async function invoke<T>(node: object, name: string, parameters: readonly unknown[]): Promise<T> {
  const method = (node as Readonly<Record<string, Method | undefined>>)[name]
  if (method === undefined) throw new ServiceError('BadRequest', `no operation ${name}`)
  return (await method.apply(node, [...parameters])) as T
}

/** As the wire does it: what was taken is sent again until the next request says that it arrived. */
async function takeChanged(
  call: Caller,
  received: Map<string, string>,
  device: string,
  options: { readonly limit: number },
): Promise<readonly ItemInfo[]> {
  const last = received.get(device) ?? ''
  const answer = await call(({ batches }) => batches.take({ device, ...options, received: last }))
  received.set(device, answer.batch)
  return answer.containers
}

interface BodyConnection {
  readonly call: <T>(work: () => Promise<T>) => Promise<T>
  readonly abandon: () => void
}

class RemoteWriter implements BodyWriter {
  readonly canRecommit = true
  readonly #writer: BodyWriter
  readonly #connection: BodyConnection
  #failure: unknown = null
  #ended = false

  constructor(writer: BodyWriter, connection: BodyConnection) {
    this.#writer = writer
    this.#connection = connection
  }

  async write(piece: Uint8Array): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    const copy = piece.slice()
    await this.#attempt(() => this.#writer.write(copy))
  }

  async commit(write: ItemWrite): Promise<WriteOutcome> {
    if (this.#failure !== null) throw this.#failure
    const outcome = await this.#attempt(() => this.#writer.commit(write))
    this.#ended = outcome.status !== 'superseded'
    return outcome
  }

  async abort(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    this.#connection.abandon()
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#connection.call(work)
    } catch (error) {
      this.#failure ??= error
      throw error
    }
  }
}

function noAnswer(): ServiceError {
  return new ServiceError('NoAnswer', 'the storage node did not answer', { status: 503 })
}

function unreachable(): ServiceError {
  return new ServiceError('Unreachable', 'the storage node cannot be reached', { status: 503 })
}
