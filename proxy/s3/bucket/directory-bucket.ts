/** Buckets that clients take for directory buckets, by their names: `name--zone--x-s3`. Here they are like any other. */

const SUFFIX = '--x-s3'

export function isDirectoryName(bucket: string): boolean {
  return bucket.endsWith(SUFFIX)
}
