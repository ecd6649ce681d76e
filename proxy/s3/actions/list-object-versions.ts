import type { Reply } from '../../reply.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import { parseVersionId } from '../../swift/versions/version-names.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { listOptions } from '../bucket/list-names.ts'
import { listVersionPage, type VersionLine } from '../bucket/version-page.ts'
import { listedS3Etag, listedTicks } from '../object/object-traits.ts'
import { classOfRow } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ownerElement, xmlReply } from '../s3-reply.ts'
import { s3Time } from '../s3-time.ts'
import type { XmlElement } from '../xml/xml-out.ts'

/** GET ?versions: of each key its versions and delete markers, the newest first. */
export async function listObjectVersions(call: S3Call): Promise<Reply> {
  const { account } = await enterBucket(call, {
    action: 's3:ListBucketVersions',
    acl: 'read',
    method: 'GET',
  })
  const options = listOptions(call)
  const { encode, prefix, delimiter, maxKeys, encodingType } = options
  const keyMarker = call.query.get('key-marker') ?? ''
  const versionMarker = versionMarkerOf(call, keyMarker)
  const at = { account, container: call.bucket }
  const query = { prefix, delimiter, limit: maxKeys, keyMarker, versionMarker }
  const { lines, prefixes, next } = await listVersionPage(call, at, query)
  const element = (line: VersionLine) => lineElement(line, encode, account)
  return xmlReply('ListVersionsResult', {
    Name: call.bucket,
    Prefix: encode(prefix),
    KeyMarker: encode(keyMarker),
    VersionIdMarker: versionMarker,
    ...(next !== undefined && {
      NextKeyMarker: encode(next.key),
      ...(next.version !== undefined && { NextVersionIdMarker: next.version }),
    }),
    MaxKeys: maxKeys,
    ...(call.query.has('delimiter') && { Delimiter: encode(delimiter) }),
    IsTruncated: next !== undefined,
    ...(encodingType !== undefined && { EncodingType: encodingType }),
    Version: lines.filter((line) => !line.isMarker).map(element),
    DeleteMarker: lines.filter((line) => line.isMarker).map(element),
    CommonPrefixes: prefixes.map((name) => ({ Prefix: encode(name) })),
  })
}

function lineElement(
  line: VersionLine,
  encode: (name: string) => string,
  account: string,
): XmlElement {
  const { key, version, row, isLatest, isMarker } = line
  return {
    Key: encode(key),
    VersionId: version,
    IsLatest: isLatest,
    LastModified: s3Time(listedTicks(row)),
    ...(!isMarker && { ETag: `"${listedS3Etag(row)}"`, Size: listedTraits(row).bytes }),
    Owner: ownerElement(account),
    ...(!isMarker && { StorageClass: classOfRow(row) }),
  }
}

function versionMarkerOf(call: S3Call, keyMarker: string): string {
  const marker = call.query.get('version-id-marker') ?? ''
  if (marker === '') return marker
  const details = { ArgumentName: 'version-id-marker', ArgumentValue: marker }
  if (keyMarker === '') {
    throw new S3Error(
      'InvalidArgument',
      'A version-id marker cannot be specified without a key marker.',
      details,
    )
  }
  if (marker === 'null' || parseVersionId(marker) !== null) return marker
  throw new S3Error('InvalidArgument', 'Invalid version id specified', details)
}
