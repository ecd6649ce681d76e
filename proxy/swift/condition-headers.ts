import {
  type Condition,
  type ConditionOutcome,
  type ConditionSubject,
  evaluateCondition,
} from '../../common/condition.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { Exchange } from '../exchange.ts'
import { parseHttpDate } from './http-date.ts'

/** The request's If-… headers, or undefined if it has none. Dates that are no dates do not count. */
export function conditionOf(exchange: Exchange): Condition | undefined {
  const { headers } = exchange
  const match = headers['if-match']
  const noneMatch = headers['if-none-match']
  const modified = headers['if-modified-since']
  const unmodified = headers['if-unmodified-since']
  if ((match ?? noneMatch ?? modified ?? unmodified) === undefined) return undefined
  const ifModifiedSince = modified === undefined ? undefined : parseHttpDate(modified)
  const ifUnmodifiedSince = unmodified === undefined ? undefined : parseHttpDate(unmodified)
  return {
    ...(match === undefined ? {} : { ifMatch: etagList(match) }),
    ...(noneMatch === undefined ? {} : { ifNoneMatch: etagList(noneMatch) }),
    ...(ifModifiedSince === undefined ? {} : { ifModifiedSince }),
    ...(ifUnmodifiedSince === undefined ? {} : { ifUnmodifiedSince }),
  }
}

/**
 * Judges the condition for a reader as Swift does: where RFC 9110 lets an ETag condition silence the date beside it,
 * here both must hold.
 */
export function judgeForRead(condition: Condition, subject: ConditionSubject): ConditionOutcome {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = condition
  const parts: Condition[] = []
  if (ifNoneMatch !== undefined) parts.push({ ifNoneMatch })
  if (ifMatch !== undefined) parts.push({ ifMatch })
  if (ifModifiedSince !== undefined) parts.push({ ifModifiedSince })
  if (ifUnmodifiedSince !== undefined) parts.push({ ifUnmodifiedSince })
  for (const part of parts) {
    const outcome = evaluateCondition(part, subject)
    if (outcome !== 'holds') return outcome
  }
  return 'holds'
}

export function conditionSubject(info: ItemInfo): ConditionSubject {
  const { meta, metaStamp, writeId } = info
  return { etag: meta.etag ?? '', ticks: metaStamp.ticks, writeId }
}

/** `"a", "b"` or `*` without the quotes; weak ones count as if they were strong. */
export function etagList(text: string): string[] {
  return text
    .split(',')
    .map((etag) => unquoteEtag(etag.trim()))
    .filter((etag) => etag !== '')
}

export function unquoteEtag(etag: string): string {
  const strong = etag.startsWith('W/') ? etag.slice(2) : etag
  const quoted = strong.length > 1 && strong.startsWith('"') && strong.endsWith('"')
  return quoted ? strong.slice(1, -1) : strong
}
