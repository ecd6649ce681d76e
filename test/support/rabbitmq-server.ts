/** A RabbitMQ of Debian's in a folder of its own, on loopback only. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { freePort } from '../../bench/store-process.ts'

const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server'
const START_MS_MAX = 120_000

export interface RabbitMq {
  /** `127.0.0.1:…` */
  readonly host: string
  readonly url: string
  stop(): Promise<void>
}

/** Why there is none; null if there is. */
export function missingRabbitMq(): string | null {
  return existsSync(SERVER) ? null : `${SERVER} is not installed`
}

/** Resolves when it takes connections. The folder must be there. */
export async function startRabbitMq(folder: string): Promise<RabbitMq> {
  const [port, distPort, epmdPort] = [await freePort(), await freePort(), await freePort()]
  const env = {
    ...process.env,
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `test${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: `${folder}/mnesia`,
    RABBITMQ_LOG_BASE: `${folder}/log`,
    RABBITMQ_PID_FILE: `${folder}/pid`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/plugins`,
    RABBITMQ_CONFIG_FILE: `${folder}/none`,
    RABBITMQ_ADVANCED_CONFIG_FILE: `${folder}/none.config`,
  }
  // In the foreground, so that it ends with us.
  const epmd = spawn('epmd', ['-port', String(epmdPort)], { env, stdio: 'ignore' })
  const server = spawn(SERVER, [], { env, cwd: folder, stdio: 'ignore', detached: true })
  const host = `127.0.0.1:${port}`
  const url = `amqp://guest:guest@${host}/`
  const stop = async () => {
    await groupEnded(server.pid!)
    await ended(epmd)
  }
  const endMs = performance.now() + START_MS_MAX
  for (;;) {
    try {
      const connection = await connect(url, { timeout: 5_000 })
      await connection.close()
      return { host, url, stop }
    } catch (error) {
      if (performance.now() > endMs || server.exitCode !== null) {
        await stop()
        throw error
      }
      await sleep(200)
    }
  }
}

/** The server's shell ends before what it has started. */
async function groupEnded(leader: number): Promise<void> {
  for (let signal: NodeJS.Signals | 0 = 'SIGTERM'; ; signal = 0) {
    try {
      process.kill(-leader, signal)
    } catch {
      return
    }
    await sleep(50)
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill()
  })
}
