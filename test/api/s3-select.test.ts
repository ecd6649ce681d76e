/** Queries over objects (SelectObjectContent), by the SDK over a real socket. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { crc32, gzipSync } from 'node:zlib'
import {
  CreateBucketCommand,
  type InputSerialization,
  type OutputSerialization,
  PutBucketPolicyCommand,
  PutObjectCommand,
  type ScanRange,
  SelectObjectContentCommand,
} from '@aws-sdk/client-s3'
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer'
import t from 'tap'
import { made, nulls, page } from '../support/parquet-file.ts'
import { GUEST, OTHER, openS3Rig, presign, putInParts, s3Client } from './s3-store.ts'

const { store, s3, signed } = await openS3Rig(t)
const Bucket = 'queried'
await s3.send(new CreateBucketCommand({ Bucket }))

interface Asked {
  readonly input?: InputSerialization
  readonly output?: OutputSerialization
  readonly range?: ScanRange
  readonly progress?: boolean
  readonly by?: typeof s3
  readonly customer?: object
}

interface Answer {
  readonly text: string
  readonly events: readonly string[]
  readonly stats: { readonly BytesScanned?: number; readonly BytesProcessed?: number }
}

/** The least part of an upload but the last. */
const PART_BYTES_MIN = 5 * 1024 * 1024

const CSV: OutputSerialization = { CSV: {} }
const JSON_LINES: OutputSerialization = { JSON: {} }
const NAMED: InputSerialization = { CSV: { FileHeaderInfo: 'USE' } }

async function put(Key: string, Body: string | Buffer, more: object = {}): Promise<string> {
  await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
  return Key
}

async function select(Key: string, Expression: string, asked: Asked = {}): Promise<Answer> {
  const { Payload } = await (asked.by ?? s3).send(
    new SelectObjectContentCommand({
      Bucket,
      Key,
      Expression,
      ExpressionType: 'SQL',
      InputSerialization: asked.input ?? { CSV: {} },
      OutputSerialization: asked.output ?? CSV,
      ScanRange: asked.range,
      RequestProgress: { Enabled: asked.progress ?? false },
      ...asked.customer,
    }),
  )
  const events: string[] = []
  const records: Uint8Array[] = []
  let stats = {}
  for await (const event of Payload!) {
    events.push(Object.keys(event)[0]!)
    if (event.Records?.Payload !== undefined) records.push(event.Records.Payload)
    if (event.Stats?.Details !== undefined) stats = event.Stats.Details
  }
  return { text: Buffer.concat(records).toString(), events, stats }
}

async function textOf(key: string, sql: string, asked: Asked = {}): Promise<string> {
  return (await select(key, sql, asked)).text
}

async function codeOf(key: string, sql: string, asked: Asked = {}): Promise<string> {
  try {
    return `no error: ${await textOf(key, sql, asked)}`
  } catch (error) {
    return (error as Error).name
  }
}

const PEOPLE = 'name,age,town\nAnn,31,Bern\nBob,7,"Rye, NY"\nÇem,64,\n'
await put('people.csv', PEOPLE)

t.test('CSV is asked by its header, by places, and without either', async (t) => {
  const sql = 'SELECT s.name, s.town FROM S3Object s WHERE CAST(s.age AS INT) < 40'
  t.equal(await textOf('people.csv', sql, { input: NAMED }), 'Ann,Bern\nBob,"Rye, NY"\n')
  const json = await textOf('people.csv', sql, { input: NAMED, output: JSON_LINES })
  t.equal(json, '{"name":"Ann","town":"Bern"}\n{"name":"Bob","town":"Rye, NY"}\n')
  const input: InputSerialization = { CSV: { FileHeaderInfo: 'IGNORE' } }
  t.equal(await textOf('people.csv', 'SELECT _2 FROM S3Object LIMIT 2', { input }), '31\n7\n')
  t.equal(await textOf('people.csv', 'SELECT COUNT(*) FROM S3Object'), '4\n')
  t.equal(
    await codeOf('people.csv', 'SELECT height FROM S3Object', { input: NAMED }),
    'MissingHeaders',
  )
})

