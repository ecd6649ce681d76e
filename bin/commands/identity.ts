import { resolve } from 'node:path'
import { Command } from 'commander'
import { rotateSecretKeyFile } from '../../auth/secrets/secret-key-file.ts'
import { rotateKeyFile } from '../../auth/tokens/key-file.ts'
import { systemClock as clock } from '../../common/clock.ts'
import type { Log } from '../../common/log.ts'
import { systemRandom as random } from '../../common/random.ts'
import { dataPaths } from '../data-folder.ts'
import { DEFAULT_DATA } from '../defaults.ts'
import { AuditLog } from '../identity/audit-log.ts'
import { identityPaths, readIdentityConfig } from '../identity/identity-config.ts'
import { startIdentity } from '../identity/identity-server.ts'
import { openLogs } from '../logs.ts'
import { runUntilStopped } from '../run-until-stopped.ts'
import {
  type AuditFlags,
  logOptions,
  type ServeFlags,
  withAuditOption,
  withLogOptions,
} from './serve-options.ts'

/** `swiftlet identity serve|rotate-keys|rotate-credential-keys`. */
export function identityCommand(): Command {
  return new Command('identity')
    .description('start an identity service (Keystone v3), or change the keys of its tokens')
    .addCommand(serveCommand())
    .addCommand(rotateCommand())
    .addCommand(rotateCredentialsCommand())
}

function serveCommand(): Command {
  const command = new Command('serve')
    .description('start one identity service; `up` does so by itself')
    .requiredOption('--config <file>', 'its identity.json; - is standard input')
  return withAuditOption(withLogOptions(command)).action(async (flags: IdentityServeFlags) => {
    // Whoever started it was killed: there is nothing to end in order, and the next one wants port and state.
    process.once('disconnect', () => process.exit(1))
    const config = await readIdentityConfig(flags.config)
    const logs = openLogs({ component: 'identity', clock, ...logOptions(flags) })
    await runUntilStopped(logs, {
      async start() {
        const audit = openAudit(flags.auditLog, logs.log)
        const running = await startIdentity(config, { clock, random, log: logs.log }, audit)
        return {
          port: running.port,
          async close() {
            await running.close()
            await audit?.close()
          },
        }
      },
      sayReady: ({ port }) => console.log(`Identity is ready: ${config.host}:${port}`),
    })
  })
}

interface IdentityServeFlags extends ServeFlags, AuditFlags {
  readonly config: string
}

function openAudit(path: string | undefined, log: Log): AuditLog | undefined {
  if (path === undefined) return undefined
  return new AuditLog(path, (error) => log.error('audit log', { error }))
}

interface FolderFlags {
  readonly data: string
  readonly folder?: string
}

function withFolder(command: Command): Command {
  return command
    .option('--data <folder>', 'the data folder of `up`', DEFAULT_DATA)
    .option('--folder <folder>', 'the folder of an identity service, instead')
}

function pathsOf({ data, folder }: FolderFlags) {
  return identityPaths(resolve(folder ?? dataPaths(resolve(data)).identity))
}

function rotateCredentialsCommand(): Command {
  const command = new Command('rotate-credential-keys').description(
    'seal credentials with a new key from now on, and those there are anew; older keys stay for backups',
  )
  return withFolder(command).action(async (flags: FolderFlags) => {
    const [newest, ...older] = await rotateSecretKeyFile(pathsOf(flags).credentialKeys, random)
    console.log(`${newest.id} seals now; ${older.length} older keys open`)
  })
}

function rotateCommand(): Command {
  const command = new Command('rotate-keys').description(
    'sign with the next key from now on; tokens of the last two keys stay good, those of older ones become void',
  )
  return withFolder(command).action(async (flags: FolderFlags) => {
    const { primary, staged, secondaries } = await rotateKeyFile(pathsOf(flags).tokenKeys)
    const kept = secondaries.map(({ kid }) => kid).join(', ')
    console.log(`${primary.kid} signs now, ${staged.kid} is next; still good: ${kept}`)
  })
}
