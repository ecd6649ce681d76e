import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

const READS = new Set(['GET', 'HEAD', 'OPTIONS'])

/** AccessDenied if who has signed has a session of another bucket, or one that may not do this; undefined: of no bucket. */
export function checkScope(call: S3Call, bucket: string | undefined): void {
  const only = call.exchange.caller?.iam?.only
  if (only === undefined) return
  if (only.bucket !== bucket || (only.isReadOnly && !isRead(call)))
    throw new S3Error('AccessDenied')
}

/** A query over an object is a POST; the same word in the URL of anything else is not looked at by who answers it. */
function isRead({ exchange, target, form, query }: S3Call): boolean {
  const isQuery = form === null && target.key !== undefined && query.has('select')
  return isQuery || READS.has(exchange.method)
}
