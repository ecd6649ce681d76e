import type { Reply } from '../../reply.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { listNames, listOptions } from '../bucket/list-names.ts'
import { listedS3Etag } from '../object/object-traits.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ownerElement, xmlReply } from '../s3-reply.ts'
import { s3Time } from '../s3-time.ts'

/** Of a bucket without versions: each object has one, called `null`. */
export async function listObjectVersions(call: S3Call): Promise<Reply> {
  const { account } = await enterBucket(call, { acl: 'read', method: 'GET' })
  const options = listOptions(call)
  const { encode, prefix, delimiter, maxKeys, encodingType } = options
  const keyMarker = call.query.get('key-marker') ?? ''
  const versionMarker = call.query.get('version-id-marker') ?? ''
  if (versionMarker !== '' && keyMarker === '') {
    throw new S3Error(
      'InvalidArgument',
      'A version-id marker cannot be specified without a key marker.',
      { ArgumentName: 'version-id-marker', ArgumentValue: versionMarker },
    )
  }
  const page = await listNames(
    call,
    { account, container: call.bucket },
    {
      ...options,
      after: keyMarker,
      limit: maxKeys,
    },
  )
  const next = page.isTruncated ? page.last : undefined
  return xmlReply('ListVersionsResult', {
    Name: call.bucket,
    Prefix: encode(prefix),
    KeyMarker: encode(keyMarker),
    VersionIdMarker: versionMarker,
    ...(next !== undefined && { NextKeyMarker: encode(next), NextVersionIdMarker: 'null' }),
    MaxKeys: maxKeys,
    ...(delimiter !== '' && { Delimiter: encode(delimiter) }),
    IsTruncated: page.isTruncated,
    ...(encodingType !== undefined && { EncodingType: encodingType }),
    Version: page.rows.map((row) => {
      const traits = listedTraits(row)
      return {
        Key: encode(row.name),
        VersionId: 'null',
        IsLatest: true,
        LastModified: s3Time(row.stamp.ticks),
        ETag: `"${listedS3Etag(row)}"`,
        Size: traits.bytes,
        Owner: ownerElement(account),
        StorageClass: 'STANDARD',
      }
    }),
    CommonPrefixes: page.prefixes.map((name) => ({ Prefix: encode(name) })),
  })
}
