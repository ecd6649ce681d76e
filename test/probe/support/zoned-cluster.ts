/**
 * A cluster as an operator builds it: storage nodes and proxies, each a process with its config file, in the zones of a
 * network. The test reaches a proxy by a Unix socket, so that what is cut between zones is never the test's own way.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { storeCredentials } from '../../../bench/store-process.ts'
import { openDataFolder } from '../../../bin/data-folder.ts'
import { newDevice, writeRings } from '../../../bin/rings.ts'
import type { StoreShape } from '../../../bin/settings.ts'
import { systemClock } from '../../../common/clock.ts'
import { systemRandom } from '../../../common/random.ts'
import type { Teardown } from './probe-folder.ts'
import { StoreClient } from './store-client.ts'
import type { ZoneNetwork } from './zone-network.ts'

const ENTRY = fileURLToPath(new URL('../../../bin/swiftlet.cjs', import.meta.url))
const RELAY = fileURLToPath(new URL('./socket-relay.ts', import.meta.url))
const PROXY_PORT = 8080
const FIRST_NODE_PORT = 6200
const REPLICAS = 3
const CONNECTIONS = 16
const LEARN_MS_MAX = 60_000

export interface ZonedClusterOptions {
  readonly folder: string
  readonly network: ZoneNetwork
  readonly zones: number
  readonly nodesPerZone: number
  /** The zones that have a proxy. */
  readonly proxyZones: readonly number[]
  /** Storage policies besides the default one. */
  readonly policies?: StoreShape['policies']
}

export interface ZonedNode {
  readonly name: string
  readonly zone: number
  readonly config: string
  readonly disk: string
}

export class ZonedCluster {
  readonly nodes: readonly ZonedNode[]
  readonly dataFolder: string
  readonly #options: ZonedClusterOptions
  readonly #processes = new Map<string, ChildProcess>()
  readonly #clients = new Map<number, StoreClient>()

