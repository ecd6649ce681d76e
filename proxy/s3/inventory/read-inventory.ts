/** Reads `<InventoryConfiguration>`; S3's errors for what is none. */
import { utf8Bytes } from '../../../common/utf8.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import {
  INVENTORY_FIELDS,
  INVENTORY_FORMATS,
  type InventoryRule,
  type InventoryTarget,
} from './inventory-rule.ts'

/** Of names that clients think up; keys may be as long. */
const PREFIX_BYTES_MAX = 512
const ARN = 'arn:aws:s3:::'

/** What is asked for; whose the target is has still to be found out. */
export type AskedInventory = Omit<InventoryRule, 'target' | 'setMs'> & {
  readonly target: Omit<InventoryTarget, 'account'>
}

export function readInventory(root: XmlNode, id: string): AskedInventory {
  if (root.textOf('Id') !== id) {
    throw new S3Error('InvalidArgument', 'The Id is not that of the request.')
  }
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(id)) {
    throw new S3Error('InvalidArgument', 'The Id is not one.', { ArgumentName: 'Id' })
  }
  const destination = root.child('Destination')?.child('S3BucketDestination')
  if (destination === undefined) throw malformedXml()
  const isEnabled = root.textOf('IsEnabled')
  if (isEnabled !== 'true' && isEnabled !== 'false') throw malformedXml()
  return {
    id,
    isEnabled: isEnabled === 'true',
    prefix: prefixOf(root.child('Filter')),
    versions: oneOf(root.textOf('IncludedObjectVersions'), ['All', 'Current']),
    frequency: oneOf(root.child('Schedule')?.textOf('Frequency'), ['Daily', 'Weekly']),
    fields: fieldsOf(root.child('OptionalFields')),
    target: targetOf(destination),
  }
}

function targetOf(node: XmlNode): AskedInventory['target'] {
  const format = oneOf(node.textOf('Format'), [...INVENTORY_FORMATS, 'ORC'])
  if (format === 'ORC') throw notImplemented('the format ORC of inventories')
  const arn = node.textOf('Bucket') ?? ''
  if (!arn.startsWith(ARN)) throw new S3Error('InvalidS3DestinationBucket')
  return {
    format,
    bucket: arn.slice(ARN.length),
    prefix: prefixOf(node),
    saidAccount: node.textOf('AccountId'),
    encryption: encryptionOf(node.child('Encryption')),
  }
}

function encryptionOf(node: XmlNode | undefined): InventoryTarget['encryption'] {
  if (node === undefined) return null
  const kms = node.child('SSE-KMS')
  if ((node.child('SSE-S3') === undefined) === (kms === undefined)) throw malformedXml()
  if (kms === undefined) return { mode: 'AES256' }
  const keyId = kms.textOf('KeyId')
  if (!keyId) throw malformedXml()
  return { mode: 'aws:kms', keyId }
}

function prefixOf(node: XmlNode | undefined): string {
  const prefix = node?.textOf('Prefix') ?? ''
  if (utf8Bytes(prefix) > PREFIX_BYTES_MAX || /[\p{Cc}\p{Cs}]/u.test(prefix)) {
    throw new S3Error('InvalidArgument', 'The Prefix is too long, or none.', {
      ArgumentName: 'Prefix',
    })
  }
  return prefix
}

function fieldsOf(node: XmlNode | undefined): InventoryRule['fields'] {
  const asked = (node?.children('Field') ?? []).map(({ text }) => text)
  for (const field of asked) {
    if (!INVENTORY_FIELDS.some((known) => known === field)) throw malformedXml()
  }
  return INVENTORY_FIELDS.filter((field) => asked.includes(field))
}

function oneOf<const T extends readonly string[]>(text: string | undefined, known: T): T[number] {
  const found = known.find((value) => value === text)
  if (found === undefined) throw malformedXml()
  return found
}
