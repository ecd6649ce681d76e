import type { Reply } from '../../reply.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { KEYS_MAX, listNames, listOptions, type NamePage } from '../bucket/list-names.ts'
import {
  afterUploadsOf,
  readUploadName,
  UPLOADS_PREFIX,
  uploadName,
} from '../multipart/upload-names.ts'
import { initiatorOf, Uploads } from '../multipart/uploads.ts'
import { classOfRow } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ownerElement, xmlReply } from '../s3-reply.ts'
import { s3Time } from '../s3-time.ts'

const NOTHING: NamePage = { rows: [], prefixes: [], isTruncated: false, last: undefined }

/** The uploads of a bucket that are under way, in the order of their keys. */
export async function listMultipartUploads(call: S3Call): Promise<Reply> {
  const { account } = await enterBucket(call, {
    action: 's3:ListBucketMultipartUploads',
    acl: 'write',
    method: 'GET',
  })
  const { prefix, delimiter, encode, encodingType } = listOptions(call)
  const limit = call.query.count('max-uploads', { max: KEYS_MAX, otherwise: KEYS_MAX })
  const keyMarker = call.query.get('key-marker') ?? ''
  const idMarker = keyMarker === '' ? '' : (call.query.get('upload-id-marker') ?? '')
  const uploads = await Uploads.of(call)
  const after = idMarker === '' ? afterUploadsOf(keyMarker) : uploadName(keyMarker, idMarker)
  const query = {
    prefix: UPLOADS_PREFIX + prefix,
    delimiter,
    limit,
    after: keyMarker === '' ? '' : after,
  }
  const page = await listNames(call, { account, container: uploads.container }, query).catch(none)
  const last = page.isTruncated && page.last !== undefined ? lastOf(page) : undefined
  return xmlReply('ListMultipartUploadsResult', {
    Bucket: call.bucket,
    KeyMarker: encode(keyMarker),
    UploadIdMarker: idMarker,
    ...(last !== undefined && {
      NextKeyMarker: encode(last.key),
      NextUploadIdMarker: last.uploadId,
    }),
    ...(prefix !== '' && { Prefix: encode(prefix) }),
    ...(delimiter !== '' && { Delimiter: encode(delimiter) }),
    MaxUploads: limit,
    IsTruncated: page.isTruncated,
    ...(encodingType !== undefined && { EncodingType: encodingType }),
    Upload: page.rows.map((row) => {
      const { key, uploadId } = readUploadName(row.name)
      const owner = ownerElement(initiatorOf(row) ?? account)
      return {
        Key: encode(key),
        UploadId: uploadId,
        Initiator: owner,
        Owner: owner,
        StorageClass: classOfRow(row),
        Initiated: s3Time(row.stamp.ticks),
      }
    }),
    CommonPrefixes: page.prefixes.map((name) => ({
      Prefix: encode(name.slice(UPLOADS_PREFIX.length)),
    })),
  })
}

function lastOf({ last, prefixes }: NamePage): { readonly key: string; readonly uploadId: string } {
  if (prefixes.includes(last!)) return { key: last!.slice(UPLOADS_PREFIX.length), uploadId: '' }
  return readUploadName(last!)
}

/** A bucket that has never had an upload has no container for them. */
function none(error: unknown): NamePage {
  if (error instanceof S3Error && error.code === 'NoSuchBucket') return NOTHING
  throw error
}
