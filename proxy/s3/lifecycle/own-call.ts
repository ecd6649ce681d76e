import type { ProxyContext } from '../../proxy-context.ts'
import { ownExchange } from '../../swift/own-exchange.ts'
import { S3Query } from '../routing/s3-query.ts'
import { S3Call, type S3CallParts } from '../s3-call.ts'

/** What calls of the process itself have in common. */
export interface OwnCalls extends Pick<S3CallParts, 'settings' | 'directory' | 'keyring'> {
  readonly proxy: ProxyContext
  /** For the log, where others have a user's name; `lifecycle` if absent. */
  readonly by?: string
}

/** A call that nobody has sent, with the rights of the bucket's owner. */
export function ownCall(
  { proxy, settings, directory, keyring, by = 'lifecycle' }: OwnCalls,
  at: { readonly account: string; readonly bucket: string; readonly key?: string },
): S3Call {
  const { account, bucket, key } = at
  const exchange = ownExchange(proxy, {
    path: { account, container: bucket, object: key },
    authority: { by, account, owner: true },
  })
  exchange.changeKind = 'expired'
  const target = { bucket, key, isVirtualHost: false }
  const query = new S3Query([])
  return new S3Call({ exchange, settings, directory, keyring, target, query, signature: null })
}
