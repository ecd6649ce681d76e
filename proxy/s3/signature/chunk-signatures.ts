import { createHash, type Hash } from 'node:crypto'
import type { ChunkVerifier } from '../body/chunked-decoder.ts'
import { S3Error } from '../s3-error.ts'
import { type GoodSignature, isEqualText, sha256Hex } from './verify.ts'

const EMPTY_SHA256 = sha256Hex('')

/** Checks the chunks of a body, each of which is signed together with the one before; the first with the request. */
export class ChunkSignatures implements ChunkVerifier {
  readonly #seed: GoodSignature
  #last: string
  #hash: Hash = createHash('sha256')

  constructor(seed: GoodSignature) {
    this.#seed = seed
    this.#last = seed.signature
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  endChunk(signature: string): void {
    const digest = this.#hash.digest('hex')
    this.#hash = createHash('sha256')
    this.#check('AWS4-HMAC-SHA256-PAYLOAD', `${EMPTY_SHA256}\n${digest}`, signature)
  }

  endTrailers(text: string, signature: string): void {
    this.#check('AWS4-HMAC-SHA256-TRAILER', sha256Hex(text), signature)
  }

  #check(kind: string, digests: string, signature: string): void {
    const { key, timestamp, scope } = this.#seed
    const text = [kind, timestamp, scope, this.#last, digests].join('\n')
    if (!isEqualText(key.hex(text), signature)) {
      throw new S3Error('SignatureDoesNotMatch', 'A chunk of the body is not what was signed.')
    }
    this.#last = signature
  }
}
