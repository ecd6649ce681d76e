/**
 * Bodies in `aws-chunked` coding, taken apart as they come:
 *
 *   10000;chunk-signature=…\r\n  65,536 bytes  \r\n
 *   0;chunk-signature=…\r\n
 *   x-amz-checksum-crc32c:sOO8/Q==\r\n
 *   x-amz-trailer-signature:…\r\n
 *   \r\n
 *
 * Unsigned chunks have no signature, bodies without trailers end with an empty line behind the last chunk. What is
 * decoded is handed on before its chunk's signature has been checked: nobody may keep it before `end` has returned.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 */
import { S3Error } from '../s3-error.ts'

/** Checks what signed chunks say of themselves. Throws SignatureDoesNotMatch. */
export interface ChunkVerifier {
  update(bytes: Uint8Array): void
  endChunk(signature: string): void
  endTrailers(text: string, signature: string): void
}

/** A chunk's head, or a line of the trailer. */
const LINE_BYTES_MAX = 1024
const TRAILER_LINES_MAX = 16
/** Of a signed chunk that is not the last one; smaller ones would cost more to check than to send. */
const SIGNED_CHUNK_BYTES_MIN = 8192
const HEAD = /^([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/
const TRAILER_SIGNATURE = 'x-amz-trailer-signature'

type State = 'head' | 'data' | 'data-end' | 'trailer' | 'done'

export class ChunkedDecoder {
  readonly #verifier: ChunkVerifier | null
  readonly #hasTrailer: boolean
  readonly trailers = new Map<string, string>()
  #state: State = 'head'
  #line = ''
  #left = 0
  #chunkBytes = 0
  #signature = ''
  #trailerText = ''

  constructor(options: { readonly verifier: ChunkVerifier | null; readonly hasTrailer: boolean }) {
    this.#verifier = options.verifier
    this.#hasTrailer = options.hasTrailer
  }

  /** The decoded bytes of a piece, as views of it. */
  decode(piece: Buffer): Buffer[] {
    const out: Buffer[] = []
    let at = 0
    while (at < piece.length) {
      if (this.#state === 'data') {
        const part = piece.subarray(at, at + this.#left)
        this.#verifier?.update(part)
        out.push(part)
        at += part.length
        this.#left -= part.length
        if (this.#left === 0) this.#state = 'data-end'
        continue
      }
      if (this.#state === 'done') throw malformed('there is more behind its end')
      at = this.#readLine(piece, at)
    }
    return out
  }

  /** Called at the end of what came: throws IncompleteBody unless the coding came to its end, too. */
  end(): void {
    const isOver =
      this.#state === 'done' ||
      (this.#state === 'trailer' && !this.#hasTrailer && this.#line === '')
    if (!isOver) throw new S3Error('IncompleteBody', 'The body ended within a chunk.')
  }

  /** Takes bytes up to the end of a line; returns where the next one begins. */
  #readLine(piece: Buffer, from: number): number {
    const feed = piece.indexOf(0x0a, from)
    const end = feed < 0 ? piece.length : feed
    if (this.#line.length + end - from > LINE_BYTES_MAX) throw malformed('a line is too long')
    this.#line += piece.toString('latin1', from, end)
    if (feed < 0) return end
    const line = this.#line
    this.#line = ''
    if (!line.endsWith('\r') && this.#state !== 'trailer')
      throw malformed('a line does not end with CR LF')
    this.#takeLine(line.endsWith('\r') ? line.slice(0, -1) : line)
    return feed + 1
  }

  #takeLine(line: string): void {
    if (this.#state === 'head') {
      this.#takeHead(line)
    } else if (this.#state === 'trailer') {
      this.#takeTrailer(line)
    } else {
      if (line !== '') throw malformed('a chunk is longer than it says')
      this.#endChunk()
      this.#state = 'head'
    }
  }

  #takeHead(line: string): void {
    const match = HEAD.exec(line)
    if (match === null) throw malformed('a chunk has no valid head')
    const bytes = Number.parseInt(match[1]!, 16)
    const isSigned = match[2] !== undefined
    if (isSigned !== (this.#verifier !== null)) {
      throw malformed(isSigned ? 'a chunk is signed' : 'a chunk is not signed')
    }
    const tooSmall = this.#chunkBytes > 0 && this.#chunkBytes < SIGNED_CHUNK_BYTES_MIN
    if (isSigned && tooSmall && bytes > 0) throw new S3Error('InvalidChunkSizeError')
    this.#signature = match[2] ?? ''
    this.#chunkBytes = bytes
    this.#left = bytes
    if (bytes > 0) {
      this.#state = 'data'
      return
    }
    this.#endChunk()
    this.#state = 'trailer'
  }

  #endChunk(): void {
    this.#verifier?.endChunk(this.#signature)
  }

  #takeTrailer(line: string): void {
    if (line === '') {
      // Some clients send an empty line between the last chunk and its trailers.
      if (!this.#hasTrailer || this.trailers.size > 0) this.#endTrailers()
      return
    }
    if (!this.#hasTrailer) throw malformed('there are trailers that were not announced')
    const colon = line.indexOf(':')
    if (colon < 1) throw new S3Error('MalformedTrailerError')
    const name = line.slice(0, colon).trim().toLowerCase()
    if (this.trailers.has(name) || this.trailers.size >= TRAILER_LINES_MAX) {
      throw new S3Error('MalformedTrailerError')
    }
    const value = line.slice(colon + 1).trim()
    this.trailers.set(name, value)
    if (name !== TRAILER_SIGNATURE) this.#trailerText += `${name}:${value}\n`
  }

  #endTrailers(): void {
    this.#state = 'done'
    if (!this.#hasTrailer || this.#verifier === null) return
    const signature = this.trailers.get(TRAILER_SIGNATURE)
    if (signature === undefined)
      throw new S3Error('MalformedTrailerError', 'The trailer is not signed.')
    this.#verifier.endTrailers(this.#trailerText, signature)
  }
}

function malformed(what: string): S3Error {
  return new S3Error('InvalidRequest', `The body is not aws-chunked: ${what}.`)
}
