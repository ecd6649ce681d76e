import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { siblingPath } from './sibling.ts'
import { freePort, startStore, storeCredentials } from './store-process.ts'

/** Always measured. */
export const MAIN_SIDES = ['limit', 'swiftlet'] as const
/** Measured beside them if wanted and installed. */
export const PEERS = ['debian-swift'] as const
export type PeerName = (typeof PEERS)[number]
export type SideName = (typeof MAIN_SIDES)[number] | PeerName

/** A server under measurement. Both sides are asked with heads of the same length. */
export interface Side {
  readonly name: SideName
  readonly pid: number
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  /** What paths of bodies of this length begin with. */
  pathPrefix(bytes: number, label: string): string
  stop(): Promise<void>
}

export interface SideOptions {
  /** Where it may write. */
  readonly folder: string
  readonly replicas: number
  /** Threads of Swiftlet, processes of the limit program. */
  readonly threads: number
  /** Storage nodes, each a process with one disk; absent: one process with a disk for each replica. */
  readonly nodes?: number
  /** More arguments of `swiftlet up`. */
  readonly extraArguments?: readonly string[]
}

const CONTAINER = 'bench'

/** Swiftlet as a user runs it, one disk folder a replica. */
export async function startSwiftlet(options: SideOptions): Promise<Side> {
  const port = await freePort()
  const dataFolder = join(options.folder, 'data')
  const { nodes, extraArguments = [] } = options
  const store = await startStore({
    dataFolder,
    port,
    ...(nodes === undefined
      ? {
          disks: await diskFolders(options),
          extraArguments: ['--threads', String(options.threads), ...extraArguments],
        }
      : {
          nodes,
          extraArguments: ['--replicas', String(options.replicas), ...extraArguments],
        }),
  })
  const { user, key } = await storeCredentials(dataFolder)
  const signIn = await fetch(`${store.origin}/auth/v1.0`, {
    headers: { 'x-auth-user': user, 'x-auth-key': key },
  })
  const headers = { 'x-auth-token': signIn.headers.get('x-auth-token') ?? '' }
  const account = new URL(signIn.headers.get('x-storage-url') ?? '').pathname
  const made = await fetch(`${store.origin}${account}/${CONTAINER}`, { method: 'PUT', headers })
  if (made.status >= 300) throw new Error(`the container was not made: ${made.status}`)
  return {
    name: 'swiftlet',
    pid: store.pid,
    port,
    headers,
    pathPrefix: (bytes, label) => `${account}/${CONTAINER}/${bytes}-${label}-`,
    async stop() {
      await store.stop()
    },
  }
}

/** Log shards of a device that Swiftlet has formatted in the folder of its side. */
export async function shardCount(options: Pick<SideOptions, 'folder' | 'nodes'>): Promise<number> {
  const device = options.nodes === undefined ? 'disk1' : 'data/nodes/node1/disk1'
  const format = JSON.parse(await readFile(join(options.folder, device, 'FORMAT'), 'utf8')) as {
    readonly shards: number
  }
  return format.shards
}

/** The limit program with as many processes as Swiftlet has threads, and as many logs. */
export async function startLimit(
  options: SideOptions & {
    /** Logs of each disk. */
    readonly logs: number
    readonly headers: Side['headers']
    readonly pathLike: Side['pathPrefix']
  },
): Promise<Side> {
  const port = await freePort()
  const folders = await diskFolders(options)
  const program = siblingPath(import.meta.url, './limit/limit-server')
  const loader = program.endsWith('.ts') ? ['--import=tsx'] : []
  const child = spawn(
    process.execPath,
    [...loader, program, ...[port, options.threads, options.logs].map(String), ...folders],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    },
  )
  const exited = once(child, 'exit')
  await Promise.race([once(child.stdout, 'data'), exited])
  if (child.exitCode !== null) throw new Error('the limit program ended at once')
  return {
    name: 'limit',
    pid: child.pid!,
    port,
    headers: options.headers,
    // The length first, then as long as the store's.
    pathPrefix: (bytes, label) => `/${bytes}/`.padEnd(options.pathLike(bytes, label).length, 'x'),
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

async function diskFolders(options: SideOptions): Promise<string[]> {
  const folders = Array.from({ length: options.replicas }, (_, index) =>
    join(options.folder, `disk${index + 1}`),
  )
  for (const folder of folders) await mkdir(folder, { recursive: true })
  return folders
}
