/**
 * Where a multipart upload is kept: in a container beside the bucket's, with the same storage policy.
 *
 *   uploads/KEY \x01 UPLOAD    the upload itself, as long as it is under way: in the order of keys, as it is listed
 *   parts/UPLOAD/00001         its parts, in theirs
 */
import { S3Error } from '../s3-error.ts'

export const UPLOADS_PREFIX = 'uploads/'
export const PARTS_MAX = 10_000

const BEFORE_UPLOAD = '\x01'
const AFTER_UPLOADS = '\x02'
const UPLOAD_ID = /^[0-9a-f]{32}$/

export function uploadName(key: string, uploadId: string): string {
  return UPLOADS_PREFIX + key + BEFORE_UPLOAD + uploadId
}

/** Behind all uploads of the key. */
export function afterUploadsOf(key: string): string {
  return UPLOADS_PREFIX + key + AFTER_UPLOADS
}

export function readUploadName(name: string): { readonly key: string; readonly uploadId: string } {
  const end = name.lastIndexOf(BEFORE_UPLOAD)
  return { key: name.slice(UPLOADS_PREFIX.length, end), uploadId: name.slice(end + 1) }
}

export function partsPrefix(uploadId: string): string {
  return `parts/${uploadId}/`
}

export function partName(uploadId: string, partNumber: number): string {
  return partsPrefix(uploadId) + String(partNumber).padStart(5, '0')
}

export function partNumberOf(name: string): number {
  return Number(name.slice(name.lastIndexOf('/') + 1))
}

/** Whether a text can be an upload's id at all. */
export function isUploadId(text: string): boolean {
  return UPLOAD_ID.test(text)
}

/** A part's number; InvalidArgument if it is none. */
export function parsePartNumber(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= PARTS_MAX) return number
  throw new S3Error(
    'InvalidArgument',
    `Part number must be an integer between 1 and ${PARTS_MAX}, inclusive`,
    { ArgumentName: 'partNumber', ArgumentValue: text },
  )
}
