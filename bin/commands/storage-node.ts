import { resolve } from 'node:path'
import { Command } from 'commander'
import { systemClock as clock } from '../../common/clock.ts'
import { systemRandom as random } from '../../common/random.ts'
import { openLogs } from '../logs.ts'
import { readStorageNodeConfig } from '../node-config.ts'
import { runUntilStopped } from '../run-until-stopped.ts'
import { startStorageNode } from '../storage-node.ts'
import { logOptions, type ServeFlags, withLogOptions } from './serve-options.ts'

interface NodeFlags extends ServeFlags {
  readonly config: string
  readonly replacedDisks?: boolean
}

export function storageNodeCommand(): Command {
  const command = new Command('storage-node')
    .description('start one storage node of a cluster')
    .requiredOption('--config <file>', 'its storage-node.json')
    .option(
      '--replaced-disks',
      'empty disks stand for lost ones, also where the node has lost its rings: they learn from their replicas first',
    )
  return withLogOptions(command).action(async (flags: NodeFlags) => {
    const config = await readStorageNodeConfig(resolve(flags.config))
    const logs = openLogs({ component: 'storage-node', clock, ...logOptions(flags) })
    await runUntilStopped(logs, {
      start: () =>
        startStorageNode(
          config,
          { clock, random, log: logs.log },
          { replacedDisks: flags.replacedDisks === true },
        ),
      sayReady: ({ port }) => console.log(`Storage node is ready: ${config.host}:${port}`),
    })
  })
}
