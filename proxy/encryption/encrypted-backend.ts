/**
 * Objects enciphered at rest: a backend around the cluster's. Whoever asks it sees plain objects; disks and wires between
 * proxies and nodes have
 *
 *   body                    AES-256-CTR under its own key, wrapped by the path's     x-object-sysmeta-crypto-body
 *   ETag                    sealed; in its place a MAC, by which conditions are judged  x-object-sysmeta-crypto-etag
 *   x-object-meta-…         sealed
 *   x-object-sysmeta-…      sealed: among it are digests of the body (S3's checksums, ETags of large objects and of links)
 *   what the listing shows  sealed by the container's key: the ETag, and what stands behind the content type
 *
 * Names, lengths, times and content types stay as they are, as in Swift. What was written before is read as it is.
 */
import type { Condition } from '../../common/condition.ts'
import { containerName, objectName } from '../../common/item.ts'
import type { Random } from '../../common/random.ts'
import type { ItemInfo, ItemMeta, ItemRead, ListEntry } from '../../common/storage-node.ts'
import type { Backend, BackendOutcome, ObjectPath, ObjectWriter } from '../backend/backend.ts'
import { LISTED, LISTED_ETAG, LISTED_MARK } from '../backend/rows.ts'
import {
  type BodyKey,
  bodyCipher,
  drawBodyKey,
  etagMac,
  PathKeys,
  seal,
  unseal,
  unwrapBodyKey,
  wrapBodyKey,
} from './cipher.ts'
import type { RootSecrets } from './root-secrets.ts'
import { openReader } from './sse-record.ts'

const CRYPTO_BODY = 'x-object-sysmeta-crypto-body'
const CRYPTO_ETAG = 'x-object-sysmeta-crypto-etag'
const OWN_HEADERS: ReadonlySet<string> = new Set([CRYPTO_BODY, CRYPTO_ETAG, LISTED_ETAG])
/** Metadata of users and of the layers above. */
const SEALED = /^x-object-(?:sys)?meta-/

export interface EncryptedBackendOptions {
  readonly backend: Backend
  readonly roots: RootSecrets
  readonly random: Random
}

export function encryptedBackend(options: EncryptedBackendOptions): Backend {
  const { backend } = options
  const objects = new ObjectSealer(options)
  return {
    ...backend,
    readObject(path, read) {
      const found = backend.readObject(path, read)
      if (!(found instanceof Promise)) return objects.open(path, found)
      return found.then((stored) => (stored === null ? null : objects.open(path, stored)))
    },
    async putObject(path, { meta, body, condition }) {
      const key = objects.drawKey()
      const put = { meta: objects.seal(path, meta, key), body: bodyCipher(key).update(body) }
      const outcome = await backend.putObject(path, {
        ...put,
        ...objects.condition(path, condition),
      })
      return objects.outcome(path, outcome)
    },
    async openObject(path) {
      return objects.writer(path, await backend.openObject(path))
    },
    async postObject(path, { meta, condition, openExpired }) {
      const posted = { ...meta, headers: objects.sealHeaders(path, meta.headers) }
      const open = openExpired && { openExpired }
      const post = { meta: posted, ...objects.condition(path, condition), ...open }
      return objects.outcome(path, await backend.postObject(path, post))
    },
    async deleteObject(path, deletion) {
      const condition = objects.condition(path, deletion?.condition)
      return objects.outcome(path, await backend.deleteObject(path, condition))
    },
    async listContainer(account, container, query) {
      const page = await backend.listContainer(account, container, query)
      if (page === null) return null
      const keys = new PathKeys(options.roots, containerName(account, container))
      return { ...page, entries: page.entries.map((entry) => openEntry(keys, entry)) }
    },
  }
}

function openEntry(keys: PathKeys, entry: ListEntry): ListEntry {
  if ('subdir' in entry) return entry
  const { etag, contentType } = entry
  const mark = contentType.indexOf(LISTED_MARK) + 1
  const shown = mark === 0 ? '' : unseal(keys, contentType.slice(mark))
  return {
    ...entry,
    etag: unseal(keys, etag),
    contentType: mark === 0 ? contentType : contentType.slice(0, mark) + shown,
  }
}

/** Turns objects from what clients see into what is stored, and back. */
class ObjectSealer {
  readonly #roots: RootSecrets
  readonly #random: Random

