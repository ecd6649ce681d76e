import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { processTree } from '../process-usage.ts'
import type { Side, SideOptions } from '../side.ts'
import { freePort } from '../store-process.ts'

const run = promisify(execFile)

const PYTHON = '/usr/bin/python3'
const KINDS = ['account', 'container', 'object'] as const
const CONTAINER = 'bench'

/** Why Debian's Swift cannot be started here, or null. */
export async function missingDebianSwift(): Promise<string | null> {
  try {
    await run(PYTHON, ['-c', 'import swift.proxy.server'])
    await run('which', ['memcached', 'swift-ring-builder'])
    return null
  } catch {
    return 'needs the Debian packages python3-swift, swift and memcached'
  }
}

export interface DebianSwiftOptions extends SideOptions {
  /** A second proxy whose clock is so much ahead, by Debian's faketime. */
  readonly aheadSeconds?: number
  /** Containers are synchronised with these clusters; the port of the proxy is drawn by who names it. */
  readonly sync?: SyncedSwift
}

export interface SyncedSwift {
  readonly port: number
  /** Text of `container-sync-realms.conf`. */
  readonly realms: string
  /** `//realm/cluster` of this one. */
  readonly current: string
}

export interface DebianSwift extends Side {
  /** Of the second proxy. */
  readonly aheadPort: number | null
  /** One pass of its container sync daemon. */
  syncOnce(): Promise<void>
}

/**
 * OpenStack Swift from Debian as an all-in-one on loopback: proxy, account, container and object servers with as many
 * workers as there are cores, tempauth, memcached, one device a replica. Its consistency daemons are not started.
 */
