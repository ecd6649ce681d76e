import { resolve } from 'node:path'
import { Command } from 'commander'
import { systemClock as clock } from '../../common/clock.ts'
import { systemRandom as random } from '../../common/random.ts'
import { openLogs } from '../logs.ts'
import { readProxyConfig } from '../node-config.ts'
import { startProxy } from '../proxy.ts'
import { runUntilStopped } from '../run-until-stopped.ts'
import { logOptions, type ServeFlags, withLogOptions } from './serve-options.ts'

export function proxyCommand(): Command {
  const command = new Command('proxy')
    .description('start one proxy of a cluster')
    .requiredOption('--config <file>', 'its proxy.json')
  return withLogOptions(command).action(async (flags: ServeFlags & { readonly config: string }) => {
    const config = await readProxyConfig(resolve(flags.config))
    const logs = openLogs({ component: 'proxy', clock, ...logOptions(flags) })
    await runUntilStopped(logs, {
      start: () => startProxy(config, { clock, random, log: logs.log }),
      sayReady: ({ endpoints: { objectStore, signIn } }) =>
        console.log(`Proxy is ready: object store ${objectStore}/v1, sign-in ${signIn}`),
    })
  })
}
