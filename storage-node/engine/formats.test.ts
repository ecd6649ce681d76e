/** Every format of the engine: what is written is read again, and nothing that was changed is taken for valid. */
import assert from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import type { Stamp } from '../../common/stamp.ts'
import {
  BLOB_CHUNK_BYTES,
  BLOB_FOOTER_BYTES,
  blobSeed,
  blobTailBytes,
  chunkChecksum,
  chunkCount,
  decodeBlobFooter,
  decodeBlobTable,
  encodeBlobTail,
} from './blob-format.ts'
import { decodeEntry, type Entry, encodeEntry } from './entry.ts'
import { jsonText } from './json-text.ts'
import {
  afterPrefix,
  byteText,
  entryKey,
  expiryKey,
  fromByteText,
  listKey,
  SPACES,
  shardKey,
} from './keys.ts'
import {
  decodeData,
  decodeHead,
  decodeMeta,
  encodeRecord,
  hasMagic,
  inlineBytes,
  lengthsAgree,
  placeRecord,
  RECORD_BYTES_MAX,
  RECORD_FLAGS,
  RECORD_HEAD_BYTES,
  RECORD_TYPES,
  type RecordDraft,
  type RecordHead,
  reencodeRecord,
} from './record.ts'
import { decodeRow, encodeRow, rowMeta, rowOfRecord, type StoredRow } from './row.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  segmentName,
  segmentSeed,
} from './segment-header.ts'
import { decodeTotals, emptyTotals, encodeTotals, shiftTotals } from './totals.ts'

/** Plain objects, as the decoders make them. */
const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true })

// --- what the random tests draw --------------------------------------------------------------------------------------

const hex = (digits: number) =>
  fc
    .uint8Array({ minLength: digits / 2, maxLength: digits / 2 })
    .map((bytes) => Buffer.from(bytes).toString('hex'))
const hash = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'))
const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 })
const u32 = fc.oneof(uint(32), fc.constantFrom(0, 0xffffffff))
const stamp: fc.Arbitrary<Stamp> = plain({ ticks: fc.oneof(uint(53), uint(8)), proposer: u32 })
const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const bodyBytes = fc.uint8Array({ maxLength: 300 })

const draft: fc.Arbitrary<RecordDraft> = plain({
  type: fc.constantFrom(...Object.values(RECORD_TYPES)),
  flags: uint(16),
  kind: uint(2),
  policy: uint(16),
  hash,
  placement: u32,
  stamp,
  metaStamp: stamp,
  ballot: stamp,
  writeId: hex(16),
  dataBytes: uint(53),
  meta: text.map((value) => JSON.stringify({ n: value })),
  data: bodyBytes,
}).map((drawn) => {
  const isInline = drawn.type === RECORD_TYPES.putInline
  const data = isInline && drawn.data.length > 0 ? drawn.data : null
  return { ...drawn, data, dataBytes: isInline ? drawn.data.length : drawn.dataBytes }
})
const position = plain({ segmentId: u32, offset: u32 })

interface Decoded {
  readonly head: RecordHead
  readonly meta: string
  readonly data: Buffer
}

/** Reads a record as the engine does: null if any part of it is not as it was written there. */
function decodeRecord(bytes: Buffer, seed: bigint): Decoded | null {
  const head = decodeHead(bytes, seed)
  if (head === null || !lengthsAgree(head)) return null
  const meta = decodeMeta(bytes, head, seed)
  const data = decodeData(bytes, head, seed)
  return meta === null || data === null ? null : { head, meta, data }
}

function encodeAt(drawn: RecordDraft, seed: bigint, durableUpTo = DURABLE): Buffer {
  const record = encodeRecord(drawn)
  placeRecord(record, { seed, durableUpTo })
  const bytes = Buffer.concat(record.data === null ? [record.head] : [record.head, record.data])
  assert.strictEqual(bytes.length, record.bytes)
  return bytes
}

const DURABLE = { segmentId: 3, offset: 8192 }

/** The bytes with one bit changed, for each bit of [from, to). */
function* flips(bytes: Buffer, from = 0, to = bytes.length): Generator<[Buffer, number]> {
  for (let bit = from * 8; bit < to * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    yield [flipped, bit]
  }
}

// --- records ---------------------------------------------------------------------------------------------------------

