import type { ItemInfo } from '../../../common/storage-node.ts'
import { S3Error } from '../s3-error.ts'

/** A plain object from before versions that is to vanish at a time (X-Delete-At) cannot be kept beyond it. */
export function refuseExpiring({ meta }: ItemInfo): void {
  if (meta.headers['x-delete-at'] === undefined) return
  throw new S3Error('InvalidRequest', 'The object has a time at which it vanishes (X-Delete-At).')
}
