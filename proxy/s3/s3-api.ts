/**
 * The S3 API: which requests are its own, who has signed them, and what answers them. Bytes, metadata, rights and quotas
 * are the Swift API's (docs/s3-api.md).
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Registry } from 'prom-client'
import type { IamService } from '../../common/iam.ts'
import type { S3Credential, S3Credentials } from '../../common/identity.ts'
import { type Soon, soon } from '../../common/soon.ts'
import type { Exchange } from '../exchange.ts'
import type { ProxyContext } from '../proxy-context.ts'
import type { Reply } from '../reply.ts'
import { pathOfUrl, queryOfUrl } from '../swift/path.ts'
import { BucketDirectory } from './bucket/bucket-directory.ts'
import { addCrossOrigin } from './cors/cross-origin.ts'
import { InventoryWorker } from './inventory/inventory-worker.ts'
import { LifecycleWorker } from './lifecycle/lifecycle-worker.ts'
import { AccessLogs } from './logging/access-logs.ts'
import { EventTeller } from './notifications/event-teller.ts'
import { chargedHeader } from './payment/request-payment.ts'
import { isQueryCall, QueryApi } from './query-api/query-api.ts'
import { ReplicationWorker } from './replication/replication-worker.ts'
import { isAnonymousPath } from './routing/anonymous-path.ts'
import { actionOf, subjectOf } from './routing/route-call.ts'
import { S3Query } from './routing/s3-query.ts'
import { bucketOfHost, isS3Host, parseTarget } from './routing/s3-target.ts'
import { type CallSignature, S3Call, type S3CallParts } from './s3-call.ts'
import { S3Error } from './s3-error.ts'
import { asS3Error, s3ErrorReply, s3Headers } from './s3-error-reply.ts'
import { S3_DEFAULTS, type S3Options, type S3Settings, websiteDomains } from './s3-options.ts'
import { type QueryPairs, queryPairs } from './signature/canonical.ts'
import { sessionTokenOf } from './signature/session-token.ts'
import { readClaim, type SignatureClaim } from './signature/signature-claim.ts'
import { SigningKeys } from './signature/signing-keys.ts'
import { verifyV2, verifyV4 } from './signature/verify.ts'
import { answerWebsite, websiteCall } from './website/website-door.ts'

/** A request's line and headers. */
export interface RequestLine {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

const SIGNED_QUERY = /[?&](?:X-Amz-Algorithm|X-Amz-Signature|AWSAccessKeyId)=/
const KINDS = { service: 'account', bucket: 'container', object: 'object' } as const

export class S3Api {
  readonly #credentials: S3Credentials
  readonly #settings: S3Settings
  readonly #websiteDomains: readonly string[]
  /** Hosts that stand for accounts and containers. */
  readonly #swiftDomains: ProxyContext['layers']['domains']
  readonly #keys = new SigningKeys()
  readonly #queryApi: QueryApi
  readonly #proxy: ProxyContext
  /** What all calls have in common. */
  readonly #parts: Pick<S3CallParts, 'settings' | 'directory' | 'keyring'>
  #accessLogs: AccessLogs | null = null

