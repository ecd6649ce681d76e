/** What answering needs of a response: node:http's ServerResponse is one, front/plain-reply.ts a shorter one. */
export interface ReplySink {
  /** The client is gone. */
  readonly destroyed: boolean
  readonly shouldKeepAlive: boolean
  /** The whole answer was handed over. */
  readonly writableEnded: boolean
  /** The whole answer is with the operating system. */
  readonly writableFinished: boolean
  removeHeader(name: string): void
  /** Headers as name, value, name, value …, in latin1. */
  writeHead(status: number, reason: string, headers: string[]): unknown
  writeContinue(): void
  /** False: wait for `drain`. */
  write(piece: Uint8Array, done?: () => void): boolean
  end(body?: Uint8Array): unknown
  destroy(): unknown
  on(event: ReplyEvent, listener: () => void): unknown
  off(event: ReplyEvent, listener: () => void): unknown
  once(event: ReplyEvent, listener: () => void): unknown
}

/** `close`: finished, or the client is gone. */
export type ReplyEvent = 'close' | 'drain' | 'error' | 'finish'
