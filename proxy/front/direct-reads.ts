/**
 * Reads of a socket past its stream. For a socket that one makes oneself node has `onread`: what comes is read into one
 * buffer and told by a call, instead of into 64 KiB of fresh memory a read, which is cut to size and told by a stream's
 * events. A socket that a server has accepted takes no options, but keeps such things in the same places: which these
 * are is seen on a socket that is made with the option. Where a node has no such places, reads go by the stream.
 */
import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net'

/** So much a socket gets at once, as from node. */
const READ_BYTES_MAX = 64 * 1024

/** What all such sockets of this thread read goes here: nobody may keep a part of it. */
const lent = Buffer.allocUnsafeSlow(READ_BYTES_MAX)

/** Told what was read, in memory that is lent until the call returns. False: no more until the socket is resumed. */
export type Take = (bytes: Buffer) => boolean

interface Handle {
  /** Has all further reads go to the buffer. */
  useUserBuffer?(buffer: Buffer): void
}

type Inside = { [place: symbol]: unknown } & { readonly _handle?: Handle | null }

interface Places {
  readonly buffer: symbol
  readonly callback: symbol
}

const places = placesOfOnread()

/**
 * From here on what the socket reads goes to `take`; what was put back into its stream still comes from there. False if
 * this node cannot do it: then all comes by the stream.
 */
export function readDirectly(socket: Socket, take: Take): boolean {
  const inside = socket as unknown as Inside
  const { _handle: handle } = inside
  if (places === null || typeof handle?.useUserBuffer !== 'function') return false
  inside[places.callback] = (bytes: number) => take(lent.subarray(0, bytes))
  // The handle keeps the buffer for good.
  if (inside[places.buffer] !== lent) {
    inside[places.buffer] = lent
    handle.useUserBuffer(lent)
  }
  return true
}

/** Has what the socket reads come by its stream again, if it was read directly. */
export function readByStream(socket: Socket): void {
  const inside = socket as unknown as Inside
  if (places === null || inside[places.buffer] !== lent) return
  inside[places.callback] = (bytes: number) => socket.push(Buffer.from(lent.subarray(0, bytes)))
}

function placesOfOnread(): Places | null {
  const onread = { buffer: lent, callback: () => true }
  const options: Pick<TcpSocketConnectOpts, 'onread'> = { onread }
  const made = new Socket(options as SocketConstructorOpts) as unknown as Inside
  const placeOf = (value: unknown) =>
    Object.getOwnPropertySymbols(made).find((place) => made[place] === value)
  const [buffer, callback] = [placeOf(onread.buffer), placeOf(onread.callback)]
  return buffer === undefined || callback === undefined ? null : { buffer, callback }
}
