/** Stores elsewhere that buckets may be replicated to, as the operator names them, with the keys that buckets' owners never see. */

export interface ReplicationTarget {
  /** As in `arn:swiftlet:replication::NAME:BUCKET`; `default` is where `arn:aws:s3:::BUCKET` leads. */
  readonly name: string
  /** `https://s3.example.com` */
  readonly endpoint: string
  readonly region?: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Storage accounts whose buckets may be replicated there; `*`: all. */
  readonly accounts: readonly string[]
  /** Buckets there that may be named; all that the keys lead to if absent. */
  readonly buckets?: readonly string[]
  /** It is a Swiftlet: versions keep their ids, and are known as replicas. */
  readonly isSwiftlet?: boolean
  /** It may lie in the operator's own network. */
  readonly isPrivate?: boolean
}

/** A bucket of a target. */
export interface ReplicationPlace {
  readonly target: ReplicationTarget
  readonly bucket: string
}

const ARN = /^arn:swiftlet:replication::([A-Za-z0-9_-]{1,64}):([a-z0-9.-]{3,63})$/
const AWS_ARN = /^arn:aws:s3:::([a-z0-9.-]{3,63})$/

/** Where the ARN leads for that account; null: nowhere that it may go. */
export function replicationPlace(
  arn: string,
  account: string,
  targets: readonly ReplicationTarget[],
): ReplicationPlace | null {
  const [, name = '', bucket = ''] = ARN.exec(arn) ?? [null, 'default', AWS_ARN.exec(arn)?.[1]]
  const target = targets.find((one) => one.name === name)
  if (target === undefined || bucket === '') return null
  const isAllowed = target.accounts.includes('*') || target.accounts.includes(account)
  const isOpen = target.buckets?.includes(bucket) ?? true
  return isAllowed && isOpen ? { target, bucket } : null
}
