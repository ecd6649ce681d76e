/** Parquet files that no writer would write: what their heads say is what they are told to say. */
import type { CompressionCodec, SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'

/** A file of one column whose pages are these bytes, with the rows that its footer tells. */
export function made(
  pages: Buffer,
  of: {
    readonly rows?: bigint
    readonly codec?: CompressionCodec
    readonly element?: Partial<SchemaElement>
    readonly at?: bigint
  } = {},
): Buffer {
  const writer = new ByteWriter()
  const { rows = 8n, codec = 'UNCOMPRESSED', at = 4n } = of
  const element = { name: 'a', type: 'INT32', repetition_type: 'OPTIONAL', ...of.element } as const
  const file = new ParquetWriter({ writer, schema: [{ name: 'root', num_children: 1 }, element] })
  writer.appendBytes(pages)
  const bytes = BigInt(pages.length)
  const meta = {
    ...{ type: element.type, encodings: ['PLAIN'], path_in_schema: ['a'], codec },
    ...{ num_values: rows, total_uncompressed_size: bytes, total_compressed_size: bytes },
    data_page_offset: at,
  } as const
  const columns = [{ file_offset: 0n, meta_data: { ...meta, encodings: ['PLAIN' as const] } }]
  file.row_groups.push({ columns, total_byte_size: bytes, num_rows: rows })
  void file.finish()
  return Buffer.from(writer.getBytes())
}

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left]
    bytes.push((left % 128) + 128)
  }
}

/** A page of the first kind, whose head says what it is told to say. */
export function page(
  body: Buffer,
  says: { readonly count?: number; readonly bytes?: number; readonly packed?: number } = {},
): Buffer {
  const { count = 8, bytes = body.length, packed = body.length } = says
  const sizes = [0x15, 0, 0x15, ...varint(bytes * 2), 0x15, ...varint(packed * 2)]
  const data = [0x2c, 0x15, ...varint(count * 2), 0x15, 0, 0x15, 6, 0x15, 6, 0]
  return Buffer.concat([Buffer.from([...sizes, ...data, 0]), body])
}

/** Levels that say of so many values that they are not there. */
export function nulls(count: number): Buffer {
  const run = Buffer.from([...varint(count * 2), 0])
  const length = Buffer.alloc(4)
  length.writeUInt32LE(run.length)
  return Buffer.concat([length, run])
}
