/** What a report says of an object or a version. https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html */
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ItemInfo } from '../../../common/storage-node.ts'
import { type SseMode, sseOf } from '../../encryption/sse-record.ts'
import { S3_ACL } from '../../swift/foreign-meta.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import { LEGAL_HOLD, retentionOf } from '../../swift/versions/object-lock.ts'
import { ownershipOf } from '../access/ownership.ts'
import { decodeAcl, groupUri, privateAcl } from '../access/s3-acl.ts'
import type { VersionLine } from '../bucket/version-page.ts'
import { lifecycleOf } from '../lifecycle/lifecycle-headers.ts'
import type { LifecycleRule } from '../lifecycle/lifecycle-rule.ts'
import { expirationOf } from '../lifecycle/lifecycle-steps.ts'
import { aclOwner } from '../object/object-acl.ts'
import { checksumOfObject, listedS3Etag, listedTicks } from '../object/object-traits.ts'
import { classOfRow } from '../object/storage-class.ts'
import { replicationStatus } from '../replication/replication-status.ts'
import { tagsOfObject } from '../tagging/tag-set.ts'
import type { InventoryField, InventoryRule } from './inventory-rule.ts'

/** Times are milliseconds since 1970, the same as numbers until somebody writes them. */
export type CellKind = 'text' | 'boolean' | 'number' | 'time'
export type Cell = string | boolean | number | null

/** What a line is made of. */
export interface InventoriedVersion {
  readonly line: VersionLine
  /** Null: no column asks for it. */
  readonly head: ItemInfo | null
}

/** The bucket that a report is of, as it was when the report began. */
export interface InventorySource {
  readonly account: string
  readonly bucket: string
  readonly info: ItemInfo
}

export interface InventoryColumn {
  readonly name: string
  readonly kind: CellKind
  readonly isRequired: boolean
  /** Whether the listing does not know. */
  readonly asksHead: boolean
  readonly cell: (version: InventoriedVersion) => Cell
}

/** The columns of a report, in their order. */
export function inventoryColumns(
  { versions, fields }: Pick<InventoryRule, 'versions' | 'fields'>,
  source: InventorySource,
): readonly InventoryColumn[] {
  return [
    ...ALWAYS(source),
    ...(versions === 'All' ? OF_VERSIONS : []),
    ...fields.map((name) => fieldColumn(name, source)),
  ]
}

/** Whether the report is about it. */
export function isInventoried(
  { versions }: Pick<InventoryRule, 'versions'>,
  line: VersionLine,
): boolean {
  return versions === 'All' || (line.isLatest && !line.isMarker)
}

const ALWAYS = ({ bucket }: InventorySource): readonly InventoryColumn[] => [
  { name: 'Bucket', kind: 'text', isRequired: true, asksHead: false, cell: () => bucket },
  { name: 'Key', kind: 'text', isRequired: true, asksHead: false, cell: ({ line }) => line.key },
]

const OF_VERSIONS: readonly InventoryColumn[] = [
  ofVersion('VersionId', 'text', ({ version }) => (version === 'null' ? null : version)),
  ofVersion('IsLatest', 'boolean', ({ isLatest }) => isLatest),
  ofVersion('IsDeleteMarker', 'boolean', ({ isMarker }) => isMarker),
]

function ofVersion(
  name: string,
  kind: CellKind,
  cell: (line: VersionLine) => Cell,
): InventoryColumn {
  return { name, kind, isRequired: false, asksHead: false, cell: ({ line }) => cell(line) }
}

interface Field {
  readonly kind: CellKind
  readonly cell: (version: InventoriedVersion, source: InventorySource) => Cell
  readonly asksHead: (source: InventorySource) => boolean
}

