/** The current object of a name as its writers see it: the record itself, whatever it stands for. */

import { type Condition, evaluateCondition } from '../../../common/condition.ts'
import type { ItemInfo, ItemRead } from '../../../common/storage-node.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import { conditionSubject } from '../condition-headers.ts'
import { isExpired } from '../expiry.ts'
import type { ObjectPlace } from '../object-access.ts'
import { closeBody } from '../object-body.ts'
import { letPartsGo } from '../own-parts.ts'

/** Other writers of the name that may be in the way one after the other. */
export const ROUNDS_MAX = 16

/** Null if there is none; one whose time has come is removed, as the expirer would. */
export async function readCurrent(
  exchange: Exchange,
  place: ObjectPlace,
): Promise<ItemInfo | null> {
  const { backend, clock } = exchange.proxy
  const read = await backend.readObject(place, { head: true })
  if (read === null || !isExpired(read.info, clock)) return read?.info ?? null
  const ifDeleteAt = Number(read.info.meta.headers['x-delete-at'])
  const { status } = await backend.deleteObject(place, { condition: { ifDeleteAt } })
  if (status === 'done') await letPartsGo(exchange.proxy, place, read.info)
  return null
}

/** A 412 if the client's condition does not hold for the current object. */
export function checkCurrent(condition: Condition | undefined, current: ItemInfo | null): void {
  if (condition === undefined) return
  const subject = current === null ? null : conditionSubject(current)
  if (evaluateCondition(condition, subject) !== 'holds') throw refusal(412)
}

/** That nobody has written the name since the current object was read. */
export function unlessChanged(current: ItemInfo | null): Condition {
  return { ifWriteId: current?.writeId ?? null }
}

/**
 * The record that was looked at with its body, as it lies. Null if it is not current any more: somebody was quicker, the compare-and-set
 * that follows fails, and all is looked at again.
 */
export async function readUnchanged(
  exchange: Exchange,
  place: ObjectPlace,
  current: ItemInfo,
): Promise<ItemRead | null> {
  const read = await exchange.proxy.backend.readObject(place, { sealed: true })
  if (read === null || read.info.writeId === current.writeId) return read
  await closeBody(read)
  return null
}

/** Tries with the current object as it is, and anew when others have changed it meanwhile, until it is true: done. */
export async function untilUnchanged(
  exchange: Exchange,
  place: ObjectPlace,
  attempt: (current: ItemInfo | null) => Promise<boolean>,
): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    if (await attempt(await readCurrent(exchange, place))) return
  }
  throw tooContended()
}

/** Lets the name's writers of this proxy go one after the other. */
export function inTurn<T>(
  exchange: Exchange,
  { account, container, object }: ObjectPlace,
  work: () => Promise<T>,
): Promise<T> {
  return exchange.proxy.versionTurns.run(`/${account}/${container}/${object}`, work)
}

/** A 503: others write the same name all the time. Nothing was lost. */
export function tooContended(): Error {
  return refusal(503, 'other writes of the object are in the way')
}
