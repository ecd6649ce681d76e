/** What a client may send: Swift's constraints (swift/common/constraints.py), published by /info. */
export interface Limits {
  readonly objectBytesMax: number
  /** UTF-8 bytes. */
  readonly objectNameBytesMax: number
  readonly containerNameBytesMax: number
  readonly accountNameBytesMax: number
  readonly metaNameBytesMax: number
  readonly metaValueBytesMax: number
  readonly metaCountMax: number
  /** Names and values of one item's metadata together. */
  readonly metaOverallBytesMax: number
  /** One header's value. */
  readonly headerBytesMax: number
  readonly requestLineBytesMax: number
  readonly containerListingMax: number
  readonly accountListingMax: number
  /** Objects that a static large object is put together from. */
  readonly sloSegmentsMax: number
  /** A manifest as it is sent. */
  readonly sloManifestBytesMax: number
}

export const DEFAULT_LIMITS: Limits = {
  objectBytesMax: 5 * 1024 ** 3 + 2,
  objectNameBytesMax: 1024,
  containerNameBytesMax: 256,
  accountNameBytesMax: 256,
  metaNameBytesMax: 128,
  metaValueBytesMax: 256,
  metaCountMax: 90,
  metaOverallBytesMax: 4096,
  headerBytesMax: 8192,
  requestLineBytesMax: 8192,
  containerListingMax: 10_000,
  accountListingMax: 10_000,
  sloSegmentsMax: 1000,
  sloManifestBytesMax: 8 * 1024 ** 2,
}
