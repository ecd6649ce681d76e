/**
 * From the rings as they are to the rings as they are to be, one replica of a partition at a time: pure.
 *
 *   a set's ring and previous differ in a partition   its move is under way: quorums hold in both
 *   it has arrived                                    previous follows ring
 *   ring and target differ                            the next replica's move begins, at the next epoch
 *
 * Devices are the same by their labels; ids are a ring's own business.
 */
import { ServiceError } from '../../common/errors.ts'
import type { ItemKind } from '../../common/item.ts'
import { deviceLabel } from '../../common/ring/placement.ts'
import type { RingData, RingDevice } from '../../common/ring/ring.ts'
import type { PlacementData, RingSetData } from '../../common/ring/ring-set-file.ts'

/** A ring as it is to be. */
export interface RingTarget {
  readonly kind: ItemKind
  readonly policy: number
  readonly ring: RingData
}

/** A partition on its way. */
export interface Move {
  readonly kind: ItemKind
  readonly policy: number
  readonly partition: number
  /** The epoch at which it began. */
  readonly since: number
  readonly before: readonly RingDevice[]
  readonly after: readonly RingDevice[]
}

export interface PlanOptions {
  readonly targets: readonly RingTarget[]
  /** Moves that have come to their end. */
  readonly arrived: ReadonlySet<Move>
  /** Moves under way at once. */
  readonly movesMax: number
  /** Whether moves that concern the device may begin. */
  readonly isReady: (device: RingDevice) => boolean
  /** Devices that are given up: what they hold is moved first. */
  readonly isLost: (device: RingDevice) => boolean
}

/** The moves under way. */
export function movesOf(set: RingSetData): readonly Move[] {
  return set.placements.flatMap((placement) => {
    const { kind, policy, ring, previous, movedAt } = placement
    if (previous === null) return []
    const moves: Move[] = []
    for (let partition = 0; partition < 2 ** ring.partPower; partition++) {
      if (isSameAt(ring, previous, partition) || !differsAt(ring, previous, partition)) continue
      const since = movedAt?.[partition] ?? 0
      const before = devicesAt(previous, partition)
      moves.push({ kind, policy, partition, since, before, after: devicesAt(ring, partition) })
    }
    return moves
  })
}

export interface MovePlan {
  /** The set of the next epoch; null if there is nothing to be changed yet. */
  readonly next: RingSetData | null
  readonly underWay: number
  /** Replicas that are to move after those. */
  readonly left: number
}

/** What comes next: moves that have arrived end, others begin. */
export function planNext(set: RingSetData, options: PlanOptions): MovePlan {
  const { targets, arrived } = options
  const epoch = set.epoch + 1
  const works = set.placements.map((placement) => {
    const target = targetOf(placement, targets) ?? placement
    return new Work(placement, target)
  })
  let isChanged = false
  for (const move of arrived) {
    const work = works.find(({ kind, policy }) => kind === move.kind && policy === move.policy)
    work?.end(move.partition)
    isChanged = true
  }
  let room = options.movesMax - works.reduce((sum, work) => sum + work.underWay, 0)
  for (const onlyLost of [true, false]) {
    for (const work of works) {
      const begun = work.begin({ ...options, epoch, room, onlyLost })
      room -= begun
      if (begun > 0) isChanged = true
    }
  }
  const placements = works.map((work) => work.result())
  const leftOf = works.map((work) => work.replicasLeft())
  // At the end: devices that have left are forgotten, and weights are those of the target.
  const isTidied = placements.some(({ ring, previous }, index) => {
    const before = set.placements[index]!
    if (previous !== null || leftOf[index] !== 0) return false
    return before.previous !== null || !sameDevices(ring, before.ring)
  })
  return {
    next: isChanged || isTidied ? { epoch, placements } : null,
    underWay: works.reduce((sum, work) => sum + work.underWay, 0),
    left: leftOf.reduce((sum, left) => sum + left, 0),
  }
}

function targetOf(
  { kind, policy }: Pick<PlacementData, 'kind' | 'policy'>,
  targets: readonly RingTarget[],
): RingTarget | undefined {
  return targets.find((target) => target.kind === kind && target.policy === policy)
}

/** One ring on its way, in ids of its own: those of the present ring, and new ones for devices that come. */
class Work {
  readonly kind: ItemKind
  readonly policy: number
  readonly partitionCount: number
  readonly #placement: PlacementData
  readonly #target: RingData
  readonly #devices: (RingDevice | null)[]
  /** As many rows as the largest of the rings; what one lacks repeats its first row, which adds no device. */
  readonly #rows: Uint32Array[]
  readonly #before: Uint32Array[]
  readonly #wanted: Uint32Array[]
  #movedAt: Uint32Array | undefined
  underWay = 0