export async function startDebianSwift(options: DebianSwiftOptions): Promise<DebianSwift> {
  const conf = join(options.folder, 'etc')
  await mkdir(conf, { recursive: true })
  const devices = Array.from({ length: options.replicas }, (_, index) => `d${index + 1}`)
  for (const device of devices)
    await mkdir(join(options.folder, 'srv', device), { recursive: true })
  const ports: Record<string, number> = {}
  for (const name of ['proxy', 'ahead', 'memcached', ...KINDS]) ports[name] = await freePort()
  if (options.sync !== undefined) ports.proxy = options.sync.port
  await writeConfigs({ conf, folder: options.folder, ports, sync: options.sync ?? null })
  await buildRings({ conf, devices, ports })

  const launch = (kind: string, config: string): string =>
    `${PYTHON} ${launcher()} ${conf} ${kind} ${join(conf, config)}`
  const { aheadSeconds } = options
  // All are children of one shell, so that their CPU time can be summed up by its tree.
  const commands = [
    `memcached -l 127.0.0.1 -p ${ports.memcached} -u root`,
    ...[...KINDS, 'proxy'].map((kind) => launch(kind, `${kind}-server.conf`)),
    ...(aheadSeconds === undefined
      ? []
      : [`faketime -m -f +${aheadSeconds}s ${launch('proxy', 'ahead-server.conf')}`]),
  ]
  const child = spawn(
    'sh',
    ['-c', `${commands.map((command) => `${command} &`).join('\n')}\nwait`],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  try {
    const asked = aheadSeconds === undefined ? [ports.proxy] : [ports.proxy, ports.ahead]
    for (const port of asked) {
      const health = `http://127.0.0.1:${port}/healthcheck`
      await until('proxy server', async () => (await fetch(health)).ok)
    }
    const side = await signIn(child, ports.proxy!)
    return {
      ...side,
      aheadPort: aheadSeconds === undefined ? null : ports.ahead!,
      async syncOnce() {
        const daemon = [launcher(), conf, 'container-sync', join(conf, 'container-server.conf')]
        await run(PYTHON, daemon)
      },
    }
  } catch (error) {
    killTree(child.pid!)
    throw error
  }
}

async function signIn(child: ChildProcess, port: number): Promise<Side> {
  const origin = `http://127.0.0.1:${port}`
  const answer = await fetch(`${origin}/auth/v1.0`, {
    headers: { 'x-auth-user': 'bench:bench', 'x-auth-key': 'bench' },
  })
  const headers = { 'x-auth-token': answer.headers.get('x-auth-token') ?? '' }
  const account = new URL(answer.headers.get('x-storage-url') ?? '').pathname
  // The proxy is up before the servers behind it.
  await until('container server', async () => {
    const made = await fetch(`${origin}${account}/${CONTAINER}`, { method: 'PUT', headers })
    return made.status < 300
  })
  return {
    name: 'debian-swift',
    pid: child.pid!,
    port,
    headers,
    pathPrefix: (bytes, label) => `${account}/${CONTAINER}/${bytes}-${label}-`,
    async stop() {
      const exited = once(child, 'exit')
      killTree(child.pid!)
      await exited
    },
  }
}

/** By process: Swift's servers leave the process group of their parent. */
function killTree(pid: number): void {
  for (const one of processTree(pid).reverse()) process.kill(one, 'SIGKILL')
}

async function writeConfigs(options: {
  readonly conf: string
  readonly folder: string
  readonly ports: Readonly<Record<string, number>>
  readonly sync: SyncedSwift | null
}): Promise<void> {
  const { conf, ports, sync } = options
  const write = (name: string, text: string): Promise<void> => writeFile(join(conf, name), text)
  const common = (port: number): string =>
    `[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = ${port}\nuser = root\nswift_dir = ${conf}\nlog_level = ERROR\nworkers = ${availableParallelism()}\n`
  await write(
    'swift.conf',
    '[swift-hash]\nswift_hash_path_suffix = bench\nswift_hash_path_prefix = bench\n',
  )
  for (const kind of KINDS) {
    await write(
      `${kind}-server.conf`,
      `${common(ports[kind]!)}devices = ${join(options.folder, 'srv')}\nmount_check = false\n[pipeline:main]\npipeline = ${kind}-server\n[app:${kind}-server]\nuse = egg:swift#${kind}\n` +
        `[container-sync]\ninternal_client_conf_path = ${join(conf, 'internal-client.conf')}\n`,
    )
  }
  const cache = `[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:${ports.memcached}\n`
  const layers = sync === null ? 'tempauth' : 'container_sync tempauth slo dlo symlink'
  const proxy = (port: number): string =>
    `${common(port)}[pipeline:main]\npipeline = catch_errors gatekeeper healthcheck cache ${layers} proxy-server\n` +
    `[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n` +
    `[filter:tempauth]\nuse = egg:swift#tempauth\nuser_bench_bench = bench .admin\n` +
    cache +
    `[filter:container_sync]\nuse = egg:swift#container_sync\ncurrent = ${sync?.current ?? ''}\n` +
    ['catch_errors', 'gatekeeper', 'healthcheck', 'slo', 'dlo', 'symlink']
      .map((name) => `[filter:${name}]\nuse = egg:swift#${name}\n`)
      .join('')
  if (sync !== null) {
    await write('container-sync-realms.conf', sync.realms)
    await write(
      'internal-client.conf',
      `[DEFAULT]\nswift_dir = ${conf}\n[pipeline:main]\npipeline = catch_errors cache symlink proxy-server\n` +
        `[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n${cache}` +
        `[filter:catch_errors]\nuse = egg:swift#catch_errors\n[filter:symlink]\nuse = egg:swift#symlink\n`,
    )
  }
  await write('proxy-server.conf', proxy(ports.proxy!))
  await write('ahead-server.conf', proxy(ports.ahead!))
}

async function buildRings(options: {
  readonly conf: string
  readonly devices: readonly string[]
  readonly ports: Readonly<Record<string, number>>
}): Promise<void> {
  for (const kind of KINDS) {
    const builder = join(options.conf, `${kind}.builder`)
    await run('swift-ring-builder', [builder, 'create', '10', String(options.devices.length), '1'])
    for (const [index, device] of options.devices.entries()) {
      const place = `r1z${index + 1}-127.0.0.1:${options.ports[kind]}/${device}`
      await run('swift-ring-builder', [builder, 'add', place, '1'])
    }
    await run('swift-ring-builder', [builder, 'rebalance'])
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  // On a machine with much else to do Python takes its time.
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await holds().catch(() => false)) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error(`Debian’s Swift: no ${what}`)
}

function launcher(): string {
  // From dist as well: the compiler does not copy it.
  const here = fileURLToPath(import.meta.url)
  return here
    .replace('/dist/bench/', '/bench/')
    .replace(/debian-swift\.[jt]s$/, 'run-swift-server.py')
}
