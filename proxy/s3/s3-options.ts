import type { S3Credentials } from '../../common/identity.ts'
import type { RootSecrets } from '../encryption/root-secrets.ts'

/** The S3 API beside the Swift API, on the same objects. */
export interface S3Options {
  /** Those of the identity if absent. */
  readonly credentials?: S3Credentials
  /** Hosts whose requests are S3's, signed or not; buckets are `bucket.host` or `host/bucket`. */
  readonly domains?: readonly string[]
  /** What GetBucketLocation says; signatures may name any. */
  readonly region?: string
  /** Of the parts of a multipart upload but the last. */
  readonly partBytesMin?: number
  /** What objects are enciphered with where clients ask for it; the active one for AES256, each by its id for aws:kms. */
  readonly keys?: RootSecrets
  /** Clients' own keys are refused where they would come without TLS. */
  readonly customerKeysNeedTls?: boolean
  /** What lifecycle rules take for a day; shorter for tests. */
  readonly lifecycleDayMs?: number
}

export const S3_DEFAULTS = {
  domains: [],
  region: 'us-east-1',
  partBytesMin: 5 * 1024 * 1024,
  customerKeysNeedTls: false,
  lifecycleDayMs: 86_400_000,
} satisfies Partial<S3Options>

export type S3Settings = Required<Omit<S3Options, 'credentials' | 'keys'>> & Pick<S3Options, 'keys'>
