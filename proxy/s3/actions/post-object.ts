/**
 * POST of a form: an upload straight from a browser, signed by its policy or by nobody. Its fields are what a PutObject's
 * headers are.
 */
import type { Readable } from 'node:stream'
import type { Reply } from '../../reply.ts'
import { escapePath, toWire } from '../../wire-text.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import {
  algorithmOfHeader,
  type ChecksumAlgorithm,
  checksumHeader,
  DEFAULT_CHECKSUM,
  encodeChecksum,
  isChecksumValue,
} from '../checksum/checksum-algorithm.ts'
import { type Hasher, openHasher } from '../checksum/hasher.ts'
import { encryptionHeaders, sealOfRequest } from '../encryption/encryption-choice.ts'
import { formSigner } from '../form/form-signature.ts'
import { checkPostPolicy, type PostPolicy, readPostPolicy } from '../form/post-policy.ts'
import { malformed, type PostForm, takeForm } from '../form/read-form.ts'
import { aclOfRequest } from '../object/object-acl.ts'
import { headOfRequest, refuseNotBuilt } from '../object/object-headers.ts'
import { S3_CHECKSUM } from '../object/object-traits.ts'
import { OBJECT_BYTES_MAX, type PutOutcome, putPieces } from '../object/put-through-swift.ts'
import { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import {
  encodeTags,
  OBJECT_TAGS_MAX,
  readTagSet,
  S3_TAGGING,
  type TagSet,
} from '../tagging/tag-set.ts'
import { parseXml } from '../xml/xml-in.ts'
import { renderXml } from '../xml/xml-out.ts'

export function postObject(call: S3Call): Promise<Reply> {
  if (call.signature !== null) {
    throw new S3Error('InvalidRequest', 'A form is signed by its policy, in its fields.')
  }
  return takeForm(call, (form) => storeForm(call, form))
}

async function storeForm(call: S3Call, { fields, file, filename }: PostForm): Promise<Reply> {
  const signer = await formSigner(call, fields)
  call.exchange.caller = signer
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is what forms write.
  const key = (fields.get('key') ?? '').replaceAll('${filename}', () => filename)
  if (key === '') {
    throw new S3Error(
      'InvalidArgument',
      "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
      { ArgumentName: 'key', ArgumentValue: '' },
    )
  }
  const policy = signer === null ? null : readPostPolicy(fields.get('policy')!)
  if (policy !== null) {
    const filled = new Map([...fields, ['key', key], ['bucket', call.bucket]] as const)
    checkPostPolicy(policy, { fields: filled, nowMs: call.exchange.proxy.clock.nowMs() })
  }
  const target = { ...call.target, key }
  const asked = new S3Call({ ...call.parts, target, form: headersOf(fields) })
  refuseNotBuilt(asked)
  asked.givenTags = tagsOf(fields)
  call.exchange.changeKind = 'ObjectCreated:Post'
  const head = headOfRequest(asked)
  await enterObject(asked, { action: 's3:PutObject', acl: 'write', method: 'PUT' })
  const acl = await aclOfRequest(asked)
  const seal = await sealOfRequest(asked)
  const { algorithm, value } = checksumOf(asked)
  const hasher = await openHasher(algorithm)
  const pieces = new CheckedFile(file, { policy, hasher, algorithm, value })
  const tagging = asked.givenTags === null ? {} : { [S3_TAGGING]: encodeTags(asked.givenTags) }
  const added = () => ({ ...tagging, ...acl, [S3_CHECKSUM]: pieces.checksum })
  const source = { bytes: null, pieces: () => pieces.read() }
  try {
    const stored = await putPieces(asked, { path: asked.path, head, added, seal }, source)
    const told = encryptionHeaders(asked, seal?.record)
    return replyOf(asked, fields, {
      ...stored,
      versionHeaders: [...stored.versionHeaders, ...told],
    })
  } catch (error) {
    return malformed(pieces.failure ?? error)
  } finally {
    hasher.close()
  }
}

/** The file on its way: as long as the policy wants it, and with the checksum that the form says. */
class CheckedFile {
  readonly #file: Readable
  readonly #policy: Pick<PostPolicy, 'bytesMin' | 'bytesMax'> | null
  readonly #hasher: Hasher
  readonly #algorithm: ChecksumAlgorithm
  readonly #wanted: string | undefined
  #checksum = ''
  #failure: unknown = null

  constructor(
    file: Readable,
    by: {
      readonly policy: Pick<PostPolicy, 'bytesMin' | 'bytesMax'> | null
      readonly hasher: Hasher
      readonly algorithm: ChecksumAlgorithm
      readonly value: string | undefined
    },
  ) {
    this.#file = file
    this.#policy = by.policy
    this.#hasher = by.hasher
    this.#algorithm = by.algorithm
    this.#wanted = by.value
  }

  /** As it is kept with the object, once the file has come. */
  get checksum(): string {
    return this.#checksum
  }

  get failure(): unknown {
    return this.#failure
  }

  async *read(): AsyncGenerator<Buffer> {
    const bytesMax = Math.min(this.#policy?.bytesMax ?? OBJECT_BYTES_MAX, OBJECT_BYTES_MAX)
    const bytesMin = this.#policy?.bytesMin ?? 0
    let bytes = 0
    try {
      // What is left of a part is somebody else's to throw away.
      for await (const piece of this.#file.iterator({ destroyOnReturn: false })) {
        bytes += (piece as Buffer).length
        if (bytes > bytesMax) throw sizeError('EntityTooLarge', bytes, bytesMax)
        this.#hasher.update(piece as Buffer)
        yield piece as Buffer
      }
      if (this.#file.errored) throw this.#file.errored
      if (bytes < bytesMin) throw sizeError('EntityTooSmall', bytes, bytesMin)
      this.#end()
    } catch (error) {
      this.#failure = error
      throw error
    }
  }

  #end(): void {
    const algorithm = this.#algorithm
    const value = this.#hasher.digest().toString('base64')
    if (this.#wanted !== undefined && this.#wanted !== value) {
      throw new S3Error(
        'BadDigest',
        `The ${algorithm} you specified did not match the calculated checksum.`,
      )
    }
    this.#checksum = encodeChecksum({ algorithm, value, type: 'FULL_OBJECT' })
  }
}

/** Fields that stand for headers, as they would come on the wire. */
function headersOf(fields: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const [name, value] of fields) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a header cannot hold them.
    if (/[\0-\x08\x0a-\x1f\x7f]/.test(value) && name !== 'tagging') {
      throw new S3Error('InvalidArgument', undefined, { ArgumentName: name, ArgumentValue: '' })
    }
    headers.set(name === 'acl' ? 'x-amz-acl' : name, toWire(value))
  }
  return headers
}

