import { ServiceError } from '../../../common/errors.ts'
import { CUSTOMER_KEY_NEEDED } from '../../encryption/sse-record.ts'
import type { ObjectView, OpenSegment, ViewOptions } from '../found-object.ts'
import { isReader } from '../object-body.ts'
import type { ByteRange } from '../range.ts'
import type { BodyPart } from './segmented-body.ts'

/** How the parts of a large object are opened. */
export interface LargeViewOptions extends ViewOptions {
  readonly openSegment: OpenSegment
}

/** The part of a large object that is the range of another object; what is wrong with that one is a 409. */
export function segmentPart(range: ByteRange, find: () => Promise<ObjectView>): BodyPart {
  return {
    bytes: range.end - range.start,
    async open() {
      const { body } = (await find().catch(asConflict)).read
      if (isReader(body)) {
        return {
          stream: (start, end) => body.stream(range.start + start, range.start + end),
          recycle: (piece) => body.recycle?.(piece),
          close: () => body.close(),
        }
      }
      return {
        async *stream(start, end) {
          if (body !== null) yield body.subarray(range.start + start, range.start + end)
        },
        close: async () => {},
      }
    },
  }
}

function asConflict(error: unknown): never {
  if (!(error instanceof ServiceError) || error.status >= 500) throw error
  if (error.code === CUSTOMER_KEY_NEEDED) throw error
  throw new ServiceError('BadSegment', '', { status: 409, cause: error })
}