  constructor(
    {
      accessKeys,
      iam,
    }: { readonly accessKeys: S3Credentials; readonly iam: IamService | undefined },
    options: S3Options,
    proxy: ProxyContext,
  ) {
    this.#proxy = proxy
    this.#credentials = accessKeys
    this.#settings = { ...S3_DEFAULTS, ...options }
    const settings = this.#settings
    this.#queryApi = new QueryApi({ credentials: accessKeys, keys: this.#keys, iam, settings })
    this.#websiteDomains = websiteDomains(this.#settings)
    const { backend, clock, policies, layers } = proxy
    this.#swiftDomains = layers.domains
    const directory = new BucketDirectory({ backend, clock, policy: policies.default.index })
    const keyring = { credentials: accessKeys, keys: this.#keys, iam }
    this.#parts = { settings, directory, keyring }
  }

  /**
   * Whether the request is one of S3's: it is signed as S3 has it, its host is S3's, or nobody has signed it and its path
   * begins with what can only be a bucket (docs/decisions/s3-door.md). Asked for each request.
   */
  takes({ method, url, headers }: RequestLine): boolean {
    const { authorization } = headers
    if (authorization?.startsWith('AWS') === true && /^AWS(4-\S+)? /.test(authorization))
      return true
    const { domains } = this.#settings
    if (domains.length > 0 && isS3Host(headers.host, domains)) return true
    if (isS3Host(headers.host, this.#websiteDomains)) return true
    if (isQueryCall({ method, url, headers })) return true
    if (url.startsWith('/v1/') && !url.includes('?')) return false
    if (SIGNED_QUERY.test(url)) return true
    return isAnonymousPath({ url, headers }) && this.#swiftDomains?.mayMean({ headers }) !== true
  }

  /** What looks after the buckets' lifecycle rules. */
  lifecycleWorker(metrics: Registry): LifecycleWorker {
    return new LifecycleWorker({ proxy: this.#proxy, ...this.#parts }, { metrics })
  }

  /** What writes the buckets' inventories. */
  inventoryWorker(): InventoryWorker {
    return new InventoryWorker({ proxy: this.#proxy, ...this.#parts })
  }

  /** What delivers the buckets' access logs; nothing is recorded before it is there. */
  accessLogs(metrics: Registry): AccessLogs {
    this.#accessLogs = new AccessLogs({ proxy: this.#proxy, ...this.#parts }, { metrics })
    return this.#accessLogs
  }

  /** What tells of events in buckets. */
  eventTeller(): EventTeller {
    return new EventTeller({ proxy: this.#proxy, ...this.#parts })
  }

  /** What brings buckets to where they are replicated to. */
  replicationWorker(metrics: Registry): ReplicationWorker {
    return new ReplicationWorker({ proxy: this.#proxy, ...this.#parts }, { metrics })
  }

  /** Answers a request of S3's; never throws. */
  readonly handle = async (exchange: Exchange): Promise<Reply> => {
    try {
      const { settings, requestMetrics } = exchange.proxy
      if (requestMetrics.inFlight > settings.requestsMax) throw new S3Error('SlowDown')
      const site = bucketOfHost(exchange.headers.host, this.#websiteDomains)
      if (site !== undefined) return await this.#answerWebsite(exchange, site)
      if (isQueryCall(exchange)) return await this.#queryApi.answer(exchange)
      const calling = this.#callOf(exchange)
      const call = calling instanceof Promise ? await calling : calling
      exchange.kind = KINDS[subjectOf(call)]
      const reply = await this.#answer(call)
      if (exchange.headers.origin !== undefined) await addCrossOrigin(call, reply)
      this.#accessLogs?.follow(call, reply)
      return reply
    } catch (error) {
      return s3ErrorReply(exchange, error)
    }
  }

  /** The answer to a request of S3's with a method that there is not, which nobody has read any further. */
  refuseMethod(line: RequestLine): Reply {
    const { domains } = this.#settings
    const { method, url, headers } = line
    const asked = { ...line, proxy: this.#proxy, transId: this.#proxy.transIds.next(), path: null }
    try {
      const target = parseTarget(pathOfUrl(url), headers.host, domains)
      const ResourceType = subjectOf({ target }).toUpperCase()
      throw new S3Error('MethodNotAllowed', undefined, { Method: method, ResourceType })
    } catch (error) {
      return s3ErrorReply(asked, error)
    }
  }

  async #answerWebsite(exchange: Exchange, bucket: string): Promise<Reply> {
    const call = websiteCall({ exchange, ...this.#parts }, bucket)
    const reply = await answerWebsite(call)
    this.#accessLogs?.follow(call, reply)
    return reply
  }

  async #answer(call: S3Call): Promise<Reply> {
    try {
      const reply = await actionOf(call)(call)
      reply.headers.push(...s3Headers(call.exchange), ...chargedHeader(call, reply.status))
      return reply
    } catch (error) {
      call.notes.errorCode = asS3Error(call.exchange, error).code
      return s3ErrorReply(call.exchange, error)
    }
  }

  #callOf(exchange: Exchange): Soon<S3Call> {
    const { domains } = this.#settings
    const pairs = queryPairs(queryOfUrl(exchange.url))
    const target = parseTarget(pathOfUrl(exchange.url), exchange.headers.host, domains)
    const bucket = target.isVirtualHost ? target.bucket : undefined
    // What is signed in a URL is another request than the one that a browser asks about.
    const isPreflight = exchange.method === 'OPTIONS'
    const signing = isPreflight ? null : this.#verify(exchange, pairs, bucket)
    const query = new S3Query(pairs)
    const { settings, directory, keyring } = this.#parts
    return soon(
      signing,
      (signature) =>
        new S3Call({ exchange, settings, directory, keyring, target, query, signature }),
    )
  }

  /** Who has signed becomes the exchange's caller; null if nobody has. */
  #verify(
    exchange: Exchange,
    query: QueryPairs,
    bucket: string | undefined,
  ): Soon<CallSignature | null> {
    const claim = readClaim(exchange, query)
    if (claim === null) return null
    const sessionToken = sessionTokenOf(exchange, query)
    const finding = this.#credentials.find(claim.accessKey, sessionToken)
    return soon(finding, (credential) =>
      this.#verifyClaim(exchange, { claim, credential, query, bucket, sessionToken }),
    )
  }

  #verifyClaim(
    exchange: Exchange,
    {
      claim,
      credential,
      query,
      bucket,
      sessionToken,
    }: {
      readonly claim: SignatureClaim
      readonly credential: S3Credential | null
      readonly query: QueryPairs
      readonly bucket: string | undefined
      readonly sessionToken: string | undefined
    },
  ): CallSignature {
    const { accessKey } = claim
    if (credential === null) {
      throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: accessKey })
    }
    exchange.accessKey = accessKey
    const { secret } = credential
    const nowMs = exchange.proxy.clock.nowMs()
    const { isPresigned } = claim
    const key = sessionToken === undefined ? { accessKey } : { accessKey, sessionToken }
    if (claim.version === 2) {
      verifyV2(exchange, claim, { secret, query, nowMs, bucket })
      exchange.caller = credential.caller
      return { seed: null, payloadHash: undefined, isPresigned, headers: null, service: 's3', key }
    }
    const seed = verifyV4(exchange, claim, { secret, query, nowMs, keys: this.#keys })
    exchange.caller = credential.caller
    const { payloadHash, scope, signedHeaders: headers } = claim
    return { seed, payloadHash, isPresigned, headers, service: scope.service, key }
  }
}