  constructor(placement: PlacementData, target: { readonly ring: RingData }) {
    const { ring, previous } = placement
    if (target.ring.partPower !== ring.partPower) {
      const powers = `${ring.partPower} to ${target.ring.partPower}`
      throw new ServiceError('BadRingChange', `the partition power cannot change from ${powers}`)
    }
    if (target.ring.placement !== ring.placement) {
      throw new ServiceError('BadRingChange', 'the hash by which names are placed cannot change')
    }
    this.kind = placement.kind
    this.policy = placement.policy
    this.partitionCount = 2 ** ring.partPower
    this.#placement = placement
    this.#target = target.ring
    this.#devices = [...ring.devices]
    for (const device of previous?.devices ?? []) {
      if (device !== null) this.#devices[device.id] ??= device
    }
    const idOf = new Map<number, number>()
    for (const device of target.ring.devices) {
      if (device !== null) idOf.set(device.id, this.#idFor(device))
    }
    const rowCount = Math.max(
      ring.replicaToPartToDevice.length,
      // The last move of a replica that goes leaves the ring with fewer rows than the one before.
      previous?.replicaToPartToDevice.length ?? 0,
      target.ring.replicaToPartToDevice.length,
    )
    this.#rows = padded(ring.replicaToPartToDevice, rowCount)
    this.#before = padded((previous ?? ring).replicaToPartToDevice, rowCount)
    this.#wanted = padded(target.ring.replicaToPartToDevice, rowCount)
    for (const row of this.#wanted) {
      for (let partition = 0; partition < row.length; partition++) {
        row[partition] = idOf.get(row[partition]!)!
      }
    }
    this.#movedAt = placement.movedAt?.slice()
    for (let partition = 0; partition < this.partitionCount; partition++) {
      if (!this.#isMoving(partition)) continue
      this.underWay++
      // The same devices in other rows: nothing has to arrive.
      const before = this.#idsAt(this.#before, partition)
      const now = this.#idsAt(this.#rows, partition)
      if (before.length === now.length && before.every((id) => now.includes(id))) {
        this.end(partition)
      }
    }
  }

  /** The move is at its end: one placement is left. */
  end(partition: number): void {
    if (this.#isMoving(partition)) this.underWay--
    for (const [row, ids] of this.#rows.entries()) this.#before[row]![partition] = ids[partition]!
  }

  /** Begins moves; how many. */
  begin(
    options: Pick<PlanOptions, 'isReady' | 'isLost'> & {
      readonly epoch: number
      readonly room: number
      readonly onlyLost: boolean
    },
  ): number {
    const { epoch, room, isReady, isLost, onlyLost } = options
    const isReadyId = this.#devices.map((device) => device !== null && isReady(device))
    const isLostId = this.#devices.map((device) => device !== null && isLost(device))
    if (onlyLost && !isLostId.includes(true)) return 0
    let begun = 0
    for (let partition = 0; partition < this.partitionCount && begun < room; partition++) {
      if (this.#isThere(partition) || this.#isMoving(partition)) continue
      const step = this.#stepAt(partition, isLostId)
      if (step === null) continue
      const now = this.#idsAt(this.#rows, partition)
      if (onlyLost && !now.some((id) => isLostId[id])) continue
      if (![...now, step.to].every((id) => isReadyId[id] || isLostId[id])) continue
      for (const row of step.rows) this.#rows[row]![partition] = step.to
      this.#movedAt ??= new Uint32Array(this.partitionCount)
      this.#movedAt[partition] = epoch
      begun++
    }
    this.underWay += begun
    return begun
  }

  /** Replicas that are not where they are to be, nor on their way. */
  replicasLeft(): number {
    let left = 0
    for (let partition = 0; partition < this.partitionCount; partition++) {
      if (this.#isThere(partition)) continue
      const now = this.#idsAt(this.#rows, partition)
      const wanted = this.#idsAt(this.#wanted, partition)
      const arriving = wanted.filter((id) => !now.includes(id)).length
      const leaving = now.filter((id) => !wanted.includes(id)).length
      left += Math.max(arriving, leaving)
    }
    return left
  }

  result(): PlacementData {
    const { kind, policy, previous } = this.#placement
    const isMoving = this.underWay > 0
    const isThere = this.#isReferenced()
    const devices = this.#devices.map((device, id) => (isThere[id] ? device : null))
    while (devices.at(-1) === null) devices.pop()
    const base = isMoving || previous !== null ? this.#placement.ring : this.#target
    const ring = { ...this.#target, version: base.version, devices }
    return {
      kind,
      policy,
      ring: { ...ring, replicaToPartToDevice: trimmed(this.#rows) },
      previous: isMoving ? { ...ring, replicaToPartToDevice: trimmed(this.#before) } : null,
      ...(this.#movedAt === undefined ? {} : { movedAt: this.#movedAt }),
    }
  }

  /** The next replica to move, one of a lost device first; null if the partition is where it is to be. */
  #stepAt(
    partition: number,
    isLostId: readonly boolean[],
  ): { readonly rows: readonly number[]; readonly to: number } | null {
    const now = this.#rows.map((row) => row[partition]!)
    const wanted = this.#idsAt(this.#wanted, partition)
    const arriving = wanted.find((id) => !now.includes(id))
    const leaving = [...now.keys()].filter((row) => !wanted.includes(now[row]!))
    const firstLeaving = leaving.find((row) => isLostId[now[row]!]) ?? leaving[0]
    // Rows that only repeat it go with it: a device that is left in one of them would not have left.
    const rows = leaving.filter((row) => now[row] === now[firstLeaving!])
    if (arriving !== undefined) {
      const repeated = [...now.keys()].find((row) => now.indexOf(now[row]!) < row)
      if (rows.length > 0) return { rows, to: arriving }
      return repeated === undefined ? null : { rows: [repeated], to: arriving }
    }
    if (rows.length === 0) return null
    // One replica less: its rows repeat a device that stays.
    return { rows, to: now.find((id) => wanted.includes(id))! }
  }

  /** Row by row: what most partitions are, without a closer look. */
  #isThere(partition: number): boolean {
    for (const [index, row] of this.#rows.entries()) {
      if (row[partition] !== this.#wanted[index]![partition]) return false
    }
    return true
  }

  #isMoving(partition: number): boolean {
    for (const [index, row] of this.#rows.entries()) {
      if (row[partition] !== this.#before[index]![partition]) return true
    }
    return false
  }

  /** Each once: few enough to be looked through. */
  #idsAt(rows: readonly Uint32Array[], partition: number): readonly number[] {
    const ids: number[] = []
    for (const row of rows) {
      const id = row[partition]!
      if (!ids.includes(id)) ids.push(id)
    }
    return ids
  }

  #isReferenced(): readonly boolean[] {
    const referenced = this.#devices.map(() => false)
    for (const rows of [this.#rows, this.#before, this.#wanted]) {
      for (const row of rows) for (const id of row) referenced[id] = true
    }
    return referenced
  }

  /** The id here of a device of the target; its weight and meta are the target's from now on. */
  #idFor(device: RingDevice): number {
    const label = deviceLabel(device)
    const known = this.#devices.findIndex((own) => own !== null && deviceLabel(own) === label)
    const hole = this.#devices.indexOf(null)
    const id = known >= 0 ? known : hole >= 0 ? hole : this.#devices.length
    this.#devices[id] = { ...device, id }
    return id
  }
}

/** Copies of the rows, as many as wanted: what is missing repeats the first one. */
function padded(rows: readonly Uint32Array[], count: number): Uint32Array[] {
  return Array.from({ length: count }, (_, index) => {
    const copy = rows[0]!.slice()
    copy.set(rows[index] ?? [])
    return copy
  })
}

/** Without rows at the end that only repeat the first one. */
function trimmed(rows: readonly Uint32Array[]): readonly Uint32Array[] {
  let length = rows.length
  while (length > 1 && rows[length - 1]!.every((id, partition) => id === rows[0]![partition])) {
    length--
  }
  return rows.slice(0, length)
}

/** Row by row, without a look at devices: both rings of a set have the same ids. */
function isSameAt(ring: RingData, previous: RingData, partition: number): boolean {
  const [a, b] = [ring.replicaToPartToDevice, previous.replicaToPartToDevice]
  if (a.length !== b.length) return false
  for (let row = 0; row < a.length; row++) {
    if (a[row]![partition] !== b[row]![partition]) return false
  }
  return true
}

function differsAt(ring: RingData, previous: RingData, partition: number): boolean {
  const after = devicesAt(ring, partition).map(deviceLabel)
  const before = devicesAt(previous, partition).map(deviceLabel)
  return after.length !== before.length || after.some((label) => !before.includes(label))
}

function devicesAt(ring: RingData, partition: number): readonly RingDevice[] {
  const ids = new Set(
    ring.replicaToPartToDevice.flatMap((row) => (partition < row.length ? [row[partition]!] : [])),
  )
  return [...ids].map((id) => ring.devices[id]!)
}

function sameDevices(a: RingData, b: RingData): boolean {
  const labels = ({ devices }: RingData) =>
    devices.map((device) => (device === null ? '' : `${deviceLabel(device)} ${device.weight}`))
  return String(labels(a)) === String(labels(b))
}
