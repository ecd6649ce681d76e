/** What a Parquet file says of itself at its end. */
import {
  type ColumnMetaData,
  type FileMetaData,
  parquetMetadata,
  type RowGroup,
  type SchemaElement,
} from 'hyparquet'
import { SelectError } from '../select-error.ts'
import { ThriftWalk } from './thrift-walk.ts'

/** Reads bytes of the file; fewer where it ends. */
export type ReadBytes = (start: number, end: number) => Buffer

/** Behind the data: the footer's length, and `PAR1`. */
const TAIL_BYTES = 8
const MAGIC = 'PAR1'
/** Of a footer: some 20,000 columns of row groups. */
const FOOTER_BYTES_MAX = 8 * 1024 * 1024
const STRUCTS_MAX = 120_000

/** A column, as the schema has it. */
export interface ParquetColumn {
  readonly name: string
  /** Null: it is made of others, or there are several of it in a row. */
  readonly leaf: { readonly index: number; readonly element: SchemaElement } | null
}

export interface ParquetFooter {
  readonly columns: readonly ParquetColumn[]
  readonly groups: readonly RowGroup[]
  /** Where the data ends. */
  readonly dataEnd: number
}

/** ParquetParsingError for what is no such file; OverMaxParquetBlockSize for a footer that is too long. */
export function readFooter(read: ReadBytes, bytes: number): ParquetFooter {
  const tail = read(Math.max(0, bytes - TAIL_BYTES), bytes)
  if (tail.length < TAIL_BYTES || tail.toString('latin1', 4) !== MAGIC) throw notParquet()
  const length = tail.readUInt32LE(0)
  const dataEnd = bytes - TAIL_BYTES - length
  if (dataEnd < MAGIC.length) throw notParquet()
  if (length > FOOTER_BYTES_MAX) {
    throw new SelectError('OverMaxParquetBlockSize', 'Its footer is too long.')
  }
  const footer = read(dataEnd, bytes)
  const { schema, row_groups: groups } = parsing(() => parse(footer, length))
  return { columns: parsing(() => columnsOf(schema)), groups, dataEnd }
}

/** Where the column's bytes are in the row group. */
export function chunkOf(
  { columns, dataEnd }: Pick<ParquetFooter, 'columns' | 'dataEnd'>,
  { group, index }: { readonly group: RowGroup; readonly index: number },
): { readonly meta: ColumnMetaData; readonly start: number; readonly end: number } {
  const leaf = columns[index]?.leaf
  const chunk = leaf == null ? undefined : group.columns[leaf.index]
  const meta = chunk?.meta_data
  if (meta === undefined || chunk?.file_path !== undefined) throw notParquet()
  const { dictionary_page_offset: dictionary, data_page_offset: data } = meta
  const start = Number(dictionary && dictionary < data ? dictionary : data)
  const end = start + Number(meta.total_compressed_size)
  if (!(start >= MAGIC.length && end >= start && end <= dataEnd)) throw notParquet()
  return { meta, start, end }
}

/** Whatever is wrong in the reading is wrong with the file. */
export function parsing<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof SelectError ? error : notParquet()
  }
}

export function notParquet(): SelectError {
  return new SelectError('ParquetParsingError')
}

function parse(footer: Buffer, length: number): FileMetaData {
  new ThriftWalk(footer.subarray(0, length), { structsMax: STRUCTS_MAX }).end()
  return parquetMetadata(new Uint8Array(footer), { geoparquet: false })
}

/** Those at the top; below them nobody descends, so that a schema is as deep as it likes. */
function columnsOf([root, ...elements]: readonly SchemaElement[]): readonly ParquetColumn[] {
  const columns: ParquetColumn[] = []
  let at = 0
  let leaves = 0
  for (let i = 0; i < (root?.num_children ?? 0); i++) {
    const element = elements[at]
    if (element === undefined) throw notParquet()
    const isFlat = !element.num_children && element.repetition_type !== 'REPEATED'
    columns.push({ name: element.name, leaf: isFlat ? { index: leaves, element } : null })
    // An element's children stand behind it, each with its own.
    for (let open = 1; open > 0; at++) {
      const inner = elements[at]
      if (inner === undefined) throw notParquet()
      const children = inner.num_children ?? 0
      if (children < 0) throw notParquet()
      open += children - 1
      if (children === 0) leaves++
    }
  }
  return columns
}
