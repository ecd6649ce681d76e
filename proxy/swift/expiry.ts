import type { Clock } from '../../common/clock.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import { badRequest, type Exchange } from '../exchange.ts'

const SECONDS_MAX = 9_999_999_999
const INTEGER = /^\s*[+-]?\d+\s*$/

/**
 * The second at which the object is to vanish, from X-Delete-After or X-Delete-At, as the ten digits that are stored;
 * undefined if neither is given. A 400 for what is no number or lies in the past.
 */
export function deleteAtOf(exchange: Pick<Exchange, 'proxy' | 'header'>): string | undefined {
  const after = exchange.header('x-delete-after')
  const at = exchange.header('x-delete-at')
  if (after === undefined && at === undefined) return undefined
  const nowSeconds = exchange.proxy.clock.nowMs() / 1000
  if (after !== undefined) {
    if (!INTEGER.test(after)) throw badRequest('Non-integer X-Delete-After')
    const seconds = clamp(nowSeconds + Number(after))
    if (seconds <= nowSeconds) throw badRequest('X-Delete-After in past')
    return tenDigits(seconds)
  }
  if (!INTEGER.test(at!)) throw badRequest('Non-integer X-Delete-At')
  const seconds = clamp(Number(at))
  if (seconds <= nowSeconds) throw badRequest('X-Delete-At in past')
  return tenDigits(seconds)
}

/** What is stored of an object that is to vanish so many seconds from now, or a moment later. */
export function deleteAtIn(clock: Pick<Clock, 'nowMs'>, seconds: number): string {
  return tenDigits(Math.ceil(clock.nowMs() / 1000) + seconds)
}

/** Whether the object's time has come: it is gone for clients at once, whenever the expirer gets to it. */
export function isExpired(info: ItemInfo, clock: Pick<Clock, 'nowMs'>): boolean {
  const deleteAt = info.meta.headers['x-delete-at']
  return deleteAt !== undefined && Number(deleteAt) * 1000 <= clock.nowMs()
}

function clamp(seconds: number): number {
  return Math.trunc(Math.min(Math.max(seconds, 0), SECONDS_MAX))
}

function tenDigits(seconds: number): string {
  return String(seconds).padStart(10, '0')
}
