import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { systemClock as clock } from '../../common/clock.ts'
import { formatBytes } from '../../common/config.ts'
import { systemRandom as random } from '../../common/random.ts'
import { DEFAULT_DATA, DEFAULT_HOST } from '../defaults.ts'
import { openLogs } from '../logs.ts'
import { collect, parsePortOffset, SEGMENT_BYTES, size, wholeNumber } from '../option-values.ts'
import { collectPolicy, POLICY_HELP, type PolicyChoice } from '../policy-choice.ts'
import { projectVersion } from '../project.ts'
import { runUntilStopped } from '../run-until-stopped.ts'
import { type Running, startUp } from '../up.ts'
import {
  type AuditFlags,
  logOptions,
  type ServeFlags,
  withAuditOption,
  withLogOptions,
} from './serve-options.ts'

/** More cores than this serve more than one machine's disks need. */
const THREADS_MAX = 16

interface UpFlags extends ServeFlags, AuditFlags {
  readonly data: string
  readonly host: string
  readonly portOffset: number
  readonly disk?: readonly string[]
  readonly replicas?: number
  readonly policy?: readonly PolicyChoice[]
  readonly segmentSize?: number
  readonly threads: number
  readonly tlsCert?: string
  readonly tlsKey?: string
}

export function upCommand(): Command {
  const command = new Command('up')
    .description('start Swiftlet (the default)')
    .option('--data <folder>', 'where everything is kept', DEFAULT_DATA)
    .option('--host <address>', 'address to listen on', DEFAULT_HOST)
    .option(
      '--port-offset <n>',
      'added to every default port (object store 8080)',
      parsePortOffset,
      0,
    )
    .option(
      '--disk <folder>',
      'a disk to store on, may be repeated; later starts may name more',
      collect,
    )
    .option(
      '--replicas <n>',
      'copies of everything; at first 1, 2 or 3 as there are disks, later as it was',
      wholeNumber({ min: 1, max: 32 }),
    )
    .option('--policy <policy>', POLICY_HELP, collectPolicy)
    .option(
      '--segment-size <size>',
      `bytes of a log file, ${formatBytes(SEGMENT_BYTES.min)} to ${formatBytes(SEGMENT_BYTES.max)}`,
      size(SEGMENT_BYTES),
    )
    .option(
      '--threads <n>',
      'threads that serve, as many as there are cores by default; 1: all on the main one',
      wholeNumber({ min: 1, max: 64 }),
      Math.min(availableParallelism(), THREADS_MAX),
    )
    .option('--tls-cert <file>', 'certificate (PEM): speak HTTPS')
    .option('--tls-key <file>', 'its private key (PEM)')
    .addHelpText('after', '\nSWIFTLET_ADMIN_PASSWORD sets the password of admin:admin.')
  return withAuditOption(withLogOptions(command)).action(up)
}

async function up(flags: UpFlags): Promise<void> {
  const { segmentSize, disk = [] } = flags
  const adminPassword = process.env.SWIFTLET_ADMIN_PASSWORD
  const logOf = { component: 'up', ...logOptions(flags) }
  const logs = openLogs({ ...logOf, clock })
  await runUntilStopped(logs, {
    start: () =>
      startUp(
        {
          ...flags,
          data: resolve(flags.data),
          disks: disk,
          policies: flags.policy ?? [],
          logs: logOf,
          onFatal,
          ...(segmentSize === undefined ? {} : { segmentBytes: segmentSize }),
          ...(adminPassword === undefined || adminPassword === '' ? {} : { adminPassword }),
        },
        { clock, random, log: logs.log },
      ),
    sayReady: (running) => sayReady(running, flags),
  })
}

/** Nothing is served any more: end, so that whoever watches the process sees it. */
function onFatal(error: Error): void {
  process.stderr.write(`swiftlet: the object store cannot go on: ${error.message}\n`)
  process.exit(1)
}

function sayReady(running: Running, flags: UpFlags): void {
  const { folder, notes, endpoints } = running
  const { settings, paths, isNew } = folder
  const many = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`
  const disks = many(settings.disks.length, 'disk')
  const replicas = many(settings.replicaCount, 'replica')
  console.log(`Swiftlet ${projectVersion()}: data in ${paths.folder} (${disks}, ${replicas})`)
  for (const note of notes) console.log(`Disks: ${note}`)
  if (notes.length > 0) {
    console.log(
      `Data moves meanwhile; how far that is: npx swiftlet cluster movement --data ${flags.data}`,
    )
  }
  if (isNew) {
    console.log(`First start: made user admin:admin, its password is in ${paths.credentials}`)
  }
  if (!isLoopback(flags.host) && flags.tlsCert === undefined) {
    console.log(
      'Anyone who can reach this address can read passwords and data on the way: use --tls-cert',
    )
  }
  const data = flags.data === DEFAULT_DATA ? '' : ` --data ${flags.data}`
  const seconds = (clock.monotonicMs() / 1000).toFixed(1)
  console.log(
    `Swiftlet is ready (${seconds} s): object store ${endpoints.objectStore}/v1, sign-in ${endpoints.signIn}, ` +
      `next: eval "$(npx swiftlet env${data})" && swift stat`,
  )
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
