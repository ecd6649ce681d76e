import type { IncomingMessage } from 'node:http'
import { ServiceError } from '../../common/errors.ts'
import { FrameDecoder, type StreamEvent } from '../../common/wire/frames.ts'

/** The whole body of a small request. Rejects with 413 beyond `bytesMax`, with 499 if it breaks off. */
export function collectBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > bytesMax) {
        reject(new ServiceError('TooLong', 'the request is too long', { status: 413 }))
        request.destroy()
        return
      }
      chunks.push(chunk)
    })
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    request.on('error', () => reject(brokenOff()))
    // After every request; making an error each time would cost more than the framing.
    request.on('close', () => {
      if (!request.readableEnded) reject(brokenOff())
    })
  })
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
