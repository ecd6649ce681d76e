import { createInterface } from 'node:readline/promises'
import { setTimeout as sleepFor } from 'node:timers/promises'
import { Command, CommanderError } from 'commander'
import { systemClock } from '../common/clock.ts'
import { ServiceError } from '../common/errors.ts'
import { systemRandom } from '../common/random.ts'
import { withBuilderLock } from './builder-store.ts'
import {
  EXIT_ERROR,
  EXIT_SUCCESS,
  type ExitCode,
  type RingCommand,
  type RingContext,
  type RingIo,
} from './command.ts'
import { BUILD_COMMANDS } from './commands/build-commands.ts'
import { DEVICE_COMMANDS } from './commands/device-commands.ts'
import { INSPECT_COMMANDS, reportCommand } from './commands/inspect-commands.ts'
import { PART_POWER_COMMANDS } from './commands/part-power-commands.ts'
import { SETTING_COMMANDS } from './commands/setting-commands.ts'
import { ringFilesOf } from './ring-files.ts'

/** `swiftlet ring <builder file> <command> …`: every command of swift-ring-builder, with its exit codes. */

export const RING_COMMANDS: readonly RingCommand[] = [
  ...INSPECT_COMMANDS,
  ...BUILD_COMMANDS,
  ...DEVICE_COMMANDS,
  ...SETTING_COMMANDS,
  ...PART_POWER_COMMANDS,
]

/** The `ring` command, ready to be mounted. It sets process.exitCode to 0 (done), 1 (done, with a warning) or 2 (refused). */
export function ringCommand(): Command {
  return (
    new Command('ring')
      .description('build and look at rings: which device holds which partition')
      .usage('<builder file> [command] [arguments]')
      .argument('[words...]')
      // The words after the builder file belong to the ring's own commands, their options too.
      .allowUnknownOption()
      .helpOption(false)
      .action(async (_words: string[], _options: unknown, command: Command) => {
        process.exitCode = await runRing(command.args, systemIo())
      })
  )
}

/** Runs one ring command; `words` are the builder file, the command and its arguments. Expected failures end in exit code 2. */
export async function runRing(words: readonly string[], io: RingIo): Promise<ExitCode> {
  const [path, name, ...rest] = words
  if (path === undefined || path === '--help' || path === '-h' || path === 'help') {
    for (const line of helpLines()) io.print(line)
    return EXIT_SUCCESS
  }
  const command =
    name === undefined ? reportCommand : RING_COMMANDS.find((known) => known.name === name)
  if (command === undefined) {
    io.warn(`Unknown command: ${name}`)
    return EXIT_ERROR
  }
  try {
    return await runCommand(command, { path, rest, io })
  } catch (error) {
    return refused(error, io)
  }
}

async function runCommand(
  command: RingCommand,
  call: { readonly path: string; readonly rest: readonly string[]; readonly io: RingIo },
): Promise<ExitCode> {
  const { path, io } = call
  const parsed = parseWords(command, call)
  const { files, namedRingPath, readBuilder } = ringFilesOf(path, io)
  if (namedRingPath !== undefined && command.needsBuilder) {
    io.print(`Note: using ${files.builderPath} instead of ${path} as builder file`)
  }
  const context: RingContext = { io, files, namedRingPath, ...parsed }
  const run = async (): Promise<ExitCode> =>
    command.needsBuilder ? command.run(context, await readBuilder()) : command.run(context)
  return await (command.readOnly === true ? run() : withBuilderLock(files.builderPath, io, run))
}

function parseWords(
  command: RingCommand,
  call: { readonly rest: readonly string[]; readonly io: RingIo },
): Pick<RingContext, 'args' | 'options'> {
  const { rest, io } = call
  const bare = new Command(command.name)
    .usage(command.usage)
    .description(command.summary)
    .argument('[words...]')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.print(text.trimEnd()),
      writeErr: (text) => io.warn(text.trimEnd()),
    })
  if (command.details !== undefined) bare.addHelpText('after', `\n${command.details}`)
  const parser = command.configure?.(bare) ?? bare
  parser.parse([...rest], { from: 'user' })
  return { args: parser.args, options: parser.opts() }
}

function refused(error: unknown, io: RingIo): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_SUCCESS : EXIT_ERROR
  if (error instanceof ServiceError) {
    io.warn(error.message)
    return EXIT_ERROR
  }
  throw error
}

function helpLines(): readonly string[] {
  const width = Math.max(...RING_COMMANDS.map((command) => command.name.length))
  return [
    'Usage: ring <builder file> [command] [arguments]',
    '',
    'The ring file stands beside the builder file: NAME.builder writes NAME.ring, or NAME.ring.gz for Swift.',
    '',
    ...RING_COMMANDS.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'ring <builder file> <command> --help shows the arguments of a command.',
    'Exit codes: 0 = operation successful, 1 = operation completed with warnings, 2 = error',
  ]
}

function systemIo(): RingIo {
  return {
    print: (line) => process.stdout.write(`${line}\n`),
    warn: (line) => process.stderr.write(`${line}\n`),
    confirm: askOnTerminal,
    nowMs: () => systemClock.nowMs(),
    randomId: () => Buffer.from(systemRandom.bytes(16)).toString('hex'),
    sleep: async (delayMs) => {
      await sleepFor(delayMs)
    },
  }
}

/** The end of the input is a no. */
async function askOnTerminal(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
    return (await Promise.race([lines.question(question), ended])) === 'y'
  } finally {
    lines.close()
  }
}
