import type { IncomingMessage } from 'node:http'
import { ServiceError } from '../../common/errors.ts'
import { FRAME_HEADER_BYTES, FrameDecoder, type StreamEvent } from '../../common/wire/frames.ts'

export interface CollectOptions {
  readonly bytesMax: number
  /** Given the head's JSON as soon as it is there; throws if the sender may not ask. */
  readonly checkHead: (headBytes: Uint8Array) => void
}

/**
 * The whole body of a small request. Rejects with 413 beyond `bytesMax`, with 499 if it breaks off, and with what
 * `checkHead` throws. Of a request that is refused nothing is kept: strangers could fill the memory with bodies.
 */
export function collectBody(request: IncomingMessage, options: CollectOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = []
    let bytes = 0
    let refused: unknown = null
    /** Bytes after which there is more to know of the head; it is put together twice at most. */
    let lookAt = FRAME_HEADER_BYTES
    const look = () => {
      chunks = [joined(chunks)]
      const headEnd = FRAME_HEADER_BYTES + chunks[0]!.readUInt32LE(1)
      lookAt = bytes < headEnd ? headEnd : Number.POSITIVE_INFINITY
      if (bytes < headEnd) return
      try {
        options.checkHead(chunks[0]!.subarray(FRAME_HEADER_BYTES, headEnd))
      } catch (error) {
        refused = error
        chunks = []
      }
    }
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > options.bytesMax) {
        reject(new ServiceError('TooLong', 'the request is too long', { status: 413 }))
        request.destroy()
        return
      }
      if (refused !== null) return
      chunks.push(chunk)
      while (bytes >= lookAt) look()
    })
    request.on('end', () => (refused === null ? resolve(joined(chunks)) : reject(refused)))
    request.on('error', () => reject(brokenOff()))
    // After every request; making an error each time would cost more than the framing.
    request.on('close', () => {
      if (!request.readableEnded) reject(brokenOff())
    })
  })
}

function joined(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}

/** The frames of a streamed request, one after the other, at the reader's pace. */
export async function* requestFrames(request: IncomingMessage): AsyncGenerator<StreamEvent> {
  const decoder = new FrameDecoder()
  for await (const chunk of request) yield* decoder.push(chunk as Buffer)
  if (!decoder.isBetweenFrames) throw brokenOff()
}

export function brokenOff(): ServiceError {
  return new ServiceError('BrokenOff', 'the request broke off', { status: 499 })
}