t.test('delimiters, quotes, comments and what is written are as they were asked for', async (t) => {
  await put('odd.csv', "no comment|'a'||'b;c'||d;% passed over;'e;e'|f||g;")
  const input: InputSerialization = {
    CSV: {
      RecordDelimiter: ';',
      FieldDelimiter: '|',
      QuoteCharacter: "'",
      QuoteEscapeCharacter: '\\',
      Comments: '%',
      AllowQuotedRecordDelimiter: true,
    },
  }
  const output: OutputSerialization = {
    CSV: {
      RecordDelimiter: '\r\n',
      FieldDelimiter: '\t',
      QuoteCharacter: '~',
      QuoteFields: 'ALWAYS',
    },
  }
  const asked = { input, output }
  t.equal(
    await textOf('odd.csv', 'SELECT _1, _2 FROM S3Object', asked),
    '~no comment~\t~a~\r\n~e;e~\t~f~\r\n',
  )
  const plain: InputSerialization = { CSV: { ...input.CSV, AllowQuotedRecordDelimiter: false } }
  t.equal(await codeOf('odd.csv', 'SELECT _1 FROM S3Object', { input: plain }), 'CSVUnescapedQuote')
})

t.test('JSON is asked by paths, as lines and as a document', async (t) => {
  await put('lines.json', '{"id":9007199254740993,"tags":["a","b"]}\n{"id":2,"at":{"x":1.50}}\n')
  const input: InputSerialization = { JSON: { Type: 'LINES' } }
  const asked = { input, output: JSON_LINES }
  t.equal(
    await textOf('lines.json', 'SELECT s.id, s.tags[1] AS tag, s."at".x FROM S3Object s', asked),
    '{"id":9007199254740993,"tag":"b"}\n{"id":2,"x":1.5}\n',
  )
  t.equal(
    await textOf('lines.json', 'SELECT * FROM S3Object s WHERE s.at IS NOT MISSING', asked),
    '{"id":2,"at":{"x":1.50}}\n',
  )
  const rows = Array.from({ length: 20_000 }, (_, n) => ({ n, name: `row ${n}` }))
  await put('long.json', JSON.stringify({ before: ['x'.repeat(2_000_000)], deep: { rows } }))
  const document: InputSerialization = { JSON: { Type: 'DOCUMENT' } }
  t.equal(
    await textOf('long.json', 'SELECT COUNT(*), MAX(r.n) FROM S3Object[*].deep.rows[*] r', {
      input: document,
    }),
    '20000,19999\n',
    'of a document that is longer than a record may be',
  )
  t.equal(
    await codeOf('long.json', 'SELECT s.before FROM S3Object s', { input: document }),
    'OverMaxRecordSize',
  )
})

t.test('packed objects are unpacked, and parts of an upload are one object', async (t) => {
  const long = Array.from({ length: 60_000 }, (_, n) => `${n},${n % 10},some text\n`).join('')
  const sql = 'SELECT SUM(CAST(_1 AS INT)) FROM S3Object WHERE _2 = 3'
  const sum = `${6_000 * 3 + 10 * ((5_999 * 6_000) / 2)}\n`
  await put('long.csv', long)
  const plain = await select('long.csv', sql, { progress: true })
  t.equal(plain.text, sum)
  t.match(plain.events.join(' '), /^(Progress )*Records Progress Stats End$/)
  t.match(plain.stats, { BytesScanned: long.length, BytesProcessed: long.length })
  const packed = gzipSync(long)
  await put('long.csv.gz', packed)
  const input: InputSerialization = { CSV: {}, CompressionType: 'GZIP' }
  const unpacked = await select('long.csv.gz', sql, { input })
  t.equal(unpacked.text, sum)
  t.match(unpacked.stats, { BytesScanned: packed.length, BytesProcessed: long.length })
  t.equal(await codeOf('long.csv', sql, { input }), 'InvalidCompressionFormat')
  await put('cut.gz', packed.subarray(0, -100))
  t.equal(await codeOf('cut.gz', sql, { input }), 'TruncatedInput')
  const bzip2 = spawnSync('bzip2', { input: PEOPLE })
  if (bzip2.status === 0) {
    await put('people.bz2', bzip2.stdout)
    const asked = { input: { ...NAMED, CompressionType: 'BZIP2' as const } }
    t.equal(await textOf('people.bz2', 'SELECT MAX(age) FROM S3Object', asked), '64\n')
  }
  const first = `number,digit\n${long.repeat(6)}`
  await putInParts(s3, { Bucket, Key: 'parts.csv' }, [first, '7,3\n8,4\n'])
  const ranged = { input: NAMED, range: { Start: first.length } }
  const ask = 'SELECT number FROM S3Object WHERE digit < 5'
  t.equal(await textOf('parts.csv', ask, ranged), '7\n8\n')
})