const SAMPLE: RecordDraft = {
  type: RECORD_TYPES.putInline,
  flags: 4,
  kind: 2,
  policy: 1,
  hash: '0123456789abcdef',
  placement: 0xdeadbeef,
  stamp: { ticks: 170_000_000_000_000, proposer: 7 },
  metaStamp: { ticks: 170_000_000_000_001, proposer: 8 },
  ballot: { ticks: 170_000_000_000_002, proposer: 9 },
  writeId: '00112233445566ff',
  dataBytes: 5,
  meta: '{"n":"/a/c/ö"}',
  data: Buffer.from('hello'),
}

t.test('texts are written as JSON has them', async (t) => {
  const odd = ['', '"', '\\', '\u007f', '\u2028', '\ud800', 'a\nb', 'ä', '[]', 'x y~!#']
  for (const text of odd) t.equal(jsonText(text), JSON.stringify(text))
  fc.assert(fc.property(fc.string(), (text) => jsonText(text) === JSON.stringify(text)))
})

t.test('any record is read as it was written, and nowhere else', async (t) => {
  await fc.assert(
    fc.property(draft, position, uint(32), u32, (drawn, durableUpTo, high, offset) => {
      const seed = (BigInt(high) << 32n) | BigInt(offset)
      const bytes = encodeAt(drawn, seed, durableUpTo)
      assert.strictEqual(bytes.length % 8, 0)
      const { head, meta, data } = decodeRecord(bytes, seed)!
      const { meta: wantedMeta, data: wantedData, ...wanted } = drawn
      assert.deepStrictEqual(head, {
        ...wanted,
        fragIndex: 0,
        metaBytes: Buffer.byteLength(wantedMeta),
        recordBytes: bytes.length,
        durableUpTo,
      })
      assert.strictEqual(meta, wantedMeta)
      assert.deepStrictEqual(Buffer.from(data), Buffer.from(wantedData ?? []))
      assert.ok(hasMagic(bytes, 0))
      assert.strictEqual(decodeHead(bytes, seed + 8n), null, 'at another offset')
      assert.strictEqual(decodeHead(bytes, seed ^ (1n << 40n)), null, 'in another segment')
    }),
    { numRuns: 1000 },
  )
  t.pass('1,000 records')
})

t.test('a flipped bit of a record is noticed, wherever it is', async (t) => {
  const seed = segmentSeed('ab'.repeat(16), 1, 5) | 4096n
  const bytes = encodeAt(SAMPLE, seed)
  const metaEnd = RECORD_HEAD_BYTES + Buffer.byteLength(SAMPLE.meta)
  const dataStart = bytes.length - 5
  t.ok(dataStart > metaEnd, 'the sample has padding')
  const sound = decodeRecord(bytes, seed)
  t.not(sound, null)
  const unnoticed: number[] = []
  for (const [flipped, bit] of flips(bytes)) {
    if (decodeRecord(flipped, seed) !== null) unnoticed.push(bit)
  }
  const padding = Array.from({ length: (dataStart - metaEnd) * 8 }, (_, i) => metaEnd * 8 + i)
  t.strictSame(unnoticed, padding, 'but in the padding, which means nothing')
  for (const [flipped] of flips(bytes, metaEnd, dataStart)) {
    t.strictSame(decodeRecord(flipped, seed), sound, 'and changes nothing')
  }
})

t.test('damage of the body leaves head and metadata readable', async (t) => {
  const bytes = encodeAt(SAMPLE, 8n)
  for (const [flipped] of flips(bytes, bytes.length - 5)) {
    const head = decodeHead(flipped, 8n)!
    assert.strictEqual(decodeMeta(flipped, head, 8n), SAMPLE.meta)
    assert.strictEqual(decodeData(flipped, head, 8n), null)
  }
  const head = decodeHead(bytes.subarray(0, RECORD_HEAD_BYTES), 8n)!
  t.equal(inlineBytes(head), 5, 'the head alone tells the length of the body')
  t.equal(decodeMeta(bytes.subarray(0, RECORD_HEAD_BYTES + 3), head, 8n), null, 'half of the rest')
  t.equal(decodeData(bytes.subarray(0, bytes.length - 1), head, 8n), null)
  for (let length = 0; length < RECORD_HEAD_BYTES; length++) {
    assert.strictEqual(decodeHead(bytes.subarray(0, length), 8n), null)
  }
})

