/** Reads `<BucketLoggingStatus>`; S3's errors for what is none. */
import { utf8Bytes } from '../../../common/utf8.ts'
import { grantsOf } from '../access/acl-document.ts'
import type { AclGrant } from '../access/s3-acl.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import {
  DATE_SOURCES,
  type LogKeyFormat,
  type LogSetting,
  PREFIX_BYTES_MAX,
} from './log-setting.ts'

const PARTS = ['TargetBucket', 'TargetPrefix', 'TargetGrants', 'TargetObjectKeyFormat']
/** Ceph's: how its gateway keeps the log. */
const EXTENSIONS = ['LoggingType', 'ObjectRollTime', 'RecordsBatchSize', 'Filter']
const LOGGING_TYPES = ['Standard', 'Journal']
const GRANTED = ['FULL_CONTROL', 'READ', 'WRITE']
const GRANTS_MAX = 100

/** Null: nothing is to be logged. */
export async function readLogSetting(
  call: S3Call,
  root: XmlNode,
): Promise<Omit<LogSetting, 'account'> | null> {
  const enabled = root.child('LoggingEnabled')
  if (enabled === undefined) {
    if (root.names.length > 0) throw malformedXml()
    return null
  }
  refuseExtensions(enabled)
  if (enabled.names.some((name) => ![...PARTS, ...EXTENSIONS].includes(name))) throw malformedXml()
  const bucket = enabled.textOf('TargetBucket')?.trim()
  const prefix = enabled.textOf('TargetPrefix')
  if (!bucket || prefix === undefined) throw malformedXml()
  if (utf8Bytes(prefix) > PREFIX_BYTES_MAX || /[\p{Cc}\p{Cs}]/u.test(prefix)) {
    throw new S3Error('InvalidArgument', 'The TargetPrefix is too long, or none.', {
      ArgumentName: 'TargetPrefix',
    })
  }
  const format = formatOf(enabled.child('TargetObjectKeyFormat'))
  return { bucket, prefix, format, grants: await targetGrants(call, enabled.child('TargetGrants')) }
}

function refuseExtensions(enabled: XmlNode): void {
  const type = enabled.textOf('LoggingType')?.trim()
  if (type !== undefined && !LOGGING_TYPES.includes(type)) throw malformedXml()
  const asked = EXTENSIONS.filter((name) => enabled.child(name) !== undefined)
  for (const name of asked) {
    if (name !== 'LoggingType' || type !== 'Standard') throw notImplemented(name)
  }
}

function formatOf(node: XmlNode | undefined): LogKeyFormat {
  if (node === undefined) return 'Simple'
  const [name, ...others] = node.names
  if (others.length > 0) throw malformedXml()
  if (name === 'SimplePrefix') return 'Simple'
  if (name !== 'PartitionedPrefix') throw malformedXml()
  const text = node.child(name)!.textOf('PartitionDateSource')?.trim()
  // As AWS has it where nothing is said.
  if (text === undefined) return 'DeliveryTime'
  const source = DATE_SOURCES.find((known) => known === text)
  if (source === undefined) throw malformedXml()
  return source
}

async function targetGrants(call: S3Call, node: XmlNode | undefined): Promise<readonly AclGrant[]> {
  const nodes = node?.children('Grant') ?? []
  if (nodes.length > GRANTS_MAX) throw malformedXml()
  const grants = await grantsOf(call, nodes)
  if (!grants.every(({ permission }) => GRANTED.includes(permission))) throw malformedXml()
  return grants
}
