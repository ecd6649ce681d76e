import { resolve } from 'node:path'
import { Command } from 'commander'
import { systemClock as clock } from '../../common/clock.ts'
import { systemRandom as random } from '../../common/random.ts'
import { type RunningCluster, startCluster } from '../cluster.ts'
import { DEFAULT_HOST } from '../defaults.ts'
import { openLogs } from '../logs.ts'
import { parsePortOffset, wholeNumber } from '../option-values.ts'
import { collectPolicy, POLICY_HELP, type PolicyChoice } from '../policy-choice.ts'
import { runUntilStopped } from '../run-until-stopped.ts'
import { clusterChangeCommands } from './cluster-change.ts'
import { logOptions, type ServeFlags, withLogOptions } from './serve-options.ts'

const DEFAULT_CLUSTER_DATA = './data/cluster'

interface ClusterFlags extends ServeFlags {
  readonly data: string
  readonly host: string
  readonly portOffset: number
  readonly nodes: number
  readonly disks: number
  readonly zones?: number
  readonly replicas?: number
  readonly policy?: readonly PolicyChoice[]
  readonly partPower?: number
}

export function clusterCommand(): Command {
  const command = new Command('cluster')
    .description(
      'start several storage nodes, each a process in a zone, and a proxy, to try failures',
    )
    .option('--data <folder>', 'where everything is kept', DEFAULT_CLUSTER_DATA)
    .option('--host <address>', 'address that the proxy listens on', DEFAULT_HOST)
    .option(
      '--port-offset <n>',
      'added to the ports (proxy 8080; nodes from 6200 on, first start only)',
      parsePortOffset,
      0,
    )
    .option('--nodes <n>', 'storage nodes; first start only', wholeNumber({ min: 1, max: 64 }), 3)
    .option(
      '--disks <n>',
      'disks of each node; first start only',
      wholeNumber({ min: 1, max: 16 }),
      1,
    )
    .option('--zones <n>', 'zones; as many as nodes by default', wholeNumber({ min: 1, max: 64 }))
    .option('--replicas <n>', '1, 2 or 3 by default', wholeNumber({ min: 1, max: 32 }))
    .option('--policy <policy>', POLICY_HELP, collectPolicy)
    .option(
      '--part-power <n>',
      '2^n partitions: about a thousand a disk by default; first start only',
      wholeNumber({ min: 1, max: 24 }),
    )
    // What stands behind a subcommand is the subcommand's.
    .enablePositionalOptions()
  for (const change of clusterChangeCommands(DEFAULT_CLUSTER_DATA)) command.addCommand(change)
  return withLogOptions(command).action(cluster)
}

async function cluster(flags: ClusterFlags): Promise<void> {
  const { host, portOffset, nodes, disks, zones, replicas, partPower } = flags
  const adminPassword = process.env.SWIFTLET_ADMIN_PASSWORD
  const logs = openLogs({ component: 'cluster', clock, ...logOptions(flags) })
  await runUntilStopped(logs, {
    start: () =>
      startCluster(
        {
          data: resolve(flags.data),
          host,
          portOffset,
          nodeCount: nodes,
          disksPerNode: disks,
          zoneCount: zones ?? nodes,
          policies: flags.policy ?? [],
          ...(replicas === undefined ? {} : { replicas }),
          ...(partPower === undefined ? {} : { partPower }),
          ...(adminPassword === undefined || adminPassword === '' ? {} : { adminPassword }),
          say: (line) => console.log(line),
        },
        { clock, random, log: logs.log },
      ),
    sayReady: (running) => sayReady(running, flags),
  })
}

function sayReady(running: RunningCluster, flags: ClusterFlags): void {
  for (const node of running.nodes) console.log(`${node.name}: process ${node.process.pid}`)
  const seconds = (clock.monotonicMs() / 1000).toFixed(1)
  const { objectStore, signIn } = running.endpoints
  console.log(
    `Swiftlet is ready (${seconds} s): object store ${objectStore}/v1, sign-in ${signIn}, ` +
      `next: eval "$(npx swiftlet env --data ${flags.data})" && swift stat, then kill a node`,
  )
}