function checksumOf(call: S3Call): {
  readonly algorithm: ChecksumAlgorithm
  readonly value: string | undefined
} {
  const [algorithm, ...more] = call.headerNames.flatMap((name) => algorithmOfHeader(name) ?? [])
  if (algorithm === undefined) return { algorithm: DEFAULT_CHECKSUM, value: undefined }
  const value = call.header(checksumHeader(algorithm))!
  if (more.length > 0 || !isChecksumValue(algorithm, value)) {
    throw new S3Error('InvalidRequest', `Value for ${checksumHeader(algorithm)} header is invalid.`)
  }
  return { algorithm, value }
}

function tagsOf(fields: ReadonlyMap<string, string>): TagSet | null {
  const text = fields.get('tagging')
  if (text === undefined || text === '') return null
  return readTagSet(parseXml(Buffer.from(text), 'Tagging'), OBJECT_TAGS_MAX)
}

/** By what the form wants: a redirection, a status, or 204. */
function replyOf(
  call: S3Call,
  fields: ReadonlyMap<string, string>,
  { etag, versionHeaders }: PutOutcome,
): Reply {
  const { bucket, key } = call
  const redirect = redirectUrl(fields.get('success_action_redirect') ?? fields.get('redirect'))
  if (redirect !== null) {
    const query = `bucket=${escaped(bucket)}&key=${escaped(key)}&etag=%22${etag}%22`
    const location = `${redirect}${redirect.includes('?') ? '&' : '?'}${query}`
    return emptyReply(303, ['ETag', `"${etag}"`, 'Location', location, ...versionHeaders])
  }
  const host = call.exchange.header('host') ?? ''
  const path = call.target.isVirtualHost ? escapePath(key) : `${bucket}/${escapePath(key)}`
  const location = `http://${host}/${path}`
  const headers = ['ETag', `"${etag}"`, 'Location', location, ...versionHeaders]
  const status = fields.get('success_action_status')
  if (status === '200') return emptyReply(200, headers)
  if (status !== '201') return emptyReply(204, headers)
  const body = renderXml('PostResponse', {
    Location: location,
    Bucket: bucket,
    Key: key,
    ETag: `"${etag}"`,
  })
  return { status: 201, headers: ['Content-Type', 'application/xml', ...headers], body }
}

/** Null for what is no URL that a browser may be sent to. */
function redirectUrl(text: string | undefined): string | null {
  if (text === undefined || !/^https?:\/\/[\x21-\x7e]+$/.test(text)) return null
  return URL.canParse(text) ? text : null
}

function escaped(text: string): string {
  return escapePath(text).replaceAll('/', '%2F')
}

function sizeError(
  code: 'EntityTooLarge' | 'EntityTooSmall',
  bytes: number,
  limit: number,
): S3Error {
  const name = code === 'EntityTooLarge' ? 'MaxSizeAllowed' : 'MinSizeAllowed'
  return new S3Error(code, undefined, { ProposedSize: String(bytes), [name]: String(limit) })
}
