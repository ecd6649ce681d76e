import { createHash, type Hash, hash } from 'node:crypto'
import { type Soon, soon } from '../../../common/soon.ts'
import { bodyPieces, receiveWhole } from '../../body.ts'
import type { Exchange } from '../../exchange.ts'
import {
  algorithmOfHeader,
  type Checksum,
  type ChecksumAlgorithm,
  checksumHeader,
  isChecksumValue,
} from '../checksum/checksum-algorithm.ts'
import { type Hasher, openHasher } from '../checksum/hasher.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ChunkSignatures } from '../signature/chunk-signatures.ts'
import { type BodyPlan, planBody } from './body-plan.ts'
import { ChunkedDecoder } from './chunked-decoder.ts'

/** A request's body, decoded and checked while it comes. What it promised is known to hold only when it has ended. */
export class S3Body {
  readonly plan: BodyPlan
  readonly #exchange: Exchange
  readonly #decoder: ChunkedDecoder | null
  /** The MD5 is compared here. */
  readonly #checksMd5: boolean
  readonly #hasher: Hasher | null
  readonly #algorithm: ChecksumAlgorithm | null
  #checksum: Checksum | null = null
  #bytes = 0
  #failure: unknown = null

  private constructor(
    call: S3Call,
    plan: BodyPlan,
    checks: {
      readonly hasher: Hasher | null
      readonly algorithm: ChecksumAlgorithm | null
      readonly md5: boolean
    },
  ) {
    this.plan = plan
    this.#exchange = call.exchange
    this.#decoder = decoderOf(call, plan)
    this.#checksMd5 = checks.md5 && plan.md5 !== undefined
    this.#hasher = checks.hasher
    this.#algorithm = checks.algorithm
  }

  /**
   * `algorithm` is what its checksum is made by unless the client has chosen; null: none is made then. The MD5 is
   * compared here only if nobody else will. `ofObject`: checksums in the headers are not of the body, but of the object
   * that it speaks of.
   */
  static open(
    call: S3Call,
    options: {
      readonly algorithm: ChecksumAlgorithm | null
      readonly md5: boolean
      readonly ofObject?: boolean
    },
  ): Soon<S3Body> {
    const payloadHash = call.signature?.payloadHash ?? unsignedHash(call)
    const names =
      options.ofObject === true
        ? call.headerNames.filter((name) => algorithmOfHeader(name) === undefined)
        : call.headerNames
    const plan = planBody((name) => call.header(name), names, payloadHash)
    const algorithm = plan.checksum?.algorithm ?? options.algorithm
    return soon(
      algorithm === null ? null : openHasher(algorithm),
      (hasher) => new S3Body(call, plan, { hasher, algorithm, md5: options.md5 }),
    )
  }

  /** Why the body did not end well. */
  get failure(): unknown {
    return this.#failure
  }

  /** Of the whole body, once it has ended. */
  get checksum(): Checksum | null {
    return this.#checksum
  }

  /** Bytes that have come. */
  get bytes(): number {
    return this.#bytes
  }