t.test('no bytes but a record are a record', async (t) => {
  t.equal(decodeHead(Buffer.alloc(4096), 0n), null, 'zeros, as behind the end of a file')
  await fc.assert(
    fc.property(fc.uint8Array({ minLength: 124, maxLength: 256 }), (noise) => {
      const bytes = Buffer.concat([encodeAt(SAMPLE, 0n).subarray(0, 4), noise])
      assert.strictEqual(decodeHead(bytes, 0n), null)
    }),
    { numRuns: 300 },
  )
  t.pass('noise behind the magic number')
})

t.test(
  'lengths that cannot be true are refused, and records beyond the limit not written',
  async (t) => {
    const head = decodeHead(encodeAt(SAMPLE, 0n), 0n)!
    t.ok(lengthsAgree(head))
    const wrong: readonly Partial<RecordHead>[] = [
      { recordBytes: head.recordBytes + 8 },
      { recordBytes: head.recordBytes - 8 },
      { recordBytes: 0 },
      { metaBytes: head.metaBytes + 8 },
      { metaBytes: 0xffffffff },
      { dataBytes: head.dataBytes + 8 },
      { dataBytes: RECORD_BYTES_MAX, recordBytes: RECORD_BYTES_MAX + RECORD_HEAD_BYTES + 16 },
    ]
    for (const change of wrong)
      t.notOk(lengthsAgree({ ...head, ...change }), JSON.stringify(change))
    const { data: _, ...rest } = SAMPLE
    const largest = RECORD_BYTES_MAX - RECORD_HEAD_BYTES
    t.equal(
      encodeRecord({ ...rest, data: null, meta: 'x'.repeat(largest) }).bytes,
      RECORD_BYTES_MAX,
    )
    t.throws(() => encodeRecord({ ...rest, data: null, meta: 'x'.repeat(largest + 1) }), /limit/)
    t.throws(() => encodeRecord({ ...rest, meta: '', data: Buffer.alloc(largest + 1) }), /limit/)
  },
)

t.test('a record of another version is not read', async (t) => {
  const bytes = encodeAt(SAMPLE, 0n)
  bytes[5] = 2
  t.equal(decodeHead(bytes, 0n), null)
})

t.test('compaction moves a record as it is', async (t) => {
  await fc.assert(
    fc.property(draft, (drawn) => {
      const old = encodeAt(drawn, 4096n)
      const moved = reencodeRecord(Buffer.from(old), decodeHead(old, 4096n)!)
      placeRecord(moved, { seed: 99n << 32n, durableUpTo: { segmentId: 9, offset: 9 } })
      const bytes = Buffer.concat(moved.data === null ? [moved.head] : [moved.head, moved.data])
      const [before, after] = [decodeRecord(old, 4096n)!, decodeRecord(bytes, 99n << 32n)!]
      const durableUpTo = { segmentId: 9, offset: 9 }
      assert.deepStrictEqual(after, { ...before, head: { ...before.head, durableUpTo } })
    }),
    { numRuns: 200 },
  )
  t.pass('200 records')
})

// --- segments --------------------------------------------------------------------------------------------------------

const SEGMENT = {
  deviceUuid: '00112233445566778899aabbccddeeff',
  shard: 1,
  segmentId: 0x1234,
  generation: 0,
  createdMs: 1_700_000_000_123,
}

t.test('a segment header is read as written; a flipped bit of it is noticed', async (t) => {
  const bytes = encodeSegmentHeader(SEGMENT)
  t.equal(bytes.length, SEGMENT_HEADER_BYTES)
  t.strictSame(decodeSegmentHeader(bytes), SEGMENT)
  const unnoticed = Array.from(flips(bytes, 0, 64)).filter(
    ([flipped]) => decodeSegmentHeader(flipped) !== null,
  )
  t.strictSame(unnoticed, [])
  for (const [flipped] of flips(bytes, 64, 128)) {
    assert.deepStrictEqual(decodeSegmentHeader(flipped), SEGMENT, 'the rest is room')
  }
  t.equal(decodeSegmentHeader(bytes.subarray(0, 63)), null)
  t.equal(decodeSegmentHeader(Buffer.alloc(SEGMENT_HEADER_BYTES)), null)
})

t.test('names of segments sort by shard and age, and nothing else is taken for one', async (t) => {
  t.equal(segmentName(0, 1), '00-00000001.seg')
  t.equal(segmentName(255, 0xffffffff), 'ff-ffffffff.seg')
  t.strictSame(parseSegmentName('0a-0000beef.seg'), { shard: 10, segmentId: 0xbeef })
  const strangers = ['0a-0000beef.seg.new', '0A-0000beef.seg', 'a-0000beef.seg', '0a-beef.seg', '']
  for (const name of strangers) t.equal(parseSegmentName(name), null, name)
})

