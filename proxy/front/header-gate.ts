import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { Counter, type Registry } from 'prom-client'
import { isInRange } from '../layers/ip-range.ts'
import { type ClientAddress, type ProxyHeader, readProxyHeader } from './proxy-header.ts'

/** Connections must begin with a PROXY protocol header: they come from load balancers only. */
export interface ProxyProtocolOptions {
  /** Networks of the balancers; who comes from elsewhere is refused. Absent: whoever connects is believed. */
  readonly trusted?: readonly string[]
}

/** Why a connection got no further. */
const REFUSALS = ['untrusted', 'malformed', 'late', 'ended'] as const
type Refusal = (typeof REFUSALS)[number]

/** A balancer sends it at once; the protocol asks for time in which a lost packet is sent again (three seconds). */
const HEADER_TIMEOUT_MS = 10_000

/**
 * Reads the PROXY protocol header (proxy-header.ts) of each connection before anything else reads it, TLS included. From
 * then on the socket's remoteAddress is the client's, for all who ask. Who sends none is cut off without an answer.
 */
export class HeaderGate {
  readonly #trusted: readonly string[] | undefined
  readonly #timeoutMs: number
  readonly #refusals: Counter<'reason'>
  readonly #waiting = new Set<Socket>()
  /** What connections that were let in have said. */
  readonly #clients = new WeakMap<Socket, ClientAddress | null>()

  constructor(
    { trusted }: ProxyProtocolOptions,
    options: { readonly metrics: Registry; readonly clientTimeoutMs: number },
  ) {
    this.#trusted = trusted
    this.#timeoutMs = Math.min(HEADER_TIMEOUT_MS, options.clientTimeoutMs)
    this.#refusals = new Counter({
      name: 'swiftlet_proxy_header_refusals_total',
      help: 'Connections closed for want of a PROXY protocol header from a trusted balancer.',
      labelNames: ['reason'],
      registers: [options.metrics],
    })
    for (const reason of REFUSALS) this.#refusals.inc({ reason }, 0)
  }

  /** From here on connections reach the server's own listeners with their header read. */
  standBefore(server: Server, { isTls }: { readonly isTls: boolean }): void {
    const listeners = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      this.#read(socket, () => {
        for (const listener of listeners) listener.call(server, socket)
        // TLS takes what was put back by itself; what flowed here would be lost to it.
        if (!isTls) socket.resume()
      })
    })
  }

  /** Makes the client's address that of the encrypted socket as well. False: it did not come through the gate. */
  admit(encrypted: Socket): boolean {
    // There is no call for it: the socket that the encrypted one stands on.
    const { _parent: below } = encrypted as { readonly _parent?: Socket }
    const client = below === undefined ? undefined : this.#clients.get(below)
    if (client === undefined) return false
    setRemote(encrypted, client)
    return true
  }

  /** Ends the connections whose header has not come. */
  close(): void {
    for (const socket of this.#waiting) socket.destroy()
  }

  #read(socket: Socket, enter: () => void): void {
    if (!this.#isTrusted(socket)) {
      this.#refusals.inc({ reason: 'untrusted' })
      socket.destroy()
      return
    }
    let bytes: Buffer = Buffer.alloc(0)
    const refuse = (reason: Refusal) => {
      stop()
      this.#refusals.inc({ reason })
      socket.on('error', ignore).destroy()
    }
    const timer = setTimeout(() => refuse('late'), this.#timeoutMs)
    const onData = (piece: Buffer) => {
      bytes = bytes.length === 0 ? piece : Buffer.concat([bytes, piece])
      const header = readProxyHeader(bytes)
      if (header === undefined) return
      if (header === null) return refuse('malformed')
      stop()
      this.#enter(socket, header, bytes)
      enter()
    }
    const onClose = () => refuse('ended')
    const stop = () => {
      clearTimeout(timer)
      this.#waiting.delete(socket)
      socket.off('data', onData).off('end', onClose).off('close', onClose).off('error', ignore)
    }
    this.#waiting.add(socket)
    socket.on('data', onData).on('end', onClose).on('close', onClose).on('error', ignore)
  }

  #isTrusted({ remoteAddress }: Socket): boolean {
    const address = remoteAddress?.replace(/%.*$/, '') ?? ''
    return this.#trusted?.some((range) => isInRange(address, range)) ?? true
  }

  #enter(socket: Socket, { headerBytes, client }: ProxyHeader, bytes: Buffer): void {
    socket.pause()
    this.#clients.set(socket, client)
    setRemote(socket, client)
    if (bytes.length > headerBytes) socket.unshift(bytes.subarray(headerBytes))
  }
}

function setRemote(socket: Socket, client: ClientAddress | null): void {
  if (client === null) return
  const { address, port, family } = client
  Object.defineProperties(socket, {
    remoteAddress: { value: address },
    remotePort: { value: port },
    remoteFamily: { value: family },
  })
}

function ignore(): void {}