t.test('scan ranges that lie side by side have every record once', async (t) => {
  const lines = Array.from({ length: 300 }, (_, n) => 'x'.repeat((n * 7) % 23))
  const body = lines.map((text, n) => `${n}${text}\n`).join('')
  await put('ranged.csv', body)
  const all = await textOf('ranged.csv', 'SELECT * FROM S3Object')
  t.equal(all, body)
  let together = ''
  for (let at = 0; at < body.length; at += 401) {
    const range = { Start: at, End: Math.min(at + 400, body.length - 1) }
    together += await textOf('ranged.csv', 'SELECT * FROM S3Object', { range })
  }
  t.equal(together, body)
  const last = await textOf('ranged.csv', 'SELECT * FROM S3Object', { range: { End: 30 } })
  t.ok(body.endsWith(last) && last.length > 0 && last.length <= 30, last)
  const named = { input: NAMED, range: { Start: 20, End: 26 } }
  t.equal(await textOf('people.csv', 'SELECT name FROM S3Object', named), 'Bob\n')
  const input: InputSerialization = { CSV: {}, CompressionType: 'GZIP' }
  const packed = { input, range: { Start: 1 } }
  t.equal(await codeOf('people.csv', 'SELECT * FROM S3Object', packed), 'UnsupportedScanRangeInput')
})

t.test(
  'what is wrong with a question is said before, what with the object in the answer',
  async (t) => {
    const cases: readonly (readonly [sql: string, code: string])[] = [
      ['SELEKT 1', 'ParseUnsupportedSelect'],
      ['SELECT 1', 'ParseSelectMissingFrom'],
      ['SELECT * FROM stdin', 'InvalidTableAlias'],
      ['SELECT * FROM S3Object ORDER BY 1', 'ParseUnsupportedSyntax'],
      ['SELECT f(1) FROM S3Object', 'UnsupportedFunction'],
      ["SELECT 'x FROM S3Object", 'LexerInvalidLiteral'],
      ['SELECT CAST(_1 AS INT) FROM S3Object', 'CastFailed'],
      [`SELECT '${'x'.repeat(262_144)}' FROM S3Object`, 'ExpressionTooLong'],
    ]
    for (const [sql, code] of cases)
      t.equal(await codeOf('people.csv', sql), code, sql.slice(0, 50))
    t.equal(await codeOf('nothing', 'SELECT * FROM S3Object'), 'NoSuchKey')
    await put('latin1.csv', Buffer.from('caf\xe9\n', 'latin1'))
    t.equal(await codeOf('latin1.csv', 'SELECT * FROM S3Object'), 'InvalidTextEncoding')
    await put('endless.csv', 'x'.repeat(1_100_000))
    t.equal(await codeOf('endless.csv', 'SELECT * FROM S3Object'), 'OverMaxRecordSize')
    const raw = async (query: string, body: string) =>
      (await signed({ method: 'POST', path: `/${Bucket}/people.csv?${query}`, body })).code
    t.equal(await raw('select&select-type=2', '<x/>'), 'MalformedXML')
    t.equal(await raw('select', '<x/>'), 'InvalidArgument')
    t.equal(
      await raw('select&select-type=2', '<SelectObjectContentRequest/>'),
      'MissingRequiredParameter',
    )
  },
)

t.test('who may read an object may ask about it, and nobody else', async (t) => {
  const by = s3Client(store.port, OTHER)
  t.teardown(() => by.destroy())
  t.equal(await codeOf('people.csv', 'SELECT * FROM S3Object', { by }), 'AccessDenied')
  const statement = {
    Effect: 'Allow',
    Principal: '*',
    Action: 's3:GetObject',
    Resource: `arn:aws:s3:::${Bucket}/people.csv`,
  }
  const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
  await s3.send(new PutBucketPolicyCommand({ Bucket, Policy }))
  t.equal(await textOf('people.csv', 'SELECT COUNT(*) FROM S3Object', { by }), '4\n')
  t.equal(await codeOf('odd.csv', 'SELECT * FROM S3Object', { by }), 'AccessDenied')
  const guest = s3Client(store.port, GUEST)
  t.teardown(() => guest.destroy())
  t.equal(await codeOf('odd.csv', 'SELECT * FROM S3Object', { by: guest }), 'AccessDenied')
})