  /** The decoded body; ends with an error if anything about it was not as it was said to be. */
  async *pieces(): AsyncGenerator<Buffer> {
    const sha256 = this.plan.sha256 === undefined ? null : createHash('sha256')
    const md5 = this.#checksMd5 ? createHash('md5') : null
    try {
      for await (const piece of bodyPieces(this.#exchange)) {
        for (const part of this.#decoder?.decode(piece) ?? [piece]) {
          this.#take(part)
          sha256?.update(part)
          md5?.update(part)
          yield part
        }
      }
      this.#end({ sha256: hexOf(sha256), md5: hexOf(md5) })
    } catch (error) {
      this.#failure = error
      throw error
    } finally {
      this.#hasher?.close()
    }
  }

  /** All of it; null if it is longer. */
  whole(bytesMax: number): Soon<Buffer | null> {
    if (this.plan.bytes !== null && this.plan.bytes > bytesMax) {
      this.#hasher?.close()
      return null
    }
    if (this.#decoder === null && this.plan.bytes !== null) return this.#atOnce(this.plan.bytes)
    return this.#gathered(bytesMax)
  }

  async #gathered(bytesMax: number): Promise<Buffer | null> {
    const pieces: Buffer[] = []
    for await (const piece of this.pieces()) {
      if (this.#bytes > bytesMax) return null
      pieces.push(piece)
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  }

  /** A body that is not coded and whose length is known. */
  #atOnce(bytes: number): Soon<Buffer> {
    const receiving = receiveWhole(this.#exchange, bytes)
    return receiving instanceof Promise ? this.#whenCome(receiving) : this.#checked(receiving)
  }

  async #whenCome(receiving: Promise<Buffer>): Promise<Buffer> {
    try {
      return this.#checked(await receiving)
    } finally {
      this.#hasher?.close()
    }
  }

  #checked(body: Buffer): Buffer {
    try {
      this.#take(body)
      this.#end({
        sha256: this.plan.sha256 === undefined ? null : hash('sha256', body, 'hex'),
        md5: this.#checksMd5 ? hash('md5', body, 'hex') : null,
      })
      return body
    } finally {
      this.#hasher?.close()
    }
  }

  #take(part: Buffer): void {
    this.#bytes += part.length
    const { bytes } = this.plan
    if (bytes !== null && this.#bytes > bytes) throw incomplete()
    this.#hasher?.update(part)
  }

  /** The digests that were made of it, in hex; null: nobody has asked. */
  #end(made: { readonly sha256: string | null; readonly md5: string | null }): void {
    this.#decoder?.end()
    const { bytes, sha256, md5 } = this.plan
    if (bytes !== null && this.#bytes !== bytes) throw incomplete()
    if (made.sha256 !== null && made.sha256 !== sha256) {
      throw new S3Error('XAmzContentSHA256Mismatch', undefined, {
        ClientComputedContentSHA256: sha256!,
        S3ComputedContentSHA256: made.sha256,
      })
    }
    if (made.md5 !== null && made.md5 !== md5) throw new S3Error('BadDigest')
    this.#endChecksum()
  }

  #endChecksum(): void {
    const algorithm = this.#algorithm
    if (algorithm === null || this.#hasher === null) return
    const value = this.#hasher.digest().toString('base64')
    const wanted = this.plan.checksum === undefined ? value : this.#wantedValue(algorithm)
    if (wanted !== value) {
      throw new S3Error(
        'BadDigest',
        `The ${algorithm} you specified did not match the calculated checksum.`,
      )
    }
    this.#checksum = { algorithm, value, type: 'FULL_OBJECT' }
  }

  /** What the client says the checksum is, in its headers or in the trailer. */
  #wantedValue(algorithm: ChecksumAlgorithm): string {
    const said = this.plan.checksum!.value
    if (said !== undefined) return said
    const name = checksumHeader(algorithm)
    const value = this.#decoder?.trailers.get(name)
    if (value === undefined) {
      throw new S3Error(
        'MalformedTrailerError',
        `The trailer ${name} was announced and did not come.`,
      )
    }
    if (!isChecksumValue(algorithm, value)) {
      throw new S3Error('InvalidRequest', `Value for ${name} trailing header is invalid.`)
    }
    return value
  }
}

/** The XML or JSON that an action's request brings, whole and checked; MaxMessageLengthExceeded if it is longer. */
export async function receiveDocument(
  call: S3Call,
  bytesMax: number,
  options: { readonly ofObject?: boolean } = {},
): Promise<Buffer> {
  const body = await S3Body.open(call, { algorithm: null, md5: true, ...options })
  const whole = await body.whole(bytesMax)
  if (whole === null) throw new S3Error('MaxMessageLengthExceeded')
  return whole
}

/** Version 2 and anonymous requests sign no body, but may say how it is coded. */
function unsignedHash(call: S3Call): string | undefined {
  return call.header('x-amz-content-sha256')
}

function decoderOf(call: S3Call, { coding }: BodyPlan): ChunkedDecoder | null {
  if (coding.kind === 'plain') return null
  const { isSigned, hasTrailer } = coding
  if (!isSigned) return new ChunkedDecoder({ verifier: null, hasTrailer })
  const seed = call.signature?.seed
  if (seed === undefined || seed === null) {
    throw new S3Error(
      'InvalidRequest',
      'Signed chunks are for requests with a signature of Version 4.',
    )
  }
  return new ChunkedDecoder({ verifier: new ChunkSignatures(seed), hasTrailer })
}

function hexOf(made: Hash | null): string | null {
  return made === null ? null : made.digest('hex')
}

function incomplete(): S3Error {
  return new S3Error('IncompleteBody')
}
