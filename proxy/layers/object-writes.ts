/** Layers around what writes or removes objects, by either API and within other requests. */
import { soon } from '../../common/soon.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { Exchange } from '../exchange.ts'
import type { Reply } from '../reply.ts'
import { containerOf } from '../swift/object-access.ts'
import type { SwiftPath } from '../swift/path.ts'
import { accountHeader, pathHeader } from '../swift/path-header.ts'
import type { Layer, Next } from './layer.ts'

/** A write that is about to be made. */
export interface ObjectWrite {
  /** What is written: the destination of a COPY. */
  readonly path: SwiftPath
  /** Its container, as it is known; null if there is none. */
  readonly bucket: ItemInfo | null
  readonly next: Next
}

const METHODS = new Set(['PUT', 'DELETE', 'COPY'])

/** A layer that looks at every such write. It costs a look at the container, which the handler looks at, too. */
export function objectWriteLayer(
  name: string,
  answer: (exchange: Exchange, write: ObjectWrite) => Reply | Promise<Reply>,
): Layer {
  return {
    name,
    concerns: ({ path, method }) => path?.object !== undefined && METHODS.has(method),
    answer(exchange, next) {
      const path = targetOf(exchange)
      if (path === null) return next()
      return soon(containerOf(exchange, path), (bucket) => answer(exchange, { path, bucket, next }))
    },
  }
}

/** Null for what the handler will refuse. */
function targetOf(exchange: Exchange): SwiftPath | null {
  if (exchange.method !== 'COPY') return exchange.path
  if (!exchange.header('destination')) return null
  const account = accountHeader(exchange, 'destination-account') ?? exchange.path!.account
  return { account, ...pathHeader(exchange, 'Destination') }
}
