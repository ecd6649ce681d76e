import { SEGMENTS_SUFFIX } from '../../swift/foreign-meta.ts'
import { S3Error } from '../s3-error.ts'

/** Containers that S3 can name: what Swift's clients have made may break the rules for new buckets. */
const REACHABLE = /^[A-Za-z0-9._-]{3,255}$/
const NEW = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$/

/** The container that holds the parts of the bucket's multipart uploads. No bucket is called so. */
export function segmentsContainer(bucket: string): string {
  return bucket + SEGMENTS_SUFFIX
}

/** Whether a container of that name can be asked for as a bucket. */
export function isReachable(name: string): boolean {
  return REACHABLE.test(name)
}

/** Throws InvalidBucketName unless a bucket may be made with that name. */
export function checkNewBucketName(name: string): void {
  const isGood =
    NEW.test(name) &&
    !ADDRESS.test(name) &&
    !/\.\.|\.-|-\./.test(name) &&
    !name.startsWith('xn--') &&
    !name.startsWith('sthree-') &&
    !name.endsWith('-s3alias') &&
    !name.endsWith('--ol-s3')
  if (!isGood) throw new S3Error('InvalidBucketName', undefined, { BucketName: name })
}
