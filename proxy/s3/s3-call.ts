import type { IamService } from '../../common/iam.ts'
import type { S3Credentials } from '../../common/identity.ts'
import type { Exchange } from '../exchange.ts'
import type { SwiftPath } from '../swift/path.ts'
import type { BucketDirectory } from './bucket/bucket-directory.ts'
import type { S3Query } from './routing/s3-query.ts'
import type { S3Target } from './routing/s3-target.ts'
import { S3Error } from './s3-error.ts'
import type { S3Settings } from './s3-options.ts'
import type { SigningKeys } from './signature/signing-keys.ts'
import type { GoodSignature } from './signature/verify.ts'
import type { TagSet } from './tagging/tag-set.ts'

/** How a request was signed. */
export interface CallSignature {
  /** What chunks of the body are signed after; of Version 4 only. */
  readonly seed: GoodSignature | null
  /** What was signed for the body; absent: nothing was. */
  readonly payloadHash: string | undefined
  readonly isPresigned: boolean
  /** The names of those that were signed; null: of Version 2, which signs none but `x-amz-…`, MD5, type and date. */
  readonly headers: readonly string[] | null
  /** `s3`, or `s3express` as clients sign for directory buckets. */
  readonly service: string
  /** With what: for calls that ask for other credentials by these. */
  readonly key: { readonly accessKey: string; readonly sessionToken?: string }
}

/** Where secrets are asked for, and the keys of a day. */
export interface Keyring {
  readonly credentials: S3Credentials
  readonly keys: SigningKeys
  /** Absent where there is no identity service. */
  readonly iam: IamService | undefined
}

/** A bucket that a call is about, as far as its log has to know. */
export interface NotedBucket {
  readonly account: string
  /** How it wants to be logged, as it is kept; undefined: not at all. */
  readonly logging: string | undefined
}

/** What a call does to what is stored. */
export type S3Change = 'nothing' | 'deletion' | 'write'

/** What is found out about a call on its way, for its answer and for who logs it. */
export interface CallNotes {
  change: S3Change
  /** Who asks pays for it. */
  isCharged: boolean
  /** Null: it was not found, or is not asked about. */
  bucket: NotedBucket | null
  key: string | undefined
  /** What is copied. */
  source:
    | (NotedBucket & {
        readonly bucket: string
        readonly key: string
        readonly versionId: string | undefined
      })
    | null
  /** What a deletion of many was about. */
  batch: readonly {
    readonly key: string
    readonly versionId: string | undefined
    readonly status: number
    readonly errorCode: string | undefined
  }[]
  /** Asked of the bucket's web site. */
  isWebsite: boolean
  errorCode: string | undefined
}

function newNotes(): CallNotes {
  return {
    change: 'nothing',
    isCharged: false,
    bucket: null,
    key: undefined,
    source: null,
    batch: [],
    isWebsite: false,
    errorCode: undefined,
  }
}

export interface S3CallParts
  extends Pick<
    S3Call,
    'exchange' | 'settings' | 'directory' | 'target' | 'query' | 'signature' | 'keyring'
  > {
  readonly form?: ReadonlyMap<string, string>
  /** Those of the call that this one is a part of. */
  readonly notes?: CallNotes
}

/** One request of the S3 API on its way to its action. */
export class S3Call {
  readonly exchange: Exchange
  readonly settings: S3Settings
  readonly directory: BucketDirectory
  readonly target: S3Target
  readonly query: S3Query
  /** Null: nobody has signed. */
  readonly signature: CallSignature | null
  readonly keyring: Keyring
  /** The fields of a form, by names in lower case: they stand for the request's headers. */
  readonly form: ReadonlyMap<string, string> | null
  readonly notes: CallNotes
  /** Tags that the request's document gives, for policies that ask about them; null: it has none, or was not read yet. */
  givenTags: TagSet | null = null
  #headerNames: readonly string[] | undefined

  constructor(parts: S3CallParts) {
    this.notes = parts.notes ?? newNotes()
    this.exchange = parts.exchange
    this.settings = parts.settings
    this.directory = parts.directory
    this.target = parts.target
    this.query = parts.query
    this.signature = parts.signature
    this.keyring = parts.keyring
    this.form = parts.form ?? null
  }

  /** What a call is made of that stands for this one, or for a part of it. */
  get parts(): S3CallParts {
    const { exchange, settings, directory, target, query, signature, keyring, notes, form } = this
    const parts = { exchange, settings, directory, target, query, signature, keyring, notes }
    return form === null ? parts : { ...parts, form }
  }

  get bucket(): string {
    return this.target.bucket!
  }

  get key(): string {
    return this.target.key!
  }

  /** The header as it came; those of a presigned URL may stand in its query. */
  header(name: string): string | undefined {
    if (this.form !== null) return this.form.get(name)
    const value = this.exchange.header(name)
    if (value !== undefined || !name.startsWith('x-amz-')) return value
    return this.signature?.isPresigned === true ? this.query.get(name) : undefined
  }

  /** All header names, those in a presigned URL's query included. */
  get headerNames(): readonly string[] {
    this.#headerNames ??= this.#namesOfHeaders()
    return this.#headerNames
  }

  #namesOfHeaders(): readonly string[] {
    if (this.form !== null) return [...this.form.keys()]
    const names = Object.keys(this.exchange.headers)
    if (this.signature?.isPresigned !== true) return names
    return [...names, ...this.query.names.filter((name) => name.startsWith('x-amz-'))]
  }

  /** Where the request's object (or bucket) is, once its bucket was found. */
  get path(): SwiftPath {
    return this.exchange.path!
  }

  /** The storage account of who has signed; AccessDenied for anybody else. */
  get ownAccount(): string {
    const { caller } = this.exchange
    if (caller === null) throw new S3Error('AccessDenied')
    return caller.account
  }
}
