import type { Identity } from '../../common/identity.ts'
import { KEYS_MAX } from './bucket/list-names.ts'
import { PARTS_MAX } from './multipart/upload-names.ts'
import { S3_DEFAULTS, type S3Options } from './s3-options.ts'

/** What `/info` tells of S3, by the names that Swift's own s3api has for it; nothing where nobody has access keys. */
export function s3Info(options: {
  readonly s3?: S3Options
  readonly identity: Identity
}): Readonly<Record<string, unknown>> {
  const { s3 = {}, identity } = options
  if ((s3.credentials ?? identity.accessKeys) === undefined) return {}
  return {
    s3api: {
      max_bucket_listing: KEYS_MAX,
      max_parts_listing: KEYS_MAX,
      max_upload_part_num: PARTS_MAX,
      max_multi_delete_objects: KEYS_MAX,
      allow_multipart_uploads: true,
      min_segment_size: s3.partBytesMin ?? S3_DEFAULTS.partBytesMin,
      s3_acl: false,
    },
  }
}
