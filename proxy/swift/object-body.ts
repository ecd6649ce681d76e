import type { BodyReader, ItemRead } from '../../common/storage-node.ts'
import type { ReplyBody } from '../reply.ts'
import type { ByteRange } from './range.ts'

/** The bytes of a range: a part of what is in memory, or a stream. */
export function pieceOf(read: ItemRead, range: ByteRange): ReplyBody {
  const { body } = read
  if (!isReader(body)) return body === null ? null : body.subarray(range.start, range.end)
  return {
    bytes: range.end - range.start,
    pieces: () => body.stream(range.start, range.end),
    recycle: (piece) => body.recycle?.(piece),
    close: () => body.close(),
  }
}

/** Frees what a read holds, when its body is not wanted after all. */
export async function closeBody(read: ItemRead): Promise<void> {
  if (isReader(read.body)) await read.body.close()
}

/** All of a body that is known to be short enough for memory; the read is closed. */
export async function wholeBody(read: ItemRead): Promise<Buffer> {
  const { body } = read
  if (!isReader(body)) return Buffer.from(body ?? '')
  const pieces: Buffer[] = []
  try {
    for await (const piece of body.stream(0, body.bytes)) pieces.push(Buffer.from(piece))
  } finally {
    await body.close()
  }
  return Buffer.concat(pieces)
}

export function isReader(body: ItemRead['body']): body is BodyReader {
  return body !== null && 'stream' in body
}