t.test('every place has a seed of its own', async (t) => {
  const { deviceUuid } = SEGMENT
  const seeds = new Set<bigint>()
  for (const uuid of [deviceUuid, 'ff'.repeat(16)]) {
    for (const shard of [0, 1, 11]) {
      for (const segmentId of [1, 2, 11, 0xffffffff]) {
        const seed = segmentSeed(uuid, shard, segmentId)
        t.equal(seed & 0xffffffffn, 0n, 'the low half is left to the offset')
        seeds.add(seed)
      }
    }
  }
  t.equal(seeds.size, 24)
})

// --- values of the index ---------------------------------------------------------------------------------------------

const entry: fc.Arbitrary<Entry> = plain({
  place: plain({ segmentId: u32, offset: u32, bytes: u32 }),
  type: fc.constantFrom(...Object.values(RECORD_TYPES)),
  flags: uint(16),
  stamp,
  ballot: stamp,
  promised: stamp,
  writeId: hex(16),
  dataBytes: uint(48),
  deleteAt: uint(48),
  blobId: hex(16),
  confirmed: fc.boolean(),
})

t.test('an index entry is read as written; a flipped bit or a cut is noticed', async (t) => {
  await fc.assert(
    fc.property(entry, (drawn) => {
      assert.deepStrictEqual(decodeEntry(encodeEntry(drawn)), drawn)
    }),
    { numRuns: 1000 },
  )
  const [sample] = fc.sample(entry, { numRuns: 1, seed: 1 })
  const value = encodeEntry(sample!)
  for (const [flipped, bit] of flips(value)) {
    if (decodeEntry(flipped) !== null) t.fail(`bit ${bit}`)
  }
  for (let length = 0; length < value.length; length++) {
    if (decodeEntry(value.subarray(0, length)) !== null) t.fail(`length ${length}`)
  }
  t.equal(decodeEntry(Buffer.concat([value, Buffer.alloc(1)])), null)
})

const row: fc.Arbitrary<StoredRow> = plain({
  name: text,
  stamp,
  metaStamp: stamp,
  ballot: stamp,
  deleted: fc.boolean(),
  bytes: uint(48),
  count: uint(48),
  etag: fc.string({ unit: 'grapheme', maxLength: 32 }),
  contentType: text,
  policy: uint(16),
  confirmed: fc.boolean(),
  gone: fc.boolean(),
  segmentId: u32,
  recordBytes: u32,
})

t.test('a row of the index is read as written; a flipped bit or a cut is noticed', async (t) => {
  await fc.assert(
    fc.property(row, (drawn) => {
      assert.deepStrictEqual(decodeRow(drawn.name, encodeRow(drawn)), drawn)
    }),
    { numRuns: 1000 },
  )
  const [sample] = fc.sample(row, { numRuns: 1, seed: 4 })
  const value = encodeRow(sample!)
  const { name } = sample!
  for (const [flipped, bit] of flips(value)) {
    if (decodeRow(name, flipped) !== null) t.fail(`bit ${bit}`)
  }
  for (let length = 0; length < value.length; length++) {
    if (decodeRow(name, value.subarray(0, length)) !== null) t.fail(`length ${length}`)
  }
  t.equal(decodeRow(`${name}x`, value), null, 'nor does it pass for the row of another name')
})

t.test('a row survives the log', async (t) => {
  await fc.assert(
    fc.property(row, (drawn) => {
      const flags =
        (drawn.deleted ? RECORD_FLAGS.deleted : 0) |
        (drawn.confirmed ? RECORD_FLAGS.confirmed : 0) |
        (drawn.gone ? RECORD_FLAGS.gone : 0)
      const { stamp, metaStamp, ballot, policy, segmentId } = drawn
      const written = { ...SAMPLE, stamp, metaStamp, ballot, policy, flags }
      const meta = rowMeta('/a/c', drawn)
      const bytes = encodeAt(
        { ...written, type: RECORD_TYPES.listRow, meta, data: null, dataBytes: 0 },
        0n,
      )
      const found = decodeRecord(bytes, 0n)!
      const { list, row: read } = rowOfRecord(found.head, found.meta, segmentId)
      assert.strictEqual(list, '/a/c')
      assert.deepStrictEqual(read, { ...drawn, recordBytes: bytes.length })
    }),
    { numRuns: 300 },
  )
  t.pass('300 rows')
})

