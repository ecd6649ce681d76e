/**
 * APIs that AWS has beside S3 at hosts of their own, here at S3's: IAM, STS and SNS in the Query protocol (a form in, XML out).
 * Source: docs.aws.amazon.com/IAM/latest/APIReference and /STS/latest/APIReference, "Making query requests".
 */
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { TLSSocket } from 'node:tls'
import { ServiceError } from '../../../common/errors.ts'
import type { IamService } from '../../../common/iam.ts'
import { bodyPieces } from '../../body.ts'
import type { Exchange } from '../../exchange.ts'
import type { Reply } from '../../reply.ts'
import { queryOfUrl } from '../../swift/path.ts'
import { callSns, SNS_VERSION } from '../notifications/sns-api.ts'
import type { Keyring } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { asS3Error, s3Headers } from '../s3-error-reply.ts'
import type { S3Settings } from '../s3-options.ts'
import { queryPairs } from '../signature/canonical.ts'
import { sessionTokenOf } from '../signature/session-token.ts'
import { readClaim } from '../signature/signature-claim.ts'
import { verifyV4 } from '../signature/verify.ts'
import { errorDocument, resultDocument } from './query-xml.ts'

const SERVICES = ['iam', 'sts', 'sns']
const FORM = 'application/x-www-form-urlencoded'
/** Ten policies with all their characters escaped. */
const BODY_BYTES_MAX = 256 * 1024
const UNSIGNED = 'UNSIGNED-PAYLOAD'

export interface QueryApiParts extends Keyring {
  readonly iam: IamService | undefined
  readonly settings: S3Settings
}

/** Whether the request is one of them: a form to the root, which nobody else takes. */
export function isQueryCall({
  method,
  url,
  headers,
}: {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}): boolean {
  return (
    method === 'POST' &&
    (url === '/' || url.startsWith('/?')) &&
    (headers['content-type']?.startsWith(FORM) ?? false)
  )
}

interface Signer {
  readonly accessKey: string
  readonly sessionToken?: string
}

export class QueryApi {
  readonly #parts: QueryApiParts

  constructor(parts: QueryApiParts) {
    this.#parts = parts
  }

  /** Answers a call; never throws what is a refusal. */
  async answer(exchange: Exchange): Promise<Reply> {
    let params: Readonly<Record<string, string>> = {}
    try {
      const body = await wholeBody(exchange)
      params = paramsOf(body)
      const { Action: action } = params
      if (action === undefined) throw refusal('MissingAction', 'The request names no action.', 400)
      const signer = await this.#signer(exchange, body)
      const asked = { exchange, settings: this.#parts.settings, action, params }
      const outcome =
        params.Version === SNS_VERSION
          ? { result: await callSns(asked) }
          : await this.#iam().call({ accessKey: null, ...signer, action, params })
      if ('error' in outcome) return this.#refused(exchange, params, outcome.error)
      const text = resultDocument(params, { result: outcome.result, requestId: exchange.transId })
      return {
        status: 200,
        headers: ['Content-Type', 'text/xml', ...s3Headers(exchange)],
        body: text,
      }
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      const { status, code, message } = asQueryError(exchange, error)
      return this.#refused(exchange, params, { status, code, message })
    }
  }

  #iam(): IamService {
    const { iam } = this.#parts
    if (iam !== undefined) return iam
    throw refusal('NotImplemented', 'IAM and STS need the identity service.', 501)
  }

  /** Who has signed; nobody for the call that says by a token who it is. */
  async #signer(exchange: Exchange, body: Buffer): Promise<Partial<Signer>> {
    const query = queryPairs(queryOfUrl(exchange.url))
    const payloadHash = createHash('sha256').update(body).digest('hex')
    const claim = readClaim(exchange, query, { services: SERVICES, payloadHash })
    if (claim === null) return {}
    if (claim.version === 2) throw refusal('InvalidSignature', 'Version 4 is wanted here.', 400)
    const isSigned = claim.payloadHash === payloadHash
    // Over TLS clients may leave the body to the connection.
    const isTls = exchange.socket instanceof TLSSocket
    if (!isSigned && !(claim.payloadHash === UNSIGNED && isTls))
      throw new S3Error('SignatureDoesNotMatch')
    const sessionToken = sessionTokenOf(exchange, query)
    const credential = await this.#parts.credentials.find(claim.accessKey, sessionToken)
    if (credential === null) throw new S3Error('InvalidAccessKeyId')
    const { keys } = this.#parts
    const nowMs = exchange.proxy.clock.nowMs()
    verifyV4(exchange, claim, { secret: credential.secret, query, keys, nowMs })
    exchange.caller = credential.caller
    const { accessKey } = claim
    return { accessKey, ...(sessionToken !== undefined && { sessionToken }) }
  }

  #refused(
    exchange: Exchange,
    params: Readonly<Record<string, string>>,
    error: { readonly status: number; readonly code: string; readonly message: string },
  ): Reply {
    const body = errorDocument(params, { ...error, requestId: exchange.transId })
    return {
      status: error.status,
      headers: ['Content-Type', 'text/xml', ...s3Headers(exchange)],
      body,
    }
  }
}

/** The store's own failures, and the door's, in the words of these APIs. */
function asQueryError(exchange: Exchange, error: ServiceError): ServiceError {
  if (!(error instanceof S3Error) && QUERY_CODES.includes(error.code)) return error
  const known = asS3Error(exchange, error)
  if (known.code !== 'InvalidAccessKeyId') return known
  return refusal(
    'InvalidClientTokenId',
    'The security token included in the request is invalid.',
    403,
  )
}

const QUERY_CODES = [
  'MissingAction',
  'InvalidSignature',
  'NotImplemented',
  'MissingAuthenticationToken',
  'AuthorizationError',
  'InvalidParameter',
  'NotFound',
  'Throttled',
  'TopicLimitExceeded',
]

function refusal(code: string, message: string, status: number): ServiceError {
  return new ServiceError(code, message, { status })
}

async function wholeBody(exchange: Exchange): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of bodyPieces(exchange)) {
    bytes += piece.length
    if (bytes > BODY_BYTES_MAX) throw new S3Error('MaxMessageLengthExceeded')
    pieces.push(Buffer.from(piece))
  }
  return Buffer.concat(pieces)
}

/** Each name once. */
function paramsOf(body: Buffer): Readonly<Record<string, string>> {
  const params = [...new URLSearchParams(body.toString())]
  if (new Set(params.map(([name]) => name)).size < params.length)
    throw new S3Error('InvalidArgument', 'A parameter comes twice.')
  return Object.fromEntries(params)
}