const FIELDS: Readonly<Record<InventoryField, Field>> = {
  Size: ofRow('number', ({ row }) => listedTraits(row).bytes),
  LastModifiedDate: { kind: 'time', asksHead: () => false, cell: ({ line }) => writtenMs(line) },
  ETag: ofRow('text', ({ row }) => listedS3Etag(row)),
  StorageClass: ofRow('text', ({ row }) => classOfRow(row)),
  IsMultipartUploaded: ofRow('boolean', ({ row }) => listedS3Etag(row).includes('-')),
  ReplicationStatus: { kind: 'text', asksHead: () => true, cell: replicationCell },
  EncryptionStatus: ofHead('text', ({ meta }) => ENCRYPTIONS[sseOf(meta)?.mode ?? 'none']),
  ObjectLockRetainUntilDate: ofHead('time', (head) => retentionOf(head)?.untilMs ?? null),
  ObjectLockMode: ofHead('text', (head) => retentionOf(head)?.mode ?? null),
  ObjectLockLegalHoldStatus: ofHead('text', ({ meta }) =>
    meta.headers[LEGAL_HOLD] === 'ON' ? 'On' : 'Off',
  ),
  // No class of this store moves objects by how they are read.
  IntelligentTieringAccessTier: ofRow('text', () => null),
  BucketKeyStatus: ofHead('text', ({ meta }) =>
    sseOf(meta)?.bucketKey === true ? 'ENABLED' : 'DISABLED',
  ),
  ChecksumAlgorithm: ofHead('text', (head) => checksumOfObject(head)?.algorithm ?? null),
  ObjectAccessControlList: ofHead('text', aclCell),
  ObjectOwner: {
    kind: 'text',
    asksHead: (source) => !isOwnersAlone(source),
    cell: ({ head }, source) =>
      (head === null || isOwnersAlone(source) ? undefined : aclOwner(head.meta.headers)) ??
      source.account,
  },
  LifecycleExpirationDate: {
    kind: 'time',
    asksHead: ({ info }) => expiringRules(info).some(({ tags }) => tags.length > 0),
    cell: expirationCell,
  },
}

const ENCRYPTIONS = {
  none: 'NOT-SSE',
  AES256: 'SSE-S3',
  'aws:kms': 'SSE-KMS',
  'aws:kms:dsse': 'DSSE-KMS',
  customer: 'SSE-C',
} as const satisfies Readonly<Record<SseMode | 'none', string>>

/** Of an object, not of a delete marker. */
function ofRow(kind: CellKind, cell: (line: VersionLine) => Cell): Field {
  return {
    kind,
    asksHead: () => false,
    cell: ({ line }) => (line.isMarker ? null : cell(line)),
  }
}

function ofHead(kind: CellKind, cell: (head: ItemInfo, source: InventorySource) => Cell): Field {
  return {
    kind,
    asksHead: () => true,
    cell: ({ line, head }, source) => (head === null || line.isMarker ? null : cell(head, source)),
  }
}

function fieldColumn(name: InventoryField, source: InventorySource): InventoryColumn {
  const { kind, cell, asksHead } = FIELDS[name]
  const of = { name, kind, isRequired: false }
  return { ...of, asksHead: asksHead(source), cell: (version) => cell(version, source) }
}

function writtenMs({ row }: VersionLine): number {
  return (listedTicks(row) / TICKS_PER_SECOND) * 1000
}

function replicationCell({ line, head }: InventoriedVersion, { info }: InventorySource): Cell {
  if (head === null) return null
  const { key, isMarker, row } = line
  return replicationStatus(info, head, { key, isMarker, ticks: listedTicks(row) }) ?? null
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/objectacl.html */
function aclCell({ meta }: ItemInfo, { account }: InventorySource): Cell {
  const text = meta.headers[S3_ACL]
  const { grants } = text ? decodeAcl(text) : privateAcl(account)
  const list = grants.map(({ grantee, permission }) =>
    'account' in grantee
      ? { canonicalId: grantee.account, type: 'CanonicalUser', permission }
      : { uri: groupUri(grantee.group), type: 'Group', permission },
  )
  const document = { version: '2022-11-10', status: 'AVAILABLE', grants: list }
  return Buffer.from(JSON.stringify(document)).toString('base64')
}

/** Whose objects are all the bucket owner's, whatever their lists say. */
function isOwnersAlone({ info }: InventorySource): boolean {
  return ownershipOf(info) === 'BucketOwnerEnforced'
}

/** Of what is current, as x-amz-expiration tells it. */
function expirationCell({ line, head }: InventoriedVersion, { info }: InventorySource): Cell {
  if (line.isMarker || !line.isLatest) return null
  const facts = {
    key: line.key,
    bytes: listedTraits(line.row).bytes,
    // Without a head no rule asks for any.
    tags: head === null ? [] : tagsOfObject(head),
    writtenMs: writtenMs(line),
  }
  return expirationOf(expiringRules(info), facts)?.atMs ?? null
}

function expiringRules(info: ItemInfo): readonly LifecycleRule[] {
  const rules = lifecycleOf(info)?.rules ?? []
  return rules.filter(({ isEnabled, expiration }) => isEnabled && expiration !== undefined)
}