t.test('totals follow every change of rows, and survive the index', async (t) => {
  const change = plain({ name: fc.constantFrom('a', 'b', 'c'), row: fc.option(row) })
  const changes = fc.array(change, { maxLength: 30 })
  await fc.assert(
    fc.property(changes, fc.array(uint(2), { minLength: 30, maxLength: 30 }), (list, policies) => {
      const totals = emptyTotals()
      const rows = new Map<string, StoredRow>()
      for (const [i, { name, row: drawn }] of list.entries()) {
        const next = drawn && { ...drawn, policy: policies[i]!, bytes: i, count: 1 }
        shiftTotals(totals, rows.get(name) ?? null, next)
        if (next === null) rows.delete(name)
        else rows.set(name, next)
      }
      const counted = emptyTotals()
      for (const each of rows.values()) shiftTotals(counted, null, each)
      assert.deepStrictEqual(totals, counted)
      assert.deepStrictEqual(decodeTotals(encodeTotals(totals)), totals)
    }),
    { numRuns: 200 },
  )
  t.pass('200 histories')
})

t.test('a flipped bit of totals is noticed', async (t) => {
  const totals = emptyTotals()
  totals.byPolicy.set(0, { rows: 1234, objects: 1234, bytes: 567_890 })
  totals.deletedRows = 7
  const value = encodeTotals(totals)
  const unnoticed = Array.from(flips(value)).filter(([flipped]) => decodeTotals(flipped) !== null)
  t.strictSame(unnoticed, [])
  t.equal(decodeTotals(Buffer.alloc(0)), null)
})

// --- keys ------------------------------------------------------------------------------------------------------------

t.test('key spaces are different bytes', async (t) => {
  const values = Object.values(SPACES)
  t.equal(new Set(values).size, values.length)
})

t.test('registers of a partition are neighbours at every part power', async (t) => {
  const id = plain({ kind: uint(2), policy: uint(16), placement: u32, hash })
  await fc.assert(
    fc.property(id, id, (a, b) => {
      const [keyA, keyB] = [entryKey(SPACES.entry, a), entryKey(SPACES.entry, b)]
      assert.strictEqual(keyA.length, 24)
      const order = a.kind - b.kind || a.policy - b.policy || a.placement - b.placement
      if (order !== 0) assert.strictEqual(Math.sign(keyA.compare(keyB)), Math.sign(order))
      else
        assert.strictEqual(
          keyA.compare(keyB),
          Math.sign(Buffer.from(a.hash, 'latin1').compare(Buffer.from(b.hash, 'latin1'))),
        )
    }),
    { numRuns: 500 },
  )
  const one = { kind: 2, policy: 1, placement: 0x01020304, hash: '0123456789abcdef' }
  t.equal(
    entryKey(SPACES.entry, one).toString('hex'),
    `6f02000101020304${Buffer.from(one.hash).toString('hex')}`,
  )
  t.equal(
    expiryKey(0x0a0b, one).toString('hex'),
    `78000000000a0b02000101020304${Buffer.from(one.hash).toString('hex')}`,
  )
  t.ok(expiryKey(255, one).compare(expiryKey(256, one)) < 0, 'the earlier first')
  t.equal(shardKey(SPACES.checkpoint, 3).toString('hex'), '6b03')
  t.equal(shardKey(SPACES.chain, 3, 258).toString('hex'), '6e03000000000102')
})

t.test('names sort in the index as in a listing, and come back from it', async (t) => {
  // No lone surrogates: they are no UTF-8.
  const point = fc.oneof(fc.nat(0xd7ff), fc.integer({ min: 0xe000, max: 0x10ffff }))
  const names = fc.array(point, { maxLength: 8 }).map((points) => String.fromCodePoint(...points))
  await fc.assert(
    fc.property(names, names, hash, (a, b, list) => {
      const order = Buffer.compare(Buffer.from(a), Buffer.from(b))
      const [keyA, keyB] = [a, b].map((name) => listKey(SPACES.row, list, byteText(name)))
      assert.strictEqual(Buffer.compare(keyA!, keyB!), order)
      assert.strictEqual(
        Math.sign(Number(byteText(a) > byteText(b)) - Number(byteText(a) < byteText(b))),
        order,
      )
      assert.strictEqual(fromByteText(byteText(a)), a)
      assert.strictEqual(keyA!.toString('utf8', 17), a)
    }),
    { numRuns: 300 },
  )
  t.pass('300 pairs of names')
})

