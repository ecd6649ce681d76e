/**
 * An ordered key-value store for derived state, in byte order of the keys. The real one is LevelDB
 * (storage-node/engine/level-store.ts), the simulated one test/support/sim-kv.ts.
 */
export interface KeyValue {
  /** The value, or undefined; blocking, for values that are likely in memory. */
  getSync(key: Uint8Array): Uint8Array | undefined
  /** All of the operations or none; durable on return only with `sync`. */
  batch(
    operations: readonly KeyValueOperation[],
    options: { readonly sync: boolean },
  ): Promise<void>
  /** A cursor over a range of keys, seeing the store as it was when the cursor was made. */
  iterate(range: KeyRange): KeyValueIterator
  close(): Promise<void>
}

export type KeyValueOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

export interface KeyRange {
  readonly gte?: Uint8Array
  readonly gt?: Uint8Array
  readonly lte?: Uint8Array
  readonly lt?: Uint8Array
  readonly reverse?: boolean
}

export interface KeyValueIterator {
  /** Up to `count` entries; an empty list at the end. */
  next(count: number): Promise<readonly (readonly [Uint8Array, Uint8Array])[]>
  /** Goes on at the first key at or after `key` (at or before it if reverse), within the range. */
  seek(key: Uint8Array): void
  close(): Promise<void>
}
