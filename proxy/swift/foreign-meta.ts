/** Metadata that another API keeps with an object, as far as Swift's has to know of it. */

/** Whom S3's list lets do what: the copy's is its writer's. */
export const S3_ACL = 'x-object-sysmeta-s3-acl'

/** What S3's public access block says of a container: the names of what is set, behind a `=`. */
export const S3_PUBLIC_ACCESS_BLOCK = 'x-container-sysmeta-s3-public-access-block'

/** Whether what a container's ACLs grant to everybody counts for nothing. */
export function ignoresPublic(headers: Readonly<Record<string, string>>): boolean {
  const blocks = headers[S3_PUBLIC_ACCESS_BLOCK] ?? ''
  return blocks.slice(1).split(',').includes('IgnorePublicAcls')
}