  /** Writes rings and config files, starts everything and signs in at each proxy. */
  static async start(t: Teardown, options: ZonedClusterOptions): Promise<ZonedCluster> {
    const cluster = new ZonedCluster(options)
    t.teardown(() => cluster.#end())
    await cluster.#write()
    await Promise.all(cluster.nodes.map((node) => cluster.startNode(node)))
    await Promise.all(options.proxyZones.map((zone) => cluster.#startProxy(zone)))
    const credentials = await storeCredentials(cluster.dataFolder)
    for (const client of cluster.#clients.values()) await client.signIn(credentials)
    await cluster.#untilNobodyLearns()
    return cluster
  }

  private constructor(options: ZonedClusterOptions) {
    const { folder, zones, nodesPerZone } = options
    this.#options = options
    this.dataFolder = join(folder, 'data')
    this.nodes = Array.from({ length: zones * nodesPerZone }, (_, index) => {
      const name = `node${index + 1}`
      return {
        name,
        zone: (index % zones) + 1,
        config: join(folder, name, 'storage-node.json'),
        disk: join(folder, name, 'disk1'),
      }
    })
  }

  /** The client of the zone's proxy. */
  client(zone: number): StoreClient {
    const client = this.#clients.get(zone)
    if (client === undefined) throw new Error(`zone ${zone} has no proxy`)
    return client
  }

  async startNode(node: ZonedNode): Promise<void> {
    await this.#start(node.name, node.zone, [ENTRY, 'storage-node', '--config', node.config])
  }

  /** The process of a node, or `proxy` with the zone's number. */
  process(name: string): ChildProcess {
    const child = this.#processes.get(name)
    if (child === undefined) throw new Error(`${name} does not run`)
    return child
  }

  /** SIGTERM to all nodes; the exit codes. */
  async stopNodes(): Promise<readonly (number | null)[]> {
    return Promise.all(
      this.nodes.map(async ({ name }) => {
        const child = this.process(name)
        const exited = once(child, 'exit')
        child.kill('SIGTERM')
        await exited
        return child.exitCode
      }),
    )
  }

  async #write(): Promise<void> {
    const { network, policies = [] } = this.#options
    const ports = this.nodes.map((_, index) => FIRST_NODE_PORT + index)
    const { lock, settings } = await openDataFolder(this.dataFolder, {
      users: 'file',
      random: systemRandom,
      choose: () => ({
        disks: [],
        replicaCount: REPLICAS,
        nodeCount: this.nodes.length,
        policies,
      }),
      check() {},
      fill: (paths, made) =>
        writeRings(paths.rings, {
          clusterId: made.clusterId,
          placement: made.hashing.placement,
          replicaCount: made.replicaCount,
          policies: made.policies,
          devices: this.nodes.map(({ zone }, index) =>
            newDevice('disk1', { zone, ip: network.addressOf(zone), port: ports[index]! }),
          ),
          nowS: Math.floor(systemClock.nowMs() / 1000),
        }),
    })
    lock.release()
    if (settings.replicaCount !== REPLICAS) throw new Error('the folder is not new')
    for (const [index, { zone, config, disk }] of this.nodes.entries()) {
      await mkdir(disk, { recursive: true })
      await writeJson(config, {
        host: network.addressOf(zone),
        port: ports[index]!,
        clusterKeyFile: join(this.dataFolder, 'cluster.key'),
        ringFolder: join(this.dataFolder, 'rings'),
        devices: [{ name: 'disk1', path: disk }],
      })
    }
  }

  /** The nodes had their rings before their disks: each asks all others first whether there is anything to be learned. */
  async #untilNobodyLearns(): Promise<void> {
    const client = this.#clients.values().next().value!
    const late = AbortSignal.timeout(LEARN_MS_MAX)
    for (;;) {
      const { regions } = await client.status()
      const nodes = regions.flatMap(({ zones }) => zones.flatMap((zone) => zone.nodes))
      const devices = nodes.flatMap((node) => node.devices)
      if (devices.every(({ status }) => status !== null && status.learning !== true)) return
      if (late.aborted) throw new Error('the nodes of a new cluster do not end to learn')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }

  async #startProxy(zone: number): Promise<void> {
    const { folder, network } = this.#options
    const config = join(folder, `proxy${zone}.json`)
    const host = network.addressOf(zone)
    await writeJson(config, { host, port: PROXY_PORT, dataFolder: this.dataFolder })
    await this.#start(`proxy${zone}`, zone, [ENTRY, 'proxy', '--config', config])
    const socketPath = join(folder, `proxy${zone}.socket`)
    const relay = ['--import=tsx', RELAY, socketPath, host, String(PROXY_PORT)]
    await this.#start(`relay${zone}`, zone, relay)
    const origin = `http://${host}:${PROXY_PORT}`
    this.#clients.set(zone, new StoreClient(origin, { connections: CONNECTIONS, socketPath }))
  }

  /** Resolves when it says that it is ready; it ends with this process, however that ends. */
  async #start(name: string, zone: number, args: readonly string[]): Promise<void> {
    const [command, ...rest] = this.#options.network.commandIn(zone, [process.execPath, ...args])
    const { NODE_OPTIONS: _options, ...env } = process.env
    const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], env })
    this.#processes.set(name, child)
    const ended = once(child, 'exit').then(() => false)
    if (await Promise.race([isReady(child), ended])) return
    throw new Error(`${name} did not start: exit ${child.exitCode ?? child.signalCode}`)
  }

  async #end(): Promise<void> {
    for (const client of this.#clients.values()) await client.close()
    const running = [...this.#processes.values()].filter(
      ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
    )
    await Promise.all(
      running.map(async (child) => {
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }),
    )
  }
}

async function isReady(child: ChildProcess): Promise<boolean> {
  const lines = createInterface({ input: child.stdout! })
  return new Promise((resolve) => {
    lines.on('line', (line) => {
      if (/ is ready\b/.test(line)) resolve(true)
    })
    lines.on('close', () => resolve(false))
  })
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`)
}
