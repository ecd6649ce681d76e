/**
 * A listening socket for several threads. Each needs a descriptor of its own, because a thread that ends closes its
 * own - and Node cannot duplicate one. But a descriptor that is sent to another process and back arrives as a new one:
 * hence the small child that only echoes. (SO_REUSEPORT would do it as well, from Node 22.12 on.)
 */
import { type ChildProcess, fork } from 'node:child_process'
import * as net from 'node:net'
import { ServiceError } from '../../common/errors.ts'

/** A bound socket as libuv holds it. */
interface BoundHandle {
  readonly fd: number
  close(): void
}

/** What node:cluster itself binds with; returns a negative errno on failure. */
const createServerHandle = (
  net as unknown as {
    _createServerHandle(address: string, port: number, addressType: 4 | 6): BoundHandle | number
  }
)._createServerHandle

export class SharedSocket {
  readonly #bound: BoundHandle
  readonly #echo: ChildProcess
  // Kept, because a collected handle would close the descriptor that a thread uses.
  readonly #copies: BoundHandle[] = []
  #last: Promise<number> = Promise.resolve(0)

  private constructor(bound: BoundHandle, echo: ChildProcess) {
    this.#bound = bound
    this.#echo = echo
  }

  /** Binds, without listening yet: that is for the threads. Throws the system's error. */
  static bind(address: { readonly host: string; readonly port: number }): SharedSocket {
    const ip = address.host === 'localhost' ? '127.0.0.1' : address.host
    const bound = createServerHandle(ip, address.port, net.isIPv6(ip) ? 6 : 4)
    if (typeof bound === 'number') throw bindError(bound, address)
    const echo = fork(echoFile(), [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    echo.unref()
    echo.channel?.unref()
    return new SharedSocket(bound, echo)
  }

  /** A new descriptor of the same socket. One at a time: answers carry no name. */
  duplicate(): Promise<number> {
    this.#last = this.#last.then(() => this.#copy())
    return this.#last
  }

  async #copy(): Promise<number> {
    const copy = await new Promise<BoundHandle>((resolve, reject) => {
      const fail = () =>
        reject(new ServiceError('NoSocket', 'the listening socket could not be duplicated'))
      this.#echo.once('exit', fail)
      this.#echo.once('message', (_message, handle) => {
        this.#echo.off('exit', fail)
        resolve(handle as unknown as BoundHandle)
      })
      this.#echo.channel?.ref()
      this.#echo.send('copy', this.#bound as unknown as net.Server)
    })
    this.#echo.channel?.unref()
    this.#copies.push(copy)
    return copy.fd
  }

  /** Gives the port back, once the threads have closed theirs. */
  async close(): Promise<void> {
    this.#bound.close()
    if (this.#echo.exitCode !== null) return
    // The child holds copies, too: the port is free when it is gone.
    const gone = new Promise<void>((resolve) => this.#echo.once('exit', () => resolve()))
    this.#echo.ref()
    this.#echo.disconnect()
    await gone
  }
}

function echoFile(): URL {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return new URL(`./socket-echo.${extension}`, import.meta.url)
}

function bindError(
  errno: number,
  address: { readonly host: string; readonly port: number },
): Error {
  const code = { '-98': 'EADDRINUSE', '-13': 'EACCES', '-99': 'EADDRNOTAVAIL' }[String(errno)]
  const message = `bind ${address.host}:${address.port}: ${code ?? `error ${errno}`}`
  return Object.assign(new Error(message), { code: code ?? 'EBIND', syscall: 'bind' })
}
