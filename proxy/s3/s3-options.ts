import type { S3Credentials } from '../../common/identity.ts'
import type { RootSecrets } from '../encryption/root-secrets.ts'
import type { StorageClass } from '../storage-class/class-backend.ts'
import type { ReplicationTarget } from './replication/replication-target.ts'

/** The S3 API beside the Swift API, on the same objects. */
export interface S3Options {
  /** Those of the identity if absent. */
  readonly credentials?: S3Credentials
  /** Hosts whose requests are S3's, signed or not; buckets are `bucket.host` or `host/bucket`. */
  readonly domains?: readonly string[]
  /** Further hosts below which buckets are web sites; `s3-website.DOMAIN` is one of each of the domains without being named. */
  readonly websiteDomains?: readonly string[]
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
  /** How long records of buckets' access logs wait for others that share their object. */
  readonly accessLogRollMs?: number
  /** Where buckets may be replicated to. */
  readonly replicationTargets?: readonly ReplicationTarget[]
  /** Between two looks at what is to be replicated. */
  readonly replicationIntervalMs?: number
  /** What cannot be replicated for so long has failed. */
  readonly replicationGiveUpMs?: number
  /** Besides STANDARD, which is a container's own policy: the warmest first. Lifecycle rules never go back in the list. */
  readonly storageClasses?: readonly StorageClass[]
  /** Smaller objects stay where they are, unless a rule speaks of sizes. */
  readonly transitionBytesMin?: number
  /** Hosts (as in URLs, with or without their port) that events may be sent to though they are not on the internet. */
  readonly notificationHosts?: readonly string[]
  /** Events of a topic that may wait; with more, the changes that they would tell of are refused. */
  readonly notificationEventsMax?: number
}

export const S3_DEFAULTS = {
  domains: [],
  websiteDomains: [],
  region: 'us-east-1',
  partBytesMin: 5 * 1024 * 1024,
  customerKeysNeedTls: false,
  lifecycleDayMs: 86_400_000,
  accessLogRollMs: 300_000,
  replicationTargets: [],
  replicationIntervalMs: 5_000,
  replicationGiveUpMs: 24 * 3_600_000,
  storageClasses: [],
  transitionBytesMin: 128 * 1024,
  notificationHosts: [],
  notificationEventsMax: 100_000,
} satisfies Partial<S3Options>

/** Hosts below which buckets are web sites: the configured ones, and AWS's names for them below each of S3's own. */
export function websiteDomains(settings: S3Settings): readonly string[] {
  const { domains, websiteDomains, region } = settings
  const derived = domains.flatMap((domain) => [
    `s3-website.${domain}`,
    `s3-website-${region}.${domain}`,
  ])
  return [...websiteDomains, ...derived]
}

export type S3Settings = Required<Omit<S3Options, 'credentials' | 'keys'>> & Pick<S3Options, 'keys'>