t.test('an object with a key of its own needs that key', async (t) => {
  const keys = (byte: number) => {
    const key = Buffer.alloc(32, byte)
    return { SSECustomerAlgorithm: 'AES256', SSECustomerKey: key.toString('base64') }
  }
  await put('sealed.csv', PEOPLE, keys(1))
  const sql = 'SELECT COUNT(*) FROM S3Object'
  t.equal(await textOf('sealed.csv', sql, { customer: keys(1) }), '4\n')
  t.equal(await codeOf('sealed.csv', sql, { customer: keys(2) }), 'InvalidRequest')
  t.equal(await codeOf('sealed.csv', sql), 'InvalidRequest')
})

t.test('Parquet is asked by its columns, wherever its bytes lie', async (t) => {
  const input: InputSerialization = { Parquet: {} }
  const numbers = Array.from({ length: 30_000 }, (_, i) => i)
  const noise = numbers.map((i) => createHash('sha512').update(`${i}`).digest('hex').repeat(3))
  const columnData: ColumnSource[] = [
    { name: 'Name', data: noise, type: 'STRING', encoding: 'PLAIN', codec: 'UNCOMPRESSED' },
    { name: 'n', data: numbers, type: 'INT32' },
    { name: 'odd', data: numbers.map((i) => (i % 3 === 0 ? null : i % 2 === 1)), type: 'BOOLEAN' },
  ]
  const file = Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 10_000 }))
  t.ok(file.length > PART_BYTES_MIN)
  const sql = "SELECT n, odd FROM S3Object s WHERE s.n > 29997 OR s.name LIKE 'ff%0' AND n < 9000"
  const expected = numbers
    .filter((i) => i > 29_997 || (/^ff.*0$/.test(noise[i]!) && i < 9_000))
    .map((i) => `${i},${i % 3 === 0 ? '' : i % 2 === 1}\n`)
    .join('')
  const keys = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: 'k'.repeat(32) }
  await put('n.parquet', file)
  await put('sealed.parquet', file, keys)
  const halves = [file.subarray(0, PART_BYTES_MIN), file.subarray(PART_BYTES_MIN)]
  await putInParts(s3, { Bucket, Key: 'parts.parquet' }, halves)
  t.equal(await textOf('n.parquet', sql, { input }), expected)
  t.equal(await textOf('parts.parquet', sql, { input }), expected)
  const customer = { ...keys, SSECustomerKey: Buffer.from(keys.SSECustomerKey).toString('base64') }
  t.equal(await textOf('sealed.parquet', sql, { input, customer }), expected)
  const sum = 'SELECT SUM(n) AS total FROM S3Object'
  const { text, stats } = await select('n.parquet', sum, { input, output: JSON_LINES })
  t.equal(text, '{"total":449985000}\n')
  t.ok(stats.BytesScanned! < file.length / 10, `${stats.BytesScanned} of ${file.length} bytes`)
  const ranged = { input, range: { Start: 5 } }
  t.equal(await textOf('n.parquet', 'SELECT COUNT(*) FROM S3Object', ranged), '20000\n')
  const wrong = (key: string, asked: Asked = { input }) =>
    codeOf(key, 'SELECT * FROM S3Object', asked)
  t.equal(await wrong('people.csv'), 'ParquetParsingError')
  await put('small.parquet', made(page(nulls(8))))
  t.equal(await textOf('small.parquet', 'SELECT COUNT(*) FROM S3Object', { input }), '8\n')
  await put('long.parquet', made(page(nulls(8), { bytes: 2 ** 30 })))
  t.equal(await wrong('long.parquet'), 'OverMaxParquetBlockSize')
  const packed: InputSerialization = { ...input, CompressionType: 'GZIP' }
  t.equal(await wrong('n.parquet', { input: packed }), 'InvalidCompressionFormat')
  const both: InputSerialization = { ...input, CSV: {} }
  t.equal(await wrong('n.parquet', { input: both }), 'ObjectSerializationConflict')
})

