/**
 * A cluster on one machine, for trying failures: every storage node a process of its own in a zone, the proxy in this
 * one. A node that ends is reported and left alone: who killed it wants to see what the others do.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ServiceError } from '../common/errors.ts'
import { replaceFile } from '../common/whole-file.ts'
import { type DataFolder, type DataPaths, openDataFolder } from './data-folder.ts'
import { type Endpoints, writeEndpoints } from './endpoints.ts'
import { makeFolder } from './folders.ts'
import { readStorageNodeConfig } from './node-config.ts'
import { checkKnownPolicies, checkPolicies, type PolicyChoice } from './policy-choice.ts'
import { checkPortFree, DEFAULT_PORTS } from './ports.ts'
import { startProxy } from './proxy.ts'
import { addPolicyRings, defaultReplicas, newDevice, ringPlan, writeRings } from './rings.ts'
import type { Settings } from './settings.ts'
import type { UpContext } from './up.ts'

export interface ClusterOptions {
  readonly data: string
  readonly host: string
  readonly portOffset: number
  /** Of a new cluster. */
  readonly nodeCount: number
  readonly disksPerNode: number
  readonly zoneCount: number
  readonly replicas?: number
  readonly policies?: readonly PolicyChoice[]
  readonly partPower?: number
  readonly adminPassword?: string
  /** Told what a person should know while it runs. */
  readonly say: (line: string) => void
}

export interface RunningCluster {
  readonly folder: DataFolder
  readonly endpoints: Endpoints
  readonly nodes: readonly ClusterNode[]
  close(): Promise<void>
}

export interface ClusterNode {
  readonly name: string
  readonly configPath: string
  readonly process: ChildProcess
}

export async function startCluster(
  options: ClusterOptions,
  context: UpContext,
): Promise<RunningCluster> {
  const { host, say } = options
  const port = DEFAULT_PORTS.objectStore + options.portOffset
  await checkPortFree(host, port)
  const folder = await openFolder(options, context)
  const nodes: ClusterNode[] = []
  const stopNodes = async () => {
    await Promise.all(nodes.map((node) => stopNode(node)))
    folder.lock.release()
  }
  try {
    await addPolicyRings(folder.paths.rings, ringPlan(folder.settings, context))
    const started = nodeNames(folder.settings.nodeCount ?? 0).map((name) =>
      startNode(folder.paths, name),
    )
    nodes.push(...started)
    await Promise.all(nodes.map((node) => untilReady(node)))
    const config = { host, port, dataFolder: folder.paths.folder, keeper: true }
    const proxy = await startProxy(config, context)
    await writeEndpoints(folder.paths.endpoints, proxy.endpoints)
    let closing = false
    for (const node of nodes) {
      node.process.once('exit', () => {
        if (closing) return
        say(
          `${node.name} (process ${node.process.pid}) has ended; to start it again: ${startLine(node)}`,
        )
      })
    }
    return {
      folder,
      endpoints: proxy.endpoints,
      nodes,
      async close() {
        closing = true
        await proxy.close()
        await stopNodes()
      },
    }
  } catch (error) {
    await stopNodes()
    throw error
  }
}

/** What starts the node by hand. */
export function startLine(node: ClusterNode): string {
  return `npx swiftlet storage-node --config ${node.configPath}`
}

function openFolder(options: ClusterOptions, context: UpContext): Promise<DataFolder> {
  const { nodeCount, disksPerNode, adminPassword, policies = [] } = options
  const replicaCount = options.replicas ?? defaultReplicas(nodeCount)
  return openDataFolder(options.data, {
    random: context.random,
    users: 'file',
    ...(adminPassword === undefined ? {} : { adminPassword }),
    choose() {
      checkPolicies(policies, nodeCount * disksPerNode)
      if (replicaCount <= nodeCount * disksPerNode) {
        return { disks: [], replicaCount, nodeCount, policies }
      }
      throw new ServiceError('BadDisks', `${replicaCount} replicas need as many disks`, {
        status: 400,
      })
    },
    check(paths, settings) {
      checkKnownPolicies(policies, settings, paths.settings)
      if (settings.nodeCount !== undefined) return
      const message = `${paths.folder} belongs to \`swiftlet up\`, not to a cluster`
      throw new ServiceError('WrongFormat', message, { status: 409 })
    },
    fill: (paths, settings) => fillFolder(paths, settings, options, context),
  })
}

async function fillFolder(
  paths: DataPaths,
  settings: Settings,
  options: ClusterOptions,
  context: UpContext,
): Promise<void> {
  const { disksPerNode, zoneCount, portOffset, partPower } = options
  const disks = Array.from({ length: disksPerNode }, (_, index) => `disk${index + 1}`)
  const names = nodeNames(options.nodeCount)
  const portOf = (index: number) => DEFAULT_PORTS.storageNode + portOffset + index
  for (const [index, name] of names.entries()) {
    const config = {
      host: '127.0.0.1',
      port: portOf(index),
      clusterKeyFile: '../../cluster.key',
      devices: disks.map((disk) => ({ name: disk, path: disk })),
    }
    makeFolder(join(paths.nodes, name))
    await replaceFile(nodeConfigPath(paths, name), `${JSON.stringify(config, null, 2)}\n`)
  }
  await writeRings(paths.rings, {
    ...ringPlan(settings, context),
    ...(partPower === undefined ? {} : { partPower }),
    devices: names.flatMap((_, index) =>
      disks.map((disk) =>
        newDevice(disk, { zone: (index % zoneCount) + 1, ip: '127.0.0.1', port: portOf(index) }),
      ),
    ),
  })
}

function nodeNames(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `node${index + 1}`)
}

function nodeConfigPath(paths: DataPaths, name: string): string {
  return join(paths.nodes, name, 'storage-node.json')
}

function startNode(paths: DataPaths, name: string): ClusterNode {
  const configPath = nodeConfigPath(paths, name)
  const args = [...process.execArgv, process.argv[1]!, 'storage-node', '--config', configPath]
  // The channel ends with this process however it ends, and the node with the channel.
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    // A group of its own: Ctrl-C reaches the proxy first, which ends its requests before the nodes go.
    detached: true,
  })
  return { name, configPath, process: child }
}

async function untilReady(node: ClusterNode): Promise<void> {
  const ended = once(node.process, 'exit').then(() => false)
  const ready = (async () => {
    for await (const line of createInterface({ input: node.process.stdout! })) {
      if (line.startsWith('Storage node is ready')) return true
    }
    return false
  })()
  if (await Promise.race([ready, ended])) return
  const { port } = await readStorageNodeConfig(node.configPath)
  throw new ServiceError('NodeFailed', `${node.name} (port ${port}) did not start: see above`)
}

async function stopNode(node: ClusterNode): Promise<void> {
  if (node.process.exitCode !== null || node.process.signalCode !== null) return
  const exited = once(node.process, 'exit')
  node.process.kill('SIGTERM')
  await exited
}
