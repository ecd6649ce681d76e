import type { MessagePort } from 'node:worker_threads'

/** Bytes that go to the thread at once. */
export const INPUT_BYTES = 64 * 1024
/** Pieces of output that may be on their way at once. */
export const UNTAKEN_MAX = 2

/** Words that both sides look at. */
export const WORD = {
  /** 0: more is wanted; -1: there is no more; else the bytes that are there. */
  inputBytes: 0,
  /** How many pieces of output were taken. */
  taken: 1,
} as const
export const WORDS = 2

/** What a thread is given to work on. */
export interface ThreadJob<Data> {
  readonly data: Data
  /** INPUT_BYTES, filled by who feeds it. */
  readonly input: SharedArrayBuffer
  /** WORD says which is which. */
  readonly words: Int32Array
  readonly port: MessagePort
}

/** Bytes [start, end) of what is worked on. */
export interface WantedRange {
  readonly start: number
  readonly end: number
}

/** What a thread says. */
export type FromThread =
  /** With a range: what is wanted from now on are the bytes there, from its beginning to its end. */
  | { readonly kind: 'want'; readonly range?: WantedRange }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  /** `code` is that of the error, if it has one. */
  | { readonly kind: 'failed'; readonly code: string | undefined; readonly message: string }
