/** Metadata that another API keeps with an object, as far as Swift's has to know of it. */

/** Whom S3's list lets do what: the copy's is its writer's. */
export const S3_ACL = 'x-object-sysmeta-s3-acl'

/** The storage class that S3 has given an object; absent: STANDARD. */
export const S3_CLASS = 'x-object-sysmeta-s3-class'

/** How far the version has come to another store: `COMPLETED` (with the id that it has there), `FAILED` or `REPLICA`. */
export const S3_REPLICATION = 'x-object-sysmeta-s3-replication'

/** Who renames the object in S3 just now, and until when. */
export const S3_RENAME_CLAIM = 'x-object-sysmeta-s3-rename'

/** Of what was renamed: the client's token, and the name that it had. */
export const S3_RENAMED = 'x-object-sysmeta-s3-renamed'

/** What S3's public access block says of a container: the names of what is set, behind a `=`. */
export const S3_PUBLIC_ACCESS_BLOCK = 'x-container-sysmeta-s3-public-access-block'

/** What S3's policy of a bucket says, in JSON. */
export const S3_POLICY = 'x-container-sysmeta-s3-policy'

export const S3_BUCKET_TAGGING = 'x-container-sysmeta-s3-tagging'

/** Of multipart objects: the upload that they were made by; its parts are theirs alone. */
export const S3_UPLOAD = 'x-object-sysmeta-s3-upload'

/** Of a multipart object that is being renamed: by whom. Two names may have its parts, so that none takes them along. */
export const S3_SHARES_PARTS = 'x-object-sysmeta-s3-shares-parts'

/** Of a container: it has had multipart uploads, so objects may have parts of their own. */
export const S3_HAS_UPLOADS = 'x-container-sysmeta-s3-multipart'

/** Behind a bucket's name: where the parts of its multipart uploads lie. */
export const SEGMENTS_SUFFIX = '+segments'

/** Whether what a container's ACLs grant to everybody counts for nothing. */
export function ignoresPublic(headers: Readonly<Record<string, string>>): boolean {
  return isBlocked(headers, 'IgnorePublicAcls')
}

/** Whether ACLs that grant something to everybody are refused. */
export function refusesPublic(headers: Readonly<Record<string, string>>): boolean {
  return isBlocked(headers, 'BlockPublicAcls')
}

function isBlocked(headers: Readonly<Record<string, string>>, block: string): boolean {
  const blocks = headers[S3_PUBLIC_ACCESS_BLOCK] ?? ''
  return blocks.slice(1).split(',').includes(block)
}
