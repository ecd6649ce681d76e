import { gzipSync } from 'node:zlib'
import type { SchemaElement } from 'hyparquet'
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer'
import t from 'tap'
import { made, nulls, page } from '../../../../test/support/parquet-file.ts'
import { SelectError } from '../select-error.ts'
import type { ScanRange } from '../select-request.ts'
import { parseQuery } from '../sql/parse-query.ts'
import { textOf } from '../sql/value.ts'
import { readDictionary, valuesOf } from './page-values.ts'
import { scanParquet } from './parquet-scan.ts'
import { valueType } from './parquet-types.ts'
import { RleRuns } from './rle-runs.ts'
import { ThriftError, ThriftWalk } from './thrift-walk.ts'

interface Asked {
  readonly range?: ScanRange
  readonly onRead?: (start: number, end: number) => void
  readonly pause?: () => void
}

/** What comes out as lines of JSON, or the code of what went wrong. */
function select(file: Buffer, sql: string, asked: Asked = {}): string {
  const read = (start: number, end: number) => {
    asked.onRead?.(start, end)
    return Buffer.from(file.subarray(start, end))
  }
  const output = { format: 'json', recordDelimiter: '\n' } as const
  const plan = { output, range: asked.range ?? null, query: parseQuery(sql), nowMs: 1e12 }
  let text = ''
  try {
    const source = { read, pause: asked.pause ?? (() => {}) }
    scanParquet({ ...plan, bytes: file.length }, source, (piece) => {
      text += piece.toString()
    })
  } catch (error) {
    if (!(error instanceof SelectError)) throw error
    return error.code
  }
  return text
}

function written(
  columnData: ColumnSource[],
  more: Partial<Parameters<typeof parquetWriteBuffer>[0]> = {},
): Buffer {
  return Buffer.from(parquetWriteBuffer({ columnData, ...more }))
}

const COUNT = 40
const PEOPLE: ColumnSource[] = [
  { name: 'name', data: Array.from({ length: COUNT }, (_, i) => `ü${i % 3}`), type: 'STRING' },
  {
    name: 'Age',
    data: Array.from({ length: COUNT }, (_, i) => (i % 4 === 0 ? null : i)),
    type: 'INT32',
  },
  {
    name: 'id',
    data: Array.from({ length: COUNT }, (_, i) => BigInt(i) * 10n ** 15n),
    type: 'INT64',
  },
  { name: 'ok', data: Array.from({ length: COUNT }, (_, i) => i % 2 === 0), type: 'BOOLEAN' },
  {
    name: 'at',
    data: Array.from({ length: COUNT }, (_, i) => new Date(i * 1000)),
    type: 'TIMESTAMP',
  },
  { name: 'share', data: Array.from({ length: COUNT }, (_, i) => i / 8), type: 'DOUBLE' },
]

t.test('columns are found by their names, and rows by what is in them', async (t) => {
  for (const codec of ['UNCOMPRESSED', 'SNAPPY', 'GZIP'] as const) {
    const compressors = { GZIP: (bytes: Uint8Array) => gzipSync(bytes) }
    const file = written(PEOPLE, { codec, compressors, rowGroupSize: 7, pageSize: 20 })
    t.equal(
      select(file, "SELECT s.age, s.name AS who FROM S3Object s WHERE name = 'ü1' AND s.age > 30"),
      '{"age":31,"who":"ü1"}\n{"age":34,"who":"ü1"}\n{"age":37,"who":"ü1"}\n',
    )
    t.equal(
      select(file, 'SELECT * FROM S3Object LIMIT 2'),
      '{"name":"ü0","Age":null,"id":0,"ok":true,"at":"1970-01-01T00:00:00.000Z","share":0}\n' +
        '{"name":"ü1","Age":1,"id":1000000000000000,"ok":false,"at":"1970-01-01T00:00:01.000Z","share":0.125}\n',
    )
    t.equal(
      select(file, 'SELECT COUNT(*), COUNT(age), SUM(share), MAX("at") FROM S3Object'),
      '{"_1":40,"_2":30,"_3":97.5,"_4":"1970-01-01T00:00:39.000Z"}\n',
    )
    t.equal(select(file, 'SELECT 1 FROM S3Object WHERE _2 = 39'), '{"_1":1}\n')
    t.equal(select(file, 'SELECT "age" FROM S3Object'), 'MissingHeaders')
    t.equal(select(file, 'SELECT s.age.b FROM S3Object s'), 'ParseInvalidPathComponent')
  }
})

