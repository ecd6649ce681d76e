/** A bucket's inventory configurations, as they are kept: each in a header of its own, so that nobody overwrites another's. */
import { hash } from 'node:crypto'
import type { ItemInfo } from '../../../common/storage-node.ts'
import type { XmlElement } from '../xml/xml-out.ts'

const SETTING = 'x-container-sysmeta-s3-inventory-'

/** In the order in which reports have them. */
export const INVENTORY_FIELDS = [
  'Size',
  'LastModifiedDate',
  'ETag',
  'StorageClass',
  'IsMultipartUploaded',
  'ReplicationStatus',
  'EncryptionStatus',
  'ObjectLockRetainUntilDate',
  'ObjectLockMode',
  'ObjectLockLegalHoldStatus',
  'IntelligentTieringAccessTier',
  'BucketKeyStatus',
  'ChecksumAlgorithm',
  'ObjectAccessControlList',
  'ObjectOwner',
  'LifecycleExpirationDate',
] as const
export type InventoryField = (typeof INVENTORY_FIELDS)[number]

export const INVENTORY_FORMATS = ['CSV', 'Parquet'] as const
export type InventoryFormat = (typeof INVENTORY_FORMATS)[number]

export interface InventoryTarget {
  /** Absent where it was set before there was a choice: CSV. */
  readonly format?: InventoryFormat
  readonly account: string
  readonly bucket: string
  readonly prefix: string
  /** As the client has said it: for the answer. */
  readonly saidAccount: string | undefined
  readonly encryption: { readonly mode: 'AES256' | 'aws:kms'; readonly keyId?: string } | null
}

export interface InventoryRule {
  readonly id: string
  readonly isEnabled: boolean
  readonly prefix: string
  readonly versions: 'All' | 'Current'
  readonly frequency: 'Daily' | 'Weekly'
  readonly fields: readonly InventoryField[]
  readonly target: InventoryTarget
  /** When it was set. */
  readonly setMs: number
}

/** What the keys of a bucket's reports begin with, where they go. */
export function reportFolder(
  { id, target }: { readonly id: string; readonly target: Pick<InventoryTarget, 'prefix'> },
  bucket: string,
): string {
  const above = target.prefix === '' ? '' : `${target.prefix.replace(/\/$/, '')}/`
  return `${above}${bucket}/${id}/`
}

/** The name of the header that keeps it. */
export function inventorySetting(id: string): string {
  return SETTING + hash('md5', id, 'hex')
}

/** All of a bucket, by id. */
export function inventoriesOf({ meta }: Pick<ItemInfo, 'meta'>): readonly InventoryRule[] {
  return Object.entries(meta.headers)
    .filter(([name, value]) => name.startsWith(SETTING) && value !== '')
    .map(([, value]) => JSON.parse(value) as InventoryRule)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

export function formatOf({ format = 'CSV' }: Pick<InventoryTarget, 'format'>): InventoryFormat {
  return format
}

export function inventoryElement(rule: InventoryRule): XmlElement {
  const { target } = rule
  const { encryption } = target
  const key = encryption?.keyId
  return {
    Destination: {
      S3BucketDestination: {
        AccountId: target.saidAccount,
        Bucket: `arn:aws:s3:::${target.bucket}`,
        Format: formatOf(target),
        Prefix: target.prefix === '' ? undefined : target.prefix,
        Encryption:
          encryption === null
            ? undefined
            : encryption.mode === 'AES256'
              ? { 'SSE-S3': '' }
              : { 'SSE-KMS': { KeyId: key } },
      },
    },
    IsEnabled: rule.isEnabled,
    Filter: rule.prefix === '' ? undefined : { Prefix: rule.prefix },
    Id: rule.id,
    IncludedObjectVersions: rule.versions,
    OptionalFields: rule.fields.length === 0 ? undefined : { Field: rule.fields },
    Schedule: { Frequency: rule.frequency },
  }
}

const DAY_MS = 24 * 60 * 60 * 1000
/** 1 January 1970 was a Thursday. */
const SUNDAY = 3

/** Whether a round that began then is to report by it: weekly ones on Sundays (UTC), and on the day that they were set. */
export function isDue({ isEnabled, frequency, setMs }: InventoryRule, startedMs: number): boolean {
  if (!isEnabled || frequency === 'Daily') return isEnabled
  const day = Math.floor(startedMs / DAY_MS)
  return day % 7 === SUNDAY || day === Math.floor(setMs / DAY_MS)
}
