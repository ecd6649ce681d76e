/** What a report says of an object or a version. https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html */
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import type { VersionLine } from '../bucket/version-page.ts'
import { listedS3Etag, listedTicks } from '../object/object-traits.ts'
import { classOfRow } from '../object/storage-class.ts'
import { s3TimeOfMs } from '../s3-time.ts'
import type { InventoryField, InventoryRule } from './inventory-rule.ts'

const ALWAYS = ['Bucket', 'Key']
const OF_VERSIONS = ['VersionId', 'IsLatest', 'IsDeleteMarker']

/** The columns' names, as the manifest tells them. */
export function inventorySchema({ versions, fields }: InventoryRule): string {
  return [...ALWAYS, ...(versions === 'All' ? OF_VERSIONS : []), ...fields].join(', ')
}

/** Whether the report is about it. */
export function isInventoried({ versions }: InventoryRule, line: VersionLine): boolean {
  return versions === 'All' || (line.isLatest && !line.isMarker)
}

/** A line of CSV: all is quoted, names are escaped as in URLs. */
export function inventoryLine(
  rule: InventoryRule,
  source: { readonly account: string; readonly bucket: string },
  line: VersionLine,
): string {
  const id = line.version === 'null' ? '' : line.version
  const versions = rule.versions === 'All' ? [id, line.isLatest, line.isMarker] : []
  const fields = rule.fields.map((field) => FIELDS[field](line, source.account))
  const values = [source.bucket, escapeKey(line.key), ...versions, ...fields]
  return `${values.map((value) => `"${String(value).replaceAll('"', '""')}"`).join(',')}\n`
}

const FIELDS: Readonly<Record<InventoryField, (line: VersionLine, account: string) => unknown>> = {
  Size: ({ isMarker, row }) => (isMarker ? '' : listedTraits(row).bytes),
  LastModifiedDate: ({ row }) => s3TimeOfMs((listedTicks(row) / TICKS_PER_SECOND) * 1000),
  StorageClass: ({ isMarker, row }) => (isMarker ? '' : classOfRow(row)),
  ETag: ({ isMarker, row }) => (isMarker ? '' : listedS3Etag(row)),
  IsMultipartUploaded: ({ isMarker, row }) => (isMarker ? '' : listedS3Etag(row).includes('-')),
  // There is nothing of these.
  ReplicationStatus: () => '',
  IntelligentTieringAccessTier: () => '',
  ObjectOwner: (_line, account) => account,
}

function escapeKey(key: string): string {
  const escaped = encodeURIComponent(key).replaceAll('%2F', '/')
  return escaped.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}
