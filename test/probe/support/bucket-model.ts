/** What a bucket must hold after each change, by the rules of S3: what the store is compared with. Pure. */

export interface ModelVersion {
  /** `null` of what was written without versions. */
  readonly id: string
  /** Null: a delete marker. */
  readonly body: string | null
  readonly tags: Readonly<Record<string, string>>
  readonly storageClass: string | undefined
}

export type Versioning = 'none' | 'Enabled' | 'Suspended'

export class BucketModel {
  versioning: Versioning = 'none'
  /** Newest first; a key without versions is not among them. */
  readonly #keys = new Map<string, readonly ModelVersion[]>()

  get keys(): readonly string[] {
    return [...this.#keys.keys()].sort()
  }

  versions(key: string): readonly ModelVersion[] {
    return this.#keys.get(key) ?? []
  }

  /** What a GET shows; undefined: nothing. */
  current(key: string): ModelVersion | undefined {
    const [newest] = this.versions(key)
    return newest?.body === null ? undefined : newest
  }

  /** `id` is what the store has called it; it must have done so where versions are kept. */
  put(key: string, id: string | undefined, version: Omit<ModelVersion, 'id'>): void {
    const isKept = this.versioning === 'Enabled'
    const before = this.versioning === 'none' ? [] : this.versions(key)
    const others = isKept ? before : before.filter((known) => known.id !== 'null')
    this.#set(key, [{ ...version, id: isKept ? (id ?? 'missing') : 'null' }, ...others])
  }

  /** A DELETE without an id. */
  delete(key: string, markerId: string | undefined): void {
    if (this.versioning === 'none') this.#set(key, [])
    else this.put(key, markerId, { body: null, tags: {}, storageClass: undefined })
  }

  deleteVersion(key: string, id: string): void {
    this.#set(
      key,
      this.versions(key).filter((known) => known.id !== id),
    )
  }

  change(key: string, id: string, change: Partial<ModelVersion>): void {
    this.#set(
      key,
      this.versions(key).map((known) => (known.id === id ? { ...known, ...change } : known)),
    )
  }

  rename(from: string, to: string): void {
    this.#set(to, this.versions(from))
    this.#set(from, [])
  }

  #set(key: string, versions: readonly ModelVersion[]): void {
    if (versions.length === 0) this.#keys.delete(key)
    else this.#keys.set(key, versions)
  }
}
