/** GET of a bucket, in both versions. */
import type { ListRow } from '../../../common/storage-node.ts'
import type { Reply } from '../../reply.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { type ListOptions, listNames, listOptions, type NamePage } from '../bucket/list-names.ts'
import { listedS3Etag, listedTicks } from '../object/object-traits.ts'
import { classOfRow } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ownerElement, xmlReply } from '../s3-reply.ts'
import { s3Time } from '../s3-time.ts'
import type { XmlElement } from '../xml/xml-out.ts'

/** ListObjects: the page behind a marker. */
export async function listObjects(call: S3Call): Promise<Reply> {
  const { account } = await enterBucket(call, {
    action: 's3:ListBucket',
    acl: 'read',
    method: 'GET',
  })
  const options = listOptions(call)
  const marker = call.query.get('marker') ?? ''
  const page = await listNames(
    call,
    { account, container: call.bucket },
    {
      ...options,
      after: marker,
      limit: options.maxKeys,
    },
  )
  const { encode } = options
  const next = page.isTruncated && options.delimiter !== '' ? page.last : undefined
  return xmlReply('ListBucketResult', {
    Name: call.bucket,
    // As it is: clients that decode names do not decode this one.
    Prefix: options.prefix,
    Marker: encode(marker),
    ...(next !== undefined && { NextMarker: encode(next) }),
    ...commonElements(options, page),
    Contents: page.rows.map((row) => objectElement(row, encode, account)),
    CommonPrefixes: page.prefixes.map((prefix) => ({ Prefix: encode(prefix) })),
  })
}

/** ListObjectsV2: the page behind a token. */
export async function listObjectsV2(call: S3Call): Promise<Reply> {
  const { account } = await enterBucket(call, {
    action: 's3:ListBucket',
    acl: 'read',
    method: 'GET',
  })
  const options = listOptions(call)
  const token = call.query.get('continuation-token')
  const startAfter = call.query.get('start-after')
  const page = await listNames(
    call,
    { account, container: call.bucket },
    {
      ...options,
      after: token === undefined || token === '' ? (startAfter ?? '') : readToken(token),
      limit: options.maxKeys,
    },
  )
  const { encode } = options
  const owner = call.query.get('fetch-owner') === 'true' ? account : undefined
  const next = page.isTruncated ? page.last : undefined
  return xmlReply('ListBucketResult', {
    Name: call.bucket,
    Prefix: encode(options.prefix),
    KeyCount: page.rows.length + page.prefixes.length,
    ...(startAfter !== undefined && { StartAfter: encode(startAfter) }),
    ...(token !== undefined && { ContinuationToken: token }),
    ...(next !== undefined && { NextContinuationToken: makeToken(next) }),
    ...commonElements(options, page),
    Contents: page.rows.map((row) => objectElement(row, encode, owner)),
    CommonPrefixes: page.prefixes.map((prefix) => ({ Prefix: encode(prefix) })),
  })
}

function commonElements(options: ListOptions, page: NamePage): XmlElement {
  const { delimiter, encode, encodingType, maxKeys } = options
  return {
    MaxKeys: maxKeys,
    ...(delimiter !== '' && { Delimiter: encode(delimiter) }),
    IsTruncated: page.isTruncated,
    ...(encodingType !== undefined && { EncodingType: encodingType }),
  }
}

function objectElement(
  row: ListRow,
  encode: (name: string) => string,
  owner: string | undefined,
): XmlElement {
  const traits = listedTraits(row)
  return {
    Key: encode(row.name),
    LastModified: s3Time(listedTicks(row)),
    ETag: `"${listedS3Etag(row)}"`,
    Size: traits.bytes,
    ...(owner !== undefined && { Owner: ownerElement(owner) }),
    StorageClass: classOfRow(row),
  }
}

/** The name behind which the next page begins; clients take it as it is. */
function makeToken(name: string): string {
  return Buffer.from(name).toString('base64')
}

function readToken(token: string): string {
  const name = Buffer.from(token, 'base64').toString()
  if (makeToken(name) === token) return name
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', {
    ArgumentName: 'continuation-token',
    ArgumentValue: token,
  })
}
