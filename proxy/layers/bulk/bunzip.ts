/**
 * bzip2 in a thread of its own: its library works on one block of up to 900 KB at a time, a tenth of a second in which a proxy would
 * answer nobody.
 */
import { badRequest } from '../../exchange.ts'
import { throughThread, WorkFailure, workFile } from '../../threads/thread-work.ts'

/** What the pieces unpack to. Throws a 400 for what is no bzip2. Ends its work, however it ends. */
export async function* bunzip(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const file = workFile('bunzip-worker', import.meta.url)
  try {
    for await (const event of throughThread(pieces, { file, data: null })) {
      if (event.kind === 'data') yield event.bytes
    }
  } catch (error) {
    if (error instanceof WorkFailure) throw badRequest(`Invalid Tar File: ${error.message}`)
    throw error
  }
}
