import type { VersionId } from './version-names.ts'

/** A version that another store brings, with the id that it has there. */
export interface Replica {
  readonly id: VersionId
}

/**
 * What S3 asks of versions beyond Swift: a removed version gives way to the one before it, deletions while versioning is
 * suspended leave a null delete marker, and `null` may be a version that is not current any more. Set by the process
 * itself on its inner requests; no client can.
 */
export interface VersionRules {
  /** Retention in governance mode does not keep the version from being removed. */
  readonly bypassesGovernance: boolean
  /** A version that is current (again) is not removed: a 412. */
  readonly keepsCurrent?: boolean
  /** The version or delete marker being written is this one; what is newer stays current. */
  readonly replica?: Replica
}

/** Of requests that ask for nothing beyond. */
export const S3_VERSION_RULES: VersionRules = Object.freeze({ bypassesGovernance: false })
