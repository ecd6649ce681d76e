import { gunzipSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { Ring, type RingData, type RingDevice } from './ring.ts'
import {
  decodeRing,
  decodeRingFile,
  encodeRing,
  encodeSwiftRing,
  encodeSwiftRingVersion2,
} from './ring-file.ts'
import { encodeRow } from './ring-table.ts'

function device(id: number, place: Partial<RingDevice> = {}): RingDevice {
  const ip = place.ip ?? `10.0.0.${id}`
  return {
    id,
    region: 1,
    zone: 1,
    ip,
    port: 6200,
    replicationIp: ip,
    replicationPort: 6200,
    device: `sd${id}`,
    weight: 1,
    meta: '',
    ...place,
  }
}

/** Two regions of two zones, one device with nothing, one hole; 2.5 replicas of 8 partitions. */
function sample(change: Partial<RingData> = {}): RingData {
  return {
    version: 7,
    partPower: 3,
    replicaCount: 2.5,
    devices: [
      device(0),
      device(1, { zone: 2 }),
      null,
      device(3, { region: 2, meta: 'Gerät "drei" 💾' }),
      device(4, { region: 2, zone: 2, ip: 'fe80::1', replicationIp: 'r.example', weight: 0.5 }),
      device(5, { region: 3, weight: 0 }),
      device(6, { ip: '10.0.0.0' }),
    ],
    replicaToPartToDevice: [
      Uint32Array.of(0, 1, 3, 4, 6, 0, 1, 3),
      Uint32Array.of(3, 4, 0, 1, 3, 4, 3, 0),
      Uint32Array.of(1, 0, 3, 6),
    ],
    placement: 'md5',
    ...change,
  }
}

function codeOf(action: () => unknown): string {
  try {
    action()
    return 'none'
  } catch (error) {
    return String((error as { code?: unknown }).code)
  }
}

const ids = (devices: Iterable<RingDevice>): number[] => Array.from(devices, ({ id }) => id)

t.test('the partition is the top bits of the placement', async (t) => {
  const ring = new Ring(sample())
  t.equal(ring.partitionOf(0), 0)
  t.equal(ring.partitionOf(0x1fffffff), 0)
  t.equal(ring.partitionOf(0x20000000), 1)
  t.equal(ring.partitionOf(0xffffffff), 7)
  const whole = new Ring({
    ...sample(),
    partPower: 0,
    replicaToPartToDevice: [Uint32Array.of(3)],
  })
  t.equal(whole.partitionOf(0xffffffff), 0, 'a ring of one partition')
  const finest = new Ring({ ...sample(), partPower: 32, replicaToPartToDevice: [] })
  t.equal(finest.partitionOf(0xfffffffe), 0xfffffffe, 'a ring of 2^32 partitions')
})

t.test('primaries come in replica order, each device once, and the short row ends', async (t) => {
  const ring = new Ring(sample())
  t.same(ids(ring.primaries(0)), [0, 3, 1])
  t.same(ids(ring.primaries(2)), [3, 0], 'a device with two replicas is named once')
  t.same(ids(ring.primaries(5)), [0, 4], 'the third row has only four partitions')
  t.throws(() => ring.primaries(8), { code: 'ERR_ASSERTION' })
})

t.test('handoffs are all other devices with partitions, new regions and zones first', async (t) => {
  const ring = new Ring(sample())
  for (let partition = 0; partition < 8; partition++) {
    const primaries = ids(ring.primaries(partition))
    const handoffs = ids(ring.handoffs(partition))
    t.same([...primaries, ...handoffs].sort(), [0, 1, 3, 4, 6], `all of partition ${partition}`)
  }
  const oneRegion = new Ring(
    sample({ replicaToPartToDevice: [Uint32Array.of(0, 1, 3, 4, 6, 0, 1, 3)] }),
  )
  const [first, second] = [...oneRegion.handoffs(0)]
  t.equal(first?.region, 2, 'the other region first')
  t.not(`${second?.region} ${second?.zone}`, `${first?.region} ${first?.zone}`, 'then another zone')
  t.same(
    ids(new Ring(sample({ replicaToPartToDevice: [] })).handoffs(0)),
    [],
    'a ring without rows',
  )
})

t.test('a ring that contradicts itself is a bug of its maker', async (t) => {
  const cases: readonly Partial<RingData>[] = [
    { replicaToPartToDevice: [Uint32Array.of(2, 0, 0, 0, 0, 0, 0, 0)] },
    { replicaToPartToDevice: [Uint32Array.of(99, 0, 0, 0, 0, 0, 0, 0)] },
    { devices: [device(1)], replicaToPartToDevice: [] },
  ]
  for (const change of cases) t.throws(() => new Ring(sample(change)), { code: 'ERR_ASSERTION' })
})

t.test('every format gives back the ring that was written', async (t) => {
  const ring = sample({ nextPartPower: 4 })
  const cases = [
    ['swiftlet', encodeRing],
    ['swift-v1', encodeSwiftRing],
    ['swift-v2', encodeSwiftRingVersion2],
  ] as const
  for (const [format, encode] of cases) {
    const read = decodeRingFile(encode(ring))
    t.equal(read.format, format)
    t.same(read.data, ring, format)
    t.same(Buffer.compare(encode(ring), encode(ring)), 0, 'equal rings give equal bytes')
  }
  const own = sample({ placement: 'xxh64', minPartHours: 3, replicaToPartToDevice: [] })
  t.same(decodeRing(encodeRing(own)), own, 'what only our format holds, and no rows')
})

t.test('ids above 65,534 take four bytes, in our format and in version 2', async (t) => {
  const devices = Array.from({ length: 70_000 }, (_, id) => (id === 69_999 ? device(id) : null))
  const ring = sample({
    partPower: 1,
    replicaCount: 1,
    devices,
    replicaToPartToDevice: [Uint32Array.of(69_999, 69_999)],
  })
  t.same(decodeRing(encodeRing(ring)).replicaToPartToDevice, ring.replicaToPartToDevice)
  t.same(
    decodeRing(encodeSwiftRingVersion2(ring)).replicaToPartToDevice,
    ring.replicaToPartToDevice,
  )
  t.throws(() => encodeSwiftRing(ring), { code: 'RingNotForSwift' })
  t.throws(() => encodeSwiftRingVersion2(ring, { deviceIdBytes: 2 }), { code: 'RingNotForSwift' })
})

t.test('a ring of ours with our placement is not handed to Swift', async (t) => {
  const ring = sample({ placement: 'xxh64' })
  t.throws(() => encodeSwiftRing(ring), { code: 'RingNotForSwift' })
  t.throws(() => encodeSwiftRingVersion2(ring), { code: 'RingNotForSwift' })
})

t.test('old and foreign Swift rings: other byte order, no region, no replication', async (t) => {
  const json = Buffer.from(
    JSON.stringify({
      byteorder: 'big',
      devs: [{ id: 0, zone: 3, ip: '1.2.3.4', port: 6000, device: 'sda', weight: 100 }],
      part_shift: 31,
      replica_count: 1,
    }),
  )
  const prefix = Buffer.alloc(10)
  prefix.write('R1NG')
  prefix.writeUInt16BE(1, 4)
  prefix.writeUInt32BE(json.length, 6)
  const row = encodeRow(Uint32Array.of(0, 0), { deviceIdBytes: 2, byteOrder: 'big' })
  const ring = decodeRing(gzipSync(Buffer.concat([prefix, json, row])))
  t.match(ring.devices[0], { region: 1, replicationIp: '1.2.3.4', replicationPort: 6000, meta: '' })
  t.equal(ring.version, 0)
})

t.test('every flipped or missing byte of our file is noticed', async (t) => {
  const bytes = Uint8Array.from(encodeRing(sample()))
  const answers = new Map<string, number>()
  for (let at = 0; at < bytes.length; at++) {
    const flipped = bytes.slice()
    flipped[at]! ^= 0x10
    for (const damaged of [flipped, bytes.slice(0, at)]) {
      const answer = codeOf(() => decodeRing(damaged))
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  // Without its eight letters, or with another version, it is no such file; that is 12 flips and 8 cuts.
  t.same(Object.fromEntries(answers), {
    RingFormatUnknown: 20,
    RingDamaged: 2 * bytes.length - 20,
  })
})

t.test('bad files get a clear error', async (t) => {
  const raw = gunzipSync(encodeSwiftRing(sample()))
  const swift = (change: (bytes: Buffer) => Buffer): Buffer => gzipSync(change(Buffer.from(raw)))
  const text = (from: string, to: string) => (bytes: Buffer) =>
    Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1')
  const newer = Buffer.from(encodeRing(sample()))
  newer.writeUInt32LE(9, 8)
  const cases: readonly (readonly [Uint8Array, RegExp])[] = [
    [new Uint8Array(0), /neither a ring of ours nor one of Swift/],
    [Buffer.from('hello, this is a text'), /neither a ring/],
    [newer, /format version 9, this program reads version 1/],
    [encodeSwiftRing(sample()).subarray(0, 50), /does not decompress/],
    [gzipSync('something else'), /no ring of Swift/],
    [swift((bytes) => bytes.fill(3, 5, 6)), /version 3 is unknown/],
    [swift((bytes) => bytes.subarray(0, 8)), /ends after 8 bytes/],
    [swift((bytes) => bytes.subarray(0, 40)), /ends after 40 bytes/],
    [swift((bytes) => bytes.subarray(0, -9)), /ends within an id|replica/],
    [swift((bytes) => bytes.subarray(0, -8)), /has 2 rows and should have 3/],
    [swift(text('"part_shift":29', '"part_shift":99')), /partition power/],
    [swift(text('"port":6200', '"port":"no"')), /device 0's port is no whole number/],
    [swift(text('{"byteorder"', '["byteorder"')), /JSON does not parse/],
    [
      swift((bytes) => Buffer.concat([bytes.subarray(0, -2), Buffer.from([2, 0])])),
      /partition 3 is on device 2/,
    ],
  ]
  for (const [bytes, message] of cases) {
    t.throws(() => decodeRing(bytes), { name: 'ServiceError', message }, String(message))
  }
  const version2 = encodeSwiftRingVersion2(sample())
  const flipped = gunzipSync(version2)
  flipped[40]! ^= 1
  t.throws(() => decodeRing(gzipSync(flipped)), { message: /checksum of section/ })
})
