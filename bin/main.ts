import { Command, CommanderError } from 'commander'
import { ServiceError } from '../common/errors.ts'
import { projectVersion } from './project.ts'

/** Each subcommand is loaded when it is asked for: `swiftlet env` does not wait for the object store's modules. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import('./commands/up.ts')).upCommand(),
  env: async () => (await import('./commands/env.ts')).envCommand(),
  account: async () => (await import('./commands/account.ts')).accountCommand(),
  identity: async () => (await import('./commands/identity.ts')).identityCommand(),
  user: async () => (await import('./commands/user.ts')).userCommand(),
  check: async () => (await import('./commands/check.ts')).checkCommand(),
  backup: async () => (await import('./commands/backup.ts')).backupCommand(),
  restore: async () => (await import('./commands/backup.ts')).restoreCommand(),
  ring: async () => (await import('../ring-builder/cli.ts')).ringCommand(),
  cluster: async () => (await import('./commands/cluster.ts')).clusterCommand(),
  'storage-node': async () => (await import('./commands/storage-node.ts')).storageNodeCommand(),
  proxy: async () => (await import('./commands/proxy.ts')).proxyCommand(),
  'get-nodes': async () => (await import('./commands/get-nodes.ts')).getNodesCommand(),
  'account-info': async () => (await import('./commands/item-info.ts')).itemInfoCommand('account'),
  'container-info': async () =>
    (await import('./commands/item-info.ts')).itemInfoCommand('container'),
  'object-info': async () => (await import('./commands/item-info.ts')).itemInfoCommand('object'),
  'account-audit': async () => (await import('./commands/account-audit.ts')).accountAuditCommand(),
  'container-deleter': async () =>
    (await import('./commands/container-deleter.ts')).containerDeleterCommand(),
  dispersion: async () => (await import('./commands/dispersion.ts')).dispersionCommand(),
  'form-signature': async () =>
    (await import('./commands/form-signature.ts')).formSignatureCommand(),
  recon: async () => (await import('./commands/recon.ts')).reconCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  bench: async () => (await import('../bench/main.ts')).benchCommand(),
  test: async () => (await import('./commands/test.ts')).testCommand(),
  version: async () => (await import('./commands/version.ts')).versionCommand(),
}
const DEFAULT_COMMAND = 'up'

/** The `swiftlet` command: exit code 0, 1 for a failure with one line that says why, 2 for a wrong command line. */
async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('swiftlet')
    .description('An OpenStack cloud whose heart is its object store')
    .version(projectVersion())
    .enablePositionalOptions()
    .exitOverride()
  for (const name of namesWanted(argv[0])) {
    const command = await COMMANDS[name]!()
    overrideExits(command)
    program.addCommand(command, { isDefault: name === DEFAULT_COMMAND })
  }
  await program.parseAsync([...argv], { from: 'user' })
}

/** Subcommands of subcommands too: addCommand passes nothing on. */
function overrideExits(command: Command): void {
  command.exitOverride()
  for (const inner of command.commands) overrideExits(inner)
}

/** All of them where the program itself has to answer: for help, and to suggest a name for a misspelt one. */
function namesWanted(first: string | undefined): readonly string[] {
  if (first === undefined) return [DEFAULT_COMMAND]
  if (Object.hasOwn(COMMANDS, first)) return [first]
  const forProgram = ['-h', '--help', '-V', '--version', 'help'].includes(first)
  return first.startsWith('-') && !forProgram ? [DEFAULT_COMMAND] : Object.keys(COMMANDS)
}

/** What a person can act on is one line; a bug shows where it is. */
function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // Commander has said it already; its own code is 0 for --help and --version.
    process.exitCode = error.exitCode === 0 ? 0 : 2
    return
  }
  const expected = error instanceof ServiceError || !(error instanceof Error) || 'syscall' in error
  const text = expected ? messageOf(error) : (error.stack ?? error.message)
  process.stderr.write(`swiftlet: ${text}\n`)
  process.exit(1)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

main(process.argv.slice(2)).catch(fail)