t.test(
  'the key behind a prefix is behind all that begin with it, and before the next',
  async (t) => {
    const bytes = fc.array(fc.constantFrom(0, 1, 0x61, 0xfe, 0xff), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.property(bytes, bytes, (prefix, other) => {
        const after = afterPrefix(Buffer.from(prefix))
        const key = Buffer.from(other)
        const begins = key.subarray(0, prefix.length).equals(Buffer.from(prefix))
        const isWithin = key.compare(Buffer.from(prefix)) >= 0 && key.compare(after) < 0
        assert.strictEqual(isWithin, begins)
      }),
      { numRuns: 2000 },
    )
    t.pass('2,000 pairs')
  },
)

// --- blobs -----------------------------------------------------------------------------------------------------------

const BLOB_ID = '0a00000000c0ffee'
const CHECKSUM = 0x9e3779b97f4an

function tailOf(dataBytes: number, meta = '{"n":"/a/c/o"}'): Buffer {
  const checksums = Array.from(
    { length: chunkCount(dataBytes) },
    (_, i) => CHECKSUM * BigInt(i + 1),
  )
  return encodeBlobTail({ checksums, meta, dataBytes, seed: blobSeed(BLOB_ID) })
}

/** Reads a tail as the store does. */
function decodeTail(tail: Buffer, seed: bigint): readonly bigint[] | null {
  const footer = decodeBlobFooter(tail.subarray(-BLOB_FOOTER_BYTES), seed)
  if (footer === null || blobTailBytes(footer) !== tail.length) return null
  return decodeBlobTable(tail, footer, seed)
}

t.test('a blob has a checksum for each chunk, and a tail that is read as written', async (t) => {
  const seed = blobSeed(BLOB_ID)
  const sizes = [0, 1, BLOB_CHUNK_BYTES - 1, BLOB_CHUNK_BYTES, BLOB_CHUNK_BYTES + 1, 5 * 2 ** 30]
  for (const dataBytes of sizes) {
    const tail = tailOf(dataBytes)
    const footer = decodeBlobFooter(tail.subarray(-BLOB_FOOTER_BYTES), seed)
    t.strictSame(footer, { dataBytes, metaBytes: 14 })
    t.equal(chunkCount(dataBytes), Math.ceil(dataBytes / (256 * 1024)))
    const checksums = decodeTail(tail, seed)
    t.equal(checksums?.length, chunkCount(dataBytes), `${dataBytes} bytes`)
    t.ok(checksums?.every((checksum, i) => checksum === CHECKSUM * BigInt(i + 1)))
  }
})

t.test('a flipped bit or a cut of the tail is noticed; another blob’s does not pass', async (t) => {
  const seed = blobSeed(BLOB_ID)
  const tail = tailOf(3 * BLOB_CHUNK_BYTES + 5)
  for (const [flipped, bit] of flips(tail)) {
    if (decodeTail(flipped, seed) !== null) t.fail(`bit ${bit}`)
  }
  for (let length = 0; length < tail.length; length++) {
    if (decodeTail(tail.subarray(0, length), seed) !== null) t.fail(`first ${length} bytes`)
    if (length > 0 && decodeTail(tail.subarray(length), seed) !== null) t.fail(`without ${length}`)
  }
  t.equal(decodeTail(tail, blobSeed('0a00000000c0ffef')), null)
  t.equal(decodeBlobFooter(tail.subarray(-BLOB_FOOTER_BYTES), 0n), null)
})

t.test('a chunk passes only at its own place in its own blob, unchanged', async (t) => {
  const chunk = Buffer.alloc(300, 'chunk')
  const seed = blobSeed(BLOB_ID)
  const checksums = new Set([
    chunkChecksum(chunk, 0, seed),
    chunkChecksum(chunk, 1, seed),
    chunkChecksum(chunk, 0, blobSeed('0b00000000c0ffee')),
    chunkChecksum(chunk.subarray(1), 0, seed),
    ...Array.from(flips(chunk), ([flipped]) => chunkChecksum(flipped, 0, seed)),
  ])
  t.equal(checksums.size, 4 + chunk.length * 8)
})
