import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'

/** What the pieces unpack to, several files in a row being one. Throws zlib's own errors. */
export async function* gunzip(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const source = Readable.from(pieces, { objectMode: false })
  const unzip = createGunzip()
  source.on('error', (error) => unzip.destroy(error))
  try {
    yield* source.pipe(unzip) as AsyncIterable<Buffer>
  } finally {
    source.destroy()
    unzip.destroy()
  }
}
