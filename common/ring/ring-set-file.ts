/** A ring set as one file, and as it travels between processes: docs/formats/ring.md. */
import { ServiceError } from '../errors.ts'
import { ITEM_KINDS } from '../item.ts'
import { decodeEnvelope, type EnvelopeKind, encodeEnvelope } from './envelope.ts'
import type { Placement } from './placement.ts'
import { Ring, type RingData } from './ring.ts'
import { decodeRing, encodeRing } from './ring-file.ts'
import { damagedJson, objectOf, wholeOf } from './ring-json.ts'
import type { RingSet } from './ring-set.ts'
import { decodeRows, encodeRow } from './ring-table.ts'

const SET_KIND: EnvelopeKind = { magic: 'SWLTRSET', version: 1, what: 'ring set' }
const WORDS = { deviceIdBytes: 4, byteOrder: 'little' } as const

/** What a set says of one ring. */
export interface PlacementData extends Pick<Placement, 'kind' | 'policy' | 'movedAt'> {
  readonly ring: RingData
  readonly previous: RingData | null
}

export interface RingSetData {
  readonly epoch: number
  readonly placements: readonly PlacementData[]
}

export function encodeRingSet(set: RingSetData): Uint8Array {
  const body: Uint8Array[] = []
  const piece = (bytes: Uint8Array | null): number => {
    if (bytes !== null) body.push(bytes)
    return bytes?.length ?? 0
  }
  const rings = set.placements.map(({ kind, policy, ring, previous, movedAt }) => ({
    kind,
    policy,
    ringBytes: piece(encodeRing(ring)),
    previousBytes: piece(previous === null ? null : encodeRing(previous)),
    movedAtBytes: piece(movedAt === undefined ? null : encodeRow(movedAt, WORDS)),
  }))
  return encodeEnvelope(SET_KIND, { header: { epoch: set.epoch, rings }, body })
}

/** Throws ServiceError RingFormatUnknown or RingDamaged. */
export function decodeRingSet(bytes: Uint8Array): RingSetData {
  const { header, body } = decodeEnvelope(SET_KIND, bytes)
  const json = objectOf(header, 'its header')
  if (!Array.isArray(json.rings)) throw damagedJson('it has no list of rings')
  let at = 0
  const take = (length: unknown): Uint8Array | null => {
    const start = at
    at += wholeOf(length, 'a length')
    if (at > body.length) throw damagedJson(`a ring ends at byte ${at} of ${body.length}`)
    return at === start ? null : body.subarray(start, at)
  }
  const placements = json.rings.map((entry: unknown): PlacementData => {
    const of = objectOf(entry, 'a ring')
    const kind = ITEM_KINDS.find((known) => known === of.kind)
    if (kind === undefined) throw damagedJson(`a ring is of ${String(of.kind)}`)
    const policy = wholeOf(of.policy, 'a policy')
    const [ring, previous, movedAt] = [of.ringBytes, of.previousBytes, of.movedAtBytes].map(take)
    if (ring === null || ring === undefined) throw damagedJson('a ring is missing')
    const data = decodeRing(ring)
    const moved = movedAt == null ? undefined : wordsOf(movedAt, 2 ** data.partPower)
    return {
      kind,
      policy,
      ring: data,
      previous: previous == null ? null : decodeRing(previous),
      ...(moved === undefined ? {} : { movedAt: moved }),
    }
  })
  return { epoch: wholeOf(json.epoch, 'the epoch'), placements }
}

function wordsOf(bytes: Uint8Array, count: number): Uint32Array {
  const [row] = decodeRows(bytes, { ...WORDS, partitionCount: count })
  if (row?.length === count) return row
  throw new ServiceError('RingDamaged', `the epochs are of ${row?.length} partitions, not ${count}`)
}

/** The set, ready to be looked things up in. */
export function ringSetOf(data: RingSetData): RingSet {
  return {
    epoch: data.epoch,
    placements: data.placements.map((placement) => ({
      ...placement,
      ring: new Ring(placement.ring),
      previous: placement.previous === null ? null : new Ring(placement.previous),
    })),
  }
}
