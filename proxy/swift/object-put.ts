import type { Condition } from '../../common/condition.ts'
import type { Md5Stream } from '../../common/md5/md5-queue.ts'
import { INLINE_BYTES_MAX, type ItemInfo } from '../../common/storage-node.ts'
import type { ObjectWriter } from '../backend/backend.ts'
import { BodySource, receiveWhole } from '../body.ts'
import { type Exchange, refusal } from '../exchange.ts'
import type { Reply } from '../reply.ts'
import { conditionOf } from './condition-headers.ts'
import { checkObjectManifest } from './large/dynamic-object.ts'
import { accessObject } from './object-access.ts'
import {
  checkCondition,
  checkObjectName,
  commitDraft,
  contentTypeFor,
  createdReply,
  etagWantedBy,
  metaWith,
  type ObjectDraft,
  requestObjectHeaders,
  storedInfo,
  storeWhole,
} from './object-write.ts'
import { checkQuotas } from './quotas.ts'
import { type Stored, storeObject } from './versions/store-object.ts'

const EMPTY = Buffer.alloc(0)

/** PUT of an object: everything is checked before the first byte of the body is read. */
export async function putObject(exchange: Exchange): Promise<Reply> {
  checkObjectManifest(exchange)
  const access = accessObject(exchange, { acl: 'write' })
  const place = access instanceof Promise ? await access : access
  const length = declaredLength(exchange)
  // What was looked at is not what versions would keep of it.
  if (exchange.onlyIfWriteId !== undefined && place.versions !== undefined) throw refusal(412)
  checkObjectName(exchange, place.object)
  const checking = checkQuotas(exchange, place, length)
  if (checking !== undefined) await checking
  const draft: ObjectDraft = {
    place,
    contentType: contentTypeFor(exchange, place.object),
    headers: requestObjectHeaders(exchange),
    condition: conditionOfPut(exchange),
    etagWanted: etagWantedBy(exchange),
    storageClass: exchange.storageClass,
    ...(exchange.addedMeta !== null && { added: exchange.addedMeta }),
  }
  if (draft.condition !== undefined) await checkCondition(exchange, draft)
  if (length === null || length > INLINE_BYTES_MAX) {
    const store = (to: ObjectDraft) => storeStream(exchange, to, length)
    return storedReply(await storeObject(exchange, draft, store, { repeatable: false }))
  }
  const receiving = length === 0 ? EMPTY : receiveWhole(exchange, length)
  const body = receiving instanceof Promise ? await receiving : receiving
  if (place.versions === undefined && place.mayHaveParts !== true)
    return createdReply(await storeWhole(exchange, draft, body))
  const store = (to: ObjectDraft) => storeWhole(exchange, to, body)
  return storedReply(await storeObject(exchange, draft, store, { repeatable: true }))
}

function conditionOfPut(exchange: Exchange): Condition | undefined {
  const condition = conditionOf(exchange)
  const { onlyIfWriteId } = exchange
  return onlyIfWriteId === undefined ? condition : { ...condition, ifWriteId: onlyIfWriteId }
}

function storedReply({ info, headers }: Stored): Reply {
  return createdReply(info, headers)
}

/** Null for a chunked body. 411 without either, 413 beyond the limit, 501 for other encodings. */
function declaredLength(exchange: Exchange): number | null {
  const encoding = exchange.headers['transfer-encoding']
  if (encoding !== undefined) {
    if (encoding.toLowerCase() !== 'chunked') {
      throw refusal(501, `Unsupported Transfer-Encoding header value: ${encoding}`)
    }
    return null
  }
  const text = exchange.headers['content-length']
  if (text === undefined) throw refusal(411, 'Missing Content-Length header.')
  const length = Number(text)
  if (length > exchange.proxy.limits.objectBytesMax) {
    throw refusal(413, 'Your request is too large.')
  }
  return length
}

/**
 * Stores a body of unknown or large size: read in pieces of up to 1 MiB, two of them in memory at once, MD5 while the
 * last one is being written. A short chunked body turns out to be small and is stored whole.
 */
async function storeStream(
  exchange: Exchange,
  draft: ObjectDraft,
  length: number | null,
): Promise<ItemInfo> {
  const { backend, buffers } = exchange.proxy
  // What the store itself has against the body (no room, no quorum) is said before the client sends it.
  const writer = length === null ? null : await backend.openObject(draft.place, draft)
  const source = new BodySource(exchange)
  const pair: [Buffer, Buffer | null] = [buffers.take(), null]
  const upload = new Upload({ exchange, draft, source, writer })
  try {
    return await upload.run(pair)
  } catch (error) {
    await upload.abort()
    throw error
  } finally {
    upload.close()
    for (const buffer of pair) if (buffer !== null) buffers.give(buffer)
  }
}

/** One large body on its way in. */
class Upload {
  readonly #exchange: Exchange
  readonly #draft: ObjectDraft
  readonly #source: BodySource
  readonly #md5: Md5Stream
  #writer: ObjectWriter | null
  #writing: Promise<void> = Promise.resolve()
  #bytes = 0

  constructor(options: {
    readonly exchange: Exchange
    readonly draft: ObjectDraft
    readonly source: BodySource
    readonly writer: ObjectWriter | null
  }) {
    this.#exchange = options.exchange
    this.#draft = options.draft
    this.#source = options.source
    this.#writer = options.writer
    this.#md5 = options.exchange.proxy.md5.open()
  }

  async run(pair: [Buffer, Buffer | null]): Promise<ItemInfo> {
    const { backend, buffers } = this.#exchange.proxy
    let buffer = pair[0]
    for (;;) {
      const filled = await this.#source.fill(buffer)
      this.#bytes += filled
      this.#checkSize()
      const isLast = filled < buffer.length
      if (this.#writer === null && isLast && filled <= INLINE_BYTES_MAX) {
        return storeWhole(this.#exchange, this.#draft, Buffer.from(buffer.subarray(0, filled)))
      }
      this.#writer ??= await backend.openObject(this.#draft.place, this.#draft)
      if (filled > 0) await this.#write(buffer.subarray(0, filled))
      if (isLast) return this.#commit(this.#writer)
      pair[1] ??= buffers.take()
      buffer = buffer === pair[0] ? pair[1] : pair[0]
    }
  }

  close(): void {
    this.#md5.close()
  }

  /** After a failure: nothing of it stays. The buffers are free when this resolves. */
  async abort(): Promise<void> {
    await this.#writing.catch(ignore)
    await this.#writer?.abort()
  }

  /** Starts the write of a piece when the one before is done, and hashes meanwhile. */
  async #write(piece: Buffer): Promise<void> {
    await this.#writing
    this.#writing = this.#writer!.write(piece)
    this.#writing.catch(ignore)
    await this.#md5.update(piece)
  }

  async #commit(writer: ObjectWriter): Promise<ItemInfo> {
    await this.#writing
    const meta = metaWith(this.#draft, await this.#md5.digest())
    const commit = (condition: Condition | undefined) => writer.commit(meta, condition)
    return storedInfo(await commitDraft(this.#draft, commit))
  }

  #checkSize(): void {
    const { bodyBytesMax, proxy } = this.#exchange
    if (this.#bytes <= bodyBytesMax) return
    const isQuota = bodyBytesMax < proxy.limits.objectBytesMax
    throw refusal(413, isQuota ? 'Upload exceeds quota.' : 'Your request is too large.')
  }
}

function ignore(): void {}
