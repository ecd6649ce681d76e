import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

const READS = new Set(['GET', 'HEAD', 'OPTIONS'])

/** AccessDenied if who has signed has a session of another bucket, or one that may not do this; undefined: of no bucket. */
export function checkScope(call: S3Call, bucket: string | undefined): void {
  const only = call.exchange.caller?.iam?.only
  if (only === undefined) return
  const isRead = READS.has(call.exchange.method) || call.query.has('select')
  if (only.bucket !== bucket || (only.isReadOnly && !isRead)) throw new S3Error('AccessDenied')
}