t.test('each type of a column is what the format says', (t) => {
  const nanos = { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'NANOS' } as const
  const wide = { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 9 } as const
  const ms = { type: 'INT64', converted_type: 'TIMESTAMP_MILLIS' } as const
  const cases: readonly (readonly [Omit<SchemaElement, 'name'>, hex: string, text: string])[] = [
    [{ type: 'INT32' }, 'feffffff', '-2'],
    [{ type: 'INT32', converted_type: 'UINT_32' }, 'feffffff', '4294967294'],
    [{ type: 'INT32', converted_type: 'DATE' }, 'ffffffff', '1969-12-31T'],
    [{ type: 'INT32', converted_type: 'DECIMAL', scale: 3 }, 'feffffff', '-0.002'],
    [{ type: 'INT64' }, 'feffffffffffff7f', '9223372036854775806'],
    [{ type: 'INT64', converted_type: 'UINT_64' }, 'feffffffffffffff', '18446744073709551614'],
    [ms, 'ffffffffffffffff', '1969-12-31T23:59:59.999Z'],
    [
      { type: 'INT64', converted_type: 'TIMESTAMP_MICROS' },
      'ffffffffffffffff',
      '1969-12-31T23:59:59.999999Z',
    ],
    [{ type: 'INT64', logical_type: nanos }, '0100000000000000', '1970-01-01T00:00:00.000000001Z'],
    [{ type: 'INT96' }, '01000000000000008d3d2500', '1970-01-02T00:00:00.000000001Z'],
    [{ type: 'FLOAT' }, '0000003f', '0.5'],
    [{ type: 'DOUBLE' }, '000000000000e0bf', '-0.5'],
    [{ ...wide, converted_type: 'DECIMAL', scale: 2 }, 'ffffffffffffffff9c', '-1'],
    [{ type: 'BYTE_ARRAY', converted_type: 'DECIMAL', scale: 1 }, '0100', '25.6'],
    [{ type: 'BYTE_ARRAY' }, 'c3bc', 'ü'],
    [
      { ...wide, type_length: 16, logical_type: { type: 'UUID' } },
      '00112233445566778899aabbccddeeff',
      '00112233-4455-6677-8899-aabbccddeeff',
    ],
  ]
  const read = (element: Omit<SchemaElement, 'name'>, bytes: Buffer) =>
    valueType({ name: 'a', ...element })!.read(bytes, 0, bytes.length)
  for (const [element, hex, text] of cases) {
    const value = read(element, Buffer.from(hex, 'hex'))
    t.equal(textOf(value as string), text, JSON.stringify(element))
  }
  const none: readonly Omit<SchemaElement, 'name'>[] = [
    { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 12, converted_type: 'INTERVAL' },
    { ...wide, type_length: 17, converted_type: 'DECIMAL' },
    { type: 'INT64', converted_type: 'DECIMAL', scale: -1 },
    {},
  ]
  for (const element of none) t.equal(valueType({ name: 'a', ...element }), null)
  t.throws(() => read(ms, Buffer.alloc(8, 0x7f)), RangeError)
  t.throws(() => read({ type: 'BYTE_ARRAY' }, Buffer.from([0xff])), { code: 'InvalidTextEncoding' })
  t.throws(() => read({ type: 'INT64' }, Buffer.alloc(7)), RangeError)
  t.end()
})

