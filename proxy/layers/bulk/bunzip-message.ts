/** What a thread that unpacks bzip2 is started with. */
export interface BunzipData {
  /** INPUT_BYTES of the body, filled by who feeds it. */
  readonly input: SharedArrayBuffer
  /** WORD says which is which. */
  readonly words: Int32Array
}

export const INPUT_BYTES = 64 * 1024

/** Words that both sides look at. */
export const WORD = {
  /** 0: more is wanted; -1: there is no more; else the bytes that are there. */
  inputBytes: 0,
  /** How many pieces of output were taken. */
  taken: 1,
} as const
export const WORDS = 2

export type FromBunzip =
  | { readonly kind: 'want' }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly why: string }
