import t from 'tap'
import type { DiskSpace } from '../common/disk.ts'
import { SimClock } from '../test/support/sim-clock.ts'
import { DeviceSpace } from './device-space.ts'

const MIB = 1024 * 1024
const PIECE = 32 * 1024

/** A disk that takes every write that is let through. */
class FillingDisk {
  readonly bytesTotal: number
  bytesFree: number
  asked = 0
  broken = false

  constructor(bytesTotal: number) {
    this.bytesTotal = bytesTotal
    this.bytesFree = bytesTotal
  }

  spaceSync(): DiskSpace {
    this.asked++
    if (this.broken) throw new Error('EIO')
    return { bytesTotal: this.bytesTotal, bytesFree: this.bytesFree }
  }
}

function spaceOf(disk: FillingDisk, extra: { readonly writers?: number } = {}) {
  const clock = new SimClock()
  const errors: unknown[] = []
  const space = new DeviceSpace({
    device: 'd1',
    directory: '/disk',
    disk,
    clock,
    segmentBytesMax: 4 * MIB,
    writers: extra.writers ?? 1,
    onError: (cause) => errors.push(cause),
  })
  return { space, clock, errors }
}

/** Writes until it is refused. */
function fill(space: DeviceSpace, disk: FillingDisk, options: { readonly isRow?: boolean } = {}) {
  for (let written = 0; written < 100_000; written++) {
    try {
      space.assertRoom(PIECE, options)
    } catch (error) {
      return { written, error: error as { readonly code: string; readonly status: number } }
    }
    disk.bytesFree -= PIECE
  }
  throw new Error('nothing was refused')
}

t.test('writes that come all at once leave the reserve', async (t) => {
  for (const mib of [64, 1024, 2048]) {
    const disk = new FillingDisk(mib * MIB)
    const { space } = spaceOf(disk)
    const { written, error } = fill(space, disk)
    t.match(error, { code: 'DeviceFull', status: 507 })
    t.ok(disk.bytesFree >= space.reserveBytes, `${mib} MiB: the reserve is left`)
    t.ok(disk.bytesFree < space.reserveBytes + 2 * PIECE, 'and no more than that')
    t.ok(disk.asked < written / 2 + 50, `asked ${disk.asked} times for ${written} writes`)
  }
})

t.test('several writers that do not see each other leave it too', async (t) => {
  const disk = new FillingDisk(64 * MIB)
  const writers = [1, 2, 3, 4].map(() => spaceOf(disk, { writers: 4 }).space)
  let refused = 0
  for (let turn = 0; refused < 4; turn++) {
    refused = 0
    for (const space of writers) {
      try {
        space.assertRoom(PIECE)
        disk.bytesFree -= PIECE
      } catch {
        refused++
      }
    }
    if (turn > 100_000) t.fail('nothing was refused')
  }
  t.ok(disk.bytesFree >= writers[0]!.reserveBytes)
})

t.test('rows may take half of the reserve', async (t) => {
  const disk = new FillingDisk(64 * MIB)
  const { space } = spaceOf(disk)
  fill(space, disk)
  const { written } = fill(space, disk, { isRow: true })
  t.ok(written > 0)
  t.ok(disk.bytesFree >= space.reserveBytes / 2)
})

t.test('room that came back is seen at once', async (t) => {
  const disk = new FillingDisk(64 * MIB)
  const { space } = spaceOf(disk)
  fill(space, disk)
  t.ok(space.isShort)
  disk.bytesFree = disk.bytesTotal
  t.doesNotThrow(() => space.assertRoom(PIECE))
  t.notOk(space.isShort)
})

t.test('space that others take is seen after a second', async (t) => {
  const disk = new FillingDisk(64 * MIB)
  const { space, clock } = spaceOf(disk)
  space.assertRoom(0)
  disk.bytesFree = 0
  t.doesNotThrow(() => space.assertRoom(0))
  clock.advance(1000)
  t.throws(() => space.assertRoom(0), { code: 'DeviceFull' })
  t.ok(space.isFull)
})

t.test('a disk that does not answer is reported, and what was known holds', async (t) => {
  const disk = new FillingDisk(64 * MIB)
  const { space, clock, errors } = spaceOf(disk)
  space.assertRoom(0)
  disk.broken = true
  clock.advance(1000)
  t.doesNotThrow(() => space.assertRoom(0))
  t.equal(errors.length, 1)
})
