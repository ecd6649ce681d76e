/** Behind the sign-in, around the writes of both APIs: what is to be replicated is marked before it is written. */
import { ServiceError } from '../../../common/errors.ts'
import type { Exchange } from '../../exchange.ts'
import type { Layer, Next } from '../../layers/layer.ts'
import { type ObjectWrite, objectWriteLayer } from '../../layers/object-writes.ts'
import { isStream, type Reply, replyHeader } from '../../reply.ts'
import { versionOf } from '../../swift/found-object.ts'
import { accessObject } from '../../swift/object-access.ts'
import type { SwiftPath } from '../../swift/path.ts'
import { type MarkedBucket, ReplicationMarks, type StoredMark } from './replication-marks.ts'
import { mayConcern, replicationOf } from './replication-rule.ts'

/** Always there. */
export function replicationLayer(): Layer {
  return objectWriteLayer('replication', answerIn)
}

function answerIn(exchange: Exchange, { path, bucket, next }: ObjectWrite): Reply | Promise<Reply> {
  // Versions that are removed for good are removed here alone, as are those that lifecycle rules hide (AWS: "What does Amazon
  // S3 replicate?"), and replicas came from elsewhere.
  const isByRule = exchange.method === 'DELETE' && exchange.changeKind === 'expired'
  const isOwn = isByRule || exchange.versionRules?.replica !== undefined
  if (isOwn || versionOf(exchange) !== undefined) return next()
  const replication = bucket === null ? null : replicationOf(bucket)
  if (replication === null || !mayConcern(replication, path.object!)) return next()
  return answerMarked(exchange, path, next)
}

async function answerMarked(exchange: Exchange, path: SwiftPath, next: Next): Promise<Reply> {
  // Only for who may change it: strangers fill no queue.
  const method = exchange.method === 'DELETE' ? 'DELETE' : 'PUT'
  await accessObject(exchange, { acl: 'write', method, path })
  const of = { account: path.account, bucket: path.container! }
  const mark = { kind: 'version', key: path.object! } as const
  return marked(exchange, of, mark, next, (reply) => {
    // What fails by 5xx, or says in its body what it came to, is looked at later.
    if (isStream(reply.body) || reply.status >= 500) return undefined
    const version = replyHeader(reply, 'X-Object-Version-Id')
    if (version !== undefined) return version
    return reply.status >= 300 ? null : undefined
  })
}

/**
 * Makes a change that is marked before. `versionOf` says which version it has made; null: none, undefined: nobody can say. 503
 * where it cannot be marked: nothing is changed then.
 */
export async function marked<T>(
  exchange: Exchange,
  of: MarkedBucket,
  mark: Pick<StoredMark, 'kind' | 'key' | 'version'>,
  make: () => T | Promise<T>,
  versionMade: (made: T) => string | null | undefined,
): Promise<T> {
  const { backend, clock, random, policies, log } = exchange.proxy
  const policy = policies.default.index
  const marks = new ReplicationMarks({ backend, clock, random, policy })
  const begun = await marks.begin(of, mark)
  let made: T
  try {
    made = await make()
  } catch (error) {
    // Who was refused has changed nothing.
    if (error instanceof ServiceError && error.status < 500) {
      await marks.remove(of, begun).catch(() => {})
    }
    throw error
  }
  try {
    const version = versionMade(made)
    if (version === null) await marks.remove(of, begun)
    else if (version !== undefined) await marks.complete(of, begun, version)
  } catch (error) {
    // The change is made, and marked.
    log.warn('replication mark not completed', { transId: exchange.transId, error })
  }
  return made
}
