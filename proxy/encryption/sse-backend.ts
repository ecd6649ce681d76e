/** Objects that were enciphered because their clients wanted it: plain to whoever may read them, sealed on their way in. */
import assert from 'node:assert'
import type { Random } from '../../common/random.ts'
import type { ItemMeta, ItemRead } from '../../common/storage-node.ts'
import type { Backend, ReadOptions } from '../backend/backend.ts'
import { type BodyKey, bodyCipher, drawBodyKey, etagMac, wrapBodyKey } from './cipher.ts'
import type { RootSecrets } from './root-secrets.ts'
import {
  customerCheck,
  customerKeyNeeded,
  customerSecret,
  encodeSse,
  openSse,
  S3_SSE,
  type SseRecord,
  sseKeys,
  sseOf,
} from './sse-record.ts'

/** How an object is to be enciphered: its record, and the secrets that its key is wrapped by. */
export interface SseSeal {
  readonly record: SseRecord
  readonly roots: RootSecrets
}

const NO_SECRETS: RootSecrets = { active: '', secrets: new Map() }

/**
 * Reads are plain: by the store's keys, or by the client's that the read brings (403 CustomerKeyNeeded without it, for
 * everything but a `head`). A `sealed` read is as it lies, to be stored elsewhere with all of its metadata.
 */
export function openingBackend(backend: Backend, roots: RootSecrets = NO_SECRETS): Backend {
  return {
    ...backend,
    readObject(path, options) {
      const found = backend.readObject(path, options)
      if (!(found instanceof Promise)) return opened(found, options, roots)
      return found.then((read) => (read === null ? null : opened(read, options, roots)))
    },
  }
}

function opened(
  read: ItemRead,
  options: ReadOptions | undefined,
  roots: RootSecrets,
): ItemRead | Promise<never> {
  if (read.body === null || read.info.meta.headers[S3_SSE] === undefined) return read
  const record = sseOf(read.info.meta)
  if (record?.wrapped === undefined || options?.sealed === true) return read
  if (record.mode !== 'customer') return openSse(read, record, roots)
  const key = options?.customerKey
  if (key === undefined || customerCheck(key, record.salt) !== record.check) {
    return refuse(read)
  }
  return openSse(read, record, customerSecret(key))
}

async function refuse({ body }: ItemRead): Promise<never> {
  if (body !== null && 'stream' in body) await body.close()
  throw customerKeyNeeded()
}

/** Seals what is written with the seal's record among its metadata; other records pass as they are. */
export function sealingBackend(backend: Backend, seal: SseSeal, random: Random): Backend {
  const own = encodeSse(seal.record)
  return {
    ...backend,
    unsealed: backend,
    putObject(path, put) {
      if (put.meta.headers[S3_SSE] !== own) return backend.putObject(path, put)
      const key = drawBodyKey(random)
      const body = bodyCipher(key).update(put.body)
      return backend.putObject(path, {
        ...put,
        meta: sealedMeta(put.meta, seal, { key, random }),
        body,
      })
    },
    async openObject(path, options) {
      const writer = await backend.openObject(path, options)
      const key = drawBodyKey(random)
      const cipher = bodyCipher(key)
      return {
        write: (piece) => writer.write(cipher.update(piece)),
        commit(meta, condition) {
          assert(meta.headers[S3_SSE] === own, 'a sealed body has its record')
          return writer.commit(sealedMeta(meta, seal, { key, random }), condition)
        },
        abort: () => writer.abort(),
      }
    },
  }
}

/**
 * With a client's key the ETag is no MD5, as in S3: it says nothing of the body. With the store's it is one, for Swift's clients
 * compare it.
 */
function sealedMeta(
  meta: ItemMeta,
  { record, roots }: SseSeal,
  by: { readonly key: BodyKey; readonly random: Random },
): ItemMeta {
  const keys = sseKeys(roots, record)
  const wrapped = wrapBodyKey(keys, by.key, by.random)
  const { etag = '' } = meta
  return {
    ...meta,
    etag: record.mode === 'customer' ? etagMac(keys, keys.active, etag) : etag,
    headers: { ...meta.headers, [S3_SSE]: encodeSse({ ...record, wrapped }) },
  }
}
