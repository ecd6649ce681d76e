/** All rings of a cluster as of one epoch, and where the newest are to be had. */
import { ServiceError } from '../errors.ts'
import type { ItemKey, ItemKind } from '../item.ts'
import type { Placement } from './placement.ts'
import type { Ring } from './ring.ts'

export interface RingSet {
  /** Grows with every change of the rings; 0 before the first. */
  readonly epoch: number
  readonly placements: readonly Placement[]
}

/** The rings of a process, which change while it runs. */
export interface RingSource {
  current(): RingSet
  /** Asks for newer rings than the current ones, because somebody has them; resolves when that was tried. */
  refresh(): Promise<void>
}

/** Where the items of a kind and policy are placed. Throws a 503 `NoSuchPolicy` where there is no such ring. */
export function placementOf(set: RingSet, kind: ItemKind, policy: number): Placement {
  const found = findPlacement(set, kind, policy)
  if (found !== undefined) return found
  throw new ServiceError('NoSuchPolicy', `no ring for ${kind}s of storage policy ${policy}`, {
    status: 503,
  })
}

/** The same; undefined where there is no such ring. */
export function findPlacement(set: RingSet, kind: ItemKind, policy: number): Placement | undefined {
  for (const placement of set.placements) {
    if (placement.kind === kind && placement.policy === policy) return placement
  }
  return undefined
}

/** Rings that never change, one for each kind; `objects` by policy. */
export function steadyRings(rings: {
  readonly account: Ring
  readonly container: Ring
  readonly objects: readonly Ring[]
}): RingSource {
  const of = (kind: ItemKind, ring: Ring, policy = 0): Placement => {
    return { kind, policy, ring, previous: null }
  }
  const placements = [
    of('account', rings.account),
    of('container', rings.container),
    ...rings.objects.map((ring, policy) => of('object', ring, policy)),
  ]
  const set = { epoch: 0, placements }
  return { current: () => set, refresh: async () => {} }
}

/** The epoch of requests that are right under any rings: a record that was accepted once, on its way to a replica. */
export const ANY_EPOCH = -1

/** The item for a replica that lacks it, whatever rings it was found by. */
export function inAnyEpoch(item: ItemKey): ItemKey {
  return { ...item, epoch: ANY_EPOCH }
}

/** A node's answer to a request by rings from before a move of the partition began. Nothing was done. */
export function staleRings(epoch: number): ServiceError {
  const message = `the rings of the request are older than epoch ${epoch}`
  return new ServiceError(STALE_RINGS, message, { status: 503, retryAfterSeconds: 1 })
}

export const STALE_RINGS = 'StaleRings'

/** Whether newer rings are what it takes. */
export function isStaleRings(error: unknown): boolean {
  for (let cause = error; cause instanceof ServiceError; cause = cause.cause) {
    if (cause.code === STALE_RINGS) return true
  }
  return false
}