// A thread starts slowly from sources.
const skip = process.env.SWIFTLET_PROBE !== 'long' && 'takes half a minute'
t.test('clients that go away take their threads with them', { skip }, async (t) => {
  await put('wide.csv', 'some text,more of it\n'.repeat(100_000))
  const output = "_1 || _1 || _1 || _1, _2 || _2 || _2 || _2, '".concat('x'.repeat(500), "'")
  // More than there are threads for.
  for (let round = 0; round < 12; round++) {
    const client = s3Client(store.port)
    const { Payload } = await client.send(
      new SelectObjectContentCommand({
        Bucket,
        Key: 'wide.csv',
        Expression: `SELECT ${output} FROM S3Object`,
        ExpressionType: 'SQL',
        InputSerialization: { CSV: {} },
        OutputSerialization: CSV,
      }),
    )
    for await (const event of Payload!) {
      if (event.Records !== undefined) break
    }
    client.destroy()
  }
  // What says of two thousand million rows that they are nothing says so without an answer, and nearly without reading.
  await put('endless', made(page(nulls(2 ** 31), { count: 2 ** 31 - 1 }), { rows: 2n ** 31n - 1n }))
  for (let round = 0; round < 6; round++) {
    const client = s3Client(store.port)
    const { Payload } = await client.send(
      new SelectObjectContentCommand({
        Bucket,
        Key: 'endless',
        Expression: 'SELECT COUNT(a) FROM S3Object',
        ExpressionType: 'SQL',
        InputSerialization: { Parquet: {} },
        OutputSerialization: CSV,
      }),
    )
    for await (const event of Payload!) {
      if (event.Cont !== undefined) break
    }
    client.destroy()
  }
  t.equal(await textOf('people.csv', 'SELECT COUNT(*) FROM S3Object'), '4\n')
})

t.test('messages have the frame and the checksums that are documented', async (t) => {
  const body =
    '<SelectObjectContentRequest><Expression>SELECT _1 FROM S3Object</Expression><ExpressionType>SQL</ExpressionType>' +
    '<InputSerialization><CSV/></InputSerialization><OutputSerialization><CSV/></OutputSerialization></SelectObjectContentRequest>'
  const path = `/${Bucket}/people.csv?select&select-type=2`
  const url = presign('POST', path, new URL(store.url).host)
  const answer = await fetch(store.url + url, { method: 'POST', body })
  t.equal(answer.status, 200)
  const events = framesOf(Buffer.from(await answer.arrayBuffer())).map(({ headers, payload }) => {
    t.equal(headers[':message-type'], 'event')
    return [headers[':event-type'], headers[':content-type'], payload]
  })
  const size = Buffer.byteLength(PEOPLE)
  const stats = `<BytesScanned>${size}</BytesScanned><BytesProcessed>${size}</BytesProcessed><BytesReturned>18</BytesReturned>`
  t.strictSame(events, [
    ['Records', 'application/octet-stream', 'name\nAnn\nBob\nÇem\n'],
    ['Stats', 'text/xml', `<?xml version="1.0" encoding="UTF-8"?>\n<Stats>${stats}</Stats>`],
    ['End', undefined, ''],
  ])
})

/** Read apart by hand: the SDK looks at most of it only. */
function framesOf(body: Buffer) {
  const frames: { readonly headers: Record<string, string>; readonly payload: string }[] = []
  for (let rest = body; rest.length > 0; rest = rest.subarray(rest.readUInt32BE(0))) {
    const [total, headBytes] = [rest.readUInt32BE(0), rest.readUInt32BE(4)]
    t.equal(rest.readUInt32BE(8), crc32(rest.subarray(0, 8)))
    t.equal(rest.readUInt32BE(total - 4), crc32(rest.subarray(0, total - 4)))
    const headers: Record<string, string> = {}
    for (let at = 12; at < 12 + headBytes; ) {
      const name = rest.toString('latin1', at + 1, at + 1 + rest[at]!)
      at += 1 + name.length
      t.equal(rest[at], 7)
      const length = rest.readUInt16BE(at + 1)
      headers[name] = rest.toString('utf8', at + 3, at + 3 + length)
      at += 3 + length
    }
    frames.push({ headers, payload: rest.toString('utf8', 12 + headBytes, total - 4) })
  }
  return frames
}
