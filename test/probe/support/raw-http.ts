import { connect, type Socket } from 'node:net'

export interface RawOptions {
  readonly port: number
  /** Gives up after this long without the connection having closed. Default 1500. */
  readonly waitMs?: number
  /** Sends FIN after the last byte. */
  readonly halfClose?: boolean
}

export interface RawOutcome {
  /** All that came, as latin1. */
  readonly text: string
  /** Status codes of the answers in it, in order. */
  readonly statuses: readonly number[]
  /** The server closed the connection. */
  readonly closed: boolean
}

/** Sends exactly these bytes and collects what comes until the server closes or the wait is over. */
export function sendRaw(bytes: string | Buffer, options: RawOptions): Promise<RawOutcome> {
  return new Promise((resolve) => {
    const socket = connect(options.port, '127.0.0.1')
    let text = ''
    const finish = (closed: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ text, statuses: statusesOf(text), closed })
    }
    const timer = setTimeout(() => finish(false), options.waitMs ?? 1500)
    socket.on('data', (piece) => {
      text += piece.toString('latin1')
    })
    socket.on('error', () => finish(true))
    socket.on('close', () => finish(true))
    socket.on('end', () => finish(true))
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    if (options.halfClose) socket.end()
  })
}

/** Sends bytes, waits until `enough` bytes came (0: until they are sent), and cuts the connection. */
export function sendAndAbort(
  bytes: string | Buffer,
  options: { readonly port: number; readonly enough: number; readonly reset: boolean },
): Promise<void> {
  return new Promise((resolve) => {
    const socket: Socket = connect(options.port, '127.0.0.1')
    let count = 0
    const finish = (): void => {
      // Both ways of going away: RST and FIN.
      if (options.reset) socket.resetAndDestroy()
      else socket.destroy()
    }
    socket.on('data', (piece) => {
      count += piece.length
      if (options.enough > 0 && count >= options.enough) finish()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.write(bytes, () => {
      if (options.enough === 0) finish()
    })
  })
}

function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]))
}