t.test('values lie apart by their bytes, and in dictionaries, within bounds', (t) => {
  const element = { name: 'a', type: 'INT32' } as const
  const type = valueType(element)!
  const of = { element, type, dictionary: null }
  const split = valuesOf(Buffer.from([1, 2, 0, 0, 0, 0, 0, 0]), 'BYTE_STREAM_SPLIT', of)
  t.strictSame([split(), split()], [1n, 2n])
  t.throws(split, RangeError)
  const dictionary = readDictionary(Buffer.from([7, 0, 0, 0, 9, 0, 0, 0]), type, 2)
  const named = valuesOf(Buffer.from([2, 4, 1, 2, 2]), 'RLE_DICTIONARY', { ...of, dictionary })
  t.strictSame([named(), named()], [9n, 9n])
  t.throws(named, RangeError, 'there is no third value')
  t.throws(() => readDictionary(Buffer.alloc(7), type, 2), RangeError)
  t.throws(() => valuesOf(Buffer.alloc(9), 'RLE_DICTIONARY', of), RangeError)
  const delta = () => valuesOf(Buffer.alloc(9), 'DELTA_BYTE_ARRAY', of)
  t.throws(delta, { code: 'ParquetParsingError' })
  t.end()
})

t.test(
  'only the columns that are asked for are read, and no row group behind the last row',
  async (t) => {
    const noise = Array.from({ length: 30_000 }, (_, i) => `${Math.imul(i, 2654435761)}`)
    const file = written(
      [
        { name: 'long', data: noise, type: 'STRING', encoding: 'PLAIN' },
        { name: 'n', data: noise.map((_, i) => i), type: 'INT32' },
      ],
      { rowGroupSize: 10_000 },
    )
    const bytesOf = (sql: string) => {
      let bytes = 0
      select(file, sql, { onRead: (start, end) => (bytes += end - start) })
      return bytes
    }
    const all = bytesOf('SELECT * FROM S3Object')
    t.ok(bytesOf('SELECT SUM(n) FROM S3Object') < all / 2)
    t.ok(bytesOf('SELECT * FROM S3Object LIMIT 1') < all / 2)
  },
)

t.test('a range is about the row groups that begin in it', async (t) => {
  const file = written(PEOPLE, { rowGroupSize: 10 })
  const counted = (range: ScanRange) => select(file, 'SELECT COUNT(*) FROM S3Object', { range })
  t.equal(counted({ start: 0, end: 4 }), '{"_1":10}\n')
  t.equal(counted({ start: 5, end: undefined }), '{"_1":30}\n')
  t.equal(counted({ start: undefined, end: 8 }), '{"_1":0}\n')
})

t.test(
  'what is no such file, or is made to be long, is refused before it costs anything',
  async (t) => {
    const all = 'SELECT * FROM S3Object'
    const cases: readonly (readonly [string, Buffer, string])[] = [
      ['nothing', Buffer.alloc(0), 'ParquetParsingError'],
      ['no end', Buffer.from('PAR1 and something else'), 'ParquetParsingError'],
      [
        'a footer longer than the file',
        Buffer.from('PAR1\xff\xff\xff\x7fPAR1', 'latin1'),
        'ParquetParsingError',
      ],
      ['fewer rows than it says', made(page(nulls(8)), { rows: 2n ** 60n }), 'ParquetParsingError'],
      ['a column outside', made(page(nulls(8)), { at: 2n ** 50n }), 'ParquetParsingError'],
      ['a page without end', made(page(nulls(8), { packed: 500 })), 'ParquetParsingError'],
      ['a page too long', made(page(nulls(8), { bytes: 2 ** 30 })), 'OverMaxParquetBlockSize'],
      ['no levels', made(page(Buffer.from([9, 0, 0, 0]))), 'ParquetParsingError'],
      [
        'more than it says in a page',
        made(page(gzipSync(Buffer.alloc(50_000_000)), { bytes: 64 }), { codec: 'GZIP' }),
        'ParquetParsingError',
      ],
      [
        'another codec',
        made(page(nulls(8)), { codec: 'ZSTD' }),
        'ParquetUnsupportedCompressionCodec',
      ],
      [
        'no plain column',
        made(page(nulls(8)), { element: { repetition_type: 'REPEATED' } }),
        'ParquetParsingError',
      ],
      [
        'a scale that is none',
        made(page(nulls(8)), { element: { converted_type: 'DECIMAL', scale: 2 ** 30 } }),
        'ParquetParsingError',
      ],
    ]
    for (const [what, file, code] of cases) t.equal(select(file, all), code, what)
  },
)

