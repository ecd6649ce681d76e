import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { ServiceError, systemErrorCode } from '../common/errors.ts'

/** OpenStack's own ports; --port-offset is added to each. */
export const DEFAULT_PORTS = { identity: 5000, objectStore: 8080, storageNode: 6200 } as const

/** Throws the error of `explainListenError` if nothing could listen there now. */
export async function checkPortFree(host: string, port: number): Promise<void> {
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, exclusive: true }, resolve)
    })
  } catch (error) {
    throw explainListenError(error, { host, port })
  }
  await new Promise<void>((resolve) => server.close(() => resolve()))
}

/** What a person needs to know about a failed listen: which port, and who has it. Other errors come back as they are. */
export function explainListenError(
  error: unknown,
  address: { readonly host: string; readonly port: number },
): unknown {
  const { host, port } = address
  const code = systemErrorCode(error)
  const refuse = (name: string, message: string) =>
    new ServiceError(name, message, { status: 409, cause: error })
  if (code === 'EADDRINUSE') {
    const holders = portHolders(port).map(({ pid, command }) => `process ${pid} (${command})`)
    const by = holders.length === 0 ? 'another process' : holders.join(' and ')
    return refuse('PortTaken', `port ${port} on ${host} is taken by ${by}; try --port-offset 1000`)
  }
  if (code === 'EACCES') return refuse('PortRefused', `port ${port}: not permitted to this user`)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return refuse('NoSuchAddress', `${host} is not an address of this machine`)
  }
  return error
}

export interface PortHolder {
  readonly pid: number
  readonly command: string
}

/** The processes that listen on a TCP port, as far as this user may see them. Reads /proc; empty without it. */
export function portHolders(port: number): readonly PortHolder[] {
  const sockets = listeningSockets(port)
  if (sockets.size === 0) return []
  return numericNames('/proc').flatMap((pid) => (holdsOne(pid, sockets) ? [holder(pid)] : []))
}

/** `socket:[inode]` of the listeners on a port. */
function listeningSockets(port: number): ReadonlySet<string> {
  const sockets = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readOrEmpty(table).split('\n').slice(1)) {
      // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode; state 0A is LISTEN.
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
      if (state !== '0A' || local === undefined) continue
      if (Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16) === port) {
        sockets.add(`socket:[${inode}]`)
      }
    }
  }
  return sockets
}

function holdsOne(pid: string, sockets: ReadonlySet<string>): boolean {
  return numericNames(`/proc/${pid}/fd`).some((fd) => {
    try {
      return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`))
    } catch {
      return false
    }
  })
}

function holder(pid: string): PortHolder {
  const words = readOrEmpty(`/proc/${pid}/cmdline`).split('\0').join(' ').trim()
  return { pid: Number(pid), command: words === '' ? 'unknown' : words.slice(0, 80) }
}

function numericNames(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
