import type { Command } from 'commander'
import type { RingData } from '../common/ring/ring.ts'
import type { RingFormat } from '../common/ring/ring-file.ts'
import type { Builder } from './builder.ts'

/** What a command ends with, as in swift-ring-builder: all well, done with a warning, or refused. */
export const EXIT_SUCCESS = 0
export const EXIT_WARNING = 1
export const EXIT_ERROR = 2
export type ExitCode = typeof EXIT_SUCCESS | typeof EXIT_WARNING | typeof EXIT_ERROR

/** The world as commands see it. */
export interface RingIo {
  /** A line to standard output. */
  print(line: string): void
  /** A line to standard error. */
  warn(line: string): void
  /** A question whose answer is yes only if the person types `y`. */
  confirm(question: string): Promise<boolean>
  /** Milliseconds since 1970. */
  nowMs(): number
  /** 32 random hex digits. */
  randomId(): string
  sleep(delayMs: number): Promise<void>
}

/** The files of one builder, and what to do with them. */
export interface RingFiles {
  readonly builderPath: string
  /** The ring file in our format, and in Swift's. */
  readonly ringPaths: { readonly swiftlet: string; readonly swift: string }
  /** The one that was named, or else the one that the builder's placement asks for. */
  ringPathFor(builder: Builder): string
  /** Null if there is no such file. */
  readRing(path: string): Promise<{ readonly format: RingFormat; readonly data: RingData } | null>
  builderExists(): Promise<boolean>
  saveBuilder(builder: Builder, options?: { readonly backup: boolean }): Promise<void>
  /** Writes the ring with a backup; returns its path. */
  saveRing(
    builder: Builder,
    options: { readonly format: RingFormat; readonly deviceIdBytes?: 2 | 4 },
  ): Promise<string>
}

export interface RingContext {
  readonly io: RingIo
  readonly files: RingFiles
  /** The ring file that the person named instead of the builder, if so. */
  readonly namedRingPath: string | undefined
  readonly args: readonly string[]
  /** The command's options by name, parsed. */
  readonly options: Readonly<Record<string, unknown>>
}

interface CommandBase {
  readonly name: string
  /** What follows the name, such as `<hours>`. */
  readonly usage: string
  /** For the list of commands, then more for the command's own help. */
  readonly summary: string
  readonly details?: string
  /** True if it changes no file, and so need not wait for others. */
  readonly readOnly?: boolean
  /** Adds options. */
  readonly configure?: (parser: Command) => Command
}

/** A command that works on an existing builder. */
export interface BuilderCommand extends CommandBase {
  readonly needsBuilder: true
  run(context: RingContext, builder: Builder): Promise<ExitCode>
}

/** A command that makes a builder, or needs none. */
export interface BareCommand extends CommandBase {
  readonly needsBuilder: false
  run(context: RingContext): Promise<ExitCode>
}

export type RingCommand = BuilderCommand | BareCommand