t.test('runs are as long as they say, and nothing of them is kept', async (t) => {
  const file = made(page(nulls(2 ** 31)))
  t.equal(select(file, 'SELECT COUNT(*), COUNT(a) FROM S3Object'), '{"_1":8,"_2":0}\n')
  let pauses = 0
  const endless = made(page(nulls(2 ** 31), { count: 2 ** 31 - 1 }), { rows: 2n ** 31n - 1n })
  const pause = () => {
    if (++pauses === 5) throw new SelectError('InternalError' as never)
  }
  t.equal(select(endless, 'SELECT COUNT(*) FROM S3Object', { pause }), 'InternalError')
  t.equal(select(endless, 'SELECT a FROM S3Object LIMIT 1'), '{"a":null}\n')
  const packed = new RleRuns(Buffer.from([3, 0b10001000, 0b11000110, 0b11111010]), 0, 3)
  t.strictSame(
    Array.from({ length: 8 }, () => packed.next()),
    [0, 1, 2, 3, 4, 5, 6, 7],
  )
  t.throws(() => packed.next(), RangeError)
  t.throws(() => new RleRuns(Buffer.alloc(8), 0, 25), RangeError)
  t.throws(() => new RleRuns(Buffer.alloc(9, 0xff), 0, 1).next(), RangeError)
})

t.test('structures have an end, little depth, and no more parts than are allowed', (t) => {
  const end = (bytes: readonly number[]) => {
    try {
      return new ThriftWalk(Buffer.from(bytes), { structsMax: 50 }).end()
    } catch (error) {
      return error instanceof ThriftError ? 'wrong' : (error as SelectError).code
    }
  }
  const many = (count: number, byte: number) => new Array<number>(count).fill(byte)
  const cases: readonly (readonly [number | string, ...number[]])[] = [
    [15, 0x15, 2, 0x18, 3, 1, 2, 3, 0x19, 0x25, 4, 6, 0x1c, 0x11, 0, 0, 9, 9],
    ['wrong'],
    ['wrong', 0x15],
    ['wrong', 0x15, ...many(11, 0xff)],
    ['wrong', ...many(100, 0x1c)],
    ['wrong', 0x18, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ['wrong', 0x19, 0xfc, 0xff, 0xff, 0xff, 0x0f, 0],
    ['wrong', 0x1b, 1, 0],
    ['OverMaxParquetBlockSize', 0x19, 0xfc, 60, ...many(60, 0), 0],
  ]
  for (const [expected, ...bytes] of cases)
    t.equal(end(bytes), expected, bytes.slice(0, 6).join(' '))
  t.end()
})

t.test('bytes that were changed are an error of the file’s, if any', async (t) => {
  let seed = Date.now() % 2 ** 31
  t.comment(`seed ${seed}`)
  const draw = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  const file = written(PEOPLE, { rowGroupSize: 9, pageSize: 30 })
  const known = new Set<string>()
  for (let round = 0; round < 400; round++) {
    const changed = Buffer.from(file)
    for (let i = 0; i <= draw(3); i++) changed[draw(file.length)] = draw(256)
    const text = select(changed, 'SELECT * FROM S3Object')
    if (!text.startsWith('{') && text !== '') known.add(text)
  }
  const expected = [
    'ParquetParsingError',
    'ParquetUnsupportedCompressionCodec',
    'InvalidTextEncoding',
    'OverMaxParquetBlockSize',
  ]
  t.ok(known.has('ParquetParsingError'))
  t.strictSame(
    [...known].filter((code) => !expected.includes(code)),
    [],
  )
})