  constructor({ roots, random }: EncryptedBackendOptions) {
    this.#roots = roots
    this.#random = random
  }

  drawKey(): BodyKey {
    return drawBodyKey(this.#random)
  }

  seal(path: ObjectPath, meta: ItemMeta, body: BodyKey): ItemMeta {
    const keys = this.#keys(path)
    const { etag = '' } = meta
    return {
      ...meta,
      etag: etagMac(keys, keys.active, etag),
      headers: {
        ...this.sealHeaders(path, meta.headers),
        [CRYPTO_BODY]: wrapBodyKey(keys, body, this.#random),
        [CRYPTO_ETAG]: seal(keys, etag, this.#random),
        [LISTED_ETAG]: seal(this.#listKeys(path), etag, this.#random),
      },
    }
  }

  sealHeaders(path: ObjectPath, headers: ItemMeta['headers']): Record<string, string> {
    const keys = this.#keys(path)
    const sealed = Object.entries(headers).map(([name, value]) => [
      name,
      SEALED.test(name)
        ? seal(name === LISTED ? this.#listKeys(path) : keys, value, this.#random)
        : value,
    ])
    return Object.fromEntries(sealed)
  }

  open(path: ObjectPath, { info, body }: ItemRead): ItemRead {
    const wrapped = info.meta.headers[CRYPTO_BODY]
    const opened = this.info(path, info)
    if (wrapped === undefined || body === null) return { info: opened, body }
    const key = unwrapBodyKey(this.#keys(path), wrapped)
    if (!('stream' in body)) return { info: opened, body: bodyCipher(key).update(body) }
    return { info: opened, body: openReader(body, key) }
  }

  info(path: ObjectPath, info: ItemInfo): ItemInfo {
    const keys = this.#keys(path)
    const { headers } = info.meta
    const opened: Record<string, string> = {}
    for (const [name, value] of Object.entries(headers)) {
      if (OWN_HEADERS.has(name)) continue
      const own = name === LISTED ? this.#listKeys(path) : keys
      opened[name] = SEALED.test(name) ? unseal(own, value) : value
    }
    const sealed = headers[CRYPTO_ETAG]
    const meta: ItemMeta = { ...info.meta, headers: opened }
    return { ...info, meta: sealed === undefined ? meta : { ...meta, etag: unseal(keys, sealed) } }
  }

  outcome(path: ObjectPath, outcome: BackendOutcome): BackendOutcome {
    if (outcome.status === 'done') return { ...outcome, info: this.info(path, outcome.info) }
    if (outcome.status !== 'precondition-failed' || outcome.current === null) return outcome
    return { ...outcome, current: this.info(path, outcome.current) }
  }

  /** The condition on what is stored: by the MACs of every secret that may have been in use, and plain. */
  condition(
    path: ObjectPath,
    condition: Condition | undefined,
  ): { readonly condition?: Condition } {
    if (condition === undefined) return {}
    const { ifMatch, ifNoneMatch } = condition
    return {
      condition: {
        ...condition,
        ...(ifMatch === undefined ? {} : { ifMatch: this.#macs(path, ifMatch) }),
        ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: this.#macs(path, ifNoneMatch) }),
      },
    }
  }

  writer(path: ObjectPath, writer: ObjectWriter): ObjectWriter {
    const key = this.drawKey()
    const cipher = bodyCipher(key)
    return {
      write: (piece) => writer.write(cipher.update(piece)),
      commit: async (meta, condition) =>
        this.outcome(
          path,
          await writer.commit(
            this.seal(path, meta, key),
            this.condition(path, condition).condition,
          ),
        ),
      abort: () => writer.abort(),
    }
  }

  #macs(path: ObjectPath, etags: readonly string[]): string[] {
    const keys = this.#keys(path)
    return etags.flatMap((etag) =>
      etag === '*' ? etag : [etag, ...[...keys.ids].map((id) => etagMac(keys, id, etag))],
    )
  }

  #keys({ account, container, object }: ObjectPath): PathKeys {
    return new PathKeys(this.#roots, objectName(account, container, object))
  }

  #listKeys({ account, container }: ObjectPath): PathKeys {
    return new PathKeys(this.#roots, containerName(account, container))
  }
}
