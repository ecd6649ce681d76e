import type { ListQuery } from '../../common/storage-node.ts'
import { type Exchange, refusal } from '../exchange.ts'
import { isTrue } from './query.ts'

/**
 * The listing parameters of a request. A limit that is no number does not count; one beyond `limitMax` is a 412, a
 * parameter that is not UTF-8 a 400.
 */
export function listQueryOf(exchange: Exchange, limitMax: number): ListQuery {
  const { query } = exchange
  const text = (name: string) => query.get(name) || undefined
  const marker = text('marker')
  const endMarker = text('end_marker')
  const prefix = text('prefix')
  const delimiter = text('delimiter')
  const reverse = isTrue(query.get('reverse'))
  return {
    limit: limitOf(query.get('limit'), limitMax),
    ...(marker === undefined ? {} : { marker }),
    ...(endMarker === undefined ? {} : { endMarker }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(delimiter === undefined ? {} : { delimiter }),
    ...(reverse ? { reverse } : {}),
  }
}

function limitOf(text: string | undefined, limitMax: number): number {
  if (text === undefined || !/^\d+$/.test(text)) return limitMax
  const limit = Number(text)
  if (limit > limitMax) throw refusal(412, `Maximum limit is ${limitMax}`)
  return limit
}
